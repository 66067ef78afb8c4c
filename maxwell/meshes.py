"""Meshes of the unit box, of tetrahedra or bricks, graded towards a region of interest and aligned with planes."""

import numpy as np

from maxwell import fenicsx
from maxwell.errors import MaxwellError
from maxwell.parametrisations import smoothstep

FALL = 0.2
"""Length in m over which the density of a graded mesh falls to that of its surroundings."""

CELLS = {"tetrahedron": 6, "hexahedron": 1}
"""Kinds of cells, and how many of them fill a brick."""

ANYWHERE = ((), (), ())
"""No plane that faces must lie on, along any axis."""


def line(cells: int, low: float, high: float, strength: float, planes=()) -> np.ndarray:
    """Coordinates of the faces along one edge, (cells + 1,) in m, that crowd in [low, high] and hit the planes.

    Without planes they are quantiles of the density 1 + strength·B(x), with B a C² bump that is 1 on
    [low, high] and falls to 0 over `FALL` on either side: the spacing inside is finer than outside by the
    factor 1 + strength.  Planes cut the edge into intervals: each interval has at least one cell, the others
    go one by one to the interval of most density a cell (of equals, to the outermost), and quantiles of
    the same density divide each interval.

    planes : increasing coordinates in [0, 1] m.

    Raises MaxwellError for planes that are not so, or more intervals than cells.
    """
    ends = np.asarray(planes, dtype=float)
    if not (ends.ndim == 1 and ((ends >= 0) & (ends <= 1)).all() and (np.diff(ends) > 0).all()):
        raise MaxwellError(
            f"The planes along an edge are {ends.tolist()} m; expected increasing coordinates from 0 to 1."
        )
    ends = np.concatenate([[0.0], ends[(ends > 0) & (ends < 1)], [1.0]])
    intervals = len(ends) - 1
    if cells < intervals:
        raise MaxwellError(
            f"{cells} cells an edge cannot put faces on the planes {ends[1:-1].tolist()} m; "
            f"expected at least {intervals} cells, one for each interval, or fewer planes."
        )
    x = np.union1d(np.linspace(0, 1, 20_001), ends)
    bump = smoothstep((x - low) / FALL + 1)[0] * smoothstep((high - x) / FALL + 1)[0]
    density = 1 + strength * bump
    quantile = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(x))])
    edges = quantile[np.searchsorted(x, ends)]
    shares = np.diff(edges)
    counts = np.ones(intervals, dtype=int)
    for _ in range(cells - intervals):
        # Rounded, so that intervals equal up to round-off count as equal and symmetric planes stay symmetric.
        load = np.round(shares / counts, 9)
        counts[max(range(intervals), key=lambda i: (load[i], abs(2 * i + 1 - intervals)))] += 1
    pieces = [
        np.interp(np.linspace(a, b, n + 1)[:-1], quantile, x)
        for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    faces = np.concatenate([*pieces, [1.0]])
    faces[np.concatenate([[0], np.cumsum(counts)])] = ends
    return faces


def box(comm, cells: int, grading: float, region: np.ndarray, *, cell: str = "tetrahedron", planes=ANYWHERE):
    """(0, 1 m)³ in `cells` bricks along an edge, as a DOLFINx mesh of bricks or of 6 tetrahedra to a brick.

    grading : 0 for a uniform mesh; g > 0 makes cells in the region 1 + g times finer than elsewhere.
    region : (2, 3) lower and upper corner in m towards which to grade; along z the fine part reaches up
        to the top face, where the survey lies.
    cell : "tetrahedron" or "hexahedron".
    planes : for each axis the coordinates in m where faces must lie; see `line`.

    The stretching is a product of maps of one coordinate, so bricks stay axis-aligned: every cell is affine.
    Raises MaxwellError for another kind of cell and for planes that `line` refuses.
    """
    if cell not in CELLS:
        raise MaxwellError(f"The cell of the mesh is {cell!r}; expected one of {sorted(CELLS)}.")
    low, high = region
    lines = [
        line(cells, low[axis], end, grading, planes[axis]) for axis, end in enumerate((high[0], high[1], 1.0))
    ]
    kind = getattr(fenicsx.mesh.CellType, cell)
    mesh = fenicsx.mesh.create_unit_cube(comm, cells, cells, cells, kind)
    for axis, faces in enumerate(lines):
        mesh.geometry.x[:, axis] = faces[np.rint(mesh.geometry.x[:, axis] * cells).astype(int)]
    return mesh
