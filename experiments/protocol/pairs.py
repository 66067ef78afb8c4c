"""Two trained variants of a study beside each other: every error at every place that both were scored at."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments import intervals
from experiments.errors import StudyError
from experiments.files import read_json
from experiments.protocol.folder import SHEET
from experiments.protocol.sheets import Place, Sheet

SQUARED = ("squared",)
"""Arrays of a sheet that hold squared errors, as those of groups do; the others hold sizes."""

SIZES = ("misfit", "gain", "worst")

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Side:
    """A folder of runs that differ in their seed alone.

    name : as in the tables of its study (data set, cell, arm).  sheets, specs : by seed.  data : digest of the
    data set.
    """

    name: str
    sheets: dict[int, Sheet]
    specs: dict[int, dict[str, Any]]
    data: str

    @classmethod
    def read(cls, folder: str | Path) -> "Side":
        """Read a folder of a variant; StudyError if it holds no scored runs."""
        folder = Path(folder)
        seeds = seeds_in(folder)
        if not seeds:
            raise StudyError(
                f"{folder}: holds no scored runs; expected folders seed0, seed1, … with {SHEET} in each, as "
                "`maxinv study` leaves them in its folder runs/DATA/CELL/ARM."
            )
        records = {
            seed: read_json(home / "run.json", "run", "run `maxinv study` again")
            for seed, home in seeds.items()
        }
        digests = {record["dataset"] for record in records.values()}
        if len(digests) > 1:
            raise StudyError(
                f"{folder}: holds runs on {len(digests)} data sets; expected those of one variant."
            )
        return cls(
            "/".join(folder.resolve().parts[-3:]),
            {seed: Sheet.read(home / SHEET) for seed, home in seeds.items()},
            {seed: record["spec"] for seed, record in records.items()},
            digests.pop(),
        )


def seeds_in(folder: Path) -> dict[int, Path]:
    """Scored runs of a folder by their seeds, in order; empty if it is no folder of a variant."""
    found = {}
    for sheet in folder.glob(f"seed*/{SHEET}"):
        number = sheet.parent.name.removeprefix("seed")
        if number.isdecimal():
            found[int(number)] = sheet.parent
    return dict(sorted(found.items()))


def compare(baseline: Side, other: Side) -> list[Row]:
    """The relative change of every metric at every place, from baseline to other, with its 95 % interval.

    Metrics: the error, that of each group of unknowns, data misfit, noise gain and worst case, all as root mean
    squares over seeds and samples.  Seeds and samples are paired: only seeds of both count, and samples with a
    value in all.  The row of the error at the place that counts is that of the study's own comparison of the two.
    Raises StudyError for different data sets, and where no seed or no place is common.
    """
    if baseline.data != other.data:
        raise StudyError(
            f"{baseline.name} was trained on data set {baseline.data[:12]} and {other.name} on {other.data[:12]}; "
            "expected two variants on one data set: errors on different data do not compare."
        )
    seeds = [seed for seed in baseline.sheets if seed in other.sheets]
    if not seeds:
        raise StudyError(
            f"{baseline.name} has seeds {_list(baseline.sheets)} and {other.name} {_list(other.sheets)}; expected "
            "some in common, for differences are taken between equal seeds."
        )
    sheets = [[side.sheets[seed] for seed in seeds] for side in (baseline, other)]
    first, second = sheets[0][0], sheets[1][0]
    places = [place for place in first.arrays if place in second.arrays]
    if not places:
        raise StudyError(
            f"{baseline.name} and {other.name} were scored at no common place; score them alike."
        )
    return [
        row
        for place in places
        for metric in first.arrays[place]
        if _is_metric(metric) and metric in second.arrays[place]
        for row in _row(f"{baseline.name}|{other.name}|{place}", place, metric, sheets)
    ]


def _is_metric(name: str) -> bool:
    return name in SQUARED + SIZES or name.startswith("group:")


def _row(name: str, place: Place, metric: str, sheets: list[list[Sheet]]) -> list[Row]:
    """The row of one metric at one place; none if no sample has a value in all runs."""
    arrays = [np.stack([sheet.arrays[place][metric] for sheet in side]) for side in sheets]
    if metric in SIZES:
        arrays = [sizes**2 for sizes in arrays]
    samples = min(array.shape[1] for array in arrays)
    squares = [array[:, :samples] for array in arrays]
    seen = np.isfinite(np.concatenate(squares)).all(axis=0)
    if not seen.any() or not squares[0][:, seen].any():
        return []
    squares = [array[:, seen] for array in squares]
    found = intervals.change(*squares, name if metric == "squared" else f"{name}|{metric}")
    return [
        {
            "split": place.split,
            "level": place.level,
            "metric": "error" if metric == "squared" else metric.removeprefix("group:"),
            "seeds": len(squares[0]),
            "samples": int(seen.sum()),
            "baseline": float(np.sqrt(squares[0].mean())),
            "other": float(np.sqrt(squares[1].mean())),
            "change": found.value,
            "low": found.low,
            "high": found.high,
            "p": found.p,
        }
    ]


def differences(baseline: Side, other: Side) -> dict[str, tuple[Any, Any]]:
    """Settings in which the first common seed's runs differ: what else than the compared may explain a change."""
    seed = next(seed for seed in baseline.specs if seed in other.specs)
    one, two = baseline.specs[seed], other.specs[seed]
    return {key: (one[key], two.get(key)) for key in one if one[key] != two.get(key)}


def _list(seeds) -> str:
    return ", ".join(map(str, seeds))
