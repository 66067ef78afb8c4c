"""Linearised Tikhonov against what it must give when the map really is linear, and on the real one."""

import numpy as np
import pytest

import maxwell
from maxwell.inversion import LinearisedTikhonov


class Linear(maxwell.ForwardMap):
    """d = A θ for a fixed complex matrix: linearising it is exact."""

    def __init__(self, matrix):
        self.matrix = matrix

    @property
    def dofs(self):
        return self.matrix.shape[1]

    def solve(self, theta):
        return maxwell.Response(self.matrix @ theta)

    def linearise(self, theta):
        return self.matrix @ theta, self.matrix


@pytest.fixture
def linear():
    rng = np.random.default_rng(0)
    return Linear(rng.standard_normal((12, 3)) + 1j * rng.standard_normal((12, 3)))


def test_a_linear_map_is_inverted_exactly_as_the_strength_vanishes(linear):
    rng = np.random.default_rng(1)
    samples = rng.standard_normal((50, 3))
    tikhonov = LinearisedTikhonov(linear, samples, np.zeros(50, dtype=int), bounded=False)
    truth = rng.standard_normal((7, 3))
    assert tikhonov.estimate(linear.batch(truth), 1e-14) == pytest.approx(truth, abs=1e-10)


def test_the_estimate_solves_the_normal_equations(linear):
    """Against the textbook formula (JᵀJ + λΓ⁻¹)⁻¹ on real and imaginary parts."""
    rng = np.random.default_rng(2)
    samples = rng.standard_normal((50, 3)) * [1.0, 2.0, 0.1] + 3.0
    tikhonov = LinearisedTikhonov(linear, samples, np.zeros(50, dtype=int), bounded=False)
    data = linear.batch(samples[:1]) + 0.3
    mean, deviation, strength = samples.mean(axis=0), samples.std(axis=0), 0.02
    real = np.vstack([linear.matrix.real, linear.matrix.imag])
    misfit = data[0] - linear(mean)
    misfit = np.concatenate([misfit.real, misfit.imag])
    weight = strength * np.linalg.norm(real * deviation, 2) ** 2
    step = np.linalg.solve(real.T @ real + weight * np.diag(deviation**-2), real.T @ misfit)
    assert tikhonov.estimate(data, strength)[0] == pytest.approx(mean + step, rel=1e-12)


def test_a_strong_penalty_gives_the_mean_of_the_branch(linear):
    samples = np.random.default_rng(3).standard_normal((50, 3))
    tikhonov = LinearisedTikhonov(linear, samples, np.zeros(50, dtype=int), bounded=False)
    estimate = tikhonov.estimate(linear.batch(samples[:2]), 1e12)
    assert estimate == pytest.approx(np.tile(samples.mean(axis=0), (2, 1)), abs=1e-9)


def test_the_branch_of_a_ball_is_found_and_a_small_step_recovered():
    """Near an expansion point the linearised inversion must find sign and unknowns of a real ball."""
    problem = maxwell.Conductivity()
    forward = problem.discretise(cells=4, degree=1)
    samples = problem.prior.sample(np.random.default_rng(0), 200)
    branches = problem.parametrisation.branch(samples)
    tikhonov = LinearisedTikhonov(forward, samples, branches)
    points = np.stack([samples[branches == b].mean(axis=0) for b in (0, 1)])
    step = np.array([4e-4, -4e-4, 4e-4, 2e-4, 3e-3])
    truth = points + step
    estimate = tikhonov.estimate(forward.batch(truth), 1e-10)
    assert (np.sign(estimate[:, 4]) == [-1, 1]).all()
    assert (np.abs(estimate - truth) < 0.25 * np.abs(step)).all()


def test_a_bounded_estimate_stays_in_the_box_of_the_samples(linear):
    samples = np.random.default_rng(3).uniform(-1, 1, (50, 3))
    tikhonov = LinearisedTikhonov(linear, samples, np.zeros(50, dtype=int))
    far = tikhonov.estimate(linear.batch([[9.0, 0.1, -9.0]]), 1e-14)[0]
    assert far == pytest.approx([samples[:, 0].max(), 0.1, samples[:, 2].min()], abs=1e-9)


def test_too_few_samples_and_a_wrong_strength_are_refused(linear):
    samples = np.zeros((3, 3))
    with pytest.raises(maxwell.MaxwellError, match="at least 2"):
        LinearisedTikhonov(linear, samples, np.array([0, 0, 1]))
    tikhonov = LinearisedTikhonov(linear, np.eye(3), np.zeros(3, dtype=int))
    with pytest.raises(maxwell.MaxwellError, match="positive"):
        tikhonov.estimate(np.zeros((1, 12)), 0.0)
