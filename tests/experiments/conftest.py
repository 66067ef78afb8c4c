"""One small study on real finite-element data, made once for all test processes through the command line."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from filelock import FileLock

from data import executors
from experiments import cli

RECIPE = """
seed = 5
[problem]
kind = "conductivity"
[mesh]
cells = 3
degree = 1
[store]
shard = 8
[splits.train]
samples = 40
[splits.valid]
samples = 10
[splits.test]
samples = 12
mesh = { cells = 4, degree = 1 }
[splits.test_inverse_crime]
samples = 12
same_parameters_as = "test"
inverse_crime = true
"""

STUDY = """
recipe = "RECIPE"
seeds = 2
[network]
layers = 3
width = 8
components = 6
epochs = 6
batch = 16
draws = 2
[variants]
resnet-fixed = { family = "resnet", time = "fixed" }
resnet-learned = { family = "resnet", time = "simplex" }
fractional-fixed = { family = "fractional", time = "fixed" }
fractional-learned = { family = "fractional", time = "simplex" }
"""


@pytest.fixture
def in_this_process(monkeypatch):
    """Workers as threads: their start would be most of a test."""

    @contextmanager
    def local(workers):
        with ThreadPoolExecutor(workers) as pool:
            yield pool

    monkeypatch.setattr(executors, "local", local)


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id):
    """A folder that all test processes of a run share, with the study's files in it."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "study"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def study_file(shared):
    with FileLock(shared / "files.lock"):
        if not (shared / "study.toml").exists():
            (shared / "recipe.toml").write_text(RECIPE)
            (shared / "study.toml").write_text(STUDY.replace("RECIPE", str(shared / "recipe.toml")))
    return shared / "study.toml"


@pytest.fixture(scope="session")
def demo(shared, study_file):
    """The folder of a finished demo, as small as it can be and still be real; for reading only."""
    with FileLock(shared / "demo.lock"):
        if not (shared / "demo" / "report.html").exists():
            arguments = ["demo", "--study", str(study_file), "--out", str(shared / "demo"), "--workers", "1"]
            assert cli.main(arguments) == 0
    return shared / "demo"
