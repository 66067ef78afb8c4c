"""Two spirals in the plane, one turn each, one the other turned by half a circle."""

import numpy as np

INNER = 0.5
"""Radius at which a spiral begins; it ends one unit further out."""


def arm(along: np.ndarray) -> np.ndarray:
    """(r cos 2πt, r sin 2πt) with r = ½ + t at t = `along` (n,), 0 ≤ t ≤ 1: points of the first spiral, (n, 2)."""
    radius, angle = INNER + along, 2 * np.pi * along
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def spirals(count: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`count` points of each class at random places of its spiral, (2·count, 2), and classes ±1, (2·count, 1).

    noise : standard deviation of what is added to either coordinate; neighbouring arms are ½ apart.
    Source: the shape is that of the authors' public code of arXiv 2311.15995, there at equal distances and without
    noise.
    """
    classes = np.repeat([1.0, -1.0], count)[:, None]
    points = classes * arm(rng.uniform(0, 1, 2 * count))
    return points + noise * rng.standard_normal(points.shape), classes
