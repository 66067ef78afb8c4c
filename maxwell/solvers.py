"""Solution of complex symmetric systems with many right-hand sides: the recipe, in one place.

The curl-curl matrix with an impedance boundary is complex *symmetric* (not Hermitian), Aᵀ = A, when the basis
is real.  MUMPS then factorises A = LDLᵀ (no conjugate) at half the memory of LU, and one factorisation
serves the adjoint problem too.  METIS orders the unknowns: MUMPS's automatic choice is poor on small meshes.
All right-hand sides go in as one block, which costs a fraction of solving them one by one.

Before the numbers are touched, MUMPS's analysis tells how much memory they will take.  Exact factors are taken
when they fit; else block low-rank ones, which are smaller and wrong by a chosen tolerance, as the
preconditioner of an iteration that reaches the same residual; else the answer is a sentence.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from maxwell import memory
from maxwell.errors import AccuracyError, MaxwellError
from maxwell.fenicsx import MPI, PETSc

TOLERANCE = 1e-9
"""Largest relative residual ‖AX − B‖/‖B‖ (Frobenius) of a solution that is handed on; MUMPS gives ~1e-14."""

ITERATED = 1e-11
"""Relative residual at which the iteration of a column stops."""

INVERSE_COLUMNS = 128
"""Columns of an inverse that are computed at once; more gain nothing and take memory."""

MOST_ITERATIONS = 100
"""An approximate factor that needs more steps than this is no preconditioner."""

SHARE = 0.9
"""Part of the free memory that a factorisation may take: right-hand sides and results need room too."""

_prefix = itertools.count()  # PETSc options are global: each solver owns a prefix, so none leaks into another


@dataclass(frozen=True)
class Exact:
    """LDLᵀ to round-off: right whenever it fits into memory."""

    method = "exact LDLᵀ"


@dataclass(frozen=True)
class BlockLowRank:
    """LDLᵀ with off-diagonal blocks compressed to a relative tolerance, as a preconditioner of COCG.

    Not for small meshes: MUMPS compresses nothing below some 20,000 unknowns, and the gain grows slowly.  At
    59,660 unknowns and 1e-4: half the time of the factorisation, 23 % fewer numbers in the factors, 7 % less
    memory all told, 4 steps; at 160,804 MUMPS expects 13 % less memory.
    Source: Amestoy et al., doi 10.1137/120903476; COCG: van der Vorst and Melissen, doi 10.1109/20.106415.
    """

    tolerance: float = 1e-4
    method = "block low-rank LDLᵀ and COCG"

    def __post_init__(self):
        if not 0 < self.tolerance < 1:
            raise MaxwellError(f"BlockLowRank: tolerance is {self.tolerance!r}; expected it between 0 and 1.")


class SymmetricSolver:
    """Solver for matrices of one sparsity pattern: analysed once, refactorised when the values change.

    matrix : the first matrix, (n, n), complex symmetric with its full pattern stored: CSR on one process, or
        an assembled PETSc matrix on any communicator.  The analysis (ordering and scaling) sees this matrix
        alone, so that solutions of later ones depend on their own values and not on what was solved before.
    recipe : `Exact()`, `BlockLowRank()`, or None for the first of the two that fits into memory.

    mat : the solver's own PETSc matrix.  Change its values, assemble it and call `factorise()`; or, on one
    process, `factorise(values)` with new CSR values (nnz,).  `solve(B)` maps (n, k) to (X (n, k), relative
    residual), where on several ranks n counts the rows that this rank owns.
    recipe, why : which of the two was taken, and the reason in a phrase.  memory : MB (10⁶ bytes) that MUMPS
    took on all ranks.  iterations : steps of the last solve, 0 for exact factors.

    Raises MaxwellError when the factors cannot fit into memory, AccuracyError when the matrix is singular or
    a residual exceeds `TOLERANCE`.  Cost on tetrahedra of degree 1: about O(n²) flops and O(n^{4/3}) memory.
    """

    def __init__(self, matrix: sp.csr_array | PETSc.Mat, recipe: Exact | BlockLowRank | None = None):
        if not isinstance(recipe, Exact | BlockLowRank | None):
            raise MaxwellError(f"The recipe is {recipe!r}; expected Exact(), BlockLowRank() or None.")
        if isinstance(matrix, PETSc.Mat):
            self.mat = matrix.copy()
        else:
            csr = (matrix.indptr.astype(PETSc.IntType), matrix.indices.astype(PETSc.IntType), matrix.data)
            self.mat = PETSc.Mat().createAIJ(matrix.shape, csr=csr, comm=PETSc.COMM_SELF)
        self.mat.setOption(PETSc.Mat.Option.SYMMETRIC, True)
        self.iterations = 0
        self.recipe, self.why = self._choose(recipe)
        self._ksp = self._factor(self.recipe)
        self.factorise()

    @property
    def matrix(self) -> sp.csr_array:
        """A copy of the matrix that is factorised, on one process."""
        indptr, indices, data = self.mat.getValuesCSR()
        return sp.csr_array((data, indices, indptr), shape=self.mat.getSize())

    @property
    def memory(self) -> float:
        """MB (10⁶ bytes) that MUMPS took for the last factorisation, on all ranks together."""
        return float(self._ksp.getPC().getFactorMatrix().getMumpsInfog(22))

    def factorise(self, values: np.ndarray | None = None) -> None:
        """Factorise `mat` as it stands now, or with new values (nnz,) in the order of its CSR data."""
        if values is not None:
            indptr, indices, _ = self.mat.getValuesCSR()
            self.mat.setValuesCSR(indptr, indices, values)
            self.mat.assemble()
        self._ksp.setOperators(self.mat)
        self._ksp.getPC().setUp()
        failure = self._ksp.getPC().getFactorMatrix().getMumpsInfog(1)
        if failure in (-10, -40):
            raise AccuracyError(
                f"The matrix of {self.mat.getSize()[0]:,} unknowns is singular: a pivot vanished; "
                "check frequency, background and boundary conditions."
            )
        if failure < 0:
            raise MaxwellError(
                f"MUMPS could not factorise {self.mat.getSize()[0]:,} unknowns (its code {failure}; "
                f"{self._free() / 2**30:.1f} GiB are free): take fewer cells, degree 1 or more ranks."
            )

    def solve(self, rhs: np.ndarray) -> tuple[np.ndarray, float]:
        """Solve A X = B for all columns at once; returns X (n, k) complex128 and ‖AX − B‖/‖B‖."""
        rhs = np.asfortranarray(rhs, dtype=PETSc.ScalarType)
        exact = isinstance(self.recipe, Exact)
        solution = self._apply(rhs) if exact else self._iterate(rhs)
        left, size = self._norms(np.stack([self._residual(rhs, solution), rhs]).reshape(2, -1).T)
        residual = float(left / size) if size else float(left)
        self._accept(residual)
        return solution, residual

    @staticmethod
    def _accept(residual):
        if not residual <= TOLERANCE:
            raise AccuracyError(
                f"The solver left a relative residual of {residual:.1e}; expected at most "
                f"{TOLERANCE:.0e}: the system is singular or badly scaled; check frequency and background."
            )

    def inverse(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """A⁻¹[rows][:, columns], (len(rows), len(columns)) complex128; exact factors on one process.

        Unit right-hand sides are kept sparse, which MUMPS's forward elimination uses: a third of the time of
        `solve`.  Columns go in blocks of `INVERSE_COLUMNS`; the first block's residual is checked as in `solve`.
        """
        if not isinstance(self.recipe, Exact):
            raise MaxwellError(
                f"Columns of the inverse were asked of {self.recipe!r}; expected Exact() factors: take fewer "
                "cells, or refactorise for every sample."
            )
        n = self.mat.getSize()[0]
        out = np.empty((len(rows), len(columns)), dtype=PETSc.ScalarType)
        for first in range(0, len(columns), INVERSE_COLUMNS):
            chosen = columns[first : first + INVERSE_COLUMNS].astype(PETSc.IntType)
            starts = np.arange(len(chosen) + 1, dtype=PETSc.IntType)
            units = PETSc.Mat().createAIJ(
                (len(chosen), n),
                csr=(starts, chosen, np.ones(len(chosen), PETSc.ScalarType)),
                comm=PETSc.COMM_SELF,
            )
            rhs = PETSc.Mat().createTranspose(units)
            solution = self._dense(np.zeros((n, len(chosen)), PETSc.ScalarType, order="F"))
            self._ksp.getPC().getFactorMatrix().matSolve(rhs, solution)
            values = solution.getDenseArray()
            out[:, first : first + len(chosen)] = values[rows]
            if not first:
                left = self._times(values)
                left[chosen, np.arange(len(chosen))] -= 1
                self._accept(float(np.linalg.norm(left) / np.sqrt(len(chosen))))
            for matrix in (rhs, units, solution):
                matrix.destroy()
        return out

    def close(self) -> None:
        """Free the factors now (PETSc frees them late when left to Python)."""
        self._ksp.destroy()
        self.mat.destroy()

    def _choose(self, recipe):
        """The recipe to take and why; on a machine with room to spare no analysis is spent on the question."""
        n, free = self.mat.getSize()[0], self._free()
        chosen = recipe or Exact()
        asked = "asked for"
        if 4 * memory.factor_estimate(n) <= free:
            return chosen, asked if recipe else "exact factors fit into memory"
        tried = {}
        for candidate in [recipe] if recipe else [Exact(), BlockLowRank()]:
            tried[candidate] = self._estimate(candidate)
            if tried[candidate] <= free:
                if recipe:
                    return candidate, asked
                if isinstance(candidate, Exact):
                    return candidate, "exact factors fit into memory"
                return candidate, (
                    f"exact factors would take {tried[Exact()] / 2**30:.3g} GiB, and "
                    f"{free / 2**30:.3g} GiB are free"
                )
        raise MaxwellError(refusal(n, min(tried.values()), free))

    def _free(self) -> float:
        return free_memory(self.mat.getComm().tompi4py())

    def _factor(self, recipe):
        ksp = PETSc.KSP().create(self.mat.getComm())
        ksp.setOptionsPrefix(f"maxwell_{next(_prefix)}_")
        ksp.setType(PETSc.KSP.Type.PREONLY)
        pc = ksp.getPC()
        pc.setType(PETSc.PC.Type.CHOLESKY)
        pc.setFactorSolverType(PETSc.Mat.SolverType.MUMPS)
        ksp.setOperators(self.mat)
        pc.setFactorSetUpSolverType()
        factor = pc.getFactorMatrix()
        factor.setMumpsIcntl(7, 5)  # METIS
        if isinstance(recipe, BlockLowRank):
            factor.setMumpsIcntl(35, 2)  # block low-rank in factorisation and solution
            factor.setMumpsCntl(7, recipe.tolerance)
        return ksp

    def _estimate(self, recipe) -> float:
        """Bytes on all ranks (the largest rank's, times their number) that MUMPS's analysis expects."""
        ksp = self._factor(recipe)
        factor = ksp.getPC().getFactorMatrix()
        # PETSc has no door to the analysis alone: with 1 MB to work in, MUMPS stops right after it.
        factor.setMumpsIcntl(23, 1)
        ksp.getPC().setUp()
        largest = factor.getMumpsInfog(36 if isinstance(recipe, BlockLowRank) else 16)
        ksp.destroy()
        return 1e6 * largest * self.mat.getComm().size

    def _dense(self, array):
        rows, columns = self.mat.getLocalSize()[0], array.shape[1]
        sizes = ((rows, self.mat.getSize()[0]), (PETSc.DECIDE, columns))
        return PETSc.Mat().createDense(sizes, array=array, comm=self.mat.getComm())

    def _apply(self, rhs):
        """What the factors make of B (n, k): the solution, or nearly."""
        solution = np.zeros_like(rhs, order="F")
        b, x = self._dense(rhs), self._dense(solution)
        self._ksp.getPC().getFactorMatrix().matSolve(b, x)
        solution = x.getDenseArray().copy(order="F")
        b.destroy()
        x.destroy()
        return solution

    def _times(self, array):
        x = self._dense(np.asfortranarray(array))
        product = self.mat.matMult(x)
        result = product.getDenseArray().copy(order="F")
        x.destroy()
        product.destroy()
        return result

    def _residual(self, rhs, solution):
        return rhs - self._times(solution)

    def _sums(self, local):
        return summed(self.mat.getComm().tompi4py(), local)

    def _norms(self, columns):
        return np.sqrt(self._sums(np.einsum("nk,nk->k", columns.conj(), columns).real))

    def _iterate(self, rhs):
        """Conjugate orthogonal conjugate gradients for every column on its own, the factors applied to all at once.

        For complex symmetric A and preconditioner M: r ⟂ M⁻¹r' in the bilinear form rᵀM⁻¹r', without conjugate,
        so a short recurrence suffices.  A column that has converged leaves the block.
        """
        solution = self._apply(rhs)
        goal = ITERATED * self._norms(rhs)
        active = np.arange(rhs.shape[1])
        residual = self._residual(rhs, solution)
        direction, previous = None, None
        for self.iterations in range(MOST_ITERATIONS):
            keep = self._norms(residual) > goal[active]
            if not keep.any():
                return solution
            active, residual = active[keep], np.asfortranarray(residual[:, keep])
            refined = self._apply(residual)
            product = self._sums(np.einsum("nk,nk->k", residual, refined))
            if direction is not None:
                refined += direction[:, keep] * (product / previous[keep])
            direction, previous = refined, product
            image = self._times(direction)
            step = product / self._sums(np.einsum("nk,nk->k", direction, image))
            solution[:, active] += step * direction
            residual -= step * image
        raise AccuracyError(
            f"COCG has not reached a relative residual of {ITERATED:.0e} in {MOST_ITERATIONS} steps with "
            f"{self.recipe!r}; expected a few: take a smaller tolerance, or Exact()."
        )


def summed(comm: MPI.Comm, local: np.ndarray) -> np.ndarray:
    """Sum of an array over the ranks, on all of them."""
    if comm.size == 1:
        return local
    total = np.array(local)
    comm.Allreduce(MPI.IN_PLACE, total)
    return total


def free_memory(comm: MPI.Comm) -> float:
    """Bytes that factors may take on all ranks: the share of the rank with least of it, times their number."""
    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    share = memory.available() / node.size
    node.Free()
    return SHARE * comm.size * comm.allreduce(share, op=MPI.MIN)


def refuse_hopeless(unknowns: int, comm: MPI.Comm) -> None:
    """Raise MaxwellError, before a mesh is made, for a size whose factors would not fit even if compressed."""
    needed, free = memory.factor_estimate(unknowns), free_memory(comm)
    if needed / 2 > free:
        raise MaxwellError(refusal(unknowns, needed, free))


def refusal(unknowns: int, needed: float, free: float) -> str:
    """The sentence for factors of so many unknowns that need more bytes than are free."""
    return (
        f"The factorisation of {unknowns:,} unknowns needs about {needed / 2**30:.3g} GiB, and "
        f"{free / 2**30:.3g} GiB are free: take fewer cells or degree 1, more ranks on more machines, "
        "or BlockLowRank() if exact factors were asked for."
    )
