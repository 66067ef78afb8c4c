"""The exact discrete adjoint, written out: derivatives of a loss in all states, tables and parameters of a net.

Discretise, then differentiate: a continuous adjoint that is discretised afterwards has another gradient. Nothing
here is recorded by autograd along the layers, and nothing is shared with the sweeps that train a net but the
maps of one layer; so this is what both are tested against, and what ``analysis`` looks through.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from surrogates.linearisation import linearise, refuse_ensemble, value_and_slope
from surrogates.losses import mse
from surrogates.nets.base import LayeredNet

Table = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class Adjoint:
    """Derivatives of J = loss(net(x), y), all detached.

    loss          J, a scalar
    costates      p_l = ∂J/∂y_l, l = 0 … L, (L+1, n, state_width): y_l moves, earlier states stay, all later ones
                  follow through the fields and through the memory
    by_weight     ∂J/∂K_l layer by layer, laid out as ``net.layer_weights()``
    by_bias       ∂J/∂b_l layer by layer, laid out as ``net.layer_biases()``
    by_gain       ∂J/∂c_l, (L,), the factors of the fields, which are the steps in schemes without memory
    by_memory     ∂J/∂a_{l,j}, (L, L) strictly lower triangular; None for a scheme without memory
    by_steps      ∂J/∂τ of the whole grid, through gains, memory and a timed lift
    by_input      ∂J/∂x, (n, inputs)
    by_parameter  the derivative in each parameter that trains, by name
    """

    loss: Tensor
    costates: Tensor
    by_weight: Table
    by_bias: Table
    by_gain: Tensor
    by_memory: Tensor | None
    by_steps: Tensor
    by_input: Tensor
    by_parameter: Mapping[str, Tensor]


def solve(net: LayeredNet, x: Tensor, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor] = mse) -> Adjoint:
    """Return the adjoint of J = loss(net(x), y); x (n, inputs), y (n, outputs).

    For y_l = Σ_{k<l} w_{l,k} y_k + c_l σ(z_l), z_l = K_l y_{l−1} + b_l (w of ``caputo.convex_weights``), from
    p_L = ∂J/∂y_L backwards

        p_k = Σ_{l>k} w_{l,k} p_l + c_{k+1} K_{k+1}ᵀ (σ'(z_{k+1}) ∘ p_{k+1}),
        ∂J/∂K_l = c_l (σ'∘p_l) y_{l−1}ᵀ,    ∂J/∂b_l = c_l σ'∘p_l,
        ∂J/∂c_l = ⟨p_l, σ(z_l)⟩,            ∂J/∂a_{l,j} = −⟨p_l, y_j − y_{j−1}⟩,

    alike for the DenseNets (``linearisation``), and dJ/dτ = (∂c/∂τ)ᵀ ∂J/∂c + (∂a/∂τ)ᵀ ∂J/∂a by the derivative of
    the tables. Costs two passes and, with memory, L²/2 products of states; keeps 4L states. The net, its ``.grad``
    and frozen parameters are left alone, gradients may be switched off around the call. Not for training: the
    sweeps do the same in blocks. Raises ``SurrogateError`` for an ensemble and for what net and loss refuse.
    Source: Antil, Khatri, Löhner and Verma (arXiv 2004.00719), for non-uniform, learned steps here.
    """
    refuse_ensemble(net)
    with torch.no_grad():
        states = net.states(x)
        lifted, lift_slope = value_and_slope(net.activation, net.affine(x, net.lift_weight, net.lift_bias))
    with torch.enable_grad(), _one_grid(net) as steps:
        prediction = net.readout(states[-1]).detach().requires_grad_()
        value = loss(prediction, y)
        (by_prediction,) = torch.autograd.grad(value, prediction)
        layers = linearise(net, states)
    with torch.no_grad():
        costates = layers.costates(by_prediction @ net.readout_weight)
        found = layers.gradients(costates)
        first = costates[0][..., : net.width]
        by_lift = lift_slope * first * (steps[0] if net.timed_lift else 1)
        by_steps = torch.zeros_like(steps)
        if net.timed_lift:
            by_steps[0] = torch.sum(first * lifted)
        by_hand = {
            "lift_weight": by_lift.mT @ x,
            "lift_bias": by_lift.sum(0),
            "readout_weight": by_prediction.mT @ states[-1],
            "readout_bias": by_prediction.sum(0),
        }
    trained = {name: p for name, p in net.named_parameters() if p.requires_grad}
    inner = {name: p for name, p in trained.items() if name not in by_hand}
    # Σ ⟨∂J/∂t, t⟩ over the tables t as the steps and parameters make them has the derivative of J in these. (As
    # grad_outputs, torch would import a computer algebra system first, for seconds.)
    with torch.enable_grad():
        pairing = torch.sum(by_steps * steps)
        for name, table in layers.tables.items():
            for part, by_part in zip(_parts(table), _parts(found[name]), strict=True):
                pairing = pairing + torch.sum(by_part * part)
    by_tables = torch.autograd.grad(pairing, [steps, *inner.values()], materialize_grads=True)
    by_inner = dict(zip(inner, by_tables[1:], strict=True))
    return Adjoint(
        loss=value.detach(),
        costates=costates,
        by_weight=found["weight"],
        by_bias=found["bias"],
        by_gain=found["gain"],
        by_memory=found.get("memory"),
        by_steps=by_tables[0],
        by_input=by_lift @ net.lift_weight.detach(),
        by_parameter={name: by_inner.get(name, by_hand.get(name)) for name in trained},
    )


@contextmanager
def _one_grid(net: LayeredNet) -> Iterator[Tensor]:
    """Within, whatever the net computes from its steps it computes from this one tensor, which has a graph."""
    steps = net.time()
    if not steps.requires_grad:
        steps = steps.detach().requires_grad_()
    handle = net.time.register_forward_hook(lambda *_: steps)
    try:
        yield steps
    finally:
        handle.remove()


def _parts(table: Table) -> tuple[Tensor, ...]:
    return (table,) if isinstance(table, Tensor) else table
