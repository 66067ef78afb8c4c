"""Charts and unknowns on paper: matplotlib figures."""

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from experiments.plots.style import figure
from experiments.protocol.report.chart import Axis, Chart, Series

ROW = 0.21
"""Height of one name on an axis of names, in inches."""

LINE = 0.15
"""Height of a line of the legend, in inches."""

SIGHT = 0.5
"""How far beyond what is drawn, in its lengths, a line to compare with may lie: further it would press all flat."""

ABREAST = 4
"""Panels side by side, at most."""

_FINE = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
TICKS = ((2, _FINE), (12, (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)), (300, (1.0, 2.0, 5.0)), (float("inf"), (1.0,)))
"""Which multiples of powers of ten mark a logarithmic axis, by the limit of the ratio of its ends."""


def draw(chart: Chart) -> Figure:
    """The chart on paper: its panels side by side, in rows where there are many, one legend below."""
    lines = sum(1 + name.count("\n") for name in chart.y.names)
    rows, columns = arranged(len(chart.panels))
    width = max(2.0, min(4.6, 13.0 / columns)) if chart.y.names else max(3.2, min(5.0, 12.0 / columns))
    size = (width, 1.0 + 0.75 * ROW * lines if "\n" in "".join(chart.y.names) else 1.0 + ROW * lines)
    made, axes = figure(columns, rows, size if chart.y.names else (width, 3.2), sharex=True, sharey=True)
    longest = max((len(line) for name in chart.y.names for line in name.split("\n")), default=0)
    made.set_figwidth(made.get_figwidth() + 0.06 * longest)
    named: dict[str, object] = {}
    for axis, panel in zip(axes.flat, chart.panels, strict=False):
        for series in panel.series:
            named.setdefault(series.name, _series(axis, series, chart.along))
        axis.set_title(textwrap.fill(panel.title, int(9 * width)), fontsize=9)
    used = axes.flat[: len(chart.panels)]
    for axis in axes.flat[len(chart.panels) :]:
        axis.remove()
    for number, axis in enumerate(used):
        axis.tick_params(labelsize=8)
        if number + columns >= len(used):  # nothing below
            axis.set_xlabel(textwrap.fill(chart.x.label, int(11 * width)), fontsize=8)
            axis.tick_params(labelbottom=True)
        _scale(axis, "x", chart.x)
        _scale(axis, "y", chart.y)
        if chart.y.names:
            axis.set_ylim(-0.6, len(chart.y.names) - 0.4)
            axis.grid(axis="y", color="0.93", lw=0.8)
            axis.set_axisbelow(True)
    for axis in axes[:, 0]:
        axis.set_ylabel(textwrap.fill(chart.y.label, 24), fontsize=8)
    if chart.legend:
        beside = max(1, min(int(made.get_figwidth() / (0.6 + 0.05 * max(map(len, named)))), len(named)))
        lines = -(-len(named) // beside)
        made.set_figheight(made.get_figheight() + LINE * lines)  # not at the panels' expense
        made.legend(
            named.values(), named, loc="outside lower center", ncols=beside, fontsize=7, frameon=False
        )
    return made


def arranged(panels: int) -> tuple[int, int]:
    """Rows and columns of so many panels."""
    rows = -(-panels // ABREAST)
    return rows, -(-panels // rows)


def _series(axis, series: Series, along: str):
    look = series.look
    x, y = np.array(series.x, float), np.array(series.y, float)
    style = {
        "color": look.colour,
        "marker": look.marker,
        "ms": 4.5 if len(x) < 15 else 3,
        "mfc": look.colour if look.filled else "white",
        "ls": look.dash if series.line else "",
        "lw": 1.3,
    }
    if series.band:
        axis.fill_between(x, series.low, series.high, color=look.colour, alpha=0.2, lw=0)
    if series.band or not len(series.low):
        return axis.plot(x, y, **style)[0]
    value = x if along == "x" else y
    ends = np.abs(np.stack([value - series.low, np.array(series.high) - value]))
    return axis.errorbar(x, y, **{f"{along}err": ends}, elinewidth=1.0, capsize=1.5, **style)


def _scale(axes, which: str, about: Axis) -> None:
    """Names, or numbers written out on a logarithmic axis; the line to compare with."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    if about.names:
        axis.set_ticks(range(len(about.names)), about.names, fontsize=7.5)
    elif len(about.ticks):
        axes.set(**{f"{which}scale": "log" if about.log else "linear"})
        axis.set_ticks(about.ticks, [f"{tick:,.15g}" for tick in about.ticks])
        axis.set_minor_locator(NullLocator())
    elif about.log:
        axes.set(**{f"{which}scale": "log"})
        low, high = axis.get_view_interval()
        fine = next(multiples for limit, multiples in TICKS if high / low < limit)
        axis.set_major_locator(LogLocator(subs=fine, numticks=12))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value)))
        axis.set_minor_formatter(NullFormatter())
    elif about.whole:
        axis.set_major_locator(MaxNLocator(9, integer=True))
    if about.mark is not None and _in_sight(about, axis.get_view_interval()):
        rule = axes.axvline if which == "x" else axes.axhline
        rule(about.mark, color="0.75", lw=0.8, zorder=0)


def _in_sight(about: Axis, view: np.ndarray) -> bool:
    low, high, mark = np.log([*view, about.mark]) if about.log else (*view, about.mark)
    return low - SIGHT * (high - low) <= mark <= high + SIGHT * (high - low)


def _plain(value: float) -> str:
    """A tick as a plain number, tiny and huge ones as powers of ten."""
    if 1e-3 <= value < 1e4:
        return f"{value:g}"
    exponent = int(np.floor(np.log10(value) + 1e-9))
    factor = round(value / 10.0**exponent)
    return rf"$10^{{{exponent}}}$" if factor == 1 else rf"${factor}\cdot10^{{{exponent}}}$"


def cuts(problem, columns: Mapping[str, np.ndarray], rows: Mapping[str, int]) -> Figure:
    """Unknowns of some samples in the plane through the largest true value: a row each, the truth first.

    columns : name to (n, p), the first the truth.  rows : what to call a sample, to its number.
    """
    truth = next(iter(columns.values()))
    planes = {name: plane(problem, truth[k]) for name, k in rows.items()}
    images = {
        (row, name): values(problem, theta[k], planes[row][3])
        for row, k in rows.items()
        for name, theta in columns.items()
    }
    largest = max(np.abs(image).max() for image in images.values())
    signed = min(image.min() for image in images.values()) < 0
    scale = {"cmap": "PuOr_r" if signed else "viridis", "vmin": -largest if signed else 0, "vmax": largest}
    made = Figure(figsize=(2.9 * len(columns) + 0.9, 2.55 * len(rows) + 0.2), layout="constrained")
    axes = made.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey="row")
    for number, (line, row) in enumerate(zip(axes, rows, strict=True)):
        (first, second), place, lines, _ = planes[row]
        for axis, name in zip(line, columns, strict=True):
            image = images[row, name].reshape(len(lines[0]), len(lines[1]))
            shown = axis.pcolormesh(*lines, image.T, shading="nearest", rasterized=True, **scale)
            axis.set_aspect("equal")
            axis.tick_params(labelsize=7)
            if number == 0:
                axis.set_title(textwrap.fill(name, 30), fontsize=9)
            if number == len(rows) - 1:
                axis.set_xlabel(f"{'xyz'[first]} in m", fontsize=8)
        line[0].set_ylabel(f"{row}\n{place}\n{'xyz'[second]} in m", fontsize=8)
    unit = f" in {problem.image_unit}" if problem.image_unit else ""
    size = "size of the " if np.ndim(problem.image(truth[0], planes[next(iter(rows))][3][:1])) > 1 else ""
    bar = made.colorbar(shown, ax=axes, shrink=0.75, pad=0.02)
    bar.set_label(textwrap.fill(size + problem.image_name + unit, 44), fontsize=8)
    return made


def plane(problem, theta: np.ndarray, points: int = 81, search: int = 21):
    """Where to cut: the two axes of the plane, its place in words, coordinates along each, points (k², 3) in m."""
    low, high = problem.image_region
    flat = np.flatnonzero(low == high)
    normal = int(flat[0]) if flat.size else 1
    x = grid(low, high, search)
    place = x[np.argmax(np.abs(values(problem, theta, x)))][normal]
    first, second = (k for k in range(3) if k != normal)
    lines = [np.linspace(low[k], high[k], points) for k in (first, second)]
    at = np.empty((points, points, 3))
    at[..., normal] = place
    at[..., first], at[..., second] = np.meshgrid(*lines, indexing="ij")
    return (first, second), f"{'xyz'[normal]} = {place:.2f} m".replace("-", "−"), lines, at.reshape(-1, 3)


def grid(low: np.ndarray, high: np.ndarray, count: int) -> np.ndarray:
    """Midpoints of count³ cells of a box, (n, 3); of count² where it is flat."""
    lines = [
        a + (b - a) * (np.arange(count) + 0.5) / count if b > a else np.array([a])
        for a, b in zip(low, high, strict=True)
    ]
    return np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3)


def values(problem, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The image of an unknown at points, (n,): of vectors their size."""
    image = problem.image(theta, x)
    return image if image.ndim == 1 else np.linalg.norm(image, axis=-1)
