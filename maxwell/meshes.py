"""Tetrahedral meshes of the unit box, uniform or graded smoothly towards a region of interest."""

import numpy as np

from maxwell import fenicsx
from maxwell.parametrisations import smoothstep

FALL = 0.2
"""Length in m over which the density of a graded mesh falls to that of its surroundings."""


def graded(t: np.ndarray, low: float, high: float, strength: float) -> np.ndarray:
    """Move equidistant points t ∈ [0, 1] so that they crowd in [low, high].

    The points are quantiles of the density 1 + strength·B(x), with B a C² bump that is 1 on [low, high]
    and falls to 0 over `FALL` on either side: the spacing inside is finer than outside by the factor
    1 + strength.  The map is a smooth monotone bijection of [0, 1], so the mesh stays conforming.
    """
    x = np.linspace(0, 1, 20_001)
    bump = smoothstep((x - low) / FALL + 1)[0] * smoothstep((high - x) / FALL + 1)[0]
    density = 1 + strength * bump
    quantile = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.interp(t, quantile / quantile[-1], x)


def box(comm, cells: int, grading: float, region: np.ndarray):
    """Tetrahedra (6 to a brick) of (0, 1 m)³ with `cells` bricks along an edge, as a DOLFINx mesh.

    grading : 0 for a uniform mesh; g > 0 makes cells in the region 1 + g times finer than elsewhere.
    region : (2, 3) lower and upper corner in m towards which to grade; along z the fine part reaches up
        to the top face, where the survey lies.
    """
    mesh = fenicsx.mesh.create_unit_cube(comm, cells, cells, cells, fenicsx.mesh.CellType.tetrahedron)
    if grading:
        low, high = region
        for axis, end in enumerate((high[0], high[1], 1.0)):
            mesh.geometry.x[:, axis] = graded(mesh.geometry.x[:, axis], low[axis], end, grading)
    return mesh
