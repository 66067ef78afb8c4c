"""Intervals of paired errors over few seeds and many samples, and Holm's correction for many comparisons.

Seeds and samples are two crossed sources of chance.  Either is resampled by itself, in pairs, for its part of the
standard error; a part that rests on k draws is scaled by √(k/(k − 1)) and widened by Student's quantile of k − 1
degrees of freedom, and the parts add in squares:

    half width = √((t_{S−1} s_seeds)² + (t_{n−1} s_samples)²).

So the interval knows how little three seeds tell, as percentiles of the resamples do not: those of three seeds
miss the truth more than twice too often where seeds differ more than samples (see the tests).  What both sources
do together counts twice, which errs on the wide side.  A source with one draw has no part: the interval is then
over the other alone.
Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), ch. 6, 12; for parts with quantiles of their
own, Howe, J. Am. Stat. Assoc. 69 (1974) 789.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2_000
SEED = 20260101
"""Of the resampling, with the name of what is compared, so that tables repeat to the digit."""

LEAST_P = 1e-12
"""Below it no p is told apart."""

NONE_SHOWN = "no difference shown"


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval; p, two-sided, is given for changes: that there is none."""

    value: float
    low: float
    high: float
    p: float = float("nan")

    @property
    def verdict(self) -> str:
        """What the interval of a change shows by itself: "smaller error", "larger error" or neither."""
        return "smaller error" if self.high < 0 else "larger error" if self.low > 0 else NONE_SHOWN


@dataclass(frozen=True)
class _Spread:
    """Standard errors (seeds, samples) of a value, with their degrees of freedom."""

    errors: tuple[float, float]
    freedom: tuple[int, int]

    def half(self, level: float) -> float:
        """Half width of the interval that misses with probability `level`."""
        return float(
            np.hypot(
                *(error * _student(level, k) for error, k in zip(self.errors, self.freedom, strict=True))
            )
        )

    def p(self, value: float) -> float:
        """The level at which the interval of a value ends at 0, at least `LEAST_P`."""
        from scipy.optimize import brentq

        if value == 0:
            return 1.0
        if self.half(LEAST_P) <= abs(value):
            return LEAST_P
        root = brentq(lambda log: self.half(np.exp(log)) - abs(value), np.log(LEAST_P), 0.0, xtol=1e-9)
        return float(np.exp(root))


def mean(values: np.ndarray) -> Interval:
    """Mean of independent numbers (k,) with Student's interval; one number has none (NaN)."""
    values = np.asarray(values, dtype=float)
    centre, count = float(values.mean()), len(values)
    if count == 1:
        return Interval(centre, float("nan"), float("nan"))
    half = float(values.std(ddof=1) / np.sqrt(count) * _student(0.05, count - 1))
    return Interval(centre, centre - half, centre + half)


def root_mean(squares: np.ndarray, name: str, resamples: int = RESAMPLES) -> Interval:
    """√mean of squared errors (seeds, n); the interval is that of its logarithm.  `name` seeds the resampling."""
    if not squares.any():
        return Interval(0.0, 0.0, 0.0)
    value, spread = _resampled(lambda of: np.log(of) / 2, (squares,), name, resamples)
    return Interval(*(float(np.exp(value + side * spread.half(0.05))) for side in (0, -1, 1)))


def change(baseline: np.ndarray, other: np.ndarray, name: str, resamples: int = RESAMPLES) -> Interval:
    """Relative change √(mean other / mean baseline) − 1 of the root-mean-square error, by that of its logarithm.

    baseline, other (seeds, n) : squared errors, rows of equal seeds and columns of equal samples, and both pairings
    are kept; one row stands for a method without seeds.  p : the level at which the interval ends at 0.
    """
    shape = (max(len(baseline), len(other)), baseline.shape[1])
    pair = [np.broadcast_to(squares, shape) for squares in (baseline, other)]
    value, spread = _resampled(lambda first, second: np.log(second / first) / 2, pair, name, resamples)
    ends = (float(np.expm1(value + side * spread.half(0.05))) for side in (0, -1, 1))
    return Interval(*ends, spread.p(value))


def share(
    baseline: np.ndarray, part: np.ndarray, whole: np.ndarray, name: str, resamples: int = RESAMPLES
) -> Interval:
    """How much of the change from baseline to whole is that to part: log r_part / log r_whole, no p.

    r is the ratio of a root-mean-square error to that of the baseline; arrays (seeds, n) of squared errors, paired
    as in `change`.  1 where part reaches all of it.  Meaningless where r_whole may be 1.
    """

    def statistic(of_none, of_part, of_whole):
        return np.log(of_part / of_none) / np.log(of_whole / of_none)

    value, spread = _resampled(statistic, (baseline, part, whole), name, resamples)
    return Interval(*(value + side * spread.half(0.05) for side in (0, -1, 1)))


def holm(p: np.ndarray, family: int | None = None) -> np.ndarray:
    """Adjusted p of each of m comparisons (m,), below α for those that Holm's method finds at family-wise level α.

    family : how many comparisons there are in all (default m), m of which are at hand; the others count with
    p = 1, so that what is found among the m alone holds at level α over all.
    Source: Holm, Scand. J. Statist. 6 (1979) 65.
    """
    family = len(p) if family is None else family
    if family < len(p):
        raise ValueError(f"holm: a family of {family} comparisons cannot hold {len(p)}.")
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(np.minimum(p[order] * (family - np.arange(len(p))), 1))
    adjusted = np.empty(len(p))
    adjusted[order] = steps
    return adjusted


def _resampled(
    statistic: Callable[..., np.ndarray], squares: tuple[np.ndarray, ...], name: str, resamples: int
) -> tuple[float, _Spread]:
    """A statistic of the means of several (seeds, n), and its spread by resampling seeds and samples in turn.

    statistic : of one mean an array, each a number or (resamples,).
    """
    rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    errors, counts = [], squares[0].shape
    for over, count in zip((1, 0), counts, strict=True):  # means over samples, one a seed, first
        if count == 1:
            errors.append(0.0)
            continue
        weights = rng.multinomial(count, np.full(count, 1 / count), resamples) / count
        found = statistic(*(_positive(weights @ of.mean(axis=over)) for of in squares))
        errors.append(float(np.std(found) * np.sqrt(count / (count - 1))))
    value = float(statistic(*(_positive(of.mean()) for of in squares)))
    return value, _Spread((errors[0], errors[1]), (counts[0] - 1, counts[1] - 1))


def _positive(means: np.ndarray) -> np.ndarray:
    """Means whose logarithm is a number: a resample may miss every error that is not zero."""
    return np.maximum(means, np.finfo(float).tiny)


def _student(level: float, freedom: int) -> float:
    """Student's quantile that is passed on either side with probability `level` together; 0 without freedom."""
    from scipy.special import stdtrit

    return float(-stdtrit(freedom, level / 2)) if freedom else 0.0
