"""Parts of a data set, made apart, and who may go on with whose folder."""

import shutil

import hypothesis
import pytest
from folders import contents
from hypothesis import strategies as st

import data
from data.plan import Plan


def test_parts_of_a_data_set_are_generated_apart_and_make_the_whole(recipe_file, dataset, here, tmp_path):
    out = tmp_path / "parts"
    first = data.generate(recipe_file, out, 1, part=data.Part(1, 2), executor=here)
    assert 0 < len(first) < 24
    before = contents(out)
    seen = []
    data.generate(recipe_file, out, 1, part=data.Part(1, 2), progress=seen.append, executor=here)
    assert not seen or seen[-1].done == len(first)
    data.generate(recipe_file, out, 1, part=data.Part.of("2/2"), executor=here)
    assert data.open(out).digest() == dataset.digest()
    assert before.items() <= contents(out).items()
    assert {file.name for file in out.iterdir()} == {"dataset.json", "shards", ".lock"}


def test_a_part_that_is_being_generated_and_another_division_are_refused(recipe_file, tmp_path):
    out = tmp_path / "parts"
    folder = data.store.Folder(out)
    with folder.writing(data.Part(1, 2)), folder.writing(data.Part(2, 2)):
        for part, sentence in (
            (data.Part(1, 2), "generating part 1/2 of this folder"),
            (data.Part(1, 3), "divide by 2"),
            (None, "another process is generating into this folder"),
        ):
            with pytest.raises(data.DataError, match=sentence):
                data.generate(recipe_file, out, 1, part=part)
    with folder.writing(), pytest.raises(data.DataError, match="another process is generating into this"):
        data.generate(recipe_file, out, 1, part=data.Part(1, 2))


def begin(folder, recipe):
    """As a generation that is killed before its first shard leaves the folder."""

    def killed(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        data.generate(recipe, folder.path, 1, progress=killed)


def test_parts_of_another_recipe_or_other_extras_are_refused_while_a_part_runs(recipe_file, tmp_path):
    folder = data.store.Folder(tmp_path / "beside")
    begin(folder, data.recipe.load(recipe_file))
    manifest = (folder.path / "dataset.json").read_bytes()
    with folder.writing(data.Part(1, 2)):
        for overrides, difference in (
            ({"seed": 8}, "seed is 7 there and 8 here"),
            ({"store.slices": 4}, "store.slices is 0 there and 4 here"),
        ):
            with pytest.raises(data.DataError, match=difference):
                data.generate(recipe_file, folder.path, 1, part=data.Part(2, 2), overrides=overrides)
    assert (folder.path / "dataset.json").read_bytes() == manifest


def test_what_is_asked_for_counts_until_there_is_a_shard(recipe_file, here, tmp_path):
    folder = data.store.Folder(tmp_path / "changed")
    begin(folder, data.recipe.load(recipe_file))
    asked = {"store.slices": 4, "store.shard": 5}
    ds = data.generate(recipe_file, folder.path, 1, overrides=asked, executor=here)
    assert ds.extras == ("slices",)
    assert ds.extra("slices").shape == (24, 3, 4, 4, 1)
    assert (folder.shards / "test-00000.h5").exists()
    assert not (folder.shards / "test-00001.h5").exists()


def test_shards_without_their_manifest_are_kept_if_they_fit_and_refused_if_not(
    recipe_file, dataset, tmp_path
):
    out = shutil.copytree(dataset.path, tmp_path / "bare")
    manifest = out / "dataset.json"
    manifest.unlink()
    for overrides in ({"store.shard": 6}, {"seed": 8}, {"splits.train.samples": 13}):
        with pytest.raises(
            data.DataError, match=r"and they are not of this recipe \(.*; give another folder"
        ):
            data.generate(recipe_file, out, 1, overrides=overrides)
        assert not manifest.exists()
    assert data.generate(recipe_file, out, 1).digest() == dataset.digest()


def test_a_link_to_nowhere_is_no_shard(recipe_file, dataset, here, tmp_path):
    out = shutil.copytree(dataset.path, tmp_path / "linked")
    shard = out / "shards" / "train-00001.h5"
    shard.unlink()
    shard.symlink_to(tmp_path / "nowhere")
    with pytest.raises(data.DataError, match="1 of 7 shards are missing"):
        data.open(out)
    assert data.generate(recipe_file, out, 1, executor=here).digest() == dataset.digest()


@hypothesis.given(
    samples=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    shard=st.integers(1, 12),
    parts=st.integers(1, 5),
    done=st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 40)), st.integers(0, 2), max_size=20),
    retry=st.booleans(),
)
@hypothesis.settings(max_examples=100, deadline=None)
def test_what_a_plan_counts_is_what_it_yields_and_parts_make_the_whole(samples, shard, parts, done, retry):
    """The counts are arithmetic; the shards one by one are their oracle."""
    splits = {f"s{k}": data.recipe.Split(samples=count) for k, count in enumerate(samples)}
    recipe = data.Recipe(problem={}, store=data.recipe.Store(shard=shard), splits=splits)
    there = {(f"s{split}", number): failed for (split, number), failed in done.items()}
    whole = Plan(recipe, there, retry=retry)
    every = [*Plan(recipe, {})]
    assert sum(map(len, every)) == whole.total == sum(samples)
    kept = [
        s for s in every if there.get((s.split, s.number)) is None or (retry and there[s.split, s.number])
    ]
    assert [*whole] == kept
    assert whole.todo == sum(map(len, kept))
    assert whole.splits == [name for name in splits if any(s.split == name for s in kept)]
    pieces = [Plan(recipe, there, data.Part(k, parts), retry) for k in range(1, parts + 1)]
    assert sorted(s for piece in pieces for s in piece) == sorted(kept)
    for piece in pieces:
        assert piece.todo == sum(map(len, piece))
        assert piece.total == sum(map(len, Plan(recipe, {}, piece.part)))
        places = [every.index(s) % parts for s in piece]
        assert places == [piece.part.number - 1] * len(places)


@pytest.mark.parametrize("text", ["", "0/2", "3/2", "1/0", "a/b", "1", "1/2/3", "-1/2"])
def test_a_part_that_is_none_is_told_in_one_sentence(text):
    with pytest.raises(data.DataError, match="part: expected i/N with whole numbers"):
        data.Part.of(text)
