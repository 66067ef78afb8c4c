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
from maxwell.paths.potentials import potentials
from maxwell.solvers import SymmetricSolver

COLUMNS = 256
"""Right-hand sides solved as one block while the region's block is computed."""

DATA_ERROR = 1e-9
"""Largest estimated relative error of the data that is handed on."""

FIELD_RESIDUAL = {False: 2e-5, True: 1e-9}
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
        system = self._system(change)
        goal = FIELD_RESIDUAL[accurate]
        for _ in range(4):
            answer, error = self._krylov(system, goal)
            if error <= DATA_ERROR:
                break
            goal /= 10
        else:
            raise AccuracyError(
                f"The low-rank update left an estimated error of {error:.1e} in the data; expected at most "
                f"{DATA_ERROR:.0e}: take forward.refactorising for this sample."
            )
        return answer

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

    def _system(self, change):
        """The parts of the region's blocks that a sample concerns."""
        cells = change.cells
        rows, index = _compressed(self._cell_rows[cells], len(self._incident))
        nodes, node_index = _compressed(self._cell_nodes[cells], len(self._potential))
        n, v = len(rows), len(nodes)
        blocks, gradients = change.blocks, self._cell_gradients[cells]
        stiffness = np.matmul(gradients.transpose(0, 2, 1), np.matmul(blocks, gradients))
        flat = (node_index[:, :, None] * v + node_index[:, None, :]).ravel()
        added = np.bincount(flat, stiffness.ravel(), v * v).reshape(v, v)
        potential = _cut(self._potential, nodes)
        static = (1j / self._scale) * (potential @ added)
        static.ravel()[:: v + 1] += 1
        return _System(
            index=index,
            incident=self._incident[rows],
            delta=_summed_blocks(index, blocks, n),
            green=_cut(self._green, rows),
            potential=potential,
            gradient=_rows(self._gradient, rows, nodes),
            static=scipy.linalg.lapack.zgetrf(static, overwrite_a=True)[:2],
            factor=1j / self._scale,
        )

    def _krylov(self, system, goal):
        """Block least squares over the growing space of preconditioned residuals."""
        x0 = system.incident
        start = system.precondition(x0, system.change(x0))
        size = np.linalg.norm(start)
        n, sources = start.shape
        room = MOST_BLOCKS * sources
        directions, changed, induced, images = (np.empty((n, room), complex, order="F") for _ in range(4))
        normal, right = np.empty((room, room), complex), np.empty((room, sources), complex)
        residual, used, iterations = start, 0, 0
        while iterations < MOST_BLOCKS:
            basis = _leading(residual, 0.5 * goal * size)
            new = slice(used, used + basis.shape[1])
            used = new.stop
            moved = system.change(basis)
            field = 1j * (system.green @ moved.astype(system.green.dtype)).astype(complex)
            image = basis + system.precondition(field, system.change(field))
            directions[:, new], changed[:, new], induced[:, new], images[:, new] = basis, moved, field, image
            normal[:used, new] = images[:, :used].conj().T @ image
            normal[new, :used] = normal[:used, new].conj().T
            right[new] = image.conj().T @ start
            weights = scipy.linalg.solve(
                normal[:used, :used], right[:used], assume_a="pos", check_finite=False
            )
            residual = start - images[:, :used] @ weights
            iterations += 1
            if np.linalg.norm(residual) <= goal * size:
                break
        fields = directions[:, :used] @ weights
        moved = np.ascontiguousarray(changed[:, :used] @ weights)
        left = x0 - fields - induced[:, :used] @ weights - system.quasi_static(moved)
        contracted = x0.T @ moved + moved.T @ left
        error = np.linalg.norm(left.T @ system.change(left)) / max(np.linalg.norm(contracted), 1e-300)
        info = {
            "method": "low-rank update",
            "why": f"{n} of {len(self._incident)} unknowns of the region change",
            "iterations": iterations,
            "memory": self.memory,
            "error": float(error),
        }
        answer = Answer(
            fields, system.index, contracted, float(np.linalg.norm(left) / np.linalg.norm(x0)), info
        )
        return answer, error


@dataclass(frozen=True)
class _System:
    """What a sample cuts out of the region: n unknowns, v nodes."""

    index: np.ndarray  # (c, f) rows of the changed cells' unknowns
    incident: np.ndarray  # x_0 (n, K)
    delta: sp.csr_array  # Δ (n, n) real, entries of cells side by side and not yet summed
    green: np.ndarray  # G_s (n, n), complex64 or complex128
    potential: np.ndarray  # L (v, v)
    gradient: sp.csr_array  # T (n, v)
    static: tuple  # LU of I + iLTᵀΔT/s_0
    factor: complex  # i/s_0

    def change(self, x):
        """Δx for x (n, k) complex."""
        return (self.delta @ np.ascontiguousarray(x).view(np.float64)).view(complex)

    def precondition(self, x, changed):
        """M⁻¹x = x − T (I + iLTᵀΔT/s_0)⁻¹ (i/s_0) L Tᵀ Δx, given Δx."""
        load = self.factor * (self.potential @ (self.gradient.T @ changed.view(np.float64))).view(complex)
        potentials = scipy.linalg.lapack.zgetrs(*self.static, load)[0]
        return x - (self.gradient @ np.ascontiguousarray(potentials).view(np.float64)).view(complex)

    def quasi_static(self, changed):
        """iTLTᵀΔx/s_0, given Δx."""
        load = self.potential @ (self.gradient.T @ changed.view(np.float64))
        return self.factor * (self.gradient @ load).view(complex)


def _potential(stiffness, nodes):
    """(K + ρK_∂)⁻¹ on some nodes (v, v), one node outside them held at zero: only differences matter."""
    outside = np.setdiff1d(np.arange(stiffness.shape[0]), nodes)[:1]
    free = np.setdiff1d(np.arange(stiffness.shape[0]), outside)
    solver = SymmetricSolver(sp.csr_array(stiffness[free][:, free]).astype(complex))
    place = np.searchsorted(free, nodes)
    columns = [solver.solve(_unit(len(free), p))[0][place].real for p in _chunks(place)]
    solver.close()
    return np.concatenate(columns, axis=1)


def _green(background, dofs, gradient, potential, scale, out):
    """G − T L Tᵀ/s_0 on the region, written row by row (it is symmetric)."""
    smooth = gradient @ potential  # T L, (N, v)
    solver = background.restore()
    for first, chunk in zip(range(0, len(dofs), COLUMNS), _chunks(dofs), strict=True):
        solution = solver.solve(_unit(background.space.dofs, chunk))[0][dofs]
        rows = slice(first, first + len(chunk))
        out[rows] = (solution - (gradient[rows] @ smooth.T).T / scale).T


def _chunks(places):
    return [places[first : first + COLUMNS] for first in range(0, len(places), COLUMNS)]


def _unit(size, places):
    columns = np.zeros((size, len(places)), dtype=complex, order="F")
    columns[places, np.arange(len(places))] = 1
    return columns


def _compressed(numbers, size):
    """Sorted distinct numbers, and for each number its place among them."""
    present = np.zeros(size, dtype=bool)
    present[numbers] = True
    kept = np.flatnonzero(present)
    place = np.empty(size, dtype=np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    return kept, place[numbers]


def _cut(matrix, rows):
    """matrix[rows][:, rows], run by run of consecutive rows: several times faster than fancy indexing."""
    if len(rows) == len(matrix):
        return matrix
    out = np.empty((len(rows), len(rows)), dtype=matrix.dtype)
    breaks = np.flatnonzero(np.diff(rows) > 1) + 1
    for first, last in zip(np.r_[0, breaks], np.r_[breaks, len(rows)], strict=True):
        matrix[rows[first] : rows[last - 1] + 1].take(rows, axis=1, out=out[first:last], mode="clip")
    return out


def _summed_blocks(index, blocks, n):
    """Σ_c P_c B_c P_cᵀ as CSR with an entry for each cell's share: products sum them, so nothing is sorted."""
    flat, functions = index.ravel(), index.shape[1]
    order = np.argsort(flat, kind="stable")
    starts = np.zeros(n + 1, dtype=np.int32)
    np.cumsum(np.bincount(flat, minlength=n) * functions, out=starts[1:])
    columns = np.repeat(index, functions, axis=0)[order].ravel()
    return sp.csr_array((blocks.reshape(-1, functions)[order].ravel(), columns, starts), shape=(n, n))


def _rows(matrix, rows, columns):
    """matrix[rows][:, columns] for CSR whose chosen rows have entries in the chosen columns alone."""
    cut = matrix[rows]
    place = np.empty(matrix.shape[1], dtype=np.int32)
    place[columns] = np.arange(len(columns), dtype=np.int32)
    return sp.csr_array((cut.data, place[cut.indices], cut.indptr), shape=(len(rows), len(columns)))


def _leading(residual, tolerance):
    """Orthonormal basis of the columns of (n, k), less the directions that together are below the tolerance."""
    squares, mixing = scipy.linalg.eigh(residual.conj().T @ residual, check_finite=False)
    squares = np.maximum(squares, 0)
    keep = np.cumsum(squares) > tolerance**2
    keep[-1] = True
    return np.ascontiguousarray(residual @ (mixing[:, keep] / np.sqrt(squares[keep])))
