"""Additive DenseNet: each layer sees the fields of all earlier states, each through weights of its own."""

from dataclasses import dataclass
from typing import override

import torch
from torch import Tensor

from surrogates.activations import Activation
from surrogates.handwritten import Handwritten, inner
from surrogates.nets.base import LayeredNet, _drawn


class AdditiveDenseNet(LayeredNet):
    """y_l = y_0 + Σ_{i≤l} τ_i σ(K_{l,i} y_{i−1} + b_{l,i}), with weights of its own for each pair i ≤ l.

    With K_{l,i} = K_i for all l it is the ResNet. The first state reaches all others directly: ∂y_L/∂y_0 contains
    the identity. Any time grid. Source: densely connected layers of Huang et al. (arXiv 1608.06993) as a time
    discretisation with learned steps, Antil, Díaz and Herberg (arXiv 2204.08528).

    Parameters: L(L+1)/2 · w(w+1) in the layers, so a ResNet of width W and depth L has as many where
    w ≈ W √(2/(L+1)). They are packed by source: ``layer_weight`` (L(L+1)/2, w, w) and ``layer_bias``
    (L(L+1)/2, w) hold K_{1,1} … K_{L,1}, then K_{2,2} … K_{L,2}, to K_{L,L}, so that all that y_{i−1} owes to later
    states is one matrix product. Cost L²/2 fields. Training keeps the L+1 states and computes the fields a
    second time on the way back: memory is linear in L but for the parameters. Not for deep nets, and not where nets
    of equal depth and width are compared: this one has (L+1)/2 times the weights.
    """

    @override
    def _draw_layers(self, generator):
        pairs = self.layers * (self.layers + 1) // 2
        self.layer_weight = _drawn((pairs, self.width, self.width), self.width, generator)
        self.layer_bias = _drawn((pairs, self.width), self.width, generator)

    def layer_weights(self) -> tuple[Tensor, ...]:
        """Return for each source i = 1 … L the maps K_{i,i} … K_{L,i} that read y_{i−1}, (L−i+1, w, w)."""
        return self.layer_weight.split(_later(self.layers), dim=-3)

    def layer_biases(self) -> tuple[Tensor, ...]:
        """Return for each source i = 1 … L the biases b_{i,i} … b_{L,i}, (L−i+1, w)."""
        return self.layer_bias.split(_later(self.layers), dim=-2)

    @override
    def integrate(self, start, source=None):
        inputs = start, self.layer_weight, self.layer_bias, self.steps()
        if source is None:
            return _states(start, self._march(*inputs))
        return torch.stack(_plainly(self.activation, *inputs, source))

    @override
    def last(self, start):
        later = self._march(start, self.layer_weight, self.layer_bias, self.steps())
        return later[..., -1, :, :].mT.clone(
            memory_format=torch.contiguous_format
        )  # not a view of what is kept

    def _march(self, start, weight, bias, steps):
        march = _March(self.activation)
        if self.members:
            start = start.expand(self.members, *start.shape[-2:])
            return march(start, weight, bias, steps.expand(self.members, -1))
        return march(*(tensor.unsqueeze(0) for tensor in (start, weight, bias, steps)))[0]


def _later(layers: int) -> list[int]:
    """How many states y_i … y_L the source y_{i−1} contributes to, i = 1 … L."""
    return list(range(layers, 0, -1))


def _states(start: Tensor, later: Tensor) -> Tensor:
    """y_0 … y_L, (L+1, …, n, w), from y_0 and the others as (…, L, w, n)."""
    return torch.cat(
        (start.expand(*later.shape[:-3], *start.shape[-2:]).unsqueeze(0), later.movedim(-3, 0).mT)
    )


def _plainly(activation, start, weight, bias, steps, source=None) -> list[Tensor]:
    """y_0 … y_L as a list, from tensors with any leading axes, by operations that autograd knows."""
    sizes, width = _later(steps.shape[-1]), start.shape[-1]
    weights, biases = weight.split(sizes, -3), bias.split(sizes, -2)
    states, owed = [start], None  # owed (…, n, (L−i+1) w): what the sources so far give to y_i … y_L
    for layer, step in enumerate(steps.unbind(-1)):
        z = torch.matmul(states[-1], weights[layer].flatten(-3, -2).mT) + biases[layer].flatten(-2).unsqueeze(
            -2
        )
        given = step[..., None, None] * activation(z)
        owed = given if owed is None else owed[..., width:] + given
        state = start + owed[..., :width]
        states.append(state if source is None else state + source[layer])
    return states


@dataclass(frozen=True)
class _March(Handwritten):
    """(y_0, K, b, τ) ↦ y_1 … y_L, (S, L, w, n): features before the batch, so that y_i … y_L are one slice.

    start (S, n, w), weight (S, pairs, w, w), bias (S, pairs, w), steps (S, L). With p_l the derivative of J in y_l,
    z_{l,i} = K_{l,i} y_{i−1} + b_{l,i}, and g_l what J has of y_l by itself, the way back is

        q_{l,i} = σ'(z_{l,i})∘p_l,   p_{i−1} = g_{i−1} + τ_i Σ_{l≥i} K_{l,i}ᵀ q_{l,i}  (+ Σ_{l≥1} p_l for i = 1),
        ∂J/∂K_{l,i} = τ_i q_{l,i} y_{i−1}ᵀ,   ∂J/∂b_{l,i} = τ_i q_{l,i},   ∂J/∂τ_i = Σ_{l≥i} ⟨p_l, σ(z_{l,i})⟩.
    """

    activation: Activation

    @override
    def plain(self, start, weight, bias, steps):
        return torch.stack(_plainly(self.activation, start, weight, bias, steps)[1:], -3).mT

    @override
    def forward(self, start, weight, bias, steps, keep):
        first = start.mT.contiguous()
        sizes, (width, batch) = _later(steps.shape[-1]), first.shape[-2:]
        rows = first.repeat(1, len(sizes), 1)  # y_1 … y_L below each other, each still without its fields
        room = torch.empty_like(rows)
        state, pair = first, 0
        for layer, later in enumerate(sizes):
            pairs = slice(pair, pair := pair + later)
            z = self._fields(room, state, weight[:, pairs], bias[:, pairs])
            rows[:, layer * width :].addcmul_(self.activation.value(z), steps[:, layer, None, None])
            state = rows[:, layer * width : (layer + 1) * width]
        states = rows.view(len(rows), len(sizes), width, batch)
        return states, (first, states) if keep else ()

    @override
    def backward(self, inputs, kept, result, needs):
        (_, weight, bias, steps), (first, states) = inputs, kept
        sizes, width = _later(steps.shape[-1]), first.shape[-2]
        costates = result.clone(memory_format=torch.contiguous_format).flatten(1, 2)
        by_weight, by_bias, by_step = (
            torch.empty_like(weight),
            torch.empty_like(bias),
            torch.empty_like(steps),
        )
        room = torch.empty_like(costates)
        by_start, pair = None, weight.shape[1]
        for layer in reversed(range(len(sizes))):
            pairs = slice(pair := pair - sizes[layer], pair + sizes[layer])
            state, step = states[:, layer - 1] if layer else first, steps[:, layer, None, None]
            z = self._fields(room, state, weight[:, pairs], bias[:, pairs])
            p = costates[:, layer * width :]
            if needs[3]:
                by_step[:, layer] = inner(p, self.activation.value(z))
            q = self.activation.pull(z, p)
            torch.bmm(q, state.mT, out=by_weight[:, pairs].flatten(1, 2))
            torch.sum(q, -1, out=by_bias[:, pairs].flatten(1, 2))
            by_weight[:, pairs].mul_(step.unsqueeze(-1))
            by_bias[:, pairs].mul_(step)
            through = torch.bmm(weight[:, pairs].flatten(1, 2).mT, q)
            if layer:
                costates[:, (layer - 1) * width : layer * width].addcmul_(through, step)
            else:
                by_start = torch.addcmul(costates.unflatten(1, (-1, width)).sum(1), through, step).mT
        found = by_start, by_weight, by_bias, by_step
        return tuple(part if need else None for part, need in zip(found, needs, strict=True))

    def _fields(self, room, state, weight, bias):
        """What the activation keeps of K_{l,i} y_{i−1} + b_{l,i}, all l below each other, (S, (L−i+1) w, n)."""
        z = room[:, : weight.shape[1] * weight.shape[2]]
        torch.baddbmm(bias.flatten(1).unsqueeze(-1), weight.flatten(1, 2), state, out=z)
        return self.activation.keep(z)
