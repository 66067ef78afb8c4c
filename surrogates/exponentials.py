"""Memory of the Caputo derivative as a sum of exponentials: cost linear in the depth, error stated."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import loggamma
from torch import Tensor

from surrogates import caputo
from surrogates.errors import SurrogateError

TOLERANCES = (1e-10, 1e-2)
"""Smallest and largest tolerance that may be asked for."""

_LARGEST = 16  # rank of the Gauss rule; at the smallest tolerance more nodes would save none elsewhere
_SINHC = 7  # terms of sinh(z)/z beyond the first that are exact to float64 for z ≤ 1/2, derivative included


@dataclass(frozen=True)
class Exponentials:
    """The tables of ``table``: L layers in blocks of B, the last one may be shorter; P exponentials.

    near    a inside the blocks, (..., L, B): row l−1, column j−1−bB for the layers bB < j < l of l's block b
    recall  U, (..., L, P): what a layer reads of the memory as it stands at the start of its block
    intake  V, (..., L, P): what an increment leaves in the memory as it stands at the end of its block
    decay   D, (..., ⌈L/B⌉, P): what is left of the memory from the start of a block to its end
    gains   c, (..., L)

    With m_0 = 0 and m_{b+1} = D_b m_b + Σ_{j in block b} V_j d_j (entry by entry), Σ_{j<l} a_{l,j} d_j is
    Σ_{j in l's block} near_{l,j} d_j + U_l · m_{b(l)}: only m, P states, is carried from block to block.
    """

    near: Tensor
    recall: Tensor
    intake: Tensor
    decay: Tensor
    gains: Tensor


def table(steps: Tensor, order: float | Tensor, tolerance: float = 1e-6, block: int = 32) -> Exponentials:
    """Return tables of the memory ã with |ã_{l,j} − a_{l,j}| ≤ ε a_{l,j}, (a, c) = ``caputo.memory``.

    An entry is an integral of a positive kernel,

        a_{l,j} = (1−γ) (τ_l^γ/τ_j) ∫_{t_{j−1}}^{t_j} (t_l−s)^{−γ} ds,

    so that a sum of exponentials with |Σ_k ω_k e^{−s_k t} − t^{−γ}| ≤ ε t^{−γ} for all t that occur gives the
    bound. It is t^{−γ} = 1/Γ(γ) ∫ exp(γx − t e^x) dx by the trapezoidal rule, x_k = x_0 + kh, s_k = e^{x_k},
    ω_k = h e^{γ x_k}/Γ(γ), with an error of three parts, each a proven bound for all δ ≤ t ≤ T:

        ε/2  the step h: Poisson's sum, 2 Σ_{n≥1} |Γ(γ + 2πi n/h)|/Γ(γ) relative to t^{−γ} for all t > 0;
        ε/4  the fast end: the nodes left out weigh Σ_k ω_k e^{−s_k δ} δ^γ, which is largest at t = δ;
        ε/4  the slow end: all (infinitely many) nodes k ≤ 0 are one measure of mass μ on (0, s_0], replaced
             by its Gauss rule of N nodes, whose error is at most μ t^{2N}/(2N)! ‖π_N‖² by the error formula
             for e^{−st}. Masses and nodes are geometric, so π_N is a little q-Jacobi polynomial (Koekoek,
             Lesky and Swarttouw, Hypergeometric Orthogonal Polynomials, 14.12; a = q^{γ−1}, b = 1, q = e^{−h})
             with a closed three-term recurrence.

    T is the time of all layers, δ the shortest first step of a block: what is closer lies inside a block,
    where a is exact. At γ = 0.5, T/δ = 1024 there are P = 12, 17, 22 exponentials for ε = 1e-4, 1e-6, 1e-8;
    P grows like log(1/ε) (log(T/δ) + log(1/ε)). Time and storage O(L(B + P)); ``block`` B trades the two.

    ``steps`` (..., L) and ``order`` as in ``caputo.memory``. Each grid has the exponentials that it has alone;
    P is the largest number of them, and a grid with fewer has others of weight 0. Tables are computed in
    float64 and rounded once to the dtype of the steps, which adds to ε. They are differentiable in steps and
    order: exponents are s_k/T with T as it moves; h, s_0, N and P are chosen on the host from the values of γ
    and T/δ (to the next power of two, so that P rarely changes in training) and are constants to the
    derivative, which is thus exact for the sum in use. Hence neither under ``torch.func.vmap`` nor in an
    exported program with learned steps. Not for shallow nets: below some hundred and fifty layers
    ``caputo.memory`` is cheaper and exact.

    Raises ``SurrogateError`` for a tolerance outside [1e-10, 1e-2], a block that is not a whole number >= 1,
    and what ``caputo.memory`` refuses; ``expansion`` is the same without looking at the values. Sources:
    Beylkin and Monzón (Appl. Comput. Harmon. Anal. 28, 2010) for the trapezoidal rule; Jiang, Zhang, Zhang and
    Zhang (Commun. Comput. Phys. 21, 2017) for the fast L1 scheme.
    """
    _check(steps, order, tolerance, block)
    return expansion(steps, order, tolerance, block)


def expansion(steps: Tensor, order: float | Tensor, tolerance: float = 1e-6, block: int = 32) -> Exponentials:
    """``table`` without the checks, for callers whose steps are positive by construction.

    A grid that has left the numbers, or whose order has, gets tables that are not finite and leaves those of
    the others as they are. One host synchronisation.
    """
    layers = steps.shape[-1]
    blocks = -(-layers // block)
    filled = torch.cat((steps, steps[..., -1:].expand(*steps.shape[:-1], blocks * block - layers)), -1)
    grouped = filled.unflatten(-1, (blocks, block))  # (..., blocks, B)
    each = order.unsqueeze(-1) if isinstance(order, Tensor) else order
    near, gains = caputo.table(grouped, each)

    tau = steps.double()
    gamma = order.double() if isinstance(order, Tensor) else tau.new_full((), order)
    share = tau / tau.sum(-1, keepdim=True)  # of the horizon, which is 1 from here on: a has degree 0
    shares = F.pad(share, (0, blocks * block - layers)).unflatten(-1, (blocks, block))
    # 0 · Σ is NaN where any step has left the numbers, whichever it is
    shortest = 0 * share.sum(-1) + (shares[..., 1:, 0].amin(-1) if blocks > 1 else 1.0)
    nodes, weights = (part.unsqueeze(-2) for part in _kernel(gamma, shortest, tolerance))  # (..., 1, P)
    gamma, share = gamma[..., None, None], share.unsqueeze(-1)  # (..., 1, 1), (..., L, 1)
    # Times within a block are sums of its own steps: t_l − t_{b(l)}, and t_{b(j)+1} − t_j, which is summed
    # from the end backwards without the layer itself.
    since = shares.cumsum(-1)
    until = F.pad(shares[..., 1:], (0, 1)).flip(-1).cumsum(-1).flip(-1)
    since, until = (times.flatten(-2)[..., :layers, None] for times in (since, until))  # (..., L, 1)
    recall = (1 - gamma) * share**gamma * weights * torch.exp(-nodes * since)
    intake = _mean_decay(nodes * share) * torch.exp(-nodes * until)
    decay = torch.exp(-nodes * shares.sum(-1, keepdim=True))
    return Exponentials(
        near=near.flatten(-3, -2)[..., :layers, :],
        recall=recall.to(steps.dtype),
        intake=intake.to(steps.dtype),
        decay=decay.to(steps.dtype),
        gains=gains.flatten(-2)[..., :layers],
    )


def dense(sums: Exponentials) -> Tensor:
    """Return ã (..., L, L) as the tables stand for it: O(L²), to look at and to test with."""
    layers, block = sums.near.shape[-2:]
    carried = sums.intake[..., :0, :]  # V of all earlier layers, as it stands at the start of the block
    rows = []
    for b, start in enumerate(range(0, layers, block)):
        here = slice(start, min(start + block, layers))
        inside = sums.near[..., here, : here.stop - start]
        beyond = inside.new_zeros(*inside.shape[:-1], layers - here.stop)
        rows.append(torch.cat((sums.recall[..., here, :] @ carried.mT, inside, beyond), -1))
        carried = torch.cat((carried * sums.decay[..., b, None, :], sums.intake[..., here, :]), -2)
    return torch.cat(rows, -2)


def _kernel(gamma: Tensor, shortest: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Nodes s (..., P) and weights ω (..., P) of t^{−γ} for t from ``shortest`` to 1; both (...), float64.

    Each grid has the nodes it has alone, then nodes 0 of weight 0. What is not a number is replaced by some
    other: neither the plan nor ``eigh`` bears it, and it comes back where the nodes meet order and steps.
    """
    gamma, shortest = torch.broadcast_tensors(gamma, shortest)
    gamma = torch.where((gamma > 0) & (gamma < 1), gamma, 0.5)
    shortest = shortest.nan_to_num(nan=1.0).clamp(torch.finfo(shortest.dtype).tiny, 1)
    values = torch.stack((gamma, shortest)).detach().reshape(2, -1).tolist()
    plans = [
        _plan(order, 2.0 ** math.ceil(-math.log2(t)), tolerance) for order, t in zip(*values, strict=True)
    ]
    gauss, most = (max(plan[part] for plan in plans) for part in (2, 3))
    h, slow, rank, count = gamma.new_tensor(plans).T.reshape(4, *gamma.shape, 1)
    power = gamma.unsqueeze(-1)
    place = torch.arange(most, dtype=h.dtype, device=h.device)
    inner, used = place < rank, place < count  # (..., P)
    scale = h / caputo.gamma_function(power)
    mass = scale * torch.exp(power * slow) / -torch.expm1(-power * h)  # Σ_{k≤0} ω_k
    gauss_place, apart = place[:gauss], inner[..., :gauss]
    diagonal = _fore(power, h, gauss_place, torch) + _back(power, h, gauss_place, torch)
    # Rows beyond the rank are apart from the others, with eigenvalues of their own above all in (0, 1].
    diagonal = torch.where(apart, diagonal, 1 + (gauss_place + 1) / gauss)
    beside = torch.where(apart[..., 1:], _squares(power, h, gauss_place[1:], torch).sqrt(), 0.0)
    beside = torch.diag_embed(beside, offset=-1)
    # both triangles: the derivative of eigh is that for a symmetric matrix, though it reads one of them
    eigenvalues, vectors = torch.linalg.eigh(torch.diag_embed(diagonal) + beside + beside.mT)
    x = torch.where(used, slow + h * (place - rank + 1), 0.0)
    beyond = (0, most - gauss)
    nodes = torch.where(inner, F.pad(slow.exp() * eigenvalues, beyond), x.exp())
    weights = torch.where(
        inner, F.pad(mass * vectors[..., 0, :].square(), beyond), scale * torch.exp(power * x)
    )
    return torch.where(used, nodes, 0.0), torch.where(used, weights, 0.0)


@lru_cache(maxsize=1024)
def _plan(order: float, reach: float, tolerance: float) -> tuple[float, float, int, int]:
    """Step h, point x_0, N and the number of all nodes, for T = 1 and δ = 1/reach."""
    low, high = math.log(0.05), math.log(2)
    n = np.arange(1, 9)  # later terms are below the rounding of the first for any step in the bracket
    for _ in range(30):
        middle = (low + high) / 2
        aliased = np.exp(loggamma(order + 2j * np.pi * n / np.exp(middle)).real - loggamma(order))
        low, high = (middle, high) if 2 * aliased.sum() <= tolerance / 2 else (low, middle)
    h = np.exp(low)
    # N nodes are enough for s_0 = e^{x_0} with μ s_0^{2N} ‖π_N‖²/(2N)! = ε/4; μ ∝ s_0^γ, and π_N is for s_0 = 1
    rank = np.arange(1, _LARGEST + 1)
    norm = np.log(_squares(order, h, rank, np)).cumsum()
    mass = np.log(h) - loggamma(order) - np.log(-np.expm1(-order * h))
    allowed = math.log(tolerance / 4) + loggamma(2 * rank + 1)
    slow = (allowed - mass - norm) / (2 * rank + order)  # (N,) x_0
    # Above x_0 a point is kept while it and all beyond it can weigh more than ε/4 at some t ≥ δ: a term
    # h (st)^γ e^{−st}/Γ(γ) falls with t from st = γ on. Beyond sδ = e⁴ there is less than 1e-20.
    count = math.ceil(float((4 + math.log(reach) - slow).max() / h))
    decay = slow[:, None] + h * np.arange(1, count + 1) - math.log(reach)  # (N, count)
    decay = decay.clip(np.log(order), 4)  # log of the largest, or worst, sδ
    terms = np.exp(order * decay - np.exp(decay)) * (h / np.exp(loggamma(order)))
    rest = terms[:, ::-1].cumsum(-1)[:, ::-1]
    total = rank + (rest > tolerance / 4).sum(-1)  # (N,)
    best = int(total.argmin())
    return float(h), float(slow[best]), int(rank[best]), int(total[best])


def _squares(gamma, h, n, xp):
    """Squares A_{n−1} C_n beside the diagonal, n ≥ 1, and factors of ‖π_n‖² = Π A_{k−1} C_k, for s_0 = 1."""
    return _fore(gamma, h, n - 1, xp) * _back(gamma, h, n, xp)


def _fore(gamma, h, n, xp):
    """A_n of the little q-Jacobi recurrence, in NumPy or torch (``xp``); 1 − q^x is −expm1(−hx)."""
    rise, middle, last = (xp.expm1(-h * (gamma + m)) for m in (n, 2 * n, 2 * n + 1))
    return xp.exp(-h * n) * (rise / middle) * (rise / last)


def _back(gamma, h, n, xp):
    """C_n of the little q-Jacobi recurrence; 0 for n = 0."""
    rise, first, middle = xp.expm1(-h * n), *(xp.expm1(-h * (gamma + m)) for m in (2 * n - 1, 2 * n))
    return xp.exp(-h * (gamma + n - 1)) * (rise / first) * (rise / middle)


def _mean_decay(x: Tensor) -> Tensor:
    """φ(x) = (1 − e^{−x})/x, x ≥ 0, without cancellation in the value and in the derivative (φ'(0) = −1/2)."""
    near = x < 1
    # Each branch is fed 1 where it is not chosen: it must neither divide by 0 nor overflow. The first is
    # φ(x) = e^{−x/2} sinh(x/2)/(x/2), a series of positive terms.
    square = (torch.where(near, x, 1.0) / 2) ** 2
    series = torch.ones_like(x)
    for k in range(_SINHC, 0, -1):
        series = 1 + square * series / (2 * k * (2 * k + 1))
    away = torch.where(near, 1.0, x)
    return torch.where(near, torch.exp(-x / 2) * series, -torch.expm1(-away) / away)


def check_tolerance(tolerance: float) -> None:
    """Raise ``SurrogateError`` unless the tolerance is a number in ``TOLERANCES``."""
    low, high = TOLERANCES
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not low <= tolerance <= high:
        raise SurrogateError(
            f"the tolerance of a sum of exponentials must be a number from {low:g} to {high:g}, but "
            f"tolerance={tolerance!r}; caputo.memory is the exact table"
        )


def _check(steps, order, tolerance, block):
    caputo.check_order(order)
    check_tolerance(tolerance)
    if isinstance(block, bool) or not isinstance(block, int) or block < 1:
        raise SurrogateError(f"a block needs a whole number of layers, at least 1, but block={block!r}")
    caputo.check_steps(steps, order)
