"""Specifications, parametrisations, priors, survey and units: everything that needs no finite elements."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import constants, integrate

import maxwell
from maxwell import units
from maxwell.parametrisations import smoothstep
from maxwell.reference.cauchy import FaceModes
from maxwell.units import Scaling

PROBLEMS = [
    maxwell.Conductivity(),
    maxwell.Conductivity(frequency=1e7, background=0.1, parametrisation=maxwell.Balls(2)),
    maxwell.Conductivity(
        parametrisation=maxwell.Balls(1, width=0.08), prior=maxwell.BallPrior(radius=(0.05, 0.06))
    ),
    maxwell.Conductivity(frequency=(5e6, 23.9e6, 60e6)),
    maxwell.Conductivity(parametrisation=maxwell.Voxels(3, 2, 1)),
    maxwell.Conductivity(
        frequency=[5e6, 23.9e6],
        parametrisation=maxwell.Voxels(2, 2, 2, low=(0.3, 0.3, 0.5), high=(0.7, 0.7, 0.9)),
        prior=maxwell.GaussianField(
            maxwell.Voxels(2, 2, 2, low=(0.3, 0.3, 0.5), high=(0.7, 0.7, 0.9)), smoothness=0.5, level=0.1
        ),
    ),
    maxwell.Conductivity(
        parametrisation=maxwell.Voxels(3, 3, 3),
        prior=maxwell.BlockyPrior(maxwell.Voxels(3, 3, 3), blocks=(2, 4), contrast=(0.1, 0.2)),
    ),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=range(len(PROBLEMS)))
def test_a_problem_survives_the_way_through_a_table(problem):
    again = maxwell.problem_from(json.loads(json.dumps(problem.spec())))
    assert again == problem
    assert hash(again) == hash(problem)
    assert again.spec() == problem.spec()


def test_one_frequency_is_a_number_and_several_are_a_tuple():
    one, listed, several = (maxwell.Conductivity(f) for f in (23.9e6, [23.9e6], np.array([23.9e6, 5e6])))
    assert one == listed
    assert (one.frequency, one.frequencies) == (23.9e6, (23.9e6,))
    assert several.frequency == several.frequencies == (23.9e6, 5e6)
    assert several.scalings == (Scaling(23.9e6), Scaling(5e6))
    assert several.scaling == several.scalings[0] == one.scaling
    assert (one.region == maxwell.REGION_OF_INTEREST).all()


def test_data_of_several_frequencies_are_labelled_frequency_major():
    one, several = maxwell.Conductivity().observation_labels(), maxwell.Conductivity((5e6, 23.9e6))
    labels = several.observation_labels()
    assert set(one) == {"source", "receiver"}
    assert labels["frequency"].tolist() == [0] * 1024 + [1] * 1024
    for name, numbers in one.items():
        assert labels[name].reshape(2, 1024).tolist() == [numbers.tolist()] * 2


def test_a_table_without_kind_is_of_the_first_alternative():
    table = {"kind": "conductivity", "parametrisation": {"count": 2}, "prior": {"count": 2}}
    assert maxwell.problem_from(table) == maxwell.Conductivity(parametrisation=maxwell.Balls(2))
    table = {"kind": "conductivity", "parametrisation": {"kind": "voxels", "nx": 2}}
    assert maxwell.problem_from(table) == maxwell.Conductivity(parametrisation=maxwell.Voxels(2, 4, 4))


SHIFTS = {
    "depth": {"prior": {"z": [0.3, 0.45]}},
    "contrast": {"prior": {"kind": "ball_prior", "contrast": [2.5, 3.5]}},
    "radius": {"prior": {"kind": "ball_prior", "radius": [0.131, 0.16]}},
    "count": {"parametrisation": {"kind": "balls", "count": 2}},
    "frequency": {"frequency": 50e6},
}


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_table_expresses_what_lies_out_of_the_distribution(shift):
    usual, shifted = maxwell.Conductivity(), maxwell.problem_from({"kind": "conductivity", **SHIFTS[shift]})
    assert maxwell.problem_from(json.loads(json.dumps(shifted.spec()))) == shifted != usual
    thetas = shifted.prior.sample(np.random.default_rng(0), 20)
    assert shifted.prior.contains(thetas).all()
    if shift == "count":
        assert shifted.prior.unknowns == thetas.shape[1] == 10
    else:
        assert usual.prior.contains(thetas).tolist() == [shift == "frequency"] * 20


@pytest.mark.parametrize(
    ("z", "radius", "inside"), [(0.45, 0.08, True), (0.45, 0.13, False), (0.5, 0.13, True)]
)
def test_balls_leave_the_region_below_their_reach(z, radius, inside):
    """A ball of the default transition stays in the region of interest for z of at least 0.37 m + R."""
    low, _ = maxwell.Balls().support([0.5, 0.5, z, radius, 1.0])
    assert (low >= maxwell.REGION_OF_INTEREST[0] - 1e-12).all() == inside


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            {"kind": "conductivity", "frequncy": 1.0},
            r"problem.frequncy: unknown key; .*did you mean freq",
        ),
        (
            {"kind": "conductivity", "parametrisation": {"cuont": 2}},
            r"problem.parametrisation.cuont: unknown key; .*did you mean count",
        ),
        ({"kind": "conductivty"}, "problem.kind is 'conductivty'"),
        ({"kind": "conductivity", "frequency": "high"}, "problem.frequency: expected a number, given 'high'"),
        ({"kind": "conductivity", "background": -1.0}, "background is -1.0"),
        (
            {"kind": "conductivity", "parametrisation": {"count": 2}, "prior": {"count": 1}},
            "give both the same",
        ),
        ("conductivity", "expected a table"),
        (
            {"kind": "conductivity", "prior": {"z": [0.5, 0.9]}},
            r"prior.z is \(0.5, 0.9\) m, .* would leave the box",
        ),
        (
            {"kind": "conductivity", "parametrisation": {"kind": "voxels", "count": 2}},
            r"problem.parametrisation.count: unknown key; expected one of nx, ny, nz, low, high",
        ),
        (
            {"kind": "conductivity", "parametrisation": {"kind": "voxel"}},
            r"problem.parametrisation.kind: expected one of balls, voxels \(did you mean voxels\?\)",
        ),
        (
            {"kind": "conductivity", "parametrisation": {"kind": ["a\nb"]}},
            r"problem.parametrisation.kind: expected one of balls, voxels, given",
        ),
        (
            {"kind": "conductivity", "parametrisation": 3},
            "problem.parametrisation: expected a table, given 3",
        ),
        (
            {"kind": "conductivity", "prior": {"kind": "gaussian_field", "voxels": {"hihg": 2}}},
            r"problem.prior.voxels.hihg: unknown key; .*did you mean high",
        ),
        (
            {"kind": "conductivity", "prior": {"kind": "gaussian_field", "length": "far"}},
            "problem.prior.length: expected a number, given 'far'",
        ),
        (
            {"kind": "conductivity", "prior": {"kind": "gaussian_field"}},
            r"The prior draws Voxels\(.*\) and the parametrisation is Balls\(.*\); give both the same",
        ),
        (
            {"kind": "conductivity", "parametrisation": {"kind": "voxels"}, "prior": {"count": 1}},
            r"The prior draws balls and the parametrisation is Voxels",
        ),
        (
            {"kind": "conductivity", "frequency": [1e6, "high"]},
            "problem.frequency.1: expected a number, given 'high'",
        ),
        ({"kind": "conductivity", "frequency": [1e6, -1.0]}, "expected a positive number in Hz, or a list"),
        ({"kind": "conductivity", "frequency": []}, "expected a positive number in Hz, or a list"),
        ({"kind": "conductivity", "frequency": [1e6, 1e6]}, "expected distinct ones"),
    ],
)
def test_a_wrong_table_is_refused_with_the_path_of_the_key(table, expected):
    with pytest.raises(maxwell.MaxwellError, match=expected) as caught:
        maxwell.problem_from(table)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"frequency": "high"}, "frequency is 'high'"),
        ({"frequency": [[1e6]]}, "frequency is"),
        ({"parametrisation": "balls"}, "parametrisation is 'balls'; expected one such as Balls"),
        ({"prior": "uniform"}, "prior is 'uniform'; expected one such as BallPrior"),
        ({"prior": maxwell.BallPrior(count=2)}, "give both the same"),
        ({"background": "a"}, "background is 'a'; expected a positive number in S/m"),
        ({"background": None}, "background is None; expected a positive number in S/m"),
        ({"background": [0.1, 0.2]}, r"background is \[0.1, 0.2\]; expected a positive number"),
        ({"permittivity": 4 - 1j}, r"permittivity is \(4-1j\); expected a real number of at least 1"),
        ({"permittivity": 0.5}, "permittivity is 0.5; expected a real number of at least 1"),
        ({"survey": None}, "survey is None; expected one such as GaussianPatches"),
    ],
)
def test_wrong_fields_are_refused_in_a_sentence(fields, expected):
    with pytest.raises(maxwell.MaxwellError, match=expected):
        maxwell.Conductivity(**fields)


@pytest.mark.parametrize(
    ("make", "fields", "expected"),
    [
        (maxwell.GaussianPatches, {"side": 2.5}, "side is 2.5; expected a whole number of at least 1"),
        (maxwell.GaussianPatches, {"side": 0}, "side is 0; expected a whole number of at least 1"),
        (maxwell.GaussianPatches, {"deviation": np.inf}, "deviation is inf m; expected a positive number"),
        (maxwell.GaussianPatches, {"deviation": "a"}, "deviation is 'a' m"),
        (maxwell.GaussianPatches, {"first": None}, "centres run from None to 0.8 m"),
        (maxwell.GaussianPatches, {"first": 0.9}, "centres run from 0.9 to 0.8 m"),
        (maxwell.Balls, {"width": "a"}, "width is 'a'; expected a positive length in metres"),
        (maxwell.Balls, {"width": None}, "width is None"),
        (maxwell.BallPrior, {"count": 2.0}, "count is 2.0; expected a whole number of at least 1"),
        (maxwell.BallPrior, {"count": 0}, "count is 0; expected a whole number of at least 1"),
        (maxwell.BallPrior, {"y": ((0.1, 0.2), 0.3)}, r"y is \(\(0.1, 0.2\), 0.3\); expected \(low, high\)"),
        (maxwell.BallPrior, {"x": 0.5}, r"x is 0.5; expected \(low, high\)"),
        (maxwell.BallPrior, {"z": ("a", "b")}, r"z is \('a', 'b'\); expected \(low, high\)"),
    ],
)
def test_a_wrong_part_of_a_problem_is_refused_in_a_sentence(make, fields, expected):
    with pytest.raises(maxwell.MaxwellError, match=expected) as caught:
        make(**fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "parametrisation", [maxwell.Balls(1), maxwell.Voxels(2, 1, 1), FaceModes(3)], ids=str
)
def test_a_ragged_theta_is_refused_in_a_sentence(parametrisation):
    with pytest.raises(maxwell.MaxwellError, match=r"theta is \[1, \[2, 3\], 4\]; expected a flat list"):
        parametrisation.check([1, [2, 3], 4])


def test_importing_the_package_is_light():
    """DOLFINx, PETSc and MPI wait for the first discretisation."""
    code = (
        "import maxwell, sys; print(*{'dolfinx', 'petsc4py', 'mpi4py', 'torch', 'h5py'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_smoothstep_is_twice_differentiable_and_its_slope_right():
    t = np.linspace(-0.5, 1.5, 2001)
    value, slope = smoothstep(t)
    assert np.abs(np.gradient(value, t) - slope).max() < 1e-4
    assert np.abs(np.diff(slope)).max() < 0.01  # C¹ slope: no jump at 0 or 1
    assert (value[t <= 0] == 0).all()
    assert (value[t >= 1] == 1).all()


thetas = st.tuples(
    *(st.floats(0.2, 0.8) for _ in range(3)), st.floats(0.06, 0.2), st.floats(-2, 2, allow_subnormal=False)
)


@given(theta=thetas, seed=st.integers(0, 2**32 - 1))
def test_balls_vanish_outside_their_support_and_have_the_derivative_they_claim(theta, seed):
    balls, theta = maxwell.Balls(1), np.array(theta)
    x = np.random.default_rng(seed).uniform(0, 1, (200, 3))
    value, slopes = balls.linearise(theta, x)
    low, high = balls.support(theta)
    outside = ((x < low[0]) | (x > high[0])).any(axis=1)
    assert (value[outside] == 0).all()
    assert (slopes[:, outside] == 0).all()
    assert np.abs(value).max() <= abs(theta[4])
    h = 1e-6
    for k, e in enumerate(np.eye(5) * h):
        difference = (balls.evaluate(theta + e, x) - balls.evaluate(theta - e, x)) / (2 * h)
        assert slopes[k] == pytest.approx(difference, abs=1e-5 * (1 + np.abs(slopes[k]).max()))


@pytest.mark.parametrize("count", [1, 2])
def test_the_prior_stays_in_its_bounds_and_in_the_region_of_interest(count):
    problem = maxwell.Conductivity(parametrisation=maxwell.Balls(count))
    thetas = problem.prior.sample(np.random.default_rng(0), 300)
    assert thetas.shape == (300, 5 * count)
    balls = thetas.reshape(300, count, 5)
    low, high = np.array([problem.prior.x, problem.prior.y, problem.prior.z, problem.prior.radius]).T
    assert (balls[..., :4] >= low).all()
    assert (balls[..., :4] <= high).all()
    assert (np.abs(balls[..., 4]) >= 0.5).all()
    assert (np.abs(balls[..., 4]) <= 2.0).all()
    assert 0.3 < (balls[..., 4] > 0).mean() < 0.7
    for theta in thetas:
        corners = problem.parametrisation.support(theta)
        assert (corners[0] >= maxwell.REGION_OF_INTEREST[0] - 1e-12).all()
        assert (corners[1] <= maxwell.REGION_OF_INTEREST[1] + 1e-12).all()


def test_two_balls_are_sorted_and_do_not_overlap():
    balls = maxwell.BallPrior(count=2).sample(np.random.default_rng(3), 300).reshape(300, 2, 5)
    assert (balls[:, 0, 0] <= balls[:, 1, 0]).all()
    gaps = np.linalg.norm(balls[:, 0, :3] - balls[:, 1, :3], axis=1)
    assert (gaps >= balls[:, :, 3].sum(axis=1)).all()


def test_an_impossible_prior_says_so():
    crowd = maxwell.BallPrior(count=9, radius=(0.12, 0.13))
    with pytest.raises(maxwell.MaxwellError, match="found no place"):
        crowd.sample(np.random.default_rng(0), 1)


def test_the_prior_is_reproducible():
    prior = maxwell.BallPrior()
    first, second = (prior.sample(np.random.default_rng(7), 4) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_patches_are_normalised_and_labelled_source_major():
    survey = maxwell.GaussianPatches()
    assert survey.size == 32
    for centre in survey.centres[:4]:
        exact, _ = integrate.dblquad(
            lambda y, x, c=centre: np.exp(-((x - c[0]) ** 2 + (y - c[1]) ** 2) / (2 * 0.08**2)), 0, 1, 0, 1
        )
        assert survey.mass(centre) == pytest.approx(exact, rel=1e-7)
    labels = survey.labels()
    assert labels["source"][:33].tolist() == [0] * 32 + [1]
    assert labels["receiver"][:33].tolist() == [*range(32), 0]


def test_units_of_the_default_problem():
    """The figures of the problem's definition: κ = 0.5, σ̂0 = 16, skin depth 0.5 m."""
    scaling = Scaling(23.9e6)
    assert scaling.wavenumber == pytest.approx(0.5, abs=0.002)
    assert scaling.conductivity(0.0425) == pytest.approx(16, abs=0.02)
    assert scaling.skin_depth(0.0425) == pytest.approx(0.5, abs=0.002)
    assert pytest.approx(constants.mu_0, rel=1e-9) == units.VACUUM_PERMEABILITY
    assert constants.speed_of_light == units.SPEED_OF_LIGHT
    assert scaling.wavenumber_squared(0.0425).imag < 0  # decay under e^{+iωt}
