"""One network that tells images apart, trained as in arXiv 2306.16111: an experiment for `Work.map`."""

from pathlib import Path
from typing import Any, Literal

import pydantic
import torch
import torch.nn.functional as F

from experiments.papers import images
from experiments.papers.held_steps import Bounded, FromRest, Held, descent
from surrogates import Fractional, LayeredNet, ResNet, SurrogateError, TimeGrid, depth
from surrogates.training import Settings

STEPS = {"fixed": TimeGrid.fixed, "held": Held, "free": TimeGrid.free, "bounded": Bounded}
"""Rules of the steps: none trains, all but the first do, all do, all do above a bound."""


class Variant(pydantic.BaseModel):
    """What one network has and another has not.

    family : fractional is `FromRest`, fractional-after-lift a `Fractional` with a timed lift.
    horizon_weight α of (Σ τ − T)², magnitude_weight λ of Σ|τ|; threshold of pruning, None without.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    family: Literal["resnet", "fractional", "fractional-after-lift"] = "resnet"
    steps: Literal["fixed", "held", "free", "bounded"] = "fixed"
    horizon_weight: float = 0.0
    magnitude_weight: float = 0.0
    threshold: float | None = None


class Classifier(pydantic.BaseModel):
    """A network, its images and its training; all it takes to repeat it.

    data, digest, folder : of `images`.  seed : of weights, split and order of the samples.  layers : after the
    lift.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    data: Literal["digits", "mnist", "fashion-mnist"]
    digest: str
    folder: str | None
    seed: int
    horizon: float
    variant: Variant
    layers: int
    width: int
    order: float
    batch: int
    epochs: int
    learning_rate: float


def build(spec: Classifier, inputs: int) -> LayeredNet:
    """The untrained net: lift with a step of its own, L layers, readout without a bias; equal weights for one seed.

    A readout without a bias is one whose bias is 0 and does not train.
    """
    common = {
        "inputs": inputs,
        "outputs": images.CLASSES,
        "width": spec.width,
        "time": STEPS[spec.variant.steps](spec.layers + 1, spec.horizon),
        "activation": torch.relu,
        "generator": torch.Generator().manual_seed(spec.seed),
        "timed_lift": True,
    }
    if spec.variant.family == "resnet":
        net = ResNet(**common)
    else:
        kind = FromRest if spec.variant.family == "fractional" else Fractional
        net = kind(order=spec.order, **common)
    torch.nn.init.zeros_(net.readout_bias)
    net.readout_bias.requires_grad_(False)
    return net


def regulariser(variant: Variant, horizon: float) -> depth.Regulariser | None:
    """α(Σ τ − T)² + λ Σ|τ|, or None where both weights are 0."""
    terms = []
    if variant.horizon_weight:
        terms.append(depth.Horizon(variant.horizon_weight, horizon))
    if variant.magnitude_weight:
        terms.append(depth.Magnitude(variant.magnitude_weight))
    return depth.regularisers.Total(tuple(terms)) if terms else None


def train(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train the network of a `Classifier`, or go on from the checkpoint in the folder.

    Returned is the network of the last epoch, for which nothing was chosen: `accuracy` and `loss` (cross entropy,
    no regulariser in it) on the test set, `regulariser`, `valid_loss` after each epoch, `horizon`, `steps` of the
    whole grid with None for a layer that was pruned, `removed` (how many were), `pruned` (epoch, share, change of
    the output and of the training loss at each), and `work` (samples × parameters that met them).  Where training
    left the numbers, `failed` says so and there is nothing else.
    """
    torch.set_num_threads(1)
    spec = Classifier.model_validate(spec)
    parts = images.load(spec.data, spec.folder).split(spec.seed)
    training, valid, test = ((torch.from_numpy(x), torch.from_numpy(y)) for x, y in parts)
    pruning = None if spec.variant.threshold is None else depth.Pruning(threshold=spec.variant.threshold)
    goal = regulariser(spec.variant, spec.horizon)
    try:
        result = depth.fit(
            build(spec, training[0].shape[1]),
            training,
            valid,
            Settings(
                epochs=spec.epochs,
                batch=spec.batch,
                learning_rate=spec.learning_rate,
                schedule="constant",
                seed=spec.seed,
            ),
            depth.DepthSchedule(pruning=pruning),
            loss=F.cross_entropy,
            optimiser=lambda net: descent(net, spec.learning_rate),
            regulariser=goal,
            checkpoint=folder / "checkpoint.pt",
            identity={"images": spec.digest},
        )
    except SurrogateError as error:
        return {"failed": str(error)}
    net, trace = result.last.eval(), result.trace
    with torch.no_grad():
        said = net(test[0])
        found = {
            "failed": "",
            "accuracy": (said.argmax(-1) == test[1]).double().mean().item(),
            "loss": F.cross_entropy(said, test[1]).item(),
            "regulariser": 0.0 if goal is None else goal(net.time()).item(),
            "valid_loss": trace.valid_loss,
            "horizon": net.time.horizon.item(),
            "steps": _steps(net, spec.layers, trace.events),
            "removed": spec.layers - net.layers,
            "pruned": [
                {
                    "epoch": event.epoch,
                    "share": event.shares[0],
                    "change": event.change,
                    "train_loss": event.train_loss,
                }
                for event in trace.events
            ],
            "work": result.work,
        }
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return found


def _steps(net, layers, events):
    """Steps of the grid in the places that they had at first."""
    left = list(range(1, layers + 1))
    for event in events:
        del left[event.layers[0] - 1]
    present = dict(zip([0, *left], net.time().tolist(), strict=True))
    return [present.get(place) for place in range(layers + 1)]
