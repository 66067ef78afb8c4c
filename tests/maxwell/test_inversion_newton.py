"""Gauss-Newton: limits, bounds, refusals and traces on small maps, and one ball recovered from noisy fields."""

import warnings

import numpy as np
import pytest

import maxwell
from maxwell.errors import AccuracyError
from maxwell.inversion import Discrepancy, Fixed, Gaussian, gauss_newton, tikhonov


class Map(maxwell.ForwardMap):
    """A map from its value and Jacobian; it counts how often it is linearised."""

    def __init__(self, unknowns, linearise):
        self.dofs_, self.function, self.count = unknowns, linearise, 0

    @property
    def dofs(self):
        return self.dofs_

    def solve(self, theta):
        return maxwell.Response(self.function(np.asarray(theta))[0])

    def linearise(self, theta):
        self.count += 1
        return self.function(np.asarray(theta))


def rosenbrock(theta):
    """(10 (y − x²), 1 − x): data zero at (1, 1), at the end of a bent valley."""
    x, y = theta
    return np.array([10 * (y - x**2), 1 - x]), np.array([[-20 * x, 10.0], [-1.0, 0.0]])


def wells(theta):
    """Data of x whose misfit to those of x = 1.6 has a second minimum near −1.6."""
    (x,) = theta
    return np.array([x**2, 0.1 * x]), np.array([[2 * x], [0.1]])


def straight(kind=float, seed=0):
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((8, 3)) + (1j * rng.standard_normal((8, 3)) if kind is complex else 0)
    return matrix, Map(3, lambda theta: (matrix @ theta, matrix))


FLAT = Gaussian(np.zeros(2), 1e6 * np.eye(2))
"""A prior that hardly says anything."""


@pytest.mark.parametrize("kind", [float, complex])
def test_a_linear_map_takes_one_step_to_the_bayesian_estimate_and_covariance(kind):
    _, forward = straight(kind)
    prior = Gaussian(np.ones(3), np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 4.0]]))
    observation = forward(np.array([0.3, -0.2, 2.0])) + 0.05
    newton = gauss_newton(forward, observation, 0.1, prior, start=np.zeros(3), tolerance=1e-6, restarts=0)
    bayes = tikhonov(forward, observation, 0.1, prior, rule=Fixed(1.0))
    assert newton.theta == pytest.approx(bayes.theta, rel=1e-8)
    assert newton.covariance == pytest.approx(bayes.covariance, rel=1e-8)
    assert newton.predicted == pytest.approx(forward(newton.theta))
    assert newton.misfit == pytest.approx(bayes.misfit, rel=1e-8)


def test_a_bent_valley_is_followed_to_its_end_and_the_trace_shows_every_iteration():
    forward = Map(2, rosenbrock)
    estimate = gauss_newton(forward, np.zeros(2), 1e-3, FLAT, start=[-1.2, 1.0], restarts=0)
    assert estimate.theta == pytest.approx([1.0, 1.0], abs=2e-4)
    trace = estimate.trace
    assert trace.linearisations == forward.count >= len(trace.records)
    assert "posterior standard deviations" in trace.reason
    assert (np.diff(trace.column("misfit")) < 0).all()
    assert (np.diff(trace.column("linearisations")) >= 1).all()
    assert (np.diff(trace.column("seconds")) >= 0).all()
    assert trace.column("step")[-1] <= 0.1 < trace.column("step")[:-1].min()
    assert trace.chosen == len(trace.records) - 1


def test_overwhelming_noise_gives_the_prior_mean_and_vanishing_noise_the_truth():
    _, forward = straight(complex)
    prior = Gaussian(np.array([1.0, 2.0, 3.0]), np.eye(3))
    truth = np.array([0.5, 2.5, 2.0])
    loud = gauss_newton(forward, forward(truth), 1e9, prior, restarts=0, tolerance=1e-9)
    assert loud.theta == pytest.approx(prior.mean, abs=1e-6)
    assert loud.covariance == pytest.approx(prior.covariance, abs=1e-6)
    assert gauss_newton(forward, forward(truth), 1e-9, prior).theta == pytest.approx(truth, abs=1e-7)


def test_bounds_are_respected_and_the_minimum_in_the_box_is_found():
    """The truth lies outside; the optimum on the side solves what remains, with the first unknown held."""
    matrix, forward = straight()
    prior = Gaussian(np.zeros(3), 1e8 * np.eye(3))
    observation = forward(np.array([1.2, 0.1, 0.2]))
    box = (np.full(3, -1.0), np.ones(3))
    estimate = gauss_newton(
        forward, observation, 1e-3, prior, start=np.full(3, 0.5), bounds=box, restarts=0, tolerance=1e-4
    )
    assert (estimate.theta <= 1).all()
    assert (estimate.theta >= -1).all()
    rest = np.linalg.lstsq(matrix[:, 1:], observation - matrix[:, 0], rcond=None)[0]
    assert (np.abs(rest) < 1).all()
    assert estimate.theta == pytest.approx([1.0, *rest], abs=1e-6)
    assert any("[0] at a bound" in note for note in estimate.trace.notes)


def test_a_start_outside_is_moved_into_the_box_and_leaves_a_corner():
    forward = Map(2, rosenbrock)
    box = (np.full(2, -2.0), np.full(2, 2.0))
    estimate = gauss_newton(forward, np.zeros(2), 1e-3, FLAT, start=[-9.0, 9.0], bounds=box, restarts=0)
    assert estimate.theta == pytest.approx([1.0, 1.0], abs=2e-4)


def test_a_point_that_the_map_refuses_is_an_infeasible_step():
    refused = []

    def logarithm(theta):
        if theta[0] <= 0:
            refused.append(theta[0])
            raise maxwell.MaxwellError("theta must be positive.")
        return np.log(theta), np.array([[1 / theta[0]]])

    prior = Gaussian(np.array([5.0]), np.array([[100.0]]))
    estimate = gauss_newton(Map(1, logarithm), np.log([0.1]), 1e-4, prior, start=[8.0], restarts=0)
    assert refused
    assert estimate.theta == pytest.approx([0.1], rel=1e-3)
    with pytest.raises(maxwell.MaxwellError, match="theta must be positive"):
        gauss_newton(Map(1, logarithm), np.log([0.1]), 1e-4, prior, start=[-8.0])


def test_a_point_that_cannot_be_solved_accurately_is_a_refused_step():
    failed = []

    def logarithm(theta):
        if theta[0] <= 0:
            failed.append(theta[0])
            raise AccuracyError("The solver left a relative residual of 1.0; expected at most 1e-9.")
        return np.log(theta), np.array([[1 / theta[0]]])

    prior = Gaussian(np.array([5.0]), np.array([[100.0]]))
    estimate = gauss_newton(Map(1, logarithm), np.log([0.1]), 1e-4, prior, start=[8.0], restarts=0)
    assert failed
    assert estimate.theta == pytest.approx([0.1], rel=1e-3)
    with pytest.raises(AccuracyError, match="relative residual"):
        gauss_newton(Map(1, logarithm), np.log([0.1]), 1e-4, prior, start=[-8.0], restarts=0)


def test_the_slow_path_is_told_once_and_counted_and_other_warnings_pass():
    def slow(theta):
        warnings.warn(
            f"theta {theta.tolist()} is outside: refactorised.", maxwell.SlowPathWarning, stacklevel=2
        )
        warnings.warn("of another kind", UserWarning, stacklevel=2)
        return rosenbrock(theta)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimate = gauss_newton(Map(2, slow), np.zeros(2), 1e-3, FLAT, start=[-1.2, 1.0], restarts=0)
    kinds = [given.category for given in caught]
    points = estimate.trace.linearisations
    assert kinds.count(maxwell.SlowPathWarning) == 1
    assert kinds.count(UserWarning) == points > 2
    assert f"{points} of {points} points left the map's fast path." in estimate.trace.notes
    with warnings.catch_warnings():
        warnings.simplefilter("error", maxwell.SlowPathWarning)
        with pytest.raises(maxwell.SlowPathWarning):
            gauss_newton(Map(2, slow), np.zeros(2), 1e-3, FLAT, start=[-1.2, 1.0], restarts=0)


def test_a_wrong_basin_is_noticed_and_left_by_another_start():
    """Misfit far above the noise proves the basin wrong; without a restart the note says that."""
    forward, prior = Map(1, wells), Gaussian(np.zeros(1), np.eye(1), np.array([-4.0]), np.array([4.0]))
    observation = forward(np.array([1.6]))
    stuck = gauss_newton(forward, observation, 1e-3, prior, start=[-1.5], restarts=0)
    assert stuck.theta[0] == pytest.approx(-1.6, abs=0.01)
    assert "wrong basin" in stuck.trace.notes[0]
    free = gauss_newton(forward, observation, 1e-3, prior, start=[-1.5], seed=3)
    assert free.theta[0] == pytest.approx(1.6, abs=1e-3)
    assert "starts ended at misfits" in free.trace.notes[0]
    assert free.trace.linearisations > len(free.trace.records)


def test_the_discrepancy_principle_stops_earlier():
    forward = Map(2, rosenbrock)
    options = {"start": [-1.2, 1.0], "restarts": 0}
    early = gauss_newton(forward, np.zeros(2), 1.0, FLAT, stop=Discrepancy(1.0), **options)
    full = gauss_newton(forward, np.zeros(2), 1.0, FLAT, tolerance=1e-6, **options)
    assert early.misfit <= 1.0
    assert "fits to the noise" in early.trace.reason
    assert early.trace.linearisations < full.trace.linearisations


def test_an_iteration_that_is_cut_short_says_so():
    estimate = gauss_newton(
        Map(2, rosenbrock), np.zeros(2), 1e-3, FLAT, start=[-1.2, 1.0], iterations=2, restarts=0
    )
    assert "2 iterations used" in estimate.trace.reason
    assert len(estimate.trace.records) == 3


def draw_noise(rng, data, relative):
    deviation = relative * np.sqrt(np.mean(np.abs(data) ** 2))
    noise = rng.standard_normal(data.shape) + 1j * rng.standard_normal(data.shape)
    return deviation, data + deviation * noise / np.sqrt(2)


@pytest.fixture(scope="module")
def balls():
    problem = maxwell.Conductivity()
    return problem, problem.discretise(cells=4, degree=1)


def squared_error(estimate, truth):
    """(θ̂ − θ)ᵀ C⁻¹ (θ̂ − θ), of χ² with as many degrees of freedom as unknowns."""
    error = estimate.theta - truth
    return error @ np.linalg.solve(estimate.covariance, error)


@pytest.mark.slow
def test_one_ball_is_recovered_to_the_posterior_accuracy_from_nine_of_ten_random_starts(balls):
    """Four balls, ten starts each drawn from the prior (of both signs), 0.1 % noise; each start is one descent.

    A descent that ends elsewhere says so, and the restarts of the default bring it home.
    """
    problem, forward = balls
    rng = np.random.default_rng(3)
    starts = problem.prior.sample(np.random.default_rng(6), 10)
    assert set(problem.parametrisation.branch(starts)) == {0, 1}
    truths, recovered = problem.prior.sample(np.random.default_rng(11), 4), 0
    for truth in truths:
        deviation, observation = draw_noise(rng, forward(truth), 1e-3)
        for start in starts:
            options = {"start": start, "samples": 200}
            estimate = gauss_newton(forward, observation, deviation, problem.prior, restarts=0, **options)
            if estimate.misfit < 2:
                recovered += 1
            else:
                assert "a wrong basin" in estimate.trace.notes[0]
                estimate = gauss_newton(forward, observation, deviation, problem.prior, **options)
            assert estimate.misfit == pytest.approx(1.0, abs=0.06)  # 2,048 real data: ± 0.016
            assert squared_error(estimate, truth) < 20.5  # χ² of 5 unknowns, 0.1 %
    assert recovered >= 0.9 * len(truths) * len(starts)


def test_errors_over_noise_draws_are_spread_like_the_posterior_covariance(balls):
    """The mean of (θ̂ − θ)ᵀ C⁻¹ (θ̂ − θ) over 24 draws is that of χ² with 5 degrees of freedom, 5 ± 0.65."""
    problem, forward = balls
    truth = np.array([0.45, 0.55, 0.65, 0.1, 1.2])
    rng = np.random.default_rng(1)
    prior = Gaussian.from_samples(problem.prior.sample(np.random.default_rng(0), 200))
    data, squares = forward(truth), []
    for _ in range(24):
        deviation, observation = draw_noise(rng, data, 1e-3)
        estimate = gauss_newton(forward, observation, deviation, prior, start=truth + 1e-3)
        squares.append(squared_error(estimate, truth))
    assert np.mean(squares) == pytest.approx(5, abs=2)
    assert np.std(squares) == pytest.approx(np.sqrt(10), abs=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"noise": 0.0}, "positive standard deviation"),
        ({"observation": np.array([1.0, np.nan])}, "not finite"),
        ({"observation": np.ones(3)}, r"shape \(3,\)"),
        ({"prior": Gaussian(np.zeros(2), np.diag([1.0, 0.0]))}, "singular"),
        ({"prior": Gaussian(np.zeros(2, dtype=complex), np.eye(2))}, "complex"),
        ({"prior": 3}, "sample"),
        ({"start": np.zeros(2, dtype=complex)}, "complex"),
        ({"start": np.zeros(3)}, "start has shape"),
        ({"start": np.array([np.inf, 0])}, "finite"),
        ({"bounds": (np.ones(2), np.zeros(2))}, "low < high"),
        ({"bounds": (np.zeros(3), np.ones(3))}, "bounds have shapes"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"iterations": 0}, "iterations"),
        ({"iterations": 2.5}, "iterations 2.5"),
        ({"tolerance": "a"}, "tolerance 'a'"),
        ({"samples": 0}, "samples is 0; expected a whole number of at least 1"),
        ({"samples": 2.5}, "samples is 2.5"),
        ({"seed": "a"}, "seed is 'a'; expected a whole number"),
        ({"noise": "a"}, "noise has dtype"),
        ({"noise": 1j}, "positive standard deviation"),
        ({"stop": "morozov"}, "stop is 'morozov'"),
        ({"start": "a"}, "start has dtype"),
        ({"bounds": 3}, r"bounds is 3; expected \(low, high\)"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(options, words):
    call = {"observation": np.zeros(2), "noise": 0.1, "prior": FLAT, **options}
    with pytest.raises(maxwell.MaxwellError, match=words) as error:
        gauss_newton(Map(2, rosenbrock), **call)
    assert "\n" not in str(error.value)
