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
(length/skin depth)²), so single precision suffices to store it and to multiply with it; at high frequencies, where
it does not, and for small regions, G_s is kept in double precision.

The solver.  M⁻¹ = (I + iTLTᵀΔ/s_0)⁻¹ is a scalar problem on the nodes of the changed cells, and

    (I + iM⁻¹G_sΔ) x = M⁻¹x_0

is close to the identity whatever the contrast.  A block Krylov method solves it for all sources at once (`krylov`),
in two blocks of some 32 and 8 to 16 directions as a rule.

Cost a sample: about 45 products with G_s in single precision, 8·45·n² flops, and a factorisation of the
(n/4)² matrix of the potentials.  Cost before: N right-hand sides of the background, N²·8 bytes.

Sources: Hager, SIAM Review 31 (1989) 221, for the update; the quasi-static splitting is ours.
"""

import numpy as np

from maxwell.paths import induction, kernels, krylov
from maxwell.paths.background import Answer, Background, Change
from maxwell.paths.blocks import Blocks
from maxwell.paths.equation import Equation, Operators
from maxwell.paths.kernels import Sparse
from maxwell.paths.potentials import potentials

DOUBLE = 2500
"""Unknowns of a region up to which G_s is kept in double precision, for it is small then (100 MB)."""

INDUCTIVE = 6.0
"""|k_c|² times the square of the region's extent, above which G_s is too large for single precision."""


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
        corners = space.mesh.geometry.x[space.mesh.geometry.dofmaps[0][region_cells].ravel()]
        extent = np.ptp(corners, axis=0).max()
        double = len(dofs) <= DOUBLE or abs(background.wavenumber_squared) * extent**2 > INDUCTIVE
        shapes = {
            "potential": ((len(nodes), len(nodes)), np.float64),
            "green": ((len(dofs), len(dofs)), np.complex128 if double else np.complex64),
        }

        def compute(arrays):
            arrays["potential"][:] = induction.grounded_inverse(stiffness, nodes)
            induction.green(
                background, dofs, self._gradient, arrays["potential"], self._scale, arrays["green"]
            )

        self.columns = self.columns_of(cell_dofs)
        smooth = 8 * len(nodes) * len(dofs)  # what `induction.green` holds besides
        arrays = blocks.get("low_rank", shapes, compute, working=smooth)
        self._room = {}
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
        single = self._green.dtype == np.complex64
        equation, index = self._equation(change, np.float32 if single else np.float64)
        solution = krylov.solve(equation, accurate=accurate)
        info = {
            "method": "low-rank update" if solution.blocks else "low-rank update, dense",
            "why": f"{len(equation.incident)} of {len(self._incident)} unknowns of the region change",
            "iterations": solution.blocks,
            "memory": self.memory,
            "error": solution.error,
        }
        return Answer(solution.fields, index, solution.contracted, solution.residual, info)

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

    def _equation(self, change, real):
        """The parts of the region's blocks that a sample concerns; `real` is the Krylov method's precision."""
        cells = change.cells
        rows, index, _ = _compressed(self._cell_rows[cells], len(self._incident))
        nodes, node_index, node_place = _compressed(self._cell_nodes[cells], len(self._potential))
        n, v = len(rows), len(nodes)
        blocks, gradients = change.blocks, self._cell_gradients[cells]
        loads = np.matmul(gradients.transpose(0, 2, 1), blocks)  # TᵀΔ cell by cell
        stiffness = np.matmul(loads, gradients)
        exact = Operators(
            delta=Sparse.of_blocks(index, index, blocks, (n, n)),
            potential=self._cut(self._potential, nodes),
            gradient=Sparse.rows_of(self._gradient, rows, node_place, v),
        )
        rounded = exact
        if real != np.float64:
            parts = (exact.delta, exact.potential, exact.gradient)
            rounded = Operators(*(part.astype(real) for part in parts))
        equation = Equation(
            self._incident[rows],
            exact,
            rounded,
            Sparse.of_blocks(node_index, index, loads.astype(real), (v, n)),
            self._cut(self._green, rows),
            Sparse.of_blocks(node_index, node_index, stiffness.astype(real), (v, v)),
            1j / self._scale,
        )
        return equation, index

    def _cut(self, matrix, rows):
        """matrix[rows][:, rows] in memory that the next sample writes over: fresh pages cost more than the copy."""
        if len(rows) == len(matrix):
            return matrix
        room = self._room.get(matrix.dtype)
        if room is None or len(room) < len(rows) ** 2:
            room = self._room[matrix.dtype] = np.empty(len(rows) ** 2, matrix.dtype)
        out = room[: len(rows) ** 2].reshape(len(rows), len(rows))
        kernels.cut(matrix, rows, out)
        return out


def _compressed(numbers, size):
    """Sorted distinct numbers; the place of each number among them; the place of all below `size`, −1 for none."""
    present = np.zeros(size, dtype=bool)
    present[numbers] = True
    kept = np.flatnonzero(present)
    place = np.full(size, -1, dtype=np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    return kept, place[numbers], place
