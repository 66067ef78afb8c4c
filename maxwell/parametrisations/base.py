"""What every parametrisation of the log-conductivity is: m and ∂m/∂θ at points, and a box around its support."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.symmetry import Rearrangement, Turn


@dataclass(frozen=True)
class Parameter:
    """One component of θ: its symbol, SI unit ("" when dimensionless) and the group it belongs to."""

    name: str
    unit: str
    group: str


class Parametrisation(ABC):
    """How p real numbers θ describe m(x; θ) = log σ/σ0 in the box.

    Laws that every member is tested for: `linearise` returns the value of `evaluate` and its derivative
    (Taylor remainders fall like h² away from kinks); `slopes` holds the same derivative sparsely; m and its
    derivative vanish outside the boxes of `support`.
    """

    @property
    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]:
        """Names, units and groups of θ, in order."""

    @abstractmethod
    def support(self, theta) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corners, each (k, 3) in m, of boxes that together contain m ≠ 0 and ∂m/∂θ ≠ 0."""

    @abstractmethod
    def evaluate(self, theta, x) -> np.ndarray:
        """m at points x (..., 3) in m; returns (...)."""

    def at(self, x) -> Callable[[np.ndarray], np.ndarray]:
        """θ ↦ m at points x (..., 3) in m that stay; members that gain from it look at the points once."""
        return partial(self.evaluate, x=x)

    @abstractmethod
    def linearise(self, theta, x) -> tuple[np.ndarray, np.ndarray]:
        """m (...) and ∂m/∂θ (p, ...) at points x (..., 3) in m."""

    @property
    def region(self) -> np.ndarray:
        """Lower and upper corner (2, 3) in m of the box that samples are expected to change, at most.

        (0, 1 m)³ for members that know no better.
        """
        return np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])

    def slopes(self, theta, x) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """∂m/∂θ at points x (..., 3) in m, one pair (where, values) for each component of θ in order.

        where (n,) : indices of points of x.reshape(-1, 3), outside of which ∂m/∂θ_k vanishes.
        values (n,) : ∂m/∂θ_k at those points.

        Cost here: that of `linearise`, which is dense; members with local components do better.
        """
        for slope in self.linearise(theta, x)[1]:
            where = np.flatnonzero(slope)
            yield where, slope.ravel()[where]

    def reaches(self, theta, x) -> np.ndarray:
        """Whether m or ∂m/∂θ may differ from zero, at points x (..., 3) in m: (...) bool.

        Wider than m ≠ 0: a ball without contrast has a derivative, and a Jacobian must integrate it.
        """
        reached = self.evaluate(theta, x) != 0
        for where, _ in self.slopes(theta, x):
            reached.reshape(-1)[where] = True
        return reached

    def branch(self, thetas) -> np.ndarray:
        """Number of the branch of each row of (n, p) within which the data are smooth enough to expand: (n,)."""
        return np.zeros(len(np.asarray(thetas)), dtype=int)

    def moved(self, turn: Turn) -> Rearrangement | None:
        """θ' with m(g x; θ') = m(x; θ) for all x, if this parametrisation holds it for every θ: here of none."""
        return None

    @property
    def planes(self) -> tuple[tuple[float, ...], ...]:
        """Coordinates in m, for each axis, where m jumps: a mesh that can should put faces there."""
        return ((), (), ())

    def check(self, theta) -> np.ndarray:
        """Return θ as a finite float64 array of shape (p,), or say what is wrong with it."""
        try:
            theta = np.asarray(theta)
        except ValueError:  # ragged
            raise MaxwellError(f"{self!r}: theta is {theta!r}; expected a flat list of numbers.") from None
        size = len(self.parameters)
        if theta.shape != (size,):
            raise MaxwellError(
                f"{self!r}: theta has shape {theta.shape}; expected ({size},): "
                f"{', '.join(p.name for p in self.parameters[:6])}{', ...' if size > 6 else ''}."
            )
        if not np.issubdtype(theta.dtype, np.number) or np.iscomplexobj(theta):
            raise MaxwellError(f"{self!r}: theta has dtype {theta.dtype}; expected real numbers.")
        theta = theta.astype(np.float64)
        if not np.isfinite(theta).all():
            k = int(np.flatnonzero(~np.isfinite(theta))[0])
            raise MaxwellError(
                f"{self!r}: theta[{k}] ({self.parameters[k].name}) is {theta[k]}; expected finite numbers."
            )
        return theta


def smoothstep(t):
    """S(t) and S'(t): 0 for t ≤ 0, 1 for t ≥ 1, 6t⁵ − 15t⁴ + 10t³ between (C², |S'| ≤ 15/8)."""
    t = np.clip(t, 0.0, 1.0)
    return t**3 * (t * (6 * t - 15) + 10), 30 * t**2 * (1 - t) ** 2
