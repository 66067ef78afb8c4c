"""Layers that go: which one is the least, what its going changes, and a bound of that."""

from collections.abc import Collection
from functools import singledispatch

import torch
from torch import Tensor, nn

from surrogates.analysis.norm_bounds import constants
from surrogates.depth.grids import Place
from surrogates.depth.insertion import _check_layer
from surrogates.depth.surgery import Surgery, rebuilt
from surrogates.errors import SurrogateError
from surrogates.linearisation import refuse_ensemble
from surrogates.nets.additive import AdditiveDenseNet
from surrogates.nets.base import LayeredNet
from surrogates.nets.concatenating import ConcatenatingDenseNet
from surrogates.nets.recursive import RecursiveNet

SAMPLES = 1024
"""Samples whose states ``change_bound`` keeps at one time."""


@torch.no_grad()
def shares(net: LayeredNet) -> Tensor:
    """Return |τ_l|/Σ|τ| of the layers, (L,); the sum is over the whole grid, with the step of a timed lift.

    By magnitude: a step that has turned negative is not small for that. All 0 where the whole grid is.
    """
    refuse_ensemble(net)
    size = net.time().abs()
    return net.steps().abs() / size.sum().clamp_min(torch.finfo(size.dtype).tiny)


def least(net: LayeredNet, threshold: float = 0.01, spared: Collection[int] = ()) -> int | None:
    """Return the number, from 1, of the layer of least share if that is below the threshold; the first of equals.

    Never the lift, which is no layer, never one of the ``spared``, and nor the last layer that is left: then None.
    """
    found = shares(net)
    found[[number - 1 for number in spared]] = torch.inf
    layer = int(found.argmin())
    return layer + 1 if net.layers > 1 and found[layer].item() < threshold else None


@singledispatch
def prune(net: nn.Module, layer: int) -> Surgery:
    """Return the net without the layer of this number, from 1; all other weights as they are, bit for bit.

    A layer with τ = 0 changes nothing when it goes: states of all families are those of the net without it, to
    round-off. (In an ``AdditiveDenseNet`` the state that the layer read, and nobody else, goes with it, not
    the one it made; in a ``ConcatenatingDenseNet`` its entries and all columns that read them.) Otherwise the grid
    follows its rule (``grids.taken``): later layers come earlier by τ_l, and the memory of a fractional net is
    that of the times as they are then. ``change_bound`` says by how much the function changes at most; for small
    steps it is of the order of τ_l, with memory of τ_l^γ.

    Undoes ``insert``: weights, steps and moments are again what they were. Raises ``SurrogateError`` for a layer
    that is not there, the only one, an ensemble, and a net that has none. Source: Herberg, Herzog and Köhne (arXiv
    2306.16111).
    """
    raise SurrogateError(
        f"no layer can be taken from a {type(net).__name__}: use a family of surrogates.FAMILIES, FeedForward or "
        "surrogates.depth.Blocks"
    )


@prune.register(LayeredNet)
def _layered(net: LayeredNet, layer: int) -> Surgery:
    _check_layer(net, layer)
    return rebuilt(net, [Place(number) for number in range(net.layers) if number != layer - 1])


@torch.no_grad()
def change_bound(surgery: Surgery, x: Tensor) -> Tensor:
    """Return a bound of ‖Φ̃(x) − Φ(x)‖ for each sample, (n,), where Φ̃ is Φ after ``prune``; x (n, inputs).

    Let S_0 … S_{L−1} be the states of the old net that the layers left over stand for, and δ_m their defect in the
    new scheme, S_m = scheme_m(S_0 … S_{m−1}) + δ_m. With D ≥ 0 the weights of its direct paths and B the Lipschitz
    constants of its fields (``analysis.norm_bounds.constants``), e_m = ỹ_m − S_m satisfies

        ‖e_m‖ ≤ Σ_{k<m} (D_{m,k} + B_{m,k}) ‖e_k‖ + ‖δ_m‖,    ‖e_0‖ = ‖ỹ_0 − S_0‖,
        ‖Φ̃(x) − Φ(x)‖ ≤ ‖R̃‖ ‖e_{L−1}‖ + ‖R̃ S_{L−1} + r − Φ(x)‖.

    With memory D are the convex weights of the re-timed grid: rows sum to 1, so a defect is never amplified but by
    fields, and Π (1 + c_m β‖K_m‖) Σ‖δ_m‖ bounds it all. The defects are, by family (f_l the field of the layer that
    goes): τ_l f_l and, where a rule scales the other steps by 1+ε, ε τ_m f_m; with memory c_l f_l less what it
    forgets, of the order of τ_l^γ, and (a − ã) d of the order of τ_l. A ``ConcatenatingDenseNet`` adds entries, so
    there ‖e_m‖² ≤ ‖e_{m−1}‖² + (B_m ‖e_{m−1}‖ + ‖δ_m‖)².

    Costs two passes and a singular value decomposition for each K. Raises ``SurrogateError`` where ``constants``
    does, as for an activation without a bound of its slope. Not sharp in deep nets with large weights.
    """
    old, net = surgery.old, surgery.net
    if net.layers != old.layers - 1:
        raise SurrogateError(
            f"a bound of the change is that of one layer less, but the nets have {old.layers} and {net.layers}: "
            "give what prune returned"
        )
    (gone,) = set(range(old.layers)) - {place.source for place in surgery.plan}
    table, readout = constants(net), torch.linalg.matrix_norm(net.readout_weight.double(), 2)
    found = []
    for part in x.split(SAMPLES):
        states = _standing(old, old.states(part), gone)
        defects = (states[1:] - _scheme(net, states)).double().norm(dim=-1)  # (L−1, n)
        errors = [(net.lift(part) - states[0][..., : net.width]).double().norm(dim=-1)]
        for m, defect in enumerate(defects):
            before = torch.stack(errors)
            if table.apart:
                own = table.fields[m, m] * before[-1] + defect
                errors.append((before[-1].square() + own.square()).sqrt())
            else:
                errors.append((table.direct[m, : m + 1] + table.fields[m, : m + 1]) @ before + defect)
        end = (net.readout(states[-1]) - old(part)).double().norm(dim=-1)
        found.append(readout * errors[-1] + end)
    return torch.cat(found)


def _standing(net: LayeredNet, states: Tensor, gone: int) -> Tensor:
    """The states that those of the net without a layer, counted from 0, stand for, laid out as there."""
    dropped = max(gone, 1) if isinstance(net, AdditiveDenseNet) else gone + 1
    states = torch.cat((states[:dropped], states[dropped + 1 :]))
    if isinstance(net, ConcatenatingDenseNet):
        begin = net.width + gone * net.growth
        states = torch.cat((states[..., :begin], states[..., begin + net.growth :]), -1)
    return states


def _scheme(net: LayeredNet, states: Tensor) -> Tensor:
    """One step of the scheme from given states S_0 … S_{L−1}: (L, n, state_width) from (L+1, n, state_width)."""
    layers = zip(states[:-1], net.layer_weights(), net.layer_biases(), strict=True)
    if isinstance(net, RecursiveNet):
        memory, gains = net.memory()
        fields = torch.stack([net.activation(net.field.apply(*layer)) for layer in layers])
        found = states[:-1] + gains[:, None, None] * fields
        return found if memory is None else found - torch.tensordot(memory.tril(-1), states.diff(dim=0), 1)
    if isinstance(net, AdditiveDenseNet):
        found = states[:1].repeat(net.layers, 1, 1)
        for number, (step, (state, weight, bias)) in enumerate(zip(net.steps(), layers, strict=True)):
            found[number:] += step * net.activation(state @ weight.mT + bias.unsqueeze(-2))
        return found
    found = states[:-1].clone()
    for number, (step, (state, weight, bias)) in enumerate(zip(net.steps(), layers, strict=True)):
        born = net.width + number * net.growth
        entries = net.activation(state[..., :born] @ weight.mT + bias)
        found[number][..., born : born + net.growth] = step * entries
    return found
