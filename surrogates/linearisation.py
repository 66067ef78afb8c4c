"""Families of nets linearised at their states: the transposed maps of one layer and the order they come in.

A family is linearised by a class of its own, which ``linearise`` finds by the type of the net:
``linearise.register(MyNet)(MyLinearised)`` adds one.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import singledispatch
from typing import override

import torch
from torch import Tensor

from surrogates import caputo
from surrogates.activations import Activation
from surrogates.errors import SurrogateError
from surrogates.nets.base import LayeredNet
from surrogates.nets.recursive import RecursiveNet


class Linearised(ABC):
    """A family at its states y_0 … y_L (L+1, n, state_width), which have no graph.

    ``tables`` holds what the recursion reads, by name: "weight", "bias", "gain" and, with memory, "memory"; a
    tensor or a tuple of tensors. They keep their graph down to steps and parameters, when gradients are on.
    ``widths`` are the entries of y_l that are not padding, l = 0 … L; padding moves nothing and has costate 0.
    Directions and costates have shape (…, n, state_width), several at once in front.
    """

    tables: Mapping[str, Tensor | tuple[Tensor, ...]]
    widths: tuple[int, ...]

    @abstractmethod
    def costates(self, last: Tensor, first: int = 0) -> Tensor:
        """Return p_l = (∂y_L/∂y_l)ᵀ p_L for l = ``first`` … L, (L+1−first, …, n, state_width)."""

    @abstractmethod
    def tangent(self, direction: Tensor, first: int = 0) -> Tensor:
        """Return (∂y_L/∂y_first) v for v = ``direction``: a source at one layer, and what follows from it."""

    @abstractmethod
    def gradients(self, costates: Tensor) -> Mapping[str, Tensor | tuple[Tensor, ...]]:
        """Return the derivatives in ``tables``, laid out alike, from p_0 … p_L (L+1, n, state_width)."""


@singledispatch
def linearise(net: LayeredNet, states: Tensor) -> Linearised:
    """Return the net linearised at its states (L+1, n, state_width), as ``net.states(x)`` gives them.

    Raises ``SurrogateError`` for a net of a family that has no adjoint here, and for an ensemble.
    """
    raise SurrogateError(
        f"a {type(net).__name__} has no exact adjoint: give surrogates.adjoint.linearise.register its class "
        "and the way to linearise it"
    )


@linearise.register(RecursiveNet)
class Recursive(Linearised):
    """y_l = Σ_{k<l} w_{l,k} y_k + c_l σ(K_l y_{l−1} + b_l): ``ResNet`` and ``Fractional``."""

    def __init__(self, net: RecursiveNet, states: Tensor):
        refuse_ensemble(net)
        memory, gains = net.memory()
        self.tables = {"weight": net.layer_weights(), "bias": net.layer_biases(), "gain": gains}
        if memory is not None:
            self.tables["memory"] = memory
        self.widths = (states.shape[-1],) * len(states)
        with torch.no_grad():
            self._field, self._states = net.field, states
            self._gains = gains.detach()
            self._convex = None if memory is None else caputo.convex_weights(memory)
            self._weights = self.tables["weight"].detach()
            parts = zip(states[:-1], self._weights, self.tables["bias"], strict=True)
            affine = torch.stack([net.field.apply(*part) for part in parts])
            self._values, self._slopes = value_and_slope(net.activation, affine)

    @override
    def costates(self, last, first=0):
        p = last.new_empty(len(self._states) - first, *last.shape)
        p[-1] = last
        for k in reversed(range(first, len(self._gains))):
            later = p[k + 1 - first :]
            direct = later[0] if self._convex is None else torch.tensordot(self._convex[k:, k], later, 1)
            p[k - first] = direct + self._gains[k] * self._transposed(k, self._slopes[k] * later[0])
        return p

    @override
    def tangent(self, direction, first=0):
        v = direction.new_empty(len(self._states) - first, *direction.shape)
        v[0] = direction  # of y_first; earlier states do not move
        for k in range(first, len(self._gains)):
            before = v[: k + 1 - first]
            direct = before[-1]
            if self._convex is not None:
                direct = torch.tensordot(self._convex[k, first : k + 1], before, 1)
            v[k + 1 - first] = direct + self._gains[k] * self._slopes[k] * self._applied(k, before[-1])
        return v[-1]

    @override
    def gradients(self, costates):
        weight, bias = (torch.empty_like(self.tables[name]) for name in ("weight", "bias"))
        for k, p in enumerate(costates[1:]):
            q = self._gains[k] * self._slopes[k] * p
            self._field.gradients(q[None], self._states[k][None], weight[k][None], bias[k][None])
        found = {"weight": weight, "bias": bias, "gain": (costates[1:] * self._values).sum((1, 2))}
        if self._convex is not None:
            increments = self._states.diff(dim=0).flatten(1)
            found["memory"] = -(costates[1:].flatten(1) @ increments.mT).tril(-1)
        return found

    def _applied(self, k: int, direction: Tensor) -> Tensor:
        """K_{k+1} v."""
        flat = direction.reshape(-1, direction.shape[-1])
        no_bias = torch.zeros_like(self.tables["bias"][k])
        return self._field.apply(flat, self._weights[k], no_bias).view(direction.shape)

    def _transposed(self, k: int, p: Tensor) -> Tensor:
        """K_{k+1}ᵀ p."""
        flat = p.reshape(1, -1, p.shape[-1])
        found = torch.zeros_like(flat)
        self._field.pull(flat, self._weights[k][None], found)
        return found.view(p.shape)


def value_and_slope(activation: Activation, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return σ(z) and σ'(z), entry by entry."""
    kept = activation.keep(z.clone())
    return activation.value(kept), activation.pull(kept, torch.ones_like(z))


def refuse_ensemble(net: LayeredNet) -> None:
    """Raise ``SurrogateError`` for an ensemble."""
    if net.members is not None:
        raise SurrogateError(
            f"the adjoint is that of one net, but this {type(net).__name__} is an ensemble of {net.members}: "
            "take its members one by one"
        )
