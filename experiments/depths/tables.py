"""Tables of the study of depth in long form: a row is one figure of one cell, over its seeds."""

import csv
import io
import math
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from experiments.depths.spec import Depths

Found = Sequence[dict[str, Any]]
"""The contents of the files of all cells, as `experiments.depths.run.results` returns them."""

WORST = 10.0
"""Relative losses above this count as this, and so does a network that left the numbers."""

COLUMNS = ("family", "rule", "depth", "scale", "epoch", "quantity", "seeds", "mean", "low", "high")
SEED, RESAMPLES = 6, 2000


def tables(study: Depths, found: Found) -> dict[str, list[dict[str, Any]]]:
    """Every table: name to rows with the keys `COLUMNS`.

    gradients : log10 of ‖∂J/∂y_0‖/‖∂J/∂y_L‖ and ‖∂J/∂K_1‖/‖∂J/∂K_L‖ after every snapshot's epoch, and of bounds and
    singular values of ∂y_L/∂y_0 at start and end.  trainability : share of networks that train (Wilson's interval),
    and their relative loss.  sensitivity : of those that trained.  steps : of learned rules, after training.
    Means over `seeds` networks, those without the figure left out; intervals are 95 %, by the bootstrap of seeds
    where nothing else is said, and rough for few.
    """
    return {
        "gradients": [row for cell in found for row in _gradients(study, cell)],
        "trainability": [row for cell in found for row in _trainability(study, cell)],
        "sensitivity": [row for cell in found for row in _sensitivity(study, cell)],
        "steps": [row for cell in found for row in _steps(study, cell)],
    }


def text(rows: Iterable[dict[str, Any]]) -> str:
    """Rows as CSV; a figure that no network has is empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in map(row.get, COLUMNS)])
    return buffer.getvalue()


def trained(study: Depths, member: dict[str, Any]) -> bool:
    """Whether a network counts as trained: its loss is a number, below that share of the prior mean's."""
    return member["loss"] is not None and member["loss"] < study.spec.trained_below


def relative_loss(member: dict[str, Any]) -> float:
    """Validation loss after the last epoch over that of the prior mean, at most `WORST`."""
    return WORST if member["loss"] is None else min(member["loss"], WORST)


def wilson(successes: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's interval of a probability: (p̂ + z²/2n ± z √(p̂(1−p̂)/n + z²/4n²))/(1 + z²/n).

    It neither leaves [0, 1] nor collapses where all or none succeed.  Source: Wilson (1927), JASA 22, 209-212.
    """
    p, square = successes / count, z * z / count
    reach = z * math.sqrt(p * (1 - p) / count + square / (4 * count))
    low, high = ((p + square / 2 + sign * reach) / (1 + square) for sign in (-1, 1))
    return max(low, 0.0), min(high, 1.0)


def mean_interval(values: Sequence[float], name: str) -> tuple[float, float, float]:
    """Mean with its 95 % percentile interval by the bootstrap; the resampling follows from `name` alone."""
    array = np.asarray(values)
    rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    means = array[rng.integers(len(array), size=(RESAMPLES, len(array)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(array.mean()), float(low), float(high)


def _row(cell, epoch, quantity, values: Iterable[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    row = {key: cell[key] for key in ("family", "rule", "depth", "scale")}
    row |= {"epoch": epoch, "quantity": quantity, "seeds": len(known)}
    if known:
        name = "|".join(str(value) for value in row.values())
        row |= dict(zip(("mean", "low", "high"), mean_interval(known, name), strict=True))
    return row


def _gradients(study, cell):
    members = cell["members"]
    for k, epoch in enumerate(study.extent.snapshots):
        seen = [member["gradients"][k] for member in members]
        for key in ("state_ratio", "weight_ratio"):
            yield _row(cell, epoch, key, [each and each[key] for each in seen])
    for k, epoch in enumerate((0, study.extent.epochs)):
        known = [member["spectra"][k] for member in members if member["spectra"][k] is not None]
        for key in known[0] if known else ():
            if any(each[key] is not None for each in known):
                yield _row(cell, epoch, key, [each[key] for each in known])


def _trainability(study, cell):
    members, epoch = cell["members"], study.extent.epochs
    good = [trained(study, member) for member in members]
    low, high = wilson(sum(good), len(good))
    yield _row(cell, epoch, "trained", [float(each) for each in good]) | {"low": low, "high": high}
    yield _row(cell, epoch, "relative_loss", [relative_loss(member) for member in members])


def _sensitivity(study, cell):
    good = [m["sensitivity"] for m in cell["members"] if trained(study, m) and m["sensitivity"]]
    if cell["family"] != "plain":
        for key in _sizes(study):
            yield _row(cell, study.extent.epochs, key, [each[key] for each in good])


def _steps(study, cell):
    if study.spec.rules[cell["rule"]].time != "fixed":
        ends = [member["steps"] for member in cell["members"] if member["steps"]]
        for k, quantity in enumerate(("smallest", "largest", "horizon")):
            yield _row(cell, study.extent.epochs, quantity, [each[k] for each in ends])


def _sizes(study) -> list[str]:
    return ["first", *(f"{size:g}" for size in study.spec.perturbations)]
