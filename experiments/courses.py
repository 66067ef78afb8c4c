"""The course of a training: so many epochs or a budget of work, at one depth or at a changing one."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from experiments.errors import StudyError
from experiments.specs import GrowthSpec, RunSpec
from surrogates import depth, training

CHOICES = {"largest": depth.Largest, "smallest": depth.Smallest, "drawn": depth.Drawn}


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a training left.  net : of least validation loss.  work : samples × weights, events and all.

    layer_evaluations : layers × samples, over all epochs.
    """

    net: nn.Module
    best_epoch: int
    best_loss: float
    epochs: int
    trace: dict[str, Any]
    work: float
    layer_evaluations: float


def weights(net: nn.Module) -> int:
    """Numbers that the samples meet: all parameters."""
    return sum(value.numel() for value in net.parameters())


def epochs(spec: RunSpec, net: nn.Module, samples: int) -> int:
    """Passes over the training samples: those asked for, or as many as the budget buys at this depth.

    Where the depth changes, `surrogates.depth.fit` counts anew after each event.
    """
    if spec.budget is None:
        return spec.epochs
    passes = int(spec.budget // (samples * weights(net)))
    if passes < 1:
        raise StudyError(
            f"budget is {spec.budget:g}, but one pass of {samples} samples through {weights(net)} weights takes "
            f"{samples * weights(net):g}; give more, or fewer layers."
        )
    return passes


def schedule(spec: RunSpec) -> depth.DepthSchedule | None:
    """The schedule of depth as an object; None for a run of one depth."""
    if spec.depth is None:
        return None
    pruning = spec.depth.pruning and depth.Pruning(**spec.depth.pruning.model_dump())
    return depth.DepthSchedule(
        growth=spec.depth.growth and _growth(spec.depth.growth, spec.seed),
        pruning=pruning,
        shallowest=spec.depth.shallowest,
        deepest=spec.depth.deepest,
    )


def _growth(spec: GrowthSpec, seed: int) -> depth.Growth | depth.Splitting:
    if spec.by == "halving":
        return depth.Splitting(every=spec.every, times=spec.times, count=spec.count, samples=spec.samples)
    choice = depth.Drawn(seed) if spec.choice == "drawn" else CHOICES[spec.choice]()
    return depth.Growth(**spec.model_dump(exclude={"by", "choice"}), choice=choice)


def regulariser(spec: RunSpec) -> depth.Regulariser | None:
    """The sum of the regularisers that have a weight; None where none has."""
    given = spec.regularisers
    if given is None:
        return None
    terms = [depth.Horizon(given.horizon, spec.horizon)] if given.horizon else []
    terms += [depth.Magnitude(given.magnitude)] if given.magnitude else []
    terms += [depth.Squares(given.squares)] if given.squares else []
    return sum(terms[1:], terms[0]) if terms else None


def fit(
    spec: RunSpec,
    net: nn.Module,
    data: Any,
    settings: training.Settings,
    checkpoint: Path,
    identity: Mapping[str, Any],
    progress: Callable[[Any], None] | None = None,
) -> Outcome:
    """Train one net on its `TrainingData`, or continue; the net that is given may be left untrained."""
    common = {"checkpoint": checkpoint, "identity": identity, "progress": progress}
    common["regulariser"] = regulariser(spec)
    if spec.depth is None:
        return same_depth(training.fit(net, data, data.valid, settings, **common), net, len(data))
    found = depth.fit(net, data, data.valid, settings, schedule(spec), budget=spec.budget, **common)
    trace, best = found.trace, (found.best_epoch, found.best_loss, found.epochs)
    return Outcome(found.net, *best, asdict(trace), found.work, float(sum(trace.depth) * len(data)))


def same_depth(result: training.Result, net: nn.Module, samples: int) -> Outcome:
    """The outcome of a training whose net kept its depth."""
    passes = len(result.trace.train_loss)
    work, layers = weights(net) * samples * passes, net.layers * samples * passes
    best = (result.best_epoch, result.best_loss, passes)
    return Outcome(net, *best, asdict(result.trace), float(work), float(layers))
