"""The equation of one sample of the low-rank update, and the operators that it is made of."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from maxwell.paths.kernels import Sparse


@dataclass(frozen=True)
class Operators:
    """Real matrices of a sample with n unknowns and v nodes, in one precision; they act on complex (·, k)."""

    delta: Sparse  # Δ (n, n)
    potential: np.ndarray  # L (v, v)
    gradient: Sparse  # T (n, v)

    def change(self, x):
        """Δx."""
        return self.delta @ x

    def quasi_static(self, changed):
        """TLTᵀΔx, given Δx."""
        return self.gradient @ _times(self.potential, self.gradient.transposed_times(changed))


class Equation:
    """A sample's equation: exact operators for what is handed on, rounded ones for the Krylov method.

    load : TᵀΔ (v, n).  green : G_s (n, n).  added : TᵀΔT (v, v).  factor : i/s_0.
    The Krylov method's precision is that of the rounded operators, the load and `added`.
    """

    def __init__(self, index, incident, exact, rounded, load, green, added, factor):
        self.index, self.incident, self.exact, self._rounded = index, incident, exact, rounded
        self.factor = factor
        self.dtype = np.result_type(added.dtype, np.complex64)
        self._load, self._green, self._factor = load, green, self.dtype.type(factor)
        static = self._factor * (rounded.potential @ added)
        static.ravel()[:: len(static) + 1] += 1
        lapack = scipy.linalg.lapack
        factorise, self._substitute = (
            (lapack.cgetrf, lapack.cgetrs) if self.dtype == np.complex64 else (lapack.zgetrf, lapack.zgetrs)
        )
        # Of the transpose, which is Fortran-ordered; `precondition` solves with its transpose.
        self._factors = factorise(static.T, overwrite_a=True)[:2]

    @property
    def precision(self) -> float:
        """Relative spacing of the numbers that G_s is kept in."""
        return float(np.finfo(self._green.dtype).eps)

    def direct(self):
        """x and iG_sΔx by a dense factorisation of the equation: 8/3 n³ flops, for what iterations give up."""
        delta = self.exact.delta.toarray().astype(complex)
        matrix = 1j * (self._green @ delta) + self.factor * self.exact.quasi_static(delta)
        matrix.ravel()[:: len(matrix) + 1] += 1
        fields = scipy.linalg.solve(matrix, self.incident, overwrite_a=True)
        return fields, 1j * (self._green @ self.exact.change(fields))

    def weight(self, left):
        """‖RᵀΔR‖ for a residual R, as an estimate needs it."""
        rounded = left.astype(self.dtype)
        return np.linalg.norm(rounded.T @ self._rounded.change(rounded))

    def induce(self, x):
        """iG_sΔx, the product with G_s in its own precision."""
        changed = self._rounded.change(x).astype(self._green.dtype, copy=False)
        changed *= changed.dtype.type(1j)
        return (self._green @ changed).astype(self.dtype, copy=False)

    def precondition(self, x):
        """M⁻¹x = x − T (I + iLTᵀΔT/s_0)⁻¹ (i/s_0) L TᵀΔx."""
        load = _times(self._rounded.potential, self._load @ x)
        load *= self._factor
        potentials = self._substitute(*self._factors, load, trans=1)[0]
        smooth = self._rounded.gradient @ np.ascontiguousarray(potentials)
        return np.subtract(x, smooth, out=smooth)


def _times(matrix, x):
    """A real matrix times complex (·, k), contiguous."""
    return (matrix @ x.view(x.real.dtype)).view(x.dtype)
