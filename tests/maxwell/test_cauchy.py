"""The Cauchy problem against its closed form: transfer factors, fields, powers, reciprocity, prior, refusals."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_parametrisations import PriorContract

import maxwell
from maxwell import checks, memory
from maxwell.fenicsx import PETSc, fem, ufl
from maxwell.reference.cauchy import FaceModes, Waveguide
from maxwell.units import VACUUM_IMPEDANCE

EXAMPLE = Path(__file__).parents[2] / "experiments" / "examples" / "cauchy.py"
KINDS = [("tetrahedron", 1), ("tetrahedron", 2), ("hexahedron", 1), ("hexahedron", 2)]


def random_theta(modes, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(modes) + 1j * rng.standard_normal(modes)


@pytest.fixture(scope="module", params=[("tetrahedron", 0.0), ("hexahedron", 1.0)], ids=str)
def forward(request):
    cell, grading = request.param
    return maxwell.Cauchy(modes=10).discretise(cells=5, grading=grading, cell=cell)


def largest_errors(forward, count):
    """Relative errors of the largest singular values and of the largest diagonal entries, worst of each."""
    transfer, matrix = forward.problem.reference.transfer, forward.matrix
    order = np.argsort(-np.abs(transfer))
    values = np.linalg.svd(matrix, compute_uv=False)
    of_values = np.abs(values / np.abs(transfer)[order] - 1)[:count].max()
    of_diagonal = np.abs(np.diag(matrix) / transfer - 1)[order[:count]].max()
    return of_values, of_diagonal


def test_the_map_of_forty_modes_agrees_with_the_closed_form():
    """Measured: 2.3e-4 and 2.9e-4 on the ten largest factors, 0.2 % on the condition number."""
    forward = maxwell.Cauchy().discretise(cells=12, degree=2)
    assert forward.dofs == 35_772
    assert max(largest_errors(forward, 10)) < 5e-4
    exact = np.abs(forward.problem.reference.transfer)
    assert np.linalg.cond(forward.matrix) == pytest.approx(exact.max() / exact.min(), rel=0.01)
    assert forward.trace["leakage"] < 1e-4


@pytest.mark.parametrize(("cell", "degree"), KINDS)
def test_transfer_factors_converge_with_twice_the_order_of_the_element(cell, degree):
    """They are functionals of the field, so the errors of field and adjoint field multiply."""
    problem = maxwell.Cauchy(modes=4)
    meshes = {("tetrahedron", 2): (6, 9), ("hexahedron", 2): (4, 6)}.get((cell, degree), (8, 12))
    coarse, fine = (
        np.array(largest_errors(problem.discretise(cells=n, degree=degree, cell=cell), 4)) for n in meshes
    )
    assert np.log(coarse / fine) / np.log(1.5) == pytest.approx([2 * degree] * 2, abs=0.4)


def field_error(forward, theta):
    """Relative L2 distance of the discrete field from the closed form."""
    mesh, reference = forward.space.mesh, forward.problem.reference
    exact = fem.Function(fem.functionspace(mesh, ("DG", forward.degree + 2, (3,))))
    exact.interpolate(lambda x: reference.field(theta, x.T).T)

    def square(f):
        return fem.assemble_scalar(fem.form(ufl.inner(f, f) * ufl.dx, dtype=PETSc.ScalarType)).real

    return np.sqrt(square(forward.field(theta) - exact) / square(exact))


@pytest.mark.parametrize(("cell", "degree"), KINDS)
def test_fields_converge_with_the_order_of_the_element(cell, degree):
    problem, theta = maxwell.Cauchy(modes=4), random_theta(4)
    coarse, fine = (
        field_error(problem.discretise(cells=n, degree=degree, cell=cell), theta)
        for n in ((4, 6) if degree == 2 else (8, 12))
    )
    assert np.log(coarse / fine) / np.log(1.5) == pytest.approx(degree, abs=0.15)


def test_the_field_at_points_is_that_of_the_closed_form(forward):
    theta = random_theta(10)
    x = np.random.default_rng(0).uniform(0, 1, (4, 50, 3)) * [1, 1, 0.5]
    x[0, 0], x[0, 1] = (0.0, 0.4, 0.0), (1.0, 1.0, 0.5)  # faces and corners belong to the box
    exact = forward.problem.reference.field(theta, x)
    found = forward.evaluate(theta, x)
    assert np.linalg.norm(found - exact) < 0.1 * np.linalg.norm(exact)
    with pytest.raises(maxwell.MaxwellError, match=r"\[0.5, 0.5, 0.6\] m lies outside the box"):
        forward.evaluate(theta, [[0.5, 0.5, 0.2], [0.5, 0.5, 0.6]])


def test_reciprocity_and_residual_are_at_rounding_level(forward):
    trace = forward.trace
    numbers = {"dofs", "residual", "reciprocity", "leakage", "solves", "iterations", "memory", "seconds"}
    assert set(trace) == numbers | {"method", "why"}
    assert trace["memory"] > 0
    assert trace["residual"] < 1e-12
    assert trace["reciprocity"] < 1e-12
    assert (trace["solves"], trace["dofs"]) == (20, forward.dofs)


def test_the_derivative_in_complex_unknowns_is_the_matrix(forward):
    """The map is linear: remainders and difference quotients are round-off, for complex θ and directions."""
    theta, direction = random_theta(10), random_theta(10, seed=1)
    size = np.linalg.norm(forward(theta))
    remainders = checks.taylor_remainders(forward, theta, direction, [10.0, 1.0, 0.1])
    assert remainders.max() < 1e-13 * size
    assert checks.jacobian_differences(forward, theta, step=1.0).max() < 1e-12


def test_no_sample_gives_no_data_and_vectors_of_a_wrong_length_are_refused(forward):
    assert forward.batch(np.empty((0, 10))).shape == (0, 10)
    with pytest.raises(maxwell.MaxwellError, match=r"jvp: direction has shape \(9,\); expected \(10,\)"):
        forward.jvp(random_theta(10), np.ones(9))
    with pytest.raises(maxwell.MaxwellError, match=r"vjp: covector has shape \(9,\); expected \(10,\)"):
        forward.vjp(random_theta(10), np.ones(9))


@pytest.mark.parametrize("loss", [0.0, 0.5, 6.0])
def test_the_power_put_in_is_lost_or_leaves(loss):
    """Poynting's theorem exactly, and the input of each mode as its closed-form admittance says."""
    problem = maxwell.Cauchy(depth=0.3, loss=loss, modes=4)
    forward = problem.discretise(cells=4)
    powers = forward.powers(random_theta(4))
    assert powers["input"] == pytest.approx(powers["loss"] + powers["output"], rel=1e-10)
    assert powers["output"] > 0
    assert (powers["loss"] > 0) == (loss > 0)
    for theta, admittance in zip(np.eye(4), problem.reference.admittance, strict=True):
        exact = admittance.imag / (2 * problem.wavenumber * VACUUM_IMPEDANCE)
        assert forward.powers(2j * theta)["input"] == pytest.approx(4 * exact, rel=0.02)
        exact_output = np.abs(theta @ problem.reference.transfer) ** 2 / (2 * VACUUM_IMPEDANCE)
        assert forward.powers(theta)["output"] == pytest.approx(exact_output, rel=0.02)


def test_the_map_is_linear_and_a_batch_is_its_rows(forward):
    theta, other = random_theta(10, 1), random_theta(10, 2)
    combined = forward(2j * theta - other)
    assert combined == pytest.approx(2j * forward(theta) - forward(other), rel=1e-12)
    assert forward.batch([theta, other]) == pytest.approx(
        np.stack([forward(theta), forward(other)]), rel=1e-12
    )
    assert forward.jvp(theta, other) == pytest.approx(forward(other), rel=1e-12)
    assert np.array_equal(forward.jacobian(theta), forward.matrix)


@pytest.mark.parametrize("theta", [random_theta(10), np.ones(10)], ids=["complex", "real"])
def test_adjoint_of_complex_unknowns(forward, theta):
    """⟨T v, w⟩ = ⟨v, vjp(w)⟩ as complex numbers, whatever the type of θ."""
    v, w = random_theta(10, 3), random_theta(10, 4)
    assert np.vdot(forward.vjp(theta, w), v) == pytest.approx(np.vdot(w, forward.jvp(theta, v)), rel=1e-12)


def test_data_are_the_coefficients_of_the_field_on_the_far_face(forward):
    """Through the field itself: ∫_{z=L} |E_T|² by quadrature against ‖d‖², as little lies in other modes."""
    theta = random_theta(10)
    output = forward.powers(theta)["output"] * 2 * VACUUM_IMPEDANCE
    assert output == pytest.approx(np.linalg.norm(forward(theta)) ** 2, rel=1e-3)


@pytest.mark.parametrize("cells", [4, 5])
@pytest.mark.parametrize("cell", ["tetrahedron", "hexahedron"])
def test_exactly_the_tangential_unknowns_of_walls_and_bottom_are_prescribed(cells, cell):
    """Counted: 2 an edge and, on facets, 2 a triangle or 4 a square (a facet that cuts a corner is no wall)."""
    forward = maxwell.Cauchy(depth=0.4, modes=2).discretise(cells=cells, cell=cell)
    assert (forward.fields[forward.fields.any(axis=1)].shape[0]) == len(forward.free) + len(forward.base)
    edges = 2 * cells * (cells - 1) + (cells**2 if cell == "tetrahedron" else 0)
    assert len(forward.base) == 2 * edges + 4 * cells**2
    layers, across = 2, 4 * cells
    walls = 2 * (across * (layers + 1) + across * layers) + 4 * across * layers
    walls += 2 * across * layers if cell == "tetrahedron" else 0
    assert forward.dofs - len(forward.free) - len(forward.base) == walls


@given(depth=st.floats(0.05, 2.0), wavenumber=st.floats(0.1, 12.0), loss=st.floats(0.0, 50.0))
def test_closed_form_equals_the_formula_with_hyperbolic_functions(depth, wavenumber, loss):
    guide = Waveguide(FaceModes(24), depth, wavenumber, loss)
    gamma = np.sqrt(guide.modes.wavenumbers**2 - guide.wavenumber_squared)
    y = np.where(guide.modes.magnetic, -guide.wavenumber_squared / gamma, gamma)
    cosine, sine = np.cosh(gamma * depth), np.sinh(gamma * depth)
    denominator = y * cosine + 1j * wavenumber * sine
    assert guide.transfer == pytest.approx(y / denominator, rel=1e-9)
    assert guide.admittance == pytest.approx(
        y * (y * sine + 1j * wavenumber * cosine) / denominator, rel=1e-9
    )


def test_closed_form_at_its_limits():
    """γ = 0: t = 1/(1 + iκL) for TE and 1 for TM; no depth overflows."""
    for count, expected in ((1, 1 / (1 + 0.5j * np.pi)), (4, 1.0)):
        at_cutoff = Waveguide(FaceModes(count), 0.5, FaceModes(count).wavenumbers[-1], 0.0)
        assert abs(at_cutoff.decay[-1]) < 1e-6
        assert at_cutoff.transfer[-1] == pytest.approx(expected, rel=1e-6)
        assert np.isfinite(at_cutoff.admittance).all()
    deep = Waveguide(FaceModes(40), 1e4, 3.0, 0.5)
    assert (deep.transfer == 0).all()
    assert np.isfinite(deep.admittance).all()


def test_closed_form_field_solves_the_boundary_value_problem():
    """Maxwell's equation and the impedance by differences, the other conditions exactly."""
    guide, theta = Waveguide(FaceModes(24), 0.5, 3.0, 0.5), random_theta(24)
    rng = np.random.default_rng(1)

    def derivative(f, axis, step=2e-3):
        e = np.eye(3)[axis] * step
        return lambda x: (8 * (f(x + e) - f(x - e)) - (f(x + 2 * e) - f(x - 2 * e))) / (12 * step)

    def curl(f):
        d = [derivative(f, axis) for axis in range(3)]

        def at(x):
            g = np.stack([slope(x) for slope in d])  # (3, points, 3): ∂_i f_j
            return np.stack([g[i, :, j] - g[j, :, i] for i, j in ((1, 2), (2, 0), (0, 1))], axis=-1)

        return at

    def field(x):
        return guide.field(theta, x)

    inside = rng.uniform(0.1, 0.4, (20, 3))
    size = np.abs(curl(curl(field))(inside)).max()
    assert np.abs(curl(curl(field))(inside) - guide.wavenumber_squared * field(inside)).max() < 1e-6 * size
    face = rng.uniform(0, 1, (20, 2))
    near, far = (np.column_stack([face, np.full(20, z)]) for z in (0.0, 0.5))
    g = np.einsum("qki,k->qi", guide.modes.evaluate(face), theta)
    assert field(near)[:, :2] == pytest.approx(g, abs=1e-12)
    impedance = np.cross([0, 0, 1], curl(field)(far)) - 3j * field(far)
    assert np.abs(impedance[:, :2]).max() < 1e-6 * np.abs(curl(field)(far)).max()
    for axis in range(2):
        wall = rng.uniform(0, 0.5, (20, 3))
        wall[:, axis] = rng.integers(0, 2, 20)
        assert np.abs(np.delete(field(wall), axis, axis=1)).max() < 1e-12


def test_modes_are_orthonormal_and_ordered():
    modes = FaceModes(60)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    x = np.stack(np.meshgrid((nodes + 1) / 2, (nodes + 1) / 2, indexing="ij"), axis=-1).reshape(-1, 2)
    values = modes.evaluate(x)
    gram = np.einsum("q,qki,qli->kl", np.outer(weights, weights).ravel() / 4, values, values)
    assert gram == pytest.approx(np.eye(60), abs=1e-12)
    assert (np.diff(modes.wavenumbers) >= 0).all()
    assert modes.names[:8] == (
        "TE(1,0)", "TE(0,1)", "TE(1,1)", "TM(1,1)", "TE(2,0)", "TE(0,2)", "TE(2,1)", "TE(1,2)",
    )  # fmt: skip
    assert FaceModes(300).names[:60] == modes.names  # none is missing at any count


class TestBoundaryPatchPrior(PriorContract):
    member = maxwell.BoundaryPatchPrior(modes=12)
    parametrisation = FaceModes(12)
    others = (FaceModes(11), maxwell.Balls(1))
    dtype = np.complex128

    def problem(self):
        return maxwell.Cauchy(modes=12, prior=self.member)

    def test_draws_are_unknowns_of_the_parametrisation(self):
        self.member.check_fits(self.parametrisation)
        for theta in self.sample(5, 50):
            assert np.array_equal(self.parametrisation.check(theta), theta)


def test_coefficients_of_patches_are_the_integrals_over_the_face():
    """Against a rule over the face that knows nothing of products; the patches reach beyond the walls."""
    prior = maxwell.BoundaryPatchPrior(patches=(3, 3), centre=(0.0, 1.0), deviation=(0.05, 0.3))
    centres, deviations, vectors = prior.draw(np.random.default_rng(0))
    nodes, weights = np.polynomial.legendre.leggauss(120)
    x = np.stack(np.meshgrid((nodes + 1) / 2, (nodes + 1) / 2, indexing="ij"), axis=-1).reshape(-1, 2)
    distance = np.linalg.norm(x[:, None] - centres, axis=-1)
    g = np.exp(-(distance**2) / (2 * deviations**2)) @ vectors
    modes = FaceModes(40).evaluate(x)
    expected = np.einsum("q,qi,qki->k", np.outer(weights, weights).ravel() / 4, g, modes)
    assert prior.coefficients(centres, deviations, vectors) == pytest.approx(expected, abs=1e-14)


def test_the_energy_of_the_prior_is_that_of_its_patches():
    """Random phases: E‖θ‖² = E[count] E[A²] π E[s²] for patches inside the face, up to Monte Carlo error."""
    prior = maxwell.BoundaryPatchPrior(centre=(0.4, 0.6), deviation=(0.08, 0.1), modes=300)
    energies = np.sum(np.abs(prior.sample(np.random.default_rng(0), 800)) ** 2, axis=1)
    expected = 2 * (0.25 + 1 + 4) / 3 * np.pi * (0.0064 + 0.008 + 0.01) / 3
    assert energies.mean() == pytest.approx(expected, abs=3 * energies.std() / np.sqrt(800))


def test_the_prior_is_circular_and_far_from_gaussian():
    thetas = maxwell.BoundaryPatchPrior().sample(np.random.default_rng(0), 2000)
    variance = np.mean(np.abs(thetas) ** 2, axis=0)
    assert (np.abs(thetas.mean(axis=0)) < 4 * np.sqrt(variance / 2000)).all()
    pseudo = np.abs(np.mean(thetas**2, axis=0))
    fourth = np.mean(np.abs(thetas) ** 4, axis=0) / variance**2
    assert (pseudo < 4 * variance * np.sqrt(fourth / 2000)).all()
    assert (fourth > 2.5).all()  # 2 for a circular Gaussian


def test_labels_and_parameters_name_the_modes():
    problem = maxwell.Cauchy(modes=6)
    assert [p.name for p in problem.parameters][3:5] == ["TM(1,1)", "TE(2,0)"]
    assert {(p.unit, p.group) for p in problem.parameters} == {("V", "TE"), ("V", "TM")}
    labels = problem.observation_labels()
    assert {name: values.tolist() for name, values in labels.items()} == {
        "m": [1, 0, 1, 1, 2, 0],
        "n": [0, 1, 1, 1, 0, 2],
        "magnetic": [0, 0, 0, 1, 0, 0],
    }


def test_a_problem_survives_the_way_through_a_table():
    problem = maxwell.Cauchy(
        depth=1.0, loss=0.0, modes=24, prior=maxwell.BoundaryPatchPrior(patches=(2, 2), modes=24)
    )
    assert maxwell.problem_from(json.loads(json.dumps(problem.spec()))) == problem
    assert maxwell.problem_from({"kind": "cauchy"}) == maxwell.Cauchy()
    with pytest.raises(
        maxwell.MaxwellError, match=r"problem.prior.centr: unknown key; .*did you mean centre"
    ):
        maxwell.problem_from({"kind": "cauchy", "prior": {"centr": [0.3, 0.6]}})


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"depth": 0.0}, "depth is 0.0; expected a positive number in m"),
        ({"depth": np.nan}, "depth is nan"),
        ({"wavenumber": -3.0}, "wavenumber is -3.0; expected a positive number in rad/m"),
        ({"loss": -0.5}, "loss is -0.5; .* not negative"),
        ({"modes": 0}, "modes is 0; expected a whole number"),
        ({"modes": 2.5}, "modes is 2.5"),
        ({"depth": "a"}, "depth is 'a'; expected a positive number in m"),
        ({"loss": 1j}, "loss is 1j"),
        ({"prior": 3}, "prior is 3; expected one such as BoundaryPatchPrior"),
        ({"prior": maxwell.BoundaryPatchPrior(modes=3)}, "give both the same"),
    ],
)
def test_a_wrong_problem_is_refused_in_a_sentence(table, expected):
    with pytest.raises(maxwell.MaxwellError, match=expected) as caught:
        maxwell.Cauchy(**table)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"patches": (0, 2)}, "patches is .* at least 1"),
        ({"patches": (1, 2.5)}, "patches is .* whole numbers"),
        ({"centre": (0.7, 0.3)}, "low <= high"),
        ({"centre": (0.2, 1.2)}, "in the face"),
        ({"deviation": (0.0, 0.1)}, "at least 0.005 m"),
        ({"amplitude": (0.0, 1.0)}, "positive bounds"),
        ({"modes": 0}, "modes is 0"),
    ],
)
def test_a_wrong_prior_is_refused_in_a_sentence(table, expected):
    with pytest.raises(maxwell.MaxwellError, match=expected):
        maxwell.BoundaryPatchPrior(**table)


@pytest.mark.parametrize(
    ("problem", "sizes", "expected"),
    [
        ({}, {"cells": 1}, "cells is 1"),
        ({}, {"degree": 3}, "degree is 3"),
        ({}, {"grading": -1}, "grading is -1"),
        ({}, {"cell": "prism"}, "cell is 'prism'"),
        ({}, {"cells": 6}, r"mode TE\(5,0\) has a wavelength of 0.4 m, .* 2.4 cells in it; .*cells=8"),
        ({}, {"degree": 1}, r"4.8 cells in it; expected at least 6 at degree 1.*cells=15.*degree=2"),
        ({"wavenumber": 60.0, "modes": 4}, {"cells": 8}, "the medium has a wavelength of 0.105 m"),
        ({"loss": 3000.0, "modes": 4}, {"cells": 8}, "the medium has a skin depth of 0.0149 m.* 0.12 cells"),
        ({"modes": 24}, {"cells": 7, "grading": 2.0}, "cells in it"),
        ({}, {"cells": 2000}, r"The factorisation of .* unknowns needs about .* GiB, and .* are free"),
    ],
)
def test_a_mesh_that_does_not_resolve_the_fields_is_refused_in_a_sentence(problem, sizes, expected):
    with pytest.raises(maxwell.MaxwellError, match=expected) as caught:
        maxwell.Cauchy(**problem).discretise(**sizes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("theta", "expected"),
    [
        (np.ones(9), r"shape \(9,\); expected \(10,\)"),
        ([*np.ones(9), np.nan], r"theta\[9\] is nan"),
        (["a"] * 10, "expected complex numbers"),
    ],
)
def test_wrong_unknowns_are_refused_in_a_sentence(forward, theta, expected):
    for call in (forward, lambda t: forward.batch([t]), forward.field, lambda t: forward.vjp(t, np.ones(10))):
        with pytest.raises(maxwell.MaxwellError, match=expected):
            call(theta)


def test_the_example_agrees_with_theory_and_draws(tmp_path):
    command = [sys.executable, str(EXAMPLE), "--cells", "8", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "agrees with theory" in done.stdout
    assert (tmp_path / "cauchy.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("cell", ["tetrahedron", "hexahedron"])
@pytest.mark.parametrize("depth", [0.4, 1.6])
def test_a_mesh_whose_factors_do_not_fit_is_refused_before_it_is_made(monkeypatch, cell, depth):
    """The sentence names the unknowns, counted from cells and layers alone: within 7 % of what the mesh has."""
    problem = maxwell.Cauchy(depth=depth, modes=4)
    dofs = problem.discretise(cells=5, cell=cell).dofs
    monkeypatch.setattr(memory, "available", lambda: 1e5)
    with pytest.raises(maxwell.MaxwellError, match=r"The factorisation of .* unknowns") as caught:
        problem.discretise(cells=5, cell=cell)
    named = int(str(caught.value).split()[3].replace(",", ""))
    assert named == pytest.approx(dofs, rel=0.07)
