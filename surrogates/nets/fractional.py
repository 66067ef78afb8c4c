"""Fractional network: the Caputo derivative by the L1 scheme."""

from collections.abc import Callable
from typing import override

import torch
from torch import Tensor

from surrogates import caputo, exponentials
from surrogates.errors import SurrogateError
from surrogates.exponentials import check_tolerance
from surrogates.fields import Field
from surrogates.handwritten import transformed
from surrogates.histories import Exponential
from surrogates.nets.recursive import RecursiveNet
from surrogates.order import Order
from surrogates.time_grid import TimeGrid


class Fractional(RecursiveNet):
    """D^γ y = σ(K(t) y + b(t)) by the L1 scheme, right-hand side lagged: (a, c) = caputo.memory(τ, γ).

    Each state remembers all earlier ones: ∂y_L/∂y_0 contains a multiple of the identity, so gradients do not
    vanish exponentially. γ→1 is the ResNet, γ→0 gives y_l = y_0 + σ(K_l y_{l−1} + b_l). Source: Antil, Khatri,
    Löhner and Verma (arXiv 2004.00719, doi 10.1088/2632-2153/aba8e7); the weights are exact for non-uniform,
    learned steps, and gradients flow through a and c.

    ``order`` is γ ∈ (0, 1): a number, which is not trained, or an ``Order`` (``Order.learned(0.5)`` trains).

    ``exponentials`` is None for the exact memory, L²/2 multiply–adds per entry of a state in blocks that double,
    or a tolerance ε for ``exponentials.table``: every entry of a within ε of itself, and cost and storage
    linear in L. It pays from about 200 layers. ``torch.func`` transforms, ``torch.compile`` and exported programs,
    which allow no decision by value, use the exact memory all the same.

    Refuses a grid whose steps may turn negative. A layer whose step is exactly 0, as ``depth.insert`` makes it,
    does nothing, and gradients leave it there (``caputo.table_at_rest``). Not for nets where memory brings nothing
    (shallow, well conditioned): a ResNet is cheaper by the history product.
    """

    positive_steps_only = True

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        time: TimeGrid,
        order: float | Order = 0.5,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        generator: torch.Generator | None = None,
        *,
        field: Field | None = None,
        timed_lift: bool = False,
        segment: int | None = None,
        exponentials: float | None = None,
    ):
        if isinstance(order, Tensor):
            raise SurrogateError(
                f"Fractional takes its order as a number or as an Order, but was given a tensor of shape "
                f"{tuple(order.shape)}: Order.learned(0.5) is an order that trains"
            )
        if not isinstance(order, Order):
            caputo.check_order(order)
        if exponentials is not None:
            check_tolerance(exponentials)
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
        self.order = order if isinstance(order, Order) else float(order)
        self.exponentials = exponentials

    @override
    def memory(self):
        steps, order = self.steps(), self._order()
        if _at_rest(steps):
            return caputo.table_at_rest(steps, order)
        if self._approximate:
            table = exponentials.expansion(steps, order, self.exponentials)
            return exponentials.dense(table), table.gains
        return caputo.table(steps, order)

    @override
    def history(self):
        steps = self.steps()
        if not self._approximate or _at_rest(steps):
            return super().history()
        table = exponentials.expansion(steps, self._order(), self.exponentials)
        return Exponential(table), table.gains

    @property
    def _approximate(self) -> bool:
        return self.exponentials is not None and not transformed()

    def _order(self) -> float | Tensor:
        return self.order() if isinstance(self.order, Order) else self.order

    @override
    def _extra_parts(self):
        parts = super()._extra_parts()
        if not isinstance(self.order, Order):
            parts.append(f"order={self.order!r}")
        if self.exponentials is not None:
            parts.append(f"exponentials={self.exponentials!r}")
        return parts


def _at_rest(steps: Tensor) -> bool:
    """Whether a layer has a step of exactly 0, as one that was just inserted (``surrogates.depth``)."""
    return not transformed() and not steps.is_meta and bool((steps == 0).any())
