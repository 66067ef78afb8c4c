"""A trained model as one file that stands alone: net, transforms, names, and what it was trained on."""

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from data.linear_estimate import LinearEstimate
from data.transforms import Compression, Normalise, Standardise, soften
from data.turns import Turns
from surrogates import architecture, files
from surrogates.errors import SurrogateError

FORMAT = "maxwell-inverse model"
VERSION = 3
"""Version of the file, raised when an older package could no longer read it."""

ENCODINGS: Mapping[str, type] = {kind.__name__: kind for kind in (Compression, Normalise)}
"""Input transforms that a file can hold."""


def _package() -> str:
    try:
        return importlib.metadata.version("maxwell-inverse")
    except importlib.metadata.PackageNotFoundError:  # used from a folder, without being installed
        return "unknown"


@dataclass(frozen=True, eq=False)
class Model:
    """θ̂(d) = decode⁻¹(Φ(encode(d))): observations in, parameters in their units out.

    With ``remainder`` the net says what a linear estimate E leaves: θ̂(d) = decode⁻¹(E(d) + s Φ(encode(d))).
    With ``turns`` the estimate is the mean of these over turns of the experiment, and has their symmetry exactly.

    net         Φ, (n, k) real features ↦ (n, q) standardised parameters
    encode      fitted ``data.transforms.Compression`` or ``Normalise``, (n, m) complex ↦ (n, k) features
    decode      fitted ``data.transforms.Standardise`` of the parameters: q = p if they are real, 2p if complex
    names       of the p parameters
    units       of the p parameters, "" for none; empty: unknown
    softened    whether ``data.transforms.soften`` acts on the features before they enter
    spec        the problem of the data set as plain values (``data.open(path).spec``)
    digest      of the recipe of that data set (``data.open(path).manifest.digest``)
    version     of the package that made the model
    remainder   fitted ``data.linear_estimate.LinearEstimate``, with s its ``scale``; None for none
    turns       ``data.turns.Turns`` of data and parameters; None for none

    Raises ``SurrogateError`` when net, transforms and names do not fit together.
    """

    net: nn.Module
    encode: Compression | Normalise
    decode: Standardise
    names: tuple[str, ...]
    units: tuple[str, ...] = ()
    softened: bool = False
    spec: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    version: str = field(default_factory=_package)
    remainder: LinearEstimate | None = None
    turns: Turns | None = None

    def __post_init__(self):
        for name in ("names", "units"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        count = self.decode.parameters
        turned = count if self.turns is None else self.turns.places.shape[1]
        for what, found, owner, expected in (
            ("features of encode", self.encode.components, "net expects", self.net.inputs),
            ("numbers of decode", self.decode.components, "net expects", self.net.outputs),
            ("names", len(self.names), "decode has parameters", count),
            ("units", len(self.units) or count, "decode has parameters", count),
            ("parameters of turns", turned, "decode has parameters", count),
        ):
            if found != expected:
                raise SurrogateError(
                    f"a model needs as many {what} as its {owner} ({expected}), but was given {found}"
                )

    def estimate(self, observations: np.ndarray) -> np.ndarray:
        """Return parameters (n, p), float64 or complex128, in their units for observations (n, m), complex or real.

        Transforms compute in float64 on the host, the net where and in what precision its parameters are.
        Raises ``data.DataError`` for observations of another width and for NaN.  Turns cost an estimate each.
        """
        if self.turns is not None:
            return self.turns.mean(self._estimate, observations)
        return self._estimate(observations)

    @torch.no_grad()
    def _estimate(self, observations: np.ndarray) -> np.ndarray:
        entered = self.encode(observations)
        entered = soften(entered) if self.softened else entered
        home = next(self.net.parameters())
        x = torch.as_tensor(entered, dtype=home.dtype, device=home.device)
        found = self.net(x).double().cpu().numpy()
        if self.remainder is not None:
            found = found * self.remainder.scale + self.remainder(observations)
        return self.decode.inverse(found)

    def save(self, path: str | Path) -> None:
        """Write the model to one file, whole or not at all.

        Raises ``SurrogateError`` for a net that no file can hold without code (see ``architecture.describe``)
        and for a ``spec`` that is not plain.
        """
        try:
            spec = json.dumps(dict(self.spec), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise SurrogateError(
                f"the spec of a model must be plain values that JSON can hold, but is not ({error}): give "
                "data.open(path).spec"
            ) from None
        content = {
            "format": FORMAT,
            "version": VERSION,
            "package": self.version,
            "architecture": architecture.describe(self.net),
            "weights": {name: value.detach() for name, value in self.net.state_dict().items()},
            "encode": {"class": type(self.encode).__name__, "arrays": _tensors(self.encode)},
            "softened": self.softened,
            "decode": _tensors(self.decode),
            "names": list(self.names),
            "units": list(self.units),
            "spec": spec,
            "digest": self.digest,
            "remainder": None if self.remainder is None else _tensors(self.remainder),
            "turns": None if self.turns is None else _tensors(self.turns),
        }
        with files.replaced(Path(path)) as unfinished:
            torch.save(content, unfinished)


def load(path: str | Path, device: str | torch.device = "cpu") -> Model:
    """Return the model that ``Model.save`` wrote, its net on ``device`` and in evaluation mode.

    No code from the file is run. Raises ``SurrogateError`` for a file that is missing, damaged, of another
    kind or of a newer version, and for a device that torch cannot use.
    """
    path, where = Path(path), files.device(device)
    content = files.read(path, where, "model", "train again, or put back a good copy")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SurrogateError(
            f"{path} is not a model of maxwell-inverse (expected {FORMAT!r}): give a file that Model.save wrote, "
            "such as model.pt of a finished run, or train again"
        )
    if not isinstance(content.get("version"), int) or content["version"] > VERSION:
        raise SurrogateError(
            f"{path} is of version {content.get('version')!r}, written by maxwell-inverse "
            f"{content.get('package')!r}, and this package ({_package()}) reads versions up to {VERSION}: "
            "install a newer maxwell-inverse"
        )
    try:
        net = architecture.build(content["architecture"])
        net.load_state_dict(content["weights"], assign=True)
        left, turns = content.get("remainder"), content.get("turns")
        return Model(
            net=net.eval(),
            encode=ENCODINGS[content["encode"]["class"]].from_state(_arrays(content["encode"]["arrays"])),
            decode=Standardise.from_state(_arrays(content["decode"])),
            names=tuple(content["names"]),
            units=tuple(content["units"]),
            softened=content["softened"],
            spec=json.loads(content["spec"]),
            digest=content["digest"],
            version=content["package"],
            remainder=None if left is None else LinearEstimate.from_state(_arrays(left)),
            turns=None if turns is None else Turns.from_state(_arrays(turns)),
        )
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        text = str(error).strip().splitlines()[:1] or [""]
        raise SurrogateError(
            f"{path} holds a model whose parts do not fit together ({type(error).__name__}: {text[0][:160]}): "
            "train again, or put back a good copy"
        ) from error


def _tensors(transform: Any) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(values) for name, values in transform.state().items()}


def _arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: values.cpu().numpy() for name, values in tensors.items()}
