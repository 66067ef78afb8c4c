import json
import os
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
BY_ROW = [f"checksums/{array.name}" for array in schema.ARRAYS if array.by_row]


def read(folder, manifest, shard):
    """All arrays of a shard, by name."""
    file = folder.opened(manifest, shard)
    return {name: file.array(name) for name in NAMES}


def damaged(folder):
    """What reading everything says, or ``None``."""
    try:
        ds = data.open(folder.path)
        _ = ds.parameters, ds.observations, ds.seeds, ds.records
    except data.DataError as error:
        return str(error)
    return None


def seen(folder, manifest):
    """Whether a look at all bytes of the first shard finds it damaged."""
    try:
        return folder.opened(manifest, FIRST).damage() is not None
    except data.DataError:
        return True


def test_shards_cover_a_split_without_gap_or_overlap(manifest):
    shards = list(shards_of(manifest.recipe, "test"))
    assert [(s.file(), s.start, s.stop) for s in shards] == [("test-00000.h5", 0, 4), ("test-00001.h5", 4, 5)]


def test_any_hdf5_library_reads_in_a_shard_what_the_schema_says(copy, manifest):
    with h5py.File(copy.shards / FIRST.file()) as file:
        assert sorted(file) == sorted([*NAMES, "checksums"])
        assert sorted(file.attrs) == sorted(schema.ATTRIBUTES)
        for array in schema.ARRAYS:
            lengths = {"n": 4, **manifest.problem("train").lengths}
            assert schema.check(array, file[array.name][()], lengths) is None
            assert file[array.name].attrs["unit"] == array.unit
        provenance = json.loads(file.attrs["provenance"])
        assert json.loads(file.attrs["discretisation"])["element"]
    assert {"versions", "commit", "command", "host", "date", "kernels"} == set(provenance)


def test_what_is_read_by_place_is_what_hdf5_reads(copy, manifest):
    """The table of contents against the oracle: the library that wrote the file."""
    ours = copy.opened(manifest, FIRST)
    with h5py.File(copy.shards / FIRST.file()) as file:
        for name in [*NAMES, *BY_ROW]:
            np.testing.assert_array_equal(ours.array(name), file[name][()])
        order, places = np.array([2, 0, 3]), np.array([1, 2, 0])
        for name in ("parameters", "observations"):
            out = np.empty((3, *ours.shape(name)[1:]), ours.dtype(name))
            ours.rows(name, order, out, places)
            np.testing.assert_array_equal(out[places], file[name][()][order])


def test_what_is_written_is_read_back_and_written_as_the_same_bytes(copy, manifest):
    arrays = read(copy, manifest, FIRST)
    second = Shard("train", 1, 4, 8)
    copy.write_shard(manifest, second, arrays, {}, {})
    once = (copy.shards / second.file()).read_bytes()
    copy.write_shard(manifest, second, arrays, {}, {})
    assert (copy.shards / second.file()).read_bytes() == once
    for name, found in read(copy, manifest, second).items():
        np.testing.assert_array_equal(found, arrays[name])
    assert not list(copy.path.rglob("*.part"))


def test_a_long_provenance_widens_the_table_of_contents(copy, manifest):
    arrays = read(copy, manifest, FIRST)
    copy.write_shard(manifest, FIRST, arrays, {}, {"command": ["x" * 9000]})
    for name, found in read(copy, manifest, FIRST).items():
        np.testing.assert_array_equal(found, arrays[name])
    with h5py.File(copy.shards / FIRST.file()) as file:
        np.testing.assert_array_equal(file["observations"][()], arrays["observations"])


def test_arrays_of_the_wrong_shape_are_refused_before_they_reach_the_disk(copy, manifest):
    arrays = read(copy, manifest, FIRST)
    absent = Shard("train", 9, 36, 40)
    for name, values, problem in (
        ("observations", arrays["observations"][:, :1000], r"expected shape \(4, 1024\), found \(4, 1000\)"),
        ("parameters", np.full((4, 5), np.nan), "holds a number that is not finite"),
    ):
        with pytest.raises(ValueError, match=f"{name}: {problem}"):
            copy.write_shard(manifest, absent, arrays | {name: values}, {}, {})
    assert not list(copy.shards.glob("train-00009*"))


def test_no_flipped_byte_changes_a_number_silently_and_a_look_at_the_bytes_tells_each(
    dataset, copy, manifest
):
    file = copy.shards / FIRST.file()
    intact, truth = file.read_bytes(), dataset.split("train")
    for position in np.random.default_rng(0).integers(0, len(intact), 60):
        flipped = bytearray(intact)
        flipped[position] ^= 1 << int(position) % 8
        file.write_bytes(flipped)
        assert seen(copy, manifest)
        if message := damaged(copy):
            assert "train-00000.h5" in message
            assert "\n" not in message
        else:  # what HDF5 alone reads, or padding: the numbers are those that were written
            ds = data.open(copy.path).split("train")
            np.testing.assert_array_equal(ds.observations, truth.observations)
            np.testing.assert_array_equal(ds.take([2, 0]).observations, truth.observations[[2, 0]])
    file.write_bytes(intact)
    assert not seen(copy, manifest)


@pytest.mark.parametrize("keep", [0, 100, 0.5, -1])
def test_a_truncated_shard_is_noticed(copy, keep):
    file = copy.shards / FIRST.file()
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    assert "train-00000.h5: damaged" in damaged(copy)


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_byte_in_any_array_is_told_with_its_name(copy, manifest, name):
    file = copy.shards / FIRST.file()
    content = bytearray(file.read_bytes())
    content[copy.opened(manifest, FIRST).table["arrays"][name]["offset"]] ^= 4
    file.write_bytes(content)
    with pytest.raises(data.DataError, match=rf"train-00000.h5:/{name}: damaged \(the numbers are not those"):
        copy.opened(manifest, FIRST).array(name)


def test_a_shard_in_the_wrong_place_is_noticed(copy):
    shutil.copy(copy.shards / "train-00001.h5", copy.shards / FIRST.file())
    assert "train-00000.h5: damaged (attribute start should be 0, is 4)" in damaged(copy)


def test_a_missing_shard_is_noticed(copy):
    (copy.shards / FIRST.file()).unlink()
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
    leftover, foreign = copy.shards / ".train-00000.h5.4711.part", copy.shards / "notes.part"
    leftover.touch()
    foreign.touch()
    (copy.shards / FIRST.file()).unlink()
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


def test_a_pipe_in_place_of_the_manifest_is_told_and_not_waited_for(copy):
    (copy.path / "dataset.json").unlink()
    os.mkfifo(copy.path / "dataset.json")
    assert "is not a data set" in damaged(copy)
