"""Direct solution of complex symmetric systems with many right-hand sides: the recipe, in one place.

The curl-curl matrix with an impedance boundary is complex *symmetric* (not Hermitian), Aᵀ = A, when the basis
is real.  MUMPS then factorises A = LDLᵀ (no conjugate) at half the memory of LU, and one factorisation
serves the adjoint problem too.  METIS orders the unknowns: MUMPS's automatic choice is poor on small meshes.
All right-hand sides go in as one block, which costs a fraction of solving them one by one.
"""

import itertools

import numpy as np
import scipy.sparse as sp

from maxwell.errors import AccuracyError
from maxwell.fenicsx import PETSc

TOLERANCE = 1e-9
"""Largest relative residual ‖AX − B‖/‖B‖ (Frobenius) of a solution that is handed on; MUMPS gives ~1e-14."""

_prefix = itertools.count()  # PETSc options are global: each solver owns a prefix, so none leaks into another


class SymmetricSolver:
    """LDLᵀ of matrices of one sparsity pattern: analysed once, refactorised when the values change.

    matrix : the first matrix, (n, n) CSR, complex symmetric with its full pattern stored.  The analysis
        (ordering and scaling) sees this matrix alone, so that solutions of later ones depend on their own
        values and not on what was solved before.

    `factorise(values)` replaces the values (nnz,); `solve(B)` maps (n, k) to (X (n, k), relative residual).
    Raises AccuracyError when the residual exceeds `TOLERANCE` (a singular or hopelessly scaled matrix).
    Cost on tetrahedra of degree 1: about O(n²) flops and O(n^{4/3}) memory a factorisation.
    """

    def __init__(self, matrix: sp.csr_array):
        self.matrix = matrix.copy()
        n = matrix.shape[0]
        csr = (self.matrix.indptr.astype(PETSc.IntType), self.matrix.indices.astype(PETSc.IntType))
        self._csr = csr
        self._mat = PETSc.Mat().createAIJ((n, n), csr=(*csr, self.matrix.data), comm=PETSc.COMM_SELF)
        self._mat.setOption(PETSc.Mat.Option.SYMMETRIC, True)
        self._ksp = PETSc.KSP().create(PETSc.COMM_SELF)
        self._ksp.setOptionsPrefix(f"maxwell_{next(_prefix)}_")
        self._ksp.setType(PETSc.KSP.Type.PREONLY)
        pc = self._ksp.getPC()
        pc.setType(PETSc.PC.Type.CHOLESKY)
        pc.setFactorSolverType(PETSc.Mat.SolverType.MUMPS)
        self._ksp.setOperators(self._mat)
        pc.setFactorSetUpSolverType()
        factor = pc.getFactorMatrix()
        factor.setMumpsIcntl(7, 5)  # METIS
        self._refactorise()

    def factorise(self, values: np.ndarray) -> None:
        """Take new values (nnz,), in the order of the first matrix's CSR data, and factorise them."""
        self.matrix.data[:] = values
        self._mat.setValuesCSR(*self._csr, self.matrix.data)
        self._mat.assemble()
        self._refactorise()

    def _refactorise(self):
        self._ksp.setOperators(self._mat)
        self._ksp.getPC().setUp()

    def solve(self, rhs: np.ndarray) -> tuple[np.ndarray, float]:
        """Solve A X = B for all columns at once; returns X (n, k) complex128 and ‖AX − B‖/‖B‖."""
        rhs = np.asfortranarray(rhs, dtype=PETSc.ScalarType)
        solution = np.zeros_like(rhs, order="F")
        b = PETSc.Mat().createDense(rhs.shape, array=rhs, comm=PETSc.COMM_SELF)
        x = PETSc.Mat().createDense(rhs.shape, array=solution, comm=PETSc.COMM_SELF)
        self._ksp.getPC().getFactorMatrix().matSolve(b, x)
        solution = x.getDenseArray().copy()
        b.destroy()
        x.destroy()
        residual = np.linalg.norm(self.matrix @ solution - rhs) / np.linalg.norm(rhs)
        if not residual <= TOLERANCE:
            raise AccuracyError(
                f"The direct solver left a relative residual of {residual:.1e}; expected at most "
                f"{TOLERANCE:.0e}: the system is singular or badly scaled; check frequency and background."
            )
        return solution, float(residual)

    def close(self) -> None:
        """Free the factors now (PETSc frees them late when left to Python)."""
        self._ksp.destroy()
        self._mat.destroy()
