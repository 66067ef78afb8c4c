"""What enters training: noise, the error of the training mesh, and the turns of an experiment."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import data
from data.mesh_error import mesh_error, realised
from data.transforms import realify
from experiments import cli
from experiments.errors import StudyError
from experiments.specs import RunSpec
from experiments.training_data import features, training_data

RECIPE = """
seed = 5
[problem]
kind = "conductivity"
parametrisation = { kind = "balls", count = COUNT }
[mesh]
cells = 3
degree = 1
cell = "CELL"
[splits.train]
samples = 30
[splits.valid]
samples = 6
mesh = { cells = 4, degree = 1, cell = "CELL" }
"""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    def make(count, cell="hexahedron"):
        folder = tmp_path_factory.mktemp("balls")
        (folder / "recipe.toml").write_text(RECIPE.replace("COUNT", str(count)).replace("CELL", cell))
        with ThreadPoolExecutor(1) as here:
            return data.generate(folder / "recipe.toml", folder / "made", 1, executor=here)

    return make


@pytest.fixture(scope="module")
def balls(made):
    return made(1)


def known(dataset, **settings):
    settings = {
        "components": 8,
        "noise": 0.02,
        "draws": 10,
        "amplitude": "linear",
        "scale": "common",
    } | settings
    return training_data(dataset.path, dataset.manifest.digest, RunSpec(**settings), CPU)


def test_each_epoch_has_its_noise_its_mesh_error_and_its_turn(balls):
    """By hand, draw by draw: the pair of epoch e is that of draw e mod 10, turned by symmetry e mod 10 mod 8."""
    found, train = known(balls, mesh_error=True, symmetries=True), balls.split("train")
    turns, errors = train.problem.symmetries, mesh_error(balls)
    assert len(turns) == 8
    for epoch in (0, 3, 9, 13):
        draw = epoch % 10
        seen = train.observe(0.02, draw) + realised(errors, len(train), draw)
        seen = turns[draw % 8].observations(seen)
        theta = turns[draw % 8].parameters(train.parameters)
        x, y = found(epoch)
        np.testing.assert_allclose(x, features(found.compression, "linear", seen), atol=1e-5)
        np.testing.assert_allclose(y, found.standardise(theta), atol=1e-5)
    x, y = found.valid  # as it is measured: of the finer mesh, and not turned
    valid = balls.split("valid")
    np.testing.assert_allclose(x, features(found.compression, "linear", valid.observe(0.02)), atol=1e-4)
    np.testing.assert_allclose(y, found.standardise(valid.parameters), atol=1e-5)


def test_the_linear_estimate_counts_the_mesh_error_as_noise(balls):
    """Its gain is that of the covariance σ²/2 I + E ε εᵀ, written down."""
    found, train = known(balls, mesh_error=True, remainder=True), balls.split("train")
    x, y = realify(train.observations), found.standardise(train.parameters)
    x, y, errors = x - x.mean(axis=0), y - y.mean(axis=0), realify(mesh_error(balls))
    sigma = 0.02 * balls.noise_reference
    covariance = x.T @ x / len(x) + sigma**2 / 2 * np.eye(x.shape[1]) + errors.T @ errors / len(errors)
    expected = np.linalg.solve(covariance, x.T @ y / len(x))
    np.testing.assert_allclose(found.remainder.gain, expected, atol=1e-9 * abs(expected).max())
    without = known(balls, remainder=True).remainder.gain
    assert np.linalg.norm(without - expected) > 0.01 * np.linalg.norm(expected)


def test_without_either_all_is_as_it_was(balls):
    found, train = known(balls), balls.split("train")
    for epoch in (0, 4):
        x, y = found(epoch)
        np.testing.assert_allclose(
            x, features(found.compression, "linear", train.observe(0.02, epoch)), atol=1e-5
        )
        assert y is found(0)[1]


def test_a_problem_without_symmetries_says_so(made):
    with pytest.raises(StudyError, match=r"symmetries: .* leave it out"):
        known(made(2), symmetries=True)


def test_turns_of_a_mesh_that_a_turn_does_not_map_to_itself_are_refused(made):
    """There a turned pair is no pair: its data are off by the error of another mesh."""
    tetrahedra = made(1, "tetrahedron")
    theta = tetrahedra.split("train").parameters[:1]
    forward = tetrahedra.problem.discretise(cells=3, degree=1)
    turn = tetrahedra.problem.symmetries[1]
    gap = forward.batch(turn.parameters(theta)) - turn.observations(forward.batch(theta))
    assert np.linalg.norm(gap) > 1e-3 * np.linalg.norm(forward.batch(theta))
    with pytest.raises(StudyError, match=r"has cells 'tetrahedron', .* leave the symmetries out"):
        known(tetrahedra, symmetries=True)


def test_training_says_once_that_it_solves_for_the_mesh_error(balls, capsys, tmp_path):
    copy = shutil.copytree(balls.path, tmp_path / "copy")
    (copy / "mesh_error.npz").unlink(missing_ok=True)
    few = ["--epochs", "1", "--draws", "1", "--components", "4", "--width", "4", "--layers", "1"]
    for name, told in (("first", True), ("second", False)):
        assert cli.main(["train", str(copy), str(tmp_path / name), "--mesh-error", "true", *few]) == 0
        assert ("solving 6 validation samples" in capsys.readouterr().err) == told


def test_info_tells_the_mesh_error_once_it_is_known(balls, capsys, tmp_path):
    copy = shutil.copytree(balls.path, tmp_path / "copy")
    (copy / "mesh_error.npz").unlink(missing_ok=True)
    assert cli.main(["info", str(copy)]) == 0
    assert "training mesh changes" not in capsys.readouterr().out
    share = np.sqrt(np.mean(np.abs(mesh_error(data.open(copy))) ** 2)) / balls.noise_reference
    assert cli.main(["info", str(copy)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"changes the data of the validation samples by {100 * share:.2g} %" in told
