"""How far each method is from the bound of its problem, where there is one."""

import numpy as np

from experiments import intervals
from experiments.protocol.bounds import CRAMER_RAO
from experiments.protocol.entries import BOUND, Entry, Row, who

ALL = "all"
"""What the table calls all unknowns together."""

EVERY, UNBIASED = "every estimate", "unbiased estimates"
"""What a bound holds for."""

POSTERIOR_MEAN = "posterior-mean"
"""Key of the yardstick that is a bound itself: no estimate has a smaller mean-square error."""


def bounds(found: list[Entry]) -> list[Row]:
    """The ratio of every method's root-mean-square error to the bound, at the place that counts.

    One row for all unknowns together, without unit, and one a group where there are several, in its unit.  Error
    and bound are over the samples that both have, paired in the resampling; 1 is the bound itself.  A ratio below 1
    with its interval is a leak where the bound `holds_for` every estimate (van Trees' and the posterior mean do,
    which stands in for it where the prior is not Gaussian); Cramér and Rao's holds for unbiased ones alone.
    """
    rows = []
    for bound in (entry for entry in found if entry.kind == BOUND or entry.key == POSTERIOR_MEAN):
        place = bound.places[0]
        for entry in found:
            if (entry.data, entry.noise) != (bound.data, bound.noise) or entry is bound:
                continue
            for name in _named(bound):
                least, squares = bound.array(place, name), entry.array(place, name)
                if squares is None or not least.any():
                    continue
                samples = min(least.shape[1], squares.shape[1])
                least, squares = least[:, :samples], squares[:, :samples]
                group = ALL if name == "squared" else name.removeprefix("group:")
                about = intervals.change(least, squares, f"{entry.name}|{bound.name}|{group}")
                rows.append(
                    {
                        **who(entry),
                        "bound": bound.label,
                        "holds_for": UNBIASED if bound.label == CRAMER_RAO else EVERY,
                        "group": group,
                        "samples": samples,
                        "error": float(np.sqrt(squares.mean())),
                        "least": float(np.sqrt(least.mean())),
                        "ratio": 1 + about.value,
                        "low": 1 + about.low,
                        "high": 1 + about.high,
                    }
                )
    return rows


def _named(bound: Entry) -> list[str]:
    """Arrays of a bound's sheet: all unknowns, and groups where there are several."""
    groups = [name for name in bound.sheets[0].arrays[bound.places[0]] if name.startswith("group:")]
    return ["squared", *(groups if len(groups) > 1 else ())]
