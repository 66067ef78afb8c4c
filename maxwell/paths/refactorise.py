"""The slow, obvious path: factorise A(θ) anew for every sample.  It is the oracle of the others."""

import numpy as np

from maxwell.fenicsx import PETSc
from maxwell.paths.background import Answer, Background, Change
from maxwell.solvers import summed


class Refactorise:
    """A(θ) as a sparse matrix, factorised with the background's analysis; on one process or several.

    Cost: one numeric factorisation and K right-hand sides a sample.
    """

    def __init__(self, background: Background):
        self._background = background

    def load(self, change: Change) -> None:
        """Make the solver's matrix A(θ): the background plus i times the blocks of the changed cells."""
        matrix, dofs = self._background.solver.mat, change.dofs
        self._background.matrix.copy(matrix, structure=PETSc.Mat.Structure.SAME_NONZERO_PATTERN)
        rows, functions = dofs.size, dofs.shape[1]
        matrix.setValuesLocalIJV(
            np.arange(rows + 1, dtype=PETSc.IntType) * functions,
            np.repeat(dofs, functions, axis=0).ravel(),
            1j * change.blocks.ravel(),
            addv=True,
            rowmap=dofs.ravel(),
        )
        matrix.assemble()

    def solve(self, change: Change, *, accurate: bool) -> Answer:
        """Fields on all unknowns; `accurate` changes nothing, for they always are."""
        background = self._background
        solver, comm = background.solver, background.space.mesh.comm
        self.load(change)
        solver.factorise()
        fields, residual = solver.solve(background.functionals)
        fields = background.space.with_ghosts(fields)
        contracted = contract(background.fields[change.dofs], change.blocks, fields[change.dofs])
        info = {
            "method": f"refactorise, {solver.recipe.method}",
            "why": solver.why,
            "iterations": solver.iterations,
            "memory": solver.memory,
        }
        return Answer(fields, change.dofs, summed(comm, contracted), residual, info)


def contract(left, blocks, right):
    """Σ_c leftᵀ_c B_c right_c for left (c, f, K), blocks (c, f, f), right (c, f, K): (K, K), no conjugate."""
    product = np.matmul(blocks, right)
    return np.tensordot(left, product, axes=((0, 1), (0, 1)))
