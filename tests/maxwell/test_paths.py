"""Every fast path against refactorising: the same data and Jacobian, whatever the region holds."""

import numpy as np
import pytest
from agreement import check_single_precision, distance

import maxwell
from maxwell import checks, memory
from maxwell.paths import CondensedExterior, LowRankUpdate, krylov, low_rank
from maxwell.problems import conductivity_map
from maxwell.problems.conductivity_map import SlowPathWarning

STRONG = np.array([0.52, 0.47, 0.66, 0.12, 2.0])
PAIR = np.array([0.38, 0.45, 0.6, 0.08, 1.9, 0.62, 0.55, 0.7, 0.09, -1.8])

SETTINGS = {
    "one ball": (maxwell.Balls(1), STRONG, {"cells": 4, "degree": 2}),
    "graded, degree 1": (maxwell.Balls(1), STRONG, {"cells": 6, "degree": 1, "grading": 1.0}),
    "hexahedra": (maxwell.Balls(1), STRONG, {"cells": 4, "degree": 2, "cell": "hexahedron"}),
    "two balls of opposite sign": (maxwell.Balls(2), PAIR, {"cells": 4, "degree": 2}),
    "voxels": (maxwell.Voxels(2, 3, 2), np.linspace(-2, 2, 12), {"cells": 5, "degree": 1}),
}


@pytest.fixture(scope="module", params=[LowRankUpdate, CondensedExterior], ids=lambda path: path.__name__)
def path(request):
    return request.param


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def setting(request, path):
    parametrisation, theta, mesh = SETTINGS[request.param]
    forward = maxwell.Conductivity(parametrisation=parametrisation).discretise(**mesh)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(path, "flops", staticmethod(lambda *_: 0.0))
        trace = forward.prepare()
    assert trace["method"] == path.__name__
    return forward, theta


def test_data_and_jacobian_equal_those_of_a_refactorisation(setting):
    forward, theta = setting
    response, (data, jacobian) = forward.solve(theta), forward.linearise(theta)
    slow, slow_jacobian = forward.refactorising.linearise(theta)
    assert "refactorise" not in response.info["method"]
    assert distance(response.observation, slow) < 2e-9
    assert distance(data, slow) < 2e-9
    assert distance(jacobian, slow_jacobian) < 1e-8


@pytest.mark.parametrize("frequency", [1e6, 23.9e6, 40e6])
def test_in_single_precision_the_estimated_error_is_that_of_the_data(frequency, monkeypatch):
    """The precision of large regions, forced on a small one: rounding is part of the estimate."""
    monkeypatch.setattr(low_rank, "DOUBLE", 0)
    forward = maxwell.Conductivity(frequency=frequency).discretise(cells=4, degree=2, grading=1.0)
    forward.prepare()
    check_single_precision(forward, forward.problem.prior.sample(np.random.default_rng(7), 4))


def test_high_frequencies_are_kept_in_double_precision(monkeypatch):
    monkeypatch.setattr(low_rank, "DOUBLE", 0)
    forward = maxwell.Conductivity(frequency=200e6).discretise(cells=5, degree=2)
    forward.prepare()
    theta = forward.problem.prior.sample(np.random.default_rng(0), 1)[0]
    assert distance(forward(theta), forward.refactorising(theta)) < 3e-9


def test_an_error_beyond_the_allowed_is_solved_slowly_with_a_notice(monkeypatch):
    forward = maxwell.Conductivity().discretise(cells=3, degree=1)
    forward.prepare()
    monkeypatch.setattr(krylov, "MOST_ERROR", 1e-16)
    with pytest.warns(SlowPathWarning, match="estimated error of .* solved by refactorising"):
        forward.solve(STRONG)


SWEEP = {
    "many samples, few cells": (maxwell.BallPrior(), maxwell.GaussianPatches(), {"cells": 3, "degree": 1}),
    "small balls": (
        maxwell.BallPrior(radius=(0.02, 0.04)),
        maxwell.GaussianPatches(),
        {"cells": 6, "degree": 1},
    ),
    "more sources than unknowns": (
        maxwell.BallPrior(),
        maxwell.GaussianPatches(side=8),
        {"cells": 4, "degree": 1},
    ),
}


@pytest.mark.filterwarnings("error::maxwell.SlowPathWarning")
@pytest.mark.parametrize("name", SWEEP)
def test_no_sample_of_a_prior_is_beyond_the_update(name):
    """Krylov spaces that exhaust the changed unknowns end in a dense solve, not in an error."""
    prior, survey, mesh = SWEEP[name]
    forward = maxwell.Conductivity(prior=prior, survey=survey).discretise(**mesh)
    forward.prepare()
    for theta in prior.sample(np.random.default_rng(11), 12):
        data, jacobian = forward.linearise(theta)
        slow, slow_jacobian = forward.refactorising.linearise(theta)
        assert distance(data, slow) < 2e-9
        assert distance(forward(theta), slow) < 2e-9
        assert distance(jacobian, slow_jacobian) < 1e-8


def test_derivatives_pass_the_checks_on_the_fast_path(setting):
    forward, theta = setting
    rng = np.random.default_rng(3)
    direction = rng.standard_normal(theta.size) * 0.02
    remainders = checks.taylor_remainders(forward, theta, direction, [0.2, 0.1])
    assert np.log2(remainders[0] / remainders[1]) == pytest.approx(2, abs=0.25)
    covector = rng.standard_normal(forward.observations) + 1j * rng.standard_normal(forward.observations)
    assert checks.adjoint_mismatch(forward, theta, direction, covector) < 1e-12


def test_several_frequencies_are_the_single_ones_side_by_side():
    mesh, frequencies = {"cells": 3, "degree": 2}, (10e6, 23.9e6)
    both = maxwell.Conductivity(frequency=frequencies).discretise(**mesh)
    alone = [maxwell.Conductivity(frequency=f).discretise(**mesh).linearise(STRONG) for f in frequencies]
    both.prepare()
    data, jacobian = both.linearise(STRONG)
    assert data.shape == (2 * 1024,)
    assert distance(data, np.concatenate([d for d, _ in alone])) < 2e-9
    assert distance(jacobian, np.concatenate([j for _, j in alone])) < 1e-8
    assert distance(both.refactorising(STRONG), np.concatenate([d for d, _ in alone])) < 1e-12


def test_no_contrast_gives_no_data_and_still_a_derivative():
    forward = maxwell.Conductivity(parametrisation=maxwell.Voxels(2, 2, 2)).discretise(cells=4, degree=1)
    forward.prepare()
    data, jacobian = forward.linearise(np.zeros(8))
    assert not data.any()
    assert (np.linalg.norm(jacobian, axis=0) > 0).all()
    assert not forward.solve(np.zeros(8)).observation.any()


@pytest.mark.parametrize(
    ("parametrisation", "theta"),
    [
        (maxwell.Voxels(2, 2, 2), np.array([0.0, 1, 0, 0, -1, 0, 0, 0.5])),
        (maxwell.Balls(2), np.array([*PAIR[:4], 0.0, *PAIR[5:]])),
    ],
    ids=["voxels", "balls"],
)
def test_jacobian_of_a_component_without_contrast_is_right(parametrisation, theta):
    forward = maxwell.Conductivity(parametrisation=parametrisation).discretise(cells=4, degree=1)
    assert checks.jacobian_differences(forward, theta).max() < 1e-5


def test_a_ball_outside_the_region_is_solved_slowly_with_a_notice():
    forward = maxwell.Conductivity().discretise(cells=4, degree=1)
    theta = np.array([0.15, 0.2, 0.25, 0.08, 1.0])
    expected = forward(theta)
    forward.prepare()
    with pytest.warns(SlowPathWarning, match="outside the region of interest"):
        response = forward.solve(theta)
    assert response.info["method"].startswith("refactorise")
    assert np.array_equal(response.observation, expected)


@pytest.mark.parametrize("mesh", [{"cells": 2, "degree": 1}, {"cells": 2, "degree": 2}], ids=str)
def test_a_region_that_holds_the_whole_mesh_is_no_exception(mesh, path, monkeypatch):
    """No node lies outside such a region, and there is no exterior."""
    monkeypatch.setattr(path, "flops", staticmethod(lambda *_: -1.0))
    forward = maxwell.Conductivity().discretise(**mesh)
    forward.prepare()
    data, jacobian = forward.linearise(STRONG)
    slow, slow_jacobian = forward.refactorising.linearise(STRONG)
    assert distance(data, slow) < 2e-9
    assert distance(jacobian, slow_jacobian) < 1e-8


def test_an_update_that_does_not_converge_is_solved_slowly_with_a_notice(monkeypatch):
    forward = maxwell.Conductivity().discretise(cells=3, degree=1)
    expected = forward(STRONG)
    forward.prepare()
    monkeypatch.setattr(krylov, "MOST_BLOCKS", 1)
    assert distance(forward(STRONG), expected) < 1e-9
    assert forward.solve(STRONG).info["method"] == "low-rank update, dense"
    monkeypatch.setattr(krylov, "DENSE", 0)
    with pytest.warns(SlowPathWarning, match=r"not converged after 1 blocks.*solved by refactorising"):
        assert distance(forward(STRONG), expected) < 1e-12


def test_a_prior_outside_the_region_is_not_worth_a_preparation():
    near_a_corner = maxwell.BallPrior(x=(0.15, 0.2), y=(0.15, 0.2), z=(0.2, 0.25), radius=(0.07, 0.09))
    assert not maxwell.Conductivity(prior=near_a_corner).discretise(cells=3, degree=1).pays_to_prepare(10**6)
    assert maxwell.Conductivity().discretise(cells=3, degree=1).pays_to_prepare(10**6)


def test_batch_without_room_for_a_fast_path_is_slow_with_a_notice(monkeypatch):
    forward = maxwell.Conductivity().discretise(cells=3, degree=1)
    monkeypatch.setattr(conductivity_map, "LEAST_SAMPLES", 1)
    monkeypatch.setattr(memory, "available", lambda: 1000.0)
    with pytest.warns(SlowPathWarning, match="No fast path.*GiB"):
        assert forward.batch(STRONG[None]).shape == (1, 1024)
    with pytest.warns(SlowPathWarning, match="No fast path.*GiB"):
        assert forward.prepare_for(1) is False


def test_prepare_for_does_so_once_and_only_where_there_is_a_fast_path_that_pays():
    forward = maxwell.Conductivity().discretise(cells=3, degree=1)
    assert forward.prepare_for(2) is False
    assert forward.prepare_for(10**6) is True
    kept = forward._fast
    assert forward.prepare_for(10**6) is True
    assert forward._fast is kept
    assert maxwell.Cauchy(modes=2).discretise(cells=5, degree=1).prepare_for(10**6) is False


def test_batch_prepares_when_it_pays_and_gives_the_same(monkeypatch):
    forward = maxwell.Conductivity().discretise(cells=3, degree=1)
    thetas = forward.problem.prior.sample(np.random.default_rng(0), 3)
    expected = forward.batch(thetas)
    assert not forward.prepared
    monkeypatch.setattr(conductivity_map, "LEAST_SAMPLES", 3)
    assert distance(forward.batch(thetas), expected) < 2e-9
    assert forward.prepared
    assert not forward.refactorising.prepared
