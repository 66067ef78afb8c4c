"""Checkpoint files: complete, atomic, and read without running code from them."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from surrogates import files
from surrogates.errors import SurrogateError
from surrogates.nets.base import LayeredNet

_FORMAT = "maxwell-inverse training 2"


def save(path: Path, content: dict[str, Any]) -> None:
    """Write the content so that the file is, at any instant, either the old one or the new one.

    See ``files.replaced``. Tensors, numbers, strings,
    and lists and dicts of them are allowed.
    """
    with files.replaced(path) as unfinished:
        torch.save({"format": _FORMAT, **content}, unfinished)


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a file that ``save`` wrote; anything else raises ``SurrogateError`` naming it."""
    content = files.read(
        path, device, "checkpoint", "remove it to train from the start, or put back a good copy"
    )
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise SurrogateError(
            f"{path} is not a training checkpoint of this version (expected {_FORMAT!r}): give another "
            "path, or remove it to train from the start"
        )
    return content


def architecture(net: nn.Module) -> dict[str, Any]:
    """What must agree for weights to have the same meaning: class, description, shapes, constants, what trains.

    Constants are buffers, by value: a net of horizon 2 or order 0.7 is not the net of horizon 1 or order 0.3.
    Present learned steps do not count.
    """
    times = isinstance(net, LayeredNet)
    found = {
        "class": type(net).__name__,
        "description": net.extra_repr(),
        "shapes": {name: list(value.shape) for name, value in net.state_dict().items()},
        "dtypes": sorted({str(value.dtype) for value in net.state_dict().values()}),
        "frozen": sorted(name for name, value in net.named_parameters() if not value.requires_grad),
        "constants": {
            name: value.tolist()
            for name, value in net.named_buffers()
            if not (times and name.startswith("time."))
        },
    }
    if times:
        found["time rule"] = net.time.rule
        found["time constants"] = {name: value.tolist() for name, value in net.time.named_buffers()}
    return found


def lasting(start: dict[str, Any], net: nn.Module) -> dict[str, Any]:
    """The architecture at the start of a training without the buffers that the training itself has moved.

    Such as the running means of a batch normalisation, which go on with the weights.
    """
    present = dict(net.named_buffers())
    kept = {name: value for name, value in start["constants"].items() if present[name].tolist() == value}
    return {**start, "constants": kept}


def check(
    path: Path, content: dict[str, Any], start: dict[str, Any], settings: dict[str, Any], extensible: bool
) -> None:
    """Raise ``SurrogateError`` unless the checkpoint continues this very run, of a net of architecture ``start``.

    The number of epochs may be raised when the schedule is ``extensible``: no epoch depends on it.
    """
    there, here = dict(content["architecture"]), dict(start)
    constants, found = there.pop("constants"), here.pop("constants")
    differ = _differences(there, here) or _differences(
        constants, {name: value for name, value in found.items() if name in constants}
    )
    if differ:
        raise SurrogateError(
            f"{path} belongs to another net ({differ}): build that net, give another checkpoint path, or "
            "pass resume=False to overwrite it"
        )
    before = dict(content["settings"])
    if extensible and content["epoch"] <= settings["epochs"]:
        before["epochs"] = settings["epochs"]
    differ = _differences(before, settings)
    if differ:
        raise SurrogateError(
            f"{path} was trained with other settings ({differ}): give those, give another checkpoint "
            "path, or pass resume=False to overwrite it"
        )


def _differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    return "; ".join(
        f"{name} {_short(there.get(name))} there, {_short(here.get(name))} here" for name in names
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
