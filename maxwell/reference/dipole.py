"""Fields of electric and magnetic dipoles in a homogeneous medium, in closed form and in SI.

Time convention e^{+iωt}, μ = μ0.  With k² = ω²μ0ε − iωμ0σ, Im k ≤ 0, R = |x − x'|, r = (x − x')/R:

    G = e^{−ikR} / 4πR,
    Γp = (1 + ∇∇·/k²) G p = G [(1 − i/kR − 1/(kR)²) p − (1 − 3i/kR − 3/(kR)²) (p·r) r],
    ∇G × p = −(ik + 1/R) G r × p.

Away from the source curl E = −iωμ0 H and curl H = (σ + iωε) E, hence curl curl E − k² E = 0.
(Jackson, Classical Electrodynamics, section 9.2; Ward and Hohmann 1988, equations 2.40 and 2.53.)
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.units import VACUUM_PERMEABILITY, Scaling


@dataclass(frozen=True)
class Dipole(ABC):
    """A point source in an unbounded homogeneous medium.

    frequency : Hz, positive.
    position : x' in m.
    moment : vector p, complex or real; its unit belongs to the kind of dipole.
    conductivity : σ in S/m, at least 0.
    permittivity : ε_r, dimensionless, at least 1.

    `electric(x)` in V/m and `magnetic(x)` in A/m map points (..., 3) in m to complex fields (..., 3).
    They raise MaxwellError at the source itself, where they are infinite.
    """

    frequency: float
    position: tuple[float, float, float]
    moment: tuple[complex, complex, complex]
    conductivity: float = 0.0
    permittivity: float = 1.0

    def __post_init__(self):
        if not (np.isfinite(self.frequency) and self.frequency > 0):
            raise MaxwellError(f"Dipole: frequency is {self.frequency!r}; expected a positive number in Hz.")
        if not (np.isfinite(self.conductivity) and self.conductivity >= 0):
            raise MaxwellError(f"Dipole: conductivity is {self.conductivity!r}; expected at least 0 in S/m.")
        if not (np.isfinite(self.permittivity) and self.permittivity >= 1):
            raise MaxwellError(f"Dipole: permittivity is {self.permittivity!r}; expected at least 1.")

    @abstractmethod
    def electric(self, x) -> np.ndarray:
        """E in V/m at points x (..., 3) in m."""

    @abstractmethod
    def magnetic(self, x) -> np.ndarray:
        """H in A/m at points x (..., 3) in m."""

    def curl_electric(self, x) -> np.ndarray:
        """curl E = −iωμ0 H in V/m² at points x (..., 3) in m."""
        return self._impedance * self.magnetic(x)

    @property
    def wavenumber(self) -> complex:
        """k in 1/m, on the branch Im k ≤ 0 that decays."""
        k2 = Scaling(self.frequency).wavenumber_squared(self.conductivity, self.permittivity)
        return complex(np.sqrt(complex(k2)))

    @property
    def _impedance(self) -> complex:
        """−iωμ0 in Ω/m."""
        return -2j * np.pi * self.frequency * VACUUM_PERMEABILITY

    def _green(self, x):
        """R (..., 1), r (..., 3), G (..., 1)."""
        offset = np.asarray(x, dtype=float) - np.asarray(self.position)
        distance = np.linalg.norm(offset, axis=-1, keepdims=True)
        if (distance == 0).any():
            raise MaxwellError(
                f"Dipole: a point of x is the position {self.position} m of the source, where the field is "
                "infinite; expected points away from it."
            )
        green = np.exp(-1j * self.wavenumber * distance) / (4 * np.pi * distance)
        return distance, offset / distance, green

    def _dyad(self, x):
        """Γp, (..., 3)."""
        distance, radial, green = self._green(x)
        moment = np.asarray(self.moment)
        t = 1 / (self.wavenumber * distance)
        along = (radial @ moment)[..., None] * radial
        return green * ((1 - 1j * t - t**2) * moment - (1 - 3j * t - 3 * t**2) * along)

    def _curl(self, x):
        """∇G × p, (..., 3)."""
        distance, radial, green = self._green(x)
        return -(1j * self.wavenumber + 1 / distance) * green * np.cross(radial, self.moment)


class ElectricDipole(Dipole):
    """Current element J = p δ(x − x') of moment p in A·m: E = −iωμ0 Γp, H = ∇G × p."""

    def electric(self, x) -> np.ndarray:
        """E in V/m at points x (..., 3) in m."""
        return self._impedance * self._dyad(x)

    def magnetic(self, x) -> np.ndarray:
        """H in A/m at points x (..., 3) in m."""
        return self._curl(x)


class MagneticDipole(Dipole):
    """Small current loop M = m δ(x − x') of moment m in A·m²: E = −iωμ0 ∇G × m, H = k² Γm."""

    def electric(self, x) -> np.ndarray:
        """E in V/m at points x (..., 3) in m."""
        return self._impedance * self._curl(x)

    def magnetic(self, x) -> np.ndarray:
        """H in A/m at points x (..., 3) in m."""
        return self.wavenumber**2 * self._dyad(x)
