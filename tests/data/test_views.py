"""Views of a data set: rows by number, slice, mask and range; and noise, its law for every kind."""

import concurrent.futures

import numpy as np
import pytest

import data

MESH = {"cells": 4, "degree": 2}
CAUCHY = {
    "seed": 9,
    "problem": {"kind": "cauchy", "modes": 6},
    "mesh": MESH,
    "store": {"shard": 300},
    "splits": {
        "train": {"samples": 400},
        "test": {"samples": 400, "mesh": {"cells": 5, "degree": 2}},
        "test_again": {"samples": 400, "same_parameters_as": "test", "inverse_crime": True},
    },
}
CELLS = {
    "seed": 9,
    "problem": {"kind": "magnetisation", "sensors": 2},
    "mesh": {"cells": 6, "degree": 1},
    "splits": {"train": {"samples": 300}},
    "store": {"shard": 300},
}


@pytest.fixture(scope="module")
def cauchy(here, tmp_path_factory):
    """Complex unknowns and data; read only."""
    folder = tmp_path_factory.mktemp("cauchy") / "set"
    return data.generate(data.recipe.parse(CAUCHY), folder, 1, executor=here)


@pytest.fixture(scope="module")
def cells(here, tmp_path_factory):
    """Real unknowns and data; read only."""
    return data.generate(data.recipe.parse(CELLS), tmp_path_factory.mktemp("cells") / "set", 1, executor=here)


# -- views ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows",
    [3, [5, 1, 1, -1], slice(2, 20, 3), slice(None, None, -1), np.arange(24) % 2 == 0, np.uint64([7, 0]), []],
)
def test_rows_are_those_of_the_whole(dataset, rows):
    expected = np.arange(24)[np.array(rows, dtype=int) if isinstance(rows, list) else rows].reshape(-1)
    view = dataset.take(rows)
    assert len(view) == len(expected)
    for what in ("parameters", "observations", "seeds", "indices", "split_names"):
        np.testing.assert_array_equal(getattr(view, what), getattr(dataset, what)[expected])
    for name, values in dataset.records.items():
        np.testing.assert_array_equal(view.records[name], values[expected])
    np.testing.assert_array_equal(view.observe(0.1, draw=2), dataset.observe(0.1, draw=2)[expected])


def test_views_of_views_are_views(dataset):
    view = dataset.take([20, 3, 18, 17, 2, 23])
    np.testing.assert_array_equal(view.take([2, 0]).parameters, dataset.parameters[[18, 20]])
    np.testing.assert_array_equal(view.split("test").parameters, dataset.parameters[[20, 18, 17]])
    both = view.split("train", "test")
    assert both.splits == ("train", "test")
    np.testing.assert_array_equal(both.split_names, ["test", "train", "test", "test", "train"])
    np.testing.assert_array_equal(both.take(slice(1, 3)).indices, [3, 2])
    np.testing.assert_array_equal(
        dataset.split("test", "train").parameters, dataset.parameters[[*range(12), *range(16, 21)]]
    )


def test_ranges_choose_by_parameters_with_their_ends(dataset):
    radius, contrast = dataset.parameters[:, 3], dataset.parameters[:, 4]
    middle = float(np.sort(radius)[10])
    kept = (radius >= middle) & (contrast <= 0)
    view = dataset.where(R1=(middle, None), q1=(None, 0))
    np.testing.assert_array_equal(view.parameters, dataset.parameters[kept])
    np.testing.assert_array_equal(view.split("train").parameters, dataset.parameters[:12][kept[:12]])
    assert len(dataset.where(R1=(middle, middle))) == np.sum(radius == middle) >= 1
    assert len(dataset.where()) == 24


def test_an_empty_view_keeps_its_shapes(dataset):
    for view in (
        dataset.take([]),
        dataset.split("test").take(slice(0)),
        dataset.where(R1=(9, None)).split("train"),
    ):
        assert len(view) == 0
        assert view.parameters.shape == (0, 5)
        assert view.observe(0.1).shape == (0, 1024)
        assert view.observe(0.1).dtype == np.complex128
        assert view.seeds.shape == view.indices.shape == view.split_names.shape == (0,)
        assert {values.shape for values in view.records.values()} == {(0,)}
        assert len(view.where(R1=(0, 1)).take(slice(None))) == 0


def test_an_empty_view_of_another_problem_has_the_shapes_of_that_one(tmp_path):
    two = {"parametrisation": {"kind": "balls", "count": 2}, "prior": {"kind": "ball_prior", "count": 2}}
    mesh = {"cells": 3, "degree": 1}
    splits = {"train": {"samples": 1}, "two": {"samples": 1, "problem": two, "mesh": {**mesh, "cells": 4}}}
    recipe = {"problem": {"kind": "conductivity"}, "mesh": mesh, "splits": splits}
    with concurrent.futures.ThreadPoolExecutor(1) as here:
        ds = data.generate(data.recipe.parse(recipe), tmp_path / "set", 1, executor=here)
    assert ds.split("two").take([]).parameters.shape == (0, 10)
    assert len(ds.split("two").where(R2=(9, None)).names) == 10
    with pytest.raises(data.DataError, match="different lengths"):
        _ = ds.parameters
    with pytest.raises(data.DataError, match="different lengths"):
        _ = ds.take([1, 0]).parameters
    assert ds.take([1, 0]).observations.shape == (2, 1024)
    (tmp_path / "set" / "shards" / "two-00000.h5").unlink()
    assert data.open(tmp_path / "set", partial=True).split("two").parameters.shape == (0, 10)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([24], "row 24 is not there; it has 24 rows"),
        ([-25], "row -25 is not there"),
        ([0.5], "rows are whole numbers, a slice, or a mask of length 24, given an array of float64"),
        (np.ones(23, dtype=bool), r"mask of length 24, given an array of bool and shape \(23,\)"),
        ([[1, 2], [3, 4]], r"shape \(2, 2\)"),
        ([[1], [2, 3]], "rows are whole numbers"),
        ("train", "rows are whole numbers"),
        (None, "rows are whole numbers"),
    ],
)
def test_rows_that_make_no_sense_are_told_in_a_sentence(dataset, rows, sentence):
    with pytest.raises(data.DataError, match=sentence):
        dataset.take(rows)


@pytest.mark.parametrize(
    ("ranges", "sentence"),
    [
        ({"r1": (0, 1)}, r"has no parameter 'r1'; expected one of x1, y1, z1, R1, q1"),
        ({"R1": 0.1}, r"expected R1=\(low, high\), with None for no bound, given 0.1"),
        ({"R1": (0, 1, 2)}, r"expected R1=\(low, high\)"),
        ({"R1": ("a", 1)}, r"expected R1=\(low, high\)"),
        ({"R1": (np.nan, 1)}, r"expected R1=\(low, high\)"),
    ],
)
def test_ranges_that_make_no_sense_are_told_in_a_sentence(dataset, ranges, sentence):
    with pytest.raises(data.DataError, match=sentence):
        dataset.where(**ranges)


def test_complex_parameters_have_no_range(cauchy):
    with pytest.raises(data.DataError, match=r"TE\(1,0\) is complex and has no order; use take with a mask"):
        cauchy.where(**{"TE(1,0)": (0, 1)})
    strong = np.abs(cauchy.parameters[:, 0]) > 0.1
    assert 0 < strong.sum() < 1200
    np.testing.assert_array_equal(cauchy.take(strong).parameters, cauchy.parameters[strong])


# -- noise ----------------------------------------------------------------------------------------------


def sigma_of(view, kind, level):
    size = np.abs(view.observations)
    return {
        "white": np.full(size.shape, level * view.noise_reference),
        "sample": level * np.sqrt(np.mean(size**2, axis=1, keepdims=True)) * np.ones(size.shape),
        "entry": level * size,
    }[kind]


@pytest.mark.parametrize("kind", ["white", "sample", "entry"])
@pytest.mark.parametrize("which", ["cauchy", "cells"])
def test_noise_of_every_kind_is_normal_with_its_own_deviation(which, kind, request):
    view = request.getfixturevalue(which).split("train")
    xi = (view.observe(0.05, kind=kind) - view.observations) / sigma_of(view, kind, 0.05)
    assert xi.dtype == view.observations.dtype
    n = xi.size
    assert np.mean(np.abs(xi) ** 2) == pytest.approx(1, abs=5 / np.sqrt(n))
    assert abs(xi.mean()) < 5 / np.sqrt(n)
    fourth = 2 if np.iscomplexobj(xi) else 3  # of a normal number
    assert np.mean(np.abs(xi) ** 4) == pytest.approx(fourth, abs=5 * np.sqrt(96 / n))
    if np.iscomplexobj(xi):
        assert abs(np.mean(xi**2)) < 5 * np.sqrt(2 / n)  # real and imaginary parts: alike and uncorrelated
    correlation = xi.conj().T @ xi / len(xi)  # of the entries of a sample
    assert np.abs(correlation - np.eye(len(correlation))).max() < 6 / np.sqrt(len(xi)) * np.sqrt(2)


@pytest.mark.parametrize("kind", ["white", "sample", "entry"])
def test_noise_is_independent_between_splits_draws_and_samples_and_paired_over_levels(cauchy, kind):
    test, again = cauchy.split("test"), cauchy.split("test_again")
    np.testing.assert_array_equal(test.parameters, again.parameters)

    def xi(view, level=0.05, draw=0):
        return (view.observe(level, draw, kind) - view.observations) / sigma_of(view, kind, level)

    one = xi(test)
    np.testing.assert_array_equal(test.observe(0.05, 0, kind), test.observe(0.05, 0, kind))
    np.testing.assert_allclose(xi(test, 0.2), one, rtol=1e-9)
    for other in (xi(again), xi(test, draw=1), np.roll(one, 1, axis=0)):
        assert abs(np.vdot(one, other)) / one.size < 5 / np.sqrt(one.size)


def test_kinds_of_noise_share_their_numbers(cells):
    """What differs between kinds is the deviation alone."""
    found = [
        (cells.observe(0.1, 3, kind) - cells.observations) / sigma_of(cells, kind, 0.1)
        for kind in ("white", "sample", "entry")
    ]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-6)


def test_a_kind_that_is_none_is_told(cells):
    with pytest.raises(data.DataError, match="kind: expected one of white, sample, entry, given 'pink'"):
        cells.observe(0.1, kind="pink")
    with pytest.raises(data.DataError, match="kind: expected"):
        cells.observe(0.1, kind=["white"])


def test_a_view_knows_the_problem_of_its_rows_and_no_view_mixes_two(tmp_path):
    """A row of a split out of distribution is not told as one of training."""
    splits = {"train": {"samples": 4}, "test_deep": {"samples": 2, "problem": {"depth": 0.55}}}
    mesh = {"cells": 3, "degree": 2, "cell": "hexahedron"}
    spec = {"seed": 1, "problem": {"kind": "cauchy", "modes": 4}, "mesh": mesh, "splits": splits}
    with concurrent.futures.ThreadPoolExecutor(1) as here, pytest.warns(data.InverseCrimeWarning):
        ds = data.generate(data.recipe.parse(spec), tmp_path / "deep", 1, executor=here)
    assert ds.spec["depth"] == ds.take([0, 3]).spec["depth"] == 0.5  # of the whole: the recipe's own
    last = ds.take([-1])
    assert (last.splits, last.spec["depth"], last.problem.depth) == (("test_deep",), 0.55, 0.55)
    assert last.discretisation["high"][2] == 0.55
    for mixed in (ds, ds.take([0, -1])):
        with pytest.raises(data.DataError, match="have different problems; ask one"):
            _ = mixed.discretisation
        with pytest.raises(data.DataError, match="have different problems; ask one"):
            mixed.to_torch()
    with pytest.raises(data.DataError, match="have different problems; ask one"):
        _ = ds.take([0, -1]).spec
