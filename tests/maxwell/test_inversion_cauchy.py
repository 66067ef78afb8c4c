"""Inversion of the Cauchy problem against the error that its closed-form singular values predict."""

import numpy as np
import pytest

import maxwell
from maxwell.inversion import (
    Discrepancy,
    Fixed,
    Gaussian,
    LinearMMSE,
    Tikhonov,
    Truncation,
    WhitenedSystem,
    linear_mmse,
    tikhonov,
    tsvd,
)


class ClosedForm(maxwell.LinearForwardMap):
    """d_k = t_k θ_k with the exact transfer factors: the waveguide without a mesh."""

    dofs, trace = 0, {}

    def __init__(self, problem):
        self._matrix = np.diag(problem.reference.transfer)

    @property
    def matrix(self):
        return self._matrix

    def check(self, theta):
        return np.asarray(theta)


@pytest.fixture(scope="module")
def cauchy():
    """The discretised map, the exact one, the prior's moments, 100 truths and their exact data with 1 % noise."""
    problem = maxwell.Cauchy(modes=24)
    forward, exact = problem.discretise(cells=6, degree=2), ClosedForm(problem)
    gaussian = Gaussian.from_samples(problem.prior.sample(np.random.default_rng(0), 1000))
    truths = problem.prior.sample(np.random.default_rng(1), 100)
    data = exact.batch(truths)
    noise = 0.01 * np.sqrt(np.mean(np.abs(data) ** 2))
    rng = np.random.default_rng(2)
    xi = rng.standard_normal(data.shape) + 1j * rng.standard_normal(data.shape)
    return forward, exact, gaussian, truths, data + noise * xi / np.sqrt(2), noise


def root_mean_square(errors):
    return np.sqrt(np.mean(np.sum(np.abs(errors) ** 2, axis=1)))


@pytest.mark.parametrize("method", [Tikhonov(), Truncation()])
def test_the_error_is_what_the_exact_singular_values_predict(cauchy, method):
    """Measured over prediction: 1.00 for the penalty chosen, 1.1 to 1.2 for the best penalty there is."""
    forward, exact, gaussian, truths, data, noise = cauchy
    theory, system = WhitenedSystem(exact, noise, gaussian), WhitenedSystem(forward, noise, gaussian)
    best = min(theory.predicted_error(method, x).total for x in method.penalties(theory.values))
    estimates = [system.invert(d, method, Discrepancy()) for d in data]
    assert not any(estimate.trace.notes for estimate in estimates)
    measured = root_mean_square(np.stack([estimate.theta for estimate in estimates]) - truths)
    chosen = [estimate.trace.records[estimate.trace.chosen].penalty for estimate in estimates]
    predicted = [
        theory.predicted_error(method, x, truth=t).total for x, t in zip(chosen, truths, strict=True)
    ]
    assert measured == pytest.approx(np.sqrt(np.mean(np.square(predicted))), rel=0.05)
    assert 0.9 * best < measured < 1.35 * best


def test_linear_mmse_reaches_the_best_error_and_no_method_goes_below(cauchy):
    forward, exact, gaussian, truths, data, noise = cauchy
    estimator = LinearMMSE(forward, noise, gaussian)
    least = root_mean_square(estimator.estimate(data) - truths)
    theory = WhitenedSystem(exact, noise, gaussian).predicted_error(Tikhonov(), 1.0).total
    assert np.sqrt(np.trace(estimator.covariance).real) == pytest.approx(theory, rel=0.01)
    assert least == pytest.approx(theory, rel=0.15)  # 100 draws of a prior with heavy tails
    system = WhitenedSystem(forward, noise, gaussian)
    for method, penalties in ((Tikhonov(), (0.01, 100.0)), (Truncation(), (8, 12, 16, 20, 24))):
        for penalty in penalties:
            estimates = np.stack([system.invert(d, method, Fixed(penalty)).theta for d in data])
            assert root_mean_square(estimates - truths) > least


def test_one_call_each_inverts_an_observation(cauchy):
    forward, _, _, truths, data, noise = cauchy
    prior = forward.problem.prior
    for invert in (tsvd, tikhonov, linear_mmse):
        estimate = invert(forward, data[0], noise, prior, samples=200, seed=np.random.default_rng(3))
        assert np.linalg.norm(estimate.theta - truths[0]) < 0.5 * np.linalg.norm(truths[0])
        assert estimate.predicted == pytest.approx(forward(estimate.theta))
        assert 0 < estimate.misfit < 1.5
        assert (estimate.deviation > 0).all()
