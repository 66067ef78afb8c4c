"""Exact update of a factorised background on the skeleton of a region: for content that changes brick by brick.

The law.  The region's cells come in groups whose interior unknowns are eliminated for every sample
(`interiors`), which leaves a change iΔ_S, complex symmetric, on the n unknowns of the skeleton.  With G and x_0
as in `low_rank`, on the skeleton alone, the identity of Woodbury is the same,

    (I + iGΔ_S) x = x_0,        CᵀA(θ)⁻¹C − CᵀA_0⁻¹C = −i x_0ᵀΔ_S x,

and interior fields follow from x group by group.  So do the quasi-static splitting G = TLTᵀ/s_0 + G_s, with T the
gradients on the skeleton of its v potentials (those inside a group have no trace there), the correction by the dual
solution, and the estimated error.  All of a region changes: nothing is cut out, and tables are made once.

The solver.  With c = i/s_0 and H = L⁻¹ + Re(c TᵀΔ_ST), real, symmetric and for every conductivity positive
definite,

    M⁻¹ = I − c T H⁻¹ TᵀΔ_S

inverts I + icTLTᵀΔ_S but for the imaginary part of c TᵀΔ_ST, some hundredths unless displacement currents matter;
where they do, H is complex.  A block Krylov method of least squares solves M⁻¹(I + iGΔ_S) x = M⁻¹x_0.  The
rest, data and estimated error, is as `krylov` has it.

Cost a sample: some 72 products with G_s in single precision, 8·72·n² flops, the elimination of the interiors
and v³/3.  Cost before: n right-hand sides of the background, n²·8 bytes.  Not for inclusions that move: `low_rank`.
"""

import numpy as np

from maxwell.paths import induction, krylov
from maxwell.paths.background import Answer, Background, Change
from maxwell.paths.blocks import Blocks
from maxwell.paths.interiors import Elimination, Interiors
from maxwell.paths.potentials import potentials
from maxwell.paths.skeleton import Skeleton, SkeletonEquation

DOUBLE = 1000
"""Unknowns of a skeleton up to which G_s is kept in double precision, for it is small then (16 MB)."""

INDUCTIVE = 3.0
"""|k_c|² times the square of the region's extent, above which G_s is too large for single precision."""

COLUMNS = 72
"""Products with G_s that a sample usually takes."""


class CondensedUpdate:
    """The exact update of a `Background` on the skeleton of a region; see the module.

    interiors : which unknowns are eliminated.  blocks : where the precomputed arrays live, keyed by them too.

    Raises MaxwellError when they do not fit; `solve` raises AccuracyError when it does not converge.
    """

    def __init__(self, background: Background, interiors: Interiors, blocks: Blocks):
        space, self._interiors = background.space, interiors
        scale = background.wavenumber_squared * -1
        self._factor = 1j / scale
        self._eliminate = Elimination(interiors, background.rows)
        dofs = interiors.dofs[interiors.skeleton]
        self._incident = background.fields[dofs]
        place = np.full(len(interiors.dofs), -1)
        place[interiors.skeleton] = np.arange(len(dofs))
        self._index = place[interiors.cell_rows]
        gradient, stiffness, _ = potentials(space, (1j * background.scaling.wavenumber / scale).real)
        gradient = gradient[dofs]
        nodes = np.unique(gradient.indices)
        gradient = gradient[:, nodes].tocsr()
        inductive = abs(background.wavenumber_squared) * interiors.extent**2 > INDUCTIVE
        double = len(dofs) <= DOUBLE or inductive
        shapes = {
            "potential": ((len(nodes), len(nodes)), np.float64),
            "green": ((len(dofs), len(dofs)), np.complex128 if double else np.complex64),
        }

        def compute(arrays):
            arrays["potential"][:] = induction.grounded_inverse(stiffness, nodes)
            induction.green(background, dofs, gradient, arrays["potential"], scale, arrays["green"])

        self.columns = self.columns_of(interiors)
        arrays = blocks.get("condensed_update", shapes, compute, working=8 * len(nodes) * len(dofs))
        self._green = arrays["green"]
        self.memory = sum(array.nbytes for array in arrays.values()) / 1e6
        free = arrays["potential"].diagonal() > 0  # all, or all but the node that is held at zero
        potential = np.array(arrays["potential"][np.ix_(free, free)])
        self._exact = Skeleton.of(interiors, gradient[:, free], potential)
        self._rounded = self._exact.astype(np.float32)

    @staticmethod
    def columns_of(interiors: Interiors) -> int:
        """Right-hand sides of the background that the preparation takes: n, the unknowns of the skeleton."""
        return len(interiors.skeleton)

    @staticmethod
    def flops(interiors: Interiors) -> float:
        """Operations a sample, those in single precision counted half; without bound if nothing is eliminated."""
        if not len(interiors.interior):
            return np.inf
        return 4 * COLUMNS * len(interiors.skeleton) ** 2 + 2 * interiors.flops

    def solve(self, change: Change, *, accurate: bool) -> Answer:
        """Fields on the region; `accurate` when they are wanted and not the data alone.

        When not, they are those of the skeleton, and the index of interior unknowns is −1.
        """
        delta, extension = self._eliminate(change.cells, change.blocks)
        tables = self._rounded if self._green.dtype == np.complex64 else self._exact
        equation = SkeletonEquation(self._exact, tables, delta, self._incident, self._green, self._factor)
        solution = krylov.solve(equation, accurate=accurate)
        info = {
            "method": "condensed update" if solution.blocks else "condensed update, dense",
            "why": (
                f"{len(self._interiors.interior)} of {len(self._interiors.dofs)} unknowns of the region lie inside "
                f"{self._interiors.size} groups of cells"
            ),
            "iterations": solution.blocks,
            "memory": self.memory,
            "error": solution.error,
        }
        fields = solution.fields
        index = self._index[change.cells]
        if accurate:
            fields, index = self._whole(fields, extension), self._interiors.cell_rows[change.cells]
        return Answer(fields, index, solution.contracted, solution.residual, info)

    def _whole(self, fields, extension):
        """Fields on all unknowns of the region, given those on the skeleton and X(θ)."""
        interiors, tables = self._interiors, self._exact
        whole = np.empty((len(interiors.dofs), fields.shape[1]), complex)
        whole[interiors.skeleton] = fields
        inside = np.matmul(extension, fields.take(tables.index, axis=0))
        rows = interiors.members[:, interiors.widths[0] :]
        whole[rows[rows >= 0]] = inside[rows >= 0]
        return whole
