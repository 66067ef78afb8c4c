"""What a learner is handed: tensors and labelled arrays, the same in every thread and process."""

import concurrent.futures
import json
import pickle
import subprocess
import sys
from functools import partial

import forking
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import data
import maxwell
from data.transforms import Compression, Normalise, Standardise, realify

PROBLEMS = {
    "conductivity": ({"kind": "conductivity"}, {"cells": 3, "degree": 1}),
    "cauchy": ({"kind": "cauchy", "modes": 6}, {"cells": 4, "degree": 2}),
    "magnetisation": ({"kind": "magnetisation", "sensors": 2}, {"cells": 6, "degree": 1}),
}
OTHER = {
    "conductivity": {"parametrisation": {"kind": "balls", "count": 2}, "prior": {"count": 2}},
    "cauchy": {"depth": 0.6},
    "magnetisation": {"sensor_height": 0.8},
}


@pytest.fixture(scope="module", params=list(PROBLEMS))
def full(request, tmp_path_factory):
    """A data set of each problem with all extras and a split of another problem; read only."""
    problem, mesh = PROBLEMS[request.param]
    recipe = {
        "seed": 11,
        "problem": problem,
        "mesh": mesh,
        "store": {"shard": 4, "jacobian": True, "slices": 5, "fields": 2},
        "splits": {
            "train": {"samples": 6},
            "test": {"samples": 3, "mesh": {**mesh, "cells": mesh["cells"] + 1}},
            "test_other": {"samples": 2, "problem": OTHER[request.param]},
        },
    }
    recipe, folder = data.recipe.parse(recipe), tmp_path_factory.mktemp("full") / "set"
    with (
        concurrent.futures.ThreadPoolExecutor(1) as here,  # a process would import the solver anew
        pytest.warns(data.InverseCrimeWarning, match="test_other"),
    ):
        return data.generate(recipe, folder, 1, executor=here)


# -- extras ---------------------------------------------------------------------------------------------


def test_extras_are_what_the_forward_map_says(full):
    for split in full.splits:
        view = full.split(split)
        problem, theta = view.problem, view.parameters[1]
        forward = problem.discretise(**view.mesh)
        np.testing.assert_allclose(view.extra("jacobian")[1], forward.jacobian(theta), rtol=1e-9, atol=1e-20)
        low, high = problem.region
        inside = [low + (high - low) * (np.array(k) + 0.5) / 2 for k in np.ndindex(2, 2, 2)]
        fields = forward.fields_at(theta, np.array(inside)).reshape(-1, 2, 2, 2, 3)
        np.testing.assert_allclose(view.extra("fields")[1], fields, rtol=1e-5, atol=1e-6 * abs(fields).max())
        low, high = problem.image_region
        steps = (np.arange(5) + 0.5) / 5
        slices = view.extra("slices")[1]  # the first plane has x in its middle, or z = 0 is the only one
        for a, b in ((0, 0), (1, 3)):
            relative = [steps[a], steps[b], 0] if len(slices) == 1 else [0.5, steps[a], steps[b]]
            seen = problem.image(theta, (low + (high - low) * relative)[None])[0]
            np.testing.assert_allclose(slices[0, a, b], np.atleast_1d(seen), rtol=1e-6)


def test_extras_of_a_view_are_its_rows(full):
    train = full.split("train")
    assert full.extras == ("jacobian", "slices", "fields")
    for name in full.extras:
        np.testing.assert_array_equal(train.take([5, 0]).extra(name), train.extra(name)[[5, 0]])


def test_an_extra_that_is_not_kept_and_one_that_is_none_are_told(dataset):
    assert dataset.extras == ()
    with pytest.raises(
        data.DataError, match=r"keeps no jacobian \(it keeps no extra\); generate it with store"
    ):
        dataset.extra("jacobian")
    with pytest.raises(data.DataError, match=r"no extra is called 'slice'; .*did you mean slices"):
        dataset.extra("slice")


# -- tensors --------------------------------------------------------------------------------------------


def eager(view, noise=0.05, draw=0, kind="white"):
    """Features and targets, the obvious way."""
    observed, theta = view.observe(noise, draw, kind), view.parameters
    return [realify(values) if np.iscomplexobj(values) else values for values in (observed, theta)]


def test_items_are_the_eager_rows_of_every_problem(full):
    for split in full.splits:
        view = full.split(split)
        x, y = eager(view)
        made = view.to_torch(0.05, dtype=torch.float64)
        assert len(made) == len(view)
        for i in range(-len(view), len(view)):
            np.testing.assert_array_equal(made[i][0].numpy(), x[i])
            np.testing.assert_array_equal(made[i][1].numpy(), y[i])
        features, targets = made.batch([1, 0, 1])
        np.testing.assert_array_equal(features.numpy(), x[[1, 0, 1]])
        np.testing.assert_array_equal(targets.numpy(), y[[1, 0, 1]])


def test_transforms_stand_in_the_pairs_as_in_a_model(dataset):
    train = dataset.split("train")
    encode, decode = Compression.fit(train.observe(0.01), 4), Standardise.fit(train.parameters)
    made = train.to_torch(0.01, kind="sample", encode=encode, decode=decode)
    assert {tensor.dtype for tensor in made[0]} == {torch.float32}
    x, y = made.batch(range(len(train)))
    np.testing.assert_allclose(x, encode(train.observe(0.01, kind="sample")), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(y, decode(train.parameters), rtol=1e-6, atol=1e-6)
    runs = train.to_torch(encode=Normalise.fit(train.observations, steps=32))
    assert runs[0][0].shape == (2048,)


def test_a_loop_over_the_items_ends(dataset):
    assert len(list(dataset.split("valid").to_torch())) == 4
    with pytest.raises(IndexError):
        dataset.to_torch()[24]


@pytest.mark.slow
@pytest.mark.parametrize(("start", "workers"), [("fork", 2), ("spawn", 1)])
def test_persistent_workers_give_the_eager_rows_of_every_epoch(dataset, start, workers):
    found = forking.alone(forking.epochs, dataset.path, start, workers)
    assert len(found) == 3
    for epoch, (x, y) in enumerate(found):
        expected = eager(dataset.split("train"), draw=3 + epoch % 2)
        np.testing.assert_array_equal(x, expected[0])
        np.testing.assert_array_equal(y, expected[1])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_shuffle_with_a_generator_repeats(dataset, workers):
    run = forking.alone if workers else (lambda function, *arguments: function(*arguments))
    (first, second), again = run(forking.twice, dataset.path, workers)
    np.testing.assert_array_equal(again, (first, second))
    np.testing.assert_array_equal(first, forking.orders(dataset.path, 0)[0])
    assert not np.array_equal(first, second)
    plain = dataset.to_torch(0.01).batch(range(24))[0].numpy()
    np.testing.assert_array_equal(np.sort(first, axis=0), np.sort(plain, axis=0))


@pytest.mark.slow
def test_a_copy_in_another_process_still_hears_of_epochs(dataset):
    made = pickle.loads(pickle.dumps(dataset.split("valid").to_torch(0.1, draws=2)))
    loader = DataLoader(
        made, batch_size=4, num_workers=1, persistent_workers=True, multiprocessing_context="spawn"
    )
    seen = []
    for epoch in (0, 1):
        made.set_epoch(epoch)
        seen.append(next(iter(loader))[0])
    assert torch.equal(seen[1], made.batch(range(4))[0])
    assert not torch.equal(*seen)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"noise": -1.0}, "noise: expected"),
        ({"draw": -1}, "draw: expected"),
        ({"draws": 0}, "draws: expected"),
        ({"kind": "pink"}, "kind: expected one of white"),
        ({"dtype": torch.int64}, "dtype: expected one of real numbers"),
        ({"dtype": "float32"}, "dtype: expected one of real numbers"),
    ],
)
def test_tensors_that_make_no_sense_are_refused_at_once(dataset, arguments, sentence):
    with pytest.raises(data.DataError, match=sentence):
        dataset.to_torch(**arguments)


def test_a_transform_that_does_not_give_rows_and_an_epoch_that_is_none_are_refused(dataset):
    with pytest.raises(data.DataError, match=r"encode: expected a table of 1 rows .* given shape \(\)"):
        dataset.to_torch(encode=np.linalg.norm)[0]
    with pytest.raises(data.DataError, match=r"decode: .*complex128"):
        dataset.to_torch(decode=lambda theta: theta * 1j)[0]
    with pytest.raises(data.DataError, match="epoch: expected"):
        dataset.to_torch().set_epoch(-1)


def test_importing_data_imports_neither_torch_nor_xarray():
    told = "import sys, data; print([n for n in ('torch', 'xarray', 'dolfinx') if n in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", told], text=True).strip() == "[]"


# -- labelled arrays ------------------------------------------------------------------------------------


def test_labelled_arrays_hold_the_samples_and_what_they_are(full):
    view = full.split("train")
    made = view.to_xarray(0.05, draw=2)
    assert made.sizes["sample"] == 6
    np.testing.assert_array_equal(made.observations, view.observe(0.05, 2))
    np.testing.assert_array_equal(made.parameters, view.parameters)
    assert made.observations.attrs["units"] == view.observation_unit
    assert tuple(made.parameter.values) == view.names
    assert tuple(made.unit.values) == view.units
    np.testing.assert_array_equal(made.seed, view.seeds)
    for name, labels in view.problem.observation_labels().items():
        np.testing.assert_array_equal(made[name], labels)
        for column, about in view.problem.observation_tables()[name].columns.items():
            np.testing.assert_array_equal(made[f"{name}_{column}"], np.array(about.values)[labels])
            assert made[f"{name}_{column}"].attrs["units"] == about.unit
    for name in full.extras:
        np.testing.assert_array_equal(made[name], view.extra(name))
    assert made.slices.attrs["units"] == view.problem.image_unit
    for name, values in view.records.items():
        np.testing.assert_array_equal(made[name], values)
    assert maxwell.problem_from(json.loads(made.attrs["problem"])) == view.problem
    assert made.attrs["digest"] == view.manifest.digest
    assert made.attrs["time_convention"] == "exp(+i omega t)"
    assert (made.attrs["noise"], made.attrs["noise_draw"]) == (0.05, 2)
    assert made.attrs["noise_reference"] == view.noise_reference
    assert "numpy" in json.loads(made.attrs["versions"])


def test_labelled_arrays_are_chosen_by_label(dataset):
    made = dataset.to_xarray()
    test = made.sel(sample=made.split == "test", parameter="R1")
    np.testing.assert_array_equal(test.parameters, dataset.split("test").parameters[:, 3])
    near = made.observations.where((made.source_x < 0.3) & (made.receiver_px == 1), drop=True)
    assert near.shape == (24, 8 * 16)
    assert (made.attrs["failed"], made.attrs["problem"]) == (
        0,
        json.dumps(dataset.spec, sort_keys=True, separators=(",", ":")),
    )
    assert "noise_reference" not in made.attrs


def test_splits_of_other_quantities_are_not_put_into_one_array(full):
    with pytest.raises(
        data.DataError, match=r"different parameters or surveys; ask one, as in ds.split\('train'\)"
    ):
        full.to_xarray()
    assert full.split("test_other").to_xarray().sizes["sample"] == 2


def test_without_xarray_a_sentence_names_the_extra(dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(data.DataError, match=r"pip install 'maxwell-inverse\[xarray\]'"):
        dataset.to_xarray()


# -- threads and processes ------------------------------------------------------------------------------


def rows_of(view, rows):
    """Fresh, so that nothing is read but these rows."""
    chosen = view.take(rows)
    return chosen.parameters, chosen.observe(0.01), chosen.records["dofs"]


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_processes_read_the_same_rows_at_the_same_time(dataset, start):
    found = forking.alone(forking.digests, dataset.path, start)
    assert found == [dataset.take([k, 23 - k, k]).digest() for k in range(12)]
    assert len(set(found)) == 12


def test_threads_read_the_same_rows_while_files_are_closed_under_them(dataset, monkeypatch):
    monkeypatch.setattr(data.index, "_OPEN", 1)
    theta, observed, dofs = rows_of(dataset, range(24))
    fresh = data.open(dataset.path)
    rng = np.random.default_rng(1)
    asked = [rng.integers(24, size=6) for _ in range(200)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            found = list(pool.map(partial(rows_of, fresh), asked))
    finally:
        sys.setswitchinterval(before)
    for rows, (a, b, c) in zip(asked, found, strict=True):
        np.testing.assert_array_equal(a, theta[rows])
        np.testing.assert_array_equal(b, observed[rows])
        np.testing.assert_array_equal(c, dofs[rows])
