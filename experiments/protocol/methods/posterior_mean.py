"""The best estimator of all under a prior that is not Gaussian, by sampling."""

import time
import zlib

import numpy as np

from experiments.protocol.known import Answers, Known
from experiments.protocol.methods.base import Method
from experiments.protocol.methods.unknowns import is_linear, seen_through
from maxwell import inversion

EFFORT = 1.0
"""Multiplies the particles, so the time; the standard error falls like 1/√EFFORT."""


class PosteriorMean(Method):
    """θ̂ = E[θ | d] by `maxwell.inversion.posterior_mean`: no estimator has a smaller mean-square error.

    The prior is known exactly; the map is that of the training mesh, whose error counts as noise (`Seen`).

    Extras: deviation (√tr Cov[θ | d], the error that is left by theory, in the unit of θ), standard_error (of the
    sampling, the same norm).
    """

    key = "posterior-mean"
    label = "posterior mean"
    one_by_one = True

    def __init__(self, known: Known):
        self._known = known

    @classmethod
    def suits(cls, known: Known) -> bool:
        """Linear maps under the priors whose posterior `maxwell.inversion` samples."""
        from maxwell.inversion.posterior_mean import MODELS

        return type(known.problem.prior) in MODELS and is_linear(known)

    @classmethod
    def fit(cls, known: Known) -> "PosteriorMean":
        """Nothing to prepare."""
        return cls(known)

    def estimate(self, observations: np.ndarray, deviation: float) -> Answers:
        """As in `Method`; the random numbers of a row follow from its data."""
        seen, found, seconds = seen_through(self._known, deviation), [], []
        forward, prior = seen.map, self._known.problem.prior
        for row in observations:
            began = time.process_time()
            data, seed = seen.data(row[None]), zlib.crc32(row.tobytes())
            found.append(inversion.posterior_mean(forward, data, 1.0, prior, seed=seed, effort=EFFORT))
            seconds.append(time.process_time() - began)
        return Answers(
            np.concatenate([each.mean for each in found]),
            np.array(seconds),
            {
                "deviation": np.concatenate([each.deviation for each in found]),
                "standard_error": np.concatenate([each.standard_error for each in found]),
            },
        )
