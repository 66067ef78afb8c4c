"""What all pictures share."""

import io

import matplotlib
from matplotlib.figure import Figure

RESOLUTION = 140
HUES = {
    "fixed": "#56B4E9",
    "uniform": "#009E73",
    "simplex": "#E69F00",
    "positive": "#D55E00",
    "free": "#CC79A7",
    "simplex-horizon": "#8A3F6A",
}
"""How steps are chosen and its hue in every picture, of Okabe and Ito's colour-blind safe palette."""

UNDATED = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
"""Suffixes of the files that a picture can be, each with what keeps dates and versions out of it."""


def figure(columns: int = 1, rows: int = 1, size: tuple[float, float] = (5.0, 3.4), **grid):
    """A figure of `rows` × `columns` axes, each of `size` inches; returns (figure, axes (rows, columns))."""
    made = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = made.subplots(rows, columns, squeeze=False, **grid)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    return made, axes


def png(made: Figure) -> bytes:
    """The figure as the bytes of a PNG file (the same bytes for the same figure: no date or version inside)."""
    return picture(made, ".png")


def picture(made: Figure, suffix: str) -> bytes:
    """The figure as the bytes of a file of that suffix, one of `UNDATED`; the same for the same figure."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "maxinv"}):  # else the names inside are drawn at random
        made.savefig(buffer, format=suffix[1:], dpi=RESOLUTION, metadata=UNDATED[suffix])
    return buffer.getvalue()
