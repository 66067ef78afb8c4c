"""Gradient profile: how strongly the loss depends on each layer."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from surrogates import adjoint
from surrogates.losses import mse
from surrogates.nets.base import LayeredNet


@dataclass(frozen=True)
class GradientProfile:
    """Frobenius norms along the depth, all detached.

    states      ‖∂J/∂y_l‖, l = 0 … L, shape (L+1,): the costates of the discrete scheme
    weights     ‖∂J/∂K_l‖, l = 1 … L, shape (L,)
    steps       τ of the whole grid, with a timed lift one more than layers
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

    Costs two passes and 4L states of storage. The ``.grad`` of the parameters is untouched, gradients may be
    switched off around the call, parameters may be frozen. Norms are over the batch: with a mean as the loss they
    shrink with its size like 1/√batch, so compare batches of one size. Raises ``SurrogateError`` for an ensemble.
    Source: the exact discrete adjoint (``adjoint.solve``) of Antil, Khatri, Löhner and Verma (arXiv 2004.00719).
    """
    found = adjoint.solve(net, x, y, loss)
    return GradientProfile(
        states=found.costates.flatten(1).norm(dim=1),
        weights=torch.stack([by_weight.norm() for by_weight in found.by_weight]),
        steps=net.time().detach().clone(),
        loss=found.loss,
    )
