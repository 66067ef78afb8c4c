"""The exact constraint Σ τ_l = T by elimination: a time rule whose last step is what the others leave."""

from typing import override

import torch
from torch import Tensor, nn

from surrogates.time_grid import TimeGrid


class Dependent(TimeGrid):
    """τ_1 … τ_{L−1} are parameters, τ_L = T − Σ_{l<L} τ_l depends on them: the horizon is T whatever they are.

    The last step is computed within autograd, so that a parameter sees the derivative on the constraint,

        dJ/dτ_l = ∂J/∂τ_l − ∂J/∂τ_L,    l < L,

    and a point where all of them vanish is a stationary point of J among all grids of horizon T, as it is for
    ``TimeGrid.simplex`` where all steps are positive. Steps may turn negative, the last one above all, on which
    every update of the others falls: not for fractional nets, where ``simplex`` keeps the same horizon. A layer
    that is pruned leaves its step to the last one. With L = 1 nothing trains. T is a buffer, ``total``. Source:
    Herberg, Herzog and Köhne (arXiv 2306.16111).

    Raises ``SurrogateError`` for a number of layers or a horizon that ``TimeGrid.free`` refuses.
    """

    rule = "dependent"
    always_positive = False

    def __init__(self, layers: int, horizon: float = 1.0):
        super().__init__()
        start = TimeGrid.free(layers, horizon)().detach()
        self.register_buffer("total", torch.as_tensor(float(horizon), dtype=start.dtype))
        self.steps = nn.Parameter(start[:-1].clone())
        self.layers = layers

    @override
    def forward(self) -> Tensor:
        left = self.total - self.steps.sum(-1)
        return torch.cat((self.steps, left.unsqueeze(-1)), -1)
