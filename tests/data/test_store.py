import json
import shutil

import h5py
import numpy as np
import pytest

import data
from data import schema
from data.store import Folder, Shard, shards_of


@pytest.fixture
def copy(dataset, tmp_path):
    return Folder(shutil.copytree(dataset.path, tmp_path / "copy"))


@pytest.fixture
def manifest(copy):
    return copy.read_manifest()


FIRST = Shard("train", 0, 0, 4)
NAMES = [array.name for array in schema.ARRAYS]


def damaged(folder):
    """What reading everything says, or ``None``."""
    try:
        ds = data.open(folder.path)
        _ = ds.parameters, ds.observations, ds.seeds, ds.records
    except data.DataError as error:
        return str(error)
    return None


def test_shards_cover_a_split_without_gap_or_overlap(manifest):
    shards = shards_of(manifest.recipe, "test")
    assert [(s.file, s.start, s.stop) for s in shards] == [("test-00000.h5", 0, 4), ("test-00001.h5", 4, 5)]


def test_a_shard_holds_exactly_what_the_schema_says(copy, manifest):
    with h5py.File(copy.shards / FIRST.file) as file:
        assert sorted(file) == sorted(NAMES)
        assert sorted(file.attrs) == sorted([*schema.ATTRIBUTES, "sha256"])
        for array in schema.ARRAYS:
            assert schema.check(array, file[array.name][()], {"n": 4, **manifest.lengths}) is None
            assert file[array.name].attrs["unit"] == array.unit
        provenance = json.loads(file.attrs["provenance"])
    assert {"versions", "commit", "command", "host", "date"} == set(provenance)


def test_what_is_written_is_read_back_and_written_as_the_same_bytes(copy, manifest):
    arrays = dict(zip(NAMES, copy.read(manifest, FIRST, *NAMES), strict=True))
    second = Shard("train", 1, 4, 8)
    copy.write_shard(manifest, second, arrays, {})
    once = (copy.shards / second.file).read_bytes()
    copy.write_shard(manifest, second, arrays, {})
    assert (copy.shards / second.file).read_bytes() == once
    for name, found in zip(NAMES, copy.read(manifest, second, *NAMES), strict=True):
        np.testing.assert_array_equal(found, arrays[name])
    assert not list(copy.path.rglob("*.part"))


def test_arrays_of_the_wrong_shape_are_refused_before_they_reach_the_disk(copy, manifest):
    arrays = dict(zip(NAMES, copy.read(manifest, FIRST, *NAMES), strict=True))
    absent = Shard("train", 9, 36, 40)
    with pytest.raises(ValueError, match=r"observations: expected shape \(4, 1024\), found \(4, 1000\)"):
        copy.write_shard(manifest, absent, arrays | {"observations": arrays["observations"][:, :1000]}, {})
    assert not copy.has(absent)


def test_no_flipped_byte_changes_a_number_silently(dataset, copy):
    file = copy.shards / FIRST.file
    intact, truth = file.read_bytes(), dataset.split("train")
    noticed = 0
    for position in np.random.default_rng(0).integers(0, len(intact), 60):
        flipped = bytearray(intact)
        flipped[position] ^= 0xFF
        file.write_bytes(flipped)
        if message := damaged(copy):
            noticed += 1
            assert "train-00000.h5" in message
            assert "\n" not in message
        else:  # padding, or text that no one reads: the numbers are those that were written
            ds = data.open(copy.path).split("train")
            np.testing.assert_array_equal(ds.observations, truth.observations)
            np.testing.assert_array_equal(ds.parameters, truth.parameters)
    assert noticed > 45


@pytest.mark.parametrize("keep", [0, 100, 0.5, -1])
def test_a_truncated_shard_is_noticed(copy, keep):
    file = copy.shards / FIRST.file
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    assert "train-00000.h5: damaged" in damaged(copy)


def test_a_number_that_is_not_finite_is_named_with_its_sample(copy, manifest):
    arrays = dict(zip(NAMES, copy.read(manifest, FIRST, *NAMES), strict=True))
    arrays["observations"] = arrays["observations"].copy()
    arrays["observations"][2, 7] = complex(0, np.nan)
    copy.write_shard(manifest, FIRST, arrays, {})
    assert "train-00000.h5:/observations: damaged (sample 2 of train holds a number that is not" in damaged(
        copy
    )


def test_a_shard_in_the_wrong_place_is_noticed(copy):
    shutil.copy(copy.shards / "train-00001.h5", copy.shards / FIRST.file)
    assert "train-00000.h5: damaged (attribute start should be 0, is 4)" in damaged(copy)


def test_a_missing_array_and_a_missing_shard_are_noticed(copy):
    with h5py.File(copy.shards / FIRST.file, "r+") as file:
        del file["seed"]
    assert "train-00000.h5:/seed: damaged" in damaged(copy)
    (copy.shards / FIRST.file).unlink()
    assert "is incomplete, 1 of 7 shards are missing" in damaged(copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-30],
        lambda text: text.replace('"seed": 7', '"seed": 8'),
        lambda text: text.replace('"name": "x1"', '"name": "y1"'),
        lambda text: "[]",
        lambda text: "\x00",
    ],
)
def test_a_changed_manifest_is_noticed(copy, change):
    file = copy.path / "dataset.json"
    text = file.read_text()
    assert change(text) != text
    file.write_text(change(text))
    assert "dataset.json: is damaged or of another version" in damaged(copy)


def test_only_one_process_writes_and_leftovers_of_killed_ones_are_removed(copy, recipe_file):
    leftover, foreign = copy.shards / ".train-00000.h5.part", copy.shards / "notes.part"
    leftover.touch()
    foreign.touch()
    (copy.shards / FIRST.file).unlink()
    with copy.writing():
        assert not leftover.exists()
        assert foreign.exists()
        with pytest.raises(data.DataError, match="another process is generating into this folder"):
            data.generate(recipe_file, copy.path, workers=1)
    with copy.writing():
        pass


def test_a_folder_that_is_no_data_set_is_told_in_one_sentence(tmp_path):
    with pytest.raises(data.DataError, match="no such data set"):
        data.open(tmp_path / "absent")
    with pytest.raises(data.DataError, match=r"is not a data set \(it holds no dataset.json\)"):
        data.open(tmp_path)
