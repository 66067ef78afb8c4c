"""Functions that networks are asked to fit, smooth ones and others, in closed form; data of our own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

CORNERS = 5
INNER, OUTER = 0.4, 0.9


@dataclass(frozen=True)
class Target:
    """A function on [−1, 1]^inputs: (n, inputs) ↦ (n,).  Of a `classes` target the values are ±1."""

    function: Callable[[np.ndarray], np.ndarray]
    inputs: int
    smooth: bool
    classes: bool = False

    def grid(self) -> np.ndarray:
        """Midpoints of equal cells, some thousands: what a fit is tested on, (n, inputs)."""
        count = 4096 if self.inputs == 1 else 64
        axis = (np.arange(count) + 0.5) * 2 / count - 1
        return np.stack(np.meshgrid(*[axis] * self.inputs, indexing="ij"), axis=-1).reshape(-1, self.inputs)

    def values(self, points: np.ndarray) -> np.ndarray:
        """The function at points (n, inputs), (n, 1); but for classes with mean 0 and variance 1 over the grid."""
        found = self.function(points)
        if not self.classes:
            over = self.function(self.grid())
            found = (found - over.mean()) / over.std()
        return found[:, None]


def peaks(points: np.ndarray) -> np.ndarray:
    """z = 3(1−x)² e^{−x²−(y+1)²} − 10(x/5−x³−y⁵) e^{−x²−y²} − ⅓ e^{−(x+1)²−y²} on [−3, 3]², which is 3·[−1, 1]²."""
    x, y = 3 * points.T
    return (
        3 * (1 - x) ** 2 * np.exp(-(x**2) - (y + 1) ** 2)
        - 10 * (x / 5 - x**3 - y**5) * np.exp(-(x**2) - y**2)
        - np.exp(-((x + 1) ** 2) - y**2) / 3
    )


def sine(points: np.ndarray) -> np.ndarray:
    """sin 2πx: two periods."""
    return np.sin(2 * np.pi * points[:, 0])


def kinks(points: np.ndarray) -> np.ndarray:
    """| |x| − |y| |: continuous, its gradient jumps on four lines."""
    x, y = np.abs(points.T)
    return np.abs(x - y)


def step(points: np.ndarray) -> np.ndarray:
    """1 where 2x + y > 0.3, else 0."""
    x, y = points.T
    return np.where(2 * x + y > 0.3, 1.0, 0.0)


def star(points: np.ndarray) -> np.ndarray:
    """+1 inside a star of five points, −1 outside: a level set of a function whose boundary has ten corners.

    The corners lie on circles of radii 0.9 and 0.4 in turn, with straight edges between them.
    """
    x, y = points.T
    sector = np.pi / CORNERS
    angle = np.abs((np.arctan2(x, y) + sector) % (2 * sector) - sector)  # from the nearest outer corner
    radius = np.hypot(x, y)
    u, v = radius * np.cos(angle), radius * np.sin(angle)
    # The edge runs from (OUTER, 0) to the inner corner.
    a, b = INNER * np.cos(sector), INNER * np.sin(sector)
    return np.where((u - OUTER) * b - v * (a - OUTER) < 0, 1.0, -1.0)


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "peaks": Target(peaks, 2, smooth=True),
        "sine": Target(sine, 1, smooth=True),
        "kinks": Target(kinks, 2, smooth=False),
        "step": Target(step, 2, smooth=False),
        "star": Target(star, 2, smooth=False, classes=True),
    }
)
"""Every target under its name in files of claims."""
