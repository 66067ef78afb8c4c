"""Nédélec elements on tetrahedra and bricks: constant parts of the system, mass matrices of a varying coefficient.

DOLFINx assembles what stays the same for every sample.  What changes, the mass matrix weighted by the change
of conductivity, is summed here from tabulated basis functions, on the changed cells only: the coefficient
is then taken at quadrature points (a cell average would cost most of the accuracy of degree 2), and the same
tables give fields inside cells for the Jacobian.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from maxwell.errors import MaxwellError
from maxwell.fenicsx import MPI, PETSc, basix, compiled, fem, la, ufl
from maxwell.fenicsx import mesh as meshes

QUADRATURE_DEGREE = 6
"""Degree of the rule for the conductivity: exact for the basis of degree 2 times a quadratic coefficient.

On bricks the rule is the tensor product of Gauss rules exact to this degree in each coordinate.
"""

EDGES = {"tetrahedron": (1, 2, 3), "hexahedron": (1, 2, 4)}
"""Corners of a reference cell at the ends of its unit vectors; corner 0 is the origin."""

PATCH_QUADRATURE_DEGREE = 12
"""Degree of the rule for the Gaussian patches, whose deviation may be half a facet."""

PATCH_TOLERANCE = 0.1
"""Largest error of the moment of a patch that is let pass.

On triangles it is 0.2 % at a deviation of 0.16 legs of a facet, 11 % at 0.1 and 98 % at 0.04; on squares half that.
"""


class NedelecSpace:
    """First-kind Nédélec (N1curl) space of a degree on a mesh of affine tetrahedra or bricks.

    degree : 1 (6 functions a tetrahedron, 12 a brick) or 2 (20, 54).  Order in L2 of the field and of its
        curl equals the degree.

    Raises MaxwellError for other degrees and cells, and for bricks that are not parallelepipeds: there the
    basis is rational, and the rules of this file would not integrate it.
    """

    def __init__(self, mesh, degree: int):
        kind = mesh.topology.cell_name()
        if kind not in EDGES:
            raise MaxwellError(f"The cells of the mesh are {kind!r}; expected one of {sorted(EDGES)}.")
        if type(degree) is not int or degree not in (1, 2):
            raise MaxwellError(f"The degree of the elements is {degree!r}; expected 1 or 2.")
        self.mesh = mesh
        self.degree = degree
        self.space = fem.functionspace(mesh, ("N1curl", degree))
        self.dofs = self.space.dofmap.index_map.size_global
        self.owned = self.space.dofmap.index_map.size_local
        self.cell_dofs = self.space.dofmap.list  # (cells, functions)
        mesh.topology.create_entity_permutations()
        self._orientation = mesh.topology.get_cell_permutation_info()
        corners = self._corners
        origin, edges = corners[:, :1], corners[:, EDGES[kind]] - corners[:, :1]
        affine = origin + np.matmul(basix.geometry(mesh.basix_cell()), edges)
        bent = np.abs(corners - affine).max(axis=(1, 2)) > 1e-10 * np.abs(edges).max(axis=(1, 2))
        if bent.any():
            raise MaxwellError(
                f"{bent.sum()} of {len(bent)} bricks of the mesh are not parallelepipeds; expected affine cells; "
                "move its nodes by a product of maps of one coordinate each, or use tetrahedra."
            )

    @cached_property
    def _corners(self):
        return self.mesh.geometry.x[self.mesh.geometry.dofmaps[0]]  # (cells, 4 or 8, 3)

    @cached_property
    def cell_widths(self) -> np.ndarray:
        """Largest extent of each cell along an axis, (cells,) in m."""
        return np.ptp(self._corners, axis=1).max(axis=1)

    def tabulate(self, cells: np.ndarray) -> "CellTables":
        """Basis functions, points and weights of the quadrature rule on some cells."""
        points, weights = basix.make_quadrature(self.mesh.basix_cell(), QUADRATURE_DEGREE)
        corners = self._corners[cells]
        ends = EDGES[self.mesh.topology.cell_name()]
        jacobian = np.swapaxes(corners[:, ends] - corners[:, :1], 1, 2)  # (c, 3, 3), columns are edges
        x = corners[:, :1] + np.einsum("cij,qj->cqi", jacobian, points)
        element = self.space.element
        reference = element.basix_element.tabulate(0, points)[0]  # (q, functions, 3)
        functions = reference.shape[1]
        # T acts on the function axis and depends on the cell's orientation alone: apply it to the identity
        # once for each orientation that occurs, rather than to every cell's table.
        kinds, which = np.unique(self._orientation[cells], return_inverse=True)
        oriented = np.empty((len(kinds), *reference.shape))
        for k, kind in enumerate(kinds):
            transform = np.eye(functions)
            element.T_apply(transform.ravel(), np.array([kind], dtype=np.uint32), functions)
            oriented[k] = np.einsum("fg,qgi->qfi", transform, reference)
        inverse = np.linalg.inv(jacobian)  # covariant Piola map: φ = J^{-T} φ_ref
        basis = np.matmul(oriented[which], inverse[:, None])
        volume = np.abs(np.linalg.det(jacobian))
        return CellTables(cells, self.cell_dofs[cells], x, volume[:, None] * weights, basis)

    def cells_in(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Cells whose bounding box meets the box [low, high], in ascending order."""
        below, above = self._corners.min(axis=1), self._corners.max(axis=1)
        return np.flatnonzero((below <= high).all(axis=1) & (above >= low).all(axis=1))

    def assemble(self, form) -> sp.csr_array:
        """Assemble a bilinear UFL form (test function conjugated) into CSR with sorted columns, on one process."""
        matrix = fem.assemble_matrix(compiled(form, self.mesh.comm))
        matrix.scatter_reverse()
        csr = sp.csr_array(matrix.to_scipy())
        csr.sort_indices()
        return csr

    def distributed(self, form) -> PETSc.Mat:
        """Assemble a bilinear UFL form into a PETSc matrix whose rows are shared out as the unknowns are."""
        matrix = fem.petsc.assemble_matrix(compiled(form, self.mesh.comm))
        matrix.assemble()
        return matrix

    def with_ghosts(self, owned: np.ndarray) -> np.ndarray:
        """Unknowns (owned, k) that each rank owns → those that its cells use, (owned + ghosts, k), owned first."""
        if self.mesh.comm.size == 1:
            return owned
        local = la.vector(self.space.dofmap.index_map, bs=owned.shape[1], dtype=owned.dtype)
        local.array[: owned.size] = owned.ravel()
        local.scatter_forward()
        return local.array.reshape(-1, owned.shape[1]).copy()

    def patch_functionals(self, survey) -> np.ndarray:
        """Functionals ∫_top g̃ p·v of every patch of a survey, (dofs, K) real; on several ranks the owned rows.

        Raises MaxwellError when the rule misses ∫_top g̃ = 1 by more than `PATCH_TOLERANCE`: the patch then falls
        between its points.
        """
        mesh = self.mesh
        facets = meshes.locate_entities_boundary(mesh, 2, lambda x: np.isclose(x[2], 1.0))
        tags = meshes.meshtags(mesh, 2, np.sort(facets), np.ones(len(facets), dtype=np.int32))
        top = ufl.Measure(
            "ds", mesh, subdomain_data=tags, metadata={"quadrature_degree": PATCH_QUADRATURE_DEGREE}
        )
        v = ufl.TestFunction(self.space)
        centre = fem.Constant(mesh, np.zeros(2, dtype=PETSc.ScalarType))
        direction = fem.Constant(mesh, np.zeros(3, dtype=PETSc.ScalarType))
        deviation = fem.Constant(mesh, PETSc.ScalarType(survey.deviation))
        x = ufl.SpatialCoordinate(mesh)
        radius2 = (x[0] - centre[0]) ** 2 + (x[1] - centre[1]) ** 2
        density = ufl.exp(-radius2 / (2 * deviation**2))
        form = compiled(ufl.inner(direction * density, v) * top(1), mesh.comm)
        columns = np.empty((self.owned, survey.size))
        for k, (c, p) in enumerate(zip(survey.centres, survey.directions, strict=True)):
            centre.value[:] = c
            direction.value[:] = p
            vector = fem.assemble_vector(form)
            vector.scatter_reverse(la.InsertMode.add)
            columns[:, k] = vector.array[: self.owned].real / survey.mass(c)
        self._check_moments(survey, columns, facets)
        return columns

    def _check_moments(self, survey, columns, facets) -> None:
        """The elements hold constant fields, so that of p has the value ∫_top g̃ p·p = 1 up to the rule."""
        comm, constant = self.mesh.comm, fem.Function(self.space)
        moments = np.zeros(survey.size)
        for axis in (0, 1):
            constant.interpolate(lambda x, a=axis: np.eye(3)[:, [a]] + 0 * x)
            values = constant.x.array[: self.owned].real
            moments += survey.directions[:, axis] * comm.allreduce(columns.T @ values)
        wrong = np.abs(moments - 1)
        if not wrong.max() <= PATCH_TOLERANCE:
            worst = int(np.argmax(wrong))
            corners = self.mesh.geometry.x[meshes.entities_to_geometry(self.mesh, 2, facets)]
            size = comm.allreduce(float(np.ptp(corners, axis=1).max(initial=0.0)), MPI.MAX)
            raise MaxwellError(
                f"The patches have a deviation of {survey.deviation:g} m and the facets of the top face are up to "
                f"{size:.3g} m wide: integrated there, patch {worst} has a moment of {moments[worst]:.2g}; "
                f"expected 1 within {PATCH_TOLERANCE:.0%}: take a deviation of about {size / 8:.2g} m, or more "
                "cells an edge."
            )


@dataclass(frozen=True)
class CellTables:
    """Quadrature tables on some cells.

    cells (c,) : numbers of the cells.  dofs (c, f) : their unknowns.
    points (c, q, 3) : quadrature points in m.  weights (c, q) : weights times |det J|.
    basis (c, q, f, 3) : physical basis functions, oriented as the unknowns are.
    """

    cells: np.ndarray
    dofs: np.ndarray
    points: np.ndarray
    weights: np.ndarray
    basis: np.ndarray

    def __getitem__(self, keep) -> "CellTables":
        return CellTables(
            self.cells[keep], self.dofs[keep], self.points[keep], self.weights[keep], self.basis[keep]
        )

    def mass(self, coefficient: np.ndarray) -> np.ndarray:
        """Element matrices ∫ s φ_i·φ_j of a real coefficient s (c, q): (c, f, f)."""
        c, q, f, _ = self.basis.shape
        functions = self.basis.transpose(0, 2, 1, 3).reshape(c, f, 3 * q)
        weighted = functions * np.repeat(self.weights * coefficient, 3, axis=1)[:, None]
        return np.matmul(weighted, functions.transpose(0, 2, 1))

    def field(self, solution: np.ndarray) -> np.ndarray:
        """Fields (c, q, 3, k) at the quadrature points from unknowns (dofs, k)."""
        c, q, f, _ = self.basis.shape
        functions = self.basis.transpose(0, 1, 3, 2).reshape(c, 3 * q, f)
        return np.matmul(functions, solution[self.dofs]).reshape(c, q, 3, solution.shape[1])


def curl_curl_form(space: NedelecSpace, wavenumber_squared: complex, impedance: complex):
    """(curl u, curl v) − (k_c² u, v) + ⟨Z u_T, v_T⟩_∂Ω for constant k_c² and boundary coefficient Z, in UFL.

    Complex symmetric.  For a smooth field E the consistent right-hand side is
    (curl curl E − k_c² E, v) + ⟨Z E_T − n × curl E, v_T⟩_∂Ω.
    """
    u, v = ufl.TrialFunction(space.space), ufl.TestFunction(space.space)
    n = ufl.FacetNormal(space.mesh)
    # Constants, not numbers: a number would be compiled into the kernel, once for every frequency.
    k2 = fem.Constant(space.mesh, PETSc.ScalarType(wavenumber_squared))
    z = fem.Constant(space.mesh, PETSc.ScalarType(impedance))
    # Exact on affine cells; left to itself UFL takes bricks for curved ones and integrates at twice the cost.
    rule = {"quadrature_degree": 2 * space.degree}
    dx, ds = ufl.dx(metadata=rule), ufl.ds(metadata=rule)
    return (
        ufl.inner(ufl.curl(u), ufl.curl(v)) * dx
        - k2 * ufl.inner(u, v) * dx
        + z * ufl.inner(ufl.cross(n, u), ufl.cross(n, v)) * ds
    )


def curl_curl_matrix(space: NedelecSpace, wavenumber_squared: complex, impedance: complex) -> sp.csr_array:
    """`curl_curl_form` as CSR (dofs, dofs), on one process."""
    return space.assemble(curl_curl_form(space, wavenumber_squared, impedance))


def scatter_map(pattern: sp.csr_array, dofs: np.ndarray) -> np.ndarray:
    """Where each entry of element matrices goes in the values of a CSR matrix: (c, f, f) positions.

    pattern : CSR with sorted columns that contains every pair of unknowns of a cell.  dofs : (c, f).
    """
    n = pattern.shape[0]
    rows = np.repeat(np.arange(n, dtype=np.int64), np.diff(pattern.indptr))
    keys = rows * n + pattern.indices
    wanted = dofs[:, :, None].astype(np.int64) * n + dofs[:, None, :]
    return np.searchsorted(keys, wanted)
