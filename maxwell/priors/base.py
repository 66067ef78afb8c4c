"""What every prior is: unknowns θ drawn from a Generator, and a word on which parametrisation they suit."""

from abc import ABC, abstractmethod

import numpy as np


class Prior(ABC):
    """A probability distribution of θ.

    Laws that every member is tested for: equal Generators give equal bits; n draws in one call are those
    of n calls; every draw is an unknown that its parametrisation accepts.
    """

    @abstractmethod
    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw `size` unknowns θ; returns (size, p)."""

    @abstractmethod
    def check_fits(self, parametrisation) -> None:
        """Raise MaxwellError, in one sentence, unless the draws are unknowns of `parametrisation`."""
