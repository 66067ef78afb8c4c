import os
import pickle
import shutil
import warnings

import numpy as np
import pytest
import threadpoolctl

import data
import maxwell
from data import recipe as recipes


def test_shapes_names_and_units(dataset):
    assert (len(dataset), dataset.splits) == (24, ("train", "valid", "test", "test_inverse_crime"))
    assert dataset.parameters.shape == (24, 5)
    assert dataset.observations.shape == (24, 1024)
    assert dataset.observations.dtype == np.complex128
    assert dataset.names == tuple(p.name for p in dataset.problem.parameters)
    assert dataset.units == tuple(p.unit for p in dataset.problem.parameters)
    assert dataset.observation_unit == "V/m"
    for name, values in dataset.problem.observation_labels().items():
        np.testing.assert_array_equal(dataset.labels[name], values)


def test_views_are_the_rows_of_the_whole(dataset):
    views = [dataset.split(name) for name in dataset.splits]
    assert sum(map(len, views)) == len(dataset)
    for what in ("parameters", "observations", "seeds", "indices"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(view, what) for view in views]), getattr(dataset, what)
        )
    np.testing.assert_array_equal(dataset.split("test").indices, np.arange(5))
    with pytest.raises(data.DataError, match=r"no split 'tets'; expected one of train"):
        dataset.split("tets")


def test_the_data_set_alone_rebuilds_the_problem_and_its_samples(dataset):
    """A sample is what its problem, its mesh and its seed say, to the bit."""
    problem = maxwell.problem_from(dataset.spec)
    assert problem == dataset.problem
    view = dataset.split("test")
    with threadpoolctl.threadpool_limits(1):  # as in the workers: the order of a sum depends on the threads
        forward = problem.discretise(**view.mesh)
        for index in (4, 0):
            seed = data.seeds.sample_seed(dataset.manifest.recipe.seed, "test", index)
            assert seed == view.seeds[index]
            theta = problem.prior.sample(data.seeds.parameter_stream(seed), 1)[0]
            np.testing.assert_array_equal(view.parameters[index], theta)
            np.testing.assert_array_equal(view.observations[index], forward(theta))


def test_the_solver_was_accurate(dataset):
    assert dataset.records["residual"].max() < 1e-10
    assert dataset.records["reciprocity"].max() < 1e-12
    assert (dataset.records["seconds"] > 0).all()


def test_paired_splits_share_parameters_but_not_mesh_or_noise(dataset):
    test, crime = dataset.split("test"), dataset.split("test_inverse_crime")
    np.testing.assert_array_equal(test.parameters[: len(crime)], crime.parameters)
    assert test.mesh != crime.mesh == dataset.split("train").mesh
    assert set(test.records["dofs"]).isdisjoint(crime.records["dofs"])
    noise = [(v.observe(1.0) - v.observations)[:3].ravel() for v in (test, crime)]
    assert abs(np.vdot(*noise)) < 0.1 * np.linalg.norm(noise[0]) * np.linalg.norm(noise[1])
    with pytest.raises(data.DataError, match="different meshes"):
        _ = dataset.mesh


def test_inverse_crime_is_a_property_of_the_mesh(dataset):
    found = {name: dataset.split(name).inverse_crime for name in dataset.splits}
    assert found == {"train": True, "valid": True, "test": False, "test_inverse_crime": True}


def test_noise_has_the_stated_law(dataset):
    reference = np.sqrt(np.mean(np.abs(dataset.split("train").observations) ** 2))
    assert dataset.noise_reference == pytest.approx(reference)
    assert dataset.split("test").noise_reference == dataset.noise_reference
    xi = (dataset.observe(0.05) - dataset.observations) / (0.05 * reference)  # unit complex normal
    n = xi.size
    assert abs(xi.mean()) < 4 / np.sqrt(n)
    assert np.mean(np.abs(xi) ** 2) == pytest.approx(1, abs=4 / np.sqrt(n))
    assert abs(np.mean(xi**2)) < 4 * np.sqrt(2 / n)  # real and imaginary part: equal variance, uncorrelated
    assert np.mean(np.abs(xi) ** 4) == pytest.approx(2, abs=0.1)  # normal


def test_noise_is_reproducible_paired_across_levels_and_fresh_for_each_draw(dataset):
    noise = dataset.observe(0.01) - dataset.observations
    np.testing.assert_array_equal(dataset.observe(0.01), data.open(dataset.path).observe(0.01))
    np.testing.assert_array_equal(dataset.split("test").observe(0.01), dataset.observe(0.01)[16:21])
    np.testing.assert_allclose(dataset.observe(0.2) - dataset.observations, 20 * noise, rtol=1e-9, atol=1e-15)
    np.testing.assert_array_equal(dataset.observe(0.0), dataset.observations)
    other = dataset.observe(0.01, draw=1) - dataset.observations
    assert abs(np.vdot(noise, other)) < 0.05 * np.linalg.norm(noise) * np.linalg.norm(other)


@pytest.mark.parametrize("arguments", [{"noise": -0.1}, {"noise": np.nan}, {"draw": -1}, {"draw": 0.5}])
def test_a_noise_that_makes_no_sense_is_refused(dataset, arguments):
    with pytest.raises(data.DataError, match=f"{next(iter(arguments))}: expected"):
        dataset.observe(**arguments)


def test_a_data_set_can_be_handed_to_another_process(dataset):
    again = pickle.loads(pickle.dumps(dataset.split("valid")))
    np.testing.assert_array_equal(again.observations, dataset.split("valid").observations)


def test_opening_reads_no_shard(dataset, tmp_path):
    folder = shutil.copytree(dataset.path, tmp_path / "hollow")
    for shard in (folder / "shards").iterdir():
        os.truncate(shard, 0)
    assert len(data.open(folder)) == 24


def test_an_incomplete_data_set_says_what_is_missing_and_opens_in_part(dataset, tmp_path):
    folder = shutil.copytree(dataset.path, tmp_path / "part")
    for name in ("train-00001.h5", "valid-00000.h5"):
        (folder / "shards" / name).unlink()
    with pytest.raises(data.DataError, match=r"2 of 7 shards are missing; continue with `maxinv generate"):
        data.open(folder)
    part = data.open(folder, partial=True)
    assert len(part) == 16
    np.testing.assert_array_equal(part.split("train").indices, [0, 1, 2, 3, 8, 9, 10, 11])
    assert part.split("valid").observations.shape == (0, 1024)
    np.testing.assert_array_equal(part.split("test").parameters, dataset.split("test").parameters)


def test_an_inverse_crime_is_loud_until_it_is_declared(dataset, recipe_file, tmp_path):
    folder = shutil.copytree(dataset.path, tmp_path / "crime")
    undeclared = {"splits.test_inverse_crime.inverse_crime": False}
    with pytest.warns(data.InverseCrimeWarning, match="INVERSE CRIME: split test_inverse_crime"):
        again = data.generate(recipe_file, folder, overrides=undeclared)  # a label: nothing is computed anew
    assert again.split("test_inverse_crime").inverse_crime
    with pytest.warns(data.InverseCrimeWarning):
        data.open(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.generate(recipes.load(recipe_file), folder)
        data.open(folder)
