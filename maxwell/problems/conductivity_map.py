"""The discretised conductivity problem: one refactorisation a sample, the exact Jacobian by reciprocity."""

import time
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from maxwell import memory, meshes, resolution
from maxwell.errors import MaxwellError
from maxwell.fem import CellTables, NedelecSpace, curl_curl_form
from maxwell.fenicsx import MPI, PETSc
from maxwell.forward import ForwardMap, Response
from maxwell.problems.conductivity import REGION_OF_INTEREST, Conductivity
from maxwell.solvers import BlockLowRank, Exact, SymmetricSolver, refuse_hopeless, summed


@dataclass(frozen=True)
class _Anomaly:
    """What a sample changes: tables on the changed cells that this rank owns, and m at their points."""

    tables: CellTables
    log_contrast: np.ndarray


@dataclass(frozen=True)
class _Solved:
    anomaly: _Anomaly
    fields: np.ndarray  # (dofs, K) solutions of A(θ) X = C, without the source factor; ghosts included
    observation: np.ndarray
    info: dict


class ConductivityMap(ForwardMap):
    """θ ↦ scattered data of `Conductivity` on one mesh.

    With A(θ) = A_0 + iκ ΔM(θ), where ΔM is the mass matrix weighted by σ̂(θ) − σ̂_0, X = A⁻¹C and X_0 = A_0⁻¹C
    for the patch functionals C, and s = −iκZ0, the data minus the background response are

        D = s Cᵀ(X − X_0) = −s X_0ᵀ (iκ ΔM) X,

    and the second form is used: it touches changed cells only and does not subtract nearly equal numbers.
    Jacobian by reciprocity (A symmetric, total fields E = sX, no conjugate), on the changed cells:

        ∂d_sr/∂θ_k = ∫ ∂σ/∂θ_k E_s·E_r dx,    ∂σ/∂θ_k = σ ∂m/∂θ_k.

    Cost per θ: one symmetric factorisation and K right-hand sides; the Jacobian adds K² p products
    over the changed cells and no solve.  The changed cells and their tables are what an exact update of a
    factorised background needs, so such a path can take the place of `_solve` behind the same methods.

    On several ranks each holds a part of the mesh, its rows of the matrix and of the fields; every rank must
    call with the same θ, and every rank gets all data and the whole Jacobian.
    """

    def __init__(
        self,
        problem: Conductivity,
        cells: int,
        degree: int,
        grading: float,
        cell: str,
        comm: MPI.Comm | None = None,
        recipe: Exact | BlockLowRank | None = None,
    ):
        if isinstance(cells, bool) or not isinstance(cells, int | np.integer) or cells < 2:
            raise MaxwellError(f"discretise: cells is {cells!r}; expected a whole number of at least 2.")
        if type(degree) is not int or degree not in (1, 2):
            raise MaxwellError(f"discretise: degree is {degree!r}; expected 1 or 2.")
        if not 0 <= grading <= 4:
            raise MaxwellError(
                f"discretise: grading is {grading!r}; expected a number from 0 (uniform) to 4."
            )
        self.problem = problem
        self.cells, self.degree, self.grading, self.cell = int(cells), degree, grading, cell
        planes = problem.parametrisation.planes
        self.comm = MPI.COMM_SELF if comm is None else comm
        refuse_hopeless(memory.nedelec_unknowns(self.cells, degree, cell), self.comm)
        mesh = meshes.box(self.comm, self.cells, grading, REGION_OF_INTEREST, cell=cell, planes=planes)
        self.space = NedelecSpace(mesh, degree)
        width = self.comm.allreduce(self.space.cell_widths.max(), MPI.MAX)
        for scaling in problem.scalings:
            resolution.check_background(scaling, problem.background, problem.permittivity, width, degree)
        scaling = problem.scaling
        self._background = self.space.distributed(
            curl_curl_form(
                self.space,
                scaling.wavenumber_squared(problem.background, problem.permittivity),
                1j * scaling.wavenumber,
            )
        )
        self._functionals = self.space.patch_functionals(problem.survey)  # (owned, K)
        self._solver = SymmetricSolver(self._background, recipe)
        fields, self._background_residual = self._solver.solve(self._functionals)
        self._background_fields = self.space.with_ghosts(fields)
        self._region = self._tabulate(*REGION_OF_INTEREST)

    def __repr__(self):
        return (
            f"ConductivityMap({self.problem!r}, cells={self.cells}, degree={self.degree}, "
            f"grading={self.grading}, cell={self.cell!r}: "
            f"{self.dofs} dofs, {self.unknowns} unknowns, {self.observations} data)"
        )

    @property
    def dofs(self) -> int:
        """Unknowns of the field."""
        return self.space.dofs

    @property
    def unknowns(self) -> int:
        """p, the length of θ."""
        return len(self.problem.parameters)

    @property
    def observations(self) -> int:
        """m, the number of data."""
        return self.problem.survey.size**2

    @property
    def background_response(self) -> np.ndarray:
        """Data of the background alone, Cᵀ s X_0, flattened source-major: (m,) complex128, V/m."""
        response = summed(self.comm, self._functionals.T @ self._background_fields[: self.space.owned])
        return self.problem.scaling.current * response.T.ravel()

    def solve(self, theta) -> Response:
        """Scattered data (m,) in V/m for θ (p,), with the trace described in `Response`."""
        solved = self._solve(theta)
        return Response(solved.observation, solved.info)

    def linearise(self, theta) -> tuple[np.ndarray, np.ndarray]:
        """Scattered data (m,) and Jacobian (m, p) in V/m per unit of θ."""
        solved = self._solve(theta)
        tables = solved.anomaly.tables
        _, slopes = self.problem.parametrisation.linearise(theta, tables.points)
        fields = self.problem.scaling.current * tables.field(solved.fields)  # (c, q, 3, K)
        density = self.problem.background * np.exp(solved.anomaly.log_contrast) * tables.weights
        flat = fields.reshape(-1, fields.shape[-1])
        jacobian = np.empty((self.observations, self.unknowns), dtype=complex)
        for k, slope in enumerate(slopes):
            weighted = np.repeat((density * slope).ravel(), 3)[:, None] * flat
            jacobian[:, k] = (flat.T @ weighted).ravel()
        return solved.observation, summed(self.comm, jacobian)

    def fields(self, theta) -> np.ndarray:
        """Unknowns of the total fields E of all sources in V/m, (dofs, K) complex128, refactorised.

        Column s belongs in a `Function` of `space.space`.  On several ranks the rows that the rank's cells
        use: those that it owns, then ghosts.
        """
        return self.problem.scaling.current * self._solve(theta).fields

    def _solve(self, theta) -> _Solved:
        began = time.perf_counter()
        theta = self.problem.parametrisation.check(theta)
        anomaly = self._anomaly(theta)
        scaling = self.problem.scaling
        blocks = self._update(anomaly)
        self._load(anomaly, blocks)
        self._solver.factorise()
        fields, residual = self._solver.solve(self._functionals)
        fields = self.space.with_ghosts(fields)
        dofs = anomaly.tables.dofs
        contracted = _contract(self._background_fields[dofs], blocks, fields[dofs])
        scattered = -1j * scaling.current * summed(self.comm, contracted)  # (receiver, source)
        size = np.abs(scattered).max()
        info = {
            "method": f"refactorise, {self._solver.recipe.method}",
            "why": self._solver.why,
            "dofs": self.dofs,
            "residual": residual,
            "reciprocity": float(np.abs(scattered - scattered.T).max() / size) if size else 0.0,
            "solves": fields.shape[1],
            "iterations": self._solver.iterations,
            "memory": self._solver.memory,
            "seconds": time.perf_counter() - began,
        }
        return _Solved(anomaly, fields, scattered.T.ravel(), info)

    def matrix(self, theta) -> sp.csr_array:
        """The system matrix A(θ), (dofs, dofs) complex symmetric CSR, as it is factorised; on one process."""
        anomaly = self._anomaly(self.problem.parametrisation.check(theta))
        self._load(anomaly, self._update(anomaly))
        return self._solver.matrix

    def _update(self, anomaly: _Anomaly) -> np.ndarray:
        """Imaginary part of A(θ) − A_0 on each changed cell, κ ∫ (σ̂ − σ̂_0) φ_i·φ_j: (c, f, f) real."""
        scaling = self.problem.scaling
        change = scaling.conductivity(self.problem.background) * np.expm1(anomaly.log_contrast)
        return scaling.wavenumber * anomaly.tables.mass(change)

    def _load(self, anomaly: _Anomaly, blocks: np.ndarray) -> None:
        """Make the solver's matrix A(θ): the background plus i times the blocks of the changed cells."""
        matrix, dofs = self._solver.mat, anomaly.tables.dofs
        self._background.copy(matrix, structure=PETSc.Mat.Structure.SAME_NONZERO_PATTERN)
        rows, functions = dofs.size, dofs.shape[1]
        matrix.setValuesLocalIJV(
            np.arange(rows + 1, dtype=PETSc.IntType) * functions,
            np.repeat(dofs, functions, axis=0).ravel(),
            1j * blocks.ravel(),
            addv=True,
            rowmap=dofs.ravel(),
        )
        matrix.assemble()

    def _anomaly(self, theta) -> _Anomaly:
        low, high = self.problem.parametrisation.support(theta)
        if (low < 0).any() or (high > 1).any():
            ball = int(np.flatnonzero((low < 0).any(axis=1) | (high > 1).any(axis=1))[0])
            raise MaxwellError(
                f"Ball {ball + 1} of theta {theta.tolist()} reaches from {low[ball].round(3).tolist()} to "
                f"{high[ball].round(3).tolist()} m, transition included; expected it inside the "
                "box (0, 1 m)^3; move it or make it smaller."
            )
        tables = self._region
        inside = (low >= REGION_OF_INTEREST[0]).all() and (high <= REGION_OF_INTEREST[1]).all()
        if not inside:
            tables = self._tabulate(low.min(axis=0), high.max(axis=0))
        log_contrast = self.problem.parametrisation.evaluate(theta, tables.points)
        changed = np.flatnonzero((log_contrast != 0).any(axis=1))
        anomaly = _Anomaly(tables[changed], log_contrast[changed])
        depth = min(s.skin_depth(self.problem.background) for s in self.problem.scalings)
        depths = depth * np.exp(-anomaly.log_contrast.max(axis=1) / 2)
        cells_per_depth = (depths / self.space.cell_widths[anomaly.tables.cells]).min(initial=np.inf)
        resolution.check_anomaly(self.comm.allreduce(float(cells_per_depth), MPI.MIN), self.degree)
        return anomaly

    def _tabulate(self, low, high) -> CellTables:
        cells = self.space.cells_in(low, high)
        return self.space.tabulate(cells[cells < self.space.mesh.topology.index_map(3).size_local])


def _contract(left, blocks, right):
    """Σ_c leftᵀ_c B_c right_c for left (c, f, K), blocks (c, f, f), right (c, f, K): (K, K), no conjugate."""
    product = np.matmul(blocks, right)
    return np.tensordot(left, product, axes=((0, 1), (0, 1)))
