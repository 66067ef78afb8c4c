"""The methods of a study as its tables and its report see them: trained variants and yardsticks."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.protocol import study
from experiments.protocol.folder import Folder
from experiments.protocol.plan import Plan, Variant
from experiments.protocol.selection import of_all_samples
from experiments.protocol.sheets import Place, Sheet

BOUND = "bound"
"""Key and kind of what no error can lie below."""

HYBRID = "hybrid"
"""Key and kind of Gauss-Newton that starts from the network: neither classical nor a network."""

COMMITTEE = "committee"
"""Key and kind of the mean estimate of several networks: no single network, and not classical."""

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Entry:
    """A method as the tables see it: a trained variant with a sheet a seed, or a yardstick with one.

    data, noise : the problem and the noise of training.  variant : None for a yardstick, whose `key` is its own.
    """

    data: str
    noise: float
    key: str
    label: str
    kind: str
    sheets: tuple[Sheet, ...]
    variant: Variant | None = None

    @property
    def name(self) -> str:
        """Unique in a study; seeds the resampling."""
        return self.variant.name if self.variant else f"{self.data}/{self.key}-noise{self.noise:g}"

    @property
    def places(self) -> list[Place]:
        """Where it was scored, the place that counts first."""
        return list(self.sheets[0].arrays)

    def array(self, place: Place, name: str) -> np.ndarray | None:
        """(seeds, …) of an array of the sheets; None if they have none."""
        if name not in self.sheets[0].arrays.get(place, {}):
            return None
        return np.stack([sheet.arrays[place][name] for sheet in self.sheets])


def entries(plan: Plan, folder: Folder) -> list[Entry]:
    """Yardsticks and variants of a study, in its order."""
    from experiments.variants import FAMILY_NAMES

    found = []
    for method, key, noise, sheet in study.yardsticks(plan, folder):
        label, kind = sheet.about["label"], sheet.about["kind"]
        if method == HYBRID:
            label, kind = "Gauss-Newton from the network", HYBRID
        found.append(Entry(key, noise, method, label, kind, (sheet,)))
    for variant, sheets in study.sheets(plan, folder):
        cell = variant.cell
        label = f"{FAMILY_NAMES[cell.family]}, {plan.spec.arms[variant.arm].label}"
        found.append(Entry(cell.data, cell.noise, variant.arm, label, "network", tuple(sheets), variant))
    return found


def best(found: Iterable[Entry]) -> Entry | None:
    """The network of least mean validation loss, among those of all training samples if there are any."""
    networks = [entry for entry in found if entry.variant]
    return min(of_all_samples(networks, lambda entry: entry.variant), key=loss, default=None)


def loss(entry: Entry) -> float:
    """Mean validation loss of a network over its seeds."""
    return float(np.mean([sheet.about["valid"] for sheet in entry.sheets]))


def cell(variant: Variant) -> Row:
    """Columns that tell the place of a variant in the grid."""
    here = variant.cell
    return {
        "data": here.data,
        "noise": here.noise,
        "family": here.family,
        "layers": here.layers,
        "training_samples": here.samples or "all",
        "network": here.network or "",
    }


def who(entry: Entry) -> Row:
    """Columns that tell a method, those of the grid empty for a yardstick."""
    where = {"data": entry.data, "noise": entry.noise}
    where |= dict.fromkeys(("family", "layers", "training_samples", "network"), "")
    where |= cell(entry.variant) if entry.variant else {}
    return {
        **where,
        "method": entry.key,
        "label": entry.label,
        "kind": entry.kind,
        "seeds": len(entry.sheets),
    }
