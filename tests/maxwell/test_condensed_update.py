"""The update on the skeleton of groups of cells against refactorising and against dense elimination."""

import numpy as np
import pytest
from agreement import check_single_precision, distance

import maxwell
from maxwell import checks
from maxwell.paths import Background, CondensedUpdate, Interiors, condensed_update, krylov, skeleton
from maxwell.paths.interiors import Elimination
from maxwell.problems.conductivity_map import SlowPathWarning

THETA = np.array([1.5, -2.0, 0.7, 0.0, -0.4, 2.0, -1.0, 0.3])
VOXELS = maxwell.Voxels(2, 2, 2)
BALL = np.array([0.52, 0.47, 0.66, 0.12, 2.0])

MESHES = {
    "tetrahedra, degree 1": {"cells": 6, "degree": 1},
    "tetrahedra, degree 2": {"cells": 4, "degree": 2},
    "hexahedra, degree 1": {"cells": 7, "degree": 1, "cell": "hexahedron"},
    "hexahedra, degree 2": {"cells": 4, "degree": 2, "cell": "hexahedron"},
    "graded": {"cells": 5, "degree": 1, "grading": 2.0},
}


def prepared(
    parametrisation=VOXELS, *, cells=4, degree=2, grading=0.0, cell="tetrahedron", cache=None, **numbers
):
    """A map on the path under test, whatever the others would cost."""
    problem = maxwell.Conductivity(parametrisation=parametrisation, **numbers)
    forward = problem.discretise(cells=cells, degree=degree, grading=grading, cell=cell)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CondensedUpdate, "flops", staticmethod(lambda _: -1.0))
        assert forward.prepare(cache)["method"] == "CondensedUpdate"
    return forward


@pytest.fixture(scope="module", params=MESHES)
def forward(request):
    return prepared(**MESHES[request.param])


@pytest.fixture(scope="module")
def one():
    return prepared()


def eliminated(forward):
    """The region's interiors and A_0 as a dense matrix."""
    space, background, region = forward.space, forward._backgrounds[0], forward._region
    planes = forward.problem.parametrisation.planes
    interiors = Interiors(space, background.functionals, region.cells, region.dofs, planes)
    return interiors, forward.matrix(np.zeros(forward.unknowns))


def symmetric_blocks(forward, seed):
    blocks = np.random.default_rng(seed).standard_normal((*forward._region.dofs.shape, 1))
    return np.matmul(blocks, blocks.transpose(0, 2, 1))


def test_data_and_jacobian_equal_those_of_a_refactorisation(forward):
    data, jacobian = forward.linearise(THETA)
    slow, slow_jacobian = forward.refactorising.linearise(THETA)
    response = forward.solve(THETA)
    assert response.info["method"] == "condensed update"
    assert distance(response.observation, slow) < 2e-9
    assert distance(data, slow) < 2e-9
    assert distance(jacobian, slow_jacobian) < 1e-8
    assert response.info["reciprocity"] < 1e-8


def test_change_of_the_skeleton_is_that_of_dense_elimination(forward):
    interiors, matrix = eliminated(forward)
    blocks = symmetric_blocks(forward, 0) * abs(matrix).max()
    changes, extensions = Elimination(interiors, matrix)(np.arange(len(blocks)), blocks)
    before, after = matrix.toarray(), matrix.toarray()
    for dofs, block in zip(forward._region.dofs, blocks, strict=True):
        after[np.ix_(dofs, dofs)] += 1j * block
    inside = interiors.dofs[interiors.interior]
    others = np.setdiff1d(np.arange(len(before)), inside)

    def onto_the_others(a):
        coupling = a[np.ix_(inside, others)]
        extension = -np.linalg.solve(a[np.ix_(inside, inside)], coupling)
        return a[np.ix_(others, others)] + coupling.T @ extension, extension

    expected, extension = onto_the_others(after)
    expected = (expected - onto_the_others(before)[0]) / 1j
    summed, spread = np.zeros_like(expected), np.zeros_like(extension)
    width = interiors.widths[0]
    for members, change, local in zip(interiors.members, changes, extensions, strict=True):
        known = members >= 0
        rows = np.searchsorted(others, interiors.dofs[members[:width][known[:width]]])
        own = np.searchsorted(inside, interiors.dofs[members[width:][known[width:]]])
        summed[np.ix_(rows, rows)] += change[np.ix_(known[:width], known[:width])]
        spread[np.ix_(own, rows)] += local[np.ix_(known[width:], known[:width])]
        assert not change[~known[:width]].any()
        assert not local[~known[width:]].any()
    assert distance(summed, expected) < 1e-12
    assert distance(spread, extension) < 1e-12


def test_a_tiny_change_loses_nothing_to_cancellation(one):
    interiors, matrix = eliminated(one)
    eliminate, blocks = Elimination(interiors, matrix), symmetric_blocks(one, 1)
    cells = np.arange(len(blocks))
    tiny, tinier = (eliminate(cells, t * blocks)[0] / t for t in (1e-9, 1e-12))
    assert distance(tiny, tinier) < 1e-7


def test_groups_that_do_not_change_have_no_change(one):
    interiors, matrix = eliminated(one)
    blocks, cells = symmetric_blocks(one, 2), np.arange(5, 8)
    changes, _ = Elimination(interiors, matrix)(cells, blocks[cells])
    assert np.flatnonzero(changes.any(axis=(1, 2))).tolist() == np.unique(interiors.groups[cells]).tolist()


@pytest.mark.parametrize("voxel", [0, 5])
def test_one_voxel_that_changes_alone(one, voxel):
    theta = np.zeros(8)
    theta[voxel] = 1.7
    data, jacobian = one.linearise(theta)
    slow, slow_jacobian = one.refactorising.linearise(theta)
    assert distance(one(theta), slow) < 4e-9
    assert distance(data, slow) < 2e-9
    assert distance(jacobian, slow_jacobian) < 1e-8


def test_no_contrast_gives_no_data_and_the_derivative_of_the_background(one):
    data, jacobian = one.linearise(np.zeros(8))
    assert not data.any()
    assert not one(np.zeros(8)).any()
    assert distance(jacobian, one.refactorising.jacobian(np.zeros(8))) < 1e-8


def test_derivatives_pass_the_checks(one):
    rng = np.random.default_rng(3)
    direction = rng.standard_normal(8) * 0.02
    remainders = checks.taylor_remainders(one, THETA, direction, [0.2, 0.1])
    assert np.log2(remainders[0] / remainders[1]) == pytest.approx(2, abs=0.25)
    covector = rng.standard_normal(one.observations) + 1j * rng.standard_normal(one.observations)
    assert checks.adjoint_mismatch(one, THETA, direction, covector) < 1e-12


@pytest.mark.parametrize("frequency", [1e6, 10e6, 23.9e6])
def test_in_single_precision_the_estimated_error_is_that_of_the_data(frequency, monkeypatch):
    """The precision of large skeletons, forced on a small one: rounding is part of the estimate."""
    monkeypatch.setattr(condensed_update, "DOUBLE", 0)
    forward = prepared(frequency=frequency)
    check_single_precision(forward, forward.problem.prior.sample(np.random.default_rng(7), 3))


def test_high_frequencies_are_kept_in_double_precision(monkeypatch):
    monkeypatch.setattr(condensed_update, "DOUBLE", 0)
    forward = prepared(frequency=40e6)
    data, jacobian = forward.linearise(THETA)
    assert distance(data, forward.refactorising(THETA)) < 2e-9
    assert distance(jacobian, forward.refactorising.jacobian(THETA)) < 1e-8


def test_displacement_currents_make_the_static_problem_complex(monkeypatch):
    """In water at this frequency they exceed conduction, and the real static problem takes more blocks."""
    forward = prepared(permittivity=80.0)
    response, slow = forward.solve(THETA), forward.refactorising(THETA)
    assert distance(response.observation, slow) < 2e-9
    monkeypatch.setattr(skeleton, "SLANT", np.inf)
    real = forward.solve(THETA)
    assert distance(real.observation, slow) < 2e-9
    assert real.info["iterations"] > response.info["iterations"]


@pytest.mark.parametrize(("cells", "degree"), [(2, 1), (2, 2), (4, 1)])
def test_any_grouping_is_exact(cells, degree):
    """A ball has no planes, so that all of its region is one group; on two cells that is the whole mesh."""
    forward = prepared(maxwell.Balls(1), cells=cells, degree=degree)
    data, jacobian = forward.linearise(BALL)
    slow, slow_jacobian = forward.refactorising.linearise(BALL)
    assert distance(data, slow) < 2e-9
    assert distance(jacobian, slow_jacobian) < 1e-8


def test_several_frequencies_are_the_single_ones_side_by_side(one):
    both = prepared(frequency=(10e6, 23.9e6))
    assert distance(both(THETA)[1024:], one(THETA)) < 2e-9
    assert distance(both(THETA), both.refactorising(THETA)) < 2e-9


def test_it_is_chosen_where_it_takes_the_fewest_operations():
    voxels = maxwell.Conductivity(parametrisation=maxwell.Voxels(4, 4, 4))
    trace = voxels.discretise(cells=6, degree=2).prepare()
    assert trace["method"] == "CondensedUpdate"
    assert "inside a group" in trace["why"]
    # A voxel of one brick of degree 1 has no unknown inside.
    bricks = voxels.discretise(cells=6, degree=1, cell="hexahedron")
    assert "CondensedUpdate takes about inf" in bricks.prepare()["why"]
    assert maxwell.Conductivity().discretise(cells=6, degree=1).prepare()["method"] == "LowRankUpdate"


def test_blocks_on_disk_are_read_again_and_belong_to_their_groups(tmp_path, monkeypatch):
    mesh = {"cells": 6, "degree": 1, "cache": tmp_path}
    expected = prepared(**mesh)(THETA)
    coarser = maxwell.Voxels(1, 2, 2)
    assert (
        distance(prepared(coarser, **mesh)(THETA[:4]), prepared(coarser, cells=6, degree=1)(THETA[:4]))
        < 1e-12
    )

    def refuse(self):
        raise AssertionError("computed again")

    monkeypatch.setattr(Background, "restore", refuse)
    assert np.array_equal(prepared(**mesh)(THETA), expected)


def test_what_does_not_converge_is_solved_densely_or_slowly(one, monkeypatch):
    expected = one.refactorising(THETA)
    monkeypatch.setattr(krylov, "MOST_BLOCKS", 1)
    response = one.solve(THETA)
    assert response.info["method"] == "condensed update, dense"
    assert distance(response.observation, expected) < 1e-9
    monkeypatch.setattr(krylov, "DENSE", 0)
    with pytest.warns(SlowPathWarning, match=r"not converged after 1 blocks.*solved by refactorising"):
        assert distance(one(THETA), expected) < 1e-12


def test_an_error_beyond_the_allowed_is_solved_slowly_with_a_notice(one, monkeypatch):
    monkeypatch.setattr(krylov, "MOST_ERROR", 1e-16)
    with pytest.warns(SlowPathWarning, match="estimated error of .* solved by refactorising"):
        one.solve(THETA)


@pytest.mark.parametrize("goal", [1e-2, 1e-3, 1e-4])
def test_the_estimate_follows_the_error_of_a_method_that_stops_early(goal, one, monkeypatch):
    monkeypatch.setattr(krylov, "RESIDUAL", {False: goal, True: goal})
    monkeypatch.setattr(krylov, "DATA_ERROR", 1.0)
    monkeypatch.setattr(krylov, "MOST_ERROR", 1.0)
    response, slow = one.solve(THETA), one.refactorising(THETA)
    true = distance(response.observation, slow)
    assert response.info["error"] / 3 < true < 3 * response.info["error"]


def test_fields_in_single_precision_are_refined(monkeypatch):
    monkeypatch.setattr(condensed_update, "DOUBLE", 0)
    forward = prepared()
    coarse = forward.solve(THETA).info["residual"]
    fine = forward._solve(THETA, accurate=True).info["residual"]
    assert fine < krylov.REFINED + krylov.MOST_ROUNDING < 1e-3 * coarse
    data, jacobian = forward.linearise(np.zeros(8))
    assert not data.any()
    assert distance(jacobian, forward.refactorising.jacobian(np.zeros(8))) < 1e-8
    monkeypatch.setattr(krylov, "MOST_PASSES", 1)
    with pytest.warns(SlowPathWarning, match=r"not converged in 1 passes.*solved by refactorising"):
        forward.linearise(THETA)


@pytest.mark.filterwarnings("ignore::maxwell.SlowPathWarning")
@pytest.mark.parametrize("level", [-3.0, -2.0, 2.0])
def test_strong_contrasts_are_accurate_or_solved_slowly(level, monkeypatch):
    monkeypatch.setattr(condensed_update, "DOUBLE", 0)
    forward, theta = prepared(), np.full(8, level)
    data, jacobian = forward.linearise(theta)
    slow, slow_jacobian = forward.refactorising.linearise(theta)
    assert distance(data, slow) < 1e-8
    assert distance(jacobian, slow_jacobian) < 1e-8
