"""Silent magnetisations: bodies that are magnetised and have no field outside, the kernel of the inverse problem.

With a bump ψ supported in a ball inside D:

**M = ∇ψ.**  curl M = 0, so the weak right-hand side ∫ M·curl v = ∫ curl M·v vanishes, A = 0 and B = 0
everywhere.  (H = −M inside: poles without flux.)  A discrete curl is divergence-free and normally continuous,
so ∫ ∇ψ·curl Z_h = 0 on every mesh: computed data differ from zero by quadrature alone.

**M = curl(ψa) = ∇ψ × a.**  A = μ0 ψa solves curl(μ0⁻¹ curl A) = curl M and n × A = 0, so B = μ0 M inside the ball
and B = 0 outside.  (H = 0: currents that close on themselves.)  Computed data are μ0 ∫ curl Z_h·curl(ψa); as
curl curl Z = 0 in D, Galerkin orthogonality makes them O(h^{2k}) for elements of degree k.

Together, by Helmholtz decomposition, sums of such fields with any ψ and ψa supported in D are all that is silent.

    ψ(x) = (1 − r²/R²)⁴ for r = |x − c| < R, else 0        (C³, in A)

Source: Baratchart, Hardin, Lima, Saff, Weiss, Characterizing kernels of operators related to thin-plate
magnetizations via generalizations of Hodge decompositions, Inverse Problems 29 (2013) 015004.
"""

import numpy as np

from maxwell.errors import MaxwellError


def bump(x: np.ndarray, centre, radius: float) -> np.ndarray:
    """ψ at points x (..., 3) in m: (...), between 0 and 1."""
    return _ball(x, centre, radius)[1] ** 4


def bump_gradient(x: np.ndarray, centre, radius: float) -> np.ndarray:
    """M = ∇ψ at points x (..., 3) in m: (..., 3) in A/m for ψ of unit height in A."""
    offset, t = _ball(x, centre, radius)
    return (-8 / radius**2 * t**3)[..., None] * offset


def bump_curl(x: np.ndarray, centre, radius: float, axis) -> np.ndarray:
    """M = curl(ψa) = ∇ψ × a for a fixed vector a (3,): (..., 3) in A/m, at points x (..., 3) in m."""
    return np.cross(bump_gradient(x, centre, radius), np.asarray(axis, dtype=float))


def _ball(x, centre, radius):
    """Offsets from the centre (..., 3), and 1 − r²/R² clipped at 0 (...)."""
    if not radius > 0:
        raise MaxwellError(f"silent: radius is {radius!r} m; expected it positive.")
    offset = np.asarray(x, dtype=float) - np.asarray(centre, dtype=float)
    return offset, np.clip(1 - np.sum(offset**2, axis=-1) / radius**2, 0, None)
