"""What a problem says about its data, its unknown and the support of its prior; no finite elements."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import maxwell

VOXELS = maxwell.Voxels(4, 3, 2)
PROBLEMS = {
    "balls": maxwell.Conductivity(parametrisation=maxwell.Balls(2)),
    "frequencies": maxwell.Conductivity((5e6, 23.9e6, 60e6), survey=maxwell.GaussianPatches(side=3)),
    "voxels": maxwell.Conductivity(parametrisation=VOXELS, prior=maxwell.BlockyPrior(VOXELS)),
    "gaussian": maxwell.Conductivity(parametrisation=VOXELS),
    "cauchy": maxwell.Cauchy(depth=0.7, modes=12),
    "cells": maxwell.Magnetisation(sensors=4),
    "dipoles": maxwell.Magnetisation(parametrisation=maxwell.Dipoles(2)),
    "magnetic_points": maxwell.Magnetisation(prior=maxwell.MagneticDipoles(3, shape=(4, 4, 4))),
}
every_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
seeds = st.integers(0, 2**32 - 1)


def draw(problem, seed=0, size=1):
    return problem.prior.sample(np.random.default_rng(seed), size)


def grid(low, high, count=5):
    axes = np.meshgrid(*(np.linspace(a, b, count) for a, b in zip(low, high, strict=True)), indexing="ij")
    return np.stack(axes, axis=-1).reshape(-1, 3)


# -- what the numbers of the data stand for -------------------------------------------------------------


@every_problem
def test_every_label_has_a_table_with_an_entry_for_every_number(problem):
    labels, tables = problem.observation_labels(), problem.observation_tables()
    assert set(tables) == set(labels)
    for name, numbers in labels.items():
        table = tables[name]
        assert table.description.endswith(".")
        for column in table.columns.values():
            assert len(column.values) == numbers.max() + 1
            assert {type(value) for value in column.values} <= {int, float}
    plain = json.loads(json.dumps({name: asdict(table) for name, table in tables.items()}, allow_nan=False))
    assert set(plain) == set(labels)


def test_patches_are_told_by_their_place_and_direction():
    problem = PROBLEMS["frequencies"]
    tables = problem.observation_tables()
    for name in ("source", "receiver"):
        columns = tables[name].columns
        assert {key: column.unit for key, column in columns.items()} == {
            **dict.fromkeys("xyz", "m"),
            **dict.fromkeys(("px", "py", "pz"), ""),
        }
        where = np.array([columns[key].values for key in ("x", "y")]).T
        direction = np.array([columns[key].values for key in ("px", "py", "pz")]).T
        assert np.array_equal(where, problem.survey.centres)
        assert np.array_equal(direction, problem.survey.directions)
        assert set(columns["z"].values) == {1.0}
        assert "0.08 m" in tables[name].description
    assert "1 A m" in tables["source"].description
    assert "V/m" in tables["receiver"].description
    assert tables["frequency"].columns["f"] == maxwell.survey.Column("Hz", (5e6, 23.9e6, 60e6))


def test_sensors_are_told_by_their_place_and_radius():
    problem = PROBLEMS["cells"]
    columns = problem.observation_tables()["sensor"].columns
    where = np.array([columns[axis].values for axis in "xyz"]).T
    assert np.array_equal(where, problem.sensor_positions)
    assert set(columns["radius"].values) == {problem.sensor_width}
    assert {column.unit for column in columns.values()} == {"m"}


# -- a picture of the unknown ----------------------------------------------------------------------------


@every_problem
def test_a_picture_of_a_sample_lives_where_it_is_said_to(problem):
    theta = draw(problem)[0]
    assert problem.region.shape == problem.image_region.shape == (2, 3)
    x = grid(*problem.image_region, count=9)
    picture = problem.image(theta, x)
    assert picture.shape in ((len(x),), (len(x), 3))
    assert picture.dtype == np.float64
    assert np.isfinite(picture).all()
    assert np.abs(picture).max() > 0
    assert problem.image_name
    assert problem.image_unit in ("", "V/m", "A/m")
    assert problem.field_unit in ("V/m", "T")


@pytest.mark.parametrize("name", ["balls", "voxels", "dipoles", "cells"])
def test_outside_its_region_the_unknown_vanishes(name):
    problem = PROBLEMS[name]
    low, high = problem.region
    middle = (low + high) / 2
    beyond = middle + 1.001 * (grid(low, high) - middle)
    beyond = beyond[((beyond < low) | (beyond > high)).any(axis=1)]
    assert not problem.image(draw(problem)[0], beyond).any()


def test_pictures_are_the_unknowns_themselves():
    x = VOXELS.centres
    theta = draw(PROBLEMS["gaussian"])[0]
    assert np.array_equal(PROBLEMS["gaussian"].image(theta, x), theta)
    theta = np.zeros(192)
    theta[3:6] = 1.0, 2.0, -3.0  # the cell next to the corner of D along z
    inside = np.array([[-0.4, -0.4, -0.1]])
    assert PROBLEMS["cells"].image(theta, inside).tolist() == [[1.0, 2.0, -3.0]]
    problem = PROBLEMS["cauchy"]
    theta = np.eye(12)[0] * 2j  # TE(1,0): along y, sqrt(2) sin(pi x)
    x = np.array([[0.5, 0.3, 0.0], [0.25, 0.9, 0.0], [0.0, 0.5, 0.0]])
    expected = 2 * np.sqrt(2) * np.sin(np.pi * x[:, 0])
    assert problem.image(theta, x) == pytest.approx(expected, abs=1e-14)


@every_problem
def test_points_that_no_picture_has_are_refused_in_a_sentence(problem):
    theta = draw(problem)[0]
    wrong = {
        "lies outside": [[0.5, 0.5, 3.0]],
        r"\[nan, 0.5, 0.0\] m lies outside": [[np.nan, 0.5, 0.0]],
        r"expected real points \(n, 3\)": np.zeros((4, 2)),
        "dtype complex128; expected real": np.zeros((4, 3), dtype=complex),
        "expected numbers": [["a", "b", "c"]],
    }
    for expected, points in wrong.items():
        with pytest.raises(maxwell.MaxwellError, match=f"image: .*{expected}") as caught:
            problem.image(theta, points)
        assert "\n" not in str(caught.value)
    with pytest.raises(maxwell.MaxwellError, match="theta has shape"):
        problem.image(theta[:-1], problem.image_region)


def test_a_boundary_field_has_no_picture_inside_the_box():
    with pytest.raises(maxwell.MaxwellError, match=r"\[0.5, 0.5, 0.1\] m lies outside"):
        PROBLEMS["cauchy"].image(np.ones(12), [[0.5, 0.5, 0.1]])


# -- the support of the prior ----------------------------------------------------------------------------

PRIORS = {
    **{name: problem.prior for name, problem in PROBLEMS.items()},
    "one_ball": maxwell.BallPrior(),
    "crowd": maxwell.BallPrior(count=4, radius=(0.05, 0.06)),
    "painted": maxwell.BlockyPrior(maxwell.Voxels(3, 4, 5), blocks=(2, 6), extent=0.7),
    "stacked": maxwell.MagnetisedBlocks(blocks=(3, 6), edge=(2, 4)),
}
every_prior = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)


@every_prior
@given(seed=seeds)
def test_every_draw_is_contained(prior, seed):
    thetas = prior.sample(np.random.default_rng(seed), 5)
    contained = prior.contains(thetas)
    assert contained.dtype == bool
    assert contained.tolist() == [True] * 5


@every_prior
def test_numbers_that_are_none_are_not_contained_and_other_shapes_refused(prior):
    thetas = prior.sample(np.random.default_rng(0), 3)
    thetas[0, 0], thetas[2, -1] = np.nan, np.inf
    assert prior.contains(thetas).tolist() == [False, True, False]
    assert prior.contains(thetas[:0]).shape == (0,)
    for wrong in (thetas[0], thetas[:, :-1], thetas[None]):
        with pytest.raises(maxwell.MaxwellError, match=rf"expected \(n, {prior.unknowns}\)"):
            prior.contains(wrong)
    if not np.iscomplexobj(thetas):
        with pytest.raises(maxwell.MaxwellError, match="expected real numbers"):
            prior.contains(thetas + 0j)


@pytest.mark.parametrize("component", range(5))
@pytest.mark.parametrize("side", [0, 1])
def test_a_ball_beyond_an_interval_is_noticed(component, side):
    prior = maxwell.BallPrior()
    bound = (prior.x, prior.y, prior.z, prior.radius, prior.contrast)[component][side]
    theta = np.array([[0.5, 0.5, 0.6, 0.1, -1.0]])
    theta[0, component] = bound * (-1 if component == 4 else 1)
    assert prior.contains(theta).all()
    theta[0, component] *= 1 + (2 * side - 1) * 1e-9
    assert not prior.contains(theta).any()


def test_balls_in_another_order_or_in_each_other_are_noticed():
    prior = maxwell.BallPrior(count=2)
    first, second = [0.4, 0.5, 0.6, 0.08, 1.0], [0.6, 0.5, 0.6, 0.11, -1.0]
    touching = [0.58, 0.5, 0.6, 0.11, -1.0]
    rows = np.array([first + second, second + first, first + touching])
    assert prior.contains(rows).tolist() == [True, False, False]


def test_fields_that_no_blocks_paint_are_noticed():
    prior = maxwell.BlockyPrior(maxwell.Voxels(4, 4, 4), blocks=(1, 2), extent=0.5, contrast=(0.5, 2.0))
    fields = np.zeros((9, 4, 4, 4))
    _, corner, third, long, bent, strong, weak, hole, _ = fields  # plain first, empty last
    for field in fields[:8]:
        field[:2, :2, :2] = 1.0
    corner[1:3, 1:3, 1:3] = -0.7
    third[2:, 2:, 2:], third[0, 0, 3] = 0.8, 0.9
    long[:2, :2, :3] = 1.0
    bent[1, 1, 1] = 0.0
    strong[:2, :2, :2], weak[:2, :2, :2] = 2.1, -0.4
    hole[0, 0, 0], hole[1, 1, 1] = 0.6, 0.7
    contained = prior.contains(fields.reshape(9, -1)).tolist()
    assert contained == [True, True, False, False, False, False, False, False, False]


def test_blocks_that_hide_each_other_are_read_from_the_last_to_the_first():
    prior = maxwell.MagnetisedBlocks(blocks=(1, 3), edge=(2, 2))
    fields = np.zeros((6, 4, 4, 4, 3))
    covered, sliver, detached, circle, long, strong = fields
    for field in (covered, sliver, circle):
        field[:2, :2, :2, 0] = 1.0
    covered[:2, :2, 1:3] = [0.0, 1.0, 0.0]  # leaves a layer of the first, one cell thick
    sliver[:2, :2, 1] = 0.0  # a layer one cell thick, and nothing that hides the rest
    detached[:2, :2, :2], detached[2:, 2:, 2:] = [1.0, 0.0, 0.0], [0.0, 0.0, 1.3]
    circle[:2, :2, 1] = [0.0, 1.0, 0.0]
    circle[0, 0, :2] = [0.0, 0.0, 1.0]  # as thin as no block is, and on top
    long[:2, :2, :3], strong[:2, :2, :2] = [1.0, 0.0, 0.0], [1.5, 1.5, 0.0]
    assert prior.contains(fields.reshape(6, -1)).tolist() == [True, False, True, False, False, False]


def test_dipoles_beyond_the_reach_the_strength_or_the_order_are_noticed():
    prior = maxwell.MagneticDipoles(2, moment=(0.5, 2.0), reach=0.3)
    good = np.array([-0.2, 0.3, 0.1, 1.0, 1.0, 0.0, 0.2, -0.3, 0.0, 0.0, 0.0, -0.5])
    rows = np.tile(good, (6, 1))
    rows[1, 1], rows[2, 8], rows[3, 3:6], rows[4, 11] = 0.31, -0.31, [1.5, 1.5, 0.0], -0.49
    rows[5] = np.roll(good, 6)
    assert prior.contains(rows).tolist() == [True] + [False] * 5


def test_moments_in_cells_are_counted_and_measured():
    prior = maxwell.MagneticDipoles(2, moment=(0.5, 2.0), shape=(2, 2, 2))
    rows = np.zeros((4, 8, 3))
    rows[:, 0, 1] = 8 * 0.6
    rows[:3, 5, 2] = -8 * np.array([1.9, 1.9, 2.1])
    rows[1, 6, 0] = 8 * 1.0
    assert prior.contains(rows.reshape(4, -1)).tolist() == [True, False, False, False]


def test_a_boundary_field_of_more_energy_than_patches_have_is_noticed():
    """Parseval: as many patches of the largest amplitude and width at one place come near the bound."""
    prior = maxwell.BoundaryPatchPrior(
        patches=(1, 2), deviation=(0.06, 0.14), amplitude=(0.5, 2.0), modes=200
    )
    same = np.full((2, 2), 0.5), np.full(2, 0.14), 2.0 * np.array([[1.0, 0.0]] * 2)
    theta = prior.coefficients(*same)[None]
    assert prior.contains(theta).all()
    assert not prior.contains(1.02 * theta).any()
