"""What the training mesh does to data: its law, what is kept of it, and the covariance that it gives noise."""

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import data
from data import DataError, schema
from data.mesh_error import ObservationError, mesh_error, realised

RECIPE = """
seed = 11
[problem]
kind = "magnetisation"
[mesh]
cells = 6
degree = 1
[splits.train]
samples = 6
[splits.valid]
samples = 5
mesh = { cells = 7, degree = 1 }
[splits.test]
samples = 3
mesh = { cells = 7, degree = 1 }
"""


@pytest.fixture(scope="module")
def magnetised(here, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mesh_error")
    (folder / "recipe.toml").write_text(RECIPE)
    return data.generate(folder / "recipe.toml", folder / "made", 1, executor=here)


def test_it_is_the_difference_of_the_two_meshes(magnetised):
    valid = magnetised.split("valid")
    errors = mesh_error(magnetised)
    coarse = valid.problem.discretise(cells=6, degree=1)
    twin = np.array([coarse(theta) for theta in valid.parameters])
    np.testing.assert_allclose(valid.observations - errors, twin, rtol=1e-9, atol=1e-12 * abs(twin).max())
    assert np.linalg.norm(errors) > 1e-3 * np.linalg.norm(twin)


def test_it_is_kept_in_the_folder_and_solved_again_where_that_is_damaged(magnetised, tmp_path):
    copy = shutil.copytree(magnetised.path, tmp_path / "copy")
    expected, file = mesh_error(magnetised), copy / schema.MESH_ERROR
    assert file.exists()
    assert not data.validate(copy)
    with np.load(file) as content:
        forged = dict(content)
    for errors in (forged["errors"] * 2, forged["errors"][:3]):
        np.savez(file, **{**forged, "errors": errors})
        np.testing.assert_allclose(mesh_error(data.open(copy)), expected)
    file.write_bytes(file.read_bytes()[:100])
    np.testing.assert_allclose(mesh_error(data.open(copy)), expected)
    before = file.stat().st_mtime_ns  # by now it is right again, so it is read
    np.testing.assert_allclose(mesh_error(data.open(copy)), expected)
    assert file.stat().st_mtime_ns == before


def test_samples_of_the_training_mesh_have_none(dataset):
    assert mesh_error(dataset).shape == (0, dataset.observations.shape[1])
    assert realised(mesh_error(dataset), 3, 0).shape == (3, dataset.observations.shape[1])


@given(st.integers(0, 50), st.booleans(), st.integers(0, 5), st.floats(0.05, 5))
def test_whitening_inverts_the_covariance(seed, complex_data, count, deviation):
    rng = np.random.default_rng(seed)
    errors = rng.standard_normal((count, 4)) + (1j * rng.standard_normal((count, 4)) if complex_data else 0)
    error = ObservationError.of(errors, deviation)
    covariance = deviation**2 * np.eye(4) + errors.T @ errors.conj() / max(count, 1)
    np.testing.assert_allclose(error.covariance, covariance, atol=1e-12 * np.linalg.norm(covariance))
    root = error.whiten(np.eye(4)).T  # C^{-1/2}, column by column
    np.testing.assert_allclose(root @ covariance @ root.conj().T, np.eye(4), atol=1e-9)


def test_realisations_have_its_second_moment_and_depend_on_row_and_draw_alone():
    rng = np.random.default_rng(0)
    errors = rng.standard_normal((7, 3)) + 2 + 1j * rng.standard_normal((7, 3))
    drawn = realised(errors, 200_000, 4)
    expected = errors.T @ errors.conj() / 7
    np.testing.assert_allclose(drawn.T @ drawn.conj() / len(drawn), expected, atol=0.05)
    assert np.array_equal(realised(errors, 10, 4), drawn[:10])
    assert not np.allclose(realised(errors, 10, 5), drawn[:10])


@pytest.mark.parametrize("deviation", [0.0, -1.0, np.nan, np.inf])
def test_noise_must_be_positive(deviation):
    with pytest.raises(DataError, match="deviation"):
        ObservationError.of(np.zeros((0, 3)), deviation)
