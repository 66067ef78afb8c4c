"""One small study on real finite-element data, made once per test process through the command line."""

import pytest

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


@pytest.fixture(scope="session")
def study_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "study.toml").write_text(STUDY.replace("RECIPE", str(folder / "recipe.toml")))
    return folder / "study.toml"


@pytest.fixture(scope="session")
def demo(study_file, tmp_path_factory):
    """The folder of a finished demo, as small as it can be and still be real."""
    out = tmp_path_factory.mktemp("demo")
    assert cli.main(["demo", "--study", str(study_file), "--out", str(out), "--workers", "1"]) == 0
    return out
