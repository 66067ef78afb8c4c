"""Activations σ with what the engine's own sweeps need of them: value, slope, and the bound sup|σ'|.

An activation is a small frozen object that is called like a function. ``of`` turns the functions that torch
users write (``torch.tanh``, ``torch.relu``, …) into them; any other function of one tensor, applied entry by
entry, works as well, only slower and without a bound.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, override

import torch
import torch.nn.functional as F
from torch import Tensor

from surrogates.errors import SurrogateError


class Activation(ABC):
    """A function σ of one real variable, applied to each entry.

    ``slope_bound`` is β = sup|σ'|, None where it is not known. The last three methods are for sweeps that
    keep one tensor a layer: ``keep`` gives what the way back will need (it may overwrite z and return it),
    from which ``value`` gives σ(z) and ``pull`` σ'(z)∘q.
    """

    name: ClassVar[str]
    slope_bound: float | None = 1.0

    @abstractmethod
    def __call__(self, z: Tensor) -> Tensor:
        """Return σ(z), differentiable as often as σ is."""

    def keep(self, z: Tensor) -> Tensor:
        """Return what ``value`` and ``pull`` need: here z itself."""
        return z

    def value(self, kept: Tensor) -> Tensor:
        """Return σ(z)."""
        return self(kept)

    @abstractmethod
    def pull(self, kept: Tensor, q: Tensor) -> Tensor:
        """Return σ'(z)∘q in a tensor of its own."""


@dataclass(frozen=True)
class Tanh(Activation):
    """σ(z) = tanh z; σ' = 1 − σ², so the value is kept."""

    name: ClassVar[str] = "tanh"

    @override
    def __call__(self, z):
        return torch.tanh(z)

    @override
    def keep(self, z):
        return z.tanh_()

    @override
    def value(self, kept):
        return kept

    @override
    def pull(self, kept, q):
        return torch.ops.aten.tanh_backward(q, kept)


@dataclass(frozen=True)
class ReLU(Activation):
    """σ(z) = max(z, 0); σ'(0) = 0, as torch has it."""

    name: ClassVar[str] = "relu"

    @override
    def __call__(self, z):
        return torch.relu(z)

    @override
    def keep(self, z):
        return z.relu_()

    @override
    def value(self, kept):
        return kept

    @override
    def pull(self, kept, q):
        return torch.ops.aten.threshold_backward(q, kept, 0)


@dataclass(frozen=True)
class SmoothedReLU(Activation):
    """σ(z) = 0 for z ≤ −ε, (z+ε)²/(4ε) between, z for z ≥ ε: continuously differentiable, 0 ≤ σ' ≤ 1.

    ``epsilon`` ε > 0. The activation of Antil, Khatri, Löhner and Verma (arXiv 2004.00719).
    """

    epsilon: float = 0.1
    name: ClassVar[str] = "smoothed-relu"

    def __post_init__(self):
        real = isinstance(self.epsilon, int | float) and not isinstance(self.epsilon, bool)
        if not real or not 0 < self.epsilon < math.inf:
            raise SurrogateError(f"a smoothed ReLU needs a number epsilon > 0, but epsilon={self.epsilon!r}")

    @override
    def __call__(self, z):
        return self.epsilon * self._slope(z).square() + torch.relu(z - self.epsilon)

    @override
    def pull(self, kept, q):
        return self._slope(kept).mul_(q)

    def _slope(self, z):
        return ((z + self.epsilon) / (2 * self.epsilon)).clamp(0, 1)


@dataclass(frozen=True)
class Softplus(Activation):
    """σ(z) = log(1 + e^z), a smooth max(z, 0); σ' = 1/(1 + e^{−z})."""

    name: ClassVar[str] = "softplus"

    @override
    def __call__(self, z):
        return F.softplus(z)

    @override
    def pull(self, kept, q):
        return torch.sigmoid(kept).mul_(q)


@dataclass(frozen=True)
class Sine(Activation):
    """σ(z) = sin z, for targets that oscillate."""

    name: ClassVar[str] = "sin"

    @override
    def __call__(self, z):
        return torch.sin(z)

    @override
    def pull(self, kept, q):
        return torch.cos(kept).mul_(q)


@dataclass(frozen=True)
class Elementwise(Activation):
    """Any other function that acts entry by entry; the slope comes from autograd, no bound is known."""

    function: Callable[[Tensor], Tensor]
    slope_bound: None = None

    @property
    def name(self):
        """Name of the function."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    @override
    def __call__(self, z):
        return self.function(z)

    @override
    def pull(self, kept, q):
        with torch.enable_grad():
            z = kept.detach().requires_grad_()
            value = self.function(z)
            if not value.requires_grad:  # a constant function
                return torch.zeros_like(q)
            return torch.autograd.grad(value, z, q)[0]


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {activation.name: activation for activation in (Tanh(), ReLU(), SmoothedReLU(), Softplus(), Sine())}
)
"""Every activation under the name that configuration files use, with its default constants."""

_KNOWN = {
    torch.tanh: Tanh(),
    F.tanh: Tanh(),
    torch.relu: ReLU(),
    F.relu: ReLU(),
    F.softplus: Softplus(),
    torch.sin: Sine(),
}


def of(function: Callable[[Tensor], Tensor]) -> Activation:
    """Return the activation that a function stands for; what is one already is returned as it is."""
    if isinstance(function, Activation):
        return function
    if not callable(function):
        raise SurrogateError(
            f"an activation must be a function of one tensor, such as torch.tanh, or one of "
            f"surrogates.activations, but is {function!r}"
        )
    try:
        return _KNOWN.get(function) or Elementwise(function)
    except TypeError:  # a callable that cannot be hashed
        return Elementwise(function)
