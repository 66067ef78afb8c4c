"""The order γ of a fractional derivative as a part of a net: fixed or learned."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from surrogates import caputo
from surrogates.errors import SurrogateError

# A learned order keeps this distance from 0 and 1. There the sigmoid saturates to exactly 0 or 1 in floating
# point, and the memory degenerates: at γ = 1 it is gone (a ResNet), at γ = 0 it holds the first state and
# steps lose all influence. At this distance the table and its derivatives are finite, and the limits are near.
MARGIN = 1e-3


class Order(nn.Module, ABC):
    """The order γ ∈ (0, 1) of a Caputo derivative; ``order()`` gives it as a 0-dimensional tensor.

    ===========  ===============================================  =========
    constructor  γ                                                trained
    ===========  ===============================================  =========
    ``fixed``    as given                                         no
    ``learned``  ε + (1−2ε) sigmoid(θ), exactly ``start`` before  θ
    ===========  ===============================================  =========

    with ε = ``MARGIN``, hence ε ≤ γ ≤ 1−ε for any θ. ``caputo.table`` and ``exponentials.table`` are
    differentiable in γ. A module of its own, as a time grid is: nets that are given one object share the
    order, and it moves, converts and is saved with them. Do not learn it together with the horizon without
    looking at both: the gains are Γ(2−γ) τ^γ, so one can stand in for part of the other.
    """

    @staticmethod
    def fixed(value: float) -> "Order":
        """An order that never trains."""
        return _Fixed(value)

    @staticmethod
    def learned(start: float = 0.5) -> "Order":
        """An order with one trainable parameter; on the object itself, ``learned`` says whether it trains."""
        return _Learned(start)

    @abstractmethod
    def forward(self) -> Tensor:
        """Return γ, a 0-dimensional tensor."""

    def __repr__(self):
        with torch.no_grad():
            value = self().item()
        return f"Order({value:.6g}, {'learned' if self.learned else 'not trained'})"


class _Fixed(Order):
    learned = False

    def __init__(self, value):
        super().__init__()
        # A buffer, not a number: it moves with .to() and is saved in state_dict.
        self.register_buffer("value", _given(value))

    def forward(self):
        return self.value


class _Learned(Order):
    def __init__(self, start):
        super().__init__()
        self.register_buffer("start", _given(start))
        if not MARGIN < self.start < 1 - MARGIN:
            raise SurrogateError(
                f"a learned order keeps the distance {MARGIN} from 0 and 1, but start={start!r}: start "
                "further inside, or fix the order"
            )
        self.logit = nn.Parameter(torch.zeros_like(self.start))

    def forward(self):
        # θ is counted from the logit of the start and the formula written as a difference from it, so that
        # the net starts at exactly the order of its fixed twin.
        origin = ((self.start - MARGIN) / (1 - 2 * MARGIN)).logit()
        moved = (origin + self.logit).sigmoid() - origin.sigmoid()
        return (self.start + (1 - 2 * MARGIN) * moved).clamp(MARGIN, 1 - MARGIN)

    @property
    def learned(self):
        return self.logit.requires_grad


def _given(value) -> Tensor:
    if isinstance(value, Tensor):
        raise SurrogateError(
            f"an order is given as a number, but was a tensor of shape {tuple(value.shape)}: give one "
            "Order to each net"
        )
    caputo.check_order(value)
    found = torch.tensor(float(value))
    caputo.check_order(found)  # 1 − 1e-9 is 1 in float32
    return found
