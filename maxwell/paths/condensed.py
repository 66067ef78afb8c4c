"""The exterior condensed onto the boundary of a region: exact for any content of the region.

With the unknowns split into E (outside), Γ (on the boundary of the region) and I (inside), and R = Γ ∪ I,
the outside never changes, so it is eliminated once:

    A(θ)_RR − P_Γ A_ΓE A_EE⁻¹ A_EΓ P_Γᵀ =: S(θ),        S(θ) X_R = C_R − P_Γ A_ΓE A_EE⁻¹ C_E.

A sample is one factorisation of S(θ): sparse inside, dense on Γ.  Data: −i X_0ᵀ Δ X, on the region alone.

Cost before: one factorisation of A_EE and |Γ| right-hand sides, |Γ|²·16 bytes.  Cost a sample: |Γ|³ and what
the inside takes; worth it when the region is a small part of the mesh.
Source: static condensation, Wilson, Int. J. Numer. Meth. Eng. 8 (1974) 198.
"""

import numpy as np
import scipy.sparse as sp

from maxwell.fem import scatter_map
from maxwell.paths.background import Answer, Background, Change
from maxwell.paths.blocks import Blocks
from maxwell.paths.refactorise import contract
from maxwell.solvers import SymmetricSolver

COLUMNS = 256
"""Right-hand sides solved as one block while the exterior is condensed."""


class CondensedExterior:
    """Exact solves of a `Background` changed inside a region; see the module.

    cell_dofs (C, f) : unknowns of the region's cells, to whose rows `Change.cells` refers.
    blocks : where the precomputed arrays live.
    """

    def __init__(self, background: Background, region_cells, cell_dofs, blocks: Blocks):
        space = background.space
        matrix = background.rows
        inside = np.zeros(space.dofs, dtype=bool)
        inside[cell_dofs] = True
        region, exterior = np.flatnonzero(inside), np.flatnonzero(~inside)
        boundary = _boundary(space, region_cells)
        place = np.searchsorted(region, boundary)  # rows of the region on its boundary
        shapes = {
            "exterior": ((len(boundary), len(boundary)), np.complex128),
            "load": ((len(boundary), background.functionals.shape[1]), np.complex128),
        }

        def compute(arrays):
            coupling = matrix[exterior][:, boundary].tocsc()
            solver = SymmetricSolver(matrix[exterior][:, exterior].tocsr())
            arrays["load"][:] = coupling.T @ solver.solve(background.functionals[exterior])[0]
            for first in range(0, len(boundary), COLUMNS):
                columns = slice(first, first + COLUMNS)
                solution = solver.solve(coupling[:, columns].toarray())[0]
                arrays["exterior"][:, columns] = coupling.T @ solution
            solver.close()

        arrays = blocks.get("condensed", shapes, compute)
        inner = sp.coo_array(matrix[region][:, region])
        # One list of entries, whose sums keep stored zeros: a sample's values are added in place.
        condensed = sp.coo_array(
            (
                np.concatenate([inner.data, -np.asarray(arrays["exterior"]).ravel()]),
                (
                    np.concatenate([inner.row, np.repeat(place, len(place))]),
                    np.concatenate([inner.col, np.tile(place, len(place))]),
                ),
            ),
            shape=(len(region), len(region)),
        ).tocsr()
        condensed.sort_indices()
        self._values = condensed.data.copy()
        self._solver = SymmetricSolver(condensed)
        load = background.functionals[region].astype(complex)
        load[place] -= arrays["load"]
        self._load = load
        self._cell_rows = np.searchsorted(region, cell_dofs)
        self._positions = scatter_map(condensed, self._cell_rows)
        self._incident = background.fields[region]
        self._unknowns, self._boundary = space.dofs, len(boundary)
        self.columns = len(boundary) + load.shape[1]
        self.memory = self._solver.memory + sum(array.nbytes for array in arrays.values()) / 1e6

    @staticmethod
    def flops(space, region_cells) -> float:
        """Operations a sample, roughly: those of the dense part, six-fold for the inside and the overhead."""
        return 6 * 4 / 3 * len(_boundary(space, region_cells)) ** 3

    def solve(self, change: Change, *, accurate: bool) -> Answer:
        """Fields on the region; `accurate` changes nothing, for they always are."""
        where = self._positions[change.cells].ravel()
        added = np.bincount(where, change.blocks.ravel(), self._values.size)
        self._solver.factorise(self._values + 1j * added)
        fields, residual = self._solver.solve(self._load)
        index = self._cell_rows[change.cells]
        contracted = contract(self._incident[index], change.blocks, fields[index])
        info = {
            "method": f"condensed exterior, {self._solver.recipe.method}",
            "why": (
                f"{len(fields)} of {self._unknowns} unknowns lie in the region, {self._boundary} on its boundary"
            ),
            "iterations": self._solver.iterations,
            "memory": self.memory,
        }
        return Answer(fields, index, contracted, residual, info)


def _boundary(space, region_cells):
    """Unknowns that cells of the region share with cells outside it."""
    outside = np.ones(len(space.cell_dofs), dtype=bool)
    outside[region_cells] = False
    return np.intersect1d(space.cell_dofs[region_cells], space.cell_dofs[outside])
