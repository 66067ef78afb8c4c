"""Jacobians of the last state in an earlier one, and of the net in its input: products, matrices, singular values.

∂y_L/∂y_l is meant as the costates are: y_l moves, earlier states stay, and all later ones follow through the fields
and through the memory. All samples go side by side, each with a Jacobian of its own. With a state that grows
(``ConcatenatingDenseNet``) y_l has the entries that are born by then, and the Jacobian as many columns.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from surrogates.analysis.singular_values import Exact, Lanczos, Method, Product, SingularValues, matrix
from surrogates.errors import SurrogateError
from surrogates.linearisation import Linearised, linearise, refuse_ensemble, value_and_slope
from surrogates.nets.base import LayeredNet

_DENSE = 256  # columns up to which the whole matrix is the default


@torch.no_grad()
def products(net: LayeredNet, x: Tensor, layer: int = 0) -> tuple[Product, Product]:
    """Return (jvp, vjp) with J = ∂y_L/∂y_l at each of the samples x (n, inputs): ⟨J v, p⟩ = ⟨v, Jᵀ p⟩.

    jvp: v (…, n, columns) ↦ J v (…, n, state_width), vjp: p (…, n, state_width) ↦ Jᵀ p (…, n, columns), several
    at once in front; columns = state_width unless the state grows. The net is linearised once, at its weights of
    now, and a product costs the layers after l, like a pass through them. Nothing has a graph. Raises
    ``SurrogateError`` for a layer that is not one of 0 … L, for an ensemble, and for what the net refuses.
    """
    found = _linearised(net, x, layer)
    columns, padding = found.widths[layer], net.state_width - found.widths[layer]

    @torch.no_grad()
    def jvp(v: Tensor) -> Tensor:
        return found.tangent(F.pad(v, (0, padding)), layer)

    @torch.no_grad()
    def vjp(p: Tensor) -> Tensor:
        return found.costates(p, layer)[0][..., :columns]

    return jvp, vjp


@torch.no_grad()
def input_products(net: LayeredNet, x: Tensor) -> tuple[Product, Product]:
    """Return (jvp, vjp) with J = ∂Φ/∂x, of readout, layers and lift, at each of the samples x (n, inputs).

    jvp: v (…, n, inputs) ↦ J v (…, n, outputs), vjp: p (…, n, outputs) ↦ Jᵀ p (…, n, inputs); otherwise as
    ``products``.
    """
    forth, back = products(net, x)
    _, slope = value_and_slope(net.activation, net.affine(x, net.lift_weight, net.lift_bias))
    if net.timed_lift:
        slope = slope * net.time()[0]
    lift, readout = net.lift_weight.detach().clone(), net.readout_weight.detach().clone()

    def jvp(v: Tensor) -> Tensor:
        return forth(slope * (v @ lift.mT)) @ readout.mT

    def vjp(p: Tensor) -> Tensor:
        return (slope * back(p @ readout)) @ lift

    return jvp, vjp


def jacobian(net: LayeredNet, x: Tensor, layer: int = 0) -> Tensor:
    """Return ∂y_L/∂y_l for x (n, inputs), (n, state_width, columns); exact, by one product for each column.

    Storage (L−l) · n · columns · state_width on the way. Raises what ``products`` raises.
    """
    jvp, vjp = products(net, x, layer)
    return matrix(jvp, vjp(x.new_zeros(len(x), net.state_width)))


@torch.no_grad()
def layer_jacobians(net: LayeredNet, x: Tensor) -> list[Tensor]:
    """Return ∂y_L/∂y_l for l = 0 … L, each as ``jacobian``, all from one adjoint sweep over state_width costates.

    Storage (L+1) · n · state_width². Raises what ``products`` raises.
    """
    found = _linearised(net, x, 0)
    unit = torch.eye(net.state_width, dtype=x.dtype, device=x.device)
    rows = found.costates(unit.unsqueeze(1).expand(-1, len(x), -1))  # (L+1, rows, n, columns)
    return [part.transpose(0, 1)[..., :columns] for part, columns in zip(rows, found.widths, strict=True)]


def extreme_singular_values(
    net: LayeredNet, x: Tensor, layer: int = 0, method: Method | None = None
) -> SingularValues:
    """Return the largest and the smallest singular value of ∂y_L/∂y_l at each of the samples x (n, inputs).

    ``method`` is ``Exact()`` or ``Lanczos()``, by default the first up to 256 columns; give fewer samples where n
    matrices do not fit. The result tells residuals, from products of their own. Raises ``AccuracyError`` when
    Lanczos does not converge in the steps allowed, and what ``products`` raises.
    """
    jvp, vjp = products(net, x, layer)
    like = vjp(x.new_zeros(len(x), net.state_width))
    method = method or (Exact() if like.shape[-1] <= _DENSE else Lanczos())
    return method.find(jvp, vjp, like, net.state_width)


def _linearised(net: LayeredNet, x: Tensor, layer: int) -> Linearised:
    refuse_ensemble(net)
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer <= net.layers:
        raise SurrogateError(
            f"this {type(net).__name__} has the states y_0 … y_{net.layers}, but layer={layer!r}: give a whole "
            f"number from 0 to {net.layers}"
        )
    return linearise(net, net.states(x))
