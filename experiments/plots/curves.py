"""Curves of a comparison: training, time steps, gradients, error against noise."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.plots.style import figure
from experiments.variants import CLASSICAL_COLOURS, Variant


def losses(variants: list[Variant]) -> Figure:
    """Validation loss (thick: mean of seeds, thin: each seed) and training loss (dotted), per family."""
    families = _by_family(variants)
    made, axes = figure(len(families), sharey=True)
    for axis, (family, members) in zip(axes[0], families.items(), strict=True):
        for v in _fixed_last(members):
            traces = [run.record["trace"] for run in v.runs]
            valid = np.array([trace["valid_loss"] for trace in traces])
            epochs = np.arange(1, valid.shape[1] + 1)
            axis.plot(epochs, valid.T, v.style, color=v.colour, lw=0.6, alpha=0.5)
            axis.plot(
                epochs,
                valid.mean(axis=0),
                v.style,
                marker=v.marker,
                markevery=0.2,
                ms=4,
                color=v.colour,
                lw=2,
                label=v.label,
            )
            mean = np.mean([trace["train_loss"] for trace in traces], axis=0)
            axis.plot(epochs, mean, ":", color=v.colour, lw=1.2)
        axis.set(xlabel="epoch", yscale="log", title=family)
        axis.legend(fontsize=8)
    axes[0, 0].set_ylabel("mean squared error\n(validation; dotted: training)")
    return made


def steps(variants: list[Variant]) -> Figure:
    """Time step of each layer after training, against the uniform steps at the start."""
    families = _by_family(variants)
    made, axes = figure(len(families), sharey=True)
    for axis, (family, members) in zip(axes[0], families.items(), strict=True):
        for v in _fixed_last(members):
            layers = np.arange(1, v.spec.layers + 1)
            if not v.learned:
                axis.plot(
                    layers,
                    v.runs[0].record["gradients"]["end"]["steps"],
                    v.style,
                    color=v.colour,
                    lw=2,
                    label=v.label,
                )
                continue
            for k, run in enumerate(v.runs):
                label = f"{v.label}: each seed" if k == 0 else None
                taken = run.record["gradients"]["end"]["steps"]
                axis.plot(layers, taken, v.style, marker=v.marker, ms=4, color=v.colour, lw=1.2, label=label)
        axis.set(xlabel=r"layer $\ell$", title=family)
        axis.margins(y=0.3)
        axis.legend(fontsize=8)
    axes[0, 0].set_ylabel(r"time step $\tau_\ell$")
    return made


def gradients(variants: list[Variant]) -> Figure:
    """‖∂J/∂y_l‖ (top) and ‖∂J/∂K_l‖ (bottom) at the start (dotted) and after training (lines)."""
    families = _by_family(variants)
    made, axes = figure(len(families), 2, sharex=True, sharey="row")
    for column, (family, members) in zip(axes.T, families.items(), strict=True):
        for axis, key, first in zip(column, ("states", "weights"), (0, 1), strict=True):
            for v in _fixed_last(members):
                for moment in ("start", "end"):
                    norms = np.array([run.record["gradients"][moment][key] for run in v.runs])
                    layers = np.arange(first, first + norms.shape[1])
                    mean = np.exp(np.log(norms).mean(axis=0))  # geometric: norms spread over decades
                    if moment == "start":
                        axis.plot(layers, mean, ":", color=v.colour, lw=1.6)
                    else:
                        axis.plot(
                            layers,
                            mean,
                            v.style,
                            marker=v.marker,
                            ms=3,
                            color=v.colour,
                            lw=1.8,
                            label=v.label,
                        )
                        axis.fill_between(
                            layers, norms.min(axis=0), norms.max(axis=0), color=v.colour, alpha=0.15, lw=0
                        )
            axis.set_yscale("log")
        column[0].set_title(family)
        column[0].legend(fontsize=8)
        column[1].set_xlabel(r"layer $\ell$")
    axes[0, 0].set_ylabel(r"$\|\partial J/\partial y_\ell\|$")
    axes[1, 0].set_ylabel(r"$\|\partial J/\partial K_\ell\|$")
    return made


def noise(comparison: dict[str, Any], variants: list[Variant]) -> Figure:
    """Relative error against the level of the test noise, one panel a split."""
    splits = list(comparison["splits"])
    made, axes = figure(len(splits), sharey=True)
    percent = 100 * np.array(comparison["levels"])
    looks = {v.label: {"color": v.colour, "linestyle": v.style, "marker": v.marker} for v in variants}
    for axis, split in zip(axes[0], splits, strict=True):
        order = [*CLASSICAL_COLOURS, *(v.label for v in _fixed_last(variants))]
        for name in order:
            result = comparison["results"][name]
            look = looks.get(name) or {"color": CLASSICAL_COLOURS[name], "linestyle": "-.", "marker": "."}
            by_seed = np.array(result[split]["by_seed"])
            axis.plot(percent, result[split]["relative"], ms=4, label=name, **look)
            axis.fill_between(
                percent, by_seed.min(axis=1), by_seed.max(axis=1), alpha=0.15, lw=0, color=look["color"]
            )
        axis.axvline(100 * comparison["noise"], color="0.7", lw=0.8, zorder=0)
        axis.set_xscale("symlog", linthresh=0.1, linscale=0.5)
        axis.set_xlim(-0.01, 1.2 * percent[-1])
        axis.set_yscale("log")
        axis.set_xticks(percent, [f"{p:g}" for p in percent])
        axis.minorticks_off()
        about = comparison["splits"][split]
        axis.set(
            xlabel="noise in % of the RMS data",
            title=split
            if about["problem"]
            else about["relation"] + (" (inverse crime)" if about["inverse_crime"] else ""),
        )
        ticks = [
            t
            for t in (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 5)
            if axis.get_ylim()[0] < t < axis.get_ylim()[1]
        ]
        axis.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes[0, 0].set_ylabel("error relative to the prior's\nstandard deviation")
    axes[0, -1].legend(fontsize=8)
    return made


def scatter(problem, truth: np.ndarray, estimates: np.ndarray, colour: str) -> Figure:
    """Estimated against true values of every parameter of the first ball: truth (n, p), estimates (n, p)."""
    parameters = problem.parameters[:5]
    made, axes = figure(len(parameters), size=(2.4, 2.5))
    for k, (axis, about) in enumerate(zip(axes[0], parameters, strict=True)):
        axis.plot(truth[:, k], estimates[:, k], "o", ms=3, alpha=0.6, color=colour)
        ends = [truth[:, k].min(), truth[:, k].max()]
        axis.plot(ends, ends, "k-", lw=0.8)
        unit = f" in {about.unit}" if about.unit else ""
        axis.set(xlabel=f"true {about.name}{unit}", title=about.group, aspect="equal", adjustable="datalim")
    axes[0, 0].set_ylabel("estimated")
    return made


def _fixed_last(variants):
    """Fixed steps are drawn last: their dashes let a learned curve show that lies under them."""
    return sorted(variants, key=lambda v: not v.learned)


def _by_family(variants):
    families: dict[str, list[Variant]] = {}
    for variant in variants:
        families.setdefault(variant.family, []).append(variant)
    return families
