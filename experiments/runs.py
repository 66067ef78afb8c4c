"""One training run: from a data set and a specification to a folder with a trained network.

A run folder holds `checkpoint.pt` (while training, see `surrogates.training.fit`), `model.pt` (the trained model,
complete in itself: `surrogates.model.load` needs no other file) and, written last and so the sign that the run is
complete, `run.json` (specification, trace, gradient profiles, figures).
"""

import functools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

import data
import surrogates
from data.provenance import collect
from data.transforms import Compression, Standardise, soften
from experiments.errors import StudyError
from experiments.files import read_json, validated, write_json
from experiments.specs import RunSpec
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
"""How a specification's family name becomes a network."""


def _field(spec: RunSpec) -> fields.Field:
    return fields.Antisymmetric(spec.damping) if spec.field == "antisymmetric" else fields.Dense()


def build(spec: RunSpec, inputs: int, outputs: int) -> surrogates.LayeredNet:
    """The untrained network of a specification; equal seeds give equal weights in every family and rule."""
    return FAMILIES[spec.family](
        spec,
        inputs=inputs,
        outputs=outputs,
        width=spec.width,
        time=surrogates.RULES[spec.time](spec.layers, spec.horizon),
        activation=ACTIVATIONS[spec.activation],
        generator=torch.Generator().manual_seed(spec.seed),
    )


def _softened(spec: RunSpec) -> bool:
    return spec.amplitude == "asinh"


def features(compression: Compression, amplitude: str, observations: np.ndarray) -> np.ndarray:
    """What enters a network: (n, m) complex observations to (n, k) real features."""
    compressed = compression(observations)
    return soften(compressed) if amplitude == "asinh" else compressed


@functools.lru_cache(maxsize=2)
def _known(path: Path, digest: str, components: int, amplitude: str, noise: float, draws: int):
    """Transforms, features and targets of a data set: cached, since all runs of a study share them."""
    dataset = data.open(path)
    train, valid = dataset.split("train"), dataset.split("valid")
    compression = Compression.fit(train.observe(noise), components)
    standardise = Standardise.fit(train.parameters)
    seen = [features(compression, amplitude, train.observe(noise, draw)) for draw in range(draws)]
    return {
        "compression": compression,
        "standardise": standardise,
        "train": (seen, standardise(train.parameters)),
        "valid": (features(compression, amplitude, valid.observe(noise)), standardise(valid.parameters)),
        "names": dataset.names,
        "units": dataset.units,
        "problem": dataset.spec,
    }


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
    out, where = Path(out), files.device(device)
    digest = data.open(dataset).manifest.digest
    refuse_another(out, spec, digest)
    if (out / "run.json").exists():
        return load(out, device)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".lock", timeout=0):
            return _train(Path(dataset), out, spec, digest, where, progress)
    except Timeout:
        raise StudyError(
            f"{out}: another process trains here; wait for it, or give another folder."
        ) from None


def _train(dataset, out, spec, digest, device, progress) -> "Run":
    began = time.perf_counter()
    known = _known(dataset.absolute(), digest, spec.components, spec.amplitude, spec.noise, spec.draws)
    compression, standardise = known["compression"], known["standardise"]
    outputs = len(known["names"])
    try:
        net = build(spec, compression.components, outputs).to(device)
    except (RuntimeError, MemoryError) as error:  # what torch raises when memory does not suffice
        raise StudyError(
            f"a network of width {spec.width} and {spec.layers} layers cannot be built "
            f"({_clause(error)}); ask for a smaller one."
        ) from None

    def tensor(values):
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    seen, target = [tensor(x) for x in known["train"][0]], tensor(known["train"][1])
    valid = tuple(tensor(values) for values in known["valid"])
    start = analysis.profile(net, *valid)
    result = training.fit(
        net,
        lambda epoch: (seen[epoch % len(seen)], target),
        valid,
        training.Settings(
            epochs=spec.epochs,
            batch=spec.batch,
            learning_rate=spec.learning_rate,
            weight_decay=spec.weight_decay,
            seed=spec.seed,
        ),
        checkpoint=out / "checkpoint.pt",
        identity={**spec.model_dump(), "data set": digest},
        progress=progress,
    )
    end = analysis.profile(net, *valid)
    model = surrogates.Model(
        net=net.eval(),
        encode=compression,
        decode=standardise,
        names=known["names"],
        units=known["units"],
        softened=_softened(spec),
        spec=known["problem"],
        digest=digest,
    )
    model.save(out / "model.pt")
    origin = collect()
    record = {
        "spec": spec.model_dump(),
        "dataset": digest,
        "names": list(known["names"]),
        "parameters": sum(p.numel() for p in net.parameters() if p.requires_grad),
        "best_epoch": result.best_epoch,
        "best_loss": result.best_loss,
        "trace": asdict(result.trace),
        "gradients": {"start": _plain(start), "end": _plain(end)},
        "seconds": time.perf_counter() - began,
        "provenance": {**origin, "versions": {**origin["versions"], "torch": torch.__version__}},
    }
    write_json(out / "run.json", record)
    (out / "checkpoint.pt").unlink(missing_ok=True)  # all of it that matters is in the two files above
    return load(out, str(device))


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
        net = build(spec, model.encode.components, len(record["names"]))
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
    if not (out / "run.json").exists():
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


def _plain(profile) -> dict[str, list[float]]:
    return {name: getattr(profile, name).tolist() for name in ("states", "weights", "steps")}


def _clause(error: BaseException) -> str:
    """The beginning of a library's message, which may run to pages."""
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
