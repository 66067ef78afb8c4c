"""Training of a net whose depth changes: the existing trainer epoch by epoch, and events between them."""

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from surrogates import training
from surrogates.depth import events
from surrogates.depth.adam import adam
from surrogates.depth.insertion import insert, split
from surrogates.depth.pruning import prune
from surrogates.depth.record import DepthResult, DepthState, DepthTrace, Event
from surrogates.depth.schedule import DepthSchedule, Growth, Splitting
from surrogates.errors import StoppedError, SurrogateError
from surrogates.losses import mse
from surrogates.nets.base import LayeredNet
from surrogates.training import checkpoint as checkpoints
from surrogates.training.door import check_pair, real
from surrogates.training.optimisers import OPTIMISERS
from surrogates.training.settings import Settings, check_settings
from surrogates.training.update import Loss

Pair = tuple[Tensor, Tensor]


class Callback(Protocol):
    """An object that ``fit`` calls after every epoch and its events; an exception from it ends the training."""

    def on_epoch(self, state: DepthState) -> None:
        """Look at the state after an epoch."""


def fit(
    net: nn.Module,
    train: Pair | Callable[[int], Pair],
    valid: Pair,
    settings: Settings,
    schedule: DepthSchedule,
    *,
    budget: float | None = None,
    loss: Loss = mse,
    optimiser: Callable[[nn.Module], torch.optim.Optimizer] | None = None,
    regulariser: Callable[[Tensor], Tensor] | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 10.0,
    resume: bool = True,
    identity: Mapping[str, Any] | None = None,
    progress: Callable[[DepthState], None] | None = None,
) -> DepthResult:
    """Train a net by ``training.fit`` and change its depth between epochs as the schedule says.

    The net that is given stays as it is; the result has the best one and the last one. Settings, data, loss,
    optimiser and regulariser are those of ``training.fit``; the learning rate follows its schedule over all epochs,
    and the optimiser goes on through events with the moments of all numbers that stay; a new one starts with none.
    A net that may grow is trained by ``AdamByEntry``, which corrects their bias by the age of each entry; an
    optimiser of torch's would by the count of steps of the whole tensor, and new layers would move at several
    times the rate at first. Without events the outcome is that of ``training.fit``, bit for bit if no growth is
    planned, else to rounding. Patience counts epochs since the last event. Growing is by sensitivity on the
    training samples that it names (all by default), by J alone, without the regulariser.

    ``budget`` is work W (``DepthTrace.work``: samples × parameters, events too) in the place of the number of
    epochs: the course ends before the first epoch that might exceed it, and no layer comes, nor is a further step
    tried for it, that would leave no epoch for the deeper net. With w spent after e epochs, and k more of c each
    affordable at the present depth, the learning rate is that of place (e + k) w/(w + k c) of e + k epochs: of
    place e in a course without events, as ``training.fit`` has it. So nets of any depth, and those that change it,
    are given the same.

    A net that draws random numbers, as with dropout, draws others in each epoch, but not those of ``training.fit``.

    ``checkpoint`` names one file with everything: a run that was cut and continued is the uninterrupted one bit for
    bit, whatever the depth it had. It belongs to net, settings, schedule, regulariser and ``identity``, and is
    written after an epoch and its events when ``checkpoint_seconds`` have passed, and at the end.

    Costs the trainer's, and for each event that grows an adjoint at twice the depth, five for each layer that is
    steered, and passes for its step, which the trace adds up; and for losses before and after, which it does not.
    Raises ``SurrogateError`` for what the trainer refuses, for several nets at once or an ensemble, whose members
    need not agree on a depth, for L-BFGS, for a schedule that the net cannot follow, and for a checkpoint of
    another run. Sources: Herberg, Herzog and Köhne (arXiv 2306.16111) for pruning; Herberg, Herzog, Köhne, Kreis
    and Schiela (arXiv 2311.15995) for growing.
    """
    began = time.perf_counter()
    _check(net, settings, schedule, budget)
    check_pair("valid", valid)
    path = None if checkpoint is None else Path(checkpoint)
    make = optimiser or optimiser_of(settings, schedule)
    start = copy.deepcopy(net)
    run = _Run(start, make(start), settings, loss, budget)
    course = {
        **settings.plain(),
        "optimiser": type(run.trained.optimiser).__name__,
        "rates": run.rates,
        "depth schedule": repr(schedule),
        **({} if budget is None else {"budget": budget}),
        **({} if regulariser is None else {"regulariser": repr(regulariser)}),
        **(identity or {}),
    }
    belongs = checkpoints.architecture(net)
    if path is not None and resume and path.exists():
        content = checkpoints.load(path, next(net.parameters()).device)
        if "depth" not in content:
            raise SurrogateError(f"{path} is the checkpoint of a training of fixed depth: give another path")
        checkpoints.check(path, content, belongs, course, False)
        run.restore(content, make)

    def keep():
        if path is not None:
            checkpoints.save(path, {"architecture": belongs, "settings": course, **run.content()})

    saved = time.monotonic()
    while run.goes_on() and run.patient():
        now = train(run.epoch) if callable(train) else train
        _check_held(schedule, now)
        run.samples = len(now[0])
        if run.epoch and not run.goes_on():  # a larger set than the last
            keep()
            break
        run.one_epoch(now, valid, regulariser, path)
        run.events(schedule, now, valid)
        over = not (run.goes_on() and run.patient())
        if over or time.monotonic() - saved >= checkpoint_seconds:
            keep()
            saved = time.monotonic()
        state = DepthState(
            run.trained.net, run.epoch, settings.epochs, run.best_epoch, run.best_loss, run.trace
        )
        for callback in callbacks:
            callback.on_epoch(state)
        if progress is not None:
            progress(state)

    last = run.trained.net.train(net.training)
    best = _of_depth(start if start.layers >= run.best_depth else last, run.best_depth)
    best.load_state_dict(run.best)
    ended = "patience" if run.goes_on() else "epochs" if budget is None else "budget"
    seconds = time.perf_counter() - began
    found = run.best_epoch, run.best_loss, run.epoch, ended, run.trained.work
    return DepthResult(best, last, *found, run.trace, seconds)


def optimiser_of(settings: Settings, schedule: DepthSchedule) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """What makes the optimiser of a net: the trainer's, or where layers may be new their Adam by entry."""
    make = OPTIMISERS[settings.optimiser] if schedule.growth is None else adam
    return lambda net: make(net, settings)


class _Run:
    """The state of a training from epoch to epoch."""

    def __init__(
        self,
        net: nn.Module,
        optimiser: torch.optim.Optimizer,
        settings: Settings,
        loss: Loss,
        budget: float | None,
    ):
        self.settings, self.loss, self.budget = settings, loss, budget
        self.trained = events.Trained(net, optimiser, [0] * net.layers, loss)
        self.rates = [group["lr"] for group in optimiser.param_groups]
        self.sampler, self.samples = torch.Generator().manual_seed(settings.seed), 0
        self.trace, self.epoch, self.grown = DepthTrace(), 0, 0
        self.best_epoch, self.best_loss, self.best_depth, self.best = 0, math.inf, net.layers, _cloned(net)

    def goes_on(self) -> bool:
        """Whether another epoch is left, or what is left of the budget suffices for one."""
        if self.budget is None:
            return self.epoch < self.settings.epochs
        return self.trained.work + self.trained.size() * self.samples <= self.budget

    def patient(self) -> bool:
        """Whether the validation loss has improved lately, since the last event at least."""
        changed = max((each.epoch for each in self.trace.events if each.kind != "none"), default=0)
        return not self.settings.out_of_patience(self.trace.valid_loss[changed:])

    def one_epoch(self, train: Pair, valid: Pair, regulariser, path: Path | None) -> None:
        """Let the trainer do one epoch at the learning rate of the whole course; `path` is the checkpoint's."""
        trained, trace = self.trained, self.trace
        if not self.goes_on():
            raise SurrogateError(
                f"budget is {self.budget:g}, but one epoch of this net costs {trained.size() * self.samples:g} "
                "(samples × parameters): give more"
            )
        factor = self.settings.course.factor(*self._place(), trace.valid_loss)
        for group, rate in zip(trained.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        one = replace(self.settings, epochs=1, schedule="constant", patience=None)
        one = replace(one, seed=self.settings.seed + self.epoch)  # for nets that draw, as with dropout
        try:
            done = training.fit(
                trained.net,
                train,
                valid,
                one,
                loss=self.loss,
                optimiser=lambda _: trained.optimiser,
                regulariser=regulariser,
                sampler=self.sampler,
            ).trace
        except StoppedError as error:
            good = path if path is not None and path.exists() else None
            raise StoppedError(self.epoch + 1, error.reason, good) from None
        self.epoch += 1
        count = len(train[0])
        updates = 1 if self.settings.batch is None else -(-count // self.settings.batch)
        trained.work += trained.size() * count * done.evaluations[0] / updates
        for name in ("train_loss", "valid_loss", "learning_rate", "gradient_norm", "regulariser"):
            getattr(trace, name).extend(getattr(done, name))
        trace.depth.append(trained.net.layers)
        trace.steps.append(done.steps[-1] if done.steps else [])
        trace.horizon.append(math.fsum(trace.steps[-1]))
        trace.parameters.append(trained.size())
        trace.work.append(trained.work)
        if trace.valid_loss[-1] < self.best_loss:
            self.best_epoch, self.best_loss = self.epoch, trace.valid_loss[-1]
            self.best_depth, self.best = trained.net.layers, _cloned(trained.net)

    def _place(self) -> tuple[float, int]:
        """Where in the course the next epoch stands, of how many epochs: see ``fit``."""
        if self.budget is None:
            return self.epoch, self.settings.epochs
        work, cost = self.trained.work, self.trained.size() * self.samples
        left = int((self.budget - work) // cost)
        return work * (self.epoch + left) / (work + left * cost), self.epoch + left

    def _affordable(self, growth: Growth | Splitting, room: int | None) -> bool:
        """Whether the budget has room for an insertion and for an epoch of the net that it leaves."""
        if self.budget is None:
            return True
        trained, count = self.trained, growth.count if room is None else min(growth.count, room)
        epoch = events.grown_size(trained.net, count) * self.samples
        return trained.work + events.cost(trained, growth, count, self.samples) + epoch <= self.budget

    def _hopeful(self, growth: Growth | Splitting) -> bool:
        """Whether insertions are left, and the last attempts were not all in vain."""
        if growth.times is not None and self.grown >= growth.times:
            return False
        kinds = [event.kind for event in self.trace.events if event.kind != "prune"]
        vain = next((i for i, kind in enumerate(reversed(kinds)) if kind != "none"), len(kinds))
        patience = growth.patience if isinstance(growth, Growth) else None
        return patience is None or vain < patience

    def events(self, schedule: DepthSchedule, train: Pair, valid: Pair) -> None:
        """Prune and grow, if it is time for either."""
        trained, growth, pruning, found = self.trained, schedule.growth, schedule.pruning, []
        look = pruning is not None and self.epoch > pruning.first and self.epoch % pruning.every == 0
        if look:
            found += events.cut(trained, pruning, schedule.shallowest, self.epoch, train, valid)
        room = None if schedule.deepest is None else schedule.deepest - trained.net.layers
        due = growth is not None and self.epoch % growth.every == 0 and self.goes_on()
        due = due and self._hopeful(growth) and (room is None or room > 0)
        if due and self._affordable(growth, room):
            if isinstance(growth, Growth):
                budget = math.inf if self.budget is None else self.budget
                event = events.grow(trained, growth, room, self.epoch, train, valid, budget)
            else:
                event = events.halve(trained, growth, room, self.epoch, train, valid)
            self.grown += event.kind != "none"
            found.append(event)
        self.trace.events += found

    def content(self) -> dict[str, Any]:
        """Everything that goes on with the run, for a checkpoint."""
        trained = self.trained
        return {
            "depth": trained.net.layers,
            "weights": trained.net.state_dict(),
            "optimiser": trained.optimiser.state_dict(),
            "born": trained.born,
            "work": trained.work,
            "samples": self.samples,
            "sampler": self.sampler.get_state(),
            "trace": asdict(self.trace),
            "epoch": self.epoch,
            "grown": self.grown,
            "best": self.best,
            "best_depth": self.best_depth,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
        }

    def restore(self, content: dict[str, Any], make: Callable[[nn.Module], torch.optim.Optimizer]) -> None:
        """Go on from a checkpoint."""
        net = _of_depth(self.trained.net, content["depth"])
        net.load_state_dict(content["weights"])
        optimiser = make(net)
        optimiser.load_state_dict(content["optimiser"])
        self.trained = events.Trained(net, optimiser, content["born"], self.loss, content["work"])
        self.sampler.set_state(content["sampler"].cpu())
        trace = dict(content["trace"])
        self.trace = DepthTrace(**{**trace, "events": [Event(**each) for each in trace["events"]]})
        for name in ("epoch", "samples", "grown", "best", "best_depth", "best_epoch", "best_loss"):
            setattr(self, name, content[name])


def _check(net, settings, schedule, budget) -> None:
    if isinstance(net, Sequence) or getattr(net, "members", None) is not None:
        raise SurrogateError(
            "depth.fit trains one net, as the members of an ensemble need not agree on a depth: train them singly"
        )
    if not isinstance(getattr(net, "layers", None), int):
        raise SurrogateError(
            f"depth.fit trains a net of layers, but was given a {type(net).__name__}: use a family of "
            "surrogates.FAMILIES, FeedForward or surrogates.depth.Blocks"
        )
    check_settings("depth.fit", settings)
    if not isinstance(schedule, DepthSchedule):
        raise SurrogateError(f"depth.fit needs a DepthSchedule, but schedule={schedule!r}")
    if budget is not None and not (real(budget) and budget > 0):
        raise SurrogateError(f"budget must be None or a number > 0 (samples × parameters), but is {budget!r}")
    if settings.optimiser == "lbfgs":
        raise SurrogateError(
            "depth.fit cannot use L-BFGS, whose memory of all weights does not survive a change of depth: take "
            "optimiser 'adam', or give an optimiser such as SGD"
        )
    growth = schedule.growth
    if isinstance(growth, Growth):
        insert(net, 0)  # what cannot grow says so now
    if isinstance(net, LayeredNet):
        rests = isinstance(growth, Growth) and growth.step == 0
        if rests and (net.positive_steps_only or net.time.always_positive):
            raise SurrogateError(
                f"Growth with step 0 leaves a new layer at rest, and a {type(net).__name__} with {net.time.rule!r} "
                "steps would never wake it: give a step > 0, or TimeGrid.free to a net without memory"
            )
        if isinstance(growth, Splitting):
            split(net, 1)
    elif isinstance(growth, Growth) and growth.held is not None:
        raise SurrogateError(
            f"Growth tries steps on held samples, but a {type(net).__name__} has no time steps: leave held out"
        )
    elif schedule.pruning is not None or not isinstance(growth, Growth | None):
        raise SurrogateError(
            f"a {type(net).__name__} has no time steps, by which layers are split and pruned: leave pruning out "
            "and grow by Growth"
        )


def _check_held(schedule: DepthSchedule, train: Pair) -> None:
    growth = schedule.growth
    if (
        isinstance(growth, Growth)
        and growth.held is not None
        and growth.samples + growth.held > len(train[0])
    ):
        raise SurrogateError(
            f"Growth steers by {growth.samples} samples and tries steps on {growth.held} others, but the training "
            f"set has {len(train[0])}: give fewer of either"
        )


def _of_depth(net: nn.Module, layers: int) -> nn.Module:
    """A net of the same kind with so many layers, whose numbers are still to be loaded."""
    while net.layers > layers:
        net = prune(net, net.layers).net
    while net.layers < layers:
        net = insert(net, net.layers).net
    return copy.deepcopy(net)


def _cloned(net: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy({name: value.detach() for name, value in net.state_dict().items()})
