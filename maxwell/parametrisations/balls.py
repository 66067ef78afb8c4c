"""Balls of smooth edge: the unknown of few numbers, whose data change only near each ball."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.parametrisations.base import Parameter, Parametrisation, smoothstep


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
        if not (np.isfinite(self.width) and self.width > 0):
            raise MaxwellError(f"Balls: width is {self.width!r}; expected a positive length in metres.")

    @property
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

    def check(self, theta) -> np.ndarray:
        """As in `Parametrisation`; the radii must be positive too."""
        theta = super().check(theta)
        if (theta[3::5] <= 0).any():
            raise MaxwellError(f"{self!r}: the radii are {theta[3::5].tolist()} m; expected positive ones.")
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
        return self._sum(theta, x, derivative=False)[0]

    def linearise(self, theta, x) -> tuple[np.ndarray, np.ndarray]:
        """m (...) and ∂m/∂θ (5·count, ...) at points x (..., 3) in m."""
        return self._sum(theta, x, derivative=True)

    def _sum(self, theta, x, derivative):
        balls = self.check(theta).reshape(self.count, 5)
        m = np.zeros(x.shape[:-1])
        slopes = np.zeros((self.count, 5, *x.shape[:-1])) if derivative else None
        for b, (*centre, radius, contrast) in enumerate(balls):
            offset = x - np.array(centre)
            distance = np.linalg.norm(offset, axis=-1)
            inside, slope = smoothstep((radius + self.width / 2 - distance) / self.width)
            m += contrast * inside
            if derivative:
                slope = contrast * slope / self.width
                # ∂|x−c|/∂c = −(x−c)/|x−c|; at the centre itself the slope is zero, so any direction serves.
                outward = offset / np.maximum(distance, np.finfo(float).tiny)[..., None]
                slopes[b, :3] = np.moveaxis(slope[..., None] * outward, -1, 0)
                slopes[b, 3] = slope
                slopes[b, 4] = inside
        return m, None if slopes is None else slopes.reshape(5 * self.count, *m.shape)
