"""The Cauchy problem without a mesh: closed form, modes, prior, specification."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_parametrisations import PriorContract

import maxwell
from maxwell.reference.cauchy import FaceModes, Waveguide


def random_theta(modes, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(modes) + 1j * rng.standard_normal(modes)


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
