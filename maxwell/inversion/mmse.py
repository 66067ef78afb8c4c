"""Linear minimum mean-square error: the best affine estimator under a prior (Wiener), for any forward map.

    θ̂ = θ_0 + C_θd (C_dd + C_nn)⁻¹ (d − d_0),    E (θ̂ − θ)(θ̂ − θ)ᴴ = C_θθ − C_θd (C_dd + C_nn)⁻¹ C_dθ

with the moments of (θ, F(θ)) under the prior.  Its error is orthogonal to the data, E (θ̂ − θ) dᴴ = 0 with d
centred, so no affine estimator does better on average; under a Gaussian prior and a linear map no estimator does.
"""

import time

import numpy as np

from maxwell.errors import AccuracyError, MaxwellError
from maxwell.forward import ForwardMap, LinearForwardMap
from maxwell.inversion.result import Estimate, Record, Trace
from maxwell.inversion.spectral import Tikhonov, WhitenedSystem
from maxwell.inversion.whitening import DataSpace, Gaussian, Sampler, check_observation, draw, rms
from maxwell.numbers import array_of


class LinearMMSE:
    """The estimator, built once; then an estimate is one product.

    A linear map needs the prior's mean and covariance alone (closed form).  Any other is seen through n pairs
    (θ_i, F(θ_i)) drawn from the prior: the moments of F are those of the pairs, and the error is predicted by
    leaving each pair out in turn, for the pairs that made the estimator flatter it (most when n < N).

    forward, noise, prior : as for `WhitenedSystem`.
    samples : draws of the prior, 2000 by default; for a nonlinear map that many solves, 500 by default.
    seed : of these, or a Generator.
    pairs : (θ (n, p), F(θ) (n, m) without noise) that exist already, instead of solving.

    covariance (p, p) : of the error, over prior and noise.
    Cost: `samples` solves and an SVD of (samples, N); for a linear map one SVD of (N, p).
    Not for unknowns with several branches: the mean of two balls of opposite contrast is no ball.
    """

    def __init__(
        self,
        forward: ForwardMap,
        noise,
        prior: Gaussian | Sampler,
        *,
        samples: int | None = None,
        seed: int | np.random.Generator = 0,
        pairs: tuple[np.ndarray, np.ndarray] | None = None,
    ):
        self._forward, self.solves = forward, 0
        self.linear = isinstance(forward, LinearForwardMap) and pairs is None
        if self.linear:
            system = WhitenedSystem(forward, noise, prior, samples=samples or 2000, seed=seed)
            self.gaussian, self.value, self.space = system.gaussian, system.value, system.space
            self.gain, self.covariance = system.gain(Tikhonov(), 1.0)
            return
        if pairs is None:
            thetas = draw(prior, samples or 500, seed)
            data, self.solves = forward.batch(thetas), len(thetas)
        else:
            thetas, data = map(np.asarray, pairs)
        if thetas.ndim != 2 or data.ndim != 2 or len(thetas) != len(data) or len(data) < 2:
            raise MaxwellError(
                f"linear_mmse: pairs have shapes {thetas.shape} and {data.shape}; expected (n, p) and (n, m) "
                "with n at least 2."
            )
        self.gaussian = Gaussian.from_samples(thetas)
        self.value = data.mean(axis=0)
        self.space = DataSpace.of(noise, self.value, self.gaussian.mean)
        self._learn(thetas - self.gaussian.mean, self.space.whiten(data - self.value))

    def _learn(self, thetas, data):
        """Ridge regression of θ on whitened data: the noise, not in the pairs, is its penalty n − 1."""
        n = len(thetas)
        left, values, right = np.linalg.svd(data, full_matrices=False)
        along = left.conj().T @ thetas
        shrink = values**2 / (values**2 + n - 1)
        gain = right.conj().T @ ((values / (values**2 + n - 1))[:, None] * along)
        leverage = (np.abs(left) ** 2) @ shrink + 1 / n
        missed = (thetas - left @ (shrink[:, None] * along)) / (1 - leverage)[:, None]
        self.gain = gain.T
        self.covariance = missed.T @ missed.conj() / n + gain.T @ gain.conj()

    def estimate(self, observations) -> np.ndarray:
        """θ̂ for observations (n, m): (n, p)."""
        observations = array_of(observations, "observations")
        if observations.shape[-1:] != self.value.shape:
            raise MaxwellError(
                f"observations have shape {observations.shape}; expected (n, {self.value.size}), a row a sample."
            )
        data = self.space.whiten(observations - self.value)
        return self.gaussian.mean + data @ self.gain.T

    def invert(self, observation) -> Estimate:
        """One observation (m,), with the data its estimate predicts (one solve, or a product)."""
        start = time.perf_counter()
        observation = check_observation(observation, self.value)
        theta = self.estimate(observation[None])[0]
        notes = () if self.linear else (f"nonlinear map: moments of {self.solves or 'given'} pairs.",)
        try:
            predicted = self._forward(theta)
        except (MaxwellError, AccuracyError) as error:
            predicted = np.full_like(self.value, np.nan)
            notes += (f"no data of the estimate: {error}",)
        misfit = rms(self.space.whiten(observation - predicted))
        norm = np.linalg.norm(
            np.linalg.lstsq(self.gaussian.root(), theta - self.gaussian.mean, rcond=None)[0]
        )
        seconds = time.perf_counter() - start
        record = Record(1.0, misfit, float(norm), seconds, int(self.linear))
        trace = Trace(
            (record,), 0, "the Bayesian weight is the best", self.solves + 1, int(self.linear), seconds, notes
        )
        return Estimate(theta, predicted, misfit, self.covariance, trace)


def linear_mmse(
    forward: ForwardMap,
    observation,
    noise,
    prior: Gaussian | Sampler,
    *,
    samples: int | None = None,
    seed: int | np.random.Generator = 0,
    pairs: tuple[np.ndarray, np.ndarray] | None = None,
) -> Estimate:
    """The best affine estimate of θ from one observation (m,); parameters and cost as for `LinearMMSE`.

    Its covariance is that of the error over prior and noise.  Where F refuses the estimate (a mean of balls
    that is no ball) predicted and misfit are NaN and a note of the trace says why.
    """
    return LinearMMSE(forward, noise, prior, samples=samples, seed=seed, pairs=pairs).invert(observation)
