"""All that a report is made of: the specification, tables as text, score sheets, and the problems themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

import data
from experiments.errors import StudyError
from experiments.files import read_json, validated
from experiments.protocol import entries
from experiments.protocol.entries import BOUND, Entry, Row
from experiments.protocol.folder import Folder
from experiments.protocol.plan import Cell, Plan
from experiments.protocol.report.looks import Look, looks
from experiments.protocol.sheets import Place
from experiments.protocol.spec import ProtocolSpec
from experiments.protocol.tables import read

TEXT = {
    *("data", "family", "training_samples", "method", "label", "kind", "split", "group", "question"),
    *("baseline", "other", "verdict", "network", "yardstick", "variant", "chosen", "learned", "horizon_arm"),
    *("gain", "bound", "holds_for", "best_fixed", "changes", "event", "places"),
}
"""Columns of tables that are no numbers."""

LATER = ("bounds", "hybrid", "depths", "elsewhere")
"""Tables that studies of before lack; a study may also have nothing to put into them."""

NEEDED = ("errors", "directions", "comparisons", "ablation", "against", "costs", "tuning")


@dataclass(frozen=True, eq=False)
class Material:
    """A finished study.  tables : name to rows; numbers are floats, what is empty is None."""

    folder: Folder
    plan: Plan
    tables: Mapping[str, list[Row]]
    entries: list[Entry]

    @classmethod
    def of(cls, path: str | Path) -> "Material":
        """Read the folder of a finished study; StudyError if it is none, or something is missing."""
        folder = Folder(Path(path))
        table = read_json(folder.path / "study.json", "study", "make one with `maxinv study`")
        plan = Plan(validated(ProtocolSpec, table, str(folder.path / "study.json")), False)
        found = {name: [] for name in LATER}
        found |= {name: [_typed(row) for row in rows] for name, rows in read(folder.tables).items()}
        missing = [name for name in NEEDED if name not in found]
        if missing:
            raise StudyError(
                f"{folder.tables}: lacks {', '.join(name + '.csv' for name in missing)}; run `maxinv study` again."
            )
        return cls(folder, plan, found, entries.entries(plan, folder))

    @property
    def spec(self) -> ProtocolSpec:
        """The specification."""
        return self.plan.spec

    @cached_property
    def problems(self) -> list["Problem"]:
        """Every data set at every noise of training."""
        return [Problem(self, *key) for key in dict.fromkeys((e.data, e.noise) for e in self.entries)]

    @cached_property
    def titles(self) -> dict[tuple[str, float], str]:
        """Data set and noise to what the reader calls the problem."""
        return {(problem.key, problem.noise): problem.title for problem in self.problems}

    @cached_property
    def looks(self) -> dict[str, Look]:
        """Name of each method to its look."""
        return looks(self.spec, self.entries)

    @cached_property
    def by_name(self) -> dict[str, Entry]:
        """Every method by its name."""
        return {entry.name: entry for entry in self.entries}

    def arm(self, key: str) -> str:
        """What the reader calls an arm."""
        return self.spec.arms[key].label


@dataclass(frozen=True, eq=False)
class Problem:
    """One data set at one noise of training, in a study."""

    material: Material
    key: str
    noise: float

    @property
    def title(self) -> str:
        """What the reader calls it; with the noise where the study has several."""
        title = self.material.spec.data[self.key].title
        return title if len(self._noises) == 1 else f"{title}, {100 * self.noise:g} % noise"

    @property
    def slug(self) -> str:
        """Its name in files and anchors."""
        return self.key if len(self._noises) == 1 else f"{self.key}-noise{self.noise:g}"

    @cached_property
    def _noises(self) -> set[float]:
        """Noises of training on its data set."""
        return {entry.noise for entry in self.material.entries if entry.data == self.key}

    def rows(self, table: str, **wanted) -> list[Row]:
        """Rows of a table about this problem, whose columns have the wanted values."""
        wanted = {"data": self.key, "noise": self.noise, **wanted}
        rows = self.material.tables[table]
        return [row for row in rows if all(row[key] == value for key, value in wanted.items())]

    @cached_property
    def entries(self) -> list[Entry]:
        """Its methods: yardsticks, then networks."""
        return [e for e in self.material.entries if (e.data, e.noise) == (self.key, self.noise)]

    @cached_property
    def dataset(self) -> data.Dataset:
        """The data set."""
        return data.open(self.material.folder.data(self.key))

    @cached_property
    def main(self) -> Place:
        """The place that counts."""
        return self.entries[0].places[0]

    @property
    def places(self) -> list[Place]:
        """Where methods were scored, the place that counts first, then its other levels, then other splits."""
        return list(dict.fromkeys(place for entry in self.entries for place in entry.places))

    def at(self, place: Place) -> dict[str, Row]:
        """Rows of the table of errors at a place, by the name of the method."""
        return {name_of(row): row for row in self.rows("errors", split=place.split, level=place.level)}

    def label(self, name: str, among: Sequence[Entry] | None = None, but: str = "") -> str:
        """What the reader calls a method here: depth and samples are told where they vary within the family.

        among : the methods that it is shown with (default: all of the problem).  but : one of layers and samples
        that is not told, for it is that of an axis.
        """
        entry = self.material.by_name[name]
        if not entry.variant:
            return entry.label
        kin = [
            e.variant.cell
            for e in (self.entries if among is None else among)
            if e.variant and (e.variant.cell.family, e.key) == (entry.variant.cell.family, entry.key)
        ]
        label, cell = entry.label, entry.variant.cell
        if cell.family == "feed-forward" and not self._several_plain:
            label = "plain feed-forward"
        if cell.network:
            label += f", {cell.network}"
        if but != "layers" and len({other.layers for other in kin}) > 1:
            label += f", {cell.layers} layers"
        if but != "samples" and len({other.samples for other in kin}) > 1:
            label += f", {cell.samples or 'all'} samples"
        return label

    @cached_property
    def _several_plain(self) -> bool:
        """Whether networks without steps were tuned more than once, as several arms."""
        plain = [e.key for e in self.entries if e.variant and e.variant.cell.family == "feed-forward"]
        return len(set(plain)) > 1

    @cached_property
    def methods(self) -> list[Entry]:
        """Its methods but for bounds, which are no methods."""
        return [entry for entry in self.entries if entry.kind != BOUND]

    @cached_property
    def best(self) -> Entry | None:
        """The network of least validation loss, the one of the table `against`."""
        return entries.best(self.entries)

    @cached_property
    def best_classical(self) -> Entry | None:
        """The classical method of least error in the table on the samples that it answered, but the prior mean."""
        rows = self.at(self.main)
        found = [
            e for e in self.entries if e.kind == "classical" and e.key != "prior-mean" and e.name in rows
        ]
        return min(found, key=lambda entry: rows[entry.name]["error"], default=None)

    def truth(self) -> np.ndarray:
        """The unknowns of the split that counts, (n, p)."""
        return self.dataset.split(self.main.split).parameters

    @cached_property
    def chosen(self) -> dict[str, list[Entry]]:
        """Families of networks, each with one network an arm: of several the one of least validation loss."""
        named: dict[str, dict[str, list[Entry]]] = {}
        for entry in self.entries:
            if entry.variant:
                named.setdefault(entry.variant.cell.family, {}).setdefault(entry.key, []).append(entry)
        return {family: [entries.best(kin) for kin in arms.values()] for family, arms in named.items()}

    def families(self) -> list[tuple[str, list[Entry]]]:
        """Families of networks with time steps, each with its chosen networks."""
        return [(family, found) for family, found in self.chosen.items() if family != "feed-forward"]

    @property
    def several(self) -> bool:
        """Whether an arm comes in several depths, numbers of training samples or names."""
        return sum(map(len, self.chosen.values())) < sum(entry.variant is not None for entry in self.entries)


def name_of(row: Row) -> str:
    """The name of the method that a row is about, as `Entry.name`."""
    if not row["family"]:
        return f"{row['data']}/{row['method']}-noise{row['noise']:g}"
    return f"{cell_of(row).name}/{row['method']}"


def cell_of(row: Row) -> Cell:
    """The cell of the grid that a row is about."""
    some = row["training_samples"]
    samples = None if some == "all" else int(some)
    network = row.get("network") or None  # tables of before have no such column
    return Cell(row["data"], row["family"], int(row["layers"]), row["noise"], samples, network)


def _typed(row: Mapping[str, str]) -> Row:
    return {key: text if key in TEXT else (float(text) if text else None) for key, text in row.items()}
