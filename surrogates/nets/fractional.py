"""Fractional network: the Caputo derivative by the L1 scheme."""

from collections.abc import Callable

import torch
from torch import Tensor

from surrogates import caputo
from surrogates.fields import Field
from surrogates.nets.recursive import RecursiveNet
from surrogates.time_grid import TimeGrid


class Fractional(RecursiveNet):
    """D^γ y = σ(K(t) y + b(t)) by the L1 scheme, right-hand side lagged: (a, c) = caputo.memory(τ, γ).

    Each state remembers all earlier ones: ∂y_L/∂y_0 contains a multiple of the identity, so gradients do not
    vanish exponentially. γ→1 is the ResNet, γ→0 gives y_l = y_0 + σ(K_l y_{l−1} + b_l). Cost O(L²). Source:
    Antil, Khatri, Löhner and Verma (arXiv 2004.00719, doi 10.1088/2632-2153/aba8e7); the weights are exact
    for non-uniform, learned steps, and gradients flow through a and c.

    ``order`` is γ ∈ (0, 1), given and not trained. Refuses a grid whose steps may turn negative. Not for nets
    where memory brings nothing (shallow, well conditioned): a ResNet is cheaper by the history product.
    """

    positive_steps_only = True

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        time: TimeGrid,
        order: float = 0.5,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        generator: torch.Generator | None = None,
        *,
        field: Field | None = None,
        timed_lift: bool = False,
        segment: int | None = None,
    ):
        caputo.check_order(order)
        super().__init__(
            inputs,
            outputs,
            width,
            time,
            activation,
            generator,
            field=field,
            timed_lift=timed_lift,
            segment=segment,
        )
        self.order = float(order)

    def memory(self) -> tuple[Tensor | None, Tensor]:
        """Return (a, c) of the L1 scheme at the present steps."""
        return caputo.table(self.steps(), self.order)

    def _extra_parts(self):
        return [*super()._extra_parts(), f"order={self.order!r}"]
