"""A comparison on splits outside the distribution of training: what it evaluates, what it leaves out and says."""

import concurrent.futures
import json
import tomllib

import pytest

import data
from experiments import cli
from experiments.differences import changes

RECIPE = """
seed = 5
[problem]
kind = "conductivity"
[mesh]
cells = 3
degree = 1
[store]
shard = 12
[splits.train]
samples = 24
[splits.valid]
samples = 6
mesh = { cells = 4, degree = 1 }
[splits.test]
samples = 6
mesh = { cells = 4, degree = 1 }
[splits.test_deep]
samples = 4
mesh = { cells = 4, degree = 1 }
problem = { prior = { kind = "ball_prior", z = [0.3, 0.45] } }
[splits.test_strong]
samples = 4
mesh = { cells = 4, degree = 1 }
problem = { prior = { kind = "ball_prior", contrast = [2.0, 2.5] } }
[splits.test_frequency]
samples = 4
mesh = { cells = 4, degree = 1 }
problem = { frequency = 35.85e6 }
[splits.test_two_balls]
samples = 4
mesh = { cells = 4, degree = 1 }
problem = { parametrisation = { kind = "balls", count = 2 }, prior = { kind = "ball_prior", count = 2 } }
[splits.test_two_frequencies]
samples = 4
mesh = { cells = 4, degree = 1 }
problem = { frequency = [23.9e6, 1e7] }
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with a data set, a trained network, their comparison and its report; read only."""
    folder = tmp_path_factory.mktemp("outside")
    recipe = data.recipe.parse(tomllib.loads(RECIPE))
    with concurrent.futures.ThreadPoolExecutor(1) as here:  # a process would import the solver anew
        data.generate(recipe, folder / "data", 1, executor=here)
    small = ["--layers", "2", "--width", "6", "--components", "4", "--epochs", "2", "--draws", "1"]
    for arguments in (
        ["train", folder / "data", folder / "run", "--family", "resnet", "--time", "fixed", *small],
        ["compare", folder / "data", folder / "run", "--out", folder / "comparison.json"],
        ["report", folder / "comparison.json", "--out", folder / "report.html"],
    ):
        assert cli.main(list(map(str, arguments))) == 0
    return folder


def test_splits_of_the_same_parameters_are_evaluated_and_others_left_out_with_a_sentence(study):
    comparison = json.loads((study / "comparison.json").read_text())
    evaluated = ["test", "test_deep", "test_strong", "test_frequency"]
    assert list(comparison["splits"]) == evaluated
    for results in comparison["results"].values():
        assert list(results) == evaluated
    left_out = comparison["left_out"]
    assert list(left_out) == ["test_two_balls", "test_two_frequencies"]
    assert "have 10 parameters and those of training 5" in left_out["test_two_balls"]
    assert "have 2048 observations and those of training 1024" in left_out["test_two_frequencies"]


def test_what_is_other_stands_in_the_titles_and_on_the_page(study, capsys):
    comparison = json.loads((study / "comparison.json").read_text())
    assert comparison["splits"]["test"]["problem"] == []
    assert comparison["splits"]["test_deep"]["problem"] == ["prior.z [0.3, 0.45] instead of [0.5, 0.78]"]
    page = (study / "report.html").read_text()
    assert "with frequency 35850000.0 instead of 23900000.0" in page
    for sentence in comparison["left_out"].values():
        assert sentence in page
    assert (
        cli.main(["compare", str(study / "data"), str(study / "run"), "--out", str(study / "again.json")])
        == 0
    )
    printed = " ".join(capsys.readouterr().out.split())
    assert "test_two_balls is left out" in printed
    assert "prior.contrast [2.0, 2.5] instead of" in printed


def test_changes_are_told_key_by_key_and_another_kind_as_a_whole():
    there = {"a": 1, "b": {"kind": "x", "c": [1, 2], "d": 3}}
    assert changes(there, there) == []
    assert changes(there, {**there, "a": 2}) == ["a 2 instead of 1"]
    assert changes(there, {"a": 1, "b": {"kind": "x", "c": [1, 4], "d": 3}}) == [
        "b.c [1, 4] instead of [1, 2]"
    ]
    assert changes(there, {"a": 1, "b": {"kind": "y", "e": 5}}) == ["b: kind y, e 5"]
