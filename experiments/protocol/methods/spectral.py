"""Filtered singular values, their penalty by the discrepancy principle, observation by observation."""

import time
from typing import ClassVar

import numpy as np

from experiments.protocol.known import Answers, Known
from experiments.protocol.methods.base import Method
from experiments.protocol.methods.unknowns import branches, gaussian, seen_through
from experiments.seen import Seen
from maxwell import inversion


class Spectral(Method):
    """What `TSVD` and `Tikhonov` share: one decomposition a level of noise, and a choice of penalty a row.

    The penalty is the strongest that fits to the known noise and mesh error (`Seen`), among those not
    below the prior's own weight: λ ≥ 1, or directions above the noise, s ≥ 1.  Where none does (a nonlinear map,
    linearised at the prior mean; a large mesh error), what `maxwell.inversion.Discrepancy` falls back to.

    Extras: penalty (λ, or the number of components kept), own_misfit (of the linearisation; 1 is noise
    and mesh error).
    Not for balls: at their prior mean they have no contrast, and the data do not depend on where they are.
    """

    filter: ClassVar[inversion.Filter]

    def __init__(self, known: Known):
        self._known = known
        self._systems: dict[float, tuple[Seen, inversion.WhitenedSystem]] = {}

    @classmethod
    def suits(cls, known: Known) -> bool:
        """Unless the unknown has branches."""
        return branches(known) is None

    @classmethod
    def fit(cls, known: Known) -> "Spectral":
        """The decomposition at the level of training; another level costs another."""
        method = cls(known)
        method._system(known.deviation(known.noise))
        return method

    def estimate(self, observations: np.ndarray, deviation: float) -> Answers:
        """As in `Method`."""
        seen, system = self._system(deviation)
        data = seen.data(observations)
        found, seconds = [], []
        for row in data:
            began = time.process_time()
            found.append(system.invert(row, self.filter, inversion.Discrepancy()))
            seconds.append(time.process_time() - began)
        chosen = [each.trace.records[each.trace.chosen] for each in found]
        return Answers(
            np.array([each.theta for each in found]),
            np.array(seconds),
            {
                "penalty": np.array([record.penalty for record in chosen]),
                "own_misfit": np.array([each.misfit for each in found]),
            },
        )

    def _system(self, deviation):
        if deviation not in self._systems:
            seen = seen_through(self._known, deviation)
            system = inversion.WhitenedSystem(seen.map, 1.0, gaussian(self._known))
            self._systems[deviation] = seen, system
        return self._systems[deviation]


class _AboveNoise(inversion.Truncation):
    def penalties(self, values: np.ndarray) -> np.ndarray:
        return np.arange(np.count_nonzero(values >= 1) + 1.0)


class _NotBelowPrior(inversion.Tikhonov):
    def penalties(self, values: np.ndarray) -> np.ndarray:
        grid = super().penalties(values)
        return np.append(grid[grid > 1], 1.0)


class TSVD(Spectral):
    """Truncated singular value decomposition in whitened variables."""

    key = "tsvd"
    label = "TSVD, discrepancy principle"
    filter = _AboveNoise()


class Tikhonov(Spectral):
    """argmin ‖d − F(θ)‖²/σ² + λ ‖Γ^{-1/2}(θ − θ_0)‖²."""

    key = "tikhonov"
    label = "Tikhonov, discrepancy principle"
    filter = _NotBelowPrior()
