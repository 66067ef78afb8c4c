"""What `validate` must notice: any byte, any wrong number under right checksums, any file amiss."""

import functools
import json
import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from forging import FIRST, damage, fail, forged, put

import data
from data import schema
from data.store import Folder
from experiments import cli


@pytest.fixture
def copy(dataset, tmp_path):
    return Folder(shutil.copytree(dataset.path, tmp_path / "copy"))


def others(folder, severity):
    return [str(f) for f in data.validate(folder.path) if f.severity == severity]


# -- whole data sets ------------------------------------------------------------------------------------


def test_a_sound_data_set_has_no_finding_and_its_totals_are_told(dataset):
    seen = []
    assert data.validate(dataset.path, progress=seen.append) == []
    last = seen[-1]
    assert (last.stage, last.done, last.total, last.files) == ("read", 8, 8, 8)
    assert (last.samples, last.failed) == (24, 0)
    files = [dataset.path / "dataset.json", *(dataset.path / "shards").iterdir()]
    assert last.bytes == sum(file.stat().st_size for file in files)


def test_no_flipped_bit_escapes_and_none_changes_a_number_that_is_read(dataset, copy):
    """35 of them, weighted by size and every so often in the manifest; a long run of the same found none either."""
    files = [copy.path / "dataset.json", *sorted(copy.shards.iterdir())]
    sizes = np.array([file.stat().st_size for file in files])
    rng = np.random.default_rng(0)
    pairs = [(files[i], rng.integers(sizes[i])) for i in rng.choice(len(files), 20, p=sizes / sizes.sum())]
    pairs += [(files[0], place) for place in range(11, sizes[0], sizes[0] // 8)]
    pairs += [(files[1], place) for place in range(3, 4096, 800)]
    rows = np.array([21, 3, 0, 3])
    whole, some = dataset.observations, dataset.observations[rows]
    refused = 0
    for file, place in pairs:
        content = file.read_bytes()
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(changed)
        assert damage(copy, str(file.relative_to(copy.path))), (file.name, place)
        try:
            found = data.open(copy.path)
            np.testing.assert_array_equal(found.take(rows).observations, some)
            np.testing.assert_array_equal(found.observations, whole)
        except data.DataError:
            refused += 1
        file.write_bytes(content)
    assert 12 < refused < len(pairs)
    assert damage(copy) == []


def test_damage_in_every_file_is_told_of_each(copy):
    files = [copy.path / "dataset.json", *copy.shards.iterdir()]
    for file in files:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    told = {f.file for f in data.validate(copy.path) if f.severity == "damage"}
    assert told == {str(file.relative_to(copy.path)) for file in files}


# -- files ----------------------------------------------------------------------------------------------


def _folder(file):
    file.unlink()
    file.mkdir()


def _pipe(file):
    file.unlink()
    os.mkfifo(file)


def _swap(file):
    other = file.with_name("train-00001.h5")
    kept = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(kept)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "it has 82939 bytes and was written with"),
        (lambda file: file.write_bytes(file.read_bytes()[:5000]), "it has 5000 bytes"),
        (lambda file: file.write_bytes(file.read_bytes()[:100]), "the file ends too early"),
        (lambda file: file.write_bytes(file.read_bytes() + b"\0"), "it has 82941 bytes"),
        (lambda file: file.write_bytes(b""), "does not begin with"),
        (lambda file: file.write_text("to do: generate\n"), "does not begin with"),
        (lambda file: file.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(9000)), "does not begin with"),
        (_folder, "Is a directory"),
        (_pipe, "it is a pipe or a device, not a file"),
        (_swap, "expected 0, found 4"),
        (lambda file: shutil.copy(file.with_name("test-00000.h5"), file), "expected train, found test"),
        (lambda file: file.unlink(), "expected a shard of a complete data set, found nothing"),
        (lambda file: file.rename(file.with_name("train-00000.1-failed.h5")), "1 failed, as its name says"),
        (lambda file: file.rename(file.with_name("train-00000.99-failed.h5")), "99 failed, as its name"),
    ],
)
def test_a_file_that_is_not_the_shard_is_damage_and_the_others_are_looked_at(copy, change, sentence):
    change(copy.path / FIRST)
    seen = []
    findings = data.validate(copy.path, progress=seen.append)
    (first, *_) = [f for f in findings if f.file.startswith("shards/train-00000") and f.severity == "damage"]
    assert sentence in str(first)
    assert "\n" not in str(first)
    assert seen[-1].samples >= 16  # of the other shards


def test_neighbours_that_are_missing_are_told_as_one(copy):
    for name in ("train-00000.h5", "train-00001.h5", "test-00001.h5"):
        (copy.shards / name).unlink()
    several, one = damage(copy)
    assert several.startswith(f"{FIRST}: expected a shard")
    assert "nor any of the next up to train-00001.h5; continue the generation" in several
    assert one.startswith("shards/test-00001.h5: expected a shard of a complete data set, found nothing;")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: text.replace('"version": 3', '"version": 2'), "version 2, and this is version 3"),
        (lambda text: text.replace('"seed": 7', '"seed": 8'), "its content is not what was written"),
        (lambda text: text + "\n", "its text is not what was written"),
        (lambda text: "", "damaged"),
        (lambda text: "[" * 100_000, "damaged"),
    ],
)
def test_a_changed_manifest_is_damage_and_the_shards_are_looked_at(copy, change, sentence):
    file = copy.path / "dataset.json"
    file.write_text(change(file.read_text()))
    seen = []
    (finding,) = data.validate(copy.path, progress=seen.append)
    assert str(finding).startswith("dataset.json: expected the manifest as it was written, found ")
    assert sentence in str(finding)
    assert seen[-1].samples == 24
    with (copy.path / FIRST).open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"?")
    assert [f.file for f in data.validate(copy.path)] == ["dataset.json", FIRST]


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_data_set_is_one_finding(copy, version):
    """Whose shards are plain HDF5; those of this version that stand among them are looked at."""
    file = copy.path / "dataset.json"
    file.write_text(file.read_text().replace('"version": 3', f'"version": {version}'))
    for shard in copy.shards.iterdir():
        shard.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(9000))
    (finding,) = data.validate(copy.path)
    assert f"version {version}, and this is version 3" in str(finding)
    with (copy.path / FIRST).open("wb") as stream:
        stream.write(b"maxwell-inverse shard 3 and more")
    assert [f.file for f in data.validate(copy.path)] == ["dataset.json", FIRST]


def test_a_manifest_that_is_missing_is_damage_and_a_folder_without_shards_no_data_set(copy, tmp_path):
    (copy.path / "dataset.json").unlink()
    assert damage(copy) == [
        "dataset.json: expected the manifest, found nothing; restore it from a copy, or generate again into "
        "another folder."
    ]
    shutil.rmtree(copy.shards)
    for folder in (copy.path, tmp_path / "absent"):
        with pytest.raises(data.DataError, match=r"(is not a|no such) data set"):
            data.validate(folder)


def test_without_the_folder_of_shards_the_manifest_is_looked_at(copy):
    shutil.rmtree(copy.shards)
    assert damage(copy, "shards") == [
        "shards: expected a folder, found none; generate again with the same recipe."
    ]
    copy.shards.touch()
    assert damage(copy, "shards")


def test_what_does_not_belong_is_a_warning_and_what_a_generation_left_a_note(copy):
    shard = (copy.path / FIRST).read_bytes()
    strangers = ["notes.txt", "shards/train.h5", "shards/.nfs01", "shards/Träin-00000.h5", "shards/a\nb"]
    beyond = ["shards/train-00003.h5", "shards/other-00000.h5", "shards/train-000000000.h5"]
    for name in (*strangers, *beyond):
        (copy.path / name).write_bytes(shard)
    (copy.shards / "train-00000.2-failed.h5").write_bytes(b"")  # stands beside its better
    (copy.path / ".lock").write_text("taken")
    (copy.path / ".lock-1-of-2").touch()
    (copy.shards / ".train-00000.h5.17.part").touch()
    (copy.path / "blocks").mkdir()
    assert damage(copy) == []
    warned = others(copy, "warning")
    assert all("\n" not in sentence for sentence in warned)
    assert len(warned) == len(strangers) + len(beyond) + 2
    assert sum("one beyond them" in sentence for sentence in warned) == 2
    (twice,) = [sentence for sentence in warned if sentence.startswith("shards/train-00000.2-failed.h5")]
    assert "expected each shard once, found train-00000.h5 beside it" in twice
    assert [sentence.partition(":")[0] for sentence in others(copy, "note")] == [
        "blocks",
        "shards/.train-00000.h5.17.part",
    ]


def test_an_undeclared_inverse_crime_is_a_warning(recipe_file, copy):
    undeclared = {"splits.test_inverse_crime.inverse_crime": False}
    with pytest.warns(data.InverseCrimeWarning):
        data.generate(recipe_file, copy.path, overrides=undeclared)  # a label: nothing is computed anew
    (finding,) = data.validate(copy.path)
    assert (finding.severity, finding.file) == ("warning", "dataset.json")
    assert finding.inside == "recipe.splits.test_inverse_crime"


# -- numbers under checksums that hold ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "inside", "sentence"),
    [
        (put("seed", 1, 5), "seed", "seeds by the recipe's seed and split train, found others in 1 of 4"),
        (put("parameter_seed", 3, 5), "parameter_seed", "the first 3"),
        (put("parameters", (2, 0), 0.5), "parameters", "drawn by the prior from parameter_seed"),
        (put("parameters", 2, np.nan), "parameters", "expected finite numbers"),
        (put("observations", (1, 7), np.inf), "observations", "finite numbers, found others in 1 of 4"),
        (
            put("residual", 1, 2e-9),
            "residual",
            "at most 1e-09, .* found 2e-09 in 1 of 4 samples, the first 1",
        ),
        (put("residual", 1, np.nan), "residual", "found nan"),
        (put("error", 0, 1e-7), "error", "at most 1e-08"),
        (put("reciprocity", 0, 1e-3), "reciprocity", "at most 1e-06"),
        (put("seconds", 0, -1.0), "seconds", "not negative, found -1"),
        (put("dofs", slice(None), 99), "dofs", "as its mesh has"),
        (put("status", 1, 7), "status", "0 or 1"),
        (put("failure", 1, b"why"), "failure", "a reason where status is 1"),
        (put("method", 1, b"\xff"), "method", "expected UTF-8"),
        (put("method", 1, b""), "method", "the name of a method"),
        (functools.partial(fail, reason=b""), "failure", "a reason where status is 1"),
        (lambda a: (fail(a), put("observations", (2, 0), 1.0)(a)), "observations", "NaN where status is 1"),
    ],
)
def test_a_wrong_number_is_damage_although_every_checksum_holds(copy, change, inside, sentence):
    forged(copy, "train", 0, change)
    found = [str(f) for f in data.validate(copy.path) if f.severity == "damage" and f.inside == inside]
    assert any(re.search(sentence, text) for text in found), found


def test_parameters_that_only_rounding_distinguishes_from_their_draw_are_a_note(copy):
    """As another kind of processor may have drawn them."""

    def round_off(arrays):
        arrays["parameters"][1] = np.nextafter(arrays["parameters"][1], np.inf)

    forged(copy, "train", 1, round_off)
    (finding,) = data.validate(copy.path)
    assert (finding.severity, finding.file, finding.inside) == ("note", "shards/train-00001.h5", "parameters")


def test_failed_samples_are_a_note_with_the_reason_of_the_first(copy):
    forged(copy, "train", 1, fail)
    forged(copy, "train", 2, fail)
    seen = []
    (finding,) = data.validate(copy.path, progress=seen.append)
    assert (finding.severity, finding.file) == ("note", "shards/train-00001.1-failed.h5")
    assert "failures in split train, the first: no luck; generate with retry" in str(finding)
    assert (seen[-1].samples, seen[-1].failed) == (24, 2)


def test_samples_had_by_another_path_than_most_of_their_mesh_are_a_note_with_their_number(copy):
    forged(copy, "valid", 0, put("method", slice(None), b"low-rank update, dense"))
    forged(copy, "train", 1, put("method", slice(2), b"low-rank update"))
    (finding,) = data.validate(copy.path)
    assert (finding.severity, finding.file, finding.inside) == ("note", "shards/train-00001.h5", "method")
    expected = (
        "expected samples by refactorise, as 13 of 19 of this mesh, found 6 by low-rank update, the first"
    )
    assert expected in str(finding)


def test_another_problem_or_mesh_than_the_manifest_tells_is_damage(copy):
    text = json.dumps({"dofs": 7, "element": "N1curl", "degree": 2})
    forged(copy, "train", 0, put("dofs", slice(None), 7), discretisation=text)
    found = damage(copy)
    assert any("discretisation.degree: expected 1, found 2" in sentence for sentence in found)
    assert any("discretisation: expected that of shards/train-00000.h5, of the same" in f for f in found)
    forged(copy, "train", 0, lambda arrays: None, discretisation="7")
    assert "discretisation: expected a table in JSON" in damage(copy, FIRST)[0]
    forged(copy, "train", 0, lambda arrays: None, provenance="{}", comment="more")
    assert "expected the attributes format, version" in damage(copy, FIRST)[0]


def test_what_hdf5_tells_otherwise_than_the_schema_is_damage(copy):
    other = [replace(array, unit="km") if array.name == "seconds" else array for array in schema.ARRAYS]
    forged(copy, "train", 0, lambda arrays: None, described=other)
    assert [sentence.partition(";")[0] for sentence in damage(copy, FIRST)] == [
        f"{FIRST}:/seconds.unit: expected 's', found 'km'"
    ]


@pytest.mark.parametrize("shape", [(4, 5), (3, 1024)])
def test_arrays_of_the_wrong_shape_are_damage(copy, shape):
    def cut(arrays):
        arrays["observations"] = arrays["observations"][: shape[0], : shape[1]].copy()

    forged(copy, "train", 0, cut)
    assert f"expected shape (4, 1024), found {shape}" in damage(copy, FIRST)[0]


# -- the command ----------------------------------------------------------------------------------------


def test_the_command_tells_each_finding_on_a_line_and_ends_in_1_if_there_is_damage(copy, capsys):
    summary = r"copy: 8 files, {} samples \(0 failed\), [\d.]+ MB in \S+ s, \S+ MB/s; {}$"
    assert cli.main(["validate", str(copy.path)]) == 0
    assert re.search(summary.format(24, "nothing to mend"), capsys.readouterr().out.strip())
    (copy.path / ".lock").write_text("taken")
    assert cli.main(["validate", str(copy.path)]) == 0
    assert "1 warning" in capsys.readouterr().out
    (copy.path / FIRST).write_bytes(b"")
    assert cli.main(["validate", str(copy.path)]) == 1
    damaged, warned, last = capsys.readouterr().out.splitlines()
    assert damaged.startswith(f"damage: {FIRST}: expected a shard, found damaged")
    assert warned == "warning: .lock: expected an empty lock, found something else; delete it."
    assert re.search(summary.format(20, "1 damage, 1 warning"), last)
    assert cli.main(["validate", str(copy.path / "absent")]) == 2


@pytest.mark.parametrize("arguments", [{"deep": -1}, {"deep": 1.5}, {"seed": -1}, {"deep": True}])
def test_arguments_that_make_no_sense_are_refused(dataset, arguments):
    with pytest.raises(data.DataError, match=f"{next(iter(arguments))}: expected a whole number"):
        data.validate(dataset.path, **arguments)
