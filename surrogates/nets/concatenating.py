"""Concatenating DenseNet: the state grows, and what a layer has added is never touched again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import override

import torch
from torch import Tensor

from surrogates.activations import Activation
from surrogates.errors import SurrogateError
from surrogates.handwritten import Handwritten, inner
from surrogates.nets.base import LayeredNet, _drawn
from surrogates.time_grid import TimeGrid


class ConcatenatingDenseNet(LayeredNet):
    """y_l = [y_{l−1}, τ_l σ(K_l y_{l−1} + b_l)]: each layer adds ``growth`` g entries, K_l (g, w + (l−1) g).

    The state has w + l g entries after layer l; in ``states`` and ``integrate`` it is padded with zeros to
    ``state_width`` w + L g, where the scheme reads y_l = y_{l−1} + P_l τ_l σ(K_l y_{l−1} + b_l) with P_l the
    embedding into the new entries. The start y_0 has w. A ``source`` acts on the entries that y_l has and is
    ignored in those not yet born, which stay zero. The readout sees every layer directly. Any time grid.
    Source: Huang et al. (arXiv 1608.06993); the steps τ as in Antil, Díaz and Herberg (arXiv 2204.08528).

    Parameters: L g (w + 1) + g² L(L−1)/2 in the layers, and the readout has L g columns more than that of a net of
    constant width: a quadratic equation in g gives the growth at which a ResNet's number is met. K_1 … K_L are
    packed row by row, one after the other, in the vector ``layer_weight``; ``layer_bias`` (L, g). Cost: what the
    parameters say. All states are parts of one buffer: memory is linear in L. ``states`` is (L+1) (w + L g) numbers
    for each sample, most of them copies. Not where the fields must stay small against the state (certificates in
    terms of ‖τ K‖): here a layer with τ_l = 0 loses its entries instead of doing nothing.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        time: TimeGrid,
        growth: int = 4,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        generator: torch.Generator | None = None,
        *,
        timed_lift: bool = False,
    ):
        if isinstance(growth, bool) or not isinstance(growth, int) or growth < 1:
            raise SurrogateError(f"{self._name} needs a whole number >= 1 for growth, but growth={growth!r}")
        # before the module exists, so not by attribute assignment: the parameters' shapes depend on it
        object.__setattr__(self, "growth", growth)
        super().__init__(inputs, outputs, width, time, activation, generator, timed_lift=timed_lift)

    @property
    @override
    def state_width(self):
        return self.width + self.layers * self.growth

    @override
    def _draw_layers(self, generator):
        columns = [self.width + layer * self.growth for layer in range(self.layers)]
        drawn = [_drawn((self.growth, count), count, generator).data for count in columns]
        self.layer_weight = torch.nn.Parameter(torch.cat([weight.flatten() for weight in drawn]))
        drawn = [_drawn((self.growth,), count, generator).data for count in columns]
        self.layer_bias = torch.nn.Parameter(torch.stack(drawn))

    def layer_weights(self) -> tuple[Tensor, ...]:
        """Return K_1 … K_L, shapes (g, w), (g, w + g), …, (g, w + (L−1) g)."""
        return _unpacked(self.layer_weight, self.width, self.growth, self.layers)

    def layer_biases(self) -> Tensor:
        """Return b_1 … b_L, shape (L, g)."""
        return self.layer_bias

    @override
    def integrate(self, start, source=None):
        if source is None:
            last = self.last(start)
            born = torch.arange(self.state_width, device=last.device)
            widths = self.width + self.growth * torch.arange(self.layers + 1, device=last.device)
            alive = (born < widths.unsqueeze(-1)).view(-1, *(1,) * (last.ndim - 1), self.state_width)
            return torch.where(alive, last, 0)
        states = _plainly(self.activation, start, self.layer_weight, self.layer_bias, self.steps(), source)
        return torch.stack([_padded(state, self.state_width) for state in states])

    @override
    def last(self, start):
        march = _March(self.activation)
        inputs = self.layer_weight, self.layer_bias, self.steps()
        if self.members:
            start = start.expand(self.members, *start.shape[-2:])
            return march(start, *inputs[:2], inputs[2].expand(self.members, -1))
        return march(*(tensor.unsqueeze(0) for tensor in (start, *inputs)))[0]

    @override
    def _extra_parts(self):
        return [f"growth={self.growth}"]


def _unpacked(weight: Tensor, width: int, growth: int, layers: int) -> tuple[Tensor, ...]:
    columns = [width + layer * growth for layer in range(layers)]
    parts = weight.split([growth * count for count in columns], dim=-1)
    return tuple(part.unflatten(-1, (growth, count)) for part, count in zip(parts, columns, strict=True))


def _padded(state: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(state, (0, width - state.shape[-1]))


def _plainly(activation, start, weight, bias, steps, source=None) -> list[Tensor]:
    """y_0 … y_L as they grow, from tensors with any leading axes, by operations that autograd knows."""
    layers, growth = bias.shape[-2:]
    weights = _unpacked(weight, start.shape[-1], growth, layers)
    states = [start]
    for layer, (step, b) in enumerate(zip(steps.unbind(-1), bias.unbind(-2), strict=True)):
        z = torch.matmul(states[-1], weights[layer].mT) + b.unsqueeze(-2)
        given = step[..., None, None] * activation(z)
        state = torch.cat((states[-1].expand(*given.shape[:-1], -1), given), -1)
        states.append(state if source is None else state + source[layer][..., : state.shape[-1]])
    return states


@dataclass(frozen=True)
class _March(Handwritten):
    """(y_0, K, b, τ) ↦ y_L, (S, n, w + L g), in one buffer with features before the batch.

    start (S, n, w), weight (S, all entries), bias (S, L, g), steps (S, L). One buffer r, ∂J/∂y_L at first, is all
    that the way back needs: its rows of layer l are p_l, complete when later layers are done, and

        q_l = σ'(z_l)∘p_l,   r += τ_l K_lᵀ q_l in the rows of y_{l−1},
        ∂J/∂K_l = τ_l q_l y_{l−1}ᵀ,   ∂J/∂b_l = τ_l q_l,   ∂J/∂τ_l = ⟨p_l, σ(z_l)⟩.
    """

    activation: Activation

    @override
    def plain(self, start, weight, bias, steps):
        return _plainly(self.activation, start, weight, bias, steps)[-1]

    @override
    def forward(self, start, weight, bias, steps, keep):
        (members, batch, width), (layers, growth) = start.shape, bias.shape[-2:]
        rows = start.new_empty(members, width + layers * growth, batch)
        kept = start.new_empty(layers if keep else 1, members, growth, batch)
        rows[:, :width] = start.mT
        weights = _unpacked(weight, width, growth, layers)
        for layer in range(layers):
            born, z = width + layer * growth, kept[layer if keep else 0]
            torch.baddbmm(bias[:, layer].unsqueeze(-1), weights[layer], rows[:, :born], out=z)
            value = self.activation.value(self.activation.keep(z))
            torch.mul(value, steps[:, layer, None, None], out=rows[:, born : born + growth])
        return rows.mT.clone(memory_format=torch.contiguous_format), (rows, kept) if keep else ()

    @override
    def backward(self, inputs, kept, result, needs):
        (start, weight, bias, steps), (rows, kept) = inputs, kept
        width, (layers, growth) = start.shape[-1], bias.shape[-2:]
        r = result.mT.clone(memory_format=torch.contiguous_format)
        by_weight, by_bias, by_step = (
            torch.empty_like(weight),
            torch.empty_like(bias),
            torch.empty_like(steps),
        )
        weights, by_weights = (_unpacked(packed, width, growth, layers) for packed in (weight, by_weight))
        for layer in reversed(range(layers)):
            born, z = width + layer * growth, kept[layer]
            p, step = r[:, born : born + growth], steps[:, layer, None, None]
            if needs[3]:
                by_step[:, layer] = inner(p, self.activation.value(z))
            q = self.activation.pull(z, p).mul_(step)
            torch.bmm(q, rows[:, :born].mT, out=by_weights[layer])
            torch.sum(q, -1, out=by_bias[:, layer])
            r[:, :born].baddbmm_(weights[layer].mT, q)
        found = r[:, :width].mT, by_weight, by_bias, by_step
        return tuple(part if need else None for part, need in zip(found, needs, strict=True))
