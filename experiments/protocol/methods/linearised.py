"""One linearised step from the mean of each branch."""

import numpy as np

from experiments.protocol.known import Answers, Known
from experiments.protocol.methods.base import Method, timed
from experiments.protocol.methods.unknowns import branches
from experiments.protocol.scores import Ruler
from maxwell import inversion

STRENGTHS = np.logspace(-8, 1, 28)
"""Grid of the strength α."""


class LinearisedTikhonov(Method):
    """`maxwell.inversion.LinearisedTikhonov`: the branch of contrasts that fits best, its estimate kept in its box.

    The strength is the best of `STRENGTHS` on the validation split, anew for each level of noise.
    """

    key = "linearised-tikhonov"
    label = "linearised Tikhonov"

    def __init__(self, known: Known):
        self._known, self._ruler = known, Ruler.of(known)
        theta = known.train.parameters
        self._inversion = inversion.LinearisedTikhonov(known.forward, theta, branches(known)(theta))
        self._strengths: dict[float, float] = {}

    @classmethod
    def suits(cls, known: Known) -> bool:
        """Unknowns with branches: one linearisation of a field is `Tikhonov`."""
        return branches(known) is not None

    @classmethod
    def fit(cls, known: Known) -> "LinearisedTikhonov":
        """A linearisation a branch, and the strength at the level of training."""
        method = cls(known)
        method._strength(known.deviation(known.noise))
        return method

    def estimate(self, observations: np.ndarray, deviation: float) -> Answers:
        """As in `Method`."""
        strength = self._strength(deviation)
        return timed(lambda data: self._inversion.estimate(data, strength), observations)

    def _strength(self, deviation):
        if deviation not in self._strengths:
            valid = self._known.valid
            observed = valid.observe(deviation / self._known.dataset.noise_reference)
            errors = [
                self._ruler.squared(self._inversion.estimate(observed, s), valid.parameters).mean()
                for s in STRENGTHS
            ]
            self._strengths[deviation] = float(STRENGTHS[np.argmin(errors)])
        return self._strengths[deviation]
