"""Bootstrap intervals over paired seeds and samples, and Holm's correction for many comparisons."""

import zlib
from dataclasses import dataclass

import numpy as np

RESAMPLES = 20_000
SEED = 20260101
"""Of the resampling, with the name of what is compared, so that tables repeat to the digit."""


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % percentile interval; p, two-sided, is given for changes: that there is none."""

    value: float
    low: float
    high: float
    p: float = float("nan")


def root_mean(squares: np.ndarray, name: str, resamples: int = RESAMPLES) -> Interval:
    """√mean of squared errors (seeds, n), seeds and samples resampled together; `name` seeds the resampling."""
    found = np.sqrt(_means(squares, *_weights(squares.shape, name, resamples)))
    return Interval(float(np.sqrt(squares.mean())), *np.quantile(found, [0.025, 0.975]).tolist())


def change(baseline: np.ndarray, other: np.ndarray, name: str, resamples: int = RESAMPLES) -> Interval:
    """Relative change √(mean other / mean baseline) − 1 of the root-mean-square error.

    baseline, other (seeds, n) : squared errors, rows of equal seeds and columns of equal samples; one row stands
    for a method without seeds.  Both pairings are kept.  p = 2 min(P(change ≤ 0), P(change ≥ 0)) over resamples,
    at least 1/resamples.  Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), ch. 13, 15.
    """
    shape = (max(len(baseline), len(other)), baseline.shape[1])
    baseline, other = np.broadcast_to(baseline, shape), np.broadcast_to(other, shape)
    weights = _weights(shape, name, resamples)
    found = np.sqrt(_means(other, *weights) / _means(baseline, *weights)) - 1
    tail = 2 * min(np.mean(found <= 0), np.mean(found >= 0))
    value = float(np.sqrt(other.mean() / baseline.mean()) - 1)
    return Interval(
        value, *np.quantile(found, [0.025, 0.975]).tolist(), float(np.clip(tail, 1 / resamples, 1))
    )


def share(
    baseline: np.ndarray, part: np.ndarray, whole: np.ndarray, name: str, resamples: int = RESAMPLES
) -> Interval:
    """How much of the change from baseline to whole is that to part: log r_part / log r_whole, no p.

    r is the ratio of a root-mean-square error to that of the baseline; arrays (seeds, n) of squared errors, paired
    as in `change`.  1 where part reaches all of it.  Meaningless where r_whole may be 1.
    """
    weights = _weights(baseline.shape, name, resamples)
    of_none, of_part, of_whole = (_means(squares, *weights) for squares in (baseline, part, whole))
    found = np.log(of_part / of_none) / np.log(of_whole / of_none)
    value = np.log(part.mean() / baseline.mean()) / np.log(whole.mean() / baseline.mean())
    return Interval(float(value), *np.quantile(found, [0.025, 0.975]).tolist())


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusted p of each of m comparisons (m,), below α for those that Holm's method finds at family-wise level α.

    Source: Holm, Scand. J. Statist. 6 (1979) 65.
    """
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(np.minimum(p[order] * (len(p) - np.arange(len(p))), 1))
    adjusted = np.empty(len(p))
    adjusted[order] = steps
    return adjusted


def _weights(shape: tuple[int, int], name: str, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each seed and each sample is drawn, (resamples, seeds) and (resamples, n), as shares."""
    seeds, samples = shape
    rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    return (
        rng.multinomial(seeds, np.full(seeds, 1 / seeds), resamples) / seeds,
        rng.multinomial(samples, np.full(samples, 1 / samples), resamples) / samples,
    )


def _means(squares: np.ndarray, by_seed: np.ndarray, by_sample: np.ndarray) -> np.ndarray:
    """Mean of each resample, (RESAMPLES,)."""
    return np.einsum("bs,bs->b", by_seed, by_sample @ squares.T)
