"""Maps of depth against the scale of the initial weights: gradients that vanish or explode, seeds that train."""

import matplotlib
import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from experiments.depths.spec import Depths
from experiments.depths.tables import Found, trained
from experiments.depths.verdicts import family_name, steps_name
from experiments.plots.style import figure

DECADES = 6.0
"""Ratios beyond 10^±6 have the colour of the ends."""

DIVERGING = "PuOr"  # orange and purple: told apart without red and green, pale at a ratio of 1


def gradients(study: Depths, found: Found, family: str) -> Figure:
    """log10 of ‖∂J/∂y_0‖/‖∂J/∂y_L‖ of a family, mean of seeds: a column a rule, at the start and after training."""
    rules = study.spec.families[family].rules
    made, axes = figure(len(rules), 2, size=(2.7, 2.9), sharey=True)
    norm = TwoSlopeNorm(0, -DECADES, DECADES)
    for column, rule in zip(axes.T, rules, strict=True):
        for axis, moment, when in zip(column, (0, -1), ("at the start", "after training"), strict=True):
            values = [
                [m["gradients"][moment] and m["gradients"][moment]["state_ratio"] for m in cell["members"]]
                for cell in _of(found, family, rule)
            ]
            shown = _draw(axis, study, found, family, values, DIVERGING, norm, "{:.1f}")
            axis.set_title(f"{steps_name(study, family, rule)}\n{when}", fontsize=8)
    _label(axes)
    bar = made.colorbar(shown, ax=axes, extend="both", shrink=0.8)
    bar.set_label(r"decades of $\|\partial J/\partial y_0\|\,/\,\|\partial J/\partial y_L\|$")
    return made


def training(study: Depths, found: Found) -> Figure:
    """Share of seeds that train: a row a family, a column a rule."""
    families = study.spec.families
    rules = [rule for rule in study.spec.rules if any(rule in about.rules for about in families.values())]
    made, axes = figure(len(rules), len(families), size=(2.7, 2.7))
    norm = matplotlib.colors.Normalize(0, 1)
    for row, (family, about) in zip(axes, families.items(), strict=True):
        for axis, rule in zip(row, rules, strict=True):
            if rule not in about.rules:
                axis.set_axis_off()
                continue
            values = [
                [float(trained(study, m)) for m in cell["members"]] for cell in _of(found, family, rule)
            ]
            shown = _draw(axis, study, found, family, values, "cividis", norm, "{:.0%}")
            axis.set_title(f"{family_name(family)}\n{steps_name(study, family, rule)}", fontsize=8)
            axis.set(xlabel="factor on the initial weights", ylabel="layers")
    made.colorbar(shown, ax=axes, shrink=0.6, label="share of seeds that train")
    return made


def _draw(axis, study, found, family, values, colours, norm, form):
    depths = sorted({cell["depth"] for cell in found if cell["family"] == family})
    known = [[v for v in seeds if v is not None] for seeds in values]
    means = np.array([np.mean(v) if v else np.nan for v in known])
    grid = means.reshape(len(depths), len(study.extent.scales))
    shown = axis.imshow(grid, cmap=colours, norm=norm, aspect="auto", origin="lower")
    for (row, column), value in np.ndenumerate(grid):
        shade = np.dot(shown.cmap(norm(value))[:3], (0.3, 0.6, 0.1)) if np.isfinite(value) else 1
        word = form.format(round(value, 2) + 0.0) if np.isfinite(value) else "×"
        axis.text(column, row, word, ha="center", va="center", fontsize=7, color="k" if shade > 0.5 else "w")
    axis.set_xticks(range(len(study.extent.scales)), [f"{scale:g}" for scale in study.extent.scales])
    axis.set_yticks(range(len(depths)), depths)
    return shown


def _of(found, family, rule):
    return [cell for cell in found if (cell["family"], cell["rule"]) == (family, rule)]


def _label(axes):
    for axis in axes[:, 0]:
        axis.set_ylabel("layers")
    for axis in axes[-1]:
        axis.set_xlabel("factor on the initial weights")
