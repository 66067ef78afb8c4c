"""The training loop."""

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from surrogates.errors import StoppedError, SurrogateError
from surrogates.losses import mse
from surrogates.nets.base import LayeredNet
from surrogates.order import Order
from surrogates.training import checkpoint as checkpoints
from surrogates.training import randomness
from surrogates.training.door import check_pair
from surrogates.training.optimisers import OPTIMISERS
from surrogates.training.settings import Settings, check_settings
from surrogates.training.trace import EpochState, Result, Trace
from surrogates.training.update import Loss, NotFiniteError, update, validate

Pair = tuple[Tensor, Tensor]


class Callback(Protocol):
    """An object that ``fit`` calls after every epoch; an exception from it ends the training."""

    def on_epoch(self, state: EpochState) -> None:
        """Look at the state after an epoch."""


def fit(
    net: nn.Module,
    train: Pair | Callable[[int], Pair],
    valid: Pair,
    settings: Settings,
    *,
    loss: Loss = mse,
    optimiser: Callable[[nn.Module], torch.optim.Optimizer] | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 10.0,
    resume: bool = True,
    identity: Mapping[str, Any] | None = None,
    progress: Callable[[EpochState], None] | None = None,
    regulariser: Callable[[Tensor], Tensor] | None = None,
    sampler: torch.Generator | None = None,
) -> Result:
    """Train the net by mini-batches and leave it with the weights of least validation loss.

    ``train`` is a pair x (n, inputs), y (n, outputs), or a function epoch -> pair, called with 0, 1, …: fresh
    noise in each epoch. It must depend on the epoch alone, or a resumed run will differ. ``valid`` is a pair,
    evaluated whole after each epoch. Data must be on the net's device and of its dtype.

    The optimiser is that of the settings; ``optimiser(net)`` may return any torch optimiser instead, with its
    own decay and learning rates (which the schedule still scales). Its state lives from the first epoch to
    the last.

    Equal arguments give equal runs bit for bit, on the CPU with as many threads: the order of the samples and
    what modules draw themselves (dropout) follow the settings' seed. torch's global generators are the run's
    own meanwhile and the caller's again afterwards; what callbacks draw from them does not change the run.

    ``checkpoint`` names a file that holds everything: weights, best weights, optimiser, generators, epoch,
    trace, settings (a schedule has no state of its own). With ``resume`` an existing one is continued, and
    the outcome is that of the uninterrupted run bit for bit on the same machine, whatever the moment of
    interruption; a finished one, or one that ran out of patience, returns at once. It is written after an
    epoch when ``checkpoint_seconds`` have passed since the last time, and at the end: by the clock, so that a
    kill costs a few seconds whether an epoch takes a millisecond or a minute.

    ``identity`` says what else the run depends on, above all which data it sees (plain values): a checkpoint of
    another identity is refused, as one of other settings is.

    ``regulariser`` R is a function of the steps of the net's time grid, such as one of ``surrogates.depth``:
    updates minimise loss + R(τ). The trace reports R by itself, and no loss in it contains R, least of all the
    validation loss that chooses the best weights. Its ``repr`` is part of what a checkpoint belongs to.

    ``sampler`` draws the order of the samples instead of a generator of the settings' seed, and is left where the
    run has brought it: runs of some epochs each, one after the other with one sampler, see what one run sees.

    Raises ``SurrogateError`` for NaN or infinity in the data, for a regulariser without a time grid, for a net of
    which nothing trains, for a loss that is no scalar tensor, for a checkpoint that is damaged or belongs to
    another net (also in an order or in what is frozen) or other settings, and for a loss or gradient that is not
    finite: it names the epoch, the first layer that is not finite, the steps and the last good checkpoint. This
    and any other exception leaves the net with the weights it had then, to be looked into; the good ones are in
    the checkpoint. Not for data that do not fit in memory.
    """
    began = time.perf_counter()
    path = None if checkpoint is None else Path(checkpoint)
    check_trains("fit", net)
    check_settings("fit", settings)
    check_pair("valid", valid)
    if not callable(train):
        check_pair("train", train)
    if optimiser is not None and settings.optimiser != "adam":
        raise SurrogateError(
            f"fit was given an optimiser and settings that ask for {settings.optimiser!r}: give one of them"
        )
    if regulariser is not None:
        if not isinstance(net, LayeredNet):
            raise SurrogateError(
                f"fit was given a regulariser of steps, but a {type(net).__name__} has none: leave it out"
            )
        identity = {**(identity or {}), "regulariser": repr(regulariser)}
    optimise = OPTIMISERS[settings.optimiser](net, settings) if optimiser is None else optimiser(net)
    rates = [group["lr"] for group in optimise.param_groups]
    course = {**settings.plain(), "optimiser": type(optimise).__name__, "rates": rates, **(identity or {})}
    sampler = torch.Generator().manual_seed(settings.seed) if sampler is None else sampler
    start, loss = checkpoints.architecture(net), scalar(loss)
    trace, epoch, best_epoch, best_loss, best = Trace(), 0, 0, math.inf, _cloned(net)
    _note_times(trace, net)
    device, was_training = next(net.parameters()).device, net.training
    with randomness.private(settings.seed, device):
        drawn = randomness.state(device)
        if path is not None and resume and path.exists():
            content = checkpoints.load(path, device)
            checkpoints.check(path, content, start, course, settings.course.extensible)
            net.load_state_dict(content["weights"])
            optimise.load_state_dict(content["optimiser"])
            sampler.set_state(content["sampler"].cpu())
            trace, best, drawn = Trace(**content["trace"]), content["best"], content["randomness"]
            epoch, best_epoch, best_loss = content["epoch"], content["best_epoch"], content["best_loss"]

        saved, patient = time.monotonic(), not settings.out_of_patience(trace.valid_loss)
        while epoch < settings.epochs and patient:
            randomness.restore(drawn, device)
            x, y = train(epoch) if callable(train) else train
            if callable(train):
                check_pair(f"train({epoch})", (x, y))
            for group, rate in zip(optimise.param_groups, rates, strict=True):
                group["lr"] = rate * settings.rate(epoch, trace.valid_loss)
            try:
                losses, norms, clipped, evaluations = _run_epoch(
                    net, x, y, settings, loss, optimise, sampler, regulariser
                )
                valid_loss = validate(net, *valid, loss)
            except NotFiniteError as error:
                good = path if path is not None and path.exists() else None
                raise StoppedError(epoch + 1, str(error), good) from None
            epoch += 1
            trace.train_loss.append(losses)
            trace.valid_loss.append(valid_loss)
            trace.learning_rate.append(optimise.param_groups[0]["lr"])
            trace.gradient_norm.append(norms)
            trace.clipped.append(clipped)
            trace.evaluations.append(evaluations)
            _note_times(trace, net)
            if regulariser is not None:
                with torch.no_grad():
                    trace.regulariser.append(regulariser(net.time()).item())
            if valid_loss < best_loss:
                best_epoch, best_loss, best = epoch, valid_loss, _cloned(net)
            drawn, patient = randomness.state(device), not settings.out_of_patience(trace.valid_loss)
            due = epoch == settings.epochs or not patient or time.monotonic() - saved >= checkpoint_seconds
            if path is not None and due:  # before the callbacks: one that raises does not cost the epoch
                checkpoints.save(
                    path,
                    {
                        "architecture": checkpoints.lasting(start, net),
                        "settings": course,
                        "weights": net.state_dict(),
                        "best": best,
                        "optimiser": optimise.state_dict(),
                        "sampler": sampler.get_state(),
                        "randomness": drawn,
                        "trace": asdict(trace),
                        "epoch": epoch,
                        "best_epoch": best_epoch,
                        "best_loss": best_loss,
                    },
                )
                saved = time.monotonic()
            state = EpochState(net, epoch, settings.epochs, best_epoch, best_loss, trace)
            for callback in callbacks:
                callback.on_epoch(state)
            if progress is not None:
                progress(state)

    optimise.zero_grad()
    net.load_state_dict(best)
    net.train(was_training)
    ended = "epochs" if patient else "patience"
    return Result(best_epoch, best_loss, epoch, ended, trace, time.perf_counter() - began)


def _run_epoch(net, x, y, settings, loss, optimise, sampler, regulariser) -> tuple[float, float, float, int]:
    """One pass in a new random order; returns mean loss and gradient norm, share clipped, evaluations."""
    net.train()
    if settings.batch is None:
        value, norm, evaluations = update(net, x, y, loss, settings.clip, optimise, regulariser)
        return value, norm, float(settings.clip is not None and norm > settings.clip), evaluations
    batches = torch.randperm(len(x), generator=sampler).to(x.device).split(settings.batch)
    total, norms, clipped, evaluations = 0.0, 0.0, 0, 0
    for batch in batches:
        value, norm, count = update(net, x[batch], y[batch], loss, settings.clip, optimise, regulariser)
        total += value * len(batch)
        norms += norm
        clipped += settings.clip is not None and norm > settings.clip
        evaluations += count
    return total / len(x), norms / len(batches), clipped / len(batches), evaluations


def check_trains(name: str, net: nn.Module) -> None:
    """Raise ``SurrogateError`` for what has no parameter that trains; ``name`` is that of the caller."""
    if not isinstance(net, nn.Module):
        raise SurrogateError(
            f"{name} trains one net, a torch module, but was given a {type(net).__name__}: give one, or a list "
            "of layered nets to fit_ensemble"
        )
    if not any(parameter.requires_grad for parameter in net.parameters()):
        raise SurrogateError(
            f"{name} was given a {type(net).__name__} of which no parameter trains: let some train with "
            "requires_grad_(True), or use the net as it is"
        )


def scalar(loss: Loss) -> Loss:
    """The loss with a check that its value is one number in a tensor; otherwise it raises ``SurrogateError``."""

    def checked(prediction, target):
        value = loss(prediction, target)
        if not isinstance(value, Tensor) or value.numel() != 1:
            given = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise SurrogateError(
                f"a loss returns one number as a tensor, but this one returned {given} for predictions of shape "
                f"{tuple(prediction.shape)}: take the mean or the sum of it"
            )
        return value

    return checked


@torch.no_grad()
def _note_times(trace: Trace, net: nn.Module) -> None:
    """Add the present steps, and the order if it can be learned, to the trace of a net that has them."""
    if isinstance(net, LayeredNet):
        trace.steps.append(net.time().tolist())
        order = getattr(net, "order", None)
        if isinstance(order, Order) and any(True for _ in order.parameters()):
            trace.order.append(order().item())


def _cloned(net: nn.Module) -> dict[str, Tensor]:
    # state_dict() returns the live tensors: without a copy the "best" weights would go on training.
    return copy.deepcopy({name: value.detach() for name, value in net.state_dict().items()})
