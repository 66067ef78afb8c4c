"""Memory of the Caputo derivative: exact weights of the L1 scheme on a non-uniform grid."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from surrogates.errors import SurrogateError
from surrogates.l1_weights import Weights


def memory(steps: Tensor, order: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return (a, c) of the L1 scheme for the Caputo derivative of order γ ∈ (0, 1).

    The derivative D^γ y(t_l) = 1/Γ(1−γ) ∫_0^{t_l} (t_l−s)^{−γ} y'(s) ds of the interpolant that is linear
    between the points, multiplied by c_l, is d_l + Σ_{j<l} a_{l,j} d_j with d_l = y_l − y_{l−1} and

        c_l     = Γ(2−γ) τ_l^γ
        a_{l,j} = (τ_l^γ/τ_j) (S_{j,l}^{1−γ} − S_{j+1,l}^{1−γ}),    S_{j,l} = τ_j + … + τ_l.

    ``steps`` (..., L), all positive, one grid along the last axis; ``order`` γ, a number, or a tensor that is
    0-dimensional or has one order for each grid (it broadcasts with the leading axes). a (..., L, L) strictly
    lower triangular (row l−1, column j−1); c (..., L). Both are differentiable in steps and order, a is
    homogeneous of degree 0 in the steps and c of degree γ. Order of accuracy 2−γ for smooth y (Lin and Xu,
    J. Comput. Phys. 225, 2007); as the memory of a network: Antil, Khatri, Löhner and Verma (arXiv
    2004.00719). Time and storage O(L²) for each grid, in float64 whatever the dtype of the steps, rounded
    once at the end: relative accuracy is that of the dtype even for steps from 1e-8 to 1e3.

    Do not use it for y with a weak singularity at 0 on a uniform grid (order γ only: grade the grid), nor for
    thousands of layers, where L² numbers hurt (``exponentials``). Raises ``SurrogateError`` for an order
    outside (0, 1) or steps that are not positive and finite; ``table`` is the same without looking at the
    values.
    """
    check_order(order)
    check_steps(steps, order)
    return table(steps, order)


def table(steps: Tensor, order: float | Tensor) -> tuple[Tensor, Tensor]:
    """``memory`` without the checks, for callers whose steps are positive by construction.

    Evaluated as a_{l,j} = (τ_l/S_{j,l})^γ h(q) with the share q = τ_j/S_{j,l} ∈ (0, 1] and
    h(q) = (1 − (1−q)^{1−γ})/q: ratios only, so no power overflows and a scaling of the steps drops out.
    """
    tau = steps.double()
    gamma = order.double() if isinstance(order, Tensor) else tau.new_full((), order)
    a = Weights()(tau, gamma)
    c = gamma_function(2 - gamma).unsqueeze(-1) * tau ** gamma.unsqueeze(-1)
    return a.to(steps.dtype), c.to(steps.dtype)


def table_at_rest(steps: Tensor, order: float | Tensor) -> tuple[Tensor, Tensor]:
    """The limit of ``table`` as steps that are exactly 0 come from above: such a layer l does nothing.

    Its gain c_l and its row a_{l,·} are 0 like τ_l^γ, hence d_l = 0 and y_l = y_{l−1}; the entries a_{m,j} of other
    layers are those of the grid without it. Its column is what a source at l would leave in the memory,
    a_{m,l} = (1−γ) (τ_m/S_{l,m})^γ. The derivatives in a step at rest, which are infinite, are returned as 0: such
    a layer stays at rest in training. Cost that of ``table``.
    """
    awake = steps > 0
    # small enough not to move any sum of steps, and large enough for ratios of it
    filled = torch.where(awake, steps.double(), 1e-200 * steps.detach().double().amax(-1, keepdim=True))
    a, c = table(filled, order)
    a = torch.where(awake.unsqueeze(-1), a, 0)
    return a.to(steps.dtype), torch.where(awake, c, 0).to(steps.dtype)


def convex_weights(a: Tensor) -> Tensor:
    """Return w (..., L, L), lower triangular, with y_l = Σ_{k<l} w_{l,k} y_k + c_l f_l; row l−1, column k.

    w_{l,0} = a_{l,1} and w_{l,k} = a_{l,k+1} − a_{l,k} with a_{l,l} = 1. Each row sums to 1, and w > 0 for
    any positive steps: hence |y_l| ≤ max_{k<l} |y_k| + c_l |f_l|. The difference cancels: an entry is exact
    to the round-off of 1, not of itself, so do not divide by one. ``a`` = 0 gives the ResNet, w_{l,l−1} = 1.
    """
    closed = a + torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    return torch.tril(closed - F.pad(closed, (1, 0))[..., :-1])


def gamma_function(argument: float | Tensor) -> float | Tensor:
    """Γ(x) of a positive number or tensor, differentiable in the latter; to round-off for x ∈ (0, 2)."""
    return argument.lgamma().exp() if isinstance(argument, Tensor) else math.gamma(argument)


def check_order(order: float | Tensor) -> None:
    """Raise ``SurrogateError`` unless the order is a number, or a real tensor, in the open interval (0, 1)."""
    if isinstance(order, Tensor):
        met = order.is_floating_point() and bool(((order > 0) & (order < 1)).all())
    else:
        met = not isinstance(order, bool) and isinstance(order, int | float) and 0 < order < 1
    if not met:
        given = order.detach().tolist() if isinstance(order, Tensor) else order
        raise SurrogateError(
            f"the order of a Caputo derivative must lie strictly between 0 and 1, but order={given!r}; "
            "order 1 is a ResNet"
        )


def check_steps(steps: Tensor, order: float | Tensor) -> None:
    """Raise ``SurrogateError`` unless ``steps`` are grids (..., L) of positive steps, with an order for each."""
    if steps.ndim < 1 or steps.shape[-1] < 1 or not steps.is_floating_point():
        raise SurrogateError(
            f"the memory needs vectors of at least one real step, but was given shape "
            f"{tuple(steps.shape)} of {steps.dtype}"
        )
    if isinstance(order, Tensor) and order.ndim > 0 and order.shape != steps.shape[:-1]:
        raise SurrogateError(
            f"the order must be one number or one for each grid, of shape {tuple(steps.shape[:-1])} for steps "
            f"of shape {tuple(steps.shape)}, but its shape is {tuple(order.shape)}"
        )
    if isinstance(order, Tensor) and order.device != steps.device:
        raise SurrogateError(
            f"the order is on {order.device} and the steps are on {steps.device}: move one of them with "
            ".to(...)"
        )
    if not bool((steps.isfinite() & (steps > 0)).all()):
        raise SurrogateError(
            f"the memory of a fractional derivative needs positive, finite steps, but was given "
            f"{steps.detach().tolist()}: use a fixed, positive or simplex time grid"
        )
