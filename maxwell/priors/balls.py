"""Uniform balls that do not overlap."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.numbers import is_real, is_whole
from maxwell.parametrisations import Balls
from maxwell.priors.base import Prior, within
from maxwell.symmetry import TOLERANCE, Turn

Interval = tuple[float, float]

ATTEMPTS = 10_000
"""Draws of a set of balls before the prior is declared impossible (each is microseconds)."""


@dataclass(frozen=True)
class BallPrior(Prior):
    """Independent uniform balls: centre, radius, size of the log-contrast, with a random sign.

    Several balls do not overlap (|c_i − c_j| ≥ R_i + R_j, by rejection) and are sorted by x, for
    otherwise exchanging two balls would give the same data and the inverse map two values.

    x, y, z : intervals of the centre in m.  radius : interval in m.  contrast : interval of |q|.

    The default lies inside the region of interest of `Conductivity`, transition included.
    """

    x: Interval = (0.36, 0.64)
    y: Interval = (0.36, 0.64)
    z: Interval = (0.50, 0.78)
    radius: Interval = (0.07, 0.13)
    contrast: Interval = (0.5, 2.0)
    count: int = field(default=1, kw_only=True)
    kind: Literal["ball_prior"] = field(default="ball_prior", kw_only=True, repr=False)

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self):
        for name in ("x", "y", "z", "radius", "contrast"):
            given = getattr(self, name)
            interval = tuple(given) if np.iterable(given) else ()
            if len(interval) != 2 or not all(map(is_real, interval)) or interval[0] >= interval[1]:
                raise MaxwellError(f"BallPrior: {name} is {given!r}; expected (low, high) with low < high.")
            object.__setattr__(self, name, interval)
        for name in ("radius", "contrast"):
            if getattr(self, name)[0] <= 0:
                raise MaxwellError(f"BallPrior: {name} is {getattr(self, name)}; expected positive bounds.")
        if not (is_whole(self.count) and self.count >= 1):
            raise MaxwellError(f"BallPrior: count is {self.count!r}; expected a whole number of at least 1.")

    @property
    def unknowns(self) -> int:
        """5·count."""
        return 5 * self.count

    def check_fits(self, parametrisation) -> None:
        """As in `Prior`: as many balls, and every one inside the box (0, 1 m)³, transition included."""
        if not isinstance(parametrisation, Balls):
            raise MaxwellError(
                f"The prior draws balls and the parametrisation is {parametrisation!r}; give the prior of that "
                "parametrisation, or none."
            )
        if self.count != parametrisation.count:
            raise MaxwellError(
                f"The prior draws {self.count} balls and the parametrisation {parametrisation.count}; "
                "give both the same."
            )
        reach = self.radius[1] + parametrisation.width / 2
        for axis in "xyz":
            low, high = getattr(self, axis)
            if low - reach < 0 or high + reach > 1:
                raise MaxwellError(
                    f"prior.{axis} is ({low}, {high}) m, and balls of radius up to {self.radius[1]} m and a "
                    f"transition of {parametrisation.width} m would leave the box (0, 1 m); give a smaller "
                    "interval or smaller balls."
                )

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw `size` unknowns θ; returns (size, 5·count) float64."""
        return np.stack([self._draw(rng) for _ in range(size)]) if size else np.empty((0, self.unknowns))

    def keeps(self, turn: Turn) -> bool:
        """As in `Prior`: if the box of centres comes to lie on itself."""
        box = np.array([self.x, self.y]).T
        return bool(np.allclose(np.sort(turn.points(box), axis=0), box, rtol=0, atol=TOLERANCE))

    def _holds(self, thetas):
        balls = thetas.reshape(-1, self.count, 5)
        inside = within(np.abs(balls[..., 4]), self.contrast)
        for k, interval in enumerate((self.x, self.y, self.z, self.radius)):
            inside &= within(balls[..., k], interval)
        sorted_by_x = (np.diff(balls[..., 0], axis=1) >= 0).all(axis=1)
        return inside.all(axis=1) & sorted_by_x & ~np.array([_overlap(each) for each in balls], dtype=bool)

    def _draw(self, rng):
        low, high = np.array([self.x, self.y, self.z, self.radius, self.contrast]).T
        for _ in range(ATTEMPTS):
            balls = rng.uniform(low, high, (self.count, 5))
            balls[:, 4] *= rng.choice([-1.0, 1.0], self.count)
            if not _overlap(balls):
                return balls[np.argsort(balls[:, 0])].ravel()
        raise MaxwellError(
            f"BallPrior: {self.count} balls of radius {self.radius} m found no place without overlap in "
            f"{ATTEMPTS} draws; ask for fewer or smaller balls or a larger box of centres."
        )


def _overlap(balls) -> bool:
    """Whether any two of the balls (count, 5) do."""
    gaps = np.linalg.norm(balls[:, None, :3] - balls[None, :, :3], axis=-1)
    touching = gaps < balls[:, None, 3] + balls[None, :, 3]
    return bool(touching[np.triu_indices(len(balls), 1)].any())
