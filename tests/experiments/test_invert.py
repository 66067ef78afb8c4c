"""`maxinv invert` on a trained network and real data: the numbers it writes, what it warns of, what it refuses."""

import concurrent.futures
import csv
import json
import shutil
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest

import data
import maxwell
from data import mesh_error
from experiments import cli, inversion, inversion_files, inversion_inputs
from experiments.outside import Bounded, Verdict
from experiments.runs import load

RECIPE = """
seed = 5
problem.kind = "conductivity"
mesh = { cells = 3, degree = 1 }
splits.train.samples = 24
splits.valid.samples = 10
splits.test = { samples = 6, mesh = { cells = 4, degree = 1 } }
splits.test_inverse_crime = { samples = 3, same_parameters_as = "test", inverse_crime = true }
"""

OTHER = """
problem = { kind = "cauchy", modes = 3 }
mesh = { cells = 5, degree = 1 }
splits.train.samples = 3
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a data set, a network trained on it, and another data set; for reading only."""
    folder = tmp_path_factory.mktemp("invert")
    with concurrent.futures.ThreadPoolExecutor(1) as here:  # a process would import the solver anew
        for name, recipe in (("data", RECIPE), ("other", OTHER)):
            data.generate(data.recipe.parse(tomllib.loads(recipe)), folder / name, 1, executor=here)
    small = ["--layers", "2", "--width", "6", "--components", "4", "--epochs", "30", "--draws", "1"]
    assert cli.main(["train", str(folder / "data"), str(folder / "run"), *small]) == 0
    return folder


@pytest.fixture(scope="module")
def run(made):
    return made / "run"


@pytest.fixture(scope="module")
def dataset(made):
    return made / "data"


@pytest.fixture(scope="module")
def measured(dataset):
    """Noisy observations of the test split, as an instrument would give them."""
    return data.open(dataset).split("test").observe(0.01)


@pytest.fixture
def invert(run, capsys):
    """Run the command on the model: (exit code, printed, told on standard error)."""

    def call(observations, *options, model=run):
        code = cli.main(["invert", *map(str, (model, observations, *options))])
        found = capsys.readouterr()
        return code, found.out, found.err

    return call


def stored(file):
    with file.open() as text:
        return list(csv.DictReader(text))


def test_a_data_set_gives_the_estimates_of_the_run_with_their_residuals(
    invert, run, dataset, measured, tmp_path
):
    code, printed, told = invert(dataset, "--rows", "0:3", "--noise", "0.01", "--out", tmp_path / "out.csv")
    assert code == 0
    assert "RMS error of the network's estimates against the truth" in printed
    assert "judged by the model alone" not in told  # its validation split calibrates the test
    table = stored(tmp_path / "out.csv")
    estimates = load(run).estimate(measured[:3])
    names = ["x1 [m]", "y1 [m]", "z1 [m]", "R1 [m]", "q1"]
    found = np.array([[float(line[name]) for name in names] for line in table])
    np.testing.assert_allclose(found, estimates, rtol=1e-9)
    opened = data.open(dataset)
    forward = opened.problem.discretise(**opened.split("train").mesh)
    for line, theta, d in zip(table, estimates, measured[:3], strict=True):
        distance = np.linalg.norm(forward(theta) - d)
        assert float(line["residual"]) == pytest.approx(distance / np.linalg.norm(d), rel=1e-6)
        deviation = 0.01 * opened.noise_reference
        assert float(line["misfit"]) == pytest.approx(distance / deviation / np.sqrt(d.size), rel=1e-6)
        assert float(line["solve_seconds"]) > 0


def test_files_of_three_kinds_say_the_same(invert, measured, dataset, tmp_path):
    np.save(tmp_path / "mine.npy", measured)
    for suffix in ("csv", "json", "h5"):
        options = ["--data", dataset, "--rows", "4,1", "--noise-sd", "1e-3", "--out"]
        assert invert(tmp_path / "mine.npy", *options, tmp_path / f"out.{suffix}")[0] == 0
    lines, about = stored(tmp_path / "out.csv"), json.loads((tmp_path / "out.json").read_text())
    assert about["names"] == ["x1", "y1", "z1", "R1", "q1"]
    assert about["units"] == ["m", "m", "m", "m", ""]
    assert about["noise"] == 1e-3
    assert about["mesh"]["cells"] == 3
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["names"].asstr()[...].tolist() == about["names"]
        for k, (line, sample) in enumerate(zip(lines, about["samples"], strict=True)):
            assert int(line["row"]) == sample["row"] == file["row"][k] == [4, 1][k]
            np.testing.assert_array_equal(file["estimates"][k], sample["estimate"])
            assert float(line["x1 [m]"]) == sample["estimate"][0]
            for name in ("residual", "misfit", "chance"):
                assert float(line[name]) == pytest.approx(sample[name], rel=1e-12)
                assert file[name][k] == pytest.approx(sample[name], rel=1e-12)


def test_gauss_newton_goes_on_to_fit_the_data(invert, dataset, tmp_path):
    options = ["--rows", "0,2", "--noise", "0.01", "--split", "test_inverse_crime", "--refine"]
    code, printed, _ = invert(dataset, *options, "--out", tmp_path / "out.csv")
    assert code == 0
    assert "Data residual of Gauss-Newton's" in printed
    for line in stored(tmp_path / "out.csv"):
        assert float(line["misfit"]) == pytest.approx(1, abs=0.1)
        assert float(line["network_misfit"]) > 2 * float(line["misfit"])
        assert int(line["iterations"]) >= 1


def test_the_error_of_the_mesh_counts_as_noise_where_it_is_known(invert, run, dataset, tmp_path, monkeypatch):
    """Data of a finer mesh: estimates are nearer the truth, and their misfit, which is larger, no surprise."""
    opened = data.open(dataset)
    test, mesh = opened.split("test"), opened.split("train").mesh
    errors = test.observations - opened.problem.discretise(**mesh).batch(test.parameters)
    options = ["--noise", "0.001", "--refine", "--data", dataset, "--out", tmp_path / "out.csv"]
    off, told = {}, {}
    for name, kept in (("unknown", errors[:0]), ("known", errors)):
        monkeypatch.setattr(mesh_error, "mesh_error", lambda known, kept=kept: kept)
        code, _, told[name] = invert(dataset, *options)
        assert code == 0
        lines = stored(tmp_path / "out.csv")
        estimates = np.array([[float(line[f"{p} [m]"]) for p in ("x1", "y1", "z1", "R1")] for line in lines])
        off[name] = np.sqrt(np.mean((estimates - test.parameters[:, :4]) ** 2))
    assert off["known"] < 0.8 * off["unknown"]
    assert "misfit" in told["unknown"]
    assert "misfit" not in told["known"]


def test_only_the_mesh_of_training_has_a_known_error(dataset, recwarn):
    opened = data.open(dataset)
    mesh = opened.split("train").mesh
    assert inversion_inputs.mesh_errors(opened, mesh).shape == (0, opened.observations.shape[1])
    assert inversion_inputs.mesh_errors(opened, {**mesh, "cells": 4}) is None
    assert inversion_inputs.mesh_errors(None, mesh) is None
    assert not recwarn.list  # nothing is solved: validation samples are of this mesh


def test_without_a_mesh_nothing_is_solved_and_that_is_said(invert, run, measured, tmp_path):
    """A model file alone: estimates, and notices of what is missing."""
    np.save(tmp_path / "mine.npy", measured)
    alone = Path(shutil.copy(run / "model.pt", tmp_path))
    code, printed, told = invert(tmp_path / "mine.npy", "--rows", "3", model=alone)
    assert code == 0
    assert "no data residuals: the mesh of training is not known" in told
    assert "judged by the model alone" in told
    assert "residual" not in printed


def test_a_mesh_by_flags_and_none_on_request(invert, dataset, measured, tmp_path):
    np.save(tmp_path / "mine.npy", measured)
    flags = ["--rows", "3", "--cells", "4", "--degree", "1", "--out", tmp_path / "out.json"]
    assert invert(tmp_path / "mine.npy", *flags)[0] == 0
    mesh = json.loads((tmp_path / "out.json").read_text())["mesh"]
    assert (mesh["cells"], mesh["degree"]) == (4, 1)
    code, printed, told = invert(dataset, "--no-residuals", "--rows", "3")
    assert code == 0
    assert "residual" not in printed + told


def test_a_mesh_that_the_run_tells_is_used(invert, run, measured, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "mesh": {"cells": 3, "degree": 1}}))
    np.save(tmp_path / "mine.npy", measured)
    code, printed, told = invert(tmp_path / "mine.npy", "--rows", "0", model=folder)
    assert code == 0
    assert "Data residual of the network's estimates" in printed
    assert "no data residuals" not in told


def test_observations_of_another_unit_are_outside_the_training_range(invert, dataset, measured, tmp_path):
    np.save(tmp_path / "mine.npy", 1e3 * measured)
    for options in (["--data", dataset], []):
        code, printed, told = invert(tmp_path / "mine.npy", "--rows", "0:2", "--no-residuals", *options)
        assert code == 0
        assert "2 of 2 observations (rows 0, 1) are outside the training range" in told
        assert printed.count("NO") == 2


def test_estimates_outside_the_prior_are_told(run, measured):
    trained = inversion.trained(run)
    problem = inversion.problem_of(trained.model)
    found = inversion.invert(trained.model, 30 * measured, Bounded(trained.model.encode), problem=problem)
    expected = problem.prior.contains(found.network.estimates)
    np.testing.assert_array_equal(found.network.inside, expected)
    assert not expected.all()


def test_a_support_without_interior_is_not_asked(run, measured):
    """Blocks of exact zeros: no continuous estimate lies among them, so a warning would say nothing."""
    trained = inversion.trained(run)

    class Exact:
        unknowns = 5

        def sample(self, rng, size):
            return np.ones((size, 5))

        def contains(self, thetas):
            return (thetas == 1).all(axis=1)

    class Problem:
        prior = Exact()

    found = inversion.invert(trained.model, measured, Bounded(trained.model.encode), problem=Problem())
    assert found.best.inside is None


def test_an_estimate_that_the_forward_map_refuses_leaves_the_others(run, measured):
    class Refusing(maxwell.ForwardMap):
        dofs, linearise = 0, None

        def solve(self, theta):
            if theta[0] == theta_of_1[0]:
                raise inversion.MaxwellError("theta is refused.")
            return maxwell.Response(measured[0])

    trained = inversion.trained(run)
    theta_of_1 = trained.model.estimate(measured[:3])[1]
    found = inversion.invert(
        trained.model, measured[:3], Bounded(trained.model.encode), forward=Refusing(), noise=1e-3
    )
    assert found.network.refused == {1: "theta is refused."}
    assert np.isnan(found.network.residuals).tolist() == [False, True, False]
    assert found.network.residuals[0] == 0


def test_complex_unknowns_are_written_part_by_part(tmp_path):
    estimates = np.array([[1 + 2j, 3 - 4j]])
    nothing = np.full(1, np.nan)
    fit = inversion.Fit(estimates, nothing, nothing, np.array([True]), np.ones(1), {})
    found = inversion.Inversion(fit, None, Verdict(np.ones(1), ["size"], 0.05), nothing)
    for suffix in ("csv", "json", "h5"):
        inversion_files.write(
            tmp_path / f"out.{suffix}", found, np.array([7]), ["a", "b"], ["V", ""], {"model": "m"}
        )
    (line,) = stored(tmp_path / "out.csv")
    assert [float(line[name]) for name in ("re a [V]", "im a [V]", "re b", "im b")] == [1, 2, 3, -4]
    assert line["residual"] == ""
    (sample,) = json.loads((tmp_path / "out.json").read_text())["samples"]
    assert sample["estimate"] == [[1, 2], [3, -4]]
    assert sample["residual"] is None
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file["estimates"][...], estimates)


MISTAKES = {
    "no model": ([], "there is no model here", "nothing"),
    "no observations": (["--noise", "0.1"], "no such file", None),
    "negative noise": (["--noise", "-1"], "at least 0", None),
    "noise is nan": (["--noise-sd", "nan"], "finite number", None),
    "rate": (["--false-alarms", "1"], "between 0 and 1", None),
    "suffix": (["--out", "out.txt"], "expected one of .csv, .json, .h5", None),
    "refine without solving": (["--refine", "--no-residuals"], "leave out this or --refine", None),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(mistake, invert, run, tmp_path):
    options, said, model = MISTAKES[mistake]
    code, _, told = invert(tmp_path / "nothing.h5", *options, model=tmp_path / model if model else run)
    assert code == 2
    assert said in told
    assert told.startswith("maxinv invert: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rows", "0:0"], "no sample is left"),
        (["--rows", "two"], "expected a row, rows such as"),
        (["--rows", "99"], "row 99 is not there"),
        (["--split", "tset"], "has no split 'tset'"),
        (["--dataset", "observations"], "give --split"),
        (["--refine", "--noise", "0"], "needs a level of the noise"),
    ],
    ids=["none", "text", "too far", "split", "dataset", "noise"],
)
def test_a_mistake_about_a_data_set_is_one_sentence(invert, dataset, options, said):
    code, _, told = invert(dataset, *options)
    assert code == 2
    assert said in told.splitlines()[-1]


def test_data_of_another_training_are_refused(invert, made, measured, tmp_path):
    np.save(tmp_path / "mine.npy", measured)
    code, _, told = invert(tmp_path / "mine.npy", "--data", made / "other")
    assert code == 2
    assert "is not the data set that the model was trained on" in told
    code, _, told = invert(made / "other", "--split", "train")
    assert code == 2
    assert "has shape (3, 3); expected (n, 1024)" in told
