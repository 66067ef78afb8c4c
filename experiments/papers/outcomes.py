"""Fitted networks side by side: groups of seeds, the best horizon, and pairs that share a seed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.papers.claims import Measured, over_seeds, ratio_over_seeds
from experiments.papers.fitting import Fit, Member, train
from experiments.papers.work import Work

NAMES = {
    "resnet": "ResNet",
    "dense-additive": "additive DenseNet",
    "fractional": "Fractional",
    "feed-forward": "feed-forward",
}
"""How families are called in a table."""

Numbers = dict[int, float | None]
"""Seed to a number, or to None where there is none."""


def members(seeds: int, together: int, variants: Sequence[dict[str, Any]]) -> Iterator[tuple[Member, ...]]:
    """Groups of `together` seeds, each with all variants (time rule, horizon): what trains as one program."""
    for first in range(0, seeds, together):
        yield tuple(
            Member(seed=seed, **variant)
            for variant in variants
            for seed in range(first, min(first + together, seeds))
        )


@dataclass(frozen=True)
class Outcomes:
    """Every network that was fitted: its group, what it is in it, and what came out (`fitting.train`)."""

    rows: tuple[tuple[Fit, Member, dict[str, Any]], ...]

    @staticmethod
    def of(work: Work, fits: Iterable[Fit], label: str) -> "Outcomes":
        """Train what is not trained yet."""
        fits = list(fits)
        found = work.map(train, [fit.model_dump(mode="json") for fit in fits], label)
        return Outcomes(
            tuple(
                (fit, member, result)
                for fit, group in zip(fits, found, strict=True)
                for member, result in zip(fit.members, group["members"], strict=True)
            )
        )

    def where(self, **wanted: Any) -> "Outcomes":
        """Those whose fields of `Fit` and `Member` have these values."""

        def meets(fit, member):
            return all(getattr(member, k, getattr(fit, k, None)) == value for k, value in wanted.items())

        return Outcomes(tuple(row for row in self.rows if meets(row[0], row[1])))

    def numbers(self, read: Callable[[dict[str, Any]], float | None]) -> Numbers:
        """What `read` finds in the outcome of each seed."""
        found = {member.seed: read(result) for _, member, result in self.rows}
        if len(found) != len(self.rows):
            raise ValueError("more than one network of a seed: narrow the choice")
        return found

    def errors(self) -> Numbers:
        """Error on the test grid of each seed."""
        return self.numbers(lambda result: result["error"])

    def decades(self, when: str) -> list[float]:
        """log10 ‖∂J/∂y_1‖/‖∂J/∂y_L‖ of every seed that has it, at the `start` or the `end` of training."""
        found = self.numbers(lambda result: result[when]["states"])
        return [value for value in found.values() if value is not None]

    def best_horizon(self) -> float:
        """The horizon whose validation loss, in geometric mean over seeds, is smallest; never where one failed."""
        losses: dict[float, list[float]] = {}
        for _, member, result in self.rows:
            loss = np.inf if result["valid"] is None else result["valid"]
            losses.setdefault(member.horizon, []).append(np.log(max(loss, 1e-300)))
        return min(losses, key=lambda horizon: np.mean(losses[horizon]))


def ratio(other: Numbers, baseline: Numbers) -> Measured:
    """Geometric mean of other/baseline over the seeds in which both have a number."""
    one, two, note = _paired(other, baseline)
    return ratio_over_seeds(one, two, note) if one else Measured(None, None, None, 0, note)


def difference(other: Numbers, baseline: Numbers) -> Measured:
    """Mean of other − baseline over the seeds in which both have a number."""
    one, two, note = _paired(other, baseline)
    return over_seeds(np.subtract(one, two), note) if one else Measured(None, None, None, 0, note)


def share(numbers: Numbers, below: float) -> Numbers:
    """1 for a seed whose number is below the bound, else 0; no number is not below."""
    return {seed: float(value is not None and value < below) for seed, value in numbers.items()}


def _paired(one: Numbers, two: Numbers) -> tuple[list[float], list[float], str]:
    seeds = sorted(set(one) & set(two))
    both = [seed for seed in seeds if one[seed] is not None and two[seed] is not None]
    left = len(seeds) - len(both)
    note = f"{left} of {len(seeds)} seeds without a number left out" if left else ""
    return [one[seed] for seed in both], [two[seed] for seed in both], note
