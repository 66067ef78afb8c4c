"""What Gauss-Newton gains by a start from the network, sample by sample."""

import numpy as np

from experiments import intervals
from experiments.protocol.entries import HYBRID, Entry, Row

COLD = "gauss-newton"
MARGIN = 0.01
"""By how much, relatively, an error or a misfit may be larger and still count as reached.

Descents are compared where they come to rest (`methods.newton.SETTLED`), near the minimum and not at it: two into
one minimum end at errors that differ a little."""


def hybrid(found: list[Entry]) -> list[Row]:
    """Gauss-Newton from the network beside its cold start, a row a problem that has both, at the place that counts.

    reached : share of samples whose error from the network is at most 1 + `MARGIN` times that from cold, both where
    the descents come to rest; estimates, times and iterations are those of descents that stop where noise allows.
    ahead : share where that from cold is more than 1 + `MARGIN` times it.
    fitted : as reached, of the data misfit, on the few samples that have one.
    fewer : share of samples with fewer iterations.
    These with Wilson's 95 % intervals.  iterations : mean of linearisations, those of restarts too.  change : mean
    of hybrid less cold iterations, with Student's interval of its paired differences.
    """
    rows, by_key = [], {(entry.data, entry.noise, entry.key): entry for entry in found if not entry.variant}
    for (data, noise, key), warm in by_key.items():
        cold = by_key.get((data, noise, COLD))
        if key != HYBRID or cold is None:
            continue
        squares, misfits, iterations = (
            _pair(cold, warm, name) for name in ("settled", "misfit", "iterations")
        )
        row = {"data": data, "noise": noise, "samples": squares.shape[1]}
        row |= _share("reached", squares[1] <= (1 + MARGIN) ** 2 * squares[0])
        row |= _share("ahead", (1 + MARGIN) ** 2 * squares[1] < squares[0])
        if misfits is not None:
            # An estimate that the forward map refuses has no misfit: whatever has one fits better.
            missing = np.where(np.isnan(misfits), np.inf, misfits)
            fits = np.isfinite(missing[1]) & (missing[1] <= (1 + MARGIN) * missing[0])
        row |= _share("fitted", None if misfits is None else fits)
        row["fitted_samples"] = 0 if misfits is None else misfits.shape[1]
        for which, start in enumerate(("cold", "hybrid")):
            row[f"iterations_{start}"] = "" if iterations is None else float(iterations[which].mean())
        row |= _share("fewer", None if iterations is None else iterations[1] < iterations[0])
        row |= _change(iterations)
        rows.append(row)
    return rows


def _pair(cold: Entry, warm: Entry, name: str) -> np.ndarray | None:
    """(2, n): an array of both sheets on the samples that both have; None where one lacks it."""
    pair = [entry.array(entry.places[0], name) for entry in (cold, warm)]
    if any(values is None for values in pair):
        return None
    count = min(values.shape[1] for values in pair)
    return np.stack([values[0, :count] for values in pair]).astype(float)


def _share(name: str, holds: np.ndarray | None) -> Row:
    """A share of samples with Wilson's interval.  Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209."""
    if holds is None or not holds.size:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), "")
    from scipy.stats import binomtest

    ends = binomtest(int(holds.sum()), holds.size).proportion_ci(0.95, "wilson")
    return {name: float(holds.mean()), f"{name}_low": float(ends.low), f"{name}_high": float(ends.high)}


def _change(iterations: np.ndarray | None) -> Row:
    """Mean change of the iterations, a sample at a time."""
    if iterations is None:
        return dict.fromkeys(("change", "change_low", "change_high"), "")
    change = intervals.mean(iterations[1] - iterations[0])
    return {"change": change.value, "change_low": change.low, "change_high": change.high}
