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

STRIDE = 16
"""Layers between two kept states: so many states of common size fit into a cache beside what makes them."""


@dataclass(frozen=True)
class Layers:
    """All layers of a net at one evaluation, with a member axis of length S throughout.

    weights (L, S, …), biases (L, S, …) as the field has them; gains c (L, S); history None without memory.

    For the way back σ(z_l), or z_l, is kept of each layer, and one state in STRIDE; with a history the increments,
    too: L (1 + 1/STRIDE) states, or L more. With ``segment`` one state in so many is all that is kept beside the
    increments, and fields are computed a second time.
    """

    field: Field
    activation: Activation
    weights: Tensor
    biases: Tensor
    gains: Tensor
    history: History | None = None
    segment: int | None = None

    @property
    def stride(self) -> int:
        """Number of layers between two states that are kept."""
        return min(self.segment or STRIDE, self.gains.shape[0])

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
        return result, (*kept, *(self.layers.history.kept() if self.layers.history else ()))

    @override
    def backward(self, inputs, kept, result, needs):
        history = self.layers.history
        if history:
            history.back(kept[3:])
        found = _backward(self.layers, *kept[:3], result, self.everything, needs[3], any(needs[4:]))
        if history:
            history.end()
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
    """Return the result and what the way back needs: states, what activations keep, increments.

    Of the states, those before each segment are kept; all where they are the result, or no more than a segment.
    """
    depth, history, field, activation = layers.gains.shape[0], layers.history, layers.field, layers.activation
    again, stride = layers.segment is not None, layers.stride
    whole = everything or (keep and not again and depth <= stride)
    states = start.new_empty(depth + 1 if whole else 2, *start.shape)
    marks = start.new_empty(-(-depth // stride), *start.shape) if keep and not whole else None
    kept = start.new_empty(depth if keep and (everything or not again) else 1, *start.shape)
    d = start.new_empty(depth, *start.shape) if history else None
    rows = None if d is None else d.flatten(2)
    y_, z_, d_ = states.unbind(0), kept.unbind(0), None if d is None else d.unbind(0)
    gains, views = layers.gains[..., None, None].unbind(0), field.views(layers.weights, layers.biases)
    y_[0].copy_(start)
    for layer in range(depth):
        y, z, there = y_[layer % len(y_)], z_[layer % len(z_)], y_[(layer + 1) % len(y_)]
        if marks is not None and layer % stride == 0:
            marks[layer // stride] = y
        field.into(z, y, views[layer])
        activation.keep(z)
        f = activation.value(z)
        if d is None:
            torch.addcmul(y, f, gains[layer], out=there)
            continue
        if layer == 0:
            torch.mul(f, gains[layer], out=d_[layer])
        else:
            d_[layer].addcmul_(f, gains[layer])
        torch.add(y, d_[layer], out=there)
        history.spread(layer, rows)
    result = states if everything else y_[depth % len(y_)].clone()
    return result, states if whole else marks, kept, d


def _segments(layers, states, kept, d):
    """Yield from the last to the first: layers of a segment, their states, and what activations keep of them.

    States between two that were kept are added up once more, while what they are added up from is in the caches;
    with ``segment`` the fields are computed once more, too.
    """
    depth, stride, again = layers.gains.shape[0], layers.stride, kept.shape[0] < layers.gains.shape[0]
    if states.shape[0] == depth + 1:
        yield range(depth), states.unbind(0), kept.unbind(0)
        return
    gains, d_ = layers.gains[..., None, None].unbind(0), None if d is None else d.unbind(0)
    views = layers.field.views(layers.weights, layers.biases) if again else None
    y_ = states.new_empty(stride, *states.shape[1:]).unbind(0)
    z_ = states.new_empty(stride, *states.shape[1:]).unbind(0) if again else None
    for first in range((depth - 1) // stride * stride, -1, -stride):
        here = range(first, min(first + stride, depth))
        z_ = z_ if again else kept[first : here.stop].unbind(0)
        y_[0].copy_(states[first // stride])
        for layer, y, z in zip(here, y_, z_, strict=False):
            if again:
                layers.field.into(z, y, views[layer])
                layers.activation.keep(z)
            if layer == here[-1]:
                break
            there = y_[layer + 1 - first]
            if d_ is None:
                torch.addcmul(y, layers.activation.value(z), gains[layer], out=there)
            else:
                torch.add(y, d_[layer], out=there)
        yield here, y_, z_


def _backward(layers, states, kept, d, result, everything, by_gains: bool, by_tables: bool):
    """The adjoint sweep: from ``result``, ∂J/∂y_L or that of all states, to the derivatives in all inputs."""
    depth, history, field, activation = layers.gains.shape[0], layers.history, layers.field, layers.activation
    r = (result[-1] if everything else result).clone(memory_format=torch.contiguous_format)
    by_weight, by_bias = torch.empty_like(layers.weights), torch.empty_like(layers.biases)
    by_gain = torch.empty_like(layers.gains) if by_gains else None
    q = d.new_empty(history.costates(depth), *r.shape) if history else None
    rows, increments = (q.flatten(2), d.flatten(2)) if history else (None, None)
    scaled = (layers.weights * _beside(layers.gains, layers.weights)).unbind(0)
    q_, by_weight_, by_bias_ = None if q is None else q.unbind(0), by_weight.unbind(0), by_bias.unbind(0)
    by_gain_, members = None if by_gain is None else by_gain.unbind(0), r.shape[0]
    for here, y_, z_ in _segments(layers, states, kept, d):
        for layer in reversed(here):
            y, z = y_[layer - here.start], z_[layer - here.start]
            if not history:
                costate = r
            elif layer == depth - 1:
                costate = q_[layer % len(q_)].copy_(r)
            else:
                costate = q_[layer % len(q_)].add_(r)
            if by_gain is not None:
                value = activation.value(z)
                torch.linalg.vecdot(costate.view(members, -1), value.view(members, -1), out=by_gain_[layer])
            p = activation.pull(z, costate)
            field.gradients(p, y, by_weight_[layer], by_bias_[layer])
            field.pull(p, scaled[layer], r)
            if everything:
                r.add_(result[layer])
            if history:
                history.gather(layer, rows, increments)
    tables = history.gradients(rows, increments) if by_tables else ()
    for gradient in (by_weight, by_bias):
        gradient.mul_(_beside(layers.gains, gradient))
    return r, by_weight, by_bias, by_gain, *tables


def _beside(gains, stack):
    """Gains (L, S) with as many axes as a stack (L, S, …)."""
    return gains.reshape(gains.shape + (1,) * (stack.ndim - gains.ndim))
