"""The magnetisation problem against theory: solvability, gauge, closed forms, silent fields, exact derivatives."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import maxwell
from maxwell import checks
from maxwell.problems.magnetisation_map import MagneticCellsMap
from maxwell.problems.sensor_fields import SensorFields, ball_rule
from maxwell.reference import boxed_dipole, silent
from maxwell.solvers import SymmetricSolver
from maxwell.units import VACUUM_PERMEABILITY

CENTRE, RADIUS, AXIS = np.array([0.05, -0.03, 0.02]), 0.4, np.array([0.3, 0.5, -0.8])
DIPOLE = np.array([0.1, -0.05, 0.12, 0.3, -0.5, 0.8])
EXAMPLE = Path(__file__).parents[2] / "experiments" / "examples" / "magnetisation.py"


def fields_of(problem, cells, degree, cell="tetrahedron", grading=0.0, **options):
    return SensorFields(problem, cells=cells, degree=degree, grading=grading, cell=cell, **options)


@pytest.fixture(scope="module", params=[("tetrahedron", 1), ("tetrahedron", 2), ("hexahedron", 2)], ids=str)
def forward(request):
    cell, degree = request.param
    return maxwell.Magnetisation(sensors=3).discretise(cells=6, degree=degree, grading=0.0, cell=cell)


@pytest.fixture(scope="module")
def dipoles():
    problem = maxwell.Magnetisation(sensors=2, parametrisation=maxwell.Dipoles(2, radius=0.25))
    return problem.discretise(cells=8, degree=2, grading=0.0)


TWO = np.concatenate([[-0.2, 0.1, 0.05, 1.0, -0.4, 0.7], DIPOLE])


def test_shapes_and_trace(forward):
    matrix = forward.matrix
    assert matrix.shape == (forward.observations, forward.unknowns) == (27, 192)
    assert matrix.dtype == np.float64
    theta = forward.problem.prior.sample(np.random.default_rng(0), 3)
    assert forward.batch(theta) == pytest.approx(theta @ matrix.T)
    info = forward.solve(theta[0]).info
    assert max(info["residual"], info["reciprocity"]) < 1e-12
    assert (info["solves"], info["dofs"]) == (27, forward.dofs)


def test_right_hand_sides_are_orthogonal_to_discrete_gradients(forward):
    """∫ F·curl ∇q = 0: the curl-curl system without mass has solutions, for sources and for receivers."""
    fields = forward.fields
    assert checks.solvability(fields.gradient, forward.loads) < 1e-13
    assert checks.solvability(fields.gradient, fields.functionals) < 1e-13
    wrong = np.random.default_rng(0).standard_normal((fields.dofs, 1))
    assert checks.solvability(fields.gradient, wrong) > 1e-2


def test_curls_of_discrete_gradients_vanish(forward):
    tables, gradient = forward.fields.magnetised, forward.fields.gradient.toarray()[:, ::7]
    curls = np.einsum("cqfi,cfk->cqik", tables.curls, gradient[tables.dofs])
    assert np.abs(curls).max() < 1e-11 * np.abs(tables.curls).max()


@pytest.mark.parametrize("forward", [("tetrahedron", 1)], indirect=True, ids=str)
def test_data_do_not_depend_on_the_gauge(forward):
    """A mass shift of ε changes B in proportion to ε, by parts in a million for those between 1e-7 and 1e-5."""
    low, middle, high = (
        MagneticCellsMap(fields_of(forward.problem, 6, 1, shift=shift)).matrix for shift in (1e-7, 1e-6, 1e-5)
    )
    near, far = np.linalg.norm(middle - low), np.linalg.norm(high - middle)
    assert far < 5e-6 * np.linalg.norm(middle)
    assert far / near == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize("forward", [("tetrahedron", 1), ("tetrahedron", 2)], indirect=True, ids=str)
def test_data_equal_those_of_the_saddle_point_form(forward):
    """Twin: (curl A, curl v) + (∇p, v) = (F, curl v), (A, ∇q) = 0, without any shift."""
    fields = forward.fields
    from maxwell.fenicsx import compiled, fem, ufl  # heavy, and of no use elsewhere in this file

    def assemble(form):
        return sp.csr_array(fem.assemble_matrix(compiled(form, fields.mesh.comm)).to_scipy()).real

    u, v = ufl.TrialFunction(fields.space), ufl.TestFunction(fields.space)
    keep, gradient = fields.interior, fields.gradient[fields.interior]
    dx = ufl.dx(degree=2 * fields.degree)
    stiffness = assemble(ufl.inner(ufl.curl(u), ufl.curl(v)) * dx)[keep][:, keep]
    mass = assemble(ufl.inner(u, v) * dx)[keep][:, keep]
    coupling = mass @ gradient
    saddle = sp.block_array([[stiffness, coupling], [coupling.T, None]], format="csr")
    loads = np.zeros((saddle.shape[0], 3))
    loads[: len(keep)] = forward.loads[keep][:, [0, 100, 191]].toarray()
    potential = SymmetricSolver(saddle).solve(loads)[0][: len(keep)].real
    data = VACUUM_PERMEABILITY * fields.functionals[keep].T @ potential
    difference = np.linalg.norm(data - forward.matrix[:, [0, 100, 191]])
    assert difference < 1e-6 * np.linalg.norm(data)


def test_jacobian_vector_products_are_adjoint(forward, dipoles):
    rng = np.random.default_rng(1)
    for member, theta in ((forward, rng.standard_normal(192)), (dipoles, TWO)):
        direction, covector = rng.standard_normal(member.unknowns), rng.standard_normal(member.observations)
        assert checks.adjoint_mismatch(member, theta, direction, covector) < 1e-13


def test_the_rule_of_a_sensor_averages_harmonic_fields_to_their_value_at_its_centre():
    points, weights = ball_rule(0.1)
    x, y, z = points.T
    assert weights.min() > 0
    for harmonic in (x, z, x * y, x**2 - z**2, x**3 - 3 * x * y**2, x**4 - 6 * x**2 * z**2 + z**4):
        assert abs(weights @ harmonic) < 1e-16
    assert weights.sum() == pytest.approx(1, abs=1e-14)


def test_boxed_dipole_is_that_of_free_space_near_by_and_obeys_the_wall():
    r = np.array([0.03, 0.02, 0.08])
    length = np.linalg.norm(r)
    free = 1e-7 * (3 * np.outer(r, r) / length**5 - np.eye(3) / length**3)
    assert boxed_dipole.field(r, np.zeros(3))[0, :, 0] == pytest.approx(free, rel=2e-3)
    source = np.array([0.2, -0.3, -0.1])
    walls = np.array([[0.3, 0.4, 1.0], [1.0, 0.2, 0.3], [0.1, -1.0, 0.2]])
    field = boxed_dipole.field(walls, source)[:, :, 0]
    for wall, normal in enumerate((2, 0, 1)):
        assert np.abs(field[wall, normal]).max() < 1e-13 * np.abs(field).max()
    with pytest.raises(maxwell.MaxwellError, match="expected more than"):
        boxed_dipole.field(source, source)


def test_boxed_dipole_is_free_of_divergence_and_curl():
    x, source, h = np.array([0.3, 0.1, 0.5]), np.array([0.1, -0.2, 0.0]), 1e-4
    gradient = np.stack(
        [
            (boxed_dipole.field(x + e, source) - boxed_dipole.field(x - e, source))[0, :, 0] / (2 * h)
            for e in h * np.eye(3)
        ]
    )  # (∂_a, B_i, m_j)
    size = np.abs(gradient).max()
    assert np.abs(np.einsum("aaj->j", gradient)).max() < 1e-6 * size
    assert np.abs(gradient - gradient.transpose(1, 0, 2)).max() < 1e-6 * size


@pytest.mark.parametrize(("degree", "cells", "error"), [(1, (8, 16), 0.07), (2, (4, 8), 0.06)])
def test_data_converge_to_closed_forms_and_silent_fields_to_silence(degree, cells, error):
    """One dipole in the box; and bodies of equal norm, of which two are silent, at order 2k or better."""
    problem = maxwell.Magnetisation(sensors=2, parametrisation=maxwell.Dipoles(1, radius=0.3))
    exact = (boxed_dipole.field(problem.sensor_positions, DIPOLE[:3])[:, :, 0] @ DIPOLE[3:]).ravel()
    errors, poles, currents = [], [], []
    for n in cells:
        fields = fields_of(problem, n, degree)
        blob = fields.observe(lambda x: problem.parametrisation.evaluate(DIPOLE, x))
        errors.append(np.linalg.norm(blob - exact) / np.linalg.norm(exact))

        def level(magnetisation, fields=fields):
            tables = fields.magnetised
            square = np.sum(magnetisation(tables.points) ** 2, axis=-1)
            return np.linalg.norm(fields.observe(magnetisation)) / np.sqrt(np.sum(tables.weights * square))

        loud = level(lambda x: silent.bump(x, CENTRE, RADIUS)[..., None] * AXIS)
        poles.append(level(lambda x: silent.bump_gradient(x, CENTRE, RADIUS)) / loud)
        currents.append(level(lambda x: silent.bump_curl(x, CENTRE, RADIUS, AXIS)) / loud)
    assert errors[1] < min(error, errors[0] / 2)
    assert poles[1] < min(1e-3, poles[0] / 10)
    assert currents[1] < min(0.02, currents[0] / 4)


def test_singular_values_are_those_of_the_closed_form():
    """Uniform cells as Gauss points of dipoles: the matrix, and how many singular values exceed 1e-2 s_1."""
    problem = maxwell.Magnetisation(sensor_height=0.9)
    nodes, weights = np.polynomial.legendre.leggauss(3)
    line = (np.linspace(-0.5, 0.5, 5)[:-1, None] + 0.125 * (nodes + 1)).ravel()
    weight = np.tile(0.125 * weights, 4)
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    weight = np.einsum("i,j,k->ijk", weight, weight, weight).ravel()
    kernel = boxed_dipole.field(problem.sensor_positions, points) * weight[:, None]
    exact = np.zeros((36, 3, 64, 3))
    for q, cell in enumerate(problem.parametrisation.locate(points)):
        exact[:, :, cell] += kernel[:, :, q]
    exact = exact.reshape(108, 192)
    matrix = problem.discretise(cells=8, degree=2, grading=0.0).matrix
    assert np.linalg.norm(matrix - exact) < 0.06 * np.linalg.norm(exact)
    values, expected = (np.linalg.svd(t, compute_uv=False) for t in (matrix, exact))
    assert values[:20] == pytest.approx(expected[:20], rel=0.06)
    assert np.sum(expected > 1e-2 * expected[0]) == 35
    assert abs(np.sum(values > 1e-2 * values[0]) - 35) <= 2


def test_dipole_jacobian(dipoles):
    direction = np.random.default_rng(2).uniform(-1, 1, 12) * np.tile([0.1, 0.1, 0.1, 1, 1, 1], 2)
    remainders = checks.taylor_remainders(dipoles, TWO, direction, [0.1, 0.05, 0.025])
    assert np.log2(remainders[:-1] / remainders[1:]) == pytest.approx([2, 2], abs=0.1)
    assert checks.jacobian_differences(dipoles, TWO, step=1e-3).max() < 1e-5
    value, jacobian = dipoles.linearise(TWO)
    assert value == pytest.approx(dipoles(TWO), rel=1e-12)
    assert jacobian[:, [3, 4, 5, 9, 10, 11]] @ TWO[[3, 4, 5, 9, 10, 11]] == pytest.approx(value, rel=1e-10)


def test_both_parametrisations_measure_the_same_magnetisation(forward):
    """The matrix times θ = the quadrature of the same M, point by point."""
    theta = forward.problem.prior.sample(np.random.default_rng(3), 1)[0]
    observed = forward.observe(lambda x: forward.problem.parametrisation.evaluate(theta, x))
    assert observed == pytest.approx(forward(theta), rel=1e-11, abs=1e-13 * np.abs(observed).max())


@pytest.mark.parametrize(
    ("member", "draw"),
    [
        (maxwell.MagneticCells(2, 3, 4), lambda rng: rng.standard_normal(72)),
        (maxwell.Dipoles(2, radius=0.2), lambda rng: rng.uniform(-0.25, 0.25, 12)),
    ],
    ids=["cells", "dipoles"],
)
def test_parametrisations_have_the_derivative_they_claim(member, draw):
    rng = np.random.default_rng(4)
    theta, x = draw(rng), rng.uniform(-0.6, 0.6, (20, 30, 3))
    value, slopes = member.linearise(theta, x)
    assert value.tobytes() == member.evaluate(theta, x).tobytes()
    assert len(member.parameters) == len(slopes) == len(theta)
    low, high = member.support(theta)
    inside = ((x[..., None, :] >= low) & (x[..., None, :] <= high)).all(axis=-1).any(axis=-1)
    assert (value[~inside] == 0).all()
    for (where, sparse), slope, e in zip(
        member.slopes(theta, x), slopes, 1e-6 * np.eye(len(theta)), strict=True
    ):
        difference = (member.evaluate(theta + e, x) - member.evaluate(theta - e, x)) / 2e-6
        assert slope == pytest.approx(difference, abs=1e-6 * (1 + np.abs(slope).max()))
        dense = np.zeros((600, 3))
        dense[where] = sparse
        assert (dense == slope.reshape(-1, 3)).all()


def test_blobs_carry_their_moment():
    member, n = maxwell.Dipoles(1, radius=0.2), 60
    line = (np.arange(n) + 0.5) / n - 0.5
    x = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1)
    assert member.evaluate(DIPOLE, x).sum(axis=(0, 1, 2)) / n**3 == pytest.approx(DIPOLE[3:], rel=1e-4)


def test_priors():
    rng, again = np.random.default_rng(5), np.random.default_rng(5)
    blocks = maxwell.MagnetisedBlocks()
    thetas = blocks.sample(rng, 200)
    assert thetas.tobytes() == np.stack([blocks.sample(again, 1)[0] for _ in range(200)]).tobytes()
    strength = np.linalg.norm(thetas.reshape(200, 64, 3), axis=-1)
    assert ((strength == 0) | ((strength > 0.5 - 1e-12) & (strength < 2 + 1e-12))).all()
    kinds = [len(np.unique(row[row > 0].round(9))) for row in strength]
    assert set(kinds) == {1, 2, 3}

    problem = maxwell.Magnetisation(parametrisation=maxwell.Dipoles(3))
    for theta in problem.prior.sample(rng, 100):
        assert problem.parametrisation.check(theta) is not None
        assert (np.diff(theta[::6]) >= 0).all()
        assert 0.5 <= np.linalg.norm(theta[3:6]) <= 2
    cells = maxwell.MagneticDipoles(2, shape=(4, 4, 4))
    thetas = cells.sample(rng, 50).reshape(50, 64, 3)
    assert (np.sum((thetas != 0).any(axis=-1), axis=1) == 2).all()
    assert maxwell.Magnetisation(prior=cells).prior == cells


PROBLEMS = [
    maxwell.Magnetisation(),
    maxwell.Magnetisation(sensor_height=0.9, parametrisation=maxwell.MagneticCells(2, 3, 4)),
    maxwell.Magnetisation(prior=maxwell.MagneticDipoles(2, shape=(4, 4, 4))),
    maxwell.Magnetisation(parametrisation=maxwell.Dipoles(2, radius=0.2), sensors=4, sensor_width=0.08),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=range(len(PROBLEMS)))
def test_a_problem_survives_the_way_through_a_table(problem):
    assert maxwell.problem_from(json.loads(json.dumps(problem.spec()))) == problem
    labels = problem.observation_labels()
    assert len(labels["sensor"]) == len(labels["component"]) == 3 * problem.sensors**2


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"sensor_height": 0.4}, "expected it from 0.6 to 0.9"),
        ({"sensor_height": 1.2}, "lie between the magnetised region"),
        ({"sensor_width": 0.3}, "sensor_width is 0.3"),
        ({"sensor_extent": 0.95}, "sensor_extent is 0.95"),
        ({"sensors": 0}, "sensors is 0"),
        ({"parametrisation": {"kind": "magnetic_cells", "nx": 0}}, "nx is 0"),
        ({"parametrisation": {"kind": "dipoles", "count": 0}}, "count is 0"),
        ({"parametrisation": {"kind": "dipoles", "radius": 0.6}}, "radius is 0.6"),
        ({"parametrisation": {"kind": "voxels"}}, "problem.parametrisation"),
        (
            {"parametrisation": {"kind": "dipoles"}, "prior": {"kind": "magnetised_blocks"}},
            "give both the same",
        ),
        ({"prior": {"kind": "magnetic_dipoles"}}, r"give the prior shape=\(4, 4, 4\)"),
        (
            {
                "parametrisation": {"kind": "dipoles", "radius": 0.3},
                "prior": {"kind": "magnetic_dipoles", "reach": 0.4},
            },
            "expected at most 0.2",
        ),
        ({"prior": {"kind": "magnetised_blocks", "edge": [1, 9]}}, "expected at most 4"),
        (
            {"prior": {"kind": "magnetised_blocks", "strength": [2.0, 1.0]}},
            "expected .low, high. with 0 < low",
        ),
    ],
)
def test_a_wrong_table_is_refused_in_a_sentence(table, expected):
    with pytest.raises(maxwell.MaxwellError, match=expected) as caught:
        maxwell.problem_from({"kind": "magnetisation", **table})
    assert "\n" not in str(caught.value)


def test_wrong_unknowns_are_refused_in_a_sentence(forward, dipoles):
    for member, theta, expected in [
        (forward, np.zeros(5), r"shape \(5,\); expected \(192,\)"),
        (forward, np.full(192, np.nan), "expected finite numbers"),
        (dipoles, np.zeros(6), r"expected \(12,\)"),
        (dipoles, [0.45, *TWO[1:]], "dipole 1 .* leaves the magnetised region"),
    ]:
        with pytest.raises(maxwell.MaxwellError, match=expected):
            member(theta)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"cells": 5}, "at least 6"),
        ({"degree": 3}, "degree is 3"),
        ({"grading": -1}, "grading is -1"),
        ({"cell": "prism"}, "cell is 'prism'"),
        ({"cells": 900}, "needs about .* GiB"),
    ],
)
def test_wrong_sizes_are_refused_in_a_sentence(sizes, expected):
    with pytest.raises(maxwell.MaxwellError, match=expected):
        maxwell.Magnetisation().discretise(**sizes)


def test_a_mesh_that_does_not_resolve_a_dipole_is_refused():
    problem = maxwell.Magnetisation(sensors=1, parametrisation=maxwell.Dipoles(1, radius=0.1))
    with pytest.raises(maxwell.MaxwellError, match=r"bricks of 0.5 m .* do not resolve"):
        problem.discretise(cells=4, degree=1, grading=0.0)


def test_the_example_ends_in_agreement_with_theory(tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLE, "--cells", "6", "--out", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "magnetisation.png").stat().st_size > 10_000
