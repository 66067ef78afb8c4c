"""Optimisers: how the settings become one of torch's."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import nn

from surrogates.training.settings import Settings

ITERATIONS, EVALUATIONS, PAIRS = 20, 50, 20
"""L-BFGS: iterations and evaluations of an epoch at most, and the curvature pairs that it remembers."""


def adam(net: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba, arXiv 1412.6980), or AdamW (arXiv 1711.05101) on matrices alone, with decay."""
    if settings.weight_decay == 0:
        return torch.optim.Adam(net.parameters(), lr=settings.learning_rate)
    matrices = [value for name, value in net.named_parameters() if name.endswith("weight")]
    others = [value for name, value in net.named_parameters() if not name.endswith("weight")]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def lbfgs(net: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Limited-memory BFGS with strong Wolfe line search (Nocedal and Wright, Numerical Optimization, ch. 7).

    An epoch is one update: at most ``ITERATIONS`` iterations and ``EVALUATIONS`` of loss and gradient, the
    curvature pairs carried from epoch to epoch. ``PAIRS`` of them and the rest of its state are 2·PAIRS + 2
    times as large as the weights, also in a checkpoint. The learning rate is the first step that the line
    search tries: 1, Newton's step, unless there is a reason. torch discards pairs with sᵀy <= 1e-10, so that
    a loss of less than about that is not resolved. Not for data or losses that change from one evaluation to
    the next (fresh noise, dropout): differences of gradients would not be curvature.
    """
    return torch.optim.LBFGS(
        net.parameters(),
        lr=settings.learning_rate,
        max_iter=ITERATIONS,
        max_eval=EVALUATIONS,
        history_size=PAIRS,
        # torch's own limits are absolute, and end an epoch once an iteration gains less than 1e-9.
        tolerance_grad=1e-12,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )


OPTIMISERS: Mapping[str, Callable[[nn.Module, Settings], torch.optim.Optimizer]] = MappingProxyType(
    {"adam": adam, "lbfgs": lbfgs}
)
"""Every optimiser of the settings under its name there."""
