"""From a specification to runs: cells of the grid, arms in each, trials of the tuning, and the final runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from experiments.errors import StudyError
from experiments.files import read_toml, validated
from experiments.protocol.spec import ArmSpec, ComparisonSpec, GridSpec, ProtocolSpec
from experiments.specs import RunSpec

SHIPPED = Path(__file__).parents[1] / "studies"
TUNING_SEEDS = 1_000_000
"""First seed of the tuning, so that no network of a table has been looked at to choose its settings."""

TUNING_DRAW = 20260101
"""Seed of the Sobol sequence of trials."""

Settings = Mapping[str, float]
"""What the tuning chooses: learning_rate, weight_decay and horizon, or fewer."""


@dataclass(frozen=True, order=True)
class Cell:
    """One place of the grid: all that the arms compared in it share."""

    data: str
    family: str
    layers: int
    noise: float
    samples: int | None = None
    network: str | None = None

    @property
    def name(self) -> str:
        """Name of its folder."""
        some = "" if self.samples is None else f"-n{self.samples}"
        some += "" if self.network is None else f"-{self.network}"
        return f"{self.data}/{self.family}-L{self.layers}-noise{self.noise:g}{some}"


@dataclass(frozen=True)
class Variant:
    """An arm in a cell, run from `seeds` seeds."""

    cell: Cell
    arm: str
    seeds: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.cell.name}/{self.arm}"


@dataclass(frozen=True)
class Plan:
    """A checked study.  `spec` has its quick settings applied if it is `quick`.

    whole : how many comparisons the study has on all of its data sets, if this is it on some (None: those it has).
    """

    spec: ProtocolSpec
    quick: bool
    whole: int | None = None

    @cached_property
    def variants(self) -> list[Variant]:
        """Every arm of every cell, once, in the order of the grid; with the most seeds that any block asks for.

        An arm that a family cannot have (free steps in a fractional network, learned ones in a feed-forward
        network) is left out.
        """
        found: dict[tuple[Cell, str], int] = {}
        for cell, block in self._cells():
            for arm in block.arms:
                if self._possible(cell, arm):
                    seeds = block.seeds or self.spec.seeds
                    found[cell, arm] = max(seeds, found.get((cell, arm), 0))
        return [Variant(cell, arm, seeds) for (cell, arm), seeds in found.items()]

    @cached_property
    def comparisons(self) -> list[tuple[ComparisonSpec, Variant, Variant]]:
        """Every question with the two variants that answer it, in every cell that has both from two seeds or more.

        One seed each compares two networks and not two ways to train them.
        """
        by_name = {variant.name: variant for variant in self.variants if variant.seeds > 1}
        found = []
        for about in self.spec.comparisons:
            for baseline in by_name.values():
                other = by_name.get(f"{baseline.cell.name}/{about.other}")
                if baseline.arm == about.baseline and other is not None:
                    found.append((about, baseline, other))
        return found

    @property
    def family(self) -> int:
        """How many comparisons of the whole study share one error rate."""
        return len(self.comparisons) if self.whole is None else self.whole

    @cached_property
    def _given(self) -> dict[Cell, Settings | None]:
        """Settings of each cell, None where it is tuned; StudyError where two blocks differ."""
        found: dict[Cell, Settings | None] = {}
        for cell, block in self._cells():
            settings = block.settings and block.settings.model_dump(exclude_none=True)
            if found.setdefault(cell, settings) != settings:
                raise StudyError(
                    f"{self.spec.title}: {cell.name} stands in blocks of the grid with other settings, or with "
                    "and without; give it the same in all, for its arms share how they are chosen."
                )
        return found

    def given(self, variant: Variant) -> Settings | None:
        """The settings that the study gives to a variant, which is then not tuned; None for one that is."""
        return self._given[variant.cell]

    def _cells(self) -> Iterator[tuple[Cell, GridSpec]]:
        for block in self.spec.grid:
            samples, networks = block.samples or (None,), block.networks or (None,)
            settings = (block.data, block.noise, block.families, block.layers, samples, networks)
            for data, noise, family, layers, *some in product(*settings):
                yield Cell(data, family, layers, noise, *some), block

    def _possible(self, cell: Cell, arm: str) -> bool:
        about = self.spec.arms[arm]
        plain = about.time == "fixed" and about.depth is None and about.regularisers is None
        return not (
            (cell.family == "fractional" and about.time == "free")
            or (cell.family == "feed-forward" and not plain)
        )

    @cached_property
    def points(self) -> list[dict[str, float]]:
        """Settings of the trials, the same for every arm: a scrambled Sobol sequence in the logarithms."""
        import numpy as np
        from scipy.stats import qmc

        tuning = self.spec.tuning
        ranges = {name: getattr(tuning, name) for name in ("learning_rate", "weight_decay", "horizon")}
        unit = qmc.Sobol(len(ranges), rng=np.random.default_rng(TUNING_DRAW)).random_base2(
            max(tuning.trials - 1, 1).bit_length()
        )[: tuning.trials]
        return [
            {
                name: float(f"{about.low * (about.high / about.low) ** u:.3g}")
                for (name, about), u in zip(ranges.items(), point, strict=True)
            }
            for point in unit.tolist()
        ]

    def run(self, variant: Variant, settings: Settings, seed: int) -> RunSpec:
        """The specification of one run of a variant with the settings that the tuning tries or has chosen."""
        cell, arm = variant.cell, self.spec.arms[variant.arm]
        table = {
            **self.spec.network,
            **self.spec.data[cell.data].network,
            **(self.spec.networks[cell.network] if cell.network else {}),
            "family": cell.family,
            "layers": arm.layers or cell.layers,
            "noise": cell.noise,
            "samples": cell.samples,
            "learning_rate": settings["learning_rate"],
            "weight_decay": settings["weight_decay"],
            "seed": seed,
        }
        if cell.family != "feed-forward":
            table |= {"time": arm.time, "horizon": _horizon(arm, settings)}
            table |= {"depth": arm.depth, "regularisers": arm.regularisers}
        return validated(RunSpec, table, f"{self.spec.title}: {variant.name}")

    def trials(self) -> dict[str, RunSpec]:
        """Runs of the tuning: name to specification; none of variants whose settings are given."""
        return {
            name: spec
            for variant in self.variants
            if self.given(variant) is None
            for name, spec in self.trials_of(variant).items()
        }

    def trials_of(self, variant: Variant) -> dict[str, RunSpec]:
        """Runs of the tuning of one variant."""
        return {
            trial_name(variant, number, seed): self.run(variant, point, TUNING_SEEDS + seed)
            for number, point in enumerate(self.points)
            for seed in range(self.spec.tuning.seeds)
        }

    def finals(self, chosen: Mapping[str, Settings]) -> dict[str, RunSpec]:
        """Runs that are evaluated, with the settings chosen for, or given to, each variant by its name.

        Names count seeds from 0, wherever those of the study begin.
        """
        return {
            run_name(variant, number): self.run(
                variant, self.given(variant) or chosen[variant.name], self.spec.first_seed + number
            )
            for variant in self.variants
            for number in range(variant.seeds)
        }


def trial_name(variant: Variant, number: int, seed: int) -> str:
    """Name of the folder of a trial."""
    return f"{variant.name}/trial{number}-seed{seed}"


def run_name(variant: Variant, seed: int) -> str:
    """Name of the folder of a run."""
    return f"{variant.name}/seed{seed}"


def _horizon(arm: ArmSpec, settings: Settings) -> float:
    return settings["horizon"] if arm.horizon == "tuned" else arm.horizon


def load(path: str | Path, quick: bool = False, data: Sequence[str] = ()) -> Plan:
    """Read a study: a TOML file, or the name of one that comes with the package (`learned_steps`).

    quick : apply its table `[quick]`, whose tables change single keys and whose other values replace.
    data : names of the data sets to which it is restricted (default: all); its runs there are those of the whole.
    """
    file, shipped = Path(path), {f.stem: f for f in sorted(SHIPPED.glob("*.toml"))}
    if not file.is_file() and str(path) in shipped:
        file = shipped[str(path)]
    table = read_toml(file)
    changes = table.pop("quick", None)
    if quick:
        if changes is None:
            raise StudyError(f"{file}: has no table [quick]; leave out --quick, or add one.")
        table = merged(table, changes)
    spec = validated(ProtocolSpec, table, str(file))
    plan = Plan(_restricted(spec, data), quick, len(Plan(spec, quick).comparisons))
    for variant in plan.variants:  # a wrong setting of a network is told now
        plan.run(variant, plan.given(variant) or plan.points[0], 0)
    return plan


def _restricted(spec: ProtocolSpec, data: Sequence[str]) -> ProtocolSpec:
    """The study on some of its data sets alone; all if none is named."""
    used = {name for block in spec.grid for name in block.data}
    for name in data:
        if name not in used:
            known = ", ".join(name for name in spec.data if name in used)
            raise StudyError(f"{spec.title}: has no data set {name!r}; expected some of {known}.")
    if not data:
        return spec
    there = [(block, tuple(name for name in block.data if name in data)) for block in spec.grid]
    grid = tuple(block.model_copy(update={"data": names}) for block, names in there if names)
    networks = {name for block in grid for name in block.networks}
    changes = {
        "data": {name: about for name, about in spec.data.items() if name in data},
        "grid": grid,
        "networks": {name: settings for name, settings in spec.networks.items() if name in networks},
    }
    return spec.model_copy(update=changes)


def merged(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`table` with `changes`: tables key by key, everything else replaced."""
    both = {
        key: merged(table[key], value)
        if isinstance(value, Mapping) and isinstance(table.get(key), Mapping)
        else value
        for key, value in changes.items()
    }
    return {**table, **both}
