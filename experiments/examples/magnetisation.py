"""Magnetic anomalies of a body in a box: many magnetisations, one set of data.

    uv run python experiments/examples/magnetisation.py [--cells 8] [--out folder]

A body D = (−0.5, 0.5 m)³ with magnetisation M (A/m) lies in a superconducting box Ω = (−1, 1 m)³.  Ampère's law
curl H = 0 with B = μ0(H + M) = curl A gives curl(μ0⁻¹ curl A) = curl M, and the walls n × A = 0.  Times a test
field v ∈ H_0(curl), integrated by parts (M vanishes at the walls):

    (curl A, curl v) = μ0 ∫_D M·curl v      for all v ∈ H_0(curl).

Both sides vanish for v = ∇q, so A is free up to gradients while B = curl A is not: a mass term ε(A, v) with
ε = 1e-6/m² picks one A and leaves B as it is to parts in ten million.  A sensor r averages component i of B over
a small ball, d_ri = ℓ_ri(A) = ∫ g_r e_i·curl A.  With the adjoint field Z_ri, (curl Z_ri, curl v) = ℓ_ri(v),
symmetry gives

    d_ri = ℓ_ri(A) = (curl Z_ri, curl A) = μ0 ∫_D M·curl Z_ri :

one factorisation, one solve a datum, and then a product for every M.  Left panels: a block and the least
magnetisation that has the same data to 1e-4: the data cannot tell them apart.  Right: singular values for two
heights of the sensors; the higher they are, the fewer the numbers that can be told.

At the end a dipole is compared with its closed form in the box, and two silent bodies with silence.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import maxwell
from experiments.plots.style import figure, png
from maxwell.reference import boxed_dipole, silent


def main(cells: int, out: Path) -> int:
    """Solve, draw magnetisation.png into a folder, and return 0 if the numbers agree with theory, else 1."""
    forwards = [maxwell.Magnetisation(sensor_height=z).discretise(cells=cells) for z in (0.7, 0.9)]
    low, high = forwards
    decompositions = [np.linalg.svd(forward.matrix, full_matrices=False) for forward in forwards]

    truth = np.zeros((4, 4, 4, 3))
    truth[1:3, 1:3, 1:3] = 0.0, 0.6, 0.8  # one block in the middle, 1 A/m
    data = low(truth.ravel())
    left, values, right = decompositions[0]
    kept = values > 1e-4 * values[0]
    least = (right[kept].T @ ((left[:, kept].T @ data) / values[kept])).reshape(truth.shape)
    misfit = np.linalg.norm(low(least.ravel()) - data) / np.linalg.norm(data)
    share = np.linalg.norm(least) / np.linalg.norm(truth)
    print(
        f"{low.dofs} unknowns; the least magnetisation has {share:.0%} of the block's norm, misfit {misfit:.1e}"
    )

    made, axes = figure(3, 1, size=(4.2, 3.6))
    for axis, body, title in zip(
        axes[0], (truth, least), ("a block", "the least with its data"), strict=False
    ):
        cut = body[:, 2, :, 2].T
        shown = axis.imshow(cut, "PuOr_r", origin="lower", extent=[-0.5, 0.5] * 2, vmin=-0.8, vmax=0.8)
        axis.set(title=title, xlabel="x in m", ylabel="z in m")
    made.colorbar(shown, ax=axes[0, :2], label="$M_z$ in A/m at y = 0.125 m", shrink=0.8)
    for forward, (_, s, _) in zip(forwards, decompositions, strict=True):
        told = int(np.sum(s > 1e-2 * s[0]))
        height = forward.problem.sensor_height
        print(f"sensors at {height} m: {told} of {len(s)} singular values above 1e-2 s_1")
        axes[0, 2].semilogy(np.arange(1, len(s) + 1), s / s[0], label=f"sensors at {height} m")
    axes[0, 2].axhline(1e-2, color="0.6", lw=0.8, ls="--")
    axes[0, 2].set(xlabel="number", ylabel="singular value / largest", ylim=(1e-8, 2))
    axes[0, 2].legend(frameon=False)
    out.mkdir(parents=True, exist_ok=True)
    (out / "magnetisation.png").write_bytes(png(made))

    dipole, theta = maxwell.Dipoles(1, radius=0.3), np.array([0.05, -0.03, 0.02, 0.3, 0.5, -0.8])
    exact = (boxed_dipole.field(high.problem.sensor_positions, theta[:3])[:, :, 0] @ theta[3:]).ravel()
    loud = high.observe(lambda x: dipole.evaluate(theta, x))
    error = np.linalg.norm(loud - exact) / np.linalg.norm(exact)
    centre, axis = theta[:3], theta[3:]
    poles = high.observe(lambda x: silent.bump_gradient(x, centre, 0.4))
    currents = high.observe(lambda x: silent.bump_curl(x, centre, 0.4, axis))
    bump = high.observe(lambda x: silent.bump(x, centre, 0.4)[..., None] * axis)
    levels = [np.linalg.norm(body) / np.linalg.norm(bump) for body in (poles, currents)]
    allowed = 3.2 / cells**2, 5e-3, 5e-2
    print(f"dipole against its closed form: {error:.2%} off; expected at most {allowed[0]:.2%} (order 2)")
    print(
        f"silent bodies: grad {levels[0]:.1e}, curl {levels[1]:.1e} of a loud one; expected below 5e-3 and 5e-2"
    )
    agrees = all(number <= bound for number, bound in zip((error, *levels), allowed, strict=True))
    print("agrees with theory" if agrees else "DOES NOT agree with theory")
    return 0 if agrees else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=8, help="bricks along an edge of the box (8)")
    parser.add_argument("--out", type=Path, default=Path("out/examples"), help="folder of the picture")
    arguments = parser.parse_args()
    sys.exit(main(arguments.cells, arguments.out))
