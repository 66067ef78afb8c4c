"""The block Krylov method on small dense equations whose every term is at hand."""

import numpy as np
import pytest
from agreement import distance

from maxwell.errors import AccuracyError
from maxwell.paths import krylov

SOURCES = 6


class Dense:
    """(I + i(Q + G_s)Δ) x = x_0 with dense symmetric parts; counts the columns of products with G_s."""

    dtype, precision = np.dtype(complex), float(np.finfo(float).eps)

    def __init__(self, induction, n=60, seed=0):
        rng = np.random.default_rng(seed)

        def symmetric(scale):
            part = rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n))
            return scale * (part + part.T) / np.sqrt(8 * n)

        root = rng.normal(size=(n, n // 4)) / np.sqrt(n)
        self.static = -1j * root @ root.T  # of one sign, as the quasi-static part of an inclusion is
        self.green = symmetric(induction)
        weights = rng.normal(size=(n, n))
        self.delta = weights @ weights.T / n
        self.incident = rng.normal(size=(n, SOURCES)) * 10.0 ** -np.arange(SOURCES)
        self.inverse = np.linalg.inv(np.eye(n) + 1j * self.static @ self.delta)
        self.whole = np.eye(n) + 1j * (self.static + self.green) @ self.delta
        self.columns = 0

    def precondition(self, x):
        return self.inverse @ x

    def apply(self, x):
        self.columns += x.shape[1]
        return 1j * self.green @ self.delta @ x, self.inverse @ self.whole @ x

    def change(self, x):
        return self.delta @ x

    def quasi_static(self, changed):
        return 1j * self.static @ changed

    def weigh(self, refined, left):
        return refined.T @ self.delta @ left

    def direct(self):
        fields = np.linalg.solve(self.whole, self.incident)
        return fields, 1j * self.green @ self.delta @ fields

    @property
    def data(self):
        return self.incident.T @ self.delta @ np.linalg.solve(self.whole, self.incident)


def test_three_terms_are_the_data_but_for_the_error_passed_through_b():
    equation, rng = Dense(0.5), np.random.default_rng(1)
    exact = np.linalg.solve(equation.whole, equation.incident)
    wrong = exact + 1e-2 * rng.normal(size=exact.shape)
    delta, error = equation.delta, exact - wrong
    left = equation.incident - equation.whole @ wrong
    refined = equation.inverse @ left
    passed = (equation.inverse @ equation.whole - np.eye(len(exact))) @ error
    solution, _ = krylov._contracted(
        equation,
        wrong,
        1j * equation.green @ delta @ wrong,
        refined=refined,
        contraction=1.0,
        blocks=1,
    )
    assert distance(solution.contracted - passed.T @ delta @ left, equation.data) < 1e-13
    assert distance(solution.contracted, equation.data) > 1e-9  # what is left is not nothing here


@pytest.mark.parametrize("induction", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("accurate", [False, True])
def test_fields_and_data_are_those_of_the_dense_equation(induction, accurate):
    equation = Dense(induction)
    solution = krylov.solve(equation, accurate=accurate)
    assert distance(solution.fields, equation.direct()[0]) < (1e-8 if accurate else 1e-3)
    assert distance(solution.contracted, equation.data) < 1e-8
    assert 0 < solution.blocks <= krylov.MOST_BLOCKS


def test_weak_induction_takes_few_products():
    equation = Dense(0.003)
    solution = krylov.solve(equation, accurate=False)
    assert solution.blocks <= 2
    assert equation.columns <= 2 * SOURCES


def test_the_estimated_error_is_that_of_the_data(monkeypatch):
    monkeypatch.setattr(krylov, "RESIDUAL", {False: 3e-2})
    monkeypatch.setattr(krylov, "DATA_ERROR", 1.0)
    monkeypatch.setattr(krylov, "MOST_ERROR", 1.0)
    ratios = []
    for seed in range(10):
        equation = Dense(0.1, seed=seed)
        solution = krylov.solve(equation, accurate=False)
        ratios.append(distance(solution.contracted, equation.data) / solution.error)
    assert 0.1 < np.median(ratios) < 3
    assert max(ratios) < 10


def test_an_equation_that_does_not_converge_is_factorised_or_given_up(monkeypatch):
    monkeypatch.setattr(krylov, "MOST_BLOCKS", 1)
    equation = Dense(3.0)
    solution = krylov.solve(equation, accurate=False)
    assert solution.blocks == 0
    assert distance(solution.fields, equation.direct()[0]) < 1e-12
    assert distance(solution.contracted, equation.data) < 1e-12
    monkeypatch.setattr(krylov, "DENSE", 10)
    with pytest.raises(AccuracyError, match="not converged after 1 blocks"):
        krylov.solve(equation, accurate=False)


def test_data_that_are_not_accurate_are_not_handed_on(monkeypatch):
    monkeypatch.setattr(krylov, "MOST_ERROR", 1e-30)
    with pytest.raises(AccuracyError, match=r"estimated error of .* where 1e-30 is allowed"):
        krylov.solve(Dense(0.1), accurate=False)
