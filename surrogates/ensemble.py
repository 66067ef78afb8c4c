"""Ensembles: S nets of one architecture as one net whose parameters have a member axis in front.

Every operation of such a net is one batched operation for all members. Where nets are small, what a member costs
alone is mostly the calling of operations, and S members cost little more than one; ``training.fit_ensemble``
trains them so.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import override

import torch
from torch import Tensor, nn

from surrogates.errors import SurrogateError
from surrogates.nets.base import LayeredNet
from surrogates.order import Order
from surrogates.time_grid import TimeGrid


def stack(nets: Sequence[LayeredNet]) -> LayeredNet:
    """Return one net of the same class that holds copies of all nets: x (S, n, inputs) ↦ (S, n, outputs).

    An x (n, inputs) is given to every member. Member by member the result is that of the single net to round-off,
    and so are derivatives. Nets may differ in their values, in the rule and the constants of their time grid, and
    in an ``Order``, fixed or learned (an order given as a number must agree). Grids of one rule are evaluated
    together (``Grids``). The copies share nothing with the nets: ``assign`` brings values back.

    Raises ``SurrogateError`` for nets that differ in anything else, naming it, and for nets that share a
    parameter, which copies would not.
    """
    nets = list(nets)
    single = [isinstance(net, LayeredNet) and net.members is None for net in nets]
    if not nets or not all(single):
        given = f"{type(nets[single.index(False)]).__name__} is none" if nets else "the list is empty"
        raise SurrogateError(
            f"an ensemble is made of a list of single layered nets such as ResNet, but {given}"
        )
    owners = {}
    for index, net in enumerate(nets):
        for name, value in net.named_parameters():
            if owners.setdefault(id(value), index) != index:
                raise SurrogateError(
                    f"net {owners[id(value)] + 1} and net {index + 1} of an ensemble share {name}: give each a "
                    "time grid and an order of its own"
                )
        for name, here, there in _differences(nets[0], net):
            raise SurrogateError(
                f"an ensemble needs nets of one architecture, but net {index + 1} of {len(nets)} differs from the "
                f"first in {name} ({_short(there)} instead of {_short(here)}): leave it out, or make it alike"
            )
    net = _shell(nets[0])
    _merge(net, nets)
    net.members = len(nets)
    return net


def unstack(net: LayeredNet) -> list[LayeredNet]:
    """Return the members of an ensemble as single nets, each with copies of its values and its own time grid."""
    found = []
    for member in range(_count(net)):
        single = _shell(net)
        _split(single, member)
        single.members = None
        found.append(single)
    return found


def assign(net: LayeredNet, nets: Sequence[LayeredNet]) -> None:
    """Copy the values of the members into the nets that the ensemble was made of, or into others like them."""
    if len(nets) != _count(net):
        raise SurrogateError(f"an ensemble of {net.members} was to be assigned to {len(nets)} nets")
    for member, single in enumerate(nets):
        values = state(net, member)
        there = {name: value.shape for name, value in single.state_dict().items()}
        if there != {name: value.shape for name, value in values.items()}:
            raise SurrogateError(
                f"net {member + 1} of {len(nets)} is not of the architecture of its member: give the nets that "
                "the ensemble was made of, in their order"
            )
        single.load_state_dict(values)


def state(net: LayeredNet, member: int) -> dict[str, Tensor]:
    """Return what the ``state_dict`` of one member would be, as views of the ensemble's own values."""
    _count(net)
    return dict(_views(net, member))


def holders(net: LayeredNet) -> Iterator[tuple[str, nn.Parameter, tuple[int, ...] | None]]:
    """Yield each parameter of an ensemble with its name and its members: None for all, in their order."""
    for prefix, module in net.named_modules():
        members = None
        for other, part in net.named_modules():
            if isinstance(part, _Grouped) and len(part.groups) > 1:
                for index, group in enumerate(part.belongs):
                    inside = f"{other}.groups.{index}"
                    members = group if prefix == inside or prefix.startswith(f"{inside}.") else members
        for name, value in module.named_parameters(recurse=False):
            yield f"{prefix}.{name}" if prefix else name, value, members


class _Grouped(nn.Module):
    """Parts of S members that are of several kinds: those of a kind are stacked and evaluated together."""

    def __init__(self, parts: Sequence[nn.Module]):
        super().__init__()
        kinds = {}
        for member, part in enumerate(parts):
            kinds.setdefault(_kind(part), []).append(member)
        self.belongs = tuple(tuple(members) for members in kinds.values())
        groups = []
        for members in self.belongs:
            groups.append(_shell(parts[members[0]]))
            _merge(groups[-1], [parts[member] for member in members])
        self.groups = nn.ModuleList(groups)
        home = next(iter(parts[0].state_dict().values()))
        order = torch.tensor([member for members in self.belongs for member in members], device=home.device)
        self.register_buffer("place", order.argsort(), persistent=False)

    def forward(self) -> Tensor:
        found = [group() for group in self.groups]
        return found[0] if len(found) == 1 else torch.cat(found).index_select(0, self.place)

    def of(self, member: int) -> tuple[int, int]:
        """Return the group of a member and its place there."""
        group = next(index for index, members in enumerate(self.belongs) if member in members)
        return group, self.belongs[group].index(member)

    def __repr__(self):
        parts = ", ".join(f"{i + 1}: {part!r}" for i, part in enumerate(_apart(self)))
        return f"{type(self).__name__}({parts})"


class Grids(_Grouped, TimeGrid):
    """The time grids of an ensemble as one: steps (S, L), times (S, L+1), horizons (S,)."""

    def __init__(self, grids: Sequence[TimeGrid]):
        super().__init__(grids)
        self.layers = grids[0].layers

    @property
    @override
    def rule(self):
        rules = [part.rule for part in self.groups]
        return rules[0] if len(set(rules)) == 1 else [rules[self.of(i)[0]] for i in range(len(self.place))]

    @property
    @override
    def always_positive(self):
        return all(part.always_positive for part in self.groups)


class Orders(_Grouped, Order):
    """The orders of an ensemble as one: γ (S,)."""

    @property
    def learned(self):
        """Whether any of them trains."""
        return any(part.learned for part in self.groups)


_GROUPED = {TimeGrid: Grids, Order: Orders}


def _count(net: LayeredNet) -> int:
    if not isinstance(net, LayeredNet) or net.members is None:
        raise SurrogateError(
            f"this needs an ensemble, as ensemble.stack makes it, but is a {type(net).__name__}"
        )
    return net.members


def _shell(module: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers are still those of the module itself."""
    return copy.deepcopy(module, {id(value): value for value in (*module.parameters(), *module.buffers())})


def _merge(target: nn.Module, parts: Sequence[nn.Module]) -> None:
    for name, first in target._parameters.items():
        if first is not None:
            together = torch.stack([part._parameters[name].detach() for part in parts])
            target._parameters[name] = nn.Parameter(together, first.requires_grad)
    for name, first in target._buffers.items():
        if first is not None:
            target._buffers[name] = torch.stack([part._buffers[name] for part in parts])
    for name, child in target._modules.items():
        children = [part._modules[name] for part in parts]
        grouped = next((kind for base, kind in _GROUPED.items() if isinstance(child, base)), None)
        if grouped:
            target._modules[name] = grouped(children)
        elif child is not None:
            _merge(child, children)


def _split(target: nn.Module, member: int) -> None:
    for name, value in target._parameters.items():
        if value is not None:
            target._parameters[name] = nn.Parameter(value.detach()[member].clone(), value.requires_grad)
    for name, value in target._buffers.items():
        if value is not None:
            target._buffers[name] = value[member].clone()
    for name, child in target._modules.items():
        if isinstance(child, _Grouped):
            target._modules[name] = _apart(child)[member]
        elif child is not None:
            _split(child, member)


def _apart(part: _Grouped) -> list[nn.Module]:
    found = []
    for member in range(len(part.place)):
        group, place = part.of(member)
        found.append(_shell(part.groups[group]))
        _split(found[-1], place)
    return found


def _views(module: nn.Module, member: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(module, _Grouped):
        group, place = module.of(member)
        yield from _views(module.groups[group], place)
        return
    for name, value in (*module._parameters.items(), *module._buffers.items()):
        if value is not None and name not in module._non_persistent_buffers_set:
            yield name, value.detach()[member]
    for name, child in module._modules.items():
        if child is not None:
            yield from ((f"{name}.{inner}", value) for inner, value in _views(child, member))


def _kind(part: nn.Module) -> tuple:
    """What two parts must have in common to be evaluated together."""
    named = (*part.named_parameters(), *part.named_buffers())
    return type(part), tuple((name, value.shape, value.requires_grad) for name, value in named)


def _differences(
    first: nn.Module, other: nn.Module, prefix: str = ""
) -> Iterator[tuple[str, object, object]]:
    """Yield in what two nets differ beyond what members may: its name, and what it is here and there."""
    found, children = [("class", type(first), type(other))], []
    if any(isinstance(first, kind) and isinstance(other, kind) for kind in _GROUPED):
        # of another rule, even of another number of values
        homes = [next(iter(part.state_dict().values())) for part in (first, other)]
        found = [("layers", *(getattr(part, "layers", None) for part in (first, other)))]
        found += [(what, *(getattr(home, what) for home in homes)) for what in ("dtype", "device")]
    elif type(first) is type(other):
        names = [name for name in vars(first) if not name.startswith("_") and name != "training"]
        found += [(name, getattr(first, name), getattr(other, name, None)) for name in names]
        for name, here in {**first._parameters, **first._buffers}.items():
            there = getattr(other, name, None)
            if isinstance(here, Tensor) and isinstance(there, Tensor):
                looks = ("shape", "dtype", "device", "requires_grad")
                found += [(f"{name}.{look}", getattr(here, look), getattr(there, look)) for look in looks]
            elif here is not there:
                found.append((name, here, there))
        for name, child in first._modules.items():
            there = getattr(other, name, None)
            if isinstance(there, nn.Module):
                children.append((child, there, f"{prefix}{name}."))
            else:
                found.append((name, child, there))
    yield from ((prefix + name, here, there) for name, here, there in found if here != there)
    for child in children:
        yield from _differences(*child)


def _short(value: object) -> str:
    text = value.__name__ if isinstance(value, type) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
