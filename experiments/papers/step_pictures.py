"""Pictures of arXiv 2306.16111: variants side by side, and their steps after training."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from experiments.papers.claims import Measured
from experiments.plots.style import figure

LEARNED, PRUNED, START = "#0072B2", "#D55E00", "#777777"


def levels(panels: Mapping[str, Mapping[str, Measured]], quantity: str) -> Figure:
    """Each variant's mean with its 95 % interval over seeds; panels : title to label to what was measured."""
    rows = max(map(len, panels.values()))
    made, axes = figure(len(panels), size=(4.6, 0.26 * rows + 1.0), sharey=True)
    for axis, (title, found) in zip(axes[0], panels.items(), strict=True):
        for row, number in enumerate(found.values()):
            if number.value is None:
                axis.annotate("no number", (0.02, row), xycoords=("axes fraction", "data"), fontsize=7)
                continue
            if number.low is not None:
                axis.plot([number.low, number.high], [row, row], "-", color=LEARNED, lw=1.5)
            axis.plot(number.value, row, "o", ms=5, color=LEARNED)
        axis.set_yticks(range(len(found)), found, fontsize=7)
        axis.set_ylim(len(found) - 0.5, -0.5)
        axis.tick_params(axis="x", labelsize=7)
        axis.grid(axis="x", lw=0.4, alpha=0.5)
        axis.set_xlabel(f"{quantity}, mean and 95 % interval over seeds", fontsize=7)
        axis.set_title(title, fontsize=9, loc="left")
    return made


def steps(found: Mapping[str, Mapping[float, Sequence[Sequence[float | None]]]], images: str) -> Figure:
    """τ_1 … τ_L after training, a dot a seed; crosses at zero are layers that were pruned, lines where τ began.

    found : label to T to one list of steps a seed, None for a pruned layer.  Step 0 is that of the lift.
    """
    horizons = sorted({horizon for one in found.values() for horizon in one})
    made, axes = figure(len(found), len(horizons), size=(2.3, 2.2), sharey="row", sharex=True)
    for row, horizon in zip(axes, horizons, strict=True):
        for axis, (label, one) in zip(row, found.items(), strict=True):
            seeds = one[horizon]
            for seed, values in enumerate(seeds):
                aside = 0.3 * (seed / max(len(seeds) - 1, 1) - 0.5)  # so that seeds do not hide each other
                kept = [(layer + aside, step) for layer, step in enumerate(values) if step is not None]
                gone = [layer + aside for layer, step in enumerate(values) if step is None]
                axis.plot(*zip(*kept, strict=True), ".", ms=4, color=LEARNED, alpha=0.6)
                axis.plot(gone, [0.0] * len(gone), "x", ms=5, color=PRUNED)
            if seeds:
                axis.axhline(horizon / len(seeds[0]), color=START, lw=0.8, ls=":")
                axis.set_xticks(
                    range(len(seeds[0])), ["lift", *map(str, range(1, len(seeds[0])))], fontsize=6
                )
            axis.axhline(0.0, color="black", lw=0.5)
            axis.tick_params(axis="y", labelsize=7)
            axis.set_title(f"{label}\nT = {horizon:g} at the start", fontsize=7)
        row[0].set_ylabel("step τ after training", fontsize=7)
    made.suptitle(f"{images}: dots are seeds, crosses pruned layers", fontsize=9, x=0.01, ha="left")
    return made
