"""Adam for entries of different ages: what a new layer brings begins as in a new optimiser."""

from collections.abc import Callable

import torch
from torch import nn

from surrogates.training.settings import Settings


class AdamByEntry(torch.optim.Optimizer):
    """Adam, decay decoupled, whose averages are corrected by the age of each entry of a tensor.

    For a gradient g, with averages of it, of its square and of the constant 1, all from 0::

        m ← β₁m + (1−β₁)g     v ← β₂v + (1−β₂)g²     a ← β₁a + (1−β₁)     b ← β₂b + (1−β₂)
        θ ← (1−ηλ)θ − η (m/a) / (√(v/b) + ε)

    After k updates a = 1−β₁ᵏ and b = 1−β₂ᵏ, so this is torch's Adam or AdamW to rounding. An entry whose four
    averages are 0 (``Surgery.transplant`` leaves a new one so) is corrected as in its own first updates. By the
    count of steps of its tensor, as torch keeps it, the correction would be that of the old entries: in a net that
    has trained for some thousands, with β = (0.9, 0.999), the first update is (1−β₁)/√(1−β₂) = 3.2 times the rate
    and the tenth 6.5 times.

    Costs four numbers an entry for Adam's two. Source: Kingma and Ba (arXiv 1412.6980), algorithm 1; Loshchilov and
    Hutter (arXiv 1711.05101) for the decay.
    """

    def __init__(self, params, lr: float, betas=(0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable | None = None):
        """Update every parameter that has a gradient."""
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                held = self.state[parameter]
                if not held:
                    for name in ("mean", "mean_age", "square", "square_age"):
                        held[name] = torch.zeros_like(parameter)
                held["mean"].lerp_(gradient, 1 - first)
                held["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
                held["mean_age"].mul_(first).add_(1 - first)
                held["square_age"].mul_(second).add_(1 - second)
                size = (held["square"] / held["square_age"]).sqrt_().add_(group["eps"])
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.addcdiv_(held["mean"] / held["mean_age"], size, value=-group["lr"])
        return value


def adam(net: nn.Module, settings: Settings) -> AdamByEntry:
    """The trainer's Adam, by entry: decay on matrices alone."""
    matrices = [value for name, value in net.named_parameters() if name.endswith("weight")]
    others = [value for name, value in net.named_parameters() if not name.endswith("weight")]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others}]
    return AdamByEntry(groups, lr=settings.learning_rate)
