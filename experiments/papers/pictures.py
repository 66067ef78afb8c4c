"""Pictures of a reproduction: every interval beside what was expected, and gradients over depth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from experiments.papers.claims import Expected
from experiments.plots.style import figure, png
from surrogates.files import replaced

LOOKS = {
    "holds": {"marker": "o", "color": "#0072B2"},
    "does not hold": {"marker": "s", "color": "#D55E00"},
    "not shown": {"marker": "o", "color": "#777777", "markerfacecolor": "white"},
}
"""Colour-blind safe, and told apart by their markers, too."""

ROW, MARGIN, WIDTH = 0.24, 0.75, 9.5
"""Inches: of a case, around the cases of a claim, and of the whole."""


def write(path: Path, made: Figure) -> None:
    """Write a figure as a PNG file, whole or not at all."""
    with replaced(path) as unfinished:
        unfinished.write_bytes(png(made))


def verdicts(result: Mapping[str, Any], expected: Mapping[str, Expected]) -> Figure:
    """Each case of each claim with its 95 % interval; the shaded side is where it is expected."""
    claims = result["claims"]
    heights = [ROW * len(claim["cases"]) + MARGIN for claim in claims.values()]
    made, axes = figure(1, len(claims), (WIDTH, sum(heights) / len(claims)), height_ratios=heights)
    for axis, (name, claim) in zip(axes[:, 0], claims.items(), strict=True):
        numbers = [
            (row, case) for row, case in enumerate(claim["cases"].values()) if case["value"] is not None
        ]
        for row, case in numbers:
            ends = [case["value"] if case[end] is None else case[end] for end in ("low", "high")]
            axis.plot(ends, [row, row], "-", color=LOOKS[case["verdict"]]["color"], lw=1.5)
            axis.plot(case["value"], row, ls="", ms=5, **LOOKS[case["verdict"]])
        low, high = expected[name].range
        least = [case["value"] if case["low"] is None else case["low"] for _, case in numbers]
        if claim["expected"] in ("below 1", "above 1") and min(least, default=0) > 0:
            axis.set_xscale("log")  # a ratio: twice and half are equally far from 1
        inside = [bound for bound in (low, high) if np.isfinite(bound)]
        axis.update_datalim([(bound, 0) for bound in inside])
        axis.autoscale_view()
        left, right = axis.get_xlim()
        if axis.get_xscale() == "log":
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if right > 5 * left else MaxNLocator(6))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.xaxis.set_minor_locator(NullLocator())
        axis.axvspan(max(low, left), min(high, right), color="#009E73", alpha=0.12, lw=0)
        for bound in inside:
            axis.axvline(bound, color="#009E73", lw=1)
        axis.set_xlim(left, right)
        labels = [case or "all" for case in claim["cases"]]
        axis.set_yticks(range(len(labels)), labels, fontsize=7)
        axis.set_ylim(len(labels) - 0.5, -0.5)
        axis.tick_params(axis="x", labelsize=7)
        axis.set_xlabel(claim["quantity"], fontsize=7)
        axis.set_title(f"{name}: {claim['verdict']}", fontsize=9, loc="left")
    marks = [axes[0, 0].plot([], [], ls="", label=said, **look)[0] for said, look in LOOKS.items()]
    made.legend(handles=marks, loc="outside upper right", ncols=3, fontsize=8)
    size = "quick settings: no finding" if result["size"] == "quick" else f"{result['size']} settings"
    made.suptitle(
        f"arXiv {result['arxiv']}, {size}; 95 % intervals over seeds", fontsize=10, x=0.01, ha="left"
    )
    return made


def gradients(panels: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]]) -> Figure:
    """Gradient at the first layer over that at the last, against depth.

    panels : title to curves, a curve being label to depth to the log10 of the ratio, one a seed.  Drawn are every
    seed and their median; between the dotted lines the ratio is within a decade of 1.
    """
    made, axes = figure(len(panels), size=(4.2, 3.4), sharey=True)
    looks = [("#777777", "o", ":"), ("#E69F00", "s", "--"), ("#0072B2", "D", "-"), ("#CC79A7", "^", "-.")]
    for axis, (title, curves) in zip(axes[0], panels.items(), strict=True):
        for k, (label, curve) in enumerate(curves.items()):
            colour, marker, style = looks[k % len(looks)]
            curve = {depth: values for depth, values in curve.items() if values}
            aside = 1.06 ** (k - (len(curves) - 1) / 2)  # so that seeds of two curves do not hide each other
            for depth, values in curve.items():
                axis.plot([depth * aside] * len(values), values, marker, ms=3, color=colour, alpha=0.4, ls="")
            middle = [float(np.median(values)) for values in curve.values()]
            axis.plot([depth * aside for depth in curve], middle, style, color=colour, lw=2, label=label)
        depths = sorted({depth for curve in curves.values() for depth in curve})
        axis.set_xscale("log", base=2)
        axis.set_xticks(depths, map(str, depths))
        axis.minorticks_off()
        for level, look in ((0, "-"), (-1, ":"), (1, ":")):
            axis.axhline(level, color="black", lw=0.6, ls=look)
        axis.set(xlabel="layers L", title=title)
        axis.legend(fontsize=7)
    axes[0, 0].set_ylabel("log10 ‖∂J/∂y_1‖ / ‖∂J/∂y_L‖")
    return made
