"""Points that a user asks about, checked at the door."""

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.numbers import array_of

SLACK = 1e-9
"""Distance in m by which a point may miss the box it is to lie in: rounding of what computed it."""


def points_in(box: np.ndarray, x, what: str) -> np.ndarray:
    """Points (n, 3) in m as float64, those within `SLACK` of the box moved into it.

    box : lower and upper corner (2, 3) in m.  what : begins the message.

    Raises MaxwellError for another shape, complex numbers, and a point outside, which NaN is too.
    """
    points = array_of(x, f"{what}: x")
    if points.ndim != 2 or points.shape[1] != 3 or np.iscomplexobj(points):
        raise MaxwellError(
            f"{what}: x has shape {points.shape} and dtype {points.dtype}; expected real points (n, 3) in m."
        )
    low, high = box
    within = ((points >= low - SLACK) & (points <= high + SLACK)).all(axis=1)
    if not within.all():
        raise MaxwellError(
            f"{what}: the point {points[np.flatnonzero(~within)[0]].tolist()} m lies outside the box; expected "
            f"points from {np.asarray(low).tolist()} to {np.asarray(high).tolist()} m."
        )
    return np.clip(points.astype(np.float64), low, high)
