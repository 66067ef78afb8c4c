"""No file name, no selection of rows and no recipe gives anything but numbers or a sentence."""

import contextlib
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import data
from data.recipe import load, parse
from data.store import Folder, Shard, parse_name

many = settings(max_examples=100, deadline=None)
some = settings(max_examples=25, deadline=None)  # of what looks at whole folders

SPLITS = st.sampled_from(["train", "valid", "test", "test_inverse_crime", "other", "Train", "träin", ""])
NUMBERS = st.integers(0, 4) | st.sampled_from([10**5, 10**9, 10**30])
SHARD_NAMES = st.builds(
    lambda split, number, width, failed: f"{split}-{number:0{width}d}{failed}.h5",
    SPLITS,
    NUMBERS,
    st.sampled_from([5, 5, 5, 4, 9, 10]),
    st.sampled_from(["", "", ".1-failed", ".4-failed", ".5-failed", f".{10**50}-failed", ".0-failed", "."]),
)
FOREIGN = st.text(min_size=1, max_size=20).filter(
    lambda name: (
        not set(name) & {"/", "\0"} and name not in (".", "..") and len(name.encode(errors="replace")) < 200
    )
)
NAMES = SHARD_NAMES | FOREIGN | st.just("train-٠٠٠٠٠.h5") | st.just(".train-00000.h5.1.part")
CONTENTS = st.sampled_from(["shard", "shard", "folder", "nothing", "text", "link", "pipe"])


def _put(place, content, shard):
    """A file, or what else may bear its name; names that the system refuses are left out."""
    with contextlib.suppress(OSError, UnicodeError):
        if content == "folder":
            place.mkdir()
        elif content == "pipe":
            os.mkfifo(place)
        elif content == "link":
            place.symlink_to(place.parent / "nowhere")
        else:
            place.write_bytes({"shard": shard, "nothing": b"", "text": b"to do\n"}[content])


def _or_sentence(call):
    """What a call gives; ``None`` where it refuses, which it must do in one line."""
    try:
        return call()
    except data.DataError as error:
        told = str(error)
    assert told.isprintable()
    return None


@pytest.mark.slow
def test_any_names_in_a_folder_give_a_data_set_or_a_sentence_and_never_another_sample(dataset):
    truth = {name: dataset.split(name).observations for name in dataset.splits}
    shard = (dataset.path / "shards" / "train-00000.h5").read_bytes()

    @given(st.dictionaries(NAMES, CONTENTS, max_size=8), st.integers(0, 2**7 - 1))
    @example({"train-00000.5-failed.h5": "shard", "train-00001.1-failed.h5": "folder"}, 0)
    @example({"train-00000.h5": "pipe", "train-00002.1-failed.h5": "pipe"}, 2**7 - 2)
    @example({"train-00000.h5": "link", "valid-00000.2-failed.h5": "link"}, 0)
    @some
    def law(names, kept):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            (folder / "shards").mkdir()
            shutil.copy(dataset.path / "dataset.json", folder)
            for number, file in enumerate(sorted((dataset.path / "shards").iterdir())):
                if kept >> number & 1:
                    (folder / "shards" / file.name).symlink_to(file)
            for name, content in names.items():
                _put(folder / "shards" / name, content, shard)
            ds = _or_sentence(lambda: data.open(folder, partial=True))
            _or_sentence(lambda: data.open(folder))
            assert 0 <= len(ds) <= 24
            for name in ds.splits:
                view = ds.split(name)
                indices = _or_sentence(lambda view=view: view.indices)
                found = _or_sentence(lambda view=view: view.observations)
                _or_sentence(lambda view=view: view.failures)
                if indices is not None and found is not None:
                    np.testing.assert_array_equal(found, truth[name][indices])
            for finding in data.validate(folder):
                assert "\n" not in str(finding)
                assert str(finding).isprintable()

    law()


def test_another_layout_told_by_the_manifest_gives_true_samples_or_a_sentence(dataset, tmp_path):
    """Rewritten with checksums that hold, over shards that are as they were."""
    manifest, truth = dataset.manifest, {name: dataset.split(name).observations for name in dataset.splits}
    (tmp_path / "shards").symlink_to(dataset.path / "shards")
    counts = st.none() | st.fixed_dictionaries({name: st.integers(1, 13) for name in dataset.splits})

    @given(st.integers(1, 13), counts, st.lists(st.integers(0, 100), min_size=1, max_size=9))
    @example(2, None, [0])
    @example(5, None, [4])
    @example(4, None, [23])
    @some
    def law(size, samples, rows):
        recipe = manifest.recipe.model_dump()
        recipe["store"]["shard"] = size
        for name in samples or ():
            most = samples[recipe["splits"][name]["same_parameters_as"] or name]
            recipe["splits"][name]["samples"] = min(samples[name], most)
        recipe = parse(recipe)
        told = manifest.model_copy(update={"recipe": recipe, "digest": recipe.digest})
        Folder(tmp_path).write_manifest(told)
        ds = data.open(tmp_path, partial=True)
        for view in map(ds.split, ds.splits):
            (name,) = view.splits
            some_rows = view.take([row % len(view) for row in rows]) if len(view) else view
            for part in (view, some_rows):
                found = _or_sentence(lambda part=part: part.observations)
                seeds = _or_sentence(lambda part=part: part.seeds)
                if found is not None:
                    np.testing.assert_array_equal(found, truth[name][part.indices])
                    assert len(found) == len(part)
                if seeds is not None:
                    np.testing.assert_array_equal(seeds, dataset.split(name).seeds[part.indices])
        _or_sentence(lambda: ds.digest())
        same = size == 4 and recipe.digest == manifest.digest
        assert bool([f for f in data.validate(tmp_path) if f.severity == "damage"]) != same

    law()


def test_a_file_in_place_of_the_folder_of_shards_gives_a_sentence(dataset, tmp_path):
    shutil.copy(dataset.path / "dataset.json", tmp_path)
    (tmp_path / "shards").touch()
    with pytest.raises(data.DataError, match="7 of 7 shards are missing"):
        data.open(tmp_path)
    assert len(data.open(tmp_path, partial=True)) == 0


def test_rows_in_any_order_and_number_are_those_of_the_whole(dataset):
    @given(st.lists(st.integers(-24, 23), max_size=40), st.data())
    @many
    def law(rows, more):
        view, wanted = data.open(dataset.path).take(rows), np.array(rows, dtype=int)
        for name in ("parameters", "observations", "seeds", "indices"):
            np.testing.assert_array_equal(getattr(view, name), getattr(dataset, name)[wanted])
        if rows:
            again = more.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9))
            np.testing.assert_array_equal(view.take(again).observations, dataset.observations[wanted[again]])

    law()


@given(
    st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,30}", fullmatch=True),
    st.integers(0, 10**9 - 1),
    st.integers(0, 10**6),
)
@many
def test_a_shard_is_found_by_the_name_that_it_was_given(split, number, failed):
    assert parse_name(Shard(split, number, 0, 0).file(failed)) == (split, number, failed)


@given(NAMES | st.text())
@many
def test_a_name_that_is_read_is_the_one_that_is_written(name):
    if parsed := parse_name(name):
        split, number, failed = parsed
        assert Shard(split, number, 0, 0).file(failed) == name


# -- recipes --------------------------------------------------------------------------------------------

WRONG = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4)
    | st.sampled_from(
        [10**400, -(10**400), 1e308, -0.0, "conductivity", "balls", "train", "hexahedron", "\n"]
    )
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=4) | st.sampled_from(["kind", "x", "count", "mesh"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)
PROBLEMS = st.fixed_dictionaries(
    {"kind": st.sampled_from(["conductivity", "cauchy", "magnetisation"])},
    optional=dict.fromkeys(
        ("frequency", "background", "parametrisation", "prior", "survey", "depth", "modes", "sensors"), WRONG
    ),
)
MESHES = st.dictionaries(
    st.sampled_from(["cells", "degree", "grading", "cell", "comm"]), st.integers(1, 9) | WRONG, max_size=3
)
SPLIT = st.fixed_dictionaries(
    {"samples": st.integers(1, 9) | WRONG},
    optional={
        "mesh": MESHES | WRONG,
        "same_parameters_as": st.sampled_from(["train", "test"]) | WRONG,
        "inverse_crime": st.booleans() | WRONG,
        "problem": PROBLEMS | WRONG,
    },
)
RECIPES = st.fixed_dictionaries(
    {"problem": PROBLEMS | WRONG},
    optional={
        "seed": st.integers(0, 2**64) | WRONG,
        "mesh": MESHES | WRONG,
        "store": st.dictionaries(st.sampled_from(["shard", "slices", "fields", "jacobian"]), WRONG) | WRONG,
        "splits": st.dictionaries(
            st.sampled_from(["train", "test", "valid"]) | st.text(max_size=4), SPLIT | WRONG, max_size=3
        )
        | WRONG,
    },
)


@given(RECIPES)
@many
def test_plausible_keys_with_any_values_give_a_recipe_or_a_sentence(mapping):
    recipe = _or_sentence(lambda: parse(mapping))
    if recipe is not None:
        assert parse(recipe.model_dump()).digest == recipe.digest


def test_any_file_gives_a_recipe_or_a_sentence(recipe_file, tmp_path):
    text, file = recipe_file.read_bytes(), tmp_path / "any.toml"
    edits = st.tuples(st.integers(0, len(text)), st.integers(0, 20), st.binary(max_size=6))
    changed = edits.map(lambda edit: text[: edit[0]] + edit[2] + text[edit[0] + edit[1] :])

    @given(st.binary(max_size=60) | changed)
    @example(b"seed = " + b"[" * 5000)
    @example(b"seed = " + b"9" * 5000)
    @example(b"seed = 0x" + b"f" * 5000)
    @example(b"[" + b"a." * 5000 + b"a]")
    @example(b"problem = { kind = 'conductivity', frequency = 1e999 }")
    @many
    def law(content):
        file.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            _or_sentence(lambda: load(file))

    law()


def test_any_overrides_give_a_recipe_or_a_sentence(recipe_file):
    paths = st.sampled_from(
        ["seed", "seed.a", "mesh.cells", "splits.train.samples", "problem.prior.x", "", "."]
    )

    @given(st.dictionaries(paths | st.text(max_size=12), WRONG, max_size=3))
    @many
    def law(overrides):
        _or_sentence(lambda: load(recipe_file, overrides))

    law()
