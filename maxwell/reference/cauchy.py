"""Modes of a square waveguide with perfectly conducting walls, ended by an impedance: the Cauchy problem exactly.

Transverse modes of the face (0, 1 m)², one for each pair of integers (with z the axis, φ and ψ scalar):

    TE(m,n), m + n ≥ 1:   e ∝ ∇φ × ẑ,  φ = cos mπx cos nπy,      TM(m,n), m, n ≥ 1:   e ∝ ∇ψ,  ψ = sin mπx sin nπy.

Both have the form e = (a cos mπx sin nπy, b sin mπx cos nπy), (a, b) ∝ (−n, m) for TE and (m, n) for TM, vanish
tangentially on the walls, belong to k_t² = π²(m² + n²), and are orthonormal in L2 of the face.

Along the tube E_T = f(z) e with f'' = γ²f, γ² = k_t² − k_c², k_c² = κ² − iκσ̂.  A TM mode has E_z = h ψ too, and
div E = 0 gives h' = k_t² f, hence h = k_t² f'/γ².  The tangential part of ẑ × curl E is −f' e for TE and
−(f' − h) e = (k_c²/γ²) f' e for TM, in one formula −(y/γ) f' e with the admittances y_TE = γ, y_TM = −k_c²/γ.
The impedance ẑ × curl E = iκE_T at z = L then reads −(y/γ) f' = iκ f, and f(0) = 1 leaves

    f(z) = (y cosh γ(L−z) + iκ sinh γ(L−z)) / (y cosh γL + iκ sinh γL),     t = f(L) = y / (y cosh γL + iκ sinh γL).

Every hyperbolic function is divided by the e^{γL} it grows with, so that no depth overflows; γ = 0 is a limit, not
a case.  Collin, Field Theory of Guided Waves (1991), chapter 5, has the modes.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.parametrisations import Parameter


@dataclass(frozen=True)
class FaceModes:
    """The first `count` tangential modes of the face (0, 1 m)², orthonormal in L2: what parametrises a field on it.

    Ordered by k_t; among equal k_t, TE before TM, then the larger m first: TE(1,0), TE(0,1), TE(1,1), TM(1,1), …
    The values e_k are in 1/m, so that a field in V/m has coefficients in V.
    """

    count: int

    def __post_init__(self):
        if isinstance(self.count, bool) or not isinstance(self.count, int) or not 1 <= self.count <= 1000:
            raise MaxwellError(f"FaceModes: count is {self.count!r}; expected a whole number from 1 to 1000.")

    @cached_property
    def _table(self) -> np.ndarray:
        # Every mode with m² + n² ≤ N² comes before any other, and there are at least N² / 2 of them.
        top = int(np.ceil(np.sqrt(2 * self.count))) + 1
        m, n, magnetic = (axis.ravel() for axis in np.mgrid[: top + 1, : top + 1, :2])
        present = np.where(magnetic == 1, m * n > 0, m + n > 0)
        m, n, magnetic = m[present], n[present], magnetic[present]
        order = np.lexsort((-m, magnetic, m**2 + n**2))[: self.count]
        return np.stack([m, n, magnetic])[:, order]

    @property
    def m(self) -> np.ndarray:
        """Half-waves along x (count,)."""
        return self._table[0]

    @property
    def n(self) -> np.ndarray:
        """Half-waves along y (count,)."""
        return self._table[1]

    @property
    def magnetic(self) -> np.ndarray:
        """True where the mode is TM (count,)."""
        return self._table[2] == 1

    @property
    def names(self) -> tuple[str, ...]:
        """TE(1,0), TE(0,1), …"""
        return tuple(f"{'TM' if t else 'TE'}({m},{n})" for m, n, t in self._table.T.tolist())

    @property
    def wavenumbers(self) -> np.ndarray:
        """k_t = π√(m² + n²) in rad/m (count,)."""
        return np.pi * np.hypot(self.m, self.n)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Names, unit (V) and groups (TE, TM) of the coefficients of a field in V/m."""
        return tuple(Parameter(name, "V", name[:2]) for name in self.names)

    def check(self, theta) -> np.ndarray:
        """Return coefficients as a finite complex128 array of shape (count,), or say what is wrong with them."""
        try:
            theta = np.asarray(theta)
        except ValueError:  # ragged
            raise MaxwellError(f"{self!r}: theta is {theta!r}; expected a flat list of numbers.") from None
        if theta.shape != (self.count,):
            raise MaxwellError(
                f"{self!r}: theta has shape {theta.shape}; expected ({self.count},), a complex number a mode."
            )
        if not np.issubdtype(theta.dtype, np.number):
            raise MaxwellError(f"{self!r}: theta has dtype {theta.dtype}; expected complex numbers.")
        if not np.isfinite(theta).all():
            k = int(np.flatnonzero(~np.isfinite(theta))[0])
            raise MaxwellError(f"{self!r}: theta[{k}] is {theta[k]}; expected finite numbers.")
        return theta.astype(np.complex128)

    @property
    def amplitudes(self) -> np.ndarray:
        """(a, b) of e = (a cos mπx sin nπy, b sin mπx cos nπy), in 1/m: (count, 2)."""
        ab = np.where(self.magnetic, [self.m, self.n], [-self.n, self.m]) * np.pi * self._scale
        return ab.T

    @property
    def _scale(self) -> np.ndarray:
        """Factor of φ or ψ that makes ∫|e|² = k_t² ∫|φ|² = 1."""
        return 2 / self.wavenumbers * np.where(self.m * self.n == 0, np.sqrt(0.5), 1.0)

    def evaluate(self, x) -> np.ndarray:
        """e_k at points x (..., 2) in m: (..., count, 2) in 1/m."""
        u, v = (np.asarray(x)[..., axis, None] * np.pi for axis in (0, 1))
        along_x = np.cos(self.m * u) * np.sin(self.n * v)
        along_y = np.sin(self.m * u) * np.cos(self.n * v)
        return np.stack([along_x, along_y], axis=-1) * self.amplitudes

    def potentials(self, x) -> np.ndarray:
        """ψ_k at points x (..., 2), ∇ψ_k = e_k, of the TM modes and 0 for TE: (..., count), dimensionless."""
        u, v = (np.asarray(x)[..., axis, None] * np.pi for axis in (0, 1))
        return np.sin(self.m * u) * np.sin(self.n * v) * self._scale * self.magnetic


@dataclass(frozen=True)
class Waveguide:
    """The modes of the face continued into (0,1)² × (0, L); see the module for the equations.

    depth : L in m.  wavenumber : κ in rad/m.  loss : σ̂ = σ Z0 in 1/m.
    """

    modes: FaceModes
    depth: float
    wavenumber: float
    loss: float

    @property
    def wavenumber_squared(self) -> complex:
        """k_c² = κ² − iκσ̂ in 1/m²."""
        return self.wavenumber**2 - 1j * self.wavenumber * self.loss

    @property
    def decay(self) -> np.ndarray:
        """γ = √(k_t² − k_c²) in 1/m, Re γ ≥ 0: (count,)."""
        return np.sqrt(self.modes.wavenumbers**2 - self.wavenumber_squared)

    @property
    def transfer(self) -> np.ndarray:
        """t of each mode (count,), dimensionless: the coefficient of E_T on z = L that 1 V on z = 0 gives."""
        return self._profile(self.depth)

    @property
    def admittance(self) -> np.ndarray:
        """y (y tanh γL + iκ) / (y + iκ tanh γL) in 1/m (count,): −n × curl E over E_T, on z = 0, n outward.

        A mode of coefficient θ carries the power Im(admittance) |θ|² / (2κZ0) into the tube.
        """
        product = np.where(self.modes.magnetic, -self.wavenumber_squared, self.decay**2)  # γy
        cosine = 1 + np.exp(-2 * self.decay * self.depth)
        slope = product * self._sinhc(self.depth) + 1j * self.wavenumber * cosine
        return slope / self._grown(self.depth)

    def field(self, theta, x) -> np.ndarray:
        """E = Σ θ_k (f_k e_k + h_k ψ_k ẑ) at points x (..., 3) in m for θ (count,) in V: (..., 3) in V/m."""
        theta, x = np.asarray(theta), np.asarray(x)
        z = x[..., 2, None]
        tangential = np.einsum("...k,...ki->...i", theta * self._profile(z), self.modes.evaluate(x[..., :2]))
        # h = k_t² f'/γ² with the TM admittance put in, so that no γ is left in a denominator.
        d = self.depth - z
        cosine = 1 + np.exp(-2 * self.decay * d)
        slope = self._sinhc(d) - 1j * self.wavenumber / self.wavenumber_squared * cosine
        h = -(self.modes.wavenumbers**2) * np.exp(-self.decay * z) * slope / self._grown(self.depth)
        axial = theta * h * self.modes.potentials(x[..., :2])
        return np.concatenate([tangential, axial.sum(axis=-1, keepdims=True)], axis=-1)

    def _profile(self, z):
        return np.exp(-self.decay * z) * self._grown(self.depth - z) / self._grown(self.depth)

    def _grown(self, d):
        """2 e^{−γd} (cosh γd + (iκ/y) sinh γd)."""
        inverse_y = np.where(self.modes.magnetic, -(self.decay**2) / self.wavenumber_squared, 1.0)  # γ/y
        return 1 + np.exp(-2 * self.decay * d) + 1j * self.wavenumber * inverse_y * self._sinhc(d)

    def _sinhc(self, d):
        """2 e^{−γd} sinh(γd) / γ, and 2d in the limit γ → 0."""
        s = 2 * self.decay * d
        safe = np.where(s == 0, 1.0, s)
        return 2 * d * np.where(s == 0, 1.0, -np.expm1(-safe) / safe)
