"""Curves of the study of depth, and every picture with its caption."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.depths import maps
from experiments.depths.captions import captions, middle
from experiments.depths.measure import kept
from experiments.depths.spec import Depths
from experiments.depths.tables import Found
from experiments.depths.verdicts import family_name, rule_name
from experiments.plots.style import figure

# Okabe and Ito's colour-blind safe palette, in the order of the rules.
_COLOURS = ("#56B4E9", "#777777", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
_MARKERS = "os^vDPX"

Rows = list[dict[str, Any]]


def pictures(study: Depths, found: Found, tables: dict[str, Rows]) -> dict[str, Figure]:
    """Every picture by its name, with its caption on top."""
    scale, size = middle(study), f"{study.spec.perturbations[0]:g}"
    made = {
        "training": maps.training(study, found),
        "bounds": _bounds(study, tables["gradients"], scale),
        "profiles": _profiles(study, found, scale),
        "evolution": _against(study, tables["gradients"], "epoch", "state_ratio", scale),
        "sensitivity": _against(study, tables["sensitivity"], "depth", size, scale, log=True),
        "steps": _steps(study, tables["steps"], scale),
    }
    for family in study.spec.families:
        made[f"map-{family}"] = maps.gradients(study, found, family)
    for name, caption in captions(study).items():
        width = max(60, int(made[name].get_figwidth() * 15))
        made[name].suptitle(textwrap.fill(caption, width), x=0.01, ha="left", fontsize=8)
    return made


def _look(study, rule) -> dict[str, Any]:
    place = list(study.spec.rules).index(rule)
    fixed = study.spec.rules[rule].time == "fixed"
    colour, marker = (choices[place % len(choices)] for choices in (_COLOURS, _MARKERS))
    return {"color": colour, "marker": marker, "ms": 4, "ls": "--" if fixed else "-"}


def _select(rows: Rows, **wanted) -> Rows:
    return [r for r in rows if r["seeds"] and all(r[key] == value for key, value in wanted.items())]


def _against(study, rows, axis_of, quantity, scale, log=False) -> Figure:
    """Mean and interval of a quantity against depth, or against the epoch in the deepest networks."""
    families = [f for f in study.spec.families if _select(rows, family=f)]
    made, axes = figure(max(1, len(families)), size=(4.0, 3.2))
    for axis, family in zip(axes[0], families, strict=False):
        deepest = max(row["depth"] for row in _select(rows, family=family))
        for rule in study.spec.families[family].rules:
            where = {"family": family, "rule": rule, "scale": scale, "quantity": quantity}
            here = _select(rows, **where, **({"depth": deepest} if axis_of == "epoch" else {}))
            x, mean, low, high = (
                np.array([row[key] for row in here]) for key in (axis_of, "mean", "low", "high")
            )
            axis.plot(x, mean, label=rule_name(study.spec.rules[rule]), **_look(study, rule))
            axis.fill_between(x, low, high, color=_look(study, rule)["color"], alpha=0.15, lw=0)
        title = family_name(family) + (f", {deepest} layers" if axis_of == "epoch" else "")
        axis.set(title=title, xlabel="epoch" if axis_of == "epoch" else "layers")
        axis.legend(fontsize=7)
        if axis_of == "depth":
            axis.set_xscale("log", base=2)
        if log:
            axis.set_yscale("log")
        else:
            axis.axhline(0, color="0.7", lw=0.8, zorder=0)
            axis.set_yscale("symlog", linthresh=2)
    axes[0, 0].set_ylabel("relative change of the output" if log else "decades, first over last state")
    return made


def _bounds(study, rows, scale) -> Figure:
    families = study.spec.families
    rules = [r for r, rule in study.spec.rules.items() if rule.time == "fixed"]
    made, axes = figure(len(families), len(rules), size=(3.4, 3.0), sharex=True)
    for column, family in zip(axes.T, families, strict=True):
        for axis, rule in zip(column, rules, strict=True):
            seen = {
                key: np.array([(row["depth"], row["mean"]) for row in _select(
                    rows, family=family, rule=rule, scale=scale, epoch=0, quantity=key)]).reshape(-1, 2).T
                for key in ("state_ratio", "smallest", "largest", "lower", "upper", "direct")
            }  # fmt: skip
            if not seen["state_ratio"].size:
                axis.set_axis_off()
                continue
            look = _look(study, rule)
            if seen["smallest"].shape == seen["largest"].shape:
                ends = seen["smallest"][1], seen["largest"][1]
                axis.fill_between(
                    seen["smallest"][0], *ends, color=look["color"], alpha=0.25, lw=0, label="singular values"
                )
            for key, style, name in (("lower", ":", "bounds"), ("upper", ":", None)):
                axis.plot(seen[key][0], seen[key][1].clip(-10, 10), style, color="k", lw=1.2, label=name)
            if family == "fractional":
                axis.plot(*seen["direct"], "-.", color="#D55E00", lw=1.2, label=r"direct path $w_{L,0}$")
            axis.plot(*seen["state_ratio"], label="measured", **look)
            axis.set_xscale("log", base=2)
            axis.set_ylim(-10.5, 10.5)
            name = rule_name(study.spec.rules[rule]) if family != "plain" else "no skips"
            axis.set_title(f"{family_name(family)}, {name}", fontsize=8)
            axis.set(xlabel="layers", ylabel="decades, first over last")
            axis.legend(fontsize=6)
    return made


def _profiles(study, found, scale) -> Figure:
    made, axes = figure(len(study.spec.families), size=(4.0, 3.2))
    for axis, family in zip(axes[0], study.spec.families, strict=True):
        here = [c for c in found if (c["family"], c["scale"]) == (family, scale)]
        deepest = max(cell["depth"] for cell in here)
        for cell in (c for c in here if c["depth"] == deepest):
            look = _look(study, cell["rule"]) | {"marker": ""}
            for moment, style in ((0, ":"), (-1, look["ls"])):
                curves = [m["gradients"][moment]["states"] for m in cell["members"] if m["gradients"][moment]]
                curves = [c for c in curves if None not in c]
                if curves:
                    relative = np.mean([np.array(c) - c[-1] for c in curves], axis=0)
                    name = rule_name(study.spec.rules[cell["rule"]]) if moment else None
                    axis.plot(kept(deepest + 1), relative, **look | {"ls": style}, label=name)
        axis.set(title=f"{family_name(family)}, {deepest} layers", xlabel=r"layer $\ell$")
        axis.set_yscale("symlog", linthresh=2)
        axis.legend(fontsize=7)
    axes[0, 0].set_ylabel(r"decades of $\|\partial J/\partial y_\ell\|$ over its last value")
    return made


def _steps(study, rows, scale) -> Figure:
    families = [f for f in study.spec.families if _select(rows, family=f)]
    made, axes = figure(max(1, len(families)), size=(4.0, 3.2))
    for axis, family in zip(axes[0], families, strict=False):
        for rule in dict.fromkeys(row["rule"] for row in _select(rows, family=family)):
            look = _look(study, rule)
            for quantity in ("horizon", "largest", "smallest"):
                here = _select(rows, family=family, rule=rule, scale=scale, quantity=quantity)
                times = [1 if quantity == "horizon" else row["depth"] for row in here]
                values = [row["mean"] * factor for row, factor in zip(here, times, strict=True)]
                thick = quantity == "horizon"
                name = rule_name(study.spec.rules[rule]) if thick else None
                style = look if thick else look | {"marker": ""}
                axis.plot([r["depth"] for r in here], values, lw=2.2 if thick else 0.9, label=name, **style)
        axis.set_xscale("log", base=2)
        axis.set_yscale("symlog", linthresh=1)
        axis.set(title=family_name(family), xlabel="layers")
        axis.legend(fontsize=7)
    axes[0, 0].set_ylabel("horizon; steps × layers")
    return made
