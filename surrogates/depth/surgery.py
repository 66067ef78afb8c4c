"""A net with other layers: which number of the new net is which number of the old one, and what an optimiser keeps.

A family is described by where the numbers of its layers lie, which ``layout`` finds by the type of the net:
``layout.register(MyNet)(my_layout)`` adds one.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor, nn

from surrogates.depth.grids import Place, taken
from surrogates.errors import SurrogateError
from surrogates.nets.additive import AdditiveDenseNet, _later
from surrogates.nets.base import LayeredNet
from surrogates.nets.concatenating import ConcatenatingDenseNet, _unpacked
from surrogates.nets.recursive import RecursiveNet


@dataclass(frozen=True)
class Origin:
    """Where the entries of a parameter of the new net come from.

    name        of the parameter of the old net
    source      for each entry its number in that one, flattened; −1 for a new entry that is 0; None: all, in order
    kept        for each entry whether it is that number and not a copy of it; None for all
    """

    name: str
    source: Tensor | None = None
    kept: Tensor | None = None

    def values(self, old: Tensor) -> Tensor:
        """Return the entries with copies, from a tensor laid out as the old parameter."""
        if self.source is None:
            return old.detach().clone()
        source = self.source.to(old.device)
        room = torch.cat((old.detach().flatten(), old.new_zeros(1)))  # −1 reads the zero at the end
        return room[source]

    def carried(self, old: Tensor) -> Tensor:
        """Return what belongs to each entry by itself, as its moments do: 0 where an entry is new."""
        found = self.values(old)
        return found if self.kept is None else found.masked_fill(~self.kept.to(old.device), 0)


@dataclass(frozen=True, eq=False)
class Surgery:
    """A net with other layers, beside the one that it was made of.

    old         the net as it was, untouched
    net         the new one, which shares no tensor with it
    origins     for each parameter of the new net that has one, its origin in the old one, by name
    plan        where each layer of the new net comes from
    """

    old: nn.Module
    net: nn.Module
    origins: Mapping[str, Origin]
    plan: tuple[Place, ...]

    @property
    def layers(self) -> tuple[int, ...]:
        """Numbers of the new layers in the new net, from 1."""
        return tuple(number for number, place in enumerate(self.plan, 1) if place.new)

    def transplant(self, optimiser: torch.optim.Optimizer) -> None:
        """Give an optimiser of the old net the parameters of the new one, in place.

        What it holds for each number (moments, momentum) goes with that number, bit for bit, and is 0 for a new
        one; what it holds for a parameter as a whole (a count of steps) stays. A parameter that is new as a whole
        joins the group of those of its kind (weights or others) and has no state yet. So torch's Adam corrects the
        bias of new entries by the age of old ones, ``AdamByEntry`` by their own. Any optimiser whose state is by
        parameter: ``SurrogateError`` for ``torch.optim.LBFGS``, whose curvature pairs mix all of them.
        """
        if isinstance(optimiser, torch.optim.LBFGS):
            raise SurrogateError(
                "L-BFGS remembers curvature in all weights at once, which does not survive a change of depth: "
                "train with optimiser 'adam', or with SGD"
            )
        before, after = dict(self.old.named_parameters()), dict(self.net.named_parameters())
        heirs = {origin.name: (name, origin) for name, origin in self.origins.items()}
        names = {id(value): name for name, value in before.items()}
        groups, kinds, state = [], {}, {}
        for index, group in enumerate(optimiser.param_groups):
            groups.append([])
            for parameter in group["params"]:
                old = names.get(id(parameter))
                if old is None:
                    raise SurrogateError(
                        "this optimiser holds a parameter that is none of the net's: give the one that trains it"
                    )
                kinds.setdefault(old.rpartition(".")[2].endswith("weight"), index)
                if old in heirs:
                    name, origin = heirs[old]
                    groups[-1].append(after[name])
                    held = optimiser.state.get(parameter, {})
                    state[after[name]] = {
                        key: origin.carried(value)
                        if isinstance(value, Tensor) and value.shape == parameter.shape
                        else copy.deepcopy(value)
                        for key, value in held.items()
                    }
        for name in after.keys() - self.origins.keys():
            groups[kinds.get(name.rpartition(".")[2].endswith("weight"), 0)].append(after[name])
        order = {id(value): index for index, value in enumerate(after.values())}
        for group, parameters in zip(optimiser.param_groups, groups, strict=True):
            group["params"] = sorted(parameters, key=lambda value: order[id(value)])
        optimiser.state.clear()
        optimiser.state.update({parameter: held for parameter, held in state.items() if held})


@torch.no_grad()
def rebuilt(net: LayeredNet, plan: Sequence[Place]) -> Surgery:
    """Return the net with the layers of the plan, whose old ones must be in their order.

    Lift, readout and order are copied; so are frozen and trained as they are. Costs copies of all parameters.
    Raises ``SurrogateError`` for an ensemble, a plan without layers and a time rule that cannot follow.
    """
    if net.members is not None:
        raise SurrogateError(
            f"the depth of an ensemble cannot change, as its {net.members} members need not agree on it: train "
            "them singly"
        )
    if not plan:
        raise SurrogateError("a net cannot lose its last layer: keep one")
    lifts = (Place(0),) if net.timed_lift else ()
    on_grid = [*lifts, *(Place(place.source + net.timed_lift, place.new) for place in plan)]
    found = copy.deepcopy(net)
    found.time = taken(net.time, on_grid)
    found.layers = len(plan)
    origins = {name: Origin(name) for name, _ in net.named_parameters()}
    for name, origin in layout(net, plan).items():
        origins[name] = origin
        old = net.get_parameter(name)
        setattr(found, name, nn.Parameter(origin.values(old), requires_grad=old.requires_grad))
    for name, value in net.time.named_parameters():
        if value.ndim > 0:
            origins[f"time.{name}"] = _of_steps(
                f"time.{name}", value, found.time.get_parameter(name), on_grid
            )
    return Surgery(net, found, origins, tuple(plan))


@singledispatch
def layout(net: LayeredNet, plan: Sequence[Place]) -> Mapping[str, Origin]:
    """Return the origins of the parameters of the layers, by name."""
    raise SurrogateError(
        f"the layers of a {type(net).__name__} cannot come and go: give surrogates.depth.surgery.layout.register "
        "its class and where the numbers of its layers lie"
    )


@layout.register(RecursiveNet)
def _recursive(net: RecursiveNet, plan):
    """One slice a layer."""
    found, sources = {}, [place.source for place in plan]
    old = torch.tensor([not place.new for place in plan])
    for name in ("layer_weight", "layer_bias"):
        source = _numbers(net.get_parameter(name))[sources]
        found[name] = Origin(name, source, old.view(-1, *(1,) * (source.ndim - 1)).expand_as(source))
    return found


@layout.register(AdditiveDenseNet)
def _additive(net: AdditiveDenseNet, plan):
    """Columns K_{·,i} are layers, rows K_{l,·} the states that they read.

    A state is that of the layer which reads it, or the last one: so a layer with τ = 0, whose own reading is of no
    consequence, takes the state that it reads with it when it goes, and brings a copy of its neighbour's.
    """
    depth = len(plan)
    stands = [*(place.source for place in plan[1:]), net.layers]
    kept_row = [*(not place.new for place in plan[1:]), True]
    pairs, kept = [], []
    first = torch.tensor([0, *_later(net.layers)]).cumsum(0)  # packed position of K_{i,i}
    for column, place in enumerate(plan):
        for row in range(column, depth):
            state = max(stands[row] - 1, place.source)  # its row number in the old net, from 0
            pairs.append(int(first[place.source]) + state - place.source)
            kept.append(kept_row[row] and not place.new)
    found = {}
    for name in ("layer_weight", "layer_bias"):
        source = _numbers(net.get_parameter(name))[pairs]
        found[name] = Origin(
            name, source, torch.tensor(kept).view(-1, *(1,) * (source.ndim - 1)).expand_as(source)
        )
    return found


@layout.register(ConcatenatingDenseNet)
def _concatenating(net: ConcatenatingDenseNet, plan):
    """A layer owns its rows, and the columns of all later maps that read what it has added."""
    width, growth = net.width, net.growth
    old = torch.tensor([not place.new for place in plan])
    packed = _unpacked(_numbers(net.layer_weight), width, growth, net.layers)
    rows, kept = [], []
    for layer, place in enumerate(plan):
        row, keeps = _columns(packed[place.source], width, growth, plan[:layer])
        rows.append(row.flatten())
        kept.append((keeps & old[layer]).expand_as(row).flatten())
    bias = _numbers(net.layer_bias)[[place.source for place in plan]]
    readout, keeps = _columns(_numbers(net.readout_weight), width, growth, plan)
    return {
        "layer_weight": Origin("layer_weight", torch.cat(rows), torch.cat(kept)),
        "layer_bias": Origin("layer_bias", bias, old.unsqueeze(-1).expand_as(bias)),
        "readout_weight": Origin("readout_weight", readout, keeps.expand_as(readout)),
    }


def _columns(numbers: Tensor, width: int, growth: int, plan: Sequence[Place]) -> tuple[Tensor, Tensor]:
    """The columns of a map that reads the lift and the layers of the plan; −1 for what it did not read."""
    known = (numbers.shape[-1] - width) // growth
    parts, kept = [numbers[:, :width]], [torch.ones(width, dtype=torch.bool)]
    for place in plan:
        begin = width + place.source * growth
        part = numbers[:, begin : begin + growth]
        parts.append(part if place.source < known else numbers.new_full((len(numbers), growth), -1))
        kept.append(torch.full((growth,), not place.new and place.source < known))
    return torch.cat(parts, -1), torch.cat(kept)


def _of_steps(name: str, old: Tensor, new: Tensor, plan: Sequence[Place]) -> Origin:
    """Parameters of a grid follow the layers; one that a layer has only now (``Dependent``) is new."""
    source = torch.tensor([place.source for place in plan])[: len(new)]
    kept = torch.tensor([not place.new for place in plan])[: len(new)] & (source < len(old))
    return Origin(name, source.masked_fill(~kept, -1), kept)


def _numbers(parameter: Tensor) -> Tensor:
    return torch.arange(parameter.numel()).view(parameter.shape)
