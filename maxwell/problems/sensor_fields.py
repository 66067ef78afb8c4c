"""Adjoint fields of magnetic sensors: what turns any magnetisation into its data by a quadrature and a product."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from maxwell import checks, memory, meshes
from maxwell.errors import MaxwellError
from maxwell.fem import EDGES, NedelecSpace
from maxwell.fenicsx import MPI, PETSc, basix, compiled, dolfinx, fem, ufl
from maxwell.fenicsx import mesh as library_meshes
from maxwell.parametrisations.magnetisation import MAGNETISED_REGION
from maxwell.problems.magnetisation import HALF_EDGE, Magnetisation
from maxwell.problems.on_mesh import Locator
from maxwell.solvers import SymmetricSolver, refuse_hopeless
from maxwell.units import VACUUM_PERMEABILITY

SHIFT = 1e-6
"""Default mass shift ε in 1/m²: it changes B by about ε·2/π², and round-off in A grows by 1/ε only."""

QUADRATURE_DEGREE = 8
"""Degree of the rule for magnetisations that vary inside a cell."""

RULE = 6
"""Points along the radius of a sensor's ball; 2·6³ points in all."""


@dataclass(frozen=True)
class CurlTables:
    """Quadrature tables of the curls of Nédélec functions on some cells.

    points (c, q, 3) in m.  weights (c, q) in m³.  dofs (c, f).  curls (c, q, f, 3) in 1/m, oriented.
    """

    points: np.ndarray
    weights: np.ndarray
    dofs: np.ndarray
    curls: np.ndarray

    def __getitem__(self, keep) -> "CurlTables":
        return CurlTables(self.points[keep], self.weights[keep], self.dofs[keep], self.curls[keep])

    def element_loads(self, field: np.ndarray) -> np.ndarray:
        """∫ F·curl φ_f on each cell, for k vector fields F (c, q, 3, k) at the points: (c, f, k)."""
        c, q, f, _ = self.curls.shape
        weighted = self.weights[:, :, None, None] * field
        functions = self.curls.transpose(0, 2, 1, 3).reshape(c, f, 3 * q)
        return functions @ weighted.reshape(c, 3 * q, -1)

    def loads(self, field: np.ndarray, dofs: int) -> np.ndarray:
        """The same summed over the cells: (dofs, k)."""
        element = self.element_loads(field)
        return np.stack(
            [np.bincount(self.dofs.ravel(), element[..., k].ravel(), dofs) for k in range(field.shape[-1])],
            -1,
        )


def ball_rule(width: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) and weights (n,) of ∫ g f dx, g ∝ exp(−2ρ²) − exp(−2) in the ball ρ = |x|/width < 1, ∫g = 1.

    Gauss points along the radius and the polar angle, equidistant around the axis.  The rule has the symmetry of
    a brick, so B that is linear in x is averaged exactly.
    """
    t, radial = np.polynomial.legendre.leggauss(RULE)
    rho, cosine = (t + 1) / 2, t
    radial_weights = radial * rho**2 * (np.exp(-2 * rho**2) - np.exp(-2))
    angle = 2 * np.pi * (np.arange(2 * RULE) + 0.5) / (2 * RULE)
    sine = np.sqrt(1 - cosine**2)
    directions = np.stack(
        [np.outer(sine, np.cos(angle)), np.outer(sine, np.sin(angle)), np.outer(cosine, np.ones_like(angle))],
        -1,
    )
    points = width * rho[:, None, None, None] * directions
    weights = np.broadcast_to(radial_weights[:, None, None] * radial[:, None], points.shape[:-1])
    return points.reshape(-1, 3), weights.ravel() / weights.sum()


class SensorFields:
    """Adjoint fields of every datum of `Magnetisation` on one mesh, which turn any M into its data.

    Z (dofs, m) solves (curl Z, curl v) + ε(Z, v) = ∫ g_r e_i·curl v for v in H_0(curl), and
    d = μ0 ∫_D M·curl Z.  The matrix is symmetric positive definite; all arithmetic is real but for the solver's.

    shift : ε in 1/m².
    trace : the keys of `Response.info`, and `shift`; `reciprocity` is that of the sensors taken as sources, the
        symmetry of the matrix of their functionals and adjoint fields.
    Cost: one factorisation and m solves; then an M costs its quadrature and one product with Z.
    """

    def __init__(self, problem: Magnetisation, *, cells, degree, grading, cell, shift: float = SHIFT):
        began = time.perf_counter()
        self.problem, self.degree, self.shift = problem, degree, shift
        self.cells, self.grading, self.cell = cells, grading, cell
        self.mesh = _box(self.cells, degree, grading, cell, problem.parametrisation.planes)
        nedelec = NedelecSpace(self.mesh, degree)
        self.space, self.dofs = nedelec.space, nedelec.dofs
        corners = self.mesh.geometry.x[self.mesh.geometry.dofmaps[0]]
        self._low, self._high = corners.min(axis=1), corners.max(axis=1)
        self._locate = Locator(self.mesh)
        self.functionals = self._functionals()
        self.interior = np.setdiff1d(np.arange(self.dofs), self._boundary())
        solver = self._solver()
        solution, residual = solver.solve(self.functionals[self.interior])
        self.adjoints = np.zeros_like(self.functionals)
        self.adjoints[self.interior] = solution.real
        self.trace = {
            "method": f"adjoint fields by {solver.recipe.method}",
            "why": f"linear in the magnetisation; {solver.why}",
            "dofs": self.dofs,
            "residual": residual,
            "reciprocity": checks.reciprocity(self.functionals.T @ self.adjoints),
            "solves": self.functionals.shape[1],
            "iterations": solver.iterations,
            "shift": shift,
            "memory": solver.memory,
            "seconds": time.perf_counter() - began,
        }
        solver.close()

    @property
    def brick_edge(self) -> float:
        """Largest edge in m of a brick of the mesh in D."""
        inside = self.cells_within(*MAGNETISED_REGION)
        return float((self._high - self._low)[inside].max())

    @cached_property
    def magnetised(self) -> CurlTables:
        """Tables on the cells of D, for magnetisations that vary inside a cell."""
        return self.tabulate(self.cells_within(*MAGNETISED_REGION), QUADRATURE_DEGREE)

    @cached_property
    def gradient(self) -> sp.csr_array:
        """G (dofs, nodes): gradients of Lagrange functions that vanish on ∂Ω, as Nédélec unknowns.

        Every right-hand side b of the system obeys Gᵀb = 0, which makes the unshifted system solvable.
        """
        nodes = fem.functionspace(self.mesh, ("Lagrange", self.degree))
        matrix = dolfinx.fem.discrete_gradient(nodes, self.space).to_scipy()
        boundary = fem.locate_dofs_topological(nodes, 2, self._walls())
        keep = np.setdiff1d(np.arange(matrix.shape[1]), boundary)
        return sp.csr_array(sp.csr_array(matrix)[:, keep].real)

    def load(self, magnetisation: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """∫_D M·curl v by quadrature for M given at points, (n, 3) in m → (n, 3) in A/m: (dofs,)."""
        tables = self.magnetised
        values = np.asarray(magnetisation(tables.points.reshape(-1, 3)), dtype=float)
        return tables.loads(values.reshape(*tables.points.shape, 1), self.dofs)[:, 0]

    def observe(self, magnetisation: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Data (m,) in T of any magnetisation supported in D, given at points as for `load`."""
        return VACUUM_PERMEABILITY * (self.adjoints.T @ self.load(magnetisation))

    def flux_at(self, load: np.ndarray, x: np.ndarray) -> np.ndarray:
        """B = curl A in T at points x (n, 3) in m of Ω, of the magnetisation with this `load`: (n, 3).

        Cost: a factorisation, kept; then one right-hand side a call.
        """
        potential = np.zeros(self.dofs)
        solution, _ = self._factors.solve(VACUUM_PERMEABILITY * load[self.interior, None])
        potential[self.interior] = solution[:, 0].real
        tables = self.tabulate_at(x, np.ones(len(x)))
        return np.einsum("nfi,nf->ni", tables.curls[:, 0], potential[tables.dofs])

    @cached_property
    def _factors(self) -> SymmetricSolver:
        return self._solver()

    def _solver(self):
        return SymmetricSolver(sp.csr_array(self._matrix()[self.interior][:, self.interior]))

    def tabulate(self, cells: np.ndarray, degree: int) -> CurlTables:
        """Curls of the basis at the points of a rule of a degree on some cells."""
        points, weights = basix.make_quadrature(self.mesh.basix_cell(), degree)
        origin, jacobian, orientation = self._geometry(cells)
        x = origin[:, None] + np.einsum("cij,qj->cqi", jacobian, points)
        determinant = np.linalg.det(jacobian)
        curls = self._curls(
            np.tile(points, (len(cells), 1)),
            *(np.repeat(part, len(points), axis=0) for part in (jacobian, orientation)),
        )
        curls = curls.reshape(*x.shape[:2], -1, 3)
        return CurlTables(x, np.abs(determinant)[:, None] * weights, self.space.dofmap.list[cells], curls)

    def tabulate_at(self, x: np.ndarray, weights: np.ndarray) -> CurlTables:
        """Curls of the basis at given points (n, 3) with given weights (n,), each in the first cell that has it."""
        cells, local = self._locate(x)
        _, jacobian, orientation = self._geometry(cells)
        curls = self._curls(local, jacobian, orientation)
        return CurlTables(x[:, None], weights[:, None], self.space.dofmap.list[cells], curls[:, None])

    def _geometry(self, cells):
        """Origin (c, 3), Jacobian (c, 3, 3) with edges as columns, and orientation (c,) of affine cells."""
        corners = self.mesh.geometry.x[self.mesh.geometry.dofmaps[0][cells]]
        jacobian = np.swapaxes(corners[:, EDGES[self.cell]] - corners[:, :1], 1, 2)
        return corners[:, 0], jacobian, self.mesh.topology.get_cell_permutation_info()[cells]

    def _curls(self, local, jacobian, orientation):
        """Curls of the basis (n, f, 3) at a reference point in each of n cells."""
        points, where = np.unique(local, axis=0, return_inverse=True)
        _, dx, dy, dz = self.space.element.basix_element.tabulate(1, points)  # each (points, f, 3)
        reference = np.stack(
            [dy[..., 2] - dz[..., 1], dz[..., 0] - dx[..., 2], dx[..., 1] - dy[..., 0]], axis=-1
        )
        functions = reference.shape[1]
        curls = np.empty((len(local), functions, 3))
        piola = (
            np.swapaxes(jacobian, 1, 2) / np.linalg.det(jacobian)[:, None, None]
        )  # curl φ = J curl φ_ref / det J
        for kind in np.unique(orientation):
            transform = np.eye(functions)
            self.space.element.T_apply(transform.ravel(), np.array([kind], dtype=np.uint32), functions)
            members = np.flatnonzero(orientation == kind)
            curls[members] = transform @ reference[where.ravel()[members]] @ piola[members]
        return curls

    def cells_within(self, low, high):
        """Cells that lie in the box [low, high]."""
        slack = 1e-9
        return np.flatnonzero(((self._low >= low - slack) & (self._high <= high + slack)).all(axis=1))

    def _functionals(self):
        """∫ g_r e_i·curl v of every datum, (dofs, m)."""
        offsets, weights = ball_rule(self.problem.sensor_width)
        columns = []
        for centre in self.problem.sensor_positions:
            tables = self.tabulate_at(centre + offsets, weights)
            columns.append(tables.loads(np.broadcast_to(np.eye(3), (len(weights), 1, 3, 3)), self.dofs))
        return np.concatenate(columns, axis=1)

    def _walls(self):
        self.mesh.topology.create_connectivity(2, 3)
        return library_meshes.exterior_facet_indices(self.mesh.topology)

    def _boundary(self):
        return fem.locate_dofs_topological(self.space, 2, self._walls())

    def _matrix(self):
        u, v = ufl.TrialFunction(self.space), ufl.TestFunction(self.space)
        shift = fem.Constant(self.mesh, PETSc.ScalarType(self.shift))
        form = (ufl.inner(ufl.curl(u), ufl.curl(v)) + shift * ufl.inner(u, v)) * ufl.dx(
            degree=2 * self.degree
        )
        matrix = sp.csr_array(fem.assemble_matrix(compiled(form, self.mesh.comm)).to_scipy())
        matrix.sort_indices()
        return matrix


def _box(cells, degree, grading, cell, planes):
    """Ω in `cells` bricks along an edge, faces on the given planes, as a mesh of a kind of cells."""
    intervals = 1 + max(sum(abs(p) < HALF_EDGE for p in axis) for axis in planes)
    if isinstance(cells, bool) or not isinstance(cells, int | np.integer) or cells < intervals:
        raise MaxwellError(
            f"discretise: cells is {cells!r}; expected a whole number of at least {intervals}, for the faces of "
            "the magnetised cells must be faces of the mesh."
        )
    if not 0 <= grading <= 4:
        raise MaxwellError(f"discretise: grading is {grading!r}; expected a number from 0 (uniform) to 4.")
    if type(degree) is not int or degree not in (1, 2):
        raise MaxwellError(f"discretise: degree is {degree!r}; expected 1 or 2.")
    if cell not in meshes.CELLS:
        raise MaxwellError(f"discretise: cell is {cell!r}; expected one of {', '.join(meshes.CELLS)}.")
    refuse_hopeless(memory.nedelec_unknowns(cells, degree, cell), MPI.COMM_SELF)

    def to_unit(x):
        return (np.asarray(x) + HALF_EDGE) / (2 * HALF_EDGE)

    region, faces = to_unit(MAGNETISED_REGION), [to_unit(axis) for axis in planes]
    mesh = meshes.box(MPI.COMM_SELF, cells, grading, region, cell=cell, planes=faces)
    mesh.geometry.x[:] = HALF_EDGE * (2 * mesh.geometry.x - 1)
    return mesh
