"""What all pictures share."""

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


def png(made: Figure) -> bytes:
    """The figure as the bytes of a PNG file (the same bytes for the same figure: no date or version inside)."""
    buffer = io.BytesIO()
    made.savefig(buffer, format="png", dpi=RESOLUTION, metadata={"Software": None})
    return buffer.getvalue()
