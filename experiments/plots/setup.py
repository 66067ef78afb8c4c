"""The set-up: box, patches on its top face, and one sample."""

import numpy as np
from matplotlib.figure import Figure

from maxwell import REGION_OF_INTEREST


def setup(problem, theta: np.ndarray) -> Figure:
    """Draw the box with its patches (left) and the conductivity on a vertical cut through a ball (right).

    problem : a Conductivity problem with balls.  theta (p,) : the sample to draw.
    """
    made = Figure(figsize=(11, 5), layout="constrained")
    space = made.add_subplot(1, 2, 1, projection="3d")
    _edges(space, np.array([[0, 0, 0], [1, 1, 1]]), color="0.25", linewidth=1)
    _edges(space, REGION_OF_INTEREST, color="0.5", linewidth=0.8, linestyle=":")
    _patches(space, problem.survey)
    for ball in theta.reshape(-1, 5):
        _ball(space, ball)
    space.set(
        xlabel="x in m",
        ylabel="y in m",
        zlabel="z in m",
        xlim=(0, 1),
        ylim=(0, 1),
        zlim=(0, 1),
        title=f"{problem.survey.size} sources and receivers on top",
    )
    space.set_box_aspect((1, 1, 1), zoom=0.95)
    space.view_init(elev=18, azim=-58)

    cut = made.add_subplot(1, 2, 2)
    line = np.linspace(0, 1, 241)
    x, z = np.meshgrid(line, line, indexing="ij")
    points = np.stack([x, np.full_like(x, theta[1]), z], axis=-1)
    sigma = 1e3 * problem.background * np.exp(problem.parametrisation.evaluate(theta, points))
    shown = cut.pcolormesh(x, z, sigma, shading="gouraud", cmap="cividis")
    made.colorbar(shown, ax=cut, label="conductivity in mS/m", shrink=0.85)
    low, high = REGION_OF_INTEREST
    cut.plot(
        [low[0], high[0], high[0], low[0], low[0]], [low[2], low[2], high[2], high[2], low[2]], "w:", lw=1
    )
    centres = np.unique(problem.survey.centres[:, 0])
    cut.plot(centres, np.ones_like(centres), "v", color="#D55E00", ms=9, clip_on=False, label="patch centres")
    cut.legend(loc="lower right", framealpha=0.9)
    cut.set(xlabel="x in m", ylabel="z in m", aspect="equal")
    cut.set_title(f"one sample, cut at y = {theta[1]:.2f} m", pad=12)  # above the patches' marks
    return made


def _edges(axes, corners, **style):
    low, high = corners
    for axis in range(3):
        others = [k for k in range(3) if k != axis]
        for a in (low, high):
            for b in (low, high):
                line = np.empty((3, 2))
                line[axis] = low[axis], high[axis]
                line[others[0]], line[others[1]] = a[others[0]], b[others[1]]
                axes.plot(*line, **style)


def _patches(axes, survey):
    angle = np.linspace(0, 2 * np.pi, 40)
    for x, y in survey.centres[: survey.size // 2]:
        for r, alpha in ((2, 0.25), (1, 0.55)):
            ring = x + r * survey.deviation * np.cos(angle), y + r * survey.deviation * np.sin(angle)
            inside = (ring[0] >= 0) & (ring[0] <= 1) & (ring[1] >= 0) & (ring[1] <= 1)
            axes.plot(
                *(np.where(inside, part, np.nan) for part in ring), 1, color="#D55E00", alpha=alpha, lw=1
            )
        arm = 0.7 * survey.deviation
        axes.plot([x - arm, x + arm], [y, y], 1, color="#D55E00", lw=1.4)
        axes.plot([x, x], [y - arm, y + arm], 1, color="#D55E00", lw=1.4)


def _ball(axes, ball):
    centre, radius, contrast = ball[:3], ball[3], ball[4]
    u, v = np.mgrid[0 : 2 * np.pi : 40j, 0 : np.pi : 20j]
    surface = np.array([np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v)]) * radius
    axes.plot_surface(*(surface + centre[:, None, None]), color="#0072B2", alpha=0.8, linewidth=0)
    word = "conductive" if contrast > 0 else "resistive"
    axes.text(centre[0], centre[1], centre[2] - radius - 0.12, word, ha="center", fontsize=9, color="#0072B2")
