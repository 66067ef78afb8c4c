"""A static magnetic dipole in a superconducting box: a double series that converges exponentially."""

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.units import VACUUM_PERMEABILITY

DECAY = 36.0
"""Modes are kept until exp(−k|z − z'|) falls to exp(−36), below round-off."""


def field(sensors: np.ndarray, positions: np.ndarray, half_edge: float = 1.0) -> np.ndarray:
    """B in T at sensors per unit moment of dipoles: (n, 3) and (q, 3) in m → (n, 3, q, 3) in T/(A m²).

    In Ω = (−a, a)³ with B·n = 0 on ∂Ω: B = −μ0∇φ away from the dipole m at x', φ = m·∇'G with the Neumann function
    −ΔG = δ_x' − 1/|Ω|.  Over the modes cos(k_x x) cos(k_y y), k = π(m, n)/2a, in coordinates from the corner,

        G = Σ c_m c_n cos cos cos cos g_k(z, z'),     c_0 = 1/2a, c_m = 1/a,
        g_k = cosh(k z_<) cosh(k(2a − z_>)) / (k sinh 2ka),     g_0 = −z_> + (z² + z'²)/4a,

    so B_i = −μ0 Σ_j ∂_i ∂'_j G m_j.  The moment of the walls' images is in it: no series of images is summed.

    Sensors must lie above the dipoles, by more than a/50.  Raises MaxwellError if they do not.
    Cost: O((36 a/π gap)²) for each pair.  Source: Jackson, Classical Electrodynamics, section 3.11 (Green functions
    as eigenfunction expansions).
    """
    x, source = np.atleast_2d(sensors) + half_edge, np.atleast_2d(positions) + half_edge
    gap = x[:, 2].min() - source[:, 2].max()
    if not gap > half_edge / 50:
        raise MaxwellError(
            f"boxed_dipole: the lowest sensor lies {gap:.3g} m above the highest dipole; expected more than "
            f"{half_edge / 50:g} m, for the series converges like exp(-k gap)."
        )
    out = np.empty((len(x), 3, len(source), 3))
    for z in np.unique(x[:, 2]):
        level = np.flatnonzero(x[:, 2] == z)
        for q, (xs, ys, zs) in enumerate(source):
            modes = np.arange(int(np.ceil(2 * half_edge * DECAY / (np.pi * (z - zs)))) + 1)
            k = np.pi * modes / (2 * half_edge)
            weight = np.where(modes == 0, 0.5, 1.0) / half_edge
            along = [_cosines(x[level, axis], k) for axis in (0, 1)]
            at = [[weight * t[0] for t in _cosines(np.array([s]), k)] for s in (xs, ys)]
            vertical = _vertical(np.hypot(k[:, None], k), z, zs, half_edge)
            for i in range(3):
                for j in range(3):
                    left = along[0][i == 0] * at[0][j == 0]
                    right = along[1][i == 1] * at[1][j == 1]
                    series = vertical[i == 2][j == 2]
                    out[level, i, q, j] = -np.sum((left @ series) * right, axis=1)
    return VACUUM_PERMEABILITY * out


def _cosines(x, k):
    """cos(k x) and its derivative by x: each (n, modes)."""
    return np.cos(np.outer(x, k)), -k * np.sin(np.outer(x, k))


def _vertical(k, z, source, half_edge):
    """g_k and its derivatives for z > z': [[g, ∂'g], [∂g, ∂∂'g]], each shaped as k; no exponential overflows."""
    k = np.where(k == 0, 1.0, k)
    decay = 0.5 * np.exp(-k * (z - source)) / -np.expm1(-4 * k * half_edge)
    low, top = np.exp(-2 * k * source), np.exp(-2 * k * (2 * half_edge - z))
    g, by_source = decay * (1 + low) * (1 + top) / k, decay * (1 - low) * (1 + top)
    by_z, by_both = -decay * (1 + low) * (1 - top), -k * decay * (1 - low) * (1 - top)
    g[0, 0], by_source[0, 0] = 0.0, source / (2 * half_edge)  # a constant in g_0 drops out of B
    by_z[0, 0], by_both[0, 0] = -1 + z / (2 * half_edge), 0.0
    return [[g, by_source], [by_z, by_both]]
