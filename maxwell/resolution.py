"""Whether a mesh can carry the field: cells per skin depth and per wavelength, and the least that make sense."""

from math import ceil, pi

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.units import Scaling

LEAST = {1: 0.75, 2: 0.375}
"""Cells per skin depth, and per wavelength over 2π, below which elements of a degree follow no decay at all.

Not a promise of accuracy: the data of a mesh at the limit are wrong by tens of per cent.
"""

LEAST_INSIDE = {degree: least / 3 for degree, least in LEAST.items()}
"""The same inside an anomaly, which the data see from outside, through the currents it carries as a whole."""

MOST_CELLS = 10
"""A mesh so many times finer an edge is still an advice; finer ones are not, and only a weaker contrast helps."""


def check_background(
    scaling: Scaling, conductivity: float, permittivity: float, width: float, degree: int
) -> None:
    """Raise MaxwellError when a homogeneous medium's field varies within one cell too much to be followed.

    width : largest extent of a cell along an axis, in m.  Skin depth δ = 1/√(πfμ0σ); wavelength 2π/Re k_c.
    """
    wavenumber = np.sqrt(scaling.wavenumber_squared(conductivity, permittivity)).real / scaling.length
    depth, wavelength = scaling.skin_depth(conductivity), 2 * pi / abs(wavenumber)
    least = LEAST[degree]
    share = min(depth, wavelength / (2 * pi)) / (least * width)
    if share < 1:
        raise MaxwellError(
            f"The mesh has {depth / width:.2g} cells per skin depth ({depth:.3g} m) and {wavelength / width:.2g} "
            f"per wavelength ({wavelength:.3g} m) of the background at {scaling.frequency:g} Hz, its largest cell "
            f"being {width:.3g} m; expected at least {least:.2g} and {2 * pi * least:.2g} at degree {degree}: take "
            f"{ceil(10 / share) / 10:g} times as many cells an edge"
            f"{', degree 2' if degree == 1 else ''} or a lower frequency."
        )


def check_anomaly(cells_per_depth: float, degree: int) -> None:
    """Raise MaxwellError when a conductive anomaly has fewer cells per skin depth than it needs at the least."""
    least = LEAST_INSIDE[degree]
    if cells_per_depth < least:
        sensible = cells_per_depth * MOST_CELLS >= least
        more = (
            f", or {ceil(10 * least / cells_per_depth) / 10:g} times as many cells an edge"
            if sensible
            else ""
        )
        raise MaxwellError(
            f"The mesh has {cells_per_depth:.2g} cells per skin depth where the anomaly conducts best; expected "
            f"at least {least:.2g} at degree {degree}: take a weaker contrast{more}."
        )
