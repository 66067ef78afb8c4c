"""Spectral filters: limits, identities, the error that singular values predict; what bad input is told."""

import numpy as np
import pytest

import maxwell
from maxwell.inversion import (
    GCV,
    DataSpace,
    Discrepancy,
    Fixed,
    Gaussian,
    LCurve,
    LinearMMSE,
    Tikhonov,
    Truncation,
    WhitenedSystem,
    linear_mmse,
    tikhonov,
    tsvd,
)


class Matrix(maxwell.LinearForwardMap):
    """d = T θ for a matrix that a test writes down."""

    def __init__(self, matrix):
        self._matrix = matrix

    @property
    def dofs(self):
        return self._matrix.shape[1]

    @property
    def matrix(self):
        return self._matrix

    @property
    def trace(self):
        return {}

    def check(self, theta):
        return np.asarray(theta)


class Quadratic(maxwell.ForwardMap):
    """d = T θ + ε |Tθ|²: a map that is not linear."""

    def __init__(self, matrix, bend):
        self.matrix, self.bend = matrix, bend

    @property
    def dofs(self):
        return self.matrix.shape[1]

    def solve(self, theta):
        return maxwell.Response(self.linearise(theta)[0])

    def linearise(self, theta):
        image = self.matrix @ theta
        return image + self.bend * image**2, self.matrix * (1 + 2 * self.bend * image)[:, None]


def gravity(n=48, depth=0.25):
    """Fredholm equation of the first kind: vertical gravity at depth d above a line of mass, midpoint rule."""
    t = (np.arange(n) + 0.5) / n
    return depth / (depth**2 + (t[:, None] - t) ** 2) ** 1.5 / n, t


def transfer(modes=24, length=1.0, seed=0):
    """A complex map with singular values e^{−γ_k L} like those of a Cauchy problem, γ_k = k."""
    rng = np.random.default_rng(seed)

    def unitary():
        return np.linalg.qr(rng.standard_normal((modes, modes)) + 1j * rng.standard_normal((modes, modes)))[0]

    return unitary() @ np.diag(np.exp(-length * np.arange(modes))) @ unitary()


def noise_of(rng, shape, deviation, kind=complex):
    n = rng.standard_normal(shape)
    return deviation * ((n + 1j * rng.standard_normal(shape)) / np.sqrt(2) if kind is complex else n)


WHITE = Gaussian(np.zeros(48), np.eye(48))
SMOOTH = Gaussian(np.ones(48), np.exp(-np.abs(np.subtract.outer(np.arange(48), np.arange(48))) / 6.0))
CIRCULAR = Gaussian(np.zeros(24, dtype=complex), np.eye(24, dtype=complex))

CASES = {
    "real unknown, real data": (Matrix(gravity()[0]), SMOOTH, 1e-2),
    "real unknown, complex data": (Matrix(gravity()[0] * (1 + 2j)), SMOOTH, 1e-2),
    "complex unknown, complex data": (Matrix(transfer()), CIRCULAR, 1e-3),
    "fewer data than unknowns": (Matrix(gravity()[0][::4]), SMOOTH, 1e-2),
    "prior of low rank": (
        Matrix(gravity()[0]),
        Gaussian(np.zeros(48), np.outer(np.ones(48), np.ones(48))),
        1e-2,
    ),
}
METHODS = {"tsvd": (tsvd, Truncation()), "tikhonov": (tikhonov, Tikhonov())}
RULES = [Discrepancy(), GCV(), LCurve(), Fixed(3.0)]


def draw(case, seed=0):
    """(map, prior, noise, truth, observation)"""
    forward, prior, deviation = CASES[case]
    rng = np.random.default_rng(seed)
    truth = prior.sample(rng, 1)[0]
    data = forward(truth)
    kind = complex if np.iscomplexobj(data) else float
    return forward, prior, deviation, truth, data + noise_of(rng, data.shape, deviation, kind)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_a_result_is_consistent_and_its_trace_tells_how_it_came_about(case, method, rule):
    forward, prior, noise, truth, observation = draw(case)
    estimate = METHODS[method][0](
        forward, observation, noise, prior, rule=Fixed(1) if isinstance(rule, Fixed) else rule
    )
    assert estimate.theta.shape == truth.shape
    assert estimate.theta.dtype == truth.dtype
    assert estimate.predicted == pytest.approx(forward(estimate.theta), rel=1e-9)
    residual = np.abs(observation - forward(estimate.theta)) / noise
    assert estimate.misfit == pytest.approx(np.sqrt(np.mean(residual**2)))
    trace = estimate.trace
    chosen = trace.records[trace.chosen]
    assert chosen.misfit == pytest.approx(estimate.misfit, rel=1e-6)
    step = np.linalg.lstsq(prior.root(), estimate.theta - prior.mean, rcond=None)[0]
    assert chosen.norm == pytest.approx(np.linalg.norm(step), rel=1e-6)
    assert trace.reason
    assert not trace.notes or isinstance(rule, LCurve)  # not every curve has a corner
    assert trace.linearisations == 1
    assert trace.seconds >= 0
    if not isinstance(rule, Fixed):
        assert (
            np.diff(trace.column("misfit")) <= 1e-9
        ).all()  # weaker penalties fit better, with larger norms
        assert (np.diff(trace.column("norm")) >= -1e-9 * trace.column("norm")[1:]).all()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("method", "penalty"), [("tsvd", 0.0), ("tikhonov", 1e30)])
def test_a_penalty_without_bound_gives_the_prior_mean_and_its_covariance(case, method, penalty):
    forward, prior, noise, _, observation = draw(case)
    estimate = METHODS[method][0](forward, observation, noise, prior, rule=Fixed(penalty))
    assert estimate.theta == pytest.approx(prior.mean, abs=1e-12)
    assert estimate.covariance == pytest.approx(prior.covariance, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [float, complex])
def test_without_noise_the_least_squares_solution_comes_out(method, kind):
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((12, 5)) + (1j * rng.standard_normal((12, 5)) if kind is complex else 0)
    prior = Gaussian(np.zeros(5, dtype=kind), np.diag([1.0, 4.0, 9.0, 0.01, 1.0]).astype(kind))
    observation = matrix @ prior.sample(rng, 1)[0] + 0.3  # the offset is not in the range
    least = np.linalg.lstsq(matrix, observation, rcond=None)[0]
    weak = Fixed(5 if method == "tsvd" else 0.0)
    estimate = METHODS[method][0](Matrix(matrix), observation, 1e-9, prior, rule=weak)
    assert estimate.theta == pytest.approx(least, rel=1e-9)
    vanishing = tikhonov(Matrix(matrix), observation, 1e-9, prior, rule=Fixed(1.0))
    assert vanishing.theta == pytest.approx(least, rel=1e-9)


def test_tikhonov_solves_its_normal_equations_and_filters_obey_their_identities():
    forward, prior, noise, _, observation = draw("real unknown, complex data")
    penalty = 7.0
    estimate = tikhonov(forward, observation, noise, prior, rule=Fixed(penalty))
    # Complex data of deviation s have real and imaginary parts of variance s²/2 each.
    hessian = 2 / noise**2 * (forward.matrix.conj().T @ forward.matrix).real
    hessian += penalty * np.linalg.inv(prior.covariance)
    misfit = observation - forward(prior.mean)
    step = np.linalg.solve(hessian, 2 / noise**2 * (forward.matrix.conj().T @ misfit).real)
    assert estimate.theta == pytest.approx(prior.mean + step, rel=1e-8)

    values, penalties = np.array([3.0, 1.0, 0.1]), np.array([10.0, 0.5])
    factors = Tikhonov().factors(values, penalties)
    assert 1 - factors == pytest.approx(penalties[:, None] / (values**2 + penalties[:, None]))
    cut = Truncation().factors(values, np.array([0.0, 2.0, 3.0]))
    assert (cut == [[0, 0, 0], [1, 1, 0], [1, 1, 1]]).all()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("method", "penalty"), [("tsvd", 1.0), ("tikhonov", 0.3), ("tikhonov", 30.0)])
def test_the_error_is_what_the_singular_values_predict(case, method, penalty):
    """Mean over 400 draws of prior and noise, and over 400 draws of the noise for one truth."""
    forward, prior, noise, truth, _ = draw(case)
    system = WhitenedSystem(forward, noise, prior)
    rng = np.random.default_rng(5)
    kernel = METHODS[method][1]
    kind = complex if np.iscomplexobj(forward.matrix) else float

    def mean_square(truths):
        data = forward.batch(truths)
        data = data + noise_of(rng, data.shape, noise, kind)
        estimates = np.stack([system.invert(d, kernel, Fixed(penalty)).theta for d in data])
        return np.mean(np.sum(np.abs(estimates - truths) ** 2, axis=1)), estimates - truths

    predicted = system.predicted_error(kernel, penalty)
    measured, errors = mean_square(prior.sample(rng, 400))
    assert measured == pytest.approx(predicted.total**2, rel=0.2)
    covariance = system.invert(forward(truth), kernel, Fixed(penalty)).covariance
    assert np.trace(covariance).real == pytest.approx(predicted.total**2)
    spread = np.mean(np.abs(errors) ** 2, axis=0)
    assert spread == pytest.approx(np.diag(covariance).real, rel=0.5)

    predicted = system.predicted_error(kernel, penalty, truth=truth)
    assert mean_square(np.tile(truth, (400, 1)))[0] == pytest.approx(predicted.total**2, rel=0.1)


def test_a_nonlinear_map_is_linearised_at_the_prior_mean_and_says_so():
    rng = np.random.default_rng(3)
    forward = Quadratic(rng.standard_normal((12, 3)) + 1j * rng.standard_normal((12, 3)), bend=0.05)
    prior = Gaussian(np.full(3, 1.0), 1e-6 * np.eye(3))
    truth = prior.sample(rng, 1)[0]
    estimate = tikhonov(forward, forward(truth), 1e-8, prior, rule=Fixed(1.0))
    assert estimate.trace.notes == ("nonlinear map: linearised at the prior mean.",)
    assert estimate.theta == pytest.approx(truth, abs=1e-6)  # of steps of 1e-3: the curvature's share


def test_moments_come_from_samples_and_the_seed_is_the_callers():
    prior = maxwell.BallPrior()
    first, again = Gaussian.of(prior, 300, 1), Gaussian.of(prior, 300, np.random.default_rng(1))
    assert (first.mean == again.mean).all()
    assert (first.covariance == again.covariance).all()
    assert (first.mean != Gaussian.of(prior, 300, 2).mean).any()
    samples = prior.sample(np.random.default_rng(1), 300)
    assert first.covariance == pytest.approx(np.cov(samples.T), rel=1e-12)
    assert (first.low < samples.min(axis=0)).all()
    assert (first.high > samples.max(axis=0)).all()
    assert first.root() @ first.root().T == pytest.approx(first.covariance, rel=1e-9, abs=1e-15)


def test_draws_of_a_complex_gaussian_have_its_covariance_and_are_circular():
    root = np.array([[1.0, 0.0], [0.5j, 0.2]])
    draws = Gaussian(np.array([1.0, 2.0j]), root @ root.conj().T).sample(np.random.default_rng(0), 40_000)
    centred = draws - [1.0, 2.0j]
    assert centred.T @ centred.conj() / len(draws) == pytest.approx(root @ root.conj().T, abs=0.03)
    assert centred.T @ centred / len(draws) == pytest.approx(0, abs=0.03)


def test_noise_may_differ_from_datum_to_datum():
    forward, prior, _, _, observation = draw("real unknown, real data")
    noise = np.where(np.arange(48) < 24, 1e-3, 1e9)  # the second half says nothing
    half = Matrix(forward.matrix[:24])
    both = tikhonov(forward, observation, noise, prior, rule=Fixed(1.0))
    assert both.theta == pytest.approx(
        tikhonov(half, observation[:24], 1e-3, prior, rule=Fixed(1.0)).theta, abs=1e-6
    )


SQUARE, UNIT = Matrix(np.eye(2)), Gaussian(np.zeros(2), np.eye(2))


@pytest.mark.parametrize("method", [tsvd, tikhonov, linear_mmse])
@pytest.mark.parametrize(
    ("observation", "noise", "words"),
    [
        ([1.0, 2.0], 0.0, "positive standard deviation"),
        ([1.0, 2.0], -1.0, "positive standard deviation"),
        ([1.0, 2.0], np.nan, "positive standard deviation"),
        ([1.0, 2.0], 1j, "positive standard deviation"),
        ([1.0, 2.0], "a", "noise has dtype"),
        ([1.0, 2.0], [0.1, [0.2, 0.3]], "noise is .* rows of equal length"),
        ([1.0, 2.0], [0.1, 0.1, 0.1], "one for each of the 2 data"),
        ([1.0, np.nan], 0.1, "not finite"),
        ([1.0, 2.0, 3.0], 0.1, r"shape \(3,\)"),
        ([[1.0, 2.0]], 0.1, r"shape \(1, 2\)"),
        ([1.0, 2.0j], 0.1, "real part"),
    ],
)
def test_bad_data_are_refused_in_one_sentence(method, observation, noise, words):
    with pytest.raises(maxwell.MaxwellError, match=words) as error:
        method(SQUARE, np.array(observation), noise, UNIT)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tikhonov(SQUARE, [1.0, 2.0], 0.1, "ball"), "sample"),
        (lambda: tikhonov(Matrix(np.zeros((2, 2))), [1.0, 2.0], 0.1, UNIT), "zero"),
        (lambda: tsvd(SQUARE, [1.0, 2.0], 0.1, UNIT, rule=Fixed(3)), "whole number from 0 to 2"),
        (lambda: tsvd(SQUARE, [1.0, 2.0], 0.1, UNIT, rule=Fixed(0.5)), "whole number"),
        (lambda: DataSpace.of(0.1, np.zeros(2), np.zeros(2, dtype=complex)), "unknown is complex"),
        (lambda: linear_mmse(SQUARE, [1.0, 2.0], 0.1, None, pairs=(np.eye(2), np.eye(3))), "pairs"),
        (lambda: tikhonov(SQUARE, [1.0, 2.0], 0.1, UNIT, rule="gcv"), "rule is 'gcv'; expected an object"),
        (lambda: tsvd(SQUARE, [1.0, 2.0], 0.1, UNIT, rule=GCV), "rule is .*GCV.*; expected an object"),
        (lambda: tikhonov(SQUARE, [1.0, 2.0], 0.1, maxwell.BallPrior(), samples=0), "samples is 0"),
        (
            lambda: LinearMMSE(SQUARE, 0.1, UNIT).estimate(np.ones((4, 3))),
            r"shape \(4, 3\); expected \(n, 2\)",
        ),
        (lambda: LinearMMSE(SQUARE, 0.1, UNIT).estimate("ab"), "observations has dtype"),
        (lambda: Fixed("a"), "value is 'a'"),
        (lambda: Fixed(-1.0), "at least 0"),
        (lambda: Discrepancy(0.0), "positive"),
        (lambda: Gaussian(np.zeros(2), np.eye(3)), "shape"),
        (lambda: Gaussian(np.zeros(2), np.array([[1.0, 0.5], [0.0, 1.0]])), "Hermitian"),
        (lambda: Gaussian(np.zeros(2), -np.eye(2)), "eigenvalues"),
        (lambda: Gaussian(np.array([np.nan, 0]), np.eye(2)), "finite"),
        (lambda: Gaussian.from_samples(np.zeros(3)), "at least 2"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(call, words):
    with pytest.raises(maxwell.MaxwellError, match=words):
        call()
