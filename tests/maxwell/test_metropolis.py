"""Samplers against densities that are known: detailed balance exactly, moments, and quadrature."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxwell import MaxwellError
from maxwell.inversion import RandomWalk, delayed_acceptance, effective_samples, metropolis

MEAN = np.array([1.0, -2.0])
COVARIANCE = np.array([[1.0, 0.6], [0.6, 0.5]])
PRECISION = np.linalg.inv(COVARIANCE)


def gaussian(theta):
    return -0.5 * (theta - MEAN) @ PRECISION @ (theta - MEAN)


SURROGATES = {
    "itself": gaussian,
    "shifted": lambda theta: gaussian(theta - [0.7, 0.4]),
    "too wide": lambda theta: 0.4 * gaussian(theta),
    "too narrow": lambda theta: 2.0 * gaussian(theta),
    "unrelated": lambda theta: -float(np.log1p(theta @ theta)),
    "constant": lambda theta: 0.0,
}


class Table:
    """A proposal on 0 … n−1, one step up or down round a ring, whose Generator is a list of coming numbers."""

    def __init__(self, size):
        self.size = size

    def __call__(self, theta, rng):
        return (theta + (1 if rng.random() < 0.5 else -1)) % self.size


class Numbers:
    """Stands for a Generator: hands out the numbers it is given."""

    def __init__(self, numbers):
        self.numbers = list(numbers)

    def random(self):
        return self.numbers.pop(0)


def transition_matrix(chain_step, size, inner, levels):
    """P(θ → ψ) exactly: every uniform number that the chain can draw is replaced by all midpoints of cells that
    its decisions do not cut, which `levels` are chosen for."""
    matrix = np.zeros((size, size))
    uniforms = (np.arange(levels) + 0.5) / levels
    for theta in range(size):
        for direction in (0.25, 0.75) if inner == 1 else [(a, b) for a in (0.25, 0.75) for b in (0.25, 0.75)]:
            directions = np.atleast_1d(direction)
            grids = np.meshgrid(*[uniforms] * (inner + 1))
            for numbers in zip(*map(np.ravel, grids), strict=True):
                drawn = [x for pair in zip(directions, numbers[:inner], strict=True) for x in pair]
                psi = chain_step(theta, Numbers([*drawn, numbers[inner]]))
                matrix[theta, psi] += 1
        matrix[theta] /= matrix[theta].sum()
    return matrix


@pytest.mark.parametrize("inner", [1, 2])
def test_detailed_balance_holds_exactly_on_a_small_space(inner):
    """Densities with ratios of powers of two: uniform numbers on a grid of 4 cells give probabilities exactly."""
    size, levels = 4, 4
    exact = np.log([1.0, 2.0, 4.0, 2.0])
    cheap = np.log([2.0, 1.0, 2.0, 1.0])

    def step(theta, rng):
        chain = delayed_acceptance(
            lambda x: exact[int(x[0])],
            lambda x: cheap[int(x[0])],
            [float(theta)],
            Table(size),
            1,
            rng,
            inner=inner,
        )
        return int(chain.states[-1, 0])

    matrix = transition_matrix(step, size, inner, levels)
    flow = np.exp(exact)[:, None] * matrix
    np.testing.assert_allclose(flow, flow.T, atol=1e-12)
    assert (np.diag(matrix) < 1).all()
    wrong = np.exp(cheap)[:, None] * matrix
    assert np.abs(wrong - wrong.T).max() > 0.1  # and not for the approximation


@pytest.mark.parametrize("name", SURROGATES)
def test_delayed_acceptance_keeps_a_gaussian_with_any_approximation(name):
    chain = delayed_acceptance(
        gaussian,
        SURROGATES[name],
        MEAN,
        RandomWalk.of(COVARIANCE),
        6_000,
        np.random.default_rng(3),
        inner=2,
    )
    assert_gaussian(chain.states)
    assert chain.exact == chain.proposed + 1
    assert chain.approximate == 12_001


def test_metropolis_keeps_a_gaussian_and_accepts_as_theory_says():
    chain = metropolis(gaussian, MEAN, RandomWalk.of(COVARIANCE), 20_000, np.random.default_rng(1))
    assert_gaussian(chain.states)
    assert 0.3 < chain.acceptance < 0.4  # 0.35 in two dimensions at 2.38/√p
    assert chain.exact == 20_001
    assert chain.approximate == 0


def assert_gaussian(states):
    """Mean and covariance within four standard errors of the exact ones, by effective samples."""
    whitened = (states - MEAN) @ np.linalg.cholesky(PRECISION)
    for power, expected, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0)):
        values = whitened**power
        error = np.sqrt(variance / effective_samples(values))
        assert error.max() < 0.2
        assert (np.abs(values.mean(axis=0) - expected) < 4 * error).all()
    product = whitened.prod(axis=1, keepdims=True)
    assert abs(product.mean()) < 4 / np.sqrt(effective_samples(product)[0])


def test_a_bimodal_density_on_an_interval_against_quadrature():
    """A density with an edge and two peaks, behind an approximation that knows one peak."""

    def density(theta):
        x = theta[0]
        return float(np.log(np.exp(-8 * (x - 0.3) ** 2) + 0.5 * np.exp(-20 * (x - 1.6) ** 2)))

    def inside(log):
        return lambda theta: log(theta) if 0 <= theta[0] <= 2 else -np.inf

    chain = delayed_acceptance(
        inside(density),
        inside(lambda theta: -1.5 * (theta[0] - 0.3) ** 2),
        [0.3],
        RandomWalk(np.array([[0.8]])),
        12_000,
        np.random.default_rng(5),
        inner=3,
    )
    x = np.linspace(0, 2, 20_001)
    weight = np.exp([density([point]) for point in x])
    for function in (lambda x: x, lambda x: x**2, lambda x: (x > 1).astype(float)):
        exact = np.trapezoid(function(x) * weight, x) / np.trapezoid(weight, x)
        values = function(chain.states)
        assert abs(values.mean() - exact) < 4 * values.std() / np.sqrt(effective_samples(values)[0])
    assert ((chain.states >= 0) & (chain.states <= 2)).all()


def test_a_perfect_approximation_is_always_accepted():
    walk, rng = RandomWalk.of(COVARIANCE), np.random.default_rng(0)
    chain = delayed_acceptance(gaussian, gaussian, MEAN, walk, 200, rng, inner=5)
    assert chain.acceptance == 1.0
    assert chain.exact <= 201


def test_a_stay_of_all_inner_steps_costs_no_exact_evaluation():
    def still(theta, rng):
        return theta + 10

    chain = delayed_acceptance(gaussian, gaussian, MEAN, still, 50, np.random.default_rng(0), inner=3)
    assert chain.exact == 1
    assert chain.acceptance == 0
    assert (chain.states == MEAN).all()


def test_equal_generators_give_equal_chains():
    states = [
        delayed_acceptance(
            gaussian,
            SURROGATES["shifted"],
            MEAN,
            RandomWalk.of(COVARIANCE),
            30,
            np.random.default_rng(8),
            inner=2,
        ).states
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*states)


@given(st.floats(1e-6, 1e6), st.floats(0.1, 3.0), st.integers(0, 99))
@settings(max_examples=20)
def test_the_walk_has_the_covariance_it_is_given(unit, scale, seed):
    """In any units."""
    units = np.array([1.0, unit])
    covariance = COVARIANCE * np.outer(units, units)
    walk = RandomWalk.of(covariance, scale)
    np.testing.assert_allclose(walk.root @ walk.root.T, scale**2 * covariance, rtol=1e-10)
    assert walk(MEAN, np.random.default_rng(seed)).shape == (2,)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: RandomWalk.of([1.0, 2.0]), r"shape \(2,\)"),
        (lambda: RandomWalk.of([[1.0, 1.0], [1.0, 1.0]]), "positive definite"),
        (lambda: RandomWalk.of(COVARIANCE, 0), "scale is 0"),
        (lambda: run(steps=0), "steps is 0"),
        (lambda: run(start=[[0.0]]), r"shape \(1, 1\)"),
        (lambda: run(density=lambda theta: -np.inf), "−inf at the start"),
        (lambda: run(density=lambda theta: np.nan), "is nan"),
        (lambda: run(inner=0), "inner is 0"),
        (lambda: run(cheap=lambda theta: -np.inf), "approximate log-density is −inf"),
    ],
)
def test_bad_input_is_one_sentence(call, words):
    with pytest.raises(MaxwellError, match=words):
        call()


def run(density=gaussian, cheap=gaussian, start=MEAN, steps=5, inner=1):
    walk = RandomWalk.of(COVARIANCE)
    delayed_acceptance(density, cheap, start, walk, steps, np.random.default_rng(0), inner=inner)
