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
from surrogates.nets.additive import AdditiveDenseNet
from surrogates.nets.base import LayeredNet
from surrogates.nets.concatenating import ConcatenatingDenseNet
from surrogates.nets.recursive import RecursiveNet


class Linearised(ABC):
    """A family at its states y_0 … y_L (L+1, n, state_width), which have no graph, and its weights of that moment.

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
            self._gains = gains.detach().clone()
            self._convex = None if memory is None else caputo.convex_weights(memory)
            self._weights = self.tables["weight"].detach().clone()
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


@linearise.register(AdditiveDenseNet)
class Additive(Linearised):
    """y_l = y_0 + Σ_{i≤l} τ_i σ(K_{l,i} y_{i−1} + b_{l,i}), by source i: p_{i−1} collects from all l ≥ i,

    p_{i−1} = τ_i Σ_{l≥i} K_{l,i}ᵀ (σ'(z_{l,i})∘p_l)    (+ Σ_{l≥1} p_l for i = 1).
    """

    def __init__(self, net: AdditiveDenseNet, states: Tensor):
        refuse_ensemble(net)
        self.tables = {"weight": net.layer_weights(), "bias": net.layer_biases(), "gain": net.steps()}
        self.widths = (states.shape[-1],) * len(states)
        with torch.no_grad():
            self._states, self._gains = states, self.tables["gain"].detach().clone()
            self._weights = [weight.detach().clone() for weight in self.tables["weight"]]
            parts = zip(states[:-1], self._weights, self.tables["bias"], strict=True)
            affine = [
                state @ weight.mT + bias.unsqueeze(-2) for state, weight, bias in parts
            ]  # (L−i+1, n, w)
            self._values, self._slopes = zip(
                *(value_and_slope(net.activation, z) for z in affine), strict=True
            )

    @override
    def costates(self, last, first=0):
        p = last.new_empty(len(self._states) - first, *last.shape)
        p[-1] = last
        for k in reversed(range(first, len(self._gains))):
            later = p[k + 1 - first :]
            through = torch.einsum("lnw,l...nw,lwv->...nv", self._slopes[k], later, self._weights[k])
            p[k - first] = self._gains[k] * through + (later.sum(0) if k == 0 else 0)
        return p

    @override
    def tangent(self, direction, first=0):
        v = direction.new_zeros(len(self._states) - first, *direction.shape)
        v[:] = direction if first == 0 else 0
        v[0] = direction
        for k in range(first, len(self._gains)):
            moved = torch.einsum("lnw,lwv,...nv->l...nw", self._slopes[k], self._weights[k], v[k - first])
            v[k + 1 - first :] += self._gains[k] * moved
        return v[-1]

    @override
    def gradients(self, costates):
        weight, bias, gain = [], [], []
        for k, step in enumerate(self._gains):
            q = step * self._slopes[k] * costates[k + 1 :]
            weight.append(q.mT @ self._states[k])
            bias.append(q.sum(-2))
            gain.append(torch.sum(costates[k + 1 :] * self._values[k]))
        return {"weight": tuple(weight), "bias": tuple(bias), "gain": torch.stack(gain)}


@linearise.register(ConcatenatingDenseNet)
class Concatenating(Linearised):
    """y_l = [y_{l−1}, τ_l σ(K_l y_{l−1} + b_l)]; with p_l = [o, n], p_{l−1} = o + τ_l K_lᵀ (σ'∘n)."""

    def __init__(self, net: ConcatenatingDenseNet, states: Tensor):
        refuse_ensemble(net)
        self.tables = {"weight": net.layer_weights(), "bias": net.layer_biases(), "gain": net.steps()}
        self.widths = tuple(net.width + layer * net.growth for layer in range(len(states)))
        with torch.no_grad():
            self._states, self._gains = states, self.tables["gain"].detach().clone()
            self._weights = [weight.detach().clone() for weight in self.tables["weight"]]
            parts = zip(states[:-1], self._weights, self.tables["bias"], strict=True)
            affine = [state[..., : weight.shape[-1]] @ weight.mT + bias for state, weight, bias in parts]
            self._values, self._slopes = value_and_slope(net.activation, torch.stack(affine))

    @override
    def costates(self, last, first=0):
        p = last.new_zeros(len(self._states) - first, *last.shape)
        p[-1] = last
        for k in reversed(range(first, len(self._gains))):
            old, new, here, later = *self._parts(k), p[k - first], p[k + 1 - first]
            q = self._gains[k] * self._slopes[k] * later[..., new]
            here[..., old] = later[..., old] + q @ self._weights[k]
        return p

    @override
    def tangent(self, direction, first=0):
        v = torch.zeros_like(direction)
        v[..., : self.widths[first]] = direction[..., : self.widths[first]]
        for k in range(first, len(self._gains)):
            old, new = self._parts(k)
            v[..., new] = self._gains[k] * self._slopes[k] * (v[..., old] @ self._weights[k].mT)
        return v

    @override
    def gradients(self, costates):
        weight, bias, gain = [], [], []
        for k, step in enumerate(self._gains):
            old, new = self._parts(k)
            p = costates[k + 1][..., new]
            q = step * self._slopes[k] * p
            weight.append(q.mT @ self._states[k][..., old])
            bias.append(q.sum(0))
            gain.append(torch.sum(p * self._values[k]))
        return {"weight": tuple(weight), "bias": torch.stack(bias), "gain": torch.stack(gain)}

    def _parts(self, k: int) -> tuple[slice, slice]:
        """The entries that y_k has, and those that y_{k+1} has beside them."""
        return slice(self.widths[k]), slice(self.widths[k], self.widths[k + 1])


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
