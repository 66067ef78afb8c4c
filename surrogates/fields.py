"""Layer fields f(y) = σ(K y + b): what kind of linear map K is, and how its parameters are laid out.

A field is a frozen object without parameters: the net holds stacks of them, one slice a layer. ``weights``
turns the stack of parameters into the stack of maps that is applied, by operations that autograd follows.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, override

import torch
import torch.nn.functional as F
from torch import Tensor

from surrogates.errors import SurrogateError


class Field(ABC):
    """The linear map of a layer. In shapes, S is the number of members of an ensemble, n the batch.

    ``apply`` is for autograd and has no members; ``into``, ``pull`` and the rest work in place on members,
    without autograd, for the sweeps of the engine.
    """

    name: ClassVar[str]

    @abstractmethod
    def shapes(self, width: int) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """Return the shapes of one layer's weight and bias, and the number of inputs of one entry."""

    def weights(self, parameters: Tensor) -> Tensor:
        """Return the maps that the parameters stand for, leading axes as given."""
        return parameters

    @abstractmethod
    def apply(self, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return K y + b for states (n, width)."""

    def views(self, weights: Tensor, biases: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return for each layer of stacks (L, S, …) the map and the bias as ``into`` reads them, made once."""
        return list(zip(weights.unbind(0), biases.unbind(0), strict=True))

    @abstractmethod
    def into(self, out: Tensor, state: Tensor, views: tuple[Tensor, Tensor]) -> None:
        """Write K y + b for states (S, n, width) into ``out``, which must not overlap the states."""

    @abstractmethod
    def pull(self, p: Tensor, weight: Tensor, out: Tensor) -> None:
        """Add Kᵀ p for p (S, n, width) to ``out``."""

    @abstractmethod
    def gradients(self, p: Tensor, state: Tensor, by_weight: Tensor, by_bias: Tensor) -> None:
        """Write the derivatives of Σ p·(K y + b) in K and b."""


@dataclass(frozen=True)
class Dense(Field):
    """A full matrix: K (width, width), b (width,)."""

    name: ClassVar[str] = "dense"

    @override
    def shapes(self, width):
        return (width, width), (width,), width

    @override
    def apply(self, state, weight, bias):
        return F.linear(state, weight, bias)

    @override
    def views(self, weights, biases):
        return super().views(weights.mT, biases.unsqueeze(-2))

    @override
    def into(self, out, state, views):
        weight, bias = views
        torch.baddbmm(bias, state, weight, out=out)

    @override
    def pull(self, p, weight, out):
        out.baddbmm_(p, weight)

    @override
    def gradients(self, p, state, by_weight, by_bias):
        torch.bmm(p.mT, state, out=by_weight)
        torch.sum(p, -2, out=by_bias)


@dataclass(frozen=True)
class Antisymmetric(Dense):
    """K = W − Wᵀ − γI: eigenvalues −γ + i(real), so y' = σ(K y + b) neither explodes nor forgets (γ small).

    ``damping`` γ ≥ 0 takes the edge off the explicit Euler scheme, which amplifies purely imaginary
    eigenvalues. Source: Haber and Ruthotto, Inverse Problems 34 (2018), doi 10.1088/1361-6420/aa9a90. Half of the
    parameters of W cancel.
    """

    damping: float = 0.0
    name: ClassVar[str] = "antisymmetric"

    def __post_init__(self):
        real = isinstance(self.damping, int | float) and not isinstance(self.damping, bool)
        if not real or not 0 <= self.damping < math.inf:
            raise SurrogateError(f"an antisymmetric field needs damping >= 0, but damping={self.damping!r}")

    @override
    def weights(self, parameters):
        skew = parameters - parameters.mT
        if self.damping == 0:
            return skew
        return skew - self.damping * torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device)


@dataclass(frozen=True)
class Convolution(Field):
    """A 1-D convolution along the receivers: K (channels, channels, kernel), b (channels,), zeros outside.

    The state (width,) is read as (channels, width/channels), channel after channel. ``kernel`` is odd.
    """

    channels: int
    kernel: int = 3
    name: ClassVar[str] = "convolution"

    def __post_init__(self):
        for name, size in {"channels": self.channels, "kernel": self.kernel}.items():
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise SurrogateError(
                    f"a convolution needs a whole number >= 1 for {name}, but {name}={size!r}"
                )
        if self.kernel % 2 == 0:
            raise SurrogateError(f"a convolution needs an odd kernel, but kernel={self.kernel}")

    @override
    def shapes(self, width):
        if width % self.channels:
            raise SurrogateError(
                f"a convolution with {self.channels} channels needs a width that is a multiple of it, but "
                f"width={width}"
            )
        return (self.channels, self.channels, self.kernel), (self.channels,), self.channels * self.kernel

    @override
    def apply(self, state, weight, bias):
        return F.conv1d(self._split(state), weight, bias, padding=self.kernel // 2).reshape(state.shape)

    @override
    def into(self, out, state, views):
        weight, bias = views
        found = self._grouped(F.conv1d, state, weight)
        out.copy_(self._apart(found, len(state)))
        self._split(out).add_(bias[:, None, :, None])

    @override
    def pull(self, p, weight, out):
        out.add_(self._apart(self._grouped(F.conv_transpose1d, p, weight), len(p)))

    @override
    def gradients(self, p, state, by_weight, by_bias):
        found = torch.nn.grad.conv1d_weight(
            self._beside(state),
            (len(p) * self.channels, self.channels, self.kernel),
            self._beside(p),
            padding=self.kernel // 2,
            groups=len(p),
        )
        by_weight.copy_(found.view_as(by_weight))
        torch.sum(self._split(p), (1, 3), out=by_bias)

    def _grouped(self, convolve, state, weight):
        return convolve(
            self._beside(state), weight.flatten(0, 1), padding=self.kernel // 2, groups=len(weight)
        )

    def _split(self, state):
        """(…, width) to (…, channels, receivers), a view."""
        return state.unflatten(-1, (self.channels, state.shape[-1] // self.channels))

    def _beside(self, state):
        """(S, n, width) to (n, S·channels, receivers): members as groups of one convolution."""
        members, batch, width = state.shape
        return state.transpose(0, 1).reshape(batch, members * self.channels, width // self.channels)

    def _apart(self, found, members):
        batch, channels, receivers = found.shape
        return found.view(batch, members, channels // members * receivers).transpose(0, 1)


FIELDS: tuple[type[Field], ...] = (Dense, Antisymmetric, Convolution)
"""Every kind of field; tests run over this list."""
