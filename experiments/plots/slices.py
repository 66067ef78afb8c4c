"""True against recovered balls, in cuts through the true centre."""

import numpy as np
from matplotlib.figure import Figure

from experiments.compare import render
from maxwell import REGION_OF_INTEREST


def slices(problem, truth: np.ndarray, estimates: dict[str, np.ndarray], rows: dict[str, int]) -> Figure:
    """Draw log-conductivity of chosen samples: truth and each estimate side by side.

    truth (n, p).  estimates : method to (n, p).  rows : what to call a sample, to its number.
    Each cut is vertical, at the y of the true first ball; the dashed ring is the true ball on it.
    """
    made = Figure(figsize=(3.1 * (1 + len(estimates)) + 1, 2.75 * len(rows)), layout="constrained")
    axes = made.subplots(len(rows), 1 + len(estimates), squeeze=False, sharex=True, sharey=True)
    low, high = REGION_OF_INTEREST
    line = [np.linspace(low[k], high[k], 121) for k in (0, 2)]
    x, z = np.meshgrid(*line, indexing="ij")
    shown = None
    limit = max(abs(theta[i, 4::5]).max() for theta in (truth, *estimates.values()) for i in rows.values())
    for number, (name, i) in enumerate(rows.items()):
        row = axes[number]
        points = np.stack([x, np.full_like(x, truth[i, 1]), z], axis=-1)
        for axis, (method, theta) in zip(row, {"truth": truth, **estimates}.items(), strict=True):
            image = render(problem, theta[i], points)
            shown = axis.pcolormesh(
                x, z, image, cmap="PuOr_r", vmin=-limit, vmax=limit, shading="gouraud", rasterized=True
            )
            _ring(axis, truth[i])
            axis.set_aspect("equal")
            if number == 0:
                axis.set_title(method.replace(", ", ",\n"), fontsize=10)
        row[0].set_ylabel(f"{name}\nz in m")
    for axis in axes[-1]:
        axis.set_xlabel("x in m")
    made.colorbar(shown, ax=axes, label="log-conductivity ratio m = log σ/σ0", shrink=0.7, pad=0.01)
    return made


def _ring(axis, theta):
    angle = np.linspace(0, 2 * np.pi, 100)
    cut = theta[1]
    for x, y, z, radius, _ in theta.reshape(-1, 5):
        seen = radius**2 - (cut - y) ** 2
        if seen > 0:
            axis.plot(x + np.sqrt(seen) * np.cos(angle), z + np.sqrt(seen) * np.sin(angle), "k--", lw=0.9)
