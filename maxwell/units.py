"""The one place where SI meets the dimensionless equations that are discretised.

Time convention e^{+iωt}.  With lengths in units of L0, κ = ωL0/c, σ̂ = σ Z0 L0:

    curl curl E − k_c² E = −iκ Z0 L0 J,      k_c² = κ² ε_r − iκ σ̂.

E stays in V/m throughout; only lengths and the conductivity are scaled.
"""

from dataclasses import dataclass
from math import pi, sqrt

SPEED_OF_LIGHT = 299_792_458.0
"""c in m/s, exact by definition."""

VACUUM_PERMEABILITY = 1.25663706127e-6
"""μ0 in H/m (CODATA 2022)."""

VACUUM_IMPEDANCE = VACUUM_PERMEABILITY * SPEED_OF_LIGHT
"""Z0 = μ0 c in Ω (376.73…)."""


@dataclass(frozen=True)
class Scaling:
    """Dimensionless numbers of a frequency.

    frequency : f in Hz.
    length : L0 in m, the unit of length of the mesh.
    """

    frequency: float
    length: float = 1.0

    @property
    def wavenumber(self) -> float:
        """κ = 2πf L0/c, dimensionless."""
        return 2 * pi * self.frequency * self.length / SPEED_OF_LIGHT

    def conductivity(self, siemens_per_metre):
        """σ̂ = σ Z0 L0 for σ in S/m, dimensionless."""
        return siemens_per_metre * VACUUM_IMPEDANCE * self.length

    def wavenumber_squared(self, conductivity, permittivity=1.0):
        """k_c² = κ² ε_r − iκ σ̂ for σ in S/m and ε_r, dimensionless and complex."""
        return self.wavenumber**2 * permittivity - 1j * self.wavenumber * self.conductivity(conductivity)

    @property
    def current(self) -> complex:
        """−iκ Z0 / L0²: weak right-hand side per unit current moment, V/m per A·m."""
        return -1j * self.wavenumber * VACUUM_IMPEDANCE / self.length**2

    def skin_depth(self, conductivity: float) -> float:
        """δ = 1/√(π f μ0 σ) in m, the good-conductor length scale of the field."""
        return 1 / sqrt(pi * self.frequency * VACUUM_PERMEABILITY * conductivity)
