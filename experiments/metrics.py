"""Errors of estimates, and intervals for differences of paired errors."""

from dataclasses import dataclass

import numpy as np


def squared_error(estimates: np.ndarray, truth: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Squared error of each sample in units of the prior: (…, n) from estimates (…, n, p) and truth (n, p).

    e_i = mean_k ((θ̂_ik − θ_ik)/s_k)² with s the standard deviation over the training split, so that √mean(e) is 1
    for the prior mean, up to sampling.
    """
    return np.mean(((estimates - truth) / scale) ** 2, axis=-1)


def group_errors(estimates: np.ndarray, truth: np.ndarray, groups: list[str]) -> dict[str, float]:
    """Root-mean-square error of each group of parameters, in the group's unit.

    groups (p,) : the group of each parameter, such as centre, centre, centre, radius, contrast.  Neighbours of
    one group form a vector (a centre), whose length counts; a group that returns later (a second ball) adds
    one more vector to the mean.
    """
    result = {}
    for group in dict.fromkeys(groups):
        columns = [k for k, g in enumerate(groups) if g == group]
        squares = np.sum((estimates[..., columns] - truth[:, columns]) ** 2, axis=-1)
        result[group] = float(np.sqrt(squares.mean() / _repeats(groups, group)))
    return result


def _repeats(groups, group):
    """How many separate stretches of a group there are."""
    return sum(g == group and (k == 0 or groups[k - 1] != group) for k, g in enumerate(groups))


@dataclass(frozen=True)
class Change:
    """Relative change of an error with a 95 % interval, all as fractions (−0.1 is ten per cent less)."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """ "better", "worse" or "no difference shown", by whether the interval excludes zero."""
        return "better" if self.high < 0 else "worse" if self.low > 0 else "no difference shown"


def paired_change(
    baseline: np.ndarray, other: np.ndarray, rng: np.random.Generator, resamples: int = 2000
) -> Change:
    """Relative change of the root-mean-square error from `baseline` to `other`, with a bootstrap interval.

    baseline, other (seeds, n) : squared errors; row s of both comes from the same seed, column i from the same
    sample, and both pairings are kept: seeds and samples are resampled together, so the interval covers new
    seeds and new samples.  With few seeds it is rough (three seeds resample to ten different sets).
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13 (percentile interval).
    """
    seeds, samples = baseline.shape

    def change(s, i):
        pick = np.ix_(s, i)
        return np.sqrt(other[pick].mean() / baseline[pick].mean()) - 1

    changes = [
        change(rng.integers(seeds, size=seeds), rng.integers(samples, size=samples)) for _ in range(resamples)
    ]
    low, high = np.quantile(changes, [0.025, 0.975])
    return Change(float(change(np.arange(seeds), np.arange(samples))), float(low), float(high))


def percent(value: float) -> str:
    """A fraction in whole per cent, zero without a sign."""
    return f"{round(100 * value) + 0:.0f} %".replace("-", "−")
