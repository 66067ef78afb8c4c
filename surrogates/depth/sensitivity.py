"""How much a layer that is not there would matter: derivatives in its step at 0, and their largest over weights."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor, nn

from surrogates import caputo
from surrogates.depth.grids import Place
from surrogates.depth.surgery import Surgery, rebuilt
from surrogates.errors import SurrogateError
from surrogates.linearisation import linearise, refuse_ensemble
from surrogates.losses import mse
from surrogates.nets.additive import AdditiveDenseNet, _later
from surrogates.nets.base import LayeredNet
from surrogates.nets.concatenating import ConcatenatingDenseNet, _unpacked
from surrogates.nets.fractional import Fractional
from surrogates.nets.recursive import RecursiveNet
from surrogates.order import Order

SAMPLES = 1024
"""Samples whose states are kept at one time; the loss sees all of them, whatever it does with them."""

MOVES = 4
"""Moves in which ``steer`` goes: a slope over weights turns within the distances of interest."""

_FAINT = 1e-200  # a step that moves no sum of steps, and leaves ratios with it exact


@dataclass(frozen=True)
class Sensitivities:
    """What ``sensitivities`` found, for the positions 0 … L of ``insert``, (L+1,), and the layers there are, (L,).

    loss                J, a scalar
    at                  s = dJ/dτ at τ = 0 of a new layer with parameters θ of its neighbour; with memory dJ/dc
    slope               ‖ds/dθ‖, over all parameters of the new layer
    size                ‖θ‖
    present             the same of the layers that there are: dJ/dτ_l by the gain alone, with memory ⟨p, f − h⟩
    present_slope       ‖d present/dθ_l‖
    present_size        ‖θ_l‖
    """

    loss: Tensor
    at: Tensor
    slope: Tensor
    size: Tensor
    present: Tensor
    present_slope: Tensor
    present_size: Tensor

    def norm(self, radius: float) -> Tensor:
        """Return sup |s(θ')| over the ball ‖θ' − θ‖ ≤ r‖θ‖ to first order, |s| + r‖θ‖ ‖ds/dθ‖, (L+1,)."""
        return self.at.abs() + radius * self.size * self.slope

    def descent(self, radius: float) -> Tensor:
        """Return sup −s(θ') over that ball to first order, not below 0, (L+1,): for steps that may only grow."""
        return (radius * self.size * self.slope - self.at).clamp_min(0)

    def mean_present(self, radius: float) -> Tensor:
        """Return the mean over the layers there are of what ``norm`` is for new ones, a scalar."""
        return (self.present.abs() + radius * self.present_size * self.present_slope).mean()


@singledispatch
def sensitivities(
    net: nn.Module, x: Tensor, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor] = mse
) -> Sensitivities:
    """Return what a new layer at each position would change, for J = loss(net(x), y) over all given samples.

    With a layer of τ = 0 at every position at once, which leaves the function and all derivatives as they are, one
    discrete adjoint has the costates p of them all, and

        s = dJ/dτ|₀ = Σ_samples ⟨p, f(y, θ)⟩,    ds/dθ = Σ_samples (σ'(z)∘p) ⊗ (y, 1).

    p is ∂J/∂y of the new state, on which the fields of all later layers act and, with memory, their recollection of
    the new increment, a_{m,l} = (1−γ)(τ_m/S_{l,m})^γ. With memory d_l = c_l (f − h) to first order in the gain
    c_l = Γ(2−γ)τ^γ, so that dJ/dτ is infinite and s is dJ/dc|₀ = ⟨p, f − h⟩. There

        h = Σ_j (S_{j,l−1}^{1−γ} − S_{j+1,l−1}^{1−γ}) d_j/(τ_j Γ(2−γ))

    is what the history by itself has of D^γ y. An additive DenseNet has a field into each later state, a
    concatenating one costates of the new entries through columns copied from its neighbour's.

    The new step is one more. Grids that keep their horizon, ``simplex`` and ``Dependent``, take it from the others,
    which adds the same number to s at all positions (with memory, nothing to dJ/dc): their order stands.

    The loss is any scalar function of all predictions, and the average over samples is its own. Costs an adjoint of
    2L+1 layers and keeps its states for ``SAMPLES`` samples. In ``FeedForward`` nets and ``Blocks`` the same is in
    weights (``plain``). Raises ``SurrogateError`` for an ensemble, a ``uniform`` grid, a net that cannot grow and
    what net and loss refuse. Source: Herberg, Herzog, Köhne, Kreis and Schiela (arXiv 2311.15995), there in weights
    that are 0.
    """
    raise SurrogateError(
        f"a {type(net).__name__} has no sensitivities, as no layer can be inserted into it: use a family of "
        "surrogates.FAMILIES, FeedForward or surrogates.depth.Blocks"
    )


@sensitivities.register(LayeredNet)
def _layered(net: LayeredNet, x: Tensor, y: Tensor, loss=mse) -> Sensitivities:
    refuse_ensemble(net)
    plan = [Place(0, new=True)]
    for number in range(net.layers):
        plan += [Place(number), Place(min(number + 1, net.layers - 1), new=True)]
    return _measured(rebuilt(net, plan), x, y, loss)


def steer(
    net: LayeredNet,
    layer: int,
    x: Tensor,
    y: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = mse,
    *,
    radius: float,
    sign: float = -1.0,
) -> float:
    """Move θ of the layer of this number, from 1, by r‖θ‖ along ``sign`` · ds/dθ, in place, and return s there.

    In ``MOVES`` moves of r‖θ‖/MOVES, each along the derivative where it starts, so θ stays in the ball of
    ``Sensitivities.norm`` and, to first order in r, reaches the s that it says. For a layer at rest, whose weights
    are of no consequence for the function: with sign −1 s falls, and where s < 0 a step from 0 upwards lowers J.
    Costs MOVES + 1 adjoints.
    """
    with torch.no_grad():
        parts = _by_layer(net, *_raw(net))[layer - 1]
        length = radius * _norm(parts) / MOVES
    for _ in range(MOVES):
        _, gradients = _pairing(net, x, y, loss)
        with torch.no_grad():
            along = _by_layer(net, *gradients)[layer - 1]
            slope = _norm(along)
            if slope == 0:  # no way is better than another, as where all units are dead
                break
            for part, gradient in zip(parts, along, strict=True):
                part += sign * length * (gradient / slope)
    return _pairing(net, x, y, loss)[0][layer - 1].item()


def _measured(surgery: Surgery, x, y, loss) -> Sensitivities:
    """All layers of an extended net, sorted into new ones and old ones."""
    net = surgery.net
    at, gradients = _pairing(net, x, y, loss)
    slope = torch.stack([_norm(parts) for parts in _by_layer(net, *gradients)])
    size = torch.stack([_norm(parts) for parts in _alone(net, surgery.plan)])
    new = torch.tensor([place.new for place in surgery.plan])
    with torch.no_grad():
        value = loss(surgery.old(x), y)
    return Sensitivities(value, at[new], slope[new], size[new], at[~new], slope[~new], size[~new])


def _pairing(net: LayeredNet, x, y, loss) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """s_l = ⟨p_l, f_l⟩ of all layers, (L,), and its derivatives in the raw weights and biases of the layers."""
    with torch.no_grad():
        prediction = torch.cat([net(part) for part in x.split(SAMPLES)])
    with torch.enable_grad():
        prediction.requires_grad_()
        (by_prediction,) = torch.autograd.grad(loss(prediction, y), prediction)
    raw = tuple(part.detach().requires_grad_() for part in _raw(net))
    found, gradients = torch.zeros(net.layers).to(prediction), [torch.zeros_like(part) for part in raw]
    for part, by_part in zip(x.split(SAMPLES), by_prediction.split(SAMPLES), strict=True):
        with torch.no_grad():
            states = net.states(part)
            costates = linearise(net, states).costates(by_part @ net.readout_weight)
        with torch.enable_grad():
            pairs = torch.stack([torch.sum(p * f) for p, f in _pairs(net, states, costates, *raw)])
            slopes = torch.autograd.grad(pairs.sum(), raw)
        found += pairs.detach()
        for total, slope in zip(gradients, slopes, strict=True):
            total += slope
        if isinstance(net, Fractional):
            found -= torch.sum(costates[1:] * _recalled(net, states), (1, 2))
    return found, tuple(gradients)


def _pairs(net: LayeredNet, states, costates, weight, bias) -> Iterator[tuple[Tensor, Tensor]]:
    """For each layer the costates that its field meets, and the field."""
    sigma = net.activation
    if isinstance(net, RecursiveNet):
        for number, (each, offset) in enumerate(zip(net.field.weights(weight), bias, strict=True)):
            yield costates[number + 1], sigma(net.field.apply(states[number], each, offset))
        return
    for number, (each, offset) in enumerate(_by_layer(net, weight, bias)):
        state = states[number][..., : each.shape[-1]]
        field = sigma(state @ each.mT + offset.unsqueeze(-2))
        if isinstance(net, AdditiveDenseNet):
            yield costates[number + 1 :], field
        else:
            yield costates[number + 1][..., each.shape[-1] : each.shape[-1] + net.growth], field


@torch.no_grad()
def _recalled(net: Fractional, states: Tensor) -> Tensor:
    """h of each layer, (L, n, width): the part of D^γ y that the history has, whatever the layer's own step."""
    steps, order = net.steps().double(), net.order() if isinstance(net.order, Order) else net.order
    a, c = caputo.memory(torch.where(steps == 0, _FAINT * steps.max(), steps), order)
    return torch.tensordot((a / c.unsqueeze(-1)).to(states.dtype), states.diff(dim=0), 1)


def _raw(net: LayeredNet) -> tuple[Tensor, Tensor]:
    return net.layer_weight, net.layer_bias


def _by_layer(net: LayeredNet, weight: Tensor, bias: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Views of the parameters of each layer, in tensors laid out as the net's."""
    if isinstance(net, AdditiveDenseNet):
        sizes = _later(net.layers)
        weights, biases = weight.split(sizes, -3), bias.split(sizes, -2)
    elif isinstance(net, ConcatenatingDenseNet):
        weights, biases = _unpacked(weight, net.width, net.growth, net.layers), bias.unbind(0)
    else:
        weights, biases = weight.unbind(0), bias.unbind(0)
    return list(zip(weights, biases, strict=True))


def _alone(net: LayeredNet, plan: Sequence[Place]) -> list[tuple[Tensor, Tensor]]:
    """The parameters that each layer of the plan would have if no other one were new."""
    found = _by_layer(net, *_raw(net))
    if isinstance(net, AdditiveDenseNet):  # maps into states that no new layer reads
        states = torch.tensor([*(not place.new for place in plan[1:]), True])
        return [(weight[states[i:]], bias[states[i:]]) for i, (weight, bias) in enumerate(found)]
    if isinstance(net, ConcatenatingDenseNet):  # columns of the lift and of old layers
        old = torch.tensor([not place.new for place in plan]).repeat_interleave(net.growth)
        read = torch.cat((torch.ones(net.width, dtype=torch.bool), old))
        return [(weight[:, read[: weight.shape[-1]]], bias) for weight, bias in found]
    return found


def _norm(parts: Sequence[Tensor]) -> Tensor:
    return torch.sqrt(sum(part.detach().square().sum() for part in parts))
