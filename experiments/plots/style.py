"""What all pictures share."""

import base64
import io

from matplotlib.figure import Figure

RESOLUTION = 140


def figure(columns: int = 1, rows: int = 1, size: tuple[float, float] = (5.0, 3.4), **grid):
    """A figure of `rows` × `columns` axes, each of `size` inches; returns (figure, axes (rows, columns))."""
    made = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = made.subplots(rows, columns, squeeze=False, **grid)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    return made, axes


def png(made: Figure) -> str:
    """The figure as a data URI, so that a page needs no other file."""
    buffer = io.BytesIO()
    made.savefig(buffer, format="png", dpi=RESOLUTION)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
