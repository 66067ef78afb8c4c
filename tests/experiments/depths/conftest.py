"""A study of depth as small as it can be and still have every kind of cell, and made-up results for its tables."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from data import executors

STUDY = """
recipe = "demo"
[network]
width = 6
components = 6
draws = 2
learning_rate = 1e-2
weight_decay = 0.0
order = 0.5
[rules]
fixed = { time = "fixed", horizon = 1.0 }
fixed-unit = { time = "fixed", step = 1.0 }
free = { time = "free", horizon = 1.0 }
simplex = { time = "simplex", horizon = 1.0 }
[families]
resnet = { rules = ["fixed", "fixed-unit", "free", "simplex"] }
fractional = { rules = ["fixed", "simplex"] }
dense-additive = { rules = ["fixed", "simplex"], deepest = 2 }
plain = { rules = ["fixed-unit"] }
[quick]
depths = [2, 5]
scales = [1.0, 30.0]
seeds = 2
epochs = 2
batch = 20
snapshots = [0, 1, 2]
ensemble = 8
[full]
depths = [2, 5, 9]
scales = [0.1, 1.0]
seeds = 3
epochs = 4
batch = 20
snapshots = [0, 4]
ensemble = 7
"""


@pytest.fixture
def study_text():
    return STUDY


@pytest.fixture(scope="module")
def depths_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("study") / "depths.toml"
    file.write_text(STUDY)
    return file


@pytest.fixture(scope="module")
def in_this_process():
    """Workers as threads: their start would be most of a test."""

    @contextmanager
    def local(workers):
        with ThreadPoolExecutor(1) as pool:
            yield pool

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executors, "local", local)
        yield
