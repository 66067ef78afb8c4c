"""The recursion of the engine and its exact discrete adjoint, as two sweeps over the layers.

The forward sweep keeps one state and one increment a layer; the backward sweep is written by hand, since then each
layer costs a handful of operations in place and autograd builds no graph over them. With z_l = K_l y_{l−1} + b_l:

    forward   d_l = c_l σ(z_l) − Σ_{j<l} a_{l,j} d_j,              y_l = y_{l−1} + d_l
    backward  q_l = r_l − Σ_{m>l} a_{m,l} q_m,   p_l = σ'(z_l)∘q_l,   r_{l−1} = g_{l−1} + r_l + c_l K_lᵀ p_l

with g_l the derivative of J in the state y_l by itself and r_L = g_L. q_l is the costate (the derivative in a
source added to d_l), r_0 the derivative in y_0, and

    ∂J/∂K_l = c_l p_l y_{l−1}ᵀ,   ∂J/∂b_l = c_l p_l,   ∂J/∂c_l = ⟨q_l, σ(z_l)⟩,   ∂J/∂a_{l,j} = −⟨q_l, d_j⟩.
"""

from dataclasses import dataclass, replace
from typing import override

import torch
from torch import Tensor

from surrogates import engine
from surrogates.activations import Activation
from surrogates.fields import Field
from surrogates.handwritten import Handwritten
from surrogates.histories import History


@dataclass(frozen=True)
class Layers:
    """All layers of a net at one evaluation, with a member axis of length S throughout.

    weights (L, S, …), biases (L, S, …) as the field has them; gains c (L, S); history None without memory.
    ``segment`` is the number of layers between two states that are kept for the way back, None to keep all:
    with it the way back computes states and fields a second time, and memory is L/segment + segment states
    (with a history L more, the increments) instead of 2L (3L).
    """

    field: Field
    activation: Activation
    weights: Tensor
    biases: Tensor
    gains: Tensor
    history: History | None = None
    segment: int | None = None

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What the result depends on, apart from the first state."""
        return self.weights, self.biases, self.gains, *(self.history.tables if self.history else ())


def last(layers: Layers, start: Tensor) -> Tensor:
    """Return y_L (S, n, width) from y_0 = ``start`` (S, n, width), differentiable in everything."""
    return _Sweeps(layers, everything=False)(start, *layers.tensors)


def states(layers: Layers, start: Tensor) -> Tensor:
    """Return y_0 … y_L, (L+1, S, n, width), differentiable in everything; ``segment`` does not apply."""
    return _Sweeps(layers, everything=True)(start, *layers.tensors)


class _Sweeps(Handwritten):
    """Both sweeps as one operation on start, weights, biases, gains and tables."""

    def __init__(self, layers: Layers, everything: bool):
        self.layers, self.everything = layers, everything

    @override
    def plain(self, start, weights, biases, gains, *tables):
        memory = self.layers.history.dense(*tables) if tables else None
        layers = replace(self.layers, weights=weights, biases=biases, gains=gains)
        states = plainly(layers, memory, start)
        return states if self.everything else states[-1]

    @override
    def forward(self, *inputs, keep):
        result, *kept = _forward(self.layers, inputs[0], self.everything, keep)
        return result, tuple(kept)

    @override
    def backward(self, inputs, kept, result, needs):
        found = _backward(self.layers, *kept, result, self.everything, needs[3], any(needs[4:]))
        return found + (None,) * (len(needs) - len(found))


def plainly(layers: Layers, memory: Tensor | None, start: Tensor, source: Tensor | None = None) -> Tensor:
    """Return all states (L+1, S, n, width) by operations that autograd knows, member by member.

    ``memory`` is the dense table (S, L, L), None without; ``source`` (L, S, n, width) as in ``engine.integrate``.
    """
    found = []
    for member in range(start.shape[0]):
        weights, biases = layers.weights[:, member].unbind(0), layers.biases[:, member].unbind(0)

        def field(layer: int, state: Tensor, weights=weights, biases=biases) -> Tensor:
            return layers.activation(layers.field.apply(state, weights[layer], biases[layer]))

        a = None if memory is None else memory[member]
        e = None if source is None else source[:, member]
        found.append(engine.integrate(field, start[member], layers.gains[:, member], a, e))
    return torch.stack(found, 1)


def _forward(layers, start, everything, keep):
    """Return the result and what the way back needs: states, what activations keep, increments."""
    depth, history = len(layers.gains), layers.history
    segment = depth if everything or not keep else min(layers.segment or depth, depth)
    whole = everything or (keep and segment == depth)
    d = start.new_empty(depth, *start.shape) if history else None
    rows = None if d is None else d.flatten(2)
    gains = layers.gains[..., None, None].unbind(0)
    weights, biases = layers.weights.unbind(0), layers.biases.unbind(0)
    states = start.new_empty(depth + 1 if whole else 2, *start.shape)
    kept = start.new_empty(depth if keep and segment == depth else 1, *start.shape)
    marks = start.new_empty(-(-depth // segment), *start.shape) if keep and not whole else None
    states[0] = start
    y_, z_, d_ = states.unbind(0), kept.unbind(0), None if d is None else d.unbind(0)
    for layer in range(depth):
        here, there = (layer, layer + 1) if whole else (layer % 2, (layer + 1) % 2)
        y, z = y_[here], z_[layer if len(z_) > 1 else 0]
        if marks is not None and layer % segment == 0:
            marks[layer // segment] = y
        layers.field.into(z, y, weights[layer], biases[layer])
        layers.activation.keep(z)
        f = layers.activation.value(z)
        if d is None:
            torch.addcmul(y, f, gains[layer], out=y_[there])
            continue
        if layer == 0:
            torch.mul(f, gains[layer], out=d_[layer])
        else:
            d_[layer].addcmul_(f, gains[layer])
        torch.add(y, d_[layer], out=y_[there])
        history.spread(layer, rows)
    result = states if everything else states[depth if whole else depth % 2]
    return (result if everything else result.clone()), (states if whole else marks), kept, d


def _rebuild(layers, mark, first, end, d, states, kept):
    """States and kept tensors of the layers first … end−1 once more, from the state before them."""
    states[0] = mark
    gains = layers.gains[..., None, None]
    for layer in range(first, end):
        y, z = states[layer - first], kept[layer - first]
        layers.field.into(z, y, layers.weights[layer], layers.biases[layer])
        layers.activation.keep(z)
        if d is None:
            torch.addcmul(y, layers.activation.value(z), gains[layer], out=states[layer - first + 1])
        else:
            torch.add(y, d[layer], out=states[layer - first + 1])


def _backward(layers, states, kept, d, result, everything, by_gains: bool, by_tables: bool):
    """The adjoint sweep: from ``result``, ∂J/∂y_L or that of all states, to the derivatives in all inputs."""
    depth, history, field, activation = len(layers.gains), layers.history, layers.field, layers.activation
    r = (result[-1] if everything else result).clone(memory_format=torch.contiguous_format)
    scaled = layers.weights * layers.gains.reshape(layers.gains.shape + (1,) * (layers.weights.ndim - 2))
    by_weight, by_bias = torch.empty_like(layers.weights), torch.empty_like(layers.biases)
    by_gain = layers.gains.new_empty(layers.gains.shape) if by_gains else None
    q = torch.empty_like(d) if history else None
    rows, increments = (q.flatten(2), d.flatten(2)) if history else (None, None)
    segment = depth if len(kept) == depth else layers.segment
    if segment < depth:
        marks = states
        states, kept = r.new_empty(segment + 1, *r.shape), r.new_empty(segment, *r.shape)
    y_, z_, q_ = states.unbind(0), kept.unbind(0), None if q is None else q.unbind(0)
    scaled, by_weight_, by_bias_ = scaled.unbind(0), by_weight.unbind(0), by_bias.unbind(0)
    by_gain_ = None if by_gain is None else by_gain.unbind(0)
    for layer in reversed(range(depth)):
        first = layer - layer % segment
        if segment < depth and (layer == depth - 1 or layer == first + segment - 1):
            _rebuild(layers, marks[layer // segment], first, layer + 1, d, states, kept)
        y, z = y_[layer - first], z_[layer - first]
        if not history:
            costate = r
        elif layer == depth - 1:
            costate = q_[layer].copy_(r)
        else:
            costate = q_[layer].add_(r)
        if by_gain is not None:
            value = activation.value(z)
            torch.linalg.vecdot(costate.flatten(1), value.flatten(1), out=by_gain_[layer])
        p = activation.pull(z, costate)
        field.gradients(p, y, by_weight_[layer], by_bias_[layer])
        field.pull(p, scaled[layer], r)
        if everything:
            r.add_(result[layer])
        if history:
            history.gather(layer, rows, increments)
    tables = history.gradients(rows, increments) if by_tables else ()
    for gradient in (by_weight, by_bias):
        gradient.mul_(layers.gains.reshape(layers.gains.shape + (1,) * (gradient.ndim - 2)))
    return r, by_weight, by_bias, by_gain, *tables
