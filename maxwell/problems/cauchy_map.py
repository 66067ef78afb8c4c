"""The discretised Cauchy problem: one factorisation, one block of right-hand sides, and then a matrix."""

import time

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg

from maxwell import memory, meshes
from maxwell.errors import MaxwellError
from maxwell.fem import NedelecSpace
from maxwell.fenicsx import MPI, PETSc, compiled, fem, ufl
from maxwell.fenicsx import mesh as fenicsx_mesh
from maxwell.forward import LinearForwardMap
from maxwell.numbers import vector_of
from maxwell.problems.cauchy import Cauchy
from maxwell.problems.on_mesh import describe, values
from maxwell.problems.points import points_in
from maxwell.solvers import SymmetricSolver, refuse_hopeless
from maxwell.units import VACUUM_IMPEDANCE

RESOLUTION = 6
"""Least number of cells in a wavelength times the degree of the elements.

At the limit the transfer factor of the highest of 40 modes at a depth of 0.5 m is wrong by 0.6 at degree 1 and by
0.05 at degree 2, and its error falls from there with the power 2·degree of the cell.  A skin depth counts as a
wavelength over 2π.
"""

BOTTOM, TOP = 1, 2  # tags of the faces z = 0 and z = L


class CauchyMap(LinearForwardMap):
    """θ ↦ d = T θ of `Cauchy` on one mesh: modes of g on z = 0 to modes of E_T on z = L.

    With A the matrix of the weak form, f the free unknowns and b those of the face z = 0, C_0 and C_L the
    functionals ∫ e_k·φ on the two faces, and M the tangential mass matrix of the face z = 0,

        G = M_bb⁻¹ C_0  (best approximation of the modes in L2),    X = −A_ff⁻¹ A_fb G,    T = C_Lᵀ X.

    Solved along with it: W = A_ff⁻¹ C_L, the fields of currents e_k on z = L while z = 0 is a perfect conductor.
    Reciprocity (A symmetric) says T = −Wᵀ A_fb G: the current that such a field drives through z = 0, measured
    by e_j, is the voltage that e_j on z = 0 gives on z = L.  Its violation stands in `trace`.

    Attributes: `problem`, `cells`, `degree`, `grading`, `cell`, `space`; `base` and `free`, the numbers of the
    unknowns b and f (the rest lies on conductors); `fields` (dofs, modes), the unknowns of each mode's field.
    The trace has the keys of `Response.info` and `leakage`, max |T − diag T| / max |T|, zero in the closed form.
    """

    def __init__(self, problem: Cauchy, cells: int, degree: int, grading: float, cell: str):
        began = time.perf_counter()
        if isinstance(cells, bool) or not isinstance(cells, int | np.integer) or cells < 2:
            raise MaxwellError(f"discretise: cells is {cells!r}; expected a whole number of at least 2.")
        if type(degree) is not int or degree not in (1, 2):
            raise MaxwellError(f"discretise: degree is {degree!r}; expected 1 or 2.")
        if not 0 <= grading <= 4:
            raise MaxwellError(
                f"discretise: grading is {grading!r}; expected a number from 0 (uniform) to 4."
            )
        if cell not in meshes.CELLS:
            raise MaxwellError(f"discretise: cell is {cell!r}; expected one of {sorted(meshes.CELLS)}.")
        self.problem, self.cells, self.degree, self.grading, self.cell = problem, cells, degree, grading, cell
        layers = max(2, int(np.ceil(cells * problem.depth - 1e-9)))
        refuse_hopeless(_unknowns(cells, layers, degree, cell), MPI.COMM_SELF)
        along = problem.depth * meshes.line(layers, 0.0, 0.2, grading)
        _resolved(problem, max(1 / cells, np.diff(along).max()), cells, degree)
        self.space = NedelecSpace(_box(cells, along, cell), degree)
        self._tag()
        self._matrix = self._assemble()
        free, base = self.free, self.base
        bottom, top = self._functionals(BOTTOM), self._functionals(TOP)
        mass = sp.csc_array(self._tangential_mass(BOTTOM)[base][:, base].real)
        boundary = scipy.sparse.linalg.splu(mass).solve(bottom[base])
        lifted = -(self._matrix[free][:, base] @ boundary)
        solver = SymmetricSolver(sp.csr_array(self._matrix[free][:, free]))
        solution, residual = solver.solve(np.hstack([lifted, top[free]]))
        self._trace = {
            "method": f"{solver.recipe.method} once, then a product a sample",
            "why": f"linear in the field on z = 0; {solver.why}",
            "dofs": self.dofs,
            "residual": residual,
            "solves": solution.shape[1],
            "iterations": solver.iterations,
            "memory": solver.memory,
        }
        solver.close()
        self.fields = np.zeros((self.dofs, problem.modes), dtype=np.complex128)
        self.fields[base] = boundary
        self.fields[free] = solution[:, : problem.modes]
        self._transfer = top.T @ self.fields
        self._transfer.flags.writeable = False  # handed out without a copy
        exchanged = solution[:, problem.modes :].T @ lifted
        size = np.abs(self._transfer).max()
        leakage = self._transfer - np.diag(np.diag(self._transfer))
        self._trace |= {
            "reciprocity": float(np.abs(exchanged - self._transfer).max() / size),
            "leakage": float(np.abs(leakage).max() / size),
            "seconds": time.perf_counter() - began,
        }

    def __repr__(self):
        return (
            f"CauchyMap({self.problem!r}, cells={self.cells}, degree={self.degree}, grading={self.grading}, "
            f"cell={self.cell!r}: {self.dofs} dofs)"
        )

    @property
    def dofs(self) -> int:
        """Unknowns of the field, those on the conductors included."""
        return self.space.dofs

    @property
    def discretisation(self) -> dict:
        """As in `ForwardMap`."""
        return describe(self.space.space, self.grading)

    @property
    def matrix(self) -> np.ndarray:
        """T (modes, modes) complex128, dimensionless; nearly diagonal, not to be written to."""
        return self._transfer

    @property
    def trace(self) -> dict:
        """How T was had; see the class."""
        return self._trace

    def check(self, theta) -> np.ndarray:
        """Return θ as a finite complex128 array of shape (modes,), or say what is wrong with it."""
        return self.problem.reference.modes.check(theta)

    def vjp(self, theta, covector) -> np.ndarray:
        """Tᴴ w for w (modes,): (modes,) complex128, for real θ too, as the unknowns are complex."""
        self.check(theta)
        return self.matrix.conj().T @ vector_of(covector, len(self.matrix), "vjp: covector")

    def field(self, theta):
        """E in V/m as a DOLFINx function on `space.mesh`."""
        made = fem.Function(self.space.space)
        made.x.array[:] = self.fields @ self.check(theta)
        return made

    def evaluate(self, theta, x) -> np.ndarray:
        """E at points x (..., 3) in m inside the box, its faces included: (..., 3) complex128 in V/m."""
        return self._at(theta, np.reshape(x, (-1, 3)), "evaluate").reshape(np.shape(x))

    def fields_at(self, theta, x) -> np.ndarray:
        """E in V/m at points x (n, 3) in m of the box, its faces included: (1, n, 3) complex128.

        Approximates `problem.reference.field(θ, x)` to the order of the element.  Cost: one product with `fields`;
        no solve.  Raises MaxwellError for points outside the box.
        """
        return self._at(theta, x, "fields_at")

    def _at(self, theta, x, what):
        points = points_in(self.problem.region, x, what)
        return values(self.space.space, (self.fields @ self.check(theta))[:, None], points)

    def powers(self, theta) -> dict[str, float]:
        """Time-averaged powers in W: `input` through z = 0, `loss` in the medium, `output` through z = L.

            input = Im⟨−n × curl E, E_T⟩_{z=0} / 2κZ0,   loss = ∫ σ|E|²/2,   output = ∫_{z=L} |E_T|² / 2Z0

        Poynting's theorem, input = loss + output, holds exactly for the discrete field, as input is taken from
        the residual of the weak form at the unknowns of z = 0, and the others from integrals of the field.
        """
        field = self.field(theta)
        values = field.x.array[self.base]
        flux = np.vdot(values, self._matrix[self.base] @ field.x.array)
        trace = ufl.cross(ufl.FacetNormal(self.space.mesh), field)
        rule = {"quadrature_degree": 2 * self.degree}
        squares = [ufl.inner(field, field) * ufl.dx(metadata=rule), ufl.inner(trace, trace) * self._ds(TOP)]
        volume, surface = (
            fem.assemble_scalar(compiled(square, self.space.mesh.comm)).real for square in squares
        )
        return {
            "input": float(flux.imag / (2 * self.problem.wavenumber * VACUUM_IMPEDANCE)),
            "loss": float(self.problem.loss * volume / (2 * VACUUM_IMPEDANCE)),
            "output": float(surface / (2 * VACUUM_IMPEDANCE)),
        }

    def _tag(self):
        """Measure the two open faces apart, and sort the unknowns: on z = 0, on conductors, free."""
        mesh, depth = self.space.mesh, self.problem.depth
        mesh.topology.create_connectivity(2, 3)
        # One plane at a time: a facet of z = 0 that cuts a corner has all its nodes on walls, but on two of them.
        bottom, top, *walls = (
            fenicsx_mesh.locate_entities_boundary(mesh, 2, lambda x, a=axis, c=place: np.isclose(x[a], c))
            for axis, place in ((2, 0), (2, depth), (0, 0), (0, 1), (1, 0), (1, 1))
        )
        facets = np.concatenate([bottom, top])
        values = np.repeat(np.array([BOTTOM, TOP], dtype=np.int32), [len(bottom), len(top)])
        order = np.argsort(facets)
        tags = fenicsx_mesh.meshtags(mesh, 2, facets[order], values[order])
        self._ds = ufl.Measure(
            "ds", mesh, subdomain_data=tags, metadata={"quadrature_degree": 2 * self.degree}
        )
        on_walls, on_bottom = (
            fem.locate_dofs_topological(self.space.space, 2, found)
            for found in (np.unique(np.concatenate(walls)), bottom)
        )
        self.base = np.setdiff1d(on_bottom, on_walls)
        self.free = np.setdiff1d(np.arange(self.dofs), np.union1d(on_bottom, on_walls))

    def _assemble(self) -> sp.csr_array:
        """The matrix of the weak form on all unknowns, complex symmetric (dofs, dofs)."""
        mesh, space = self.space.mesh, self.space.space
        u, v, n = ufl.TrialFunction(space), ufl.TestFunction(space), ufl.FacetNormal(mesh)
        k2 = fem.Constant(mesh, PETSc.ScalarType(self.problem.wavenumber_squared))
        impedance = fem.Constant(mesh, PETSc.ScalarType(1j * self.problem.wavenumber))
        dx = ufl.dx(metadata={"quadrature_degree": 2 * self.degree})
        return self.space.assemble(
            ufl.inner(ufl.curl(u), ufl.curl(v)) * dx
            - k2 * ufl.inner(u, v) * dx
            + impedance * ufl.inner(ufl.cross(n, u), ufl.cross(n, v)) * self._ds(TOP)
        )

    def _tangential_mass(self, tag: int) -> sp.csr_array:
        u, v = ufl.TrialFunction(self.space.space), ufl.TestFunction(self.space.space)
        n = ufl.FacetNormal(self.space.mesh)
        return self.space.assemble(ufl.inner(ufl.cross(n, u), ufl.cross(n, v)) * self._ds(tag))

    def _functionals(self, tag: int) -> np.ndarray:
        """∫ e_k·φ over a face for every mode and basis function: (dofs, modes)."""
        mesh, modes = self.space.mesh, self.problem.reference.modes
        x = ufl.SpatialCoordinate(mesh)
        a, b, p, q = (fem.Constant(mesh, PETSc.ScalarType(0)) for _ in range(4))
        e = ufl.as_vector(
            [a * ufl.cos(p * x[0]) * ufl.sin(q * x[1]), b * ufl.sin(p * x[0]) * ufl.cos(q * x[1]), 0 * x[0]]
        )
        rule = {"quadrature_degree": 10}  # rounding error for the modes that a mesh resolves
        form = compiled(
            ufl.inner(e, ufl.TestFunction(self.space.space)) * self._ds(tag, metadata=rule), mesh.comm
        )
        columns = np.empty((self.dofs, modes.count))
        for k, (amplitudes, m, n) in enumerate(zip(modes.amplitudes, modes.m, modes.n, strict=True)):
            a.value, b.value = amplitudes
            p.value, q.value = np.pi * m, np.pi * n
            columns[:, k] = fem.assemble_vector(form).array.real
        return columns


def _unknowns(cells: int, layers: int, degree: int, cell: str) -> int:
    """Unknowns of cells² bricks a layer within 7 %, from those of a cube: some lie inside layers, some between."""
    return round(memory.nedelec_unknowns(cells, degree, cell) * (layers + 0.5) / (cells + 0.5))


def _box(cells: int, along: np.ndarray, cell: str):
    """(0, 1 m)² × (0, L) in cells² bricks a layer, with layers between the heights `along` in m."""
    layers, depth = len(along) - 1, along[-1]
    kind = getattr(fenicsx_mesh.CellType, cell)
    mesh = fenicsx_mesh.create_box(MPI.COMM_SELF, [[0, 0, 0], [1, 1, depth]], [cells, cells, layers], kind)
    mesh.geometry.x[:, 2] = along[np.rint(mesh.geometry.x[:, 2] / depth * layers).astype(int)]
    return mesh


def _resolved(problem: Cauchy, size: float, cells: int, degree: int) -> None:
    """Refuse a mesh whose largest cell, of `size` in m, is too large for the fields of the problem."""
    modes, wave = problem.reference.modes, np.sqrt(problem.wavenumber_squared)
    highest = int(np.argmax(modes.wavenumbers))
    lengths = {
        f"mode {modes.names[highest]} has a wavelength": (modes.wavenumbers[highest], 2 * np.pi),
        "the medium has a skin depth": (abs(wave.imag), 1.0),
        "the medium has a wavelength": (abs(wave.real), 2 * np.pi),
    }
    for what, (rate, unit) in lengths.items():
        needed = RESOLUTION / degree * unit / (2 * np.pi)
        if rate * size * needed > unit * (1 + 1e-9):
            enough = int(np.ceil(cells * rate * size * needed / unit - 1e-9))
            raise MaxwellError(
                f"discretise: {what} of {unit / rate:.3g} m, and the mesh has {unit / rate / size:.2g} cells in "
                f"it; expected at least {needed:.2g} at degree {degree}: take cells={enough} or more"
                f"{', fewer modes' if what.startswith('mode') else ''}{' or degree=2' if degree == 1 else ''}."
            )
