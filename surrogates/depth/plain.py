"""Nets without time steps that grow: feed-forward by identities, residual blocks by zero outer weights."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from surrogates import activations
from surrogates.baselines import Blocks, FeedForward
from surrogates.depth.grids import Place
from surrogates.depth.insertion import insert, placed
from surrogates.depth.pruning import prune
from surrogates.depth.sensitivity import Sensitivities, sensitivities
from surrogates.depth.surgery import Origin, Surgery
from surrogates.errors import SurrogateError
from surrogates.losses import mse

Plain = FeedForward | Blocks


@insert.register(FeedForward)
@insert.register(Blocks)
@torch.no_grad()
def _insert(net: Plain, positions) -> Surgery:
    """K = I, b = 0 after g layers of a feed-forward net with ReLU, whose outputs it does not change; or V = 0."""
    given = placed(net.layers, positions)
    if isinstance(net, FeedForward) and not _keeps_itself(net.activation):
        name = getattr(net.activation, "__name__", type(net.activation).__name__)
        raise SurrogateError(
            "an identity layer changes a feed-forward net unless σ(σ(z)) = σ(z), as for ReLU, but its activation "
            f"is {name}: use torch.relu, or a net with skips"
        )
    plan = []
    for position in range(net.layers + 1):
        plan += [Place(min(position, net.layers - 1), new=True)] if position in given else []
        plan += [Place(position)] if position < net.layers else []
    return _rebuilt(net, plan)


@prune.register(FeedForward)
@prune.register(Blocks)
def _prune(net: Plain, layer: int) -> Surgery:
    """Layer 1 … L; the first map of a feed-forward net is its lift."""
    if (
        isinstance(layer, bool)
        or not isinstance(layer, int)
        or not 1 <= layer <= net.layers
        or net.layers == 1
    ):
        raise SurrogateError(
            f"a net of {net.layers} layers has layers 1 … {net.layers} of which one must stay, but layer={layer!r}"
        )
    return _rebuilt(net, [Place(number) for number in range(net.layers) if number != layer - 1])


@sensitivities.register(FeedForward)
@sensitivities.register(Blocks)
def _sensitivities(net: Plain, x: Tensor, y: Tensor, loss=mse) -> Sensitivities:
    """‖∂J/∂K‖ at K = I, or ‖∂J/∂V‖ at V = 0, of a layer at every position, and of the weights that there are.

    In weights: ``at`` is 0, ``size`` 1 and ``slope`` the norm, so that ``norm(r)`` is the largest change of J to
    first order over weights in a ball of radius r. With layers at all positions at once, by one pass.
    """
    grown = insert(net, range(net.layers + 1))
    weights = [_weight(grown.net, number) for number in range(grown.net.layers)]
    with torch.enable_grad():
        value = loss(grown.net(x), y)
        gradients = torch.autograd.grad(value, weights)
    slope = torch.stack([gradient.norm() for gradient in gradients])
    new = torch.tensor([place.new for place in grown.plan])
    none, one = torch.zeros_like(slope), torch.ones_like(slope)
    parts = [part for mask in (new, ~new) for part in (none[mask], slope[mask], one[mask])]
    return Sensitivities(value.detach(), *parts)


def _keeps_itself(activation) -> bool:
    return isinstance(activation, nn.ReLU) or isinstance(activations.of(activation), activations.ReLU)


def _weight(net: Plain, number: int) -> nn.Parameter:
    if isinstance(net, FeedForward):
        return net.hidden[number + 1].weight  # hidden[0] is the lift
    return net.hidden[number].outer.weight


@torch.no_grad()
def _rebuilt(net: Plain, plan: Sequence[Place]) -> Surgery:
    lifts = int(isinstance(net, FeedForward))
    found, parts = copy.deepcopy(net), []
    origins = {name: Origin(name) for name, _ in net.named_parameters() if not name.startswith("hidden.")}
    for number in range(lifts):
        parts.append(found.hidden[number])
        origins |= {
            f"hidden.{number}.{name}": Origin(f"hidden.{number}.{name}")
            for name, _ in parts[-1].named_parameters()
        }
    for place in plan:
        source = place.source + lifts
        part = copy.deepcopy(net.hidden[source])
        if place.new and lifts:
            nn.init.eye_(part.weight)
            nn.init.zeros_(part.bias)
        elif place.new:
            nn.init.zeros_(part.outer.weight)
        else:
            here = len(parts)
            origins |= {
                f"hidden.{here}.{name}": Origin(f"hidden.{source}.{name}")
                for name, _ in part.named_parameters()
            }
        parts.append(part)
    found.hidden, found.layers = nn.ModuleList(parts), len(plan)
    return Surgery(net, found, origins, tuple(plan))
