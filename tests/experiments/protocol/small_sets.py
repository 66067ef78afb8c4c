"""Data sets as small as they can be and still be real: fields on a face, blocks, voxels, a ball."""

import data

SPLITS = {"train": 100, "valid": 24, "test": 24, "test_inverse_crime": 24}

RECIPES = {
    "cauchy_small": {"problem.modes": 8, "problem.depth": 0.3, "mesh": (4, 5)},
    "magnetisation_small": {"mesh": (5, 6)},
    "voxels_small": {"mesh": (5, 6)},
    "demo": {"mesh": (3, 4)},
}
"""Shipped recipes, what changes, and the cells of training and of all other splits."""


def overrides(name):
    """Config paths and values that make a shipped recipe small."""
    changes = dict(RECIPES[name])
    coarse, fine = changes.pop("mesh")
    degree = 1 if name in ("voxels_small", "demo") else 2
    mesh = {"cells": fine, "degree": degree}
    splits = {
        split: {"samples": count} | ({"mesh": mesh} if split in ("valid", "test") else {})
        for split, count in SPLITS.items()
    }
    splits["test_inverse_crime"] |= {"same_parameters_as": "test", "inverse_crime": True}
    return changes | {"mesh": {"cells": coarse, "degree": degree}, "splits": splits, "store.shard": 100}


def generate(name, folder, executor):
    """The data set of a shipped recipe, made small."""
    return data.generate(name, folder, 1, overrides=overrides(name), executor=executor)
