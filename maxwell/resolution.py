"""Whether a mesh can carry the field: cells per skin depth and per wavelength, and what rounding leaves."""

from math import ceil, floor, log10, pi, sqrt

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.units import SPEED_OF_LIGHT, Scaling

LEAST = {1: 0.75, 2: 0.375}
"""Cells per skin depth, and per wavelength over 2π, below which elements of a degree follow no decay at all.

Not a promise of accuracy: the data of a mesh at the limit are wrong by tens of per cent.
"""

LEAST_INSIDE = {degree: least / 3 for degree, least in LEAST.items()}
"""The same inside an anomaly, which the data see from outside, through the currents it carries as a whole."""

MOST_CELLS = 10
"""A mesh so many times finer an edge is still an advice; finer ones are not, and only a weaker contrast helps."""

ROUNDING = {1: 12.0, 2: 200.0}
"""C of `rounding`, by degree of the elements."""

ACCURACY = 1e-9
"""Largest relative error by rounding that is accepted: as large as the residual that a solver may leave."""


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


def rounding(wavenumber_squared: complex, width: float, degree: int) -> float:
    """Bound C ε / (|k_c²| h²) of the relative error that rounding makes in the data, in double precision (ε).

    Of curl curl − k_c² a gradient sees the second term alone.  As the frequency falls that term sinks below the
    rounding of the first, of size ε/h² in the smallest cells, and with it charges and galvanic currents.
    C was measured as the reciprocity of the data matrix and the residual, on both kinds of cells, graded or not,
    from 10⁻⁸ to 3 S/m and over six decades of frequency: 1 to 12 at degree 1, 30 to 200 at degree 2.  The residual
    alone does not tell: in a resistive box it stays below 10⁻⁸ while the data are wrong by 10⁻³.

    wavenumber_squared : k_c² of the background for lengths in the unit of `width`, h, the smallest cell's extent.
    """
    return ROUNDING[degree] * float(np.finfo(float).eps) / (abs(wavenumber_squared) * width**2)


def check_rounding(
    scaling: Scaling, conductivity: float, permittivity: float, width: float, degree: int
) -> None:
    """Raise MaxwellError where the bound of `rounding` exceeds `ACCURACY`: the frequency is too low for the cells.

    width : extent of the smallest cell in m.
    """
    squared = scaling.wavenumber_squared(conductivity, permittivity)
    size = width / scaling.length
    error = rounding(squared, size, degree)
    if error <= ACCURACY:
        return
    # |k_c²|² = κ⁴ε_r² + κ²σ̂² grows with κ; solved for κ² without cancellation.
    target = abs(squared) * error / ACCURACY
    loss = scaling.conductivity(conductivity) ** 2
    kappa = target * sqrt(2 / (loss + sqrt(loss**2 + (2 * permittivity * target) ** 2)))
    lowest = kappa * SPEED_OF_LIGHT / (2 * pi * scaling.length)
    digit = 10.0 ** (floor(log10(lowest)) - 1)
    raise MaxwellError(
        f"At {scaling.frequency:g} Hz |k_c²|h² is {abs(squared) * size**2:.2g} in the smallest cell "
        f"(h = {width:.3g} m): the gradient part of the curl-curl system is lost to rounding, and data would be "
        f"wrong by up to {error:.1g}; expected at least {target * size**2:.2g} at degree {degree}: take "
        f"{ceil(lowest / digit) * digit:g} Hz or more, or larger cells{', or degree 1' if degree == 2 else ''}."
    )
