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
    """A sample as a `krylov.SampleEquation`: exact operators for what is handed on, rounded ones for the rest.

    load : TᵀΔ (v, n).  green : G_s (n, n).  added : TᵀΔT (v, v), sparse.  factor : i/s_0.
    The Krylov method's precision is that of the rounded operators, the load and `added`.
    """

    def __init__(self, incident, exact, rounded, load, green, added, factor):
        self.incident, self._exact, self._rounded, self._exact_factor = incident, exact, rounded, factor
        self.dtype = np.result_type(load.values.dtype, np.complex64)
        self._load, self._green, self._factor = load, green, self.dtype.type(factor)
        transposed = self._factor * (added @ rounded.potential)
        transposed.ravel()[:: len(transposed) + 1] += 1
        lapack = scipy.linalg.lapack
        factorise, self._substitute = (
            (lapack.cgetrf, lapack.cgetrs) if self.dtype == np.complex64 else (lapack.zgetrf, lapack.zgetrs)
        )
        self._factors = factorise(transposed.T, overwrite_a=True)[:2]

    @property
    def precision(self) -> float:
        """Relative spacing of the numbers that G_s is kept in."""
        return float(np.finfo(self._green.dtype).eps)

    def direct(self):
        """x and iG_sΔx by a dense factorisation of the equation: 8/3 n³ flops, for what iterations give up."""
        delta = self._exact.delta.toarray().astype(complex)
        matrix = 1j * (self._green @ delta) + self.quasi_static(delta)
        matrix.ravel()[:: len(matrix) + 1] += 1
        fields = scipy.linalg.solve(matrix, self.incident, overwrite_a=True)
        return fields, 1j * (self._green @ self.change(fields))

    def change(self, x):
        """Δx in double precision."""
        return self._exact.change(x)

    def quasi_static(self, changed):
        """(i/s_0) TLTᵀΔx, given Δx, in double precision."""
        product = self._exact.quasi_static(changed)
        product *= self._exact_factor
        return product

    def weigh(self, refined, left):
        """(M⁻¹R)ᵀΔR, given both residuals."""
        return refined.T @ self._rounded.change(left.astype(self.dtype))

    def induce(self, changed):
        """iG_sΔx, given Δx, in the precision of G_s."""
        rounded = changed.astype(self._green.dtype)
        rounded *= rounded.dtype.type(1j)
        return self._green @ rounded

    def apply(self, x):
        """iG_sΔx, with the product in the precision of G_s, and M⁻¹(I + iGΔ)x = x + M⁻¹iG_sΔx."""
        induced = self.induce(self._rounded.change(x)).astype(self.dtype, copy=False)
        image = self.precondition(induced)
        image += x
        return induced, image

    def precondition(self, x):
        """M⁻¹x = x − T (I + iLTᵀΔT/s_0)⁻¹ (i/s_0) L TᵀΔx."""
        load = _times(self._rounded.potential, self._load @ x)
        load *= self._factor
        potentials = self._substitute(*self._factors, load)[0]
        smooth = self._rounded.gradient @ np.ascontiguousarray(potentials)
        return np.subtract(x, smooth, out=smooth)


def _times(matrix, x):
    """A real matrix times complex (·, k), contiguous."""
    return (matrix @ x.view(x.real.dtype)).view(x.dtype)
