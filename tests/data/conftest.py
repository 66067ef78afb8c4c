"""One small data set of real finite-element samples, made once a session, and the recipe it came from."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import data

RECIPE = """
seed = 7
[problem]
kind = "conductivity"
[mesh]
cells = 3
degree = 1
[store]
shard = 4
[splits.train]
samples = 12
[splits.valid]
samples = 4
[splits.test]
samples = 5
mesh = { cells = 4, degree = 1 }
[splits.test_inverse_crime]
samples = 3
same_parameters_as = "test"
inverse_crime = true
"""


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    file.write_text(RECIPE)
    return file


@pytest.fixture(scope="session")
def here():
    """Computes in the test process: a worker would import the solver anew, for longer than it takes to solve."""
    with ThreadPoolExecutor(1) as here:
        yield here


@pytest.fixture(scope="session")
def dataset(recipe_file, here, tmp_path_factory):
    """Read only: tests that change files copy the folder."""
    return data.generate(recipe_file, tmp_path_factory.mktemp("data") / "tiny", 1, executor=here)
