"""Pictures of growing nets: loss over work, decision regions before and after, and where layers came."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.papers.sensli_runs import EXTENT, GRID
from experiments.plots.style import figure

LOOKS = {
    "small": ("#777777", ":"),
    "largest": ("#0072B2", "-"),
    "smallest": ("#E69F00", "-."),
    "drawn": ("#CC79A7", "-."),
    "large": ("#D55E00", "--"),
}
NAMES = {
    "small": "small",
    "largest": "grown, largest sensitivity",
    "smallest": "grown, smallest",
    "drawn": "grown, any position",
    "large": "large from the start",
}
"""How variants are drawn and called."""

BANDS = ("largest", "large")
"""Of which variants the spread over seeds is drawn."""

Results = Sequence[Mapping[str, Any]]


COLUMNS = 3


def losses(panels: Mapping[str, Mapping[str, Results]]) -> Figure:
    """Training loss over work: median over seeds; {case: {variant: results}}.

    Layers come at the vertical lines. The band between quartiles is drawn for two nets alone, that which grows at
    the largest sensitivity and that which is large from the start: five on one another cannot be told apart.
    """
    made, axes = _panels(panels, (3.7, 3.2))
    for axis, variants in zip(axes, panels.values(), strict=True):
        for variant, results in variants.items():
            colour, line = LOOKS[variant]
            work = np.median([result["work"] for result in results], axis=0)
            low, middle, high = np.quantile([result["loss"] for result in results], [0.25, 0.5, 0.75], axis=0)
            if variant in BANDS:
                axis.fill_between(work, low, high, color=colour, alpha=0.2, lw=0)
            axis.plot(work, middle, line, color=colour, lw=1.2, label=NAMES[variant])
        came = [result["work"][result["insertion"]["epoch"] - 1] for result in _grown(variants)]
        if came:
            axis.axvline(np.median(came), color="black", lw=0.6, ls=":")
        axis.set_yscale("log")
        axis.set_xlabel("work: samples × weights")
        axis.set_ylabel("training loss")
    most = max(axes, key=lambda axis: len(axis.get_lines()))
    made.legend(*most.get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=8)
    return made


def regions(
    panels: Mapping[str, Mapping[str, Sequence[float]]], points: np.ndarray, classes: np.ndarray
) -> Figure:
    """Where a net is positive, {case: {title: values on `sensli_runs.grid`}}; points (n, 2), classes (n, 1)."""
    columns = max(map(len, panels.values()))
    made, axes = figure(columns, len(panels), size=(2.6, 2.7))
    along, two = np.linspace(-EXTENT, EXTENT, GRID), (LOOKS["largest"][0], LOOKS["large"][0])
    for row, (case, shown) in zip(axes, panels.items(), strict=True):
        for axis, (title, values) in zip(row, shown.items(), strict=True):
            square = np.reshape(values, (GRID, GRID))
            axis.contourf(along, along, square, levels=[-np.inf, 0, np.inf], colors=two, alpha=0.3)
            for sign, colour in zip((-1, 1), two, strict=True):
                axis.plot(*points[classes[:, 0] == sign].T, ".", ms=1.5, color=colour)
            axis.set_title(title, fontsize=8)
            axis.set(aspect="equal", xticks=[], yticks=[])
        row[0].set_ylabel(case, fontsize=7)
    return made


def places(panels: Mapping[str, Mapping[str, Results]]) -> Figure:
    """Sensitivities of all positions over the mean of the layers there were, and how often each was the largest.

    A ratio that is 0 or has none (of a net whose units are all dead) has no place on the axis and is left out.
    """
    made, axes = _panels(panels, (3.2, 2.8))
    for axis, variants in zip(axes, panels.values(), strict=True):
        events = [result["insertion"] for result in _grown(variants)]
        chosen = [event["position"] for event in events]
        count = len(events[0]["sensitivities"]) if events else 0
        for position in range(count):
            shares = [e["sensitivities"][position] / e["mean"] for e in events if e["mean"] > 0]
            axis.plot([position] * len(shares), shares, "o", ms=3, alpha=0.4, color=LOOKS["largest"][0])
        axis.set_xticks(range(count), [f"{place}\n{chosen.count(place)} ×" for place in range(count)])
        axis.set_xlim(-0.5, max(count, 1) - 0.5)
        axis.set_yscale("log")
        axis.axhline(1, color="black", lw=0.6, ls=":")
        axis.set_xlabel("position; seeds that chose it", fontsize=8)
        axis.set_ylabel("sensitivity / mean of layers there", fontsize=8)
    return made


def _panels(titles: Iterable[str], size: tuple[float, float]) -> tuple[Figure, list]:
    titles = list(titles)
    made, axes = figure(min(COLUMNS, len(titles)), -(-len(titles) // COLUMNS), size, sharey=True)
    for axis in axes.flat[len(titles) :]:
        axis.remove()
    for axis, title in zip(axes.flat, titles, strict=False):
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelleft=True)
    return made, list(axes.flat[: len(titles)])


def _grown(variants: Mapping[str, Results]) -> list[Mapping[str, Any]]:
    """The nets that grew at the largest sensitivity."""
    return [result for result in variants.get("largest", []) if result["insertion"]]
