"""Samples solved again, and what is read of a shard without a solved one."""

import shutil

import numpy as np
import pytest
from forging import damage, fail, forged

import data
from data.store import Folder

STORE = {"shard": 20, "jacobian": True, "slices": 3, "fields": 2}
ROOM = {"x": [0.45, 0.55], "y": [0.45, 0.55], "z": [0.6, 0.7], "radius": [0.08, 0.09]}  # too little for two
CROWDED = {
    "parametrisation": {"kind": "balls", "count": 2},
    "prior": {"kind": "ball_prior", "count": 2, **ROOM},
}


@pytest.fixture(scope="module")
def extras(here, tmp_path_factory):
    """A data set with all extras, whose split ``crowded`` has failures alone. Read only."""
    splits = {
        "train": {"samples": 33},
        "valid": {"samples": 3},
        "crowded": {"samples": 2, "problem": CROWDED, "inverse_crime": True},
    }
    mapping = {"problem": {"kind": "conductivity"}, "mesh": {"cells": 3, "degree": 1}, "splits": splits}
    recipe = data.recipe.parse({**mapping, "store": STORE})
    with pytest.warns(data.FailedSamplesWarning, match="2 samples could not be solved"):
        return data.generate(recipe, tmp_path_factory.mktemp("extras") / "fast", 1, executor=here)


@pytest.mark.slow
def test_a_shard_of_failures_alone_is_sound_and_its_neighbours_are_read(extras):
    (finding,) = data.validate(extras.path)
    assert (finding.severity, finding.file) == ("note", "shards/crowded-00000.2-failed.h5")
    assert (len(extras), extras.failed, len(extras.split("crowded"))) == (36, 2, 0)
    assert "found no place without overlap" in extras.split("crowded").failures[1].reason
    shapes = {"jacobian": (1024, 5), "slices": (3, 3, 3, 1), "fields": (32, 2, 2, 2, 3)}
    for name, shape in shapes.items():
        every, rows = extras.extra(name), np.array([35, 0, 20])
        assert every.shape == (36, *shape)
        np.testing.assert_array_equal(extras.take(rows).extra(name), every[rows])
        assert len(extras.split("crowded").extra(name)) == 0
    assert extras.split("crowded").parameters.shape == (0, 10)


@pytest.mark.slow
def test_extras_of_another_size_than_the_recipe_asks_for_are_damage(extras, tmp_path):
    folder = Folder(shutil.copytree(extras.path, tmp_path / "copy"))

    def cut(arrays):
        arrays["slices"] = arrays["slices"][:, :, :1, :1].copy()
        arrays["fields"] = arrays["fields"][:, :, :1, :1, :1].copy()

    forged(folder, "train", 0, cut)
    slices, fields = damage(folder)
    assert "slices: expected shape (20, 3, 3, 3, 1), found (20, 3, 1, 1, 1)" in slices
    assert "fields: expected shape (20, 32, 2, 2, 2, 3), found (20, 32, 1, 1, 1, 3)" in fields


@pytest.mark.slow
def test_samples_solved_again_from_their_seeds_tell_what_no_checksum_knows(extras, tmp_path):
    """All of them, extras too, so that those that were changed are among them; the others had the fast path."""
    assert set(extras.records["method"]) == {"low-rank update"}
    folder = Folder(shutil.copytree(extras.path, tmp_path / "copy"))

    def shift(arrays):
        arrays["observations"][3] *= 1 + 1e-6
        arrays["jacobian"][4, :, 0] *= -1
        arrays["fields"][5] += 1

    forged(folder, "train", 1, shift)
    forged(folder, "valid", 0, fail)
    assert damage(folder) == []
    seen = []
    findings = data.validate(folder.path, deep=100, progress=seen.append)
    notes = ["note", "note"]  # of failures in two splits
    assert [f.severity for f in findings] == [*notes, "damage", "damage", "damage", "warning", "note"]
    _, _, first, second, third, solved, largest = map(str, findings)
    wrong = "shards/train-00001.h5:/{0}: expected {0} of sample {1} within {2} of those solved again, found a"
    assert first.startswith(wrong.format("observations", 23, "1.0e-08") + " difference of 1.0e-06")
    assert second.startswith(wrong.format("jacobian", 24, "1.0e-07"))
    assert third.startswith(wrong.format("fields", 25, "1.0e-06"))
    assert solved.startswith("shards/valid-00000.1-failed.h5:/status: expected failure of sample 2 again")
    assert "at most 1.0e-06 of their norm in 35 samples, the most in sample 23 of split train" in largest
    assert [event.done for event in seen if event.stage == "solve"][-1] == 38
