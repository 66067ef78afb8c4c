"""The best affine estimator of all, linear minimum mean-square error."""

import numpy as np

from experiments.protocol.known import Answers, Known
from experiments.protocol.methods.base import Method, timed
from experiments.protocol.methods.unknowns import branches, gaussian, is_linear, seen_through
from experiments.protocol.scores import Ruler
from experiments.seen import Seen
from maxwell import inversion

NEGLIGIBLE = 1e-6
"""Variance of training data, in that of noise, below which a direction of the data is left out."""

FACTORS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Of the deviation, for a map that is not linear: few pairs of heavy tails are else fitted to the noise."""


class MMSE(Method):
    """θ̂ = θ_0 + C_θd (C_dd + C)⁻¹ (d − d_0): no affine estimator has a smaller mean-square error.

    C is that of noise and of the training mesh's error (`Seen`).  A linear map needs the mean and covariance of the
    prior alone.  Any other is met in the noise-free training pairs, in the principal directions of their data, with
    the deviation times the one of `FACTORS` that has the least validation error.
    One estimator a level of noise, built when first asked for.
    Not for balls: the mean over branches is no ball, and few strong ones rule the fit (600 pairs: test error 1.4).
    """

    key = "mmse"
    label = "linear MMSE"

    def __init__(self, known: Known):
        self._known = known
        self._estimators: dict[float, _Estimator] = {}

    @classmethod
    def suits(cls, known: Known) -> bool:
        """Unless the unknown has branches."""
        return branches(known) is None

    @classmethod
    def fit(cls, known: Known) -> "MMSE":
        """The estimator at the level of training."""
        method = cls(known)
        method._estimator(known.deviation(known.noise))
        return method

    def estimate(self, observations: np.ndarray, deviation: float) -> Answers:
        """As in `Method`."""
        return timed(self._estimator(deviation), observations)

    def _estimator(self, deviation):
        if deviation not in self._estimators:
            level = deviation / self._known.dataset.noise_reference
            self._estimators[deviation] = _Estimator(self._known, seen_through(self._known, deviation), level)
        return self._estimators[deviation]


class _Estimator:
    """Observations (n, m) ↦ unknowns (n, p)."""

    def __init__(self, known: Known, seen: Seen, level: float):
        self._seen, self._directions = seen, None
        if is_linear(known):
            self._affine = inversion.LinearMMSE(seen.map, 1.0, gaussian(known))
            return
        data = seen.data(known.train.observations)
        centred = data - data.mean(axis=0)
        values, vectors = np.linalg.eigh(centred.T @ centred / len(data))
        self._directions = vectors[:, values > NEGLIGIBLE]  # orthonormal, so the noise stays white
        pairs = known.train.parameters, data @ self._directions
        ruler, truth = Ruler.of(known), known.valid.parameters
        observed = seen.data(known.valid.observe(level)) @ self._directions
        tried = [inversion.LinearMMSE(seen.map, f, known.gaussian, pairs=pairs) for f in FACTORS]
        self._affine = min(tried, key=lambda each: ruler.squared(each.estimate(observed), truth).mean())

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        data = self._seen.data(observations)
        return self._affine.estimate(data if self._directions is None else data @ self._directions)
