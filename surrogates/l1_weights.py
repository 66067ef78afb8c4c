"""The weights a_{l,j} of the L1 scheme and their derivatives in closed form, packed over j < l.

With S = S_{j,l}, S' = S_{j+1,l} = S − τ_j, q = τ_j/S, r = S'/S = 1 − q and β = 1 − γ,

    a_{l,j} = (τ_l/S)^γ h(q),    h(q) = (1 − r^β)/q = Σ_{k≥0} b_k q^k,    b_0 = β, b_k = b_{k−1} (k−β)/(k+1):

ratios only, so no power overflows and a scaling of the steps drops out. The derivative has two forms, of which
each is free of cancellation where the other is not:

    q ≥ 1/64   ∂a/∂τ_j = −a/τ_j,             ∂a/∂S = β (τ_l/S)^γ/τ_j,     ∂a/∂S' = −r^{−γ} ∂a/∂S
    q < 1/64   ∂a/∂τ_j = (τ_l/S)^γ h'(q)/S,  ∂a/∂S = −(γ a + (τ_l/S)^γ h'(q) q)/S

and in both ∂a/∂τ_l = γ a/τ_l, ∂a/∂γ = a log(τ_l/S) + (τ_l/S)^γ r^β (log r)/q.
"""

from typing import override

import torch
from torch import Tensor

from surrogates.handwritten import Handwritten

NEAR = 1 / 64
"""Below this share q the derivative of h is its series, whose first term left out is below 64⁻⁹."""
_DEGREE = 9


class Weights(Handwritten):
    """The table a (..., L, L), strictly lower triangular, of steps (..., L) and orders (...), both float64.

    With its derivative written out: autograd over the formula keeps and reads some sixty arrays of L²/2 numbers.
    """

    @override
    def plain(self, tau, order):
        row, column, place = _pairs(tau)
        spans, gamma = _spans(tau), order.unsqueeze(-1)
        span = spans[..., place]
        share, rest = tau[..., column] / span, spans[..., place + 1] / span
        values = (tau[..., row] / span) ** gamma * _shared_power(share, rest, 1 - gamma)
        return _squared(tau, place, values)

    @override
    def forward(self, tau, order, keep):
        row, column, place = _pairs(tau)
        spans, gamma = _spans(tau), order.unsqueeze(-1)
        span = spans.index_select(-1, place)
        first, last = tau.index_select(-1, column), tau.index_select(-1, row)
        share, rest = first / span, spans.index_select(-1, place + 1).div_(span)
        near = share < NEAR
        # A directly summed ratio has every digit when q is almost 1, and 1 − q when it is small. The clamp matters
        # for steps more than 300 decades apart and for nothing else.
        log_rest = torch.where(near, torch.log1p(-share), rest.clamp_min_(_tiny(rest)).log_())
        reach = (last / span).log_()
        ratio = (gamma * reach).exp_()  # (τ_l/S)^γ
        fall = ((1 - gamma) * log_rest).expm1_().neg_()  # 1 − r^β
        a = ratio * fall / share
        if not keep:
            return _squared(tau, place, a), ()
        slope = _slope(share, 1 - gamma).mul_(ratio)  # (τ_l/S)^γ h'
        by_first = torch.where(near, slope / span, -a / first)
        by_span = torch.where(near, -(gamma * a + slope * share) / span, (1 - gamma) * ratio / first)
        by_rest = torch.where(near, 0.0, -by_span * (-gamma * log_rest).exp_())
        by_order = a * reach + ratio * (1 - fall) * log_rest / share if order.requires_grad else None
        return _squared(tau, place, a), (a, by_first, by_span, by_rest, by_order)

    @override
    def backward(self, inputs, kept, result, needs):
        (tau, order), (a, by_first, by_span, by_rest, by_order) = inputs, kept
        row, column, place = _pairs(tau)
        given = result.flatten(-2).index_select(-1, place)
        # S is a sum of τ_j … τ_l: what spans owe a step is a sum over columns up to it, of rows from it on.
        around = tau.new_zeros(*tau.shape[:-1], tau.shape[-1] ** 2)
        around.index_add_(-1, place, given * by_span).index_add_(-1, place + 1, given * by_rest)
        found = around.view(*tau.shape, -1).cumsum(-1).tril_().sum(-2)
        by_last = (a * given).mul_(order.unsqueeze(-1)).div_(tau.index_select(-1, row))
        found.index_add_(-1, column, given * by_first).index_add_(-1, row, by_last)
        if not needs[1]:
            return found, None
        return found, (given * by_order).sum(-1).sum_to_size(order.shape)


def _pairs(tau):
    """Row l−1 and column j−1 of each pair j < l, and its place in the square written as a vector."""
    row, column = torch.tril_indices(tau.shape[-1], tau.shape[-1], offset=-1, device=tau.device).unbind(0)
    return row, column, row * tau.shape[-1] + column


def _spans(tau):
    """S_{j,l} at row l−1, column j−1 of a square, written as a vector (..., L²).

    Summed directly for each l, from l downwards: a difference t_l − t_{j−1} of prefix sums would lose every
    digit of a short span that follows a long one.
    """
    layers = tau.shape[-1]
    return tau.unsqueeze(-2).expand(*tau.shape, layers).tril().flip(-1).cumsum(-1).flip(-1).flatten(-2)


def _squared(tau, place, values):
    """The square with these values at their places, zero elsewhere."""
    layers = tau.shape[-1]
    empty = tau.new_zeros(*tau.shape[:-1], layers * layers)
    return empty.index_copy(-1, place, values).unflatten(-1, (layers, layers))


def _tiny(values):
    return torch.finfo(values.dtype).tiny


def _slope(share, beta):
    """h'(q) by its series, all terms positive: Horner's rule on Σ_{k≥1} k b_k q^{k−1}."""
    terms = [beta]
    for k in range(1, _DEGREE + 1):
        terms.append(terms[-1] * (k - beta) / (k + 1))
    value = torch.zeros_like(share)
    for k in range(_DEGREE, 0, -1):
        value.mul_(share).add_(k * terms[k])
    return value


def _shared_power(share: Tensor, rest: Tensor, power: float | Tensor) -> Tensor:
    """h(q) = (1 − (1−q)^β)/q with q = share, 1 − q = rest, β = power ∈ (0, 1); from β at q=0 to 1 at q=1.

    For small q the value would be safe with expm1 and log1p, but its derivative is a difference of two terms
    of size 1/q, so there the binomial series β Σ_k (1−β)…(k−β)/(k+1)! q^k takes over, whose terms are all
    positive. The series is harmless for any q ≤ 1; the other branch is fed q = 1 where it is not chosen, since
    torch.where alone would multiply an infinite derivative by zero and return NaN.
    """
    near = share < NEAR
    series = torch.ones_like(share)
    for k in range(_DEGREE, 0, -1):  # Horner; the ratio of two consecutive coefficients is (k−β)/(k+1)
        series = 1 + (k - power) / (k + 1) * share * series
    # log of a directly summed ratio: exact when q → 1, where log1p(−q) would only see the rounding of q. The
    # clamp matters for float64 steps more than 300 decades apart and for nothing else.
    logarithm = torch.where(near, 1.0, rest).clamp_min(_tiny(rest)).log()
    direct = -torch.expm1(power * logarithm) / torch.where(near, 1.0, share)
    return torch.where(near, power * series, direct)
