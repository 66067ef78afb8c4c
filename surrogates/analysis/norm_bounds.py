"""What weights and steps alone say about a net: bounds of ∂y_L/∂y_l layer by layer, and a Lipschitz constant.

A scheme moves y_m = Σ_{k<m} (D_{m,k} y_k + F_{m,k}(y_k)), with weights D ≥ 0 of the direct paths and fields whose
Lipschitz constants B_{m,k} come from sup|σ'|, gains and spectral norms. A family is described by these two tables,
which ``constants`` finds by the type of the net: ``constants.register(MyNet)(my_constants)`` adds one.
"""

from dataclasses import dataclass
from functools import singledispatch

import torch
import torch.nn.functional as F
from torch import Tensor

from surrogates import caputo
from surrogates.errors import SurrogateError
from surrogates.linearisation import refuse_ensemble
from surrogates.nets.additive import AdditiveDenseNet
from surrogates.nets.base import LayeredNet
from surrogates.nets.concatenating import ConcatenatingDenseNet
from surrogates.nets.recursive import RecursiveNet


@dataclass(frozen=True)
class Constants:
    """Tables of a scheme, row m−1 and column k for the path from y_k to y_m, k < m, in float64.

    direct      D (L, L), lower triangular
    fields      B (L, L), lower triangular
    apart       whether fields add entries to the state instead of moving those it has
    """

    direct: Tensor
    fields: Tensor
    apart: bool = False


@dataclass(frozen=True)
class Bounds:
    """Bounds of ∂y_L/∂y_l for l = 0 … L, each (L+1,), in float64; they hold for every input.

    lower         ≤ the smallest singular value; 0 where nothing can be said
    upper         ≥ the norm
    direct        g_l, with which ∂y_L/∂y_l is g_l I plus the paths through at least one field: the weight of what
                  arrives without any; 1 for l = 0 (where the state grows, I is the embedding)
    rest          ≥ the norm of these paths
    exponential   exp(Σ_{m>l} B_m) ≥ upper in schemes of one step, where it is the classical bound; None with memory
    """

    lower: Tensor
    upper: Tensor
    direct: Tensor
    rest: Tensor
    exponential: Tensor | None


@torch.no_grad()
def bounds(net: LayeredNet) -> Bounds:
    """Return bounds of ∂y_L/∂y_l from steps, weights and β = sup|σ'|, for pictures beside measured values.

    One-step schemes (``ResNet``, B_m = |τ_m| β ‖K_m‖): Π_{m>l} (1 − B_m) where all factors are positive, else 0,
    and Π (1 + B_m) ≤ exp(Σ B_m). With memory the norms go through the recursion,
    U_m = Σ_k w_{m,k} U_k + c_m β ‖K_m‖ U_{m−1}, and what arrives without a field is g_l I, hence
    σ_min ≥ g_l − rest_l; so for the additive DenseNet, whose direct paths leave y_0 alone. The concatenating one
    keeps what it has: σ_min ≥ 1, and the norm is at most Π √(1 + B_m²). Weights that are multiples of the identity
    attain the bounds where σ' = β.

    Costs a singular value decomposition for each K, and O(L²). Bounds that grow like exp(L) say little about deep
    nets with weights that are not small: look at singular values. Raises ``SurrogateError`` for an activation
    without a bound on its slope, for an ensemble, and for a family that has no ``constants``.
    """
    found = constants(net)
    direct, fields = (
        F.pad(table, (0, 1, 1, 0)) for table in (found.direct, found.fields)
    )  # y_0 … y_L both ways
    end = torch.zeros_like(direct[0])
    end[-1] = 1
    straight, upper = _paths(end, direct), _paths(end, direct.abs() + fields)
    rest = _paths(upper @ fields, direct.abs())  # after a last field there is none; a difference would cancel
    lower = (straight.abs() - rest).clamp_min(0)
    exponential = None
    steps = fields.diagonal(-1)
    if torch.equal(direct + fields, torch.diag_embed(1 + steps, offset=-1)):  # one step
        later = F.pad(steps.flip(0), (1, 0))  # B_L first, the empty product before it
        exponential = later.cumsum(0).exp().flip(0)
        if found.apart:
            upper = (1 + later.square()).sqrt().cumprod(0).flip(0)
            lower, rest = torch.ones_like(upper), (upper.square() - 1).clamp_min(0).sqrt()
        else:
            lower = (1 - later).clamp_min(0).cumprod(0).flip(0)
    return Bounds(lower, upper, straight, rest, exponential)


@torch.no_grad()
def lipschitz_bound(net: LayeredNet) -> Tensor:
    """Return ‖R‖ U_0 β ‖K_0‖ ≥ ‖Φ(x) − Φ(x')‖/‖x − x'‖, a scalar: readout, layers, lift (times |τ_1| if timed).

    Cost and errors as ``bounds``.
    """
    lift = _slope_bound(net) * _norms(net.lift_weight)
    if net.timed_lift:
        lift = lift * net.time()[0].abs().double()
    return _norms(net.readout_weight) * bounds(net).upper[0] * lift


@singledispatch
def constants(net: LayeredNet) -> Constants:
    """Return the tables of a net at its present steps and weights. Errors as ``bounds``."""
    raise SurrogateError(
        f"a {type(net).__name__} has no bounds: give surrogates.analysis.norm_bounds.constants.register its class "
        "and the way to its tables"
    )


@constants.register(RecursiveNet)
def _recursive(net: RecursiveNet) -> Constants:
    beta = _slope_bound(net)
    memory, gains = net.memory()
    weights, no_bias = net.layer_weights(), torch.zeros_like(net.layer_biases()[0])
    unit = torch.eye(net.width, dtype=weights.dtype, device=weights.device)
    maps = torch.stack(
        [net.field.apply(unit, weight, no_bias) for weight in weights]
    )  # Kᵀ on the whole state
    fields = torch.diag_embed(beta * gains.abs().double() * _norms(maps))
    if memory is None:
        return Constants(torch.eye(net.layers, dtype=fields.dtype, device=fields.device), fields)
    return Constants(caputo.convex_weights(memory.double()), fields)


@constants.register(AdditiveDenseNet)
def _additive(net: AdditiveDenseNet) -> Constants:
    beta, steps = _slope_bound(net), net.steps().abs().double()
    columns = [F.pad(_norms(weight), (net.layers - len(weight), 0)) for weight in net.layer_weights()]
    fields = beta * torch.stack(columns, -1) * steps
    direct = torch.zeros_like(fields)
    direct[:, 0] = 1
    return Constants(direct, fields)


@constants.register(ConcatenatingDenseNet)
def _concatenating(net: ConcatenatingDenseNet) -> Constants:
    norms = torch.stack([_norms(weight) for weight in net.layer_weights()])
    fields = torch.diag_embed(_slope_bound(net) * net.steps().abs().double() * norms)
    return Constants(torch.eye(net.layers, dtype=fields.dtype, device=fields.device), fields, apart=True)


def _paths(end: Tensor, table: Tensor) -> Tensor:
    """Σ_{j≥0} end · tableʲ: what arrives at the end over all paths from each state."""
    unit = torch.eye(len(table), dtype=table.dtype, device=table.device)
    found = torch.linalg.solve_triangular(
        (unit - table).mT, end.unsqueeze(-1), upper=True, unitriangular=True
    )
    return found.squeeze(-1)


def _slope_bound(net: LayeredNet) -> float:
    refuse_ensemble(net)
    beta = net.activation.slope_bound
    if beta is None:
        raise SurrogateError(
            f"no bound of the slope of {net.activation.name} is known, and bounds need sup|σ'|: use one of "
            "surrogates.activations, or an Activation of your own with slope_bound"
        )
    return beta


def _norms(matrices: Tensor) -> Tensor:
    """Spectral norms over the last two axes, in float64."""
    return torch.linalg.matrix_norm(matrices.double(), 2)
