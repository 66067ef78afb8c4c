"""Samples of a data set: the unknown, in planes through its largest value, beside its data without noise."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

import data
from maxwell import Conductivity

POINTS = 101
"""Points along each edge of a picture."""

SEARCH = 25
"""Points along each edge of the grid on which the largest value is looked for."""

DECADES = 3
"""How far below the largest datum the colours of the data reach."""

ARROWS = 8
"""Arrows along each edge of a plane."""


def samples(views: Sequence[data.Dataset]) -> Figure:
    """Draw samples of one data set, a row each.

    views : data sets of one sample each, of any split; their problems are of one kind.
    Colours of the unknown mean the same in all rows; those of the data are relative to the sample's largest, for
    data of deep and of weak samples are smaller by decades.
    """
    cuts = [_cuts(view.problem, view.parameters[0]) for view in views]
    kind = views[0].spec["kind"]
    draw = {"conductivity": _responses, "cauchy": _modes, "magnetisation": _sensors}[kind]
    width = len(cuts[0]) + (2 if kind == "cauchy" else 1)
    made = Figure(figsize=(3.2 * width + 1.2, 2.9 * len(views) + 0.3), layout="constrained")
    axes = made.subplots(len(views), width, squeeze=False)
    problem = views[0].problem
    largest = max(np.linalg.norm(image, axis=-1).max() for row in cuts for *_, image in row) or 1.0
    signed = cuts[0][0][-1].shape[-1] == 1 and kind != "cauchy"
    scale = (
        {"cmap": "PuOr_r", "vmin": -largest, "vmax": largest}
        if signed
        else {"cmap": "viridis", "vmin": 0, "vmax": largest}
    )
    for row, view, planes in zip(axes, views, cuts, strict=True):
        for axis, plane in zip(row, planes, strict=False):
            shown = _plane(axis, *plane, scale)
        row[0].annotate(
            f"{view.split_names[0]}, sample {view.indices[0]}",
            (0, 0.5),
            (-52, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            rotation=90,
            ha="center",
            va="center",
            weight="bold",
        )
    unit = f" in {problem.image_unit}" if problem.image_unit else ""
    arrows = "; arrows: its part in the plane" if cuts[0][0][-1].shape[-1] == 3 else ""
    _bar(made, shown, axes[:, : len(cuts[0])], problem.image_name + unit + arrows)
    made.suptitle("The unknown, cut through its largest value, and its data without noise")
    draw(made, axes[:, len(cuts[0]) :], views)
    return made


def _cuts(problem, theta):
    """Planes through the largest value: (axis, its place, coordinates of the other two (k,), image (k, k, c))."""
    low, high = problem.image_region
    if isinstance(problem, Conductivity):  # balls may leave the region
        support = problem.parametrisation.support(theta)
        low, high = np.minimum(low, support[0].min(axis=0)), np.maximum(high, support[1].max(axis=0))
    grid = [a + (b - a) * (np.arange(SEARCH) + 0.5) / SEARCH for a, b in zip(low, high, strict=True)]
    x = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1).reshape(-1, 3)
    size = np.linalg.norm(problem.image(theta, x).reshape(len(x), -1), axis=1)
    largest = size >= (1 - 1e-9) * size.max()
    centre = x[largest][np.argmin(np.linalg.norm(x[largest] - x[largest].mean(axis=0), axis=1))]
    planes, flat = [], np.flatnonzero(low == high)
    for axis in flat if flat.size else range(3):
        first, second = (k for k in range(3) if k != axis)
        lines = [np.linspace(low[k], high[k], POINTS) for k in (first, second)]
        points = np.empty((POINTS, POINTS, 3))
        points[..., axis] = centre[axis]
        points[..., first], points[..., second] = np.meshgrid(*lines, indexing="ij")
        image = problem.image(theta, points.reshape(-1, 3)).reshape(POINTS, POINTS, -1)
        planes.append((axis, centre[axis], lines, image))
    return planes


def _plane(axis, normal, place, lines, image, scale):
    """One cut; vectors as their size, with arrows of their part in the plane."""
    first, second = (k for k in range(3) if k != normal)
    values = image[..., 0] if image.shape[-1] == 1 else np.linalg.norm(image, axis=-1)
    shown = axis.pcolormesh(*lines, values.T, shading="nearest", rasterized=True, **scale)
    if image.shape[-1] == 3:
        some = np.linspace(0, POINTS - 1, 2 * ARROWS + 1).astype(int)[1::2]
        image = np.where(values[..., None] > 0, image, np.nan)  # no arrows where there is nothing
        u, v = (image[np.ix_(some, some)][..., k].T for k in (first, second))
        axis.quiver(
            lines[0][some],
            lines[1][some],
            u,
            v,
            color="w",
            scale=10 * scale["vmax"],
            pivot="mid",
            width=0.008,
        )
    axis.set(xlabel=f"{'xyz'[first]} in m", ylabel=f"{'xyz'[second]} in m", aspect="equal")
    axis.set_title(f"{'xyz'[normal]} = {round(place, 2) + 0:g} m".replace("-", "−"), fontsize=10)
    return shown


def _responses(made, axes, views):
    """|d_sr| as a matrix, of the first frequency."""
    sizes = [np.abs(view.observations[0]) for view in views]
    norm = LogNorm(10.0**-DECADES, 1)
    for (axis,), view, size in zip(axes, views, sizes, strict=True):
        largest = size.max()
        size = size / largest
        count = view.problem.survey.size
        shown = axis.imshow(
            np.maximum(size[: count**2].reshape(count, count), norm.vmin), norm=norm, cmap="cividis"
        )
        axis.set(xlabel="receiver", ylabel="source")
        axis.set_title(f"up to {largest:.3g} V/m at {view.problem.frequencies[0] / 1e6:.3g} MHz", fontsize=10)
        half = count / 2
        axis.set_xticks([half / 2 - 0.5, 1.5 * half - 0.5], ["along x", "along y"])
        axis.set_yticks([half / 2 - 0.5, 1.5 * half - 0.5], ["along x", "along y"], rotation=90, va="center")
        axis.tick_params(length=0)
        axis.axhline(half - 0.5, color="w", lw=0.8)
        axis.axvline(half - 0.5, color="w", lw=0.8)
    _bar(made, shown, axes, "scattered field |d|, relative to the largest", extend="min")


def _modes(made, axes, views):
    """|E_T| on the far face, as its modes give it, and the coefficients of both faces."""
    line = np.linspace(0, 1, POINTS)
    x = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)
    fields = [np.linalg.norm(view.problem.boundary_field(view.observations[0], x), axis=-1) for view in views]
    largest = max(field.max() for field in fields)
    for (face, axis), view, field in zip(axes, views, fields, strict=True):
        shown = face.pcolormesh(
            line, line, field.T, cmap="cividis", vmin=0, vmax=largest, shading="nearest", rasterized=True
        )
        face.set(xlabel="x in m", ylabel="y in m", aspect="equal")
        face.set_title(f"z = {view.problem.depth:g} m", fontsize=10)
        order = np.arange(1, len(view.names) + 1)
        axis.semilogy(order, np.abs(view.parameters[0]), "o", ms=4, color="#0072B2", label="z = 0, unknown")
        axis.semilogy(
            order,
            np.abs(view.observations[0]),
            "s",
            ms=4,
            color="#D55E00",
            label=f"z = {view.problem.depth:g} m, data",
        )
        axis.set(xlabel="mode, by wavenumber", ylabel="coefficient in V")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=8)
    _bar(made, shown, axes[:, 0], "magnitude of the tangential electric field in V/m")


def _sensors(made, axes, views):
    """B_z over the plane of sensors in colour, the horizontal part as arrows."""
    fields = [1e9 * view.observations[0].reshape(-1, 3) for view in views]
    for (axis,), view, field in zip(axes, views, fields, strict=True):
        problem, largest = view.problem, np.abs(field).max()
        field = field / largest
        count, (x, y, _) = problem.sensors, problem.sensor_positions.T
        line = np.unique(x)
        shown = axis.pcolormesh(
            line,
            line,
            field[:, 2].reshape(count, count).T,
            cmap="RdBu_r",
            vmin=-1,
            vmax=1,
            shading="nearest",
        )
        axis.quiver(x, y, field[:, 0], field[:, 1], scale=10, pivot="mid", width=0.008)
        low, high = problem.region
        axis.plot(
            [low[0], high[0], high[0], low[0], low[0]], [low[1], low[1], high[1], high[1], low[1]], "k:", lw=1
        )
        axis.set(xlabel="x in m", ylabel="y in m", aspect="equal")
        axis.set_title(f"up to {largest:.3g} nT at z = {problem.sensor_height:g} m", fontsize=10)
    _bar(made, shown, axes, "$B_z$, relative to the largest component; arrows: $B_x$, $B_y$")


def _bar(made, shown, axes, label, **style):
    made.colorbar(shown, ax=axes, label=textwrap.fill(label, 40), shrink=0.8, pad=0.02, **style)
