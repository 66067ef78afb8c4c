"""Gradient profile: how strongly the loss depends on each layer."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from surrogates.losses import mse
from surrogates.nets.base import LayeredNet


@dataclass(frozen=True)
class GradientProfile:
    """Frobenius norms along the depth, all detached.

    states      ‖∂J/∂y_l‖, l = 0 … L, shape (L+1,): the costates of the discrete scheme
    weights     ‖∂J/∂K_l‖, l = 1 … L, shape (L,)
    steps       τ_1 … τ_L, shape (L,)
    loss        J, a scalar
    """

    states: Tensor
    weights: Tensor
    steps: Tensor
    loss: Tensor


def profile(
    net: LayeredNet, x: Tensor, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor] = mse
) -> GradientProfile:
    """Return the gradient profile of J = loss(net(x), y); x (batch, inputs), y (batch, outputs).

    ∂J/∂y_l is the full derivative in the state: y_l changes, earlier states stay, and all later ones follow
    through the fields *and* through the memory. It is the derivative in a source added to layer l; the
    derivative in the tensor y_l that autograd would return leaves out the memory's path through
    d_l = y_l − y_{l−1}, which is wrong for a fractional net.

    Costs one forward and one backward pass and L extra states of storage. The ``.grad`` of the parameters is
    untouched, and gradients may be switched off around the call, but the layer weights must not be frozen.
    Norms are over the batch: with a mean as the loss they shrink with its size like 1/√batch, so compare
    batches of one size. Source: the exact discrete adjoint (discretise, then differentiate) of Antil, Khatri,
    Löhner and Verma (arXiv 2004.00719), for non-uniform steps.
    """
    with torch.enable_grad():
        start = net.lift(x).detach().requires_grad_()
        source = start.new_zeros(net.time.layers, *start.shape, requires_grad=True)
        weights = net.layer_weights()
        value = loss(net.readout(net.integrate(start, source)[-1]), y)
        by_start, by_source, by_weight = torch.autograd.grad(value, (start, source, weights))
    costates = torch.cat((by_start.unsqueeze(0), by_source))
    return GradientProfile(
        states=costates.flatten(1).norm(dim=1),
        weights=by_weight.flatten(1).norm(dim=1),
        steps=net.time().detach().clone(),
        loss=value.detach(),
    )
