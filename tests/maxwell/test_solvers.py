"""The solver recipe: what it solves, what it takes, what it says, and what it refuses."""

import numpy as np
import pytest
import scipy.sparse as sp

import maxwell
from maxwell import checks, memory, solvers
from maxwell.errors import AccuracyError, MaxwellError
from maxwell.fenicsx import MPI
from maxwell.solvers import BlockLowRank, Exact, SymmetricSolver

BALL = np.array([0.47, 0.55, 0.62, 0.11, 1.3])

GIB = 2**30


def kernel(n):
    """A complex symmetric matrix that is one dense front, of low rank away from its diagonal: (n, n)."""
    x = np.linspace(0, 1, n)
    distance = np.abs(x[:, None] - x)
    return sp.csr_array(np.exp(-(3 + 4j) * distance) + (0.5 + 0.25j) * np.eye(n))


def sources(n):
    """Three right-hand sides, the middle one zero: (n, 3)."""
    rng = np.random.default_rng(0)
    block = rng.standard_normal((n, 3)) + 1j * rng.standard_normal((n, 3))
    block[:, 1] = 0
    return block


@pytest.fixture(scope="module")
def lossy():
    return kernel(100)


@pytest.fixture(scope="module")
def rhs():
    return sources(100)


@pytest.fixture
def free(monkeypatch):
    """Sets the bytes that the process believes to be free."""
    return lambda size: monkeypatch.setattr(memory, "available", lambda: size)


def test_exact_factors_solve_every_column(lossy, rhs):
    solver = SymmetricSolver(lossy)
    solution, residual = solver.solve(rhs)
    assert solver.recipe == Exact()
    assert solver.iterations == 0
    assert residual < 1e-13
    assert np.linalg.norm(lossy @ solution - rhs) < 1e-12 * np.linalg.norm(rhs)
    assert not solution[:, 1].any()


def test_new_values_are_factorised_with_the_first_analysis(lossy, rhs):
    solver = SymmetricSolver(lossy)
    solver.factorise(2 * lossy.data)
    assert abs(solver.matrix - 2 * lossy).max() == 0
    assert np.linalg.norm(2 * (lossy @ solver.solve(rhs)[0]) - rhs) < 1e-12 * np.linalg.norm(rhs)


def test_coarser_low_rank_factors_take_more_steps():
    """The iteration makes up for the compression: same residual, whatever the tolerance."""
    matrix, rhs, steps = kernel(1500), sources(1500), []  # MUMPS compresses no front of fewer than 1000
    for tolerance in (1e-2, 1e-1):
        solver = SymmetricSolver(matrix, BlockLowRank(tolerance))
        solution, residual = solver.solve(rhs)
        assert residual < 1e-10
        assert np.linalg.norm(matrix @ solution - rhs) < 1e-10 * np.linalg.norm(rhs)
        assert not solution[:, 1].any()
        steps.append(solver.iterations)
    assert 0 < steps[0] < steps[1] < 60


@pytest.mark.slow
def test_data_through_low_rank_factors_equal_the_exact_ones():
    """On the smallest mesh here whose fronts MUMPS compresses."""
    problem = maxwell.Conductivity()
    mesh = {"cells": 18, "degree": 1, "cell": "hexahedron"}
    exact = problem.discretise(**mesh).solve(BALL)
    iterated = problem.discretise(**mesh, recipe=BlockLowRank(1e-4)).solve(BALL)
    assert "exact" in exact.info["method"]
    assert "block low-rank" in iterated.info["method"]
    assert (exact.info["iterations"], iterated.info["why"]) == (0, "asked for")
    assert 0 < iterated.info["iterations"] < 10
    assert exact.info["memory"] > 0
    difference = np.linalg.norm(iterated.observation - exact.observation)
    assert difference < 1e-8 * np.linalg.norm(exact.observation)


def test_a_matrix_that_low_rank_factors_do_not_precondition_is_told():
    """Compression as coarse as the matrix itself leaves nothing to iterate with."""
    x = np.linspace(0, 1, 1200)
    hard = sp.csr_array(np.exp(-((x[:, None] - x) ** 2) * (400 + 100j)) + 1e-6 * np.eye(len(x)))
    with pytest.raises(AccuracyError, match="take a smaller tolerance, or Exact"):
        SymmetricSolver(hard, BlockLowRank(0.5)).solve(np.ones((len(x), 1)))


def test_exact_factors_come_first_low_rank_ones_when_they_do_not_fit(lossy, rhs, free, monkeypatch):
    free(100 * GIB)
    assert SymmetricSolver(lossy).why == "exact factors fit into memory"
    needed = {Exact(): 3 * GIB, BlockLowRank(): 2 * GIB}
    monkeypatch.setattr(SymmetricSolver, "_estimate", lambda self, recipe: needed[recipe])
    monkeypatch.setattr(memory, "factor_estimate", lambda unknowns: 3 * GIB)
    free(4 * GIB)
    assert SymmetricSolver(lossy).recipe == Exact()
    free(3 * GIB)
    solver = SymmetricSolver(lossy)
    assert solver.recipe == BlockLowRank()
    assert solver.why == "exact factors would take 3 GiB, and 2.7 GiB are free"
    assert solver.solve(rhs)[1] < 1e-10
    free(2 * GIB)
    with pytest.raises(MaxwellError, match=r"needs about 2 GiB, and 1.8 GiB are free: take fewer cells or"):
        SymmetricSolver(lossy)


def test_the_analysis_tells_the_memory_of_the_factors_before_they_are_made(free):
    """MUMPS's estimate, had without factorising, bounds what it then takes; less than that is refused."""
    forward = maxwell.Conductivity().discretise(cells=4, degree=2)
    solver = SymmetricSolver(forward.matrix(BALL))
    estimate = solver._estimate(Exact())
    assert solver.memory <= estimate / 1e6 < 3 * solver.memory
    assert 0.5 < estimate / memory.factor_estimate(forward.dofs) < 2
    free(0.5 * estimate)
    with pytest.raises(MaxwellError, match="2,936 unknowns needs about"):
        SymmetricSolver(forward.matrix(BALL))


def test_a_mesh_too_large_for_memory_is_refused_before_it_is_made(free):
    problem = maxwell.Conductivity()
    with pytest.raises(MaxwellError, match=r"needs about .* GiB, and .* GiB are free: take fewer cells"):
        problem.discretise(cells=2000)
    free(GIB)
    with pytest.raises(MaxwellError, match=r"unknowns needs about .* and 0.9 GiB are free: take fewer cells"):
        problem.discretise(cells=40, degree=2)


@pytest.mark.parametrize("cell", ["tetrahedron", "hexahedron"])
@pytest.mark.parametrize("degree", [1, 2])
def test_unknowns_are_counted_before_the_mesh_is_made(cell, degree):
    forward = maxwell.Conductivity().discretise(cells=3, degree=degree, cell=cell)
    assert memory.nedelec_unknowns(3, degree, cell) == forward.dofs


def test_memory_left_is_the_least_of_all_limits(tmp_path, monkeypatch):
    """Free memory of the machine; a control group's limit less what it uses, less caches, on either version."""
    left = memory.available()
    assert 0 < left < 2**50
    group = tmp_path / "job"
    group.mkdir()
    (group / "memory.max").write_text("5000\n")
    (group / "memory.current").write_text("3000\n")
    (group / "memory.stat").write_text("anon 2000\ninactive_file 500\n")
    monkeypatch.setattr(memory, "_control_groups", lambda: [(group, 2), (tmp_path, 2)])
    assert memory.available() == 2500
    (group / "memory.max").write_text("max\n")
    assert memory.available() == pytest.approx(left, rel=0.5)
    (group / "memory.limit_in_bytes").write_text("4000\n")
    (group / "memory.usage_in_bytes").write_text("3900\n")
    (group / "memory.stat").write_text("total_inactive_file 100\n")
    monkeypatch.setattr(memory, "_control_groups", lambda: [(group, 1)])
    assert memory.available() == 200


def test_a_singular_system_is_told():
    singular = sp.csr_array(np.ones((3, 3), dtype=complex))
    with pytest.raises(AccuracyError, match="3 unknowns is singular"):
        SymmetricSolver(singular)


def test_a_system_singular_up_to_round_off_is_told():
    """Curl-curl without mass: gradients are its null space, and a residual cannot vanish against a source in it."""
    x = np.random.default_rng(1).standard_normal((40, 39))
    near = sp.csr_array((x @ x.T).astype(complex))
    with pytest.raises(AccuracyError):
        SymmetricSolver(near).solve(np.ones((40, 1)))


@pytest.mark.parametrize("recipe", ["exact", BlockLowRank])
def test_a_recipe_that_is_none_is_refused(lossy, recipe):
    with pytest.raises(MaxwellError, match=r"expected Exact\(\), BlockLowRank\(\) or None"):
        SymmetricSolver(lossy, recipe)


def test_a_tolerance_that_is_none_is_refused():
    with pytest.raises(MaxwellError, match="tolerance is 2; expected it between 0 and 1"):
        BlockLowRank(2)


@pytest.mark.parametrize(
    ("problem", "mesh", "expected"),
    [
        (
            {"background": 4.0},
            {"cells": 6, "degree": 1},
            r"0.31 cells per skin depth .* at least 0.75 and 4.7 at degree 1",
        ),
        ({"frequency": 3e9}, {"cells": 8, "degree": 2}, r"cells per .* at 3e\+09 Hz.* expected at least"),
        (
            {"frequency": 1e9, "background": 1e-4},
            {"cells": 4, "degree": 2},
            r"and 1.2 per wavelength .* at 1e\+09 Hz.* at least 0.38 and 2.4 at degree 2",
        ),
        ({"frequency": (23.9e6, 9e9)}, {"cells": 4, "degree": 1}, r"at 9e\+09 Hz"),
    ],
)
def test_a_mesh_too_coarse_for_the_field_is_refused(problem, mesh, expected):
    with pytest.raises(MaxwellError, match=expected):
        maxwell.Conductivity(**problem).discretise(**mesh)


def test_the_largest_cell_counts():
    """Grading makes cells outside the region larger, and the field crosses them too."""
    problem = maxwell.Conductivity(background=0.25)
    problem.discretise(cells=4, degree=1)
    with pytest.raises(MaxwellError, match="cells per skin depth"):
        problem.discretise(cells=4, degree=1, grading=4.0)


def test_an_anomaly_too_conductive_for_its_mesh_is_refused():
    forward = maxwell.Conductivity().discretise(cells=4, degree=1)
    forward([0.5, 0.5, 0.6, 0.1, 2.0])
    with pytest.raises(MaxwellError, match=r"0.16 cells per skin depth where the anomaly conducts best"):
        forward([0.5, 0.5, 0.6, 0.1, 5.0])


@pytest.mark.parametrize(
    "mesh",
    [
        {"cells": 4, "degree": 1},
        {"cells": 3, "degree": 2, "grading": 1.0},
        {"cells": 4, "degree": 1, "cell": "hexahedron"},
        {"cells": 3, "degree": 2, "cell": "hexahedron"},
    ],
    ids=str,
)
def test_power_balances(mesh):
    """Poynting's theorem holds for the discrete fields, active and reactive power."""
    forward = maxwell.Conductivity().discretise(**mesh)
    for theta in (BALL, [0.4, 0.6, 0.75, 0.07, -2.0]):
        assert checks.energy_balance(forward, theta) < 1e-10


def test_power_balance_notices_a_wrong_conductivity(monkeypatch):
    """The check is independent of the solve: fields of another medium do not balance."""
    forward = maxwell.Conductivity().discretise(cells=4, degree=1)
    fields = forward.fields([*BALL[:4], 0.0])
    monkeypatch.setattr(forward, "fields", lambda theta: fields)
    assert checks.energy_balance(forward, BALL) > 1e-3


def test_fields_are_the_unknowns_of_every_source():
    forward = maxwell.Conductivity().discretise(cells=4, degree=1)
    survey = forward.problem.survey
    fields = forward.fields(BALL)
    assert fields.shape == (forward.dofs, survey.size)
    data = forward.space.patch_functionals(survey).T @ fields  # (receiver, source)
    scattered = data.T.ravel() - forward.background_response
    assert np.linalg.norm(scattered - forward(BALL)) < 1e-9 * np.linalg.norm(scattered)


def test_sums_over_one_rank_are_the_parts_themselves():
    part = np.arange(3.0)
    assert solvers.summed(MPI.COMM_SELF, part) is part
