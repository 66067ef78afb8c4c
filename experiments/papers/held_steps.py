"""What the networks of arXiv 2306.16111 have beyond ours: steps of which one is held or none is below a bound, and
fractional nets that begin at rest.
"""

from typing import override

import torch
from torch import Tensor, nn

from surrogates import Fractional, TimeGrid, caputo

LEAST = 1e-4
"""Least step of the fractional nets, that of the authors' public code."""


class Held(TimeGrid):
    """τ_1 = T/L never trains, τ_2 … τ_L do, without bounds: what the authors' public code calls fixed."""

    rule = "held"
    always_positive = False

    def __init__(self, layers: int, horizon: float = 1.0):
        super().__init__()
        start = TimeGrid.fixed(layers, horizon)()
        self.register_buffer("first", start[:1].clone())
        self.steps = nn.Parameter(start[1:].clone())
        self.layers = layers

    @override
    def forward(self) -> Tensor:
        return torch.cat((self.first, self.steps))


class Bounded(TimeGrid):
    """τ_l = max(θ_l, ε), ε = `LEAST`: the steps themselves are trained, and stay where a power of them exists.

    For `Projected` descent, which keeps θ_l ≥ ε: below, the derivative is zero and a step would stay for ever.
    Until then a step moves as under `TimeGrid.free`; under `TimeGrid.positive` plain descent would move it at the
    rate times the square of the step, 0.01 where T = 1.
    """

    rule = "bounded"

    def __init__(self, layers: int, horizon: float = 1.0):
        super().__init__()
        self.steps = nn.Parameter(TimeGrid.fixed(layers, horizon)().clone())
        self.layers = layers

    @override
    def forward(self) -> Tensor:
        # not clamp, whose derivative is zero at the bound itself, where projection leaves a step
        return torch.where(self.steps < LEAST, LEAST, self.steps)


class Projected(torch.optim.SGD):
    """θ ← θ − η g, then, where a group of parameters has `least`, θ ← max(θ, least)."""

    @override
    def step(self, closure=None):
        found = super().step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                if group.get("least") is not None:
                    for parameter in group["params"]:
                        parameter.clamp_(min=group["least"])
        return found


def descent(net: nn.Module, rate: float) -> torch.optim.Optimizer:
    """Plain gradient descent in all that trains, projected for `Bounded` steps."""
    steps = list(net.time.parameters()) if isinstance(net.time, Bounded) else []
    others = [value for value in net.parameters() if all(value is not step for step in steps)]
    groups = [{"params": others}]
    if steps:
        groups.append({"params": steps, "least": LEAST})
    return Projected(groups, lr=rate)


class FromRest(Fractional):
    """A fractional net whose lift is its first layer, from the state 0, as in the authors' public code:

        y_1 = c_1 σ(K_1 x + b_1),    y_l = y_{l−1} + c_l σ(K_l y_{l−1} + b_l) − Σ_{j<l} a_{l,j} d_j,    d_1 = y_1,

    (a, c) = caputo.memory of the whole grid.  A `Fractional` with a timed lift has y_1 = τ_1 σ(…) instead, and a
    memory that begins there.  (The authors' code leaves a out of the derivative by τ, here it is exact.)  Made with
    `timed_lift=True`; `states` and `integrate` begin at y_1.  Layer by layer: not for deep nets.
    """

    @override
    def lift(self, x):
        step = self.time()[:1]
        return super().lift(x) * (caputo.gamma_function(2 - self.order) * step ** (self.order - 1))

    @override
    def integrate(self, start, source=None):
        a, c = caputo.table(self.time(), self.order)
        states, increments = [start], [start]
        for layer, (weight, bias) in enumerate(
            zip(self.layer_weights(), self.layer_biases(), strict=True), 1
        ):
            field = self.activation(self.affine(states[-1], weight, bias))
            made = c[layer] * field - torch.tensordot(a[layer, :layer], torch.stack(increments), 1)
            increments.append(made if source is None else made + source[layer - 1])
            states.append(states[-1] + increments[-1])
        return torch.stack(states)

    @override
    def last(self, start):
        return self.integrate(start)[-1]
