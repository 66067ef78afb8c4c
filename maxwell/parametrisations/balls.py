"""Balls of smooth edge: the unknown of few numbers, whose data change only near each ball."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.numbers import is_real
from maxwell.parametrisations.base import Parameter, Parametrisation, smoothstep
from maxwell.symmetry import Rearrangement, Turn

REGION_OF_INTEREST = np.array([[0.18, 0.18, 0.32], [0.82, 0.82, 0.96]])
"""Lower and upper corner in m; holds every sample of the default prior, transition included."""

LARGEST_CONTRAST = 50.0
"""Largest |q|: e^50 = 5e21 lies beyond the ratio of a metal to an insulator, and e^q overflows not far above it."""


@dataclass(frozen=True)
class Balls(Parametrisation):
    """Balls of smooth edge in a homogeneous background.

        m(x) = Σ_b q_b · S((R_b + w/2 − |x − c_b|) / w)

    θ = (x, y, z, R, q) for each ball in turn: centre (m), radius (m), log-contrast (dimensionless).
    m is C² in x and in θ (away from x = c_b, where it is constant as long as R ≥ w/2), and vanishes
    outside the balls of radius R_b + w/2, so only the unknowns of the field near a ball change.

    count : number of balls, at least 1.
    width : w in m, width of the transition from background to ball, positive.

    Cost: O(points · count).  Not for unknowns without shape: take voxels for those.
    """

    count: int = 1
    width: float = 0.10
    kind: Literal["balls"] = field(default="balls", kw_only=True, repr=False)

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self):
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise MaxwellError(f"Balls: count is {self.count!r}; expected a whole number of at least 1.")
        if not (is_real(self.width) and self.width > 0):
            raise MaxwellError(f"Balls: width is {self.width!r}; expected a positive length in metres.")

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Names, units and groups (centre, radius, log-contrast) of θ, in order."""
        ball = {
            "x": ("m", "centre"),
            "y": ("m", "centre"),
            "z": ("m", "centre"),
            "R": ("m", "radius"),
            "q": ("", "log-contrast"),
        }
        return tuple(Parameter(f"{n}{b + 1}", *about) for b in range(self.count) for n, about in ball.items())

    def moved(self, turn: Turn) -> Rearrangement | None:
        """Its centre moves; several balls are in the order of their x, which a turn does not keep."""
        if self.count > 1:
            return None
        x, y = (1, 0) if turn.swap else (0, 1)
        flips = np.array([turn.flip_x, turn.flip_y])[[x, y]].astype(float)
        return Rearrangement.of([x, y, 2, 3, 4], [*(1 - 2 * flips), 1, 1, 1], [*flips, 0, 0, 0])

    @property
    def region(self) -> np.ndarray:
        """`REGION_OF_INTEREST`; a ball may leave it, at the price of a slower solve."""
        return REGION_OF_INTEREST

    def check(self, theta) -> np.ndarray:
        """As in `Parametrisation`; the radii must be positive too, and |q| at most `LARGEST_CONTRAST`."""
        theta = super().check(theta)
        if (theta[3::5] <= 0).any():
            raise MaxwellError(f"{self!r}: the radii are {theta[3::5].tolist()} m; expected positive ones.")
        if (np.abs(theta[4::5]) > LARGEST_CONTRAST).any():
            raise MaxwellError(
                f"{self!r}: the log-contrasts q are {theta[4::5].tolist()}; expected them from "
                f"-{LARGEST_CONTRAST:g} to {LARGEST_CONTRAST:g}: the conductivity is e^q times the background's."
            )
        return theta

    def branch(self, thetas) -> np.ndarray:
        """Number of the sign pattern of the contrasts of each row of (n, p): (n,) in 0 … 2^count − 1.

        The data are nearly odd in q, so an expansion about a mean makes sense within one branch only.
        """
        return (np.asarray(thetas)[:, 4::5] > 0) @ (1 << np.arange(self.count))

    def support(self, theta) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corners, each (count, 3) in m, of boxes that contain the support of m."""
        balls = self.check(theta).reshape(self.count, 5)
        reach = balls[:, 3:4] + self.width / 2
        return balls[:, :3] - reach, balls[:, :3] + reach

    def evaluate(self, theta, x) -> np.ndarray:
        """m at points x (..., 3) in m; returns (...)."""
        points = x.reshape(-1, 3)
        m = np.zeros(len(points))
        for ball in self.check(theta).reshape(self.count, 5):
            where, _, distance = self._within(ball, points)
            m[where] += ball[4] * smoothstep(self._depth(ball, distance))[0]
        return m.reshape(x.shape[:-1])

    def linearise(self, theta, x) -> tuple[np.ndarray, np.ndarray]:
        """m (...) and ∂m/∂θ (5·count, ...) at points x (..., 3) in m."""
        dense = np.zeros((5 * self.count, *x.shape[:-1]))
        for slope, (where, values) in zip(dense, self.slopes(theta, x), strict=True):
            slope.reshape(-1)[where] = values
        return self.evaluate(theta, x), dense

    def slopes(self, theta, x) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """As in `Parametrisation`; the five components of a ball share the points inside it."""
        points = x.reshape(-1, 3)
        for ball in self.check(theta).reshape(self.count, 5):
            where, offset, distance = self._within(ball, points)
            inside, slope = smoothstep(self._depth(ball, distance))
            slope = ball[4] * slope / self.width
            # ∂|x−c|/∂c = −(x−c)/|x−c|; at the centre itself the slope is zero, so any direction serves.
            outward = offset / np.maximum(distance, np.finfo(float).tiny)[:, None]
            yield from ((where, slope * component) for component in outward.T)
            yield where, slope
            yield where, inside

    def reaches(self, theta, x) -> np.ndarray:
        """As in `Parametrisation`: every point of a ball, whatever its contrast."""
        points = x.reshape(-1, 3)
        reached = np.zeros(len(points), dtype=bool)
        for ball in self.check(theta).reshape(self.count, 5):
            reached[self._within(ball, points)[0]] = True
        return reached.reshape(x.shape[:-1])

    def _within(self, ball, points):
        """Which points (n, 3) lie within the reach of a ball, their offsets from its centre, and distances."""
        offset = points - ball[:3]
        distance = np.sqrt(np.einsum("ni,ni->n", offset, offset))
        where = np.flatnonzero(distance < ball[3] + self.width / 2)
        return where, offset[where], distance[where]

    def _depth(self, ball, distance):
        """t = (R + w/2 − |x − c|) / w, from 0 at the outer edge of the transition to 1 at the inner one."""
        return (ball[3] + self.width / 2 - distance) / self.width
