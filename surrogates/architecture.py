"""The architecture of a net as plain values, and the net again from them."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from surrogates.baselines import BASELINES
from surrogates.depth.constraint import Dependent
from surrogates.errors import SurrogateError
from surrogates.nets import FAMILIES
from surrogates.time_grid import RULES, TimeGrid

NETS: Mapping[str, type[nn.Module]] = MappingProxyType({kind.__name__: kind for kind in FAMILIES + BASELINES})
"""Every net that can be described, under the name that files use."""

FUNCTIONS: Mapping[str, Callable] = MappingProxyType(
    {
        "tanh": torch.tanh,
        "relu": torch.relu,
        "sin": torch.sin,
        "sigmoid": torch.sigmoid,
        "softplus": F.softplus,
        "gelu": F.gelu,
        "silu": F.silu,
    }
)
"""Functions of torch that can be described, under the name that files use."""

_GRIDS = {**RULES, Dependent.rule: Dependent}
_TWINS = {F.tanh: torch.tanh, F.relu: torch.relu, F.sigmoid: torch.sigmoid}  # torch has each twice
_PACKAGE = __package__ + "."


def describe(net: nn.Module) -> dict[str, Any]:
    """Return the architecture of a net of ``NETS`` as strings, numbers, and lists and dicts of them.

    It holds the constructor's arguments but for the generator, each read from the public attribute of the
    same name, and the names of frozen parameters; it does not hold parameters and buffers, which
    ``net.state_dict()`` has. An argument may be a plain value, a time grid of ``RULES``, a function of
    ``FUNCTIONS``, and a frozen dataclass or a module of this package, whose arguments are described alike. So
    a class with new options needs nothing here.

    Raises ``SurrogateError`` for another net and for another argument, such as a function of one's own, which
    no file can hold without holding code.
    """
    kind = type(net)
    if NETS.get(kind.__name__) is not kind:
        raise SurrogateError(
            f"a {kind.__name__} cannot be stored without code; use one of {', '.join(NETS)}, or keep its "
            "state_dict and build the net in your own program"
        )
    frozen = sorted(name for name, value in net.named_parameters() if not value.requires_grad)
    return {"class": kind.__name__, "arguments": _arguments(net), "frozen": frozen}


def build(description: Mapping[str, Any]) -> nn.Module:
    """Return a net of the described architecture, with weights and steps that are still to be loaded.

    Use ``net.load_state_dict(weights, assign=True)``, which keeps dtype and device of the weights. No random
    number is taken from torch's global generator. Raises ``SurrogateError`` for what ``describe`` does not
    return, or not in this version.
    """
    try:
        kind = NETS[description["class"]]
        arguments = {name: _made(value) for name, value in description["arguments"].items()}
        net = kind(**arguments, generator=torch.Generator().manual_seed(0))
        for name in description["frozen"]:
            net.get_parameter(name).requires_grad_(False)
    except (KeyError, TypeError, AttributeError, ImportError, ValueError) as error:
        raise SurrogateError(
            f"this architecture is not known here ({type(error).__name__}: {error})"
        ) from None
    return net


def _arguments(part: nn.Module) -> dict[str, Any]:
    names = [name for name in inspect.signature(type(part)).parameters if name != "generator"]
    return {name: _plain(name, getattr(part, name)) for name in names}


def _plain(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor) and value.ndim == 0:
        return value.item()
    if isinstance(value, tuple | list):
        return [_plain(name, entry) for entry in value]
    if isinstance(value, TimeGrid):
        return {"time grid": _rule(value), "layers": value.layers}
    for function, known in FUNCTIONS.items():
        if value is known or any(value is twin and known is first for twin, first in _TWINS.items()):
            return {"function": function}
    kind = type(value)
    if _is_part(kind, kind.__module__):
        if isinstance(value, nn.Module):
            arguments = _arguments(value)
        else:
            arguments = {
                field.name: _plain(name, getattr(value, field.name))
                for field in dataclasses.fields(value)
                if field.init
            }
        return {"object": f"{kind.__module__.removeprefix(_PACKAGE)}.{kind.__name__}", "arguments": arguments}
    raise SurrogateError(
        f"{name}={getattr(value, '__name__', kind.__name__)} cannot be stored without code; use one of "
        f"torch's {', '.join(FUNCTIONS)} or an object of this package, or keep the state_dict and build the net "
        "in your own program"
    )


def _made(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_made(entry) for entry in value)
    if not isinstance(value, Mapping):
        return value
    if "time grid" in value:
        return _GRIDS[value["time grid"]](value["layers"], 1.0)  # its constants come with the state_dict
    if "function" in value:
        return FUNCTIONS[value["function"]]
    module, _, name = value["object"].rpartition(".")
    kind = getattr(import_module(_PACKAGE + module), name)
    if not isinstance(kind, type) or not _is_part(kind, _PACKAGE + module):
        raise TypeError(f"{value['object']} is no part of a net")
    return kind(**{key: _made(entry) for key, entry in value["arguments"].items()})


def _rule(grid: TimeGrid) -> str:
    """The rule that makes grids of this class with these parameters and buffers."""
    for rule, make in _GRIDS.items():
        fresh = make(grid.layers, 1.0)
        if type(fresh) is type(grid) and fresh.state_dict().keys() == grid.state_dict().keys():
            return rule
    raise SurrogateError(
        f"a time grid of class {type(grid).__name__} cannot be stored without code; use one of the rules "
        f"{', '.join(_GRIDS)}"
    )


def _is_part(kind: type, module: str) -> bool:
    """Whether a class is a frozen dataclass or a module that ``module``, of this package, itself defines."""
    frozen = dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen
    return (
        kind.__module__ == module and module.startswith(_PACKAGE) and (frozen or issubclass(kind, nn.Module))
    )
