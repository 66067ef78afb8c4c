"""One update of the weights, and what stops a training: numbers that are not finite."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from surrogates.nets.base import LayeredNet

Loss = Callable[[Tensor, Tensor], Tensor]


class NotFiniteError(Exception):
    """A loss or gradient that is not finite; the text says where it began."""


def update(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    loss: Loss,
    clip: float | None,
    optimiser: torch.optim.Optimizer,
    regulariser: Callable[[Tensor], Tensor] | None = None,
) -> tuple[float, float, int]:
    """One optimiser step; returns loss and gradient norm at the weights it started from, and evaluations.

    With a ``regulariser`` R the step minimises loss + R(τ); the gradient is that of both, the loss is without R.

    Raises ``NotFiniteError``, before the step, where loss or gradient is not finite at those weights. A line
    search also evaluates trial steps, and may well leave the numbers on its way to a good one: there the loss
    is reported as +inf and the gradient as NaN, whatever they were. That pair makes the cubic interpolation
    of ``torch.optim.LBFGS`` bisect towards the start; a NaN loss as it is makes it *extrapolate* (every
    comparison fails) and accept the last of those weights, and +inf with a finite gradient makes the next
    step NaN. An optimiser that searches nothing and accepts such weights is found out by the next update, or
    by the validation of this epoch.

    Costs one host synchronisation per evaluation.
    """
    seen = []

    def closure():  # the form that line-search optimisers need, and all others accept
        optimiser.zero_grad()
        value = loss(net(x), y)
        goal = value if regulariser is None else value + regulariser(net.time())
        goal.backward()
        gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        found = torch.stack((value.detach().reshape(()), norm)).tolist()
        if not all(map(math.isfinite, found)):
            if not seen:
                raise NotFiniteError(where(net, x, "the gradient" if math.isfinite(found[0]) else "the loss"))
            for gradient in gradients:
                gradient.fill_(math.nan)
            goal = torch.full_like(value.detach(), math.inf)
        elif clip is not None:
            nn.utils.clip_grads_with_norm_(net.parameters(), clip, norm)
        seen.append(found)
        return goal

    optimiser.step(closure)
    return *seen[0], len(seen)


@torch.no_grad()
def validate(net: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> float:
    """Return the loss in evaluation mode; raises ``NotFiniteError``."""
    net.eval()
    value = loss(net(x), y).item()
    if not math.isfinite(value):
        raise NotFiniteError(where(net, x, "the validation loss"))
    return value


@torch.no_grad()
def where(net: nn.Module, x: Tensor, what: str) -> str:
    """Say that something is not finite, and in which layer and at which steps that began."""
    if not isinstance(net, LayeredNet):
        return f"{what} is not finite"
    bad = [layer for layer, state in enumerate(net.states(x)) if not state.isfinite().all()]
    steps = ", ".join(f"{step:.4g}" for step in net.time().tolist())
    layer = f"first in the state of layer {bad[0]}" if bad else "though every layer's state is"
    return f"{what} is not finite, {layer} (time steps {steps}); try a smaller learning rate or clip"
