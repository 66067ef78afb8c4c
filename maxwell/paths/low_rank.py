"""Exact update of a factorised background: a sample costs a few products with a small dense block.

The law.  Let A(θ) = A_0 + iPΔPᵀ with Δ (n, n) the real symmetric change on the n unknowns of the changed cells,
G = PᵀA_0⁻¹P and x_0 = PᵀA_0⁻¹C for the functionals C (a column a source).  Then (Woodbury)

    (I + iGΔ) x = x_0,        CᵀA(θ)⁻¹C − CᵀA_0⁻¹C = −i x_0ᵀΔx,

with x the fields on the changed cells.  G is cut out of Green's block of a region that holds every sample,
computed once from N right-hand sides, N the unknowns of the region.

Quasi-static splitting.  On gradients Tφ of potentials the background is known: TᵀA_0T = s_0 (K + ρK_∂) nearly, with
s_0 = −k_c², K the stiffness of the potentials, K_∂ that of their boundary values and ρ = Re(iκ/s_0).  With its
inverse L, a real matrix on the nodes of the region,

    G = T L Tᵀ/s_0 + G_s,

defines G_s.  It holds what induction adds and is some fifty times smaller than G (it falls with
(length/skin depth)²), so single precision suffices to store it and to multiply with it.

The solver.  M⁻¹ = (I + iTLTᵀΔ/s_0)⁻¹ is a scalar problem on the nodes of the changed cells, and

    (I + iM⁻¹G_sΔ) x = M⁻¹x_0

is close to the identity whatever the contrast.  A block Krylov method of least squares solves it for all sources at
once; each block holds the directions of the residual that still matter, some 32 and then 12.  With the
residual R = x_0 − (I + iGΔ)x the data are corrected by its product with the dual solution, which by symmetry is Δx:

    x_0ᵀΔx + (Δx)ᵀR,    wrong by δᵀΔR = O(R²), with δ the error of x; ‖RᵀΔR‖ estimates it.

Cost a sample: about 45 products with G_s in single precision, 8·45·n² flops, and a factorisation of the
(n/4)² matrix of the potentials.  Cost before: N right-hand sides of the background, N²·8 bytes.

Sources: Hager, SIAM Review 31 (1989) 221, for the update; Pierce and Giles, SIAM Review 42 (2000) 247, for the
correction; the quasi-static splitting is ours.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from maxwell.errors import AccuracyError
from maxwell.paths.background import Answer, Background, Change
from maxwell.paths.blocks import Blocks
from maxwell.paths.least_squares import BlockLeastSquares, leading
from maxwell.paths.potentials import potentials
from maxwell.solvers import SymmetricSolver

ROWS = 512
"""Rows of Green's block that are computed and written at once."""

DATA_ERROR = 2e-9
"""Largest estimated relative error of the data that is handed on."""

FIELD_RESIDUAL = {False: 3e-5, True: 1e-9}
"""Relative residual at which the Krylov method stops, by whether fields themselves are asked for."""

DOUBLE = 2500
"""Unknowns of a region up to which G_s is kept in double precision, for it is small then (100 MB)."""

MOST_BLOCKS = 12
"""Krylov blocks after which the update is given up; two to four are usual."""


class LowRankUpdate:
    """The exact update of a `Background` for changes inside a region; see the module.

    cell_dofs (C, f) : unknowns of the region's cells, to whose rows `Change.cells` refers.
    region_cells (C,) : their numbers in the mesh.  blocks : where the precomputed arrays live.

    Raises MaxwellError when they do not fit; `solve` raises AccuracyError when it does not converge.
    """

    def __init__(self, background: Background, region_cells, cell_dofs, blocks: Blocks):
        space = background.space
        self._scale = background.wavenumber_squared * -1
        rho = (1j * background.scaling.wavenumber / self._scale).real
        dofs, cell_rows = np.unique(cell_dofs, return_inverse=True)
        gradient, stiffness, cell_nodes = potentials(space, rho)
        cell_nodes = cell_nodes[region_cells]
        nodes, cell_nodes_local = np.unique(cell_nodes, return_inverse=True)
        self._cell_rows = cell_rows.reshape(cell_dofs.shape)
        self._cell_nodes = cell_nodes_local.reshape(cell_nodes.shape)
        self._gradient = gradient[dofs][:, nodes].tocsr()
        self._incident = background.fields[dofs]
        self._cell_gradients = np.stack(
            [gradient[d][:, v].toarray() for d, v in zip(cell_dofs, cell_nodes, strict=True)]
        )
        shapes = {
            "potential": ((len(nodes), len(nodes)), np.float64),
            "green": ((len(dofs), len(dofs)), np.complex128 if len(dofs) <= DOUBLE else np.complex64),
        }

        def compute(arrays):
            arrays["potential"][:] = _potential(stiffness, nodes)
            _green(background, dofs, self._gradient, arrays["potential"], self._scale, arrays["green"])

        self.columns = self.columns_of(cell_dofs)
        arrays = blocks.get("low_rank", shapes, compute)
        self._potential, self._green = arrays["potential"], arrays["green"]
        self.memory = sum(array.nbytes for array in arrays.values()) / 1e6

    @staticmethod
    def columns_of(cell_dofs) -> int:
        """Right-hand sides of the background that the preparation takes: N, the unknowns of the region."""
        return len(np.unique(cell_dofs))

    @staticmethod
    def flops(changed: float) -> float:
        """Operations a sample that changes n unknowns, those in single precision counted half."""
        return 4 * 45 * changed**2 + 8 / 3 * (changed / 4) ** 3

    def solve(self, change: Change, *, accurate: bool) -> Answer:
        """Fields on the changed cells; `accurate` when the fields are wanted and not the data alone."""
        if not len(change.cells):
            return self._nothing(change)
        single = not accurate and self._green.dtype == np.complex64
        return self._krylov(
            self._system(change, np.float32 if single else np.float64), FIELD_RESIDUAL[accurate]
        )

    def _nothing(self, change):
        """The answer for a sample that changes no cell."""
        sources = self._incident.shape[1]
        info = {
            "method": "low-rank update",
            "why": "no unknown changes",
            "iterations": 0,
            "memory": self.memory,
        }
        none = np.zeros((0, sources), complex)
        return Answer(none, change.dofs, np.zeros((sources, sources), complex), 0.0, {**info, "error": 0.0})

    def _system(self, change, real):
        """The parts of the region's blocks that a sample concerns; `real` is the Krylov method's precision."""
        cells = change.cells
        rows, index = _compressed(self._cell_rows[cells], len(self._incident))
        nodes, node_index = _compressed(self._cell_nodes[cells], len(self._potential))
        n, v = len(rows), len(nodes)
        blocks, gradients = change.blocks, self._cell_gradients[cells]
        loads = np.matmul(gradients.transpose(0, 2, 1), blocks)  # TᵀΔ cell by cell
        stiffness = np.matmul(loads, gradients)
        flat = (node_index[:, :, None] * v + node_index[:, None, :]).ravel()
        added = np.bincount(flat, stiffness.ravel(), v * v).reshape(v, v).astype(real)
        exact = _Operators(
            delta=_summed_blocks(index, index, blocks, (n, n)),
            potential=_cut(self._potential, nodes),
            gradient=_rows(self._gradient, rows, nodes),
        )
        return _System(
            index,
            self._incident[rows],
            exact,
            exact.rounded(real),
            _summed_blocks(node_index, index, loads.astype(real), (v, n)),
            _cut(self._green, rows, lower=True),
            n == len(self._incident),
            added,
            1j / self._scale,
        )

    def _krylov(self, system, goal):
        """Block least squares over the growing space of preconditioned residuals."""
        x0 = system.incident
        start = system.precondition(x0.astype(system.dtype))
        size = np.linalg.norm(start)
        space = BlockLeastSquares(start)
        for _ in range(MOST_BLOCKS):
            basis = leading(space.residual, 0.5 * goal * size)
            induced = system.induce(basis)
            space.add(basis, induced, basis + system.precondition(induced))
            if np.linalg.norm(space.residual) > goal * size:
                continue
            fields, induced = space.solution()
            changed = system.exact.change(fields)
            left = x0 - fields - induced - system.factor * system.exact.quasi_static(changed)
            contracted = x0.T @ changed + changed.T @ left
            error = system.weight(left) / (np.linalg.norm(contracted) or 1.0)
            if error <= DATA_ERROR:
                break
            goal /= 4
        else:
            raise AccuracyError(
                f"the low-rank update has not converged after {MOST_BLOCKS} blocks, where two to four are usual"
            )
        info = {
            "method": "low-rank update",
            "why": f"{len(x0)} of {len(self._incident)} unknowns of the region change",
            "iterations": space.blocks,
            "memory": self.memory,
            "error": float(error),
        }
        residual = float(np.linalg.norm(left) / np.linalg.norm(x0))
        return Answer(fields, system.index, contracted, residual, info)


@dataclass(frozen=True)
class _Operators:
    """Real matrices of a sample with n unknowns and v nodes, in one precision; they act on complex (·, k)."""

    delta: sp.csr_array  # Δ (n, n), entries of cells side by side and not yet summed
    potential: np.ndarray  # L (v, v)
    gradient: sp.csr_array  # T (n, v)

    def rounded(self, real) -> "_Operators":
        """The same in another precision."""
        if real == self.potential.dtype:
            return self
        return _Operators(self.delta.astype(real), self.potential.astype(real), self.gradient.astype(real))

    def change(self, x):
        """Δx."""
        return _complex(self.delta @ _real(x))

    def quasi_static(self, changed):
        """TLTᵀΔx, given Δx."""
        return _complex(self.gradient @ (self.potential @ (self.gradient.T @ _real(changed))))


class _System:
    """A sample's equation: exact operators for what is handed on, rounded ones for the Krylov method.

    load : TᵀΔ (v, n).  green : G_s (n, n), its lower triangle alone unless `whole`.  added : TᵀΔT (v, v).
    factor : i/s_0.
    """

    def __init__(self, index, incident, exact, rounded, load, green, whole, added, factor):
        self.index, self.incident, self.exact, self._rounded = index, incident, exact, rounded
        self.factor = factor
        self.dtype = np.result_type(rounded.potential.dtype, np.complex64)
        self._load, self._green, self._whole, self._factor = load, green, whole, self.dtype.type(factor)
        static = self._factor * (rounded.potential @ added)
        static.ravel()[:: len(static) + 1] += 1
        single = self.dtype == np.complex64
        lapack = scipy.linalg.lapack
        factorise, self._substitute = (
            (lapack.cgetrf, lapack.cgetrs) if single else (lapack.zgetrf, lapack.zgetrs)
        )
        # Of the transpose, which is Fortran-ordered; `precondition` solves with its transpose.
        self._factors = factorise(static.T, overwrite_a=True)[:2]

    def weight(self, left):
        """‖RᵀΔR‖ for a residual R, as an estimate needs it."""
        rounded = left.astype(self.dtype)
        return np.linalg.norm(rounded.T @ self._rounded.change(rounded))

    def induce(self, x):
        """iG_sΔx, the product with G_s in its own precision."""
        changed = self._rounded.change(x).astype(self._green.dtype, copy=False)
        if self._whole:
            return self.dtype.type(1j) * (self._green @ changed).astype(self.dtype, copy=False)
        single = self._green.dtype == np.complex64
        multiply = scipy.linalg.blas.csymm if single else scipy.linalg.blas.zsymm
        # Of the lower triangle in C order, which is the upper one of the transpose in Fortran's.
        return multiply(1j, self._green.T, changed, lower=0).astype(self.dtype, copy=False)

    def precondition(self, x):
        """M⁻¹x = x − T (I + iLTᵀΔT/s_0)⁻¹ (i/s_0) L TᵀΔx."""
        load = self._factor * _complex(self._rounded.potential @ (self._load @ _real(x)))
        potentials = self._substitute(*self._factors, load, trans=1)[0]
        return x - _complex(self._rounded.gradient @ _real(potentials))


def _real(x):
    """Complex (n, k) as real (n, 2k)."""
    return np.ascontiguousarray(x).view(x.real.dtype)


def _complex(x):
    """Real (n, 2k) as complex (n, k)."""
    return x.view(np.result_type(x.dtype, np.complex64))


def _potential(stiffness, nodes):
    """(K + ρK_∂)⁻¹ on some nodes (v, v), one node outside them held at zero: only differences matter."""
    outside = np.setdiff1d(np.arange(stiffness.shape[0]), nodes)[:1]
    free = np.setdiff1d(np.arange(stiffness.shape[0]), outside)
    solver = SymmetricSolver(sp.csr_array(stiffness[free][:, free]).astype(complex))
    place = np.searchsorted(free, nodes)
    inverse = solver.inverse(place, place).real
    solver.close()
    return inverse


def _green(background, dofs, gradient, potential, scale, out):
    """G − T L Tᵀ/s_0 on the region, written row by row (it is symmetric)."""
    smooth = np.ascontiguousarray((gradient @ potential).T)  # L Tᵀ, (v, N)
    solver = background.restore()
    for first in range(0, len(dofs), ROWS):
        rows = slice(first, first + ROWS)
        out[rows] = solver.inverse(dofs, dofs[rows]).T - (gradient[rows] @ smooth) / scale


def _compressed(numbers, size):
    """Sorted distinct numbers, and for each number its place among them."""
    present = np.zeros(size, dtype=bool)
    present[numbers] = True
    kept = np.flatnonzero(present)
    place = np.empty(size, dtype=np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    return kept, place[numbers]


def _cut(matrix, rows, *, lower=False):
    """matrix[rows][:, rows], run by run of consecutive rows: several times faster than fancy indexing.

    lower : fill the lower triangle alone, and leave the rest undefined.
    """
    if len(rows) == len(matrix):
        return matrix
    out = np.empty((len(rows), len(rows)), dtype=matrix.dtype)
    breaks = np.flatnonzero(np.diff(rows) > 1) + 1
    for first, last in zip(np.r_[0, breaks], np.r_[breaks, len(rows)], strict=True):
        wanted = rows[:last] if lower else rows
        taken = matrix[rows[first] : rows[last - 1] + 1].take(wanted, axis=1, mode="clip")
        out[first:last, : len(wanted)] = taken
    return out


def _summed_blocks(rows, columns, blocks, shape):
    """Σ_c P_c B_c Q_cᵀ as CSR with an entry for each cell's share: products sum them, so nothing is sorted.

    rows (c, a), columns (c, b) : places of the cells' rows and columns.  blocks (c, a, b).
    """
    flat, width = rows.ravel(), columns.shape[1]
    order = np.argsort(flat, kind="stable")
    starts = np.zeros(shape[0] + 1, dtype=np.int32)
    np.cumsum(np.bincount(flat, minlength=shape[0]) * width, out=starts[1:])
    indices = np.repeat(columns, rows.shape[1], axis=0)[order].ravel()
    return sp.csr_array((blocks.reshape(-1, width)[order].ravel(), indices, starts), shape=shape)


def _rows(matrix, rows, columns):
    """matrix[rows][:, columns] for CSR whose chosen rows have entries in the chosen columns alone."""
    cut = matrix[rows]
    place = np.empty(matrix.shape[1], dtype=np.int32)
    place[columns] = np.arange(len(columns), dtype=np.int32)
    return sp.csr_array((cut.data, place[cut.indices], cut.indptr), shape=(len(rows), len(columns)))
