"""Plain feed-forward net in the layered form: no skips, the one whose gradients vanish."""

from typing import override

import torch
from torch import Tensor

import surrogates
from surrogates.adjoint import linearise
from surrogates.analysis import norm_bounds
from surrogates.linearisation import Linearised, refuse_ensemble, value_and_slope


class Plain(surrogates.LayeredNet):
    """y_l = σ(K_l y_{l−1} + b_l): what ``surrogates.FeedForward`` computes, with layer states and costates.

    With states, adjoint and bounds like every layered family it goes through the same instruments and trains in
    ensembles. The time grid says how many layers there are; its steps have no effect. Weights and biases are drawn
    as those of a ResNet: equal seeds, equal numbers. Cost linear in L. Not for inversion: use ``FeedForward``.
    """

    @override
    def _draw_layers(self, generator):
        shape = self.layers, self.width, self.width
        for name, size in (("layer_weight", shape), ("layer_bias", shape[:2])):
            drawn = (2 * torch.rand(size, generator=generator) - 1) / self.width**0.5
            setattr(self, name, torch.nn.Parameter(drawn))

    @override
    def integrate(self, start: Tensor, source: Tensor | None = None) -> Tensor:
        weights, biases = self.layer_weight.unbind(-3), self.layer_bias.unbind(-2)
        states = [start]
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            state = self.activation(self.affine(states[-1], weight, bias))
            states.append(state if source is None else state + source[layer])
        return torch.stack(states)

    def layer_weights(self) -> Tensor:
        """Return K_1 … K_L, shape (L, w, w)."""
        return self.layer_weight


@linearise.register(Plain)
class PlainLinearised(Linearised):
    """p_{l−1} = K_lᵀ (σ'(z_l)∘p_l): the product of all layers, nothing beside it."""

    def __init__(self, net: Plain, states: Tensor):
        refuse_ensemble(net)
        self.tables = {"weight": net.layer_weight, "bias": net.layer_bias, "gain": torch.ones(net.layers)}
        self.widths = (states.shape[-1],) * len(states)
        with torch.no_grad():
            self._states, self._weights = states, net.layer_weight.detach().clone()
            z = states[:-1] @ self._weights.mT + net.layer_bias.unsqueeze(-2)
            self._values, self._slopes = value_and_slope(net.activation, z)
        self.tables["gain"] = self.tables["gain"].to(self._weights)

    @override
    def costates(self, last, first=0):
        p = last.new_empty(len(self._states) - first, *last.shape)
        p[-1] = last
        for k in reversed(range(first, len(self._weights))):
            p[k - first] = (self._slopes[k] * p[k + 1 - first]) @ self._weights[k]
        return p

    @override
    def tangent(self, direction, first=0):
        for k in range(first, len(self._weights)):
            direction = self._slopes[k] * (direction @ self._weights[k].mT)
        return direction

    @override
    def gradients(self, costates):
        q = self._slopes * costates[1:]
        gain = torch.sum(costates[1:] * self._values, (1, 2))
        return {"weight": q.mT @ self._states[:-1], "bias": q.sum(1), "gain": gain}


@norm_bounds.constants.register(Plain)
def _plain(net: Plain) -> norm_bounds.Constants:
    norms = torch.linalg.matrix_norm(net.layer_weight.double(), ord=2)
    return norm_bounds.Constants(
        torch.zeros_like(norms).diag(), torch.diag(net.activation.slope_bound * norms)
    )
