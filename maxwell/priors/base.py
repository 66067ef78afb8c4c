"""What every prior is: unknowns θ drawn from a Generator, and a word on which parametrisation they suit."""

from abc import ABC, abstractmethod

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.numbers import array_of
from maxwell.symmetry import Turn

ROUNDING = 1e-9
"""Relative slack of a bound on a number that is computed from θ and is not one of its components."""


class Prior(ABC):
    """A probability distribution of θ.

    Laws that every member is tested for: equal Generators give equal bits; n draws in one call are those
    of n calls; every draw is an unknown that its parametrisation accepts; `contains` holds of every draw.
    """

    @property
    @abstractmethod
    def unknowns(self) -> int:
        """p, the length of θ."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw `size` unknowns θ; returns (size, p)."""

    @abstractmethod
    def check_fits(self, parametrisation) -> None:
        """Raise MaxwellError, in one sentence, unless the draws are unknowns of `parametrisation`."""

    def contains(self, thetas) -> np.ndarray:
        """Whether each row of (n, p) lies in the support of the prior: (n,) bool, False where not finite.

        Intervals are closed.  Raises MaxwellError for another shape, and for complex rows of a real prior.
        """
        what = f"{type(self).__name__}: thetas"
        rows = array_of(thetas, what)
        if rows.ndim != 2 or rows.shape[1] != self.unknowns:
            raise MaxwellError(f"{what} has shape {rows.shape}; expected (n, {self.unknowns}), one θ a row.")
        if np.iscomplexobj(rows) and not self._complex:
            raise MaxwellError(f"{what} has dtype {rows.dtype}; expected real numbers.")
        inside = np.isfinite(rows).all(axis=1)
        inside[inside] = self._holds(rows[inside])
        return inside

    def keeps(self, turn: Turn) -> bool:
        """Whether a turn that the parametrisation can follow leaves the distribution as it is; unknown here."""
        return False

    _complex = False  # whether draws are complex

    @abstractmethod
    def _holds(self, thetas) -> np.ndarray:
        """`contains` of finite rows (n, p): (n,) bool."""


def within(values, interval, slack: float = 0.0) -> np.ndarray:
    """Whether values lie in [low, high], widened by a share of either bound."""
    low, high = interval
    return (values >= low - slack * abs(low)) & (values <= high + slack * abs(high))
