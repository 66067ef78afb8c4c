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

from surrogates.errors import SurrogateError
from surrogates.losses import mse
from surrogates.nets.base import LayeredNet
from surrogates.training import checkpoint as checkpoints
from surrogates.training.settings import Settings
from surrogates.training.trace import EpochState, Result, Trace

Pair = tuple[Tensor, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


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
) -> Result:
    """Train the net by mini-batches and leave it with the weights of least validation loss.

    ``train`` is a pair x (n, inputs), y (n, outputs), or a function epoch -> pair, called with 0, 1, …: fresh
    noise in each epoch. It must depend on the epoch alone, or a resumed run will differ. ``valid`` is a pair,
    evaluated whole after each epoch. Data must be on the net's device and of its dtype.

    The optimiser is Adam, or AdamW when the settings ask for weight decay; ``optimiser(net)`` may return any
    torch optimiser instead, with its own decay and learning rates (which the schedule still scales). Its
    state lives from the first epoch to the last.

    ``checkpoint`` names a file that holds everything: weights, best weights, optimiser, sampling generator,
    epoch, trace, settings. With ``resume`` an existing one is continued, and the outcome is that of the
    uninterrupted run bit for bit on the same machine, whatever the moment of interruption; a finished one
    returns at once. It is written after an epoch when ``checkpoint_seconds`` have passed since the last time,
    and at the end: by the clock, so that a kill costs a few seconds whether an epoch takes a millisecond or a
    minute.

    ``identity`` says what else the run depends on, above all which data it sees (plain values): a checkpoint of
    another identity is refused, as one of other settings is.

    Raises ``SurrogateError`` for NaN or infinity in the data, for a checkpoint that is damaged or belongs to
    another net or other settings, and for a loss or gradient that is not finite: it names the epoch, the
    first layer that is not finite, the steps and the last good checkpoint, and leaves the net as it was then.
    Not for data that do not fit in memory.
    """
    began = time.perf_counter()
    path = None if checkpoint is None else Path(checkpoint)
    _check_pair("valid", valid)
    if not callable(train):
        _check_pair("train", train)
    optimise = _adam(net, settings) if optimiser is None else optimiser(net)
    rates = [group["lr"] for group in optimise.param_groups]
    course = {**asdict(settings), "optimiser": type(optimise).__name__, "rates": rates, **(identity or {})}
    sampler = torch.Generator().manual_seed(settings.seed)
    trace, epoch, best_epoch, best_loss, best = Trace(steps=_steps(net)), 0, 0, math.inf, _cloned(net)
    if path is not None and resume and path.exists():
        content = checkpoints.load(path, next(net.parameters()).device)
        checkpoints.check(path, content, net, course)
        net.load_state_dict(content["weights"])
        optimise.load_state_dict(content["optimiser"])
        sampler.set_state(content["sampler"].cpu())
        trace, best = Trace(**content["trace"]), content["best"]
        epoch, best_epoch, best_loss = content["epoch"], content["best_epoch"], content["best_loss"]

    saved, was_training = time.monotonic(), net.training
    while epoch < settings.epochs:
        x, y = train(epoch) if callable(train) else train
        if callable(train):
            _check_pair(f"train({epoch})", (x, y))
        for group, rate in zip(optimise.param_groups, rates, strict=True):
            group["lr"] = rate * settings.rate(epoch)
        try:
            losses, norms, clipped = _run_epoch(net, x, y, settings, loss, optimise, sampler)
            valid_loss = _validate(net, valid, loss)
        except _NotFiniteError as error:
            known = "no checkpoint was written" if path is None or not path.exists() else f"last good: {path}"
            raise SurrogateError(f"training stopped in epoch {epoch + 1}: {error}; {known}") from None
        epoch += 1
        trace.train_loss.append(losses)
        trace.valid_loss.append(valid_loss)
        trace.learning_rate.append(optimise.param_groups[0]["lr"])
        trace.gradient_norm.append(norms)
        trace.clipped.append(clipped)
        trace.steps.extend(_steps(net))
        if valid_loss < best_loss:
            best_epoch, best_loss, best = epoch, valid_loss, _cloned(net)
        due = epoch == settings.epochs or time.monotonic() - saved >= checkpoint_seconds
        if path is not None and due:  # before the callbacks: one that raises does not cost the epoch
            checkpoints.save(
                path,
                {
                    "architecture": checkpoints.architecture(net),
                    "settings": course,
                    "weights": net.state_dict(),
                    "best": best,
                    "optimiser": optimise.state_dict(),
                    "sampler": sampler.get_state(),
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
    return Result(best_epoch, best_loss, epoch, trace, time.perf_counter() - began)


class _NotFiniteError(Exception):
    """A loss or gradient that is not finite; the text says where it began."""


def _run_epoch(net, x, y, settings, loss, optimise, sampler) -> tuple[float, float, float]:
    """One pass in a new random order; returns mean loss, mean gradient norm and share of clipped updates."""
    net.train()
    batches = torch.randperm(len(x), generator=sampler).to(x.device).split(settings.batch)
    total, norms, clipped = 0.0, 0.0, 0
    for batch in batches:
        value, norm = _update(net, x[batch], y[batch], settings, loss, optimise)
        total += value * len(batch)
        norms += norm
        clipped += settings.clip is not None and norm > settings.clip
    return total / len(x), norms / len(batches), clipped / len(batches)


def _update(net, x, y, settings, loss, optimise) -> tuple[float, float]:
    """One optimiser step; returns loss and gradient norm at the weights it started from."""
    seen = []

    def closure():  # the form that line-search optimisers need, and all others accept
        optimise.zero_grad()
        value = loss(net(x), y)
        if not math.isfinite(value.item()):
            raise _NotFiniteError(_where(net, x, "the loss"))
        value.backward()
        gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if not math.isfinite(norm.item()):
            raise _NotFiniteError(_where(net, x, "the gradient"))
        if settings.clip is not None:
            nn.utils.clip_grads_with_norm_(net.parameters(), settings.clip, norm)
        seen.append((value.item(), norm.item()))
        return value

    optimise.step(closure)
    return seen[0]


@torch.no_grad()
def _validate(net, valid, loss) -> float:
    net.eval()
    x, y = valid
    value = loss(net(x), y).item()
    if not math.isfinite(value):
        raise _NotFiniteError(_where(net, x, "the validation loss"))
    return value


@torch.no_grad()
def _where(net, x, what) -> str:
    if not isinstance(net, LayeredNet):
        return f"{what} is not finite"
    bad = (~net.states(x).isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
    steps = ", ".join(f"{step:.4g}" for step in net.time().tolist())
    layer = f"first in the state of layer {bad[0]}" if bad else "though every layer's state is"
    return f"{what} is not finite, {layer} (time steps {steps}); try a smaller learning rate or clip"


def _adam(net: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    if settings.weight_decay == 0:
        return torch.optim.Adam(net.parameters(), lr=settings.learning_rate)
    matrices = [value for name, value in net.named_parameters() if name.endswith("weight")]
    others = [value for name, value in net.named_parameters() if not name.endswith("weight")]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def _check_pair(name: str, pair: Any) -> None:
    if (
        not isinstance(pair, tuple | list)
        or len(pair) != 2
        or not all(isinstance(part, Tensor) for part in pair)
    ):
        raise SurrogateError(f"{name} must be a pair of tensors (x, y), but is {type(pair).__name__}")
    x, y = pair
    if x.ndim < 1 or y.ndim < 1 or len(x) != len(y) or len(x) == 0:
        raise SurrogateError(
            f"{name} must hold as many inputs as targets, at least one, but has shapes {tuple(x.shape)} and "
            f"{tuple(y.shape)}"
        )
    for part, values in (("inputs", x), ("targets", y)):
        bad = (~values.isfinite().flatten(1).all(1)) if values.ndim > 1 else ~values.isfinite()
        if bad.any():
            raise SurrogateError(
                f"{name}: NaN or infinity in the {part} of {int(bad.sum())} of {len(bad)} samples, first in "
                f"sample {int(bad.nonzero()[0])}: repair or leave out those samples"
            )


def _steps(net: nn.Module) -> list[list[float]]:
    """The present steps as one row of the trace; no row for a net without a time grid."""
    if not isinstance(net, LayeredNet):
        return []
    with torch.no_grad():
        return [net.time().tolist()]


def _cloned(net: nn.Module) -> dict[str, Tensor]:
    # state_dict() returns the live tensors: without a copy the "best" weights would go on training.
    return copy.deepcopy({name: value.detach() for name, value in net.state_dict().items()})
