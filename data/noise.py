"""Noise, added when data are read and never stored."""

from collections.abc import Callable

import numpy as np

from data import seeds
from data.errors import DataError


def white(observations: np.ndarray, level: float, reference: float) -> np.ndarray | float:
    """σ = level · r with r the RMS of the training data: one instrument, whose noise no sample changes."""
    return level * reference


def by_sample(observations: np.ndarray, level: float, reference: float) -> np.ndarray | float:
    """σ = level · RMS of the sample's own data: equal signal-to-noise ratio for weak and strong samples."""
    return level * np.sqrt(np.mean(np.abs(observations) ** 2, axis=1, keepdims=True))


def by_entry(observations: np.ndarray, level: float, reference: float) -> np.ndarray | float:
    """σ_j = level · |d_j|: an error of gain, entry by entry; small entries are known as well as large ones."""
    return level * np.abs(observations)


KINDS: dict[str, Callable[[np.ndarray, float, float], np.ndarray | float]] = {
    "white": white,
    "sample": by_sample,
    "entry": by_entry,
}
"""The standard deviation σ of the noise, from noise-free data (n, m), level and r, by name."""


def add(
    observations: np.ndarray,
    sample_seeds: np.ndarray,
    level: float,
    reference: float,
    draw: int = 0,
    kind: str = "white",
) -> np.ndarray:
    """Observations (n, m) with noise: d + σ (ξ₁ + iξ₂)/√2, or d + σ ξ₁ if they are real, with standard normal ξ.

    σ is that of the kind (:data:`KINDS`). ξ follows from the sample's seed and ``draw`` alone, so data of
    several levels and kinds are paired, a new ``draw`` is a new realisation, and samples are independent.
    About 40 microseconds a sample of 1,024 data.

    Raises :class:`DataError` for a level, a draw or a kind that makes no sense.
    """
    check(level, draw, kind)
    observed = observations.copy()
    if level == 0:
        return observed
    sigma = np.broadcast_to(KINDS[kind](observations, level, reference), observations.shape)
    for row, scale, seed in zip(observed, sigma, sample_seeds, strict=True):
        xi = seeds.noise_stream(int(seed), int(draw)).standard_normal((2, row.size))
        row += scale * ((xi[0] + 1j * xi[1]) / np.sqrt(2) if np.iscomplexobj(row) else xi[0])
    return observed


def check(level: float, draw: int, kind: str) -> None:
    """Raise :class:`DataError` for a level, a draw or a kind of noise that makes no sense."""
    if not (isinstance(level, int | float | np.number) and 0 <= level < np.inf):
        raise DataError(
            f"noise: expected a finite relative level such as 0.01, at least 0, given {level!r:.99}."
        )
    if isinstance(draw, bool) or not isinstance(draw, int | np.integer) or draw < 0:
        raise DataError(f"draw: expected the number of a realisation, 0 or greater, given {draw!r}.")
    if not isinstance(kind, str) or kind not in KINDS:
        raise DataError(f"kind: expected one of {', '.join(KINDS)}, given {kind!r}.")
