"""Time grids: the steps τ_1 … τ_L of a network seen as a time discretisation, fixed or learned.

One rule is one small subclass of ``TimeGrid`` below, one constructor and one entry of ``RULES``. Every rule
starts at the same uniform steps T/L, so that nets that differ in the rule alone start as the same function.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surrogates.errors import SurrogateError

# Smallest step (or horizon) that a positive rule can reach, as a share of its initial value. softplus and
# softmax are positive in exact arithmetic only: in float32 they are exactly 0 from about −104 and −104 below
# the largest logit, and then τ^γ has no derivative and 1/τ no value. Mixing in this share of the uniform grid
# keeps each step positive for every finite parameter, without a kink and without moving the start.
FLOOR = 1e-6

# Largest θ that softplus is given, so that a positive step (or horizon) grows to 1.44e6 times its initial value
# and no further: without it, θ near the largest float32 would make a step infinite. Beyond, the derivative is 0.
CEILING = 1e6


class TimeGrid(nn.Module, ABC):
    """L time steps τ_l with t_0 = 0, t_l = t_{l−1} + τ_l and horizon T = t_L.

    Build one with a rule; ``grid()`` gives the steps, differentiable in the rule's parameters:

    ============  =================================================  ==============  ===============
    rule          steps                                              always > 0      horizon
    ============  =================================================  ==============  ===============
    ``fixed``     given, or T/L; no trainable parameter              yes             fixed
    ``free``      the parameters themselves                          no              learned
    ``positive``  (T/L)(ε + (1−ε) softplus(min(θ_l, θ⁺))/ln 2)       yes             learned
    ``simplex``   T(ε/L + (1−ε) softmax(θ)_l), Σ_l τ_l = T           yes             fixed or learned
    ``uniform``   T/L                                                yes             learned
    ============  =================================================  ==============  ===============

    with ε = ``FLOOR`` and θ⁺ = ``CEILING``; a learned horizon of ``simplex`` or ``uniform`` is a positive step.
    ``uniform`` and ``simplex`` take ``positive`` apart: one learns how far, the other where. ``free`` is the rule
    of Antil, Díaz and Herberg (arXiv 2204.08528); learned steps go back to Benning et al. (doi
    10.3934/jcd.2019009). Do not use ``free`` where steps must stay positive (powers of τ, certificates): training
    does drive them below zero in deep nets. Do not compare rules at different horizons without a sweep over T: a
    longer horizon alone changes the net. In each rule but ``uniform`` a layer may be at rest, τ_l = 0 exactly, when
    ``surrogates.depth`` has inserted it and nothing has woken it yet.

    A grid is a module of its own: a net that is given one registers it, and two nets that are given the same
    object train the same steps. Steps come in the grid's dtype and on its device (``grid.to(...)``). Parameters
    and buffers may have a member axis in front (``surrogates.ensemble``), and then steps, times and horizon do.
    """

    rule: ClassVar[str]
    always_positive: ClassVar[bool] = True
    layers: int

    @staticmethod
    def fixed(
        layers: int | None = None, horizon: float = 1.0, *, steps: Sequence[float] | Tensor | None = None
    ) -> "TimeGrid":
        """Steps that never train: uniform (``layers``, ``horizon``) or given (``steps``, all positive)."""
        return _Fixed(layers, horizon, steps)

    @staticmethod
    def free(layers: int, horizon: float = 1.0) -> "TimeGrid":
        """Unconstrained steps: each is a parameter and may turn negative."""
        return _Free(layers, horizon)

    @staticmethod
    def positive(layers: int, horizon: float = 1.0) -> "TimeGrid":
        """Independent positive steps; the horizon is free to move with them."""
        return _Positive(layers, horizon)

    @staticmethod
    def simplex(layers: int, horizon: float = 1.0, *, learn_horizon: bool = False) -> "TimeGrid":
        """Positive steps that share out a horizon, which is fixed unless ``learn_horizon``."""
        return _Simplex(layers, horizon, learn_horizon)

    @staticmethod
    def uniform(layers: int, horizon: float = 1.0) -> "TimeGrid":
        """Equal steps whose sum is learned: one number, without placement of steps."""
        return _Uniform(layers, horizon)

    @abstractmethod
    def forward(self) -> Tensor:
        """Return the steps τ_1 … τ_L, shape (L,)."""

    @property
    def times(self) -> Tensor:
        """The points t_0 = 0, t_1, …, t_L, shape (L+1,); differentiable."""
        return F.pad(self().cumsum(-1), (1, 0))

    @property
    def horizon(self) -> Tensor:
        """T = Σ τ_l, a scalar tensor; differentiable."""
        return self().sum(-1)

    @property
    def learned(self) -> bool:
        """Whether any number of the grid is trainable."""
        return any(parameter.requires_grad for parameter in self.parameters())

    def __repr__(self):
        with torch.no_grad():
            steps = self()
            low, high, horizon = steps.min().item(), steps.max().item(), steps.sum().item()
        spread = f"steps={low:.4g}" if low == high else f"steps={low:.4g}…{high:.4g}"
        kind = "learned" if self.learned else "not trained"
        return f"TimeGrid.{self.rule}(layers={self.layers}, horizon={horizon:.6g}, {spread}, {kind})"


class _Fixed(TimeGrid):
    rule = "fixed"

    def __init__(self, layers, horizon, steps):
        super().__init__()
        if (layers is None) == (steps is None):
            raise SurrogateError(
                "a fixed time grid takes either layers (with a horizon) or steps: give exactly one of them"
            )
        # A buffer, not a plain tensor: it moves with .to() and is saved in state_dict.
        self.register_buffer("steps", _given(steps) if layers is None else _uniform(layers, horizon))
        self.layers = len(self.steps)

    def forward(self):
        return self.steps


class _Free(TimeGrid):
    rule = "free"
    always_positive = False

    def __init__(self, layers, horizon):
        super().__init__()
        self.steps = nn.Parameter(_uniform(layers, horizon))
        self.layers = layers

    def forward(self):
        return self.steps


class _Positive(TimeGrid):
    rule = "positive"

    def __init__(self, layers, horizon):
        super().__init__()
        self.register_buffer("start", _uniform(layers, horizon))
        self.logits = nn.Parameter(torch.zeros_like(self.start))
        self.layers = layers

    def forward(self):
        return self.start * _positive_factor(self.logits)


class _Simplex(TimeGrid):
    rule = "simplex"

    def __init__(self, layers, horizon, learn_horizon):
        super().__init__()
        start = _uniform(layers, horizon)
        self.register_buffer("start", torch.as_tensor(float(horizon), dtype=start.dtype))
        self.logits = nn.Parameter(torch.zeros_like(start))
        self.stretch = nn.Parameter(torch.zeros_like(self.start)) if learn_horizon else None
        self.layers = layers

    def forward(self):
        horizon = self.start if self.stretch is None else self.start * _positive_factor(self.stretch)
        # A layer at rest (``surrogates.depth``) has the logit −∞, and neither a share nor a part of the floor.
        awake = self.logits.isfinite().to(self.logits.dtype)
        floor = FLOOR * awake / awake.sum(-1, keepdim=True)
        return horizon.unsqueeze(-1) * (floor + (1 - FLOOR) * self.logits.softmax(-1))


class _Uniform(TimeGrid):
    rule = "uniform"

    def __init__(self, layers, horizon):
        super().__init__()
        start = _uniform(layers, horizon)
        self.register_buffer("start", torch.as_tensor(float(horizon), dtype=start.dtype))
        self.stretch = nn.Parameter(torch.zeros_like(self.start))
        self.layers = layers

    def forward(self):
        step = self.start / self.layers * _positive_factor(self.stretch)
        return step.unsqueeze(-1).expand(*step.shape, self.layers)


RULES: Mapping[str, Callable[[int, float], TimeGrid]] = MappingProxyType(
    {
        "fixed": TimeGrid.fixed,
        "free": TimeGrid.free,
        "positive": TimeGrid.positive,
        "simplex": TimeGrid.simplex,
        "simplex-horizon": partial(TimeGrid.simplex, learn_horizon=True),
        "uniform": TimeGrid.uniform,
    }
)
"""Every rule under the name that configuration files use, as a constructor (layers, horizon) -> grid."""


def _positive_factor(logits: Tensor) -> Tensor:
    """ε + (1−ε) softplus(min(θ, θ⁺))/ln 2: 1 at θ = 0, exponential below (relative steps), linear above.

    softplus and not exp, because exp overflows to infinity at θ = 89 in float32.
    """
    return FLOOR + (1 - FLOOR) / math.log(2) * F.softplus(logits.clamp(max=CEILING))


def _uniform(layers, horizon) -> Tensor:
    if isinstance(layers, bool) or not isinstance(layers, int) or layers < 1:
        raise SurrogateError(f"a time grid needs a whole number of layers, at least 1, but layers={layers!r}")
    if isinstance(horizon, bool) or not isinstance(horizon, int | float):
        raise SurrogateError(f"a time grid needs a number as its horizon, but horizon={horizon!r}")
    steps = torch.full((layers,), horizon / layers if math.isfinite(horizon) else math.nan)
    if not _all_positive(steps):
        raise SurrogateError(
            f"a time grid needs a positive, finite horizon that {steps.dtype} can divide into {layers} "
            f"steps, but horizon={horizon!r}"
        )
    return steps


def _given(steps) -> Tensor:
    try:
        steps = torch.as_tensor(steps).detach().to(torch.get_default_dtype(), copy=True)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SurrogateError(
            f"the steps of a fixed time grid must be numbers, but steps={steps!r}"
        ) from error
    if steps.ndim != 1 or len(steps) < 1:
        raise SurrogateError(
            f"the steps of a fixed time grid must be a list of at least one number, but their shape is "
            f"{tuple(steps.shape)}"
        )
    if not _all_positive(steps):
        bad = int((~(steps.isfinite() & (steps > 0))).nonzero()[0])
        raise SurrogateError(
            f"the steps of a fixed time grid must be positive and finite, but step {bad + 1} of {len(steps)} "
            f"is {steps[bad].item()!r}"
        )
    return steps


def _all_positive(steps: Tensor) -> bool:
    return bool((steps.isfinite() & (steps > 0)).all())
