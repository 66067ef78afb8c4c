"""Charts and unknowns on screen: plain tables that plotly draws, with nothing left to compute in the browser."""

import base64
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from experiments.protocol.report.chart import Axis, Chart, Panel, Series
from experiments.protocol.report.figures import TICKS, arranged, grid, values
from experiments.protocol.report.looks import STROKES, SYMBOLS

Table = dict[str, Any]

POINTS = 14
"""Points along each edge of the box of an unknown."""

_FONT = {"family": "system-ui, sans-serif", "size": 12, "color": "#1a1a1a"}
_GAP = 0.03
_BETWEEN = 90
"""Pixels between rows of panels, for ticks and titles."""


@cache
def library() -> str:
    """The JavaScript of plotly, to be inlined."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def draw(chart: Chart) -> Table:
    """The chart as a table of plotly: hover with numbers, legend to toggle, and a selector if there are choices."""
    if chart.choices:
        traces = [_merged(chart, panel, 0) for panel in chart.choices.values()]
        panels = [Panel("", ())]
    else:
        panels, traces, seen = chart.panels, [], set()
        for number, panel in enumerate(panels):
            if chart.y.names:
                traces.append(_merged(chart, panel, number))
                continue
            for series in panel.series:
                traces.append(_trace(chart, series, number, chart.legend and series.name not in seen))
                seen.add(series.name)
    layout = _layout(chart, panels)
    if chart.choices:
        for number, trace in enumerate(traces):
            trace["visible"] = number == 0
        buttons = [
            {"label": name, "method": "restyle", "args": ["visible", [k == n for k in range(len(traces))]]}
            for n, name in enumerate(chart.choices)
        ]
        layout["updatemenus"] = [
            {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "pad": {"b": 8}}
        ]
    return {"data": traces, "layout": layout}


def _trace(chart: Chart, series: Series, number: int, listed: bool) -> Table:
    """One series in panel `number`; `listed` if it stands for its name in the legend."""
    look, trace = series.look, _base(chart, number)
    mode = "lines" if not look.marker else "lines+markers" if series.line else "markers"
    trace |= {
        "name": series.name,
        "legendgroup": series.name,
        "showlegend": listed,
        "mode": mode,
        "x": _numbers(series.x),
        "y": _numbers(series.y),
        "line": {"color": look.colour, "dash": STROKES[look.dash], "width": 1.6},
    }
    if look.marker:
        trace["marker"] = {"color": look.colour, "symbol": _symbol(look), "size": 7}
        trace["marker"] |= {"line": {"color": look.colour, "width": 1.2}}
    if len(series.hover):
        trace |= {"text": list(series.hover), "hoverinfo": "text"}
    if len(series.low):
        faint = {"color": _faint(look.colour), "width": 0} if series.band else {}
        trace[f"error_{chart.along}"] = _bars(chart, [series], look.colour) | faint
    return trace


def _merged(chart: Chart, panel: Panel, number: int) -> Table:
    """All points of a panel as one trace, where the names stand at the axis."""
    trace = _base(chart, number)
    every = [(series, k) for series in panel.series for k in range(len(series.x))]
    return trace | {
        "mode": "markers",
        "showlegend": False,
        "x": _numbers([series.x[k] for series, k in every]),
        "y": _numbers([series.y[k] for series, k in every]),
        "text": [series.hover[k] for series, k in every],
        "hoverinfo": "text",
        "marker": {
            "color": [series.look.colour for series, _ in every],
            "symbol": [_symbol(series.look) for series, _ in every],
            "size": 9,
            "line": {"color": [series.look.colour for series, _ in every], "width": 1.4},
        },
        f"error_{chart.along}": _bars(chart, panel.series, "#666666"),
    }


def _base(chart: Chart, number: int) -> Table:
    columns = arranged(len(chart.panels))[1]
    return {"type": "scatter", "xaxis": _nth("x", number), "yaxis": _nth("y", number // columns)}


def _nth(which: str, number: int) -> str:
    """The name of an axis, counted from 0."""
    return which if not number else f"{which}{number + 1}"


def _faint(colour: str) -> str:
    """A colour of six hexadecimal digits, nearly transparent."""
    return f"rgba({', '.join(str(int(colour[k : k + 2], 16)) for k in (1, 3, 5))}, 0.25)"


def _symbol(look) -> str:
    symbol = SYMBOLS[look.marker]
    return symbol if look.filled or symbol.endswith("-open") else symbol + "-open"


def _bars(chart: Chart, series: Sequence[Series], colour: str) -> Table:
    value = np.concatenate([s.x if chart.along == "x" else s.y for s in series] or [[]])
    low, high = (np.concatenate([getattr(s, end) for s in series] or [[]]) for end in ("low", "high"))
    bars = {"type": "data", "symmetric": False, "color": colour, "thickness": 1.2, "width": 3}
    return bars | {"array": _numbers(high - value), "arrayminus": _numbers(value - low)}


def _layout(chart: Chart, panels: Sequence[Panel]) -> Table:
    (rows, columns), lines = arranged(len(panels)), sum(1 + name.count("\n") for name in chart.y.names)
    names = len({s.name for panel in panels for s in panel.series}) if chart.legend else 0
    plot = 24 + 17 * lines if lines else 330 if rows < 3 else 200
    tall = rows * plot + (rows - 1) * _BETWEEN
    letters = 55 if lines else 100  # names at the axis take half of the width
    titles = [textwrap.wrap(panel.title, max(12, letters // columns)) for panel in panels]
    further = max(max(len(title), 1) - 1 for title in titles[:columns])  # lines beyond the first
    top = 60 + 18 * further  # the tool bar stands above the titles
    legend = 20 * (-(-names // 3)) + 30 if names else 0
    layout: Table = {
        "font": _FONT,
        "height": tall + legend + top + 60,
        "margin": {"l": 60, "r": 10, "t": top, "b": 60 + legend},
        "plot_bgcolor": "white",
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "showlegend": bool(names),
        "legend": {"orientation": "h", "y": -60 / tall, "yanchor": "top", "font": {"size": 11}},
        "annotations": [],
        "shapes": [],
    }
    edges = [1 - row * (plot + _BETWEEN) / tall for row in range(rows)]
    for row, edge in enumerate(edges):
        about = _axis(chart.y, _span(chart, "y"), 48) | {
            "domain": [round(max(edge - plot / tall, 0), 4), round(edge, 4)],
            "anchor": _nth("x", row * columns),
        }
        if chart.y.names:
            about["range"] = [-0.6, len(chart.y.names) - 0.4]
        layout[_nth("yaxis", row)] = about | ({"matches": "y"} if row else {})
        if chart.y.mark is not None:
            layout["shapes"].append(_rule("y", chart.y.mark, _nth("y", row), "paper"))
    width = (1 - _GAP * (columns - 1)) / columns
    for number, lettering in enumerate(titles):
        row, left = number // columns, number % columns * (width + _GAP)
        about = _axis(chart.x, _span(chart, "x"), 150 // columns) | {
            "domain": [round(left, 4), round(left + width, 4)],
            "anchor": _nth("y", row),
        }
        if number:
            about["matches"] = "x"
        if number + columns < len(panels):
            del about["title"]  # the panel below has it
        if chart.x.mark is not None:
            rule = _rule("x", chart.x.mark, _nth("x", number), f"{_nth('y', row)} domain")
            layout["shapes"].append(rule)
        layout[_nth("xaxis", number)] = about
        title = {
            "text": "<br>".join(lettering),
            "x": left + width / 2,
            "y": edges[row],
            "xref": "paper",
            "yref": "paper",
        }
        style = {"showarrow": False, "yanchor": "bottom", "xanchor": "center", "font": {"size": 13}}
        layout["annotations"].append(title | style)
    return layout


def _rule(which: str, value: float, axis: str, along: str) -> Table:
    """A line at a value of an axis, along the whole of what else it refers to."""
    other = "y" if which == "x" else "x"
    ends = {f"{which}0": value, f"{which}1": value, f"{other}0": 0, f"{other}1": 1}
    refs = {f"{which}ref": axis, f"{other}ref": along}
    return {"type": "line", **ends, **refs, "line": {"color": "#bbbbbb", "width": 1}, "layer": "below"}


def _axis(about: Axis, span: float, wide: int) -> Table:
    """An axis whose values span a ratio and whose label has lines of at most `wide` letters."""
    axis: Table = {
        "title": {"text": "<br>".join(textwrap.wrap(about.label, wide)), "font": {"size": 12}},
        "automargin": True,
        "zeroline": False,
    }
    axis |= {"showline": True, "linecolor": "#888888", "ticks": "outside", "gridcolor": "#eeeeee"}
    if about.names:
        names = [name.replace("\n", "<br>") for name in about.names]
        axis |= {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": names}
    elif len(about.ticks):
        axis |= {"type": "log" if about.log else "linear", "tickvals": _numbers(about.ticks)}
        axis["ticktext"] = [f"{tick:,.15g}" for tick in about.ticks]
    elif about.log:
        fine = next(multiples for limit, multiples in TICKS if span < limit)
        ticks = [m * 10.0**k for k in range(-12, 13) for m in fine]
        axis |= {"type": "log", "tickvals": _numbers(ticks), "ticktext": [_plain(tick) for tick in ticks]}
    elif about.whole:
        axis |= {"tickformat": "d", "nticks": 9}
    return axis


def _plain(value: float) -> str:
    """A tick written out; of tiny and huge ones the powers of ten alone."""
    if 1e-3 < value < 1e4:
        return f"{value:.4g}"
    return f"10<sup>{np.log10(value):.0f}</sup>".replace("-", "−") if f"{value:e}"[0] == "1" else ""


def _span(chart: Chart, which: str) -> float:
    """The ratio of the largest to the smallest value along a logarithmic axis."""
    if not getattr(chart, which).log:
        return 1.0
    series = [s for panel in (*chart.panels, *chart.choices.values()) for s in panel.series]
    ends = (which, "low", "high") if which == chart.along else (which,)
    every = np.concatenate([np.asarray(getattr(s, end), float) for s in series for end in ends])
    return float(every.max() / every.min())


def _numbers(values: Sequence[float]) -> list[float]:
    """Four digits, as many as a picture or its hover shows."""
    return [float(f"{value:.4g}") for value in values]


def unknowns(problem, columns: Mapping[str, np.ndarray]) -> Table:
    """Samples of an unknown for the view in three dimensions: name to (n, p), the truth first.

    Values are 8-bit shares of the largest, in base64: POINTS³ points of the box and a layer of zeros around, where
    nothing is; (4 POINTS)² on a face, which is drawn as a relief.
    """
    low, high = problem.image_region
    flat = bool((low == high).any())
    count = 4 * POINTS if flat else POINTS
    x = grid(low, high, count)
    images = {name: [values(problem, theta, x) for theta in thetas] for name, thetas in columns.items()}
    largest = max(np.abs(image).max() for found in images.values() for image in found)
    shares = {
        name: [np.rint(127 * image / largest).astype(np.int8) for image in found]
        for name, found in images.items()
    }
    return {
        "flat": flat,
        "count": count,
        "low": low.tolist(),
        "high": high.tolist(),
        "largest": float(f"{largest:.3g}"),
        "signed": bool(min(image.min() for found in images.values() for image in found) < 0),
        "label": problem.image_name + (f" in {problem.image_unit}" if problem.image_unit else ""),
        "names": list(columns),
        "values": [
            [base64.b64encode(image.tobytes()).decode() for image in found] for found in shares.values()
        ],
    }
