"""Curves of the study of depth, and every picture with its caption."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.depths import maps
from experiments.depths.captions import captions, middle
from experiments.depths.measure import LIMIT, kept
from experiments.depths.spec import Depths
from experiments.depths.tables import Found
from experiments.depths.verdicts import family_name, steps_name
from experiments.plots.style import HUES, figure

_MARKERS = "os^vDPX"
_OTHERS = ("#777777", "#0072B2", "#000000")  # of a second rule that chooses steps alike

DECADES = 10.0  # beyond which bounds are not drawn

Rows = list[dict[str, Any]]


def pictures(study: Depths, found: Found, tables: dict[str, Rows]) -> dict[str, Figure]:
    """Every picture by its name, with its caption on top."""
    scale, size = middle(study), f"{study.spec.perturbations[0]:g}"
    made = {
        "training": maps.training(study, found),
        "bounds": _bounds(study, tables["gradients"], scale),
        "profiles": _profiles(study, found, scale),
        "evolution": _evolution(study, tables["gradients"], scale),
        "sensitivity": _sensitivity(study, tables["sensitivity"], scale, size),
        "steps": _steps(study, tables["steps"], scale),
    }
    for family in study.spec.families:
        made[f"map-{family}"] = maps.gradients(study, found, family)
    for name, caption in captions(study).items():
        width = max(60, int(made[name].get_figwidth() * 15))
        made[name].suptitle(textwrap.fill(caption, width), x=0.01, ha="left", fontsize=8)
    return made


def _look(study, rule) -> dict[str, Any]:
    rules = study.spec.rules
    time, names = rules[rule].time, list(rules)
    before = sum(rules[name].time == time for name in names[: names.index(rule)])
    colour = _OTHERS[(before - 1) % len(_OTHERS)] if before else HUES[time]
    marker = _MARKERS[names.index(rule) % len(_MARKERS)]
    return {"color": colour, "marker": marker, "ms": 4, "ls": "--" if time == "fixed" else "-"}


def _rules(study, family) -> list[str]:
    """Those of a family, fixed steps last: their dashes let a learned curve show that lies under them."""
    return sorted(study.spec.families[family].rules, key=lambda rule: study.spec.rules[rule].time == "fixed")


def _select(rows: Rows, **wanted) -> Rows:
    return [r for r in rows if r["seeds"] and all(r[key] == value for key, value in wanted.items())]


def _columns(rows: Rows, *keys: str) -> list[np.ndarray]:
    return [np.array([row[key] for row in rows], dtype=float) for key in keys]


def _over_depths(study, axis) -> None:
    # Logarithms on linear axes: a log axis refuses a panel without data, as where nobody trains.
    axis.set_xticks(np.log2(study.extent.depths), study.extent.depths)
    axis.set_xlabel("layers")


def _evolution(study, rows, scale) -> Figure:
    made, axes = figure(len(study.spec.families), size=(4.0, 3.2))
    for axis, family in zip(axes[0], study.spec.families, strict=True):
        deepest = max(row["depth"] for row in _select(rows, family=family))
        for rule in _rules(study, family):
            where = {"family": family, "rule": rule, "scale": scale, "depth": deepest}
            x, *parts = _columns(
                _select(rows, **where, quantity="state_ratio"), "epoch", "mean", "low", "high"
            )
            _curve(axis, study, family, rule, x, *parts)
        axis.axhline(0, color="0.7", lw=0.8, zorder=0)
        axis.set(title=f"{family_name(family)}, {deepest} layers", xlabel="epoch")
        axis.legend(fontsize=7)
    axes[0, 0].set_ylabel("decades, first over last state")
    return made


def _sensitivity(study, rows, scale, size) -> Figure:
    families = [family for family in study.spec.families if family != "plain"]
    made, axes = figure(len(families), size=(4.0, 3.2), sharey=True)
    for axis, family in zip(axes[0], families, strict=True):
        for rule in _rules(study, family):
            here = _select(rows, family=family, rule=rule, scale=scale, quantity=size)
            depth, *parts = _columns(here, "depth", "mean", "low", "high")
            _curve(axis, study, family, rule, np.log2(depth), *map(np.log10, parts))
        axis.set_title(family_name(family))
        axis.legend(fontsize=7)
        _over_depths(study, axis)
    axes[0, 0].set_ylabel(r"$\log_{10}$ of the relative change")
    return made


def _curve(axis, study, family, rule, x, mean, low, high) -> None:
    look = _look(study, rule)
    axis.plot(x, mean, label=steps_name(study, family, rule), **look)
    axis.fill_between(x, low, high, color=look["color"], alpha=0.15, lw=0)


def _bounds(study, rows, scale) -> Figure:
    families = study.spec.families
    rules = [r for r, rule in study.spec.rules.items() if rule.time == "fixed"]
    made, axes = figure(len(families), len(rules), size=(3.4, 3.0))
    for column, family in zip(axes.T, families, strict=True):
        for axis, rule in zip(column, rules, strict=True):
            here = _select(rows, family=family, rule=rule, scale=scale, epoch=0)
            if not here:
                axis.set_axis_off()
                continue
            seen = {
                key: _columns(_select(here, quantity=key), "depth", "mean")
                for key in ("state_ratio", "smallest", "largest", "lower", "upper", "direct")
            }
            for columns in seen.values():
                columns[0] = np.log2(columns[0])
            look = _look(study, rule)
            ends = seen["smallest"][1].clip(-DECADES), seen["largest"][1].clip(-DECADES)
            axis.fill_between(
                seen["smallest"][0], *ends, color=look["color"], alpha=0.25, lw=0, label="singular values"
            )
            for key in ("lower", "upper"):
                depth, value = seen[key]
                said = value > -LIMIT
                name = "bounds" if key == "upper" else None
                axis.plot(depth[said], value[said].clip(-DECADES, DECADES), "k:", lw=1.2, label=name)
            if family == "fractional":
                axis.plot(*seen["direct"], "-.", color="#D55E00", lw=1.2, label=r"direct path $w_{L,0}$")
            axis.plot(seen["state_ratio"][0], seen["state_ratio"][1].clip(-DECADES), label="measured", **look)
            _over_depths(study, axis)
            axis.set_title(f"{family_name(family)}, {steps_name(study, family, rule)}", fontsize=8)
            axis.set_ylabel("decades, first over last")
            axis.legend(fontsize=6)
    return made


def _profiles(study, found, scale) -> Figure:
    made, axes = figure(len(study.spec.families), size=(4.0, 3.2))
    for axis, family in zip(axes[0], study.spec.families, strict=True):
        here = [c for c in found if (c["family"], c["scale"]) == (family, scale)]
        deepest = max(cell["depth"] for cell in here)
        by_rule = {cell["rule"]: cell for cell in here if cell["depth"] == deepest}
        for rule in _rules(study, family):
            look = _look(study, rule) | {"marker": ""}
            for moment, style in ((0, ":"), (-1, look["ls"])):
                seen = [m["gradients"][moment] for m in by_rule[rule]["members"]]
                curves = [each["states"] for each in seen if each and None not in each["states"]]
                if curves:
                    relative = np.mean([np.array(curve) - curve[-1] for curve in curves], axis=0)
                    name = steps_name(study, family, rule) if moment else None
                    axis.plot(kept(deepest + 1), relative, **look | {"ls": style}, label=name)
        axis.set(title=f"{family_name(family)}, {deepest} layers", xlabel=r"layer $\ell$")
        axis.legend(fontsize=7)
    axes[0, 0].set_ylabel(r"decades of $\|\partial J/\partial y_\ell\|$ over its last value")
    return made


def _steps(study, rows, scale) -> Figure:
    families = [family for family in study.spec.families if _select(rows, family=family)]
    made, axes = figure(max(1, len(families)), 2, size=(4.0, 2.8))
    for column, family in zip(axes.T, families, strict=False):
        for rule in dict.fromkeys(row["rule"] for row in _select(rows, family=family)):
            look, where = _look(study, rule), {"family": family, "rule": rule, "scale": scale}
            depth, *parts = _columns(
                _select(rows, **where, quantity="horizon"), "depth", "mean", "low", "high"
            )
            _curve(column[0], study, family, rule, np.log2(depth), *parts)
            for quantity, style in (("largest", "-"), ("smallest", ":")):
                depth, mean = _columns(_select(rows, **where, quantity=quantity), "depth", "mean")
                column[1].plot(np.log2(depth), mean * depth, **look | {"ls": style})
        column[0].set_title(family_name(family))
        column[0].legend(fontsize=7)
        column[1].axhline(0, color="0.7", lw=0.8, zorder=0)
        for axis in column:
            _over_depths(study, axis)
    axes[0, 0].set_ylabel("horizon")
    axes[1, 0].set_ylabel("largest and smallest step\n× number of layers")
    return made
