"""Training of many nets as one batched program."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from surrogates import ensemble
from surrogates.errors import SurrogateError
from surrogates.losses import mse
from surrogates.nets.base import LayeredNet
from surrogates.training import checkpoint as checkpoints
from surrogates.training import randomness
from surrogates.training.door import check_pair
from surrogates.training.ensemble_run import EnsembleRun
from surrogates.training.loop import Callback, Pair, check_trains, scalar
from surrogates.training.members import Samples
from surrogates.training.settings import Settings
from surrogates.training.trace import EpochState, Result
from surrogates.training.update import Loss

Data = Pair | Callable[[int], Pair]


def fit_ensemble(
    nets: Sequence[LayeredNet],
    train: Data | Sequence[Data],
    valid: Pair | Sequence[Pair],
    settings: Settings | Sequence[Settings],
    *,
    loss: Loss = mse,
    callbacks: Sequence[Sequence[Callback]] = (),
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 10.0,
    resume: bool = True,
    identity: Mapping[str, Any] | None = None,
    progress: Callable[[Sequence[EpochState]], None] | None = None,
) -> list[Result | SurrogateError]:
    """Train all nets as one program, each as ``fit`` trains it alone, and leave each with its own best weights.

    The nets are of one architecture (``ensemble.stack``) and may differ in seed, time rule and horizon. Result,
    trace and weights of each are those of ``fit`` to round-off: it has the order of samples of its own seed, and
    its own learning rate, decay, schedule, clip and patience. ``settings``, ``train`` and ``valid`` are one for
    all or a list of one each (noise levels), which takes memory for all its tensors. Epochs and batch, and the
    shapes of the data, must agree. ``loss`` is called under ``torch.func.vmap`` with prediction and target of
    one member, but for ``mse``, which has a path of its own.

    A member whose loss or gradient is not finite does not disturb the others: in the list returned, the
    ``SurrogateError`` that ``fit`` would have raised stands instead of its ``Result``, and its net is left with
    the weights at fault. One that is out of patience is finished then; the run ends with the last member.

    ``callbacks`` are a sequence for each net, called as those of ``fit``; ``progress`` is given the states of all
    members that took part in the epoch. ``checkpoint`` and ``identity`` are as in ``fit``, one file for all: a run
    that was cut and continued is the uninterrupted one bit for bit.

    S members cost little more than one where one does not fill the machine, and S times as much where it does,
    on a CPU from about width 64 and batch 256 on: spread those over processes. Not for L-BFGS, whose line
    search needs one loss, nor for nets that are not layered: ``fit`` trains them one by one. Raises
    ``SurrogateError`` for what ``fit`` refuses before its first step, for nets that are not alike and for
    settings that do not agree. This and any other exception leaves the nets as the last callback saw them.
    """
    began = time.perf_counter()
    path = None if checkpoint is None else Path(checkpoint)
    if not isinstance(nets, Iterable):
        raise SurrogateError(
            f"fit_ensemble trains a list of nets, but was given a {type(nets).__name__}: give [net], or use fit"
        )
    nets = list(nets)
    net, count = ensemble.stack(nets), len(nets)
    check_trains("fit_ensemble", net)
    settings = _each("settings", settings, count, lambda given: isinstance(given, Settings))
    train, valid = (_each(name, data, count, _one) for name, data in (("train", train), ("valid", valid)))
    _agree(settings)
    if callbacks and len(callbacks) != count:
        raise SurrogateError(
            f"fit_ensemble needs a sequence of callbacks for each of {count} nets, but was given {len(callbacks)}"
        )
    fresh = any(map(callable, train))  # each epoch has data of its own
    samples = None if fresh else _samples("train", train)
    loss = loss if loss is mse else scalar(loss)  # which has a path of its own
    run, start = EnsembleRun(net, settings, loss, _samples("valid", valid)), checkpoints.architecture(net)
    course, device = _course(settings, identity or {}), net.lift_weight.device
    with randomness.private(settings[0].seed, device):
        drawn = randomness.state(device)
        if path is not None and resume and path.exists():
            content = checkpoints.load(path, device)
            extensible = all(each.course.extensible for each in settings)
            checkpoints.check(path, content, start, course, extensible)
            run.restore(content)
            drawn = content["randomness"]

        saved = time.monotonic()
        while run.epoch < settings[0].epochs and (members := run.active()):
            randomness.restore(drawn, device)
            if fresh:
                samples = _samples("train", train, run.epoch)
            good = path is not None and path.exists()
            run.one_epoch(samples, f"last good: {path}" if good else "no checkpoint was written")
            drawn = randomness.state(device)
            due = run.epoch == settings[0].epochs or not run.active()
            if path is not None and (due or time.monotonic() - saved >= checkpoint_seconds):
                parts = {
                    "architecture": checkpoints.lasting(start, net),
                    "settings": course,
                    "randomness": drawn,
                }
                checkpoints.save(path, {**parts, **run.content()})
                saved = time.monotonic()
            if callbacks or progress is not None:
                states = run.show(nets, members)
                for index, state in states if callbacks else ():
                    for callback in callbacks[index]:
                        callback.on_epoch(state)
                if progress is not None:
                    progress([state for _, state in states])

    return run.finish(nets, time.perf_counter() - began)


def _each(name: str, given: Any, count: int, one: Callable[[Any], bool]) -> list[Any]:
    """One thing for each net, from one for all or a list."""
    if one(given):
        return [given] * count
    if not isinstance(given, list | tuple) or not all(map(one, given)):
        raise SurrogateError(
            f"fit_ensemble: {name} must be what fit takes, or a list of it, one for each net, but is "
            f"{type(given).__name__}"
        )
    if len(given) != count:
        raise SurrogateError(
            f"fit_ensemble: {name} has {len(given)} entries for {count} nets: give one for each"
        )
    return list(given)


def _one(data: Any) -> bool:
    return callable(data) or (
        isinstance(data, list | tuple) and any(isinstance(part, Tensor) for part in data)
    )


def _agree(settings: Sequence[Settings]) -> None:
    for index, each in enumerate(settings):
        if each.optimiser != "adam":
            raise SurrogateError(
                f"fit_ensemble trains with 'adam', but the settings of net {index + 1} ask for "
                f"{each.optimiser!r}: train one by one with fit"
            )
        for name in ("epochs", "batch"):
            here, first = getattr(each, name), getattr(settings[0], name)
            if here != first:
                raise SurrogateError(
                    f"fit_ensemble updates all nets together, but {name} is {here} for net {index + 1} and "
                    f"{first} for the first: make them agree, or train one by one with fit"
                )


def _samples(name: str, data: Sequence[Data], epoch: int | None = None) -> Samples:
    """The data of all nets, each source asked and checked once."""
    known = {}
    for source in data:
        if id(source) not in known:
            label = f"{name}({epoch})" if callable(source) and name == "train" else name
            pair = source(epoch) if callable(source) and name == "train" else source
            check_pair(label, pair)
            known[id(source)] = pair
    return Samples.of([known[id(source)] for source in data], name)


def _course(settings: Sequence[Settings], identity: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the run, for its checkpoint: one value where all members agree, else a list."""
    plain = [each.plain() for each in settings]
    together = {name: [each[name] for each in plain] for name in plain[0]}
    alike = {
        name: values[0] if all(v == values[0] for v in values) else values
        for name, values in together.items()
    }
    return {**alike, **identity}
