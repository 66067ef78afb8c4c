"""Scattered data against an independent code: NGSolve, elements of another kind and order, a mesh of its own."""

import itertools

import numpy as np
import pytest

import maxwell
from experiments.bench import independent
from experiments.bench.convergence import relative

BALLS = np.array([[0.5, 0.5, 0.64, 0.12, 2.0], [0.5, 0.5, 0.64, 0.12, -1.5]])
PROBLEM = maxwell.Conductivity()
MESHES = (3, 4, 6)


@pytest.fixture(scope="module")
def truth():
    """Order 2 on bricks fitted to the ball: within 1 % and 0.4 % of order 3 on meshes of 70,000 unknowns."""
    return independent.solve(PROBLEM, BALLS, lines(across=3), order=2)


def lines(across):
    return independent.lines(BALLS, PROBLEM.parametrisation.width, across=across, outside=0.24)


@pytest.fixture(scope="module")
def ours():
    """Our data on each mesh, (meshes, balls, m)."""
    return np.array([PROBLEM.discretise(cells=n, degree=2, grading=1.0).batch(BALLS) for n in MESHES])


def test_the_independent_solution_converges_on_its_own(truth):
    """One order less, and two cells across the ball instead of three, change it less than our coarsest error."""
    order = independent.solve(PROBLEM, BALLS, lines(across=3), order=1)
    mesh = independent.solve(PROBLEM, BALLS, lines(across=2), order=2)
    assert (np.array(relative(order.data, truth.data)) < [0.06, 0.045]).all()
    assert (np.array(relative(mesh.data, truth.data)) < [0.04, 0.015]).all()


def test_our_data_agree_with_it_within_our_own_estimate_of_the_error(truth, ours):
    """The change to the next coarser mesh bounds the error of the finer one, for a method that converges."""
    for coarse, fine in itertools.pairwise(ours):
        estimate = np.array(relative(coarse, fine))
        assert (np.array(relative(fine, truth.data)) < estimate).all()


def test_the_gap_falls_as_we_refine(truth, ours):
    gaps = np.array([relative(data, truth.data) for data in ours])
    assert (gaps[1:] < 0.75 * gaps[:-1]).all()
    assert (gaps[-1] < [0.12, 0.05]).all()


def test_its_data_are_reciprocal(truth):
    k = PROBLEM.survey.size
    for data in truth.data:
        matrix = data.reshape(k, k)
        assert np.abs(matrix - matrix.T).max() < 1e-9 * np.abs(matrix).max()


def test_what_it_cannot_solve_is_refused_in_a_sentence():
    voxels = maxwell.Conductivity(parametrisation=maxwell.Voxels(2, 2, 2))
    with pytest.raises(maxwell.MaxwellError, match="expected Balls at one frequency"):
        independent.solve(voxels, [np.zeros(8)], lines(across=2))
