"""What the study of depth measures: families, time rules, depths and scales of the initial weights (light)."""

import hashlib
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from experiments.errors import StudyError
from experiments.files import read_toml, validated
from experiments.specs import Count, Positive, RunSpec

SHIPPED = Path(__file__).parents[1] / "studies" / "depths.toml"
LAYOUT = 1
"""Of the files of cells; raised when an older file would be misread."""

FLOATS_TOGETHER = 10_000_000  # parameters that train as one program: with Adam and gradients some 300 MB

_STRICT = pydantic.ConfigDict(extra="forbid", frozen=True)


class Rule(pydantic.BaseModel):
    """A time rule with its start: a horizon T, or a step τ that makes the horizon τL."""

    model_config = _STRICT

    time: Literal["fixed", "free", "positive", "uniform", "simplex", "simplex-horizon"]
    horizon: Positive | None = None
    step: Positive | None = None

    @pydantic.model_validator(mode="after")
    def _one_start(self):
        if (self.horizon is None) == (self.step is None):
            raise ValueError(f"horizon is {self.horizon!r} and step {self.step!r}; give exactly one of them.")
        return self

    def start(self, layers: int) -> float:
        """The horizon at the start in a network of so many layers."""
        return self.horizon if self.step is None else self.step * layers


class Family(pydantic.BaseModel):
    """Rules that a family is measured with, and how deep it goes at most."""

    model_config = _STRICT

    rules: tuple[str, ...] = pydantic.Field(min_length=1)
    deepest: Count | None = None


class Extent(pydantic.BaseModel):
    """How much is measured: seeds 0 … `seeds`−1 of every cell; of the first `spectra` singular values too."""

    model_config = _STRICT

    depths: tuple[Count, ...] = pydantic.Field(min_length=1)
    scales: tuple[Positive, ...] = pydantic.Field(min_length=1)
    seeds: Count
    epochs: Count
    batch: Count
    snapshots: tuple[pydantic.NonNegativeInt, ...]
    spectra: Count = 1
    ensemble: Count = 30

    @pydantic.model_validator(mode="after")
    def _snapshots_from_start_to_end(self):
        taken = list(self.snapshots)
        if taken != sorted(set(taken)) or taken[:1] != [0] or taken[-1] != self.epochs:
            raise ValueError(f"snapshots are {taken}; expected ascending epochs from 0 to {self.epochs}.")
        return self


class DepthsSpec(pydantic.BaseModel):
    """The whole file."""

    model_config = _STRICT

    recipe: str
    trained_below: Positive = 0.5
    perturbations: tuple[Annotated[float, pydantic.Field(gt=0, lt=1)], ...] = (0.01, 0.1)
    network: dict = {}
    rules: dict[Annotated[str, pydantic.Field(pattern=r"^[a-z][a-z0-9-]*$")], Rule]
    families: dict[Literal["resnet", "fractional", "dense-additive", "plain"], Family]
    quick: Extent
    full: Extent


@dataclass(frozen=True)
class Cell:
    """One row of the study: its networks differ in their seed alone.

    run : of seed 0; a plain network has that of the ResNet of equal weights.  scale : factor on K_1 … K_L at the
    start.
    """

    family: str
    rule: str
    depth: int
    scale: float
    run: RunSpec

    @property
    def label(self) -> tuple[str, str, int, float]:
        """What tells the cell from all others of a study."""
        return self.family, self.rule, self.depth, self.scale


@dataclass(frozen=True)
class Depths:
    """A checked study of one extent, `spec` and `extent` being what was asked for."""

    spec: DepthsSpec
    extent: Extent
    cells: tuple[Cell, ...]

    def groups(self) -> list[tuple[Cell, ...]]:
        """Cells whose networks train as one program: whole cells of one family and depth, shallow first.

        At most `ensemble` networks and some `FLOATS_TOGETHER` parameters, but one cell at least. They follow from
        the study alone, and so do the last digits of the weights.
        """
        alike: dict[tuple[int, str], list[Cell]] = {}
        for cell in self.cells:
            alike.setdefault((cell.depth, cell.family), []).append(cell)
        found = []
        for (depth, family), members in sorted(alike.items()):
            maps = depth * (depth + 1) // 2 if family == "dense-additive" else depth
            together = min(self.extent.ensemble, FLOATS_TOGETHER // (maps * members[0].run.width ** 2))
            count = -(-len(members) // max(1, together // self.extent.seeds))
            cuts = [len(members) * k // count for k in range(count + 1)]
            found += [tuple(members[a:b]) for a, b in pairwise(cuts)]
        return found

    def key(self, cell: Cell, digest: str) -> str:
        """Name of the file of a cell on the data set of that digest: readable, and other for other numbers.

        It follows from what the study names, so that settings which other studies come to need change no name.
        """
        known = {
            "layout": LAYOUT,
            "label": cell.label,
            "run": cell.run.model_dump(exclude_unset=True),
            "seeds": self.extent.seeds,
            "snapshots": self.extent.snapshots,
            "spectra": self.extent.spectra,
            "perturbations": self.spec.perturbations,
            "data": digest,
        }
        mark = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]
        return f"{cell.family}-{cell.rule}-{cell.depth}-{cell.scale:g}-{mark}"


def load(path: str | Path | None = None, *, quick: bool = False) -> Depths:
    """Read a study of depth from a TOML file, by default the one that comes with the package."""
    file = SHIPPED if path is None else Path(path)
    spec = validated(DepthsSpec, read_toml(file), str(file))
    extent, cells = spec.quick if quick else spec.full, []
    for family, about in spec.families.items():
        for name in about.rules:
            if name not in spec.rules:
                raise StudyError(
                    f"{file}: families.{family}: there is no rule {name!r}; expected one of "
                    f"{', '.join(spec.rules)}."
                )
            rule = spec.rules[name]
            for depth in extent.depths:
                if about.deepest is not None and depth > about.deepest:
                    continue
                settings = _shared(spec, family) | {
                    "time": rule.time,
                    "layers": depth,
                    "horizon": rule.start(depth),
                    "epochs": extent.epochs,
                    "batch": extent.batch,
                }
                run = validated(RunSpec, settings, f"{file}: network, families.{family}, rules.{name}")
                cells += [Cell(family, name, depth, scale, run) for scale in extent.scales]
    return Depths(spec, extent, tuple(cells))


def _shared(spec: DepthsSpec, family: str) -> dict:
    """Settings of the network that its family has."""
    named = "resnet" if family == "plain" else family
    own = {key: value for key, value in spec.network.items() if named == "fractional" or key != "order"}
    return own | {"family": named}
