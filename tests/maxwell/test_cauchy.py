"""The Cauchy problem against its closed form: transfer factors, fields, powers, reciprocity, prior, refusals."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import maxwell
from maxwell import checks, memory
from maxwell.fenicsx import PETSc, fem, ufl
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
