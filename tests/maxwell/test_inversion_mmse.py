"""Linear MMSE: optimal under its prior, its error orthogonal to the data and foretold."""

import numpy as np
import pytest
from test_inversion import CASES, Matrix, Quadratic, draw, noise_of, transfer

import maxwell
from maxwell.inversion import (
    GCV,
    Discrepancy,
    Fixed,
    LinearMMSE,
    Tikhonov,
    Truncation,
    WhitenedSystem,
    linear_mmse,
    tikhonov,
)


@pytest.mark.parametrize("case", CASES)
def test_linear_mmse_of_a_linear_map_is_tikhonov_with_the_bayesian_weight(case):
    forward, prior, noise, _, observation = draw(case)
    wiener = linear_mmse(forward, observation, noise, prior)
    bayes = tikhonov(forward, observation, noise, prior, rule=Fixed(1.0))
    assert wiener.theta == pytest.approx(bayes.theta, rel=1e-9, abs=1e-12)
    assert wiener.covariance == pytest.approx(bayes.covariance, abs=1e-12)
    assert wiener.predicted == pytest.approx(forward(wiener.theta))
    assert wiener.misfit > 0


@pytest.mark.parametrize("case", list(CASES)[:4])
def test_the_error_of_linear_mmse_is_orthogonal_to_the_data(case):
    """E (θ̂ − θ)(d − d_0)ᴴ = K C_dd − C_θd vanishes, exactly."""
    forward, prior, noise, _, _ = draw(case)
    estimator = LinearMMSE(forward, noise, prior)
    slope = estimator.space.whiten(forward.matrix.T).T
    cross = prior.covariance @ slope.conj().T
    covariance = slope @ cross + np.eye(estimator.space.size)
    assert estimator.gain @ covariance == pytest.approx(cross, abs=1e-9 * np.abs(cross).max())
    error = prior.covariance - estimator.gain @ cross.conj().T
    assert estimator.covariance == pytest.approx(error, abs=1e-9)


def test_no_filter_beats_linear_mmse_on_average_under_its_own_prior():
    """A prior that is not Gaussian: only its first two moments matter."""

    class Spikes:
        def sample(self, rng, size):
            return rng.choice([0.0, 0.0, 3.0], (size, 24)) * np.exp(2j * np.pi * rng.random((size, 24)))

    forward = Matrix(transfer(length=0.5))
    truths = Spikes().sample(np.random.default_rng(8), 150)
    data = forward.batch(truths)
    noise = 0.02
    data = data + noise_of(np.random.default_rng(9), data.shape, noise)
    estimator = LinearMMSE(forward, noise, Spikes(), samples=20_000)

    def error(estimates):
        return np.sqrt(np.mean(np.sum(np.abs(estimates - truths) ** 2, axis=1)))

    wiener = error(estimator.estimate(data))
    assert wiener == pytest.approx(np.sqrt(np.trace(estimator.covariance).real), rel=0.05)
    system = WhitenedSystem(forward, noise, Spikes(), samples=20_000)
    for kernel, rules in (
        (Tikhonov(), [Discrepancy(), GCV(), Fixed(0.1), Fixed(10.0)]),
        (Truncation(), [Discrepancy(), GCV(), *(Fixed(k) for k in range(0, 25, 4))]),
    ):
        for rule in rules:
            assert error(np.stack([system.invert(d, kernel, rule).theta for d in data])) > 0.999 * wiener


def test_linear_mmse_from_pairs_approaches_the_closed_form_and_predicts_its_own_error():
    forward, prior, noise, _, _ = draw("real unknown, complex data")
    hidden = Quadratic(forward.matrix, bend=0.0)  # the same map, not known to be linear
    rng = np.random.default_rng(11)
    truths = prior.sample(rng, 500)
    data = forward.batch(truths)
    data = data + noise_of(rng, data.shape, noise)
    exact = LinearMMSE(forward, noise, prior)
    errors = []
    for samples in (60, 4000):
        learned = LinearMMSE(hidden, noise, prior, samples=samples, seed=4)
        measured = np.mean(np.sum((learned.estimate(data) - truths) ** 2, axis=1))
        # 60 pairs for 96 data: leaving each out foretells the error that moments of the same pairs deny.
        assert np.trace(learned.covariance) == pytest.approx(measured, rel=0.15)
        errors.append(measured)
    assert errors[0] > errors[1]
    assert errors[1] == pytest.approx(np.trace(exact.covariance), rel=0.1)


def test_linear_mmse_takes_pairs_that_exist_and_explains_an_estimate_without_data():
    class Positive(Quadratic):
        def linearise(self, theta):
            if (theta <= 0).any():
                raise maxwell.MaxwellError("theta must be positive.")
            return super().linearise(theta)

    forward = Positive(np.eye(2), bend=0.1)
    thetas = np.random.default_rng(0).uniform(0.1, 1, (50, 2))
    truth = np.array([0.3, 0.6])
    estimate = linear_mmse(forward, forward(truth), 1e-3, None, pairs=(thetas, forward.batch(thetas)))
    assert estimate.theta == pytest.approx(truth, abs=0.05)
    assert estimate.trace.solves == 1
    assert "given pairs" in estimate.trace.notes[0]
    refused = linear_mmse(forward, np.array([-1.0, 0.2]), 1e-3, None, pairs=(thetas, forward.batch(thetas)))
    assert np.isnan(refused.predicted).all()
    assert "theta must be positive" in refused.trace.notes[1]
