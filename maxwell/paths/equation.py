"""The equation of one sample of the low-rank update, and the operators that it is made of."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp


@dataclass(frozen=True)
class Operators:
    """Real matrices of a sample with n unknowns and v nodes, in one precision; they act on complex (·, k)."""

    delta: sp.csr_array  # Δ (n, n), entries of cells side by side and not yet summed
    potential: np.ndarray  # L (v, v)
    gradient: sp.csr_array  # T (n, v)

    def rounded(self, real) -> "Operators":
        """The same in another precision."""
        if real == self.potential.dtype:
            return self
        return Operators(self.delta.astype(real), self.potential.astype(real), self.gradient.astype(real))

    def change(self, x):
        """Δx."""
        return _complex(self.delta @ _real(x))

    def quasi_static(self, changed):
        """TLTᵀΔx, given Δx."""
        return _complex(self.gradient @ (self.potential @ (self.gradient.T @ _real(changed))))


class Equation:
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

    @property
    def precision(self) -> float:
        """Relative spacing of the numbers that G_s is kept in."""
        return float(np.finfo(self._green.dtype).eps)

    def direct(self):
        """x and iG_sΔx by a dense factorisation of the equation: 8/3 n³ flops, for what iterations give up."""
        green = self._green.astype(complex)
        if not self._whole:
            upper = np.triu_indices(len(green), 1)
            green[upper] = green.T[upper]
        delta = self.exact.delta.toarray().astype(complex)
        matrix = 1j * (green @ delta) + self.factor * self.exact.quasi_static(delta)
        matrix.ravel()[:: len(matrix) + 1] += 1
        fields = scipy.linalg.solve(matrix, self.incident, overwrite_a=True)
        return fields, 1j * (green @ self.exact.change(fields))

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
