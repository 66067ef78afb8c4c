"""Meshes of the box: where their faces lie, how fine they are, and which brick a cell belongs to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import maxwell
from maxwell import meshes
from maxwell.fem import NedelecSpace
from maxwell.fenicsx import MPI, fem

REGION = maxwell.REGION_OF_INTEREST
VOXELS = (np.linspace(0.2, 0.8, 5), np.linspace(0.2, 0.8, 5), np.linspace(0.4, 0.9, 5))


def corners(mesh):
    return mesh.geometry.x[mesh.geometry.dofmaps[0]]  # (cells, corners, 3)


def faces(mesh, axis):
    return np.unique(mesh.geometry.x[:, axis].round(12))


def volumes(mesh):
    c = corners(mesh)
    ends = {4: (1, 2, 3), 8: (1, 2, 4)}[c.shape[1]]
    return np.abs(np.linalg.det(c[:, ends] - c[:, :1])) / {4: 6, 8: 1}[c.shape[1]]


@given(st.floats(0.1, 4), st.integers(2, 400))
def test_grading_is_monotone_and_refines_the_middle(strength, cells):
    x = meshes.line(cells, 0.2, 0.8, strength)
    assert (x[0], x[-1], len(x)) == (0, 1, cells + 1)
    assert (np.diff(x) > 0).all()
    assert x == pytest.approx(1 - x[::-1], abs=1e-6)  # symmetric about the middle as the region is
    fine = np.diff(meshes.line(400, 0.2, 0.8, strength))
    assert fine[200] == pytest.approx(fine[0] / (1 + strength), rel=0.02)


@given(
    st.lists(st.floats(0.01, 0.99), max_size=6, unique=True).map(sorted),
    st.floats(0, 4),
    st.integers(0, 30),
)
def test_every_plane_is_a_face_and_every_interval_has_cells(planes, strength, more):
    cells = len(planes) + 1 + more
    x = meshes.line(cells, 0.2, 0.8, strength, planes)
    assert len(x) == cells + 1
    assert (np.diff(x) > 0).all()
    assert np.isin([0, *planes, 1], x).all()


def test_no_grading_and_no_planes_are_equidistant():
    assert meshes.line(7, 0.2, 0.8, 0.0) == pytest.approx(np.linspace(0, 1, 8), abs=1e-15)


@pytest.mark.parametrize("cell", meshes.CELLS)
@pytest.mark.parametrize("grading", [0.0, 1.0])
def test_eight_cells_put_four_bricks_across_the_voxels(cell, grading):
    mesh = meshes.box(MPI.COMM_SELF, 8, grading, REGION, cell=cell, planes=VOXELS)
    for axis, (below, above) in enumerate([(2, 2), (2, 2), (3, 1)]):
        found = faces(mesh, axis)
        low, high = VOXELS[axis][[0, -1]]
        assert found[(found >= low) & (found <= high)] == pytest.approx(VOXELS[axis], abs=1e-12)
        assert ((found < low).sum(), (found > high).sum()) == (below, above)
    assert volumes(mesh).sum() == pytest.approx(1, abs=1e-12)


def test_faces_of_a_voxel_problem_lie_where_the_conductivity_jumps():
    problem = maxwell.Conductivity(parametrisation=maxwell.Voxels(4, 4, 4))
    forward = problem.discretise(cells=6, degree=1, grading=0.7, cell="hexahedron")
    for axis, jumps in enumerate(VOXELS):
        assert faces(forward.space.mesh, axis) == pytest.approx([0, *jumps, 1], abs=1e-12)
    with pytest.raises(maxwell.MaxwellError, match=r"5 cells an edge .* expected at least 6 cells"):
        problem.discretise(cells=5, degree=1)


@pytest.mark.parametrize("cell", meshes.CELLS)
def test_grading_refines_the_region_and_the_top(cell):
    """Twice as fine inside along each axis, up to the face that carries the survey along z."""
    mesh = meshes.box(MPI.COMM_SELF, 20, 1.0, REGION, cell=cell)
    for axis, inside, outside in [(0, 0.5, 0.0), (1, 0.5, 1.0), (2, 0.98, 0.02), (2, 0.6, 0.02)]:
        x = faces(mesh, axis)
        spacing = np.interp([inside, outside], (x[1:] + x[:-1]) / 2, np.diff(x))
        assert spacing[1] / spacing[0] == pytest.approx(2, rel=0.2)


@pytest.mark.parametrize("cell", meshes.CELLS)
@pytest.mark.parametrize("degree", [1, 2])
def test_tables_integrate_products_of_the_basis_and_a_quadratic_exactly(cell, degree):
    """∫ s u·v for fields of the space and a quadratic s, against the integral over the box in closed form."""
    mesh = meshes.box(MPI.COMM_SELF, 2, 1.0, REGION, cell=cell)
    space = NedelecSpace(mesh, degree)
    tables = space.tabulate(np.arange(len(space.cell_dofs)))
    u, v = interpolated(space, [1.0, 0.0, 0.0]), interpolated(space, [0.0, 0.0, 1.0])
    x = tables.points
    mass = tables.mass(x[..., 0] ** 2 + x[..., 1] * x[..., 2])
    product = np.einsum("cf,cfg,cg->", u[space.cell_dofs], mass, v[space.cell_dofs])
    # u = (1 + y, -x, 0), v = (-y, x, 1): ∫ (x² + yz)(−y − y² − x²) over the unit cube
    assert product == pytest.approx(-(1 / 6 + 1 / 9 + 1 / 5 + 1 / 6 + 1 / 8 + 1 / 12), rel=1e-12)
    assert tables.weights.sum() == pytest.approx(1, abs=1e-12)


def interpolated(space, constant):
    """Real unknowns of constant + e_z × x·(−1, +1), a field that every first-kind space holds."""
    sign = -1.0 if constant[0] else 1.0
    field = fem.Function(space.space)
    field.interpolate(
        lambda x: np.stack(
            [constant[0] - sign * x[1], constant[1] + sign * x[0], np.full_like(x[0], constant[2])]
        )
    )
    return field.x.array.real


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"cell": "prism"}, "cell of the mesh is 'prism'; expected one of"),
        ({"planes": ((0.5, 0.2), (), ())}, "expected increasing coordinates from 0 to 1"),
        ({"planes": ((), (0.2, 1.2), ())}, "expected increasing coordinates from 0 to 1"),
        ({"planes": ((), (), (0.2, np.nan))}, "expected increasing coordinates from 0 to 1"),
        ({"planes": ((0.2, 0.4, 0.6, 0.8), (), ())}, "4 cells an edge .* expected at least 5 cells"),
    ],
)
def test_wrong_meshes_are_refused_in_a_sentence(arguments, expected):
    with pytest.raises(maxwell.MaxwellError, match=expected):
        meshes.box(MPI.COMM_SELF, 4, 0.0, REGION, **arguments)


def test_an_unknown_cell_is_refused_by_the_problem():
    with pytest.raises(maxwell.MaxwellError, match="'prism'; expected one of"):
        maxwell.Conductivity().discretise(cells=2, degree=1, cell="prism")


def test_wrong_spaces_are_refused_in_a_sentence():
    mesh = meshes.box(MPI.COMM_SELF, 2, 0.0, REGION, cell="hexahedron")
    with pytest.raises(maxwell.MaxwellError, match="degree of the elements is 3; expected 1 or 2"):
        NedelecSpace(mesh, 3)
    mesh.geometry.x[:, 0] += 0.1 * mesh.geometry.x[:, 1] * mesh.geometry.x[:, 2]
    with pytest.raises(maxwell.MaxwellError, match="not parallelepipeds; expected affine cells"):
        NedelecSpace(mesh, 1)
