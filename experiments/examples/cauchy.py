"""Cauchy data completion: the field on a face that cannot be reached, from the field on the opposite one.

A tube (0,1)² × (0, L) with perfectly conducting walls, a medium of k_c² = κ² − iκσ̂, e^{+iωt}.  A tangential field g
on z = 0 drives it, an impedance n × curl E = iκE_T ends it at z = L, and E_T is measured there.  Multiply

    curl curl E − k_c² E = 0

by a v whose tangential trace vanishes on the walls and on z = 0, integrate by parts, and put in the impedance:

    (curl E, curl v) − (k_c² E, v) + iκ ⟨E_T, v_T⟩_{z=L} = 0,     E_T = g on z = 0,   E_T = 0 on the walls.

Nédélec elements hold tangential traces and nothing more, so g and the walls are conditions on single unknowns.  In
the orthonormal TE and TM modes of the face, g = Σ θ_k e_k and d_k = ∫_{z=L} E·e_k, the modes do not couple:
d_k = t_k θ_k, t = y/(y cosh γL + iκ sinh γL).  Below cutoff, κ < π, all of them decay, |t| ~ e^{−γL}: noise of 1 %
hides the modes with the smallest |t|, and g comes back from the others, blurred.

    uv run python experiments/examples/cauchy.py --out pictures

Draws a patch, its reconstruction by truncated singular values, the field on its way, and the singular values.
Fails unless the ten largest agree with |t| within 1 % and the condition number within 5 %.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import maxwell
from experiments.plots import style
from maxwell import inversion


def draw(problem, forward, theta, estimate, values):
    """Three cuts of |E| and the singular values, as a figure."""
    made, axes = style.figure(4, 1, (3.6, 3.2))
    line = np.linspace(0, 1, 81)
    face = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)
    true, found = (np.linalg.norm(problem.boundary_field(t, face), axis=-1) for t in (theta, estimate))
    height = np.linspace(0, problem.depth, 61)
    cut = np.stack(np.meshgrid(line, height, indexing="ij"), axis=-1)
    peak = line[np.unravel_index(true.argmax(), true.shape)[1]]
    points = np.stack([cut[..., 0], np.full(cut.shape[:2], peak), cut[..., 1]], axis=-1)
    inside = np.linalg.norm(forward.evaluate(theta, points), axis=-1)
    titles = ("|g| on z = 0, V/m", "|g| recovered from 1 % noise", f"log10 |E| at y = {peak:.2f} m")
    for axis, image, title in zip(axes[0], (true, found, np.log10(inside)), titles, strict=False):
        x, y = (face if axis is not axes[0, 2] else cut).transpose(2, 0, 1)
        limits = {} if axis is axes[0, 2] else {"vmin": 0, "vmax": true.max()}
        shown = axis.pcolormesh(x, y, image, cmap="viridis", shading="gouraud", rasterized=True, **limits)
        made.colorbar(shown, ax=axis, shrink=0.8)
        axis.set(
            title=title, xlabel="x in m", ylabel="z in m" if axis is axes[0, 2] else "y in m", aspect="equal"
        )
    axes[0, 3].semilogy(np.sort(np.abs(problem.reference.transfer))[::-1], "-", label="closed form |t|")
    axes[0, 3].semilogy(values, ".", label=f"{forward.dofs:,} unknowns")
    axes[0, 3].set(title="singular values", xlabel="number")
    axes[0, 3].legend(frameon=False)
    return made


def main() -> int:
    """Solve, draw, compare with theory; 0 if it agrees."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of the picture")
    parser.add_argument("--cells", type=int, default=12, help="bricks along x and y")
    chosen = parser.parse_args()
    problem = maxwell.Cauchy(depth=0.5, wavenumber=3.0, loss=0.5, modes=40)
    forward = problem.discretise(cells=chosen.cells, degree=2)
    rng = np.random.default_rng(3)
    theta = problem.prior.sample(rng, 1)[0]
    data = problem.reference.transfer * theta  # by the closed form, so that no mesh inverts its own data
    noise = 0.01 * np.sqrt(np.mean(np.abs(data) ** 2))  # standard deviation of a complex datum
    data += noise * (rng.standard_normal(40) + 1j * rng.standard_normal(40)) / np.sqrt(2)
    estimate = inversion.tsvd(forward, data, noise, problem.prior).theta
    values = np.linalg.svd(forward.matrix, compute_uv=False)
    chosen.out.mkdir(parents=True, exist_ok=True)
    path = chosen.out / "cauchy.png"
    path.write_bytes(style.png(draw(problem, forward, theta, estimate, values)))
    exact = np.sort(np.abs(problem.reference.transfer))[::-1]
    largest = np.abs(values / exact - 1)[:10].max()
    condition = abs(values[0] / values[-1] / (exact[0] / exact[-1]) - 1)
    good = largest < 0.01 and condition < 0.05
    print(
        f"picture: {path}; relative error of g: {np.linalg.norm(estimate - theta) / np.linalg.norm(theta):.2f}"
    )
    print(
        f"{'agrees' if good else 'DISAGREES'} with theory: ten largest singular values within {largest:.1e} of |t| "
        f"(at most 1e-2), condition {values[0] / values[-1]:.0f} within {condition:.1e} (at most 5e-2)"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
