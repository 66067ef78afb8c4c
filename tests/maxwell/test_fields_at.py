"""Fields at points against the data, the library's interpolation and closed forms; what a mesh says of itself."""

import json
import os
import subprocess
import sys
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest

import maxwell
from maxwell.fenicsx import dolfinx, fem
from maxwell.problems.sensor_fields import ball_rule
from maxwell.units import VACUUM_PERMEABILITY

BALL = np.array([0.5, 0.55, 0.6, 0.12, 1.0])
CELLS = ["tetrahedron", "hexahedron"]


def conductivity(cell):
    survey = maxwell.GaussianPatches(side=2, deviation=0.16)
    return maxwell.Conductivity((15e6, 23.9e6), survey=survey).discretise(cells=3, cell=cell, grading=0.5)


def cauchy(cell):
    return maxwell.Cauchy(modes=4).discretise(cells=5, cell=cell)


def magnetic_cells(cell):
    return maxwell.Magnetisation(sensors=2).discretise(cells=6, degree=1, cell=cell)


def dipole(cell):
    problem = maxwell.Magnetisation(sensors=2, parametrisation=maxwell.Dipoles(1, radius=0.4))
    return problem.discretise(cells=6, cell=cell)


@pytest.fixture(scope="module")
def forward(request):
    make, cell = request.param
    return make(cell)


def maps(*pairs):
    """Run a test with forward maps of these kinds, on meshes of these cells."""
    names = [f"{make.__name__}-{cell}" for make, cell in pairs]
    return pytest.mark.parametrize("forward", pairs, ids=names, indirect=True, scope="module")


ON_BOTH = {make: [(make, cell) for cell in CELLS] for make in (conductivity, cauchy, magnetic_cells)}
DIPOLE = (dipole, "tetrahedron")
every_map = maps(*chain.from_iterable(ON_BOTH.values()), DIPOLE)


def sample(forward):
    return forward.problem.prior.sample(np.random.default_rng(1), 1)[0]


def interior(forward, count=50):
    """Points of the domain, some on its corners."""
    low, high = (np.array(forward.discretisation[end]) for end in ("low", "high"))
    x = np.random.default_rng(0).uniform(low, high, (count, 3))
    return np.concatenate([x, [low, high]])


@every_map
def test_every_source_has_its_field_at_every_point(forward):
    theta, x = sample(forward), interior(forward)
    fields = forward.fields_at(theta, x)
    sources = {"V/m": 16 if isinstance(forward.problem, maxwell.Conductivity) else 1, "T": 1}
    assert fields.shape == (sources[forward.problem.field_unit], len(x), 3)
    assert np.iscomplexobj(fields) == (forward.problem.field_unit == "V/m")
    assert np.isfinite(fields).all()
    assert np.abs(fields).max(axis=(1, 2)).min() > 0
    assert forward.fields_at(theta, x[:1]) == pytest.approx(fields[:, :1], rel=1e-9)
    assert forward.fields_at(theta, x[:0]).shape == (len(fields), 0, 3)
    rounded = forward.fields_at(theta, x[-1:] + 5e-10)  # of the corner, missed by rounding
    assert rounded == pytest.approx(fields[:, -1:], rel=1e-9)


@every_map
def test_the_field_outside_is_refused_in_a_sentence(forward):
    theta = sample(forward)
    for wrong, expected in (
        ([[0.5, 0.5, 1.01]], r"the point \[0.5, 0.5, 1.01\] m lies outside the box"),
        ([[0.5, np.nan, 0.5]], "lies outside"),
        ([0.5, 0.5, 0.5], r"expected real points \(n, 3\)"),
    ):
        with pytest.raises(maxwell.MaxwellError, match=f"fields_at: .*{expected}") as caught:
            forward.fields_at(theta, wrong)
        assert "\n" not in str(caught.value)
    with pytest.raises(maxwell.MaxwellError, match="theta has shape"):
        forward.fields_at(theta[:-1], interior(forward))


def top_rule(forward, points):
    """Gauss points (n, 3) on the top face and weights (n,), interval by interval of the mesh."""
    x, w = np.polynomial.legendre.leggauss(points)
    faces = np.unique(forward.space.mesh.geometry.x[:, 0].round(12))
    line = np.concatenate([a + (b - a) * (x + 1) / 2 for a, b in pairwise(faces)])
    weights = np.repeat(np.diff(faces) / 2, points) * np.tile(w, len(faces) - 1)
    plane = np.stack(np.meshgrid(line, line, [1.0], indexing="ij"), axis=-1).reshape(-1, 3)
    return plane, np.outer(weights, weights).ravel()


@maps(*ON_BOTH[conductivity])
def test_receivers_integrate_the_field(forward):
    """Measured: 1e-9 on bricks; on tetrahedra 2e-3, as the rule does not know their diagonals."""
    survey = forward.problem.survey
    x, weights = top_rule(forward, 16)
    squares = ((x[:, None, :2] - survey.centres) ** 2).sum(axis=-1)
    masses = [survey.mass(centre) for centre in survey.centres]
    density = weights[:, None] * np.exp(-squares / (2 * survey.deviation**2)) / masses
    fields = forward.fields_at(BALL, x)
    data = np.einsum("snk,nr,rk->sr", fields, density, survey.directions).ravel()
    expected = forward(BALL) + forward.background_response
    tolerance = {"tetrahedron": 5e-3, "hexahedron": 1e-7}[forward.cell]
    assert np.abs(data - expected).max() < tolerance * np.abs(expected).max()


@maps(*ON_BOTH[conductivity])
def test_fields_inside_cells_are_those_of_the_library(forward):
    """Its interpolation onto constants takes the field at the middle of every cell."""
    space = forward.space
    constants = fem.functionspace(space.mesh, ("DG", 0, (3,)))
    middles = constants.tabulate_dof_coordinates()
    fields = forward.fields_at(BALL, middles)
    field, expected = fem.Function(space.space), fem.Function(constants)
    for source, column in enumerate(forward.fields(BALL).T):
        field.x.array[:] = column
        expected.interpolate(field)
        distance = np.abs(fields[source].ravel() - expected.x.array).max()
        assert distance < 1e-12 * np.abs(expected.x.array).max()


def test_a_prepared_map_has_the_same_fields():
    problem = maxwell.Conductivity(survey=maxwell.GaussianPatches(side=2, deviation=0.16))
    forward = problem.discretise(cells=2)
    x = interior(forward)
    before = forward.fields_at(BALL, x)
    forward.prepare()
    assert np.abs(forward.fields_at(BALL, x) - before).max() < 1e-12 * np.abs(before).max()


@maps(*ON_BOTH[cauchy])
def test_the_field_of_a_mode_is_that_of_the_closed_form(forward):
    """Measured: 1.2 % on bricks, 3 % on tetrahedra at five cells an edge."""
    theta, x = np.array([1.0, 2j, 0.5, -1.0]), interior(forward, 300)
    exact = forward.problem.reference.field(theta, x)
    found = forward.fields_at(theta, x)
    assert np.linalg.norm(found[0] - exact) < 0.05 * np.linalg.norm(exact)
    assert np.array_equal(found[0], forward.evaluate(theta, x))


@maps(*ON_BOTH[magnetic_cells], DIPOLE)
def test_the_mean_of_the_flux_over_a_sensor_is_its_datum(forward):
    theta, problem = sample(forward), forward.problem
    offsets, weights = ball_rule(problem.sensor_width)
    x = problem.sensor_positions[:, None] + offsets
    flux = forward.fields_at(theta, x.reshape(-1, 3)).reshape(*x.shape)
    data = forward(theta)
    assert np.abs(weights @ flux - data.reshape(-1, 3)).max() < 1e-10 * np.abs(data).max()


@maps(*ON_BOTH[magnetic_cells])
def test_no_flux_leaves_a_magnetised_box(forward):
    """div B = 0, faces included; on tetrahedra up to the rule, which does not know their faces: 1 %."""
    theta = sample(forward)
    x, w = np.polynomial.legendre.leggauss(12)
    low, edge, out, through = np.array([-0.25, -0.5, 0.0]), np.array([0.5, 0.5, 0.25]), 0.0, 0.0
    for axis in range(3):
        for end in (0, 1):
            line = [np.array([float(end)]) if a == axis else (x + 1) / 2 for a in range(3)]
            points = low + edge * np.stack(np.meshgrid(*line, indexing="ij"), axis=-1).reshape(-1, 3)
            weights = np.outer(w, w).ravel() / 4 * edge.prod() / edge[axis]
            normal = forward.fields_at(theta, points)[0, :, axis]
            out += (2 * end - 1) * weights @ normal
            through += weights @ np.abs(normal)
    assert through > 0
    tolerance = {"tetrahedron": 0.03, "hexahedron": 1e-10}[forward.discretisation["cell"]]
    assert abs(out) < tolerance * through


def whole_ball(radius, points=10):
    """Points (n, 3) about the origin and weights (n,) in m³ of the integral over a ball."""
    t, w = np.polynomial.legendre.leggauss(points)
    angle, sine = np.pi * (np.arange(2 * points) + 0.5) / points, np.sqrt(1 - t**2)
    flat = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=-1)
    directions = sine[:, None, None] * flat + t[:, None, None] * np.array([0.0, 0.0, 1.0])
    r = radius * (t + 1) / 2
    weights = np.outer(radius / 2 * w * r**2, np.pi / points * w)
    x = r[:, None, None, None] * directions
    return x.reshape(-1, 3), np.repeat(weights.ravel(), 2 * points)


@maps(DIPOLE)
def test_the_flux_in_a_magnetised_ball_adds_up_to_two_thirds_of_its_moment(forward):
    """∫ B = 2/3 μ0 m over a ball that holds all of M (Jackson, 5.64); measured 2.4 %, some of it from the walls."""
    centre, moment = np.array([0.05, -0.03, 0.08]), np.array([0.3, -0.5, 1.0])
    offsets, weights = whole_ball(forward.problem.parametrisation.radius)
    total = weights @ forward.fields_at(np.concatenate([centre, moment]), centre + offsets)[0]
    expected = 2 / 3 * VACUUM_PERMEABILITY * moment
    assert weights.sum() == pytest.approx(4 / 3 * np.pi * 0.4**3)
    assert np.linalg.norm(total - expected) < 0.05 * np.linalg.norm(expected)


def test_a_map_without_a_mesh_says_that_it_has_no_field():
    class Product(maxwell.LinearForwardMap):
        dofs, matrix, trace = 2, np.eye(2), {}

        def check(self, theta):
            return np.asarray(theta)

        def __repr__(self):
            return "Product()"

    assert Product().discretisation == {"dofs": 2}
    with pytest.raises(maxwell.MaxwellError, match=r"Product\(\) knows its data alone"):
        Product().fields_at([1, 2], np.zeros((1, 3)))


# -- what a mesh says of itself ---------------------------------------------------------------------------


@every_map
def test_a_discretisation_tells_its_mesh_as_plain_data(forward):
    told = forward.discretisation
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["element"], told["dofs"]) == ("N1curl", forward.dofs)
    tetrahedra = told["cell"] == "tetrahedron"
    functions = {(True, 1): 6, (True, 2): 20, (False, 1): 12, (False, 2): 54}
    assert told["functions"] == functions[tetrahedra, told["degree"]]
    extent = np.subtract(told["high"], told["low"])
    assert 0 < told["smallest_width"] <= told["largest_width"] <= extent.min()
    bricks = told["cells"] / (6 if tetrahedra else 1)
    assert told["vertices"] > bricks == int(bricks)
    assert bricks * told["smallest_width"] ** 3 <= extent.prod() * (1 + 1e-9)


def test_a_discretisation_of_known_size():
    coarse = maxwell.Conductivity(
        frequency=2e6, survey=maxwell.GaussianPatches(side=1, first=0.5, last=0.5, deviation=0.3)
    ).discretise(cells=4, degree=1)
    assert coarse.discretisation == {
        "element": "N1curl",
        "family": "Nedelec, first kind, H(curl)-conforming",
        "degree": 1,
        "functions": 6,
        "dofs": 604,
        "cell": "tetrahedron",
        "cells": 384,
        "vertices": 125,
        "smallest_width": pytest.approx(0.25),
        "largest_width": pytest.approx(0.25),
        "grading": 0.0,
        "low": [0.0, 0.0, 0.0],
        "high": [1.0, 1.0, 1.0],
    }
    box = maxwell.Cauchy(depth=0.5, modes=1).discretise(cells=4, degree=1, grading=1.0).discretisation
    assert box["high"] == [1.0, 1.0, 0.5]
    assert box["smallest_width"] + box["largest_width"] == pytest.approx(
        0.5
    )  # two layers, the lower one finer
    assert box["smallest_width"] < 0.2


RANKS = """
import json, sys, numpy as np, maxwell
from maxwell.fenicsx import MPI
survey = maxwell.GaussianPatches(side=1, first=0.5, last=0.5, deviation=0.3)
several, alone = (
    maxwell.Conductivity(2e6, survey=survey).discretise(cells=4, degree=1, grading=1.0, comm=comm)
    for comm in (MPI.COMM_WORLD, MPI.COMM_SELF)
)
assert several.discretisation == alone.discretisation, (several.discretisation, alone.discretisation)
try:
    several.fields_at([0.5, 0.5, 0.6, 0.2, 1.0], np.full((1, 3), 0.5))
except maxwell.MaxwellError as error:
    print(error, flush=True)
"""


def test_on_two_ranks_a_mesh_is_told_as_a_whole_and_fields_at_points_are_refused():
    done = subprocess.run(
        [Path(sys.executable).with_name("mpiexec"), "-n", "2", sys.executable, "-c", RANKS],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("fields_at: the map lives on 2 ranks") == 2


@pytest.mark.parametrize("cell", CELLS)
def test_every_point_is_found_in_a_cell_that_holds_it(cell):
    """Vertices, and points of faces and edges, which rounding may put outside all cells, among them."""
    from maxwell import fenicsx, meshes
    from maxwell.problems.on_mesh import Locator

    mesh = meshes.box(fenicsx.MPI.COMM_SELF, 4, 1.0, maxwell.REGION_OF_INTEREST, cell=cell)
    nodes, rng = mesh.geometry.x, np.random.default_rng(0)
    pairs = nodes[mesh.geometry.dofmaps[0]]
    share = rng.dirichlet([1, 1], len(pairs))
    edges = np.einsum("cs,csi->ci", share, pairs[:, 1:3])
    x = np.concatenate([nodes, edges, rng.uniform(0, 1, (200, 3))])
    cells, local = Locator(mesh)(x)
    corners = nodes[mesh.geometry.dofmaps[0][cells]]
    assert (x >= corners.min(axis=1) - 1e-12).all()
    assert (x <= corners.max(axis=1) + 1e-12).all()
    assert local.min() > -1e-8
    assert (local.sum(axis=1) if cell == "tetrahedron" else local.max(axis=1)).max() < 1 + 1e-8
    tree = dolfinx.geometry.bb_tree(mesh, 3, padding=1e-9)
    near = dolfinx.geometry.compute_collisions_points(tree, x[-200:])
    exact = dolfinx.geometry.compute_colliding_cells(mesh, near, x[-200:])
    assert np.array_equal(cells[-200:], exact.array[exact.offsets[:-1]])
