"""One training run: from a data set and a specification to a folder with a trained network.

A run folder holds `checkpoint.pt` (while training alone, see `surrogates.training.fit`; runs that train together
have theirs elsewhere, see `experiments.ensembles`), `model.pt` (the trained model, complete in itself:
`surrogates.model.load` needs no other file) and, written last and so the sign that the run is complete,
`run.json` (specification, trace, gradient profiles, figures).
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

import data
import surrogates
from data.provenance import collect
from data.transforms import Compression, Standardise
from experiments import courses
from experiments.errors import StudyError
from experiments.files import read_json, validated, write_json
from experiments.specs import RunSpec
from experiments.training_data import TrainingData, training_data
from surrogates import analysis, architecture, fields, files, training
from surrogates.activations import ACTIVATIONS

FAMILIES: dict[str, Callable[..., surrogates.LayeredNet]] = {
    "resnet": lambda spec, **common: surrogates.ResNet(field=_field(spec), **common),
    "fractional": lambda spec, **common: surrogates.Fractional(
        order=surrogates.Order.learned(spec.order) if spec.learn_order else spec.order,
        field=_field(spec),
        **common,
    ),
    "dense-additive": lambda spec, **common: surrogates.AdditiveDenseNet(**common),
    "dense-concatenating": lambda spec, **common: surrogates.ConcatenatingDenseNet(
        growth=spec.growth, **common
    ),
}
"""How a specification's family name becomes a network with time steps."""


def _field(spec: RunSpec) -> fields.Field:
    return fields.Antisymmetric(spec.damping) if spec.field == "antisymmetric" else fields.Dense()


def build(spec: RunSpec, inputs: int, outputs: int) -> surrogates.LayeredNet | surrogates.FeedForward:
    """The untrained network of a specification; equal seeds give equal weights in every family and rule."""
    common = {
        "inputs": inputs,
        "outputs": outputs,
        "width": spec.width,
        "activation": ACTIVATIONS[spec.activation],
        "generator": torch.Generator().manual_seed(spec.seed),
    }
    if spec.family == "feed-forward":
        return surrogates.FeedForward(layers=spec.layers, **common)
    return FAMILIES[spec.family](spec, time=surrogates.RULES[spec.time](spec.layers, spec.horizon), **common)


def _softened(spec: RunSpec) -> bool:
    return spec.amplitude == "asinh"


@dataclass(frozen=True, eq=False)
class Prepared:
    """A run before its first epoch: what training is asked for, and the gradient profile at the start.

    A feed-forward network has no time steps, and no profile along them.
    """

    spec: RunSpec
    data: TrainingData
    net: surrogates.LayeredNet | surrogates.FeedForward
    settings: training.Settings
    start: analysis.GradientProfile | None


def prepare(spec: RunSpec, known: TrainingData) -> Prepared:
    """Build the network of a run on the device of its data; StudyError when memory does not suffice."""
    try:
        net = build(spec, known.compression.components, known.standardise.components).to(known.device)
    except (RuntimeError, MemoryError) as error:  # what torch raises when memory does not suffice
        raise StudyError(
            f"a network of width {spec.width} and {spec.layers} layers cannot be built "
            f"({_clause(error)}); ask for a smaller one."
        ) from None
    settings = training.Settings(
        epochs=courses.epochs(spec, net, len(known)),
        batch=spec.batch,
        learning_rate=spec.learning_rate,
        weight_decay=spec.weight_decay,
        seed=spec.seed,
    )
    return Prepared(spec, known, net, settings, _profile(net, known))


def write(out: Path, run: Prepared, result: courses.Outcome, seconds: float, together: int = 1) -> None:
    """Write the files of a run from the outcome of its training.

    seconds : the share of the run in the wall time of its training.  together : networks that shared it.
    """
    known, net, origin = run.data, result.net.eval(), collect()
    model = surrogates.Model(
        net=net,
        encode=known.compression,
        decode=known.standardise,
        names=known.names,
        units=known.units,
        softened=_softened(run.spec),
        spec=known.problem,
        digest=known.digest,
        remainder=known.remainder,
        turns=known.turns,
    )
    model.save(out / "model.pt")
    record = {
        "spec": run.spec.model_dump(),
        "dataset": known.digest,
        "mesh": known.mesh,
        "names": list(known.names),
        "parameters": sum(p.numel() for p in net.parameters() if p.requires_grad),
        "layers": net.layers,
        "epochs": result.epochs,
        "layer_evaluations": result.layer_evaluations,
        "work": result.work,
        "best_epoch": result.best_epoch,
        "best_loss": result.best_loss,
        "loss_unit": 1.0 if known.remainder is None else float(known.remainder.scale) ** 2,
        "trace": result.trace,
        "samples": len(known),
        "gradients": {"start": _plain(run.start), "end": _plain(_profile(net, known))},
        "seconds": seconds,
        "together": together,
        "provenance": {**origin, "versions": {**origin["versions"], "torch": torch.__version__}},
    }
    write_json(out / "run.json", record)
    (out / "checkpoint.pt").unlink(missing_ok=True)  # all of it that matters is in the two files above


def train(
    dataset: str | Path,
    out: str | Path,
    spec: RunSpec,
    progress: Callable[[training.EpochState], None] | None = None,
    device: str = "cpu",
) -> "Run":
    """Train the network of `spec` on a data set into the folder `out`, or continue; a complete run is kept.

    The network learns standardised parameters from principal components of the noisy data (their size softened
    unless the specification says otherwise), by mean squared error; all transforms are fitted on the training
    split alone.  Epoch e sees noise realisation e mod `draws`, the same for every network.

    device : where torch computes; a run is loaded on any.  Raises StudyError if the folder holds another run,
    or if another process trains in it.
    """
    dataset, out, where = Path(dataset), Path(out), files.device(device)
    digest = data.open(dataset).manifest.digest
    refuse_another(out, spec, digest)
    if not finished(out):
        with locked([out]):
            began = time.perf_counter()
            run = prepare(spec, training_data(dataset, digest, spec, where))
            identity = {**spec.model_dump(), "data set": digest}
            checkpoint = out / "checkpoint.pt"
            result = courses.fit(spec, run.net, run.data, run.settings, checkpoint, identity, progress)
            write(out, run, result, time.perf_counter() - began)
    return load(out, device)


def finished(out: Path) -> bool:
    """Whether the folder holds a complete run."""
    return (out / "run.json").exists()


@contextmanager
def locked(folders: Iterable[Path]) -> Iterator[None]:
    """Make the run folders and hold them for this process; StudyError if another one has any of them."""
    with ExitStack() as held:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(FileLock(folder / ".lock", timeout=0))
            except Timeout:
                raise StudyError(
                    f"{folder}: another process trains here; wait for it, or give another folder."
                ) from None
        yield


@dataclass(frozen=True)
class Run:
    """A trained network as a user has it: observations in, parameters out.

    model : what `model.pt` holds.  record : what `run.json` holds.
    """

    path: Path
    spec: RunSpec
    model: surrogates.Model
    record: dict[str, Any]

    @property
    def net(self) -> surrogates.LayeredNet:
        """The network, in evaluation mode."""
        return self.model.net

    @property
    def compression(self) -> Compression:
        """Observations to principal components."""
        return self.model.encode

    @property
    def standardise(self) -> Standardise:
        """Parameters to unit scale."""
        return self.model.decode

    def estimate(self, observations: np.ndarray) -> np.ndarray:
        """Parameters (n, p) in their units from observations (n, m) complex."""
        return self.model.estimate(observations)


def load(path: str | Path, device: str = "cpu") -> Run:
    """Load a complete run; StudyError when it is missing, unfinished or damaged."""
    path, where = Path(path), files.device(device)
    record = _record(path)
    spec = validated(RunSpec, record["spec"], f"{path / 'run.json'}: spec")
    model = surrogates.model.load(path / "model.pt", where)
    try:
        there = spec.model_copy(update={"layers": record.get("layers", spec.layers)})
        net = build(there, model.encode.components, model.decode.components)
    except (RuntimeError, MemoryError) as error:
        raise _misfit(path, _clause(error)) from None
    for what, found, expected in (
        ("network", architecture.describe(model.net), architecture.describe(net)),
        ("softened features", model.softened, _softened(spec)),
        ("parameters", list(model.names), record["names"]),
        ("data set", model.digest, record["dataset"]),
    ):
        if found != expected:
            raise _misfit(path, f"{what} there and here differ")
    return Run(path, spec, model, record)


def refuse_another(out: Path, spec: RunSpec, digest: str) -> None:
    """Raise StudyError if the folder holds a finished run of another specification or another data set."""
    if not finished(out):
        return
    record = _record(out)
    there = validated(RunSpec, record["spec"], f"{out / 'run.json'}: spec").model_dump()
    for name, value in spec.model_dump().items():
        if there[name] != value:
            raise StudyError(
                f"{out}: holds a finished run with {name} = {there[name]!r}, and {value!r} was "
                "asked for; give another folder, or remove this one."
            )
    if record["dataset"] != digest:
        raise StudyError(
            f"{out}: holds a run that was trained on another data set; give another folder, or remove it."
        )


def _record(path: Path) -> dict[str, Any]:
    file = path / "run.json"
    record = read_json(file, "finished training run", "train it with `maxinv train`")
    if not isinstance(record, dict) or not {"spec", "dataset", "names", "trace", "gradients"} <= set(record):
        raise StudyError(f"{file}: is not the record of a run; train it again in a new folder.")
    return record


def _misfit(path: Path, why: str) -> StudyError:
    return StudyError(
        f"{path / 'model.pt'}: does not fit {path / 'run.json'} ({why}); train it again in a new folder."
    )


def _profile(net, known: TrainingData) -> analysis.GradientProfile | None:
    return analysis.profile(net, *known.valid) if isinstance(net, surrogates.LayeredNet) else None


def _plain(profile) -> dict[str, list[float]] | None:
    if profile is None:
        return None
    return {name: getattr(profile, name).tolist() for name in ("states", "weights", "steps")}


def _clause(error: BaseException) -> str:
    """The beginning of a library's message, which may run to pages."""
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
