"""Conductivity imaging: where a box conducts, from the fields that patches on its top face excite and measure.

Maxwell's equations, e^{+iωt}, in (0, 1 m)³ with κ = ω/c and k_c² = κ²ε_r − iκσZ0: curl E = −iκZ0 H and
curl H = J + (σ + iωε)E.  Without H, with currents g̃p on the top face alone and an impedance on all faces,

    curl curl E − k_c² E = 0 in Ω,    n × curl E = iκ(E_T + Z0 g̃ p) on ∂Ω.

Multiply by v, integrate by parts, ∫ curl curl E·v = ∫ curl E·curl v + ∫_∂Ω (n × curl E)·v, and put that in:

    (curl E, curl v) − (k_c² E, v) + iκ⟨E_T, v_T⟩_∂Ω = −iκZ0 ∫_top g̃ p·v    for all v in H(curl).

Sources and receivers are the same functionals, so data are reciprocal, and by the log-conductivity m of a voxel
∂d_sr/∂m = ∫_voxel σ E_s·E_r dx: products of smooth, damped fields, so most combinations of voxels leave hardly
a trace.  Take for v a constant vector p and divide by iκZ0:

    ∫_Ω (σ + iωε) E·p dx + ∮ E_T·p_T dS / Z0 = −∫_top g̃ = −1 A·m,

all the current that a patch drives comes back through the medium and the walls, whatever σ is.

    uv run python experiments/examples/conductivity.py --out pictures

Draws σ, |E| and the singular values of the Jacobian.  Fails unless that moment is −1 A·m within 1e-6 for every
source, and power balances within 1e-10.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import maxwell
from experiments.plots import style
from maxwell import checks
from maxwell.fenicsx import compiled, dolfinx, fem, ufl
from maxwell.units import VACUUM_IMPEDANCE


def moments(forward, theta, fields):
    """∫ (σ + iωε) E·p dx + ∮ E_T·p_T dS / Z0 of every source with its own direction p, in A·m: (K,)."""
    problem, space, scaling = forward.problem, forward.space, forward.problem.scaling
    tables = space.tabulate(np.arange(len(space.cell_dofs)))
    sigma = problem.background * np.exp(problem.parametrisation.evaluate(theta, tables.points))
    admittivity = 1j * scaling.wavenumber_squared(sigma, problem.permittivity)  # (σ + iωε) κZ0
    total = np.einsum("cq,cqik->ik", admittivity * tables.weights, tables.field(fields)) / scaling.wavenumber
    v, n = ufl.TestFunction(space.space), ufl.FacetNormal(space.mesh)
    for axis, p in enumerate(np.eye(3)):
        trace = ufl.inner(ufl.cross(n, ufl.as_vector(p)), ufl.cross(n, v)) * ufl.ds
        total[axis] += fem.assemble_vector(compiled(trace, space.mesh.comm)).array @ fields
    return np.einsum("ki,ik->k", problem.survey.directions, total) / VACUUM_IMPEDANCE


def draw(forward, theta, fields, values):
    """σ and |E| on the plane y = 0.41 m, and the singular values, as a figure."""
    problem, mesh = forward.problem, forward.space.mesh
    made, axes = style.figure(3, 1, (4.0, 3.4))
    line = np.linspace(0, 1, 101)
    x = np.stack(np.meshgrid(line, 0.41, line, indexing="ij"), axis=-1).reshape(-1, 3)
    sigma = 1e3 * problem.background * np.exp(problem.parametrisation.evaluate(theta, x))
    near = dolfinx.geometry.compute_collisions_points(dolfinx.geometry.bb_tree(mesh, 3, padding=1e-12), x)
    cells = dolfinx.geometry.compute_colliding_cells(mesh, near, x)
    field = fem.Function(forward.space.space)
    field.x.array[:] = fields[:, 5]
    strength = np.log10(np.linalg.norm(field.eval(x, cells.array[cells.offsets[:-1]]), axis=-1))
    shown = {"conductivity, mS/m": sigma, "log10 |E| in V/m, one source": strength}
    for axis, (title, image) in zip(axes[0], shown.items(), strict=False):
        made.colorbar(axis.pcolormesh(line, line, image.reshape(101, 101).T, rasterized=True), ax=axis)
        axis.set(title=title, xlabel="x in m", ylabel="z in m", aspect="equal")
    axes[0, 2].semilogy(1 + np.arange(len(values)), values / values[0], ".")
    axes[0, 2].set(title="singular values of the Jacobian", xlabel="number", ylabel="relative to the largest")
    return made


def main() -> int:
    """Solve, draw, compare with theory; 0 if it agrees."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), help="folder of the picture")
    parser.add_argument("--cells", type=int, default=8, help="bricks along an edge")
    chosen = parser.parse_args()
    problem = maxwell.Conductivity(parametrisation=maxwell.Voxels(4, 4, 4))
    forward = problem.discretise(cells=chosen.cells, degree=2, cell="hexahedron")
    theta = problem.prior.sample(np.random.default_rng(4), 1)[0]
    jacobian, fields = forward.jacobian(theta), forward.fields(theta)
    values = np.linalg.svd(np.concatenate([jacobian.real, jacobian.imag]), compute_uv=False)  # θ is real
    chosen.out.mkdir(parents=True, exist_ok=True)
    (path := chosen.out / "conductivity.png").write_bytes(style.png(draw(forward, theta, fields, values)))
    moment = np.abs(moments(forward, theta, fields) + 1).max()
    power = checks.energy_balance(forward, theta)
    good = moment < 1e-6 and power < 1e-10
    print(f"picture: {path}; {(values > 1e-2 * values[0]).sum()} of {len(values)} directions above 1e-2")
    print(
        f"{'agrees' if good else 'DISAGREES'} with theory: moment of the current -1 A·m within {moment:.1e} "
        f"(at most 1e-6), power balance within {power:.1e} (at most 1e-10)"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
