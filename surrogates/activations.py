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
from torch import Tensor, nn

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
        # chosen by comparison: a clamp would lose the slope where rounding takes its argument over the edge
        between = (z + self.epsilon).square() / (4 * self.epsilon)
        return torch.where(z < self.epsilon, torch.where(z > -self.epsilon, between, 0.0), z)

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
class SiLU(Activation):
    """σ(z) = z/(1 + e^{−z}), a smooth ReLU that is not monotone; σ'(z) + σ'(−z) = 1, so 1 − β ≤ σ' ≤ β = 1.0998….

    Also called swish (Elfwing, Uchibe and Doya, arXiv 1702.03118).
    """

    name: ClassVar[str] = "silu"
    # σ''(z) = 0 says u tanh u = 1 for z = 2u, where σ'(z) = (1 + u)/2 with u = 1.19967864025773383392
    slope_bound = 1.0998393201288669

    @override
    def __call__(self, z):
        return F.silu(z)

    @override
    def pull(self, kept, q):
        return torch.ops.aten.silu_backward(q, kept)


@dataclass(frozen=True)
class GELU(Activation):
    """σ(z) = z Φ(z), Φ(z) = (1 + erf(z/√2))/2; σ'(z) + σ'(−z) = 1, so 1 − β ≤ σ' ≤ β = 1.1289….

    The exact function of Hendrycks and Gimpel (arXiv 1606.08415), not its approximation by tanh.
    """

    name: ClassVar[str] = "gelu"
    # σ'' = (2 − z²) φ vanishes at z = √2, where σ' = Φ(√2) + √2 φ(√2)
    slope_bound = (1 + math.erf(1)) / 2 + math.exp(-1) / math.sqrt(math.pi)

    @override
    def __call__(self, z):
        return F.gelu(z)

    @override
    def pull(self, kept, q):
        return torch.ops.aten.gelu_backward(q, kept)


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
    {
        activation.name: activation
        for activation in (Tanh(), ReLU(), SmoothedReLU(), Softplus(), Sine(), SiLU(), GELU())
    }
)
"""Every activation under the name that configuration files use, with its default constants."""

_KNOWN = {
    torch.tanh: Tanh(),
    F.tanh: Tanh(),
    torch.relu: ReLU(),
    F.relu: ReLU(),
    F.softplus: Softplus(),
    torch.sin: Sine(),
    F.silu: SiLU(),
    F.gelu: GELU(),
}


def of(function: Callable[[Tensor], Tensor]) -> Activation:
    """Return the activation that a function stands for; what is one already is returned as it is.

    A function that torch does not have a name for is tried on a few numbers: it must act entry by entry and give
    the same again. Raises ``SurrogateError`` for one that does not, that is no function, or that has parameters,
    which no net would train.
    """
    if isinstance(function, Activation):
        return function
    if isinstance(function, type) or not callable(function):
        raise SurrogateError(
            f"an activation must be a function of one tensor, such as torch.tanh, or one of "
            f"surrogates.activations, such as Tanh(), but is {function!r}"
        )
    try:
        known = _KNOWN.get(function)
    except TypeError:  # a callable that cannot be hashed
        known = None
    if known is None:
        _try(function)
    return known or Elementwise(function)


def _try(function):
    name = getattr(function, "__name__", type(function).__name__)
    if isinstance(function, nn.Module) and (
        any(True for _ in function.parameters()) or any(True for _ in function.buffers())
    ):
        raise SurrogateError(
            f"the activation {name} has parameters or buffers of its own, which no net would train, move or save: "
            "give a function without"
        )
    z = torch.linspace(-2, 2, 64)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            once, again = function(z.clone()), function(z.clone())
            apart = torch.cat([function(part.clone()) for part in z.split(1)])
        except Exception as error:
            raise SurrogateError(
                f"the activation {name} cannot be applied to a vector of numbers ({error}): give a function of one "
                "tensor that acts entry by entry"
            ) from error
    # to some units of rounding: vector instructions and their remainders differ by so much
    if once.shape != z.shape or not all(
        torch.allclose(once, other, rtol=1e-5, atol=1e-6, equal_nan=True) for other in (again, apart)
    ):
        raise SurrogateError(
            f"the activation {name} does not act entry by entry, or gives another result each time: a layer field "
            "and its derivative are defined for neither"
        )
