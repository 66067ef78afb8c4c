"""Recipes that come with the package: every split of each can be drawn and, on coarse meshes, solved."""

import warnings

import numpy as np
import pytest

import data
import maxwell
from data import recipe as recipes

NAMES = sorted(file.stem for file in recipes.SHIPPED.glob("*.toml"))
COARSE = {"balls": {"cells": 4, "degree": 1}, "voxels": {"cells": 6, "degree": 1}}


@pytest.mark.parametrize("name", NAMES)
def test_every_split_draws_unknowns_of_its_own_problem(name):
    recipe = recipes.load(name)
    for split in recipe.splits:
        problem = maxwell.problem_from(recipe.problem_of(split))
        drawn = problem.prior.sample(np.random.default_rng(0), 4)
        assert drawn.shape == (4, len(problem.parameters))
        assert problem.prior.contains(drawn).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_out_of_the_distribution_lies_outside_and_on_a_mesh_of_its_own(name):
    recipe = recipes.load(name)
    outside = [split for split, about in recipe.splits.items() if about.problem is not None]
    assert len(outside) >= (0 if name in ("demo", "conductivity_many") else 1)
    assert "test_fine" not in outside
    for split in outside:
        assert split.startswith("test_")
        assert recipe.splits[split].mesh == recipe.splits["test"].mesh
        assert recipe.problem_of(split) != recipe.problem


@pytest.mark.parametrize("name", [n for n in NAMES if recipes.load(n).problem["kind"] == "conductivity"])
def test_every_split_can_be_solved(name, here, tmp_path):
    """The linear problems have one matrix a split, whatever is drawn: tests of the problems have those."""
    recipe = recipes.load(name)
    mesh = COARSE[recipe.problem["parametrisation"]["kind"]]
    splits = {
        split: about.model_copy(update={"samples": 1, "mesh": mesh, "inverse_crime": split != "train"})
        for split, about in recipe.splits.items()
    }
    few = recipe.model_copy(update={"splits": splits, "store": recipes.Store(shard=1)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a sample that failed, an undeclared inverse crime
        ds = data.generate(few, tmp_path / name, 1, executor=here)
    for split in recipe.splits:
        view = ds.split(split)
        assert len(view) == 1
        assert view.parameters.shape == (1, len(view.names))
        assert np.linalg.norm(view.observations) > 0


def test_the_demo_is_the_data_set_of_the_readme():
    assert recipes.load("demo").digest.startswith("daefa4d10fcfcabe")
