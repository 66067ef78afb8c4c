"""`maxinv bench data` notices what does not hold, and `maxinv generate` computes in every way it offers."""

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import data
from data import layouts
from experiments import cli
from experiments.bench import data as bench
from experiments.bench import data_tables
from experiments.bench.pipeline import flips, kills, places, runs
from experiments.commands import generate
from experiments.notices import told_in_a_line

RECIPE = """
seed = 5
[problem]
kind = "cauchy"
modes = 4
[mesh]
cells = 3
degree = 2
[store]
shard = 2
[splits.train]
samples = 10
[splits.test]
samples = 2
"""


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    file.write_text(RECIPE)
    return file


@pytest.fixture(scope="module")
def made(recipe_file, tmp_path_factory):
    """A finished data set, made by the command in two parts, and what these printed."""
    out = tmp_path_factory.mktemp("made") / "set"
    said = []
    for part in ("1/2", "2/2"):
        command = [*runs.generate(recipe_file, out, "--workers", "1"), "--shard", part]
        said.append(subprocess.run(command, capture_output=True, text=True, check=True))
    return out, said


# -- generate -------------------------------------------------------------------------------------------


def test_a_part_says_what_is_there_and_what_others_lack(made):
    out, (first, second) = made
    assert f"{out}: part 1/2 is complete; there are 6 samples (train 6, test 0)" in first.stdout
    assert "of the other parts 2/2 lacks 6 samples" in first.stdout
    assert f"{out}: part 2/2 and all others are complete, 12 samples (train 10, test 2)" in second.stdout
    assert "data: 6/6 samples, " in second.stderr  # counted within the part


def test_an_inverse_crime_is_told_loudly_and_without_a_line_of_code(made):
    lines = made[1][1].stderr.splitlines()
    (place,) = (k for k, line in enumerate(lines) if "INVERSE CRIME" in line)
    assert lines[place].startswith("maxinv generate: warning: INVERSE CRIME: split test of ")
    assert lines[place - 1] == lines[place + 1] == "!" * 78
    assert "warnings.warn" not in made[1][1].stderr


@pytest.mark.slow
def test_ranks_of_mpiexec_compute_the_same_and_rank_0_alone_speaks(made, recipe_file, tmp_path):
    mpiexec = [str(Path(sys.executable).with_name("mpiexec")), "-n", "2"]
    command = [*mpiexec, *runs.generate(recipe_file, tmp_path / "ranks")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("complete, 12 samples") == 1
    assert done.stderr.count("INVERSE CRIME") == 1
    assert runs.opened(tmp_path / "ranks").digest() == runs.opened(made[0]).digest()
    done = subprocess.run([*command, "--set", "seed=6"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("maxinv generate: ") == done.stderr.count("\n") == 1
    assert "holds the data set of another recipe (seed is 5 there and 6 here)" in done.stderr


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--executor", "dask"], "--executor dask without --scheduler"),
        (["--executor", "local", "--scheduler", "tcp://h:1"], "--executor local with --scheduler"),
        (["--executor", "mpi"], "mpi: given 1 rank, expected at least 2"),
        (["--shard", "3/2"], "part: expected i/N"),
    ],
)
def test_who_cannot_compute_is_told_in_one_sentence(recipe_file, tmp_path, capsys, flags, sentence):
    assert cli.main(["generate", str(recipe_file), str(tmp_path / "none"), *flags]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_failed_samples_are_listed_and_tried_again_on_request(tmp_path, capsys, monkeypatch, in_this_process):
    recipe = tmp_path / "strong.toml"
    recipe.write_text(
        'seed = 7\n[problem]\nkind = "conductivity"\nprior = { contrast = [60.0, 100.0] }\n[mesh]\ncells = 3\n'
        "degree = 1\n[splits.train]\nsamples = 7\n"
    )
    command = ["generate", str(recipe), str(tmp_path / "out"), "--workers", "1"]
    assert cli.main(command) == 0
    said = capsys.readouterr()
    assert "7 samples could not be solved and are left out; --retry tries them again:" in said.out
    assert said.out.count("expected them from -50 to 50") == generate.TOLD
    assert "and 2 more" in said.out
    assert "7/7 samples" in said.err
    assert "7 failed" in said.err
    asked = []
    generated = data.generate

    def note(*arguments, retry, **options):
        asked.append(retry)
        return generated(*arguments, **options)

    monkeypatch.setattr(data, "generate", note)
    assert cli.main(command) == cli.main([*command, "--retry"]) == 0
    assert asked == [False, True]


def test_help_names_the_recipes_that_come_with_the_package():
    assert generate.shipped() == sorted(file.stem for file in data.recipe.SHIPPED.glob("*.toml"))


def test_warnings_for_users_are_one_line_and_others_stay_as_they_are(capsys):
    shown = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda *given: shown.append(given[1])
        with told_in_a_line("maxinv x"):
            warnings.warn("two\nlines", UserWarning, stacklevel=1)
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == "maxinv x: warning: two lines\n"
    assert shown == [DeprecationWarning]


# -- bench ----------------------------------------------------------------------------------------------


def test_digits_that_agree():
    values = np.array([1.0, 2.0])
    assert places.digits(values, values.copy()) is None
    assert places.digits(values, values + 2e-9) == pytest.approx(9.0, abs=1e-6)
    assert places.digits(values, values[:1]) == 0


@pytest.fixture
def killed(made, tmp_path):
    """What a kill after four shards would have left, completed by a second run; as `kills.faults` takes it."""
    out = shutil.copytree(made[0], tmp_path / "killed")
    kept = dict(list(runs.shards(out).items())[:4])
    row = {"kept": 4, "told": 8, "lost": 2, "again": 2}
    undisturbed = {"shards": 6, "digest": runs.opened(out).digest()}
    return [out, row, kept, SimpleNamespace(code=0, output=""), undisturbed, runs.files(out)]


def test_a_kill_that_cost_what_was_under_way_alone_has_no_fault(killed):
    assert list(kills.faults(*killed)) == []


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("told", 10, "10 samples were said to be done and 4 shards"),
        ("lost", kills.LOOK_AHEAD + 1, "5 shards are lost"),
        ("again", 3, "3 shards were computed again, 2 were missing"),
    ],
)
def test_a_kill_that_cost_more_is_a_fault(killed, key, value, fault):
    killed[1][key] = value
    (said,) = kills.faults(*killed)
    assert said.startswith(fault)


def test_shards_that_changed_leftovers_and_another_content_are_faults(killed):
    out, undisturbed = killed[0], killed[4]
    (out / "shards" / ".train-00000.h5.1.part").touch()
    killed[2]["train-00000.h5"] = "0"
    undisturbed["digest"] = "0"
    changed, left, content = kills.faults(*killed)
    assert changed == "train-00000.h5 is not what it was"
    assert ".train-00000.h5.1.part" in left
    assert content == "the content is not that of the undisturbed run"


def test_a_second_run_that_fails_is_a_fault(killed):
    killed[3] = SimpleNamespace(code=2, output="no luck")
    assert list(kills.faults(*killed)) == ["the second run ended with 2: no luck"]


def test_layouts_give_the_numbers_back_and_say_what_they_cost(tmp_path):
    values = np.random.default_rng(0).standard_normal((64, 40)) + 1j
    rows = {row["layout"]: row for row in layouts.compare(values, tmp_path, 2)}
    assert len(rows) == len(layouts.LAYOUTS)
    assert 1 <= rows["contiguous"]["size"] < 1.2  # its header besides
    assert rows["32 rows, shuffle, gzip 1"]["size"] < 0.8  # the imaginary part is constant
    assert all(row[action] > 0 for row in rows.values() for action in ("write", "in order", "random"))


def test_reading_and_layout_of_a_given_data_set_are_printed_and_written(made, tmp_path, capsys):
    out = tmp_path / "bench.json"
    parts = ["--part", "reading", "--part", "layout"]
    assert cli.main(["bench", "data", "--quick", *parts, "--data", str(made[0]), "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    reading = found["reading"]
    assert (reading["samples"], reading["shards"]) == (12, 6)
    assert reading["bytes"] == runs.opened(made[0]).split("train").observations.nbytes
    for way in reading["ways"].values():
        assert 0 < way["median"] <= way["best"]
        assert way["ratio"]["low"] <= way["ratio"]["median"] <= way["ratio"]["high"]
    assert reading["ways"]["h5py, in order"]["ratio"]["best"] == 1
    assert found["layout"]["shape"][0] == 10
    said = capsys.readouterr().out
    for words in ("12 samples in 6 files", "random batches of 256, checked", "Opened in", "contiguous"):
        assert words in said


def test_tables_of_executors_and_kills_say_what_holds_and_what_does_not(capsys):
    row = {"instant": 1.5, "phase": "solving", "kept": 3, "told": 6, "lost": 2, "again": 3, "seconds": 2.0}
    result = {
        "environment": {"processor": "abacus", "cores": 2},
        "executors": [
            {
                "way": way,
                "digest": "d",
                "samples": 3,
                "seconds": 1.0,
                "methods": {"low-rank update": 3},
                "digits": {"parameters": None, "observations": digits},
            }
            for way, digits in (("1 local worker", None), ("an odd one", 13.04))
        ],
        "kills": {
            "undisturbed": {"seconds": 2.0, "shards": 6, "samples": 12, "digest": "d"},
            "rows": [{**row, "faults": []}],
            "troubles": [
                {"trial": "t", "how": "by hand", "code": 2, "said": "x: y: z", "kept": 1, "faults": []}
            ],
        },
    }
    data_tables.show(result)
    said = capsys.readouterr().out
    for words in ("bit for bit", "13.0 digits", "After every kill the same run completed", "complete, equal"):
        assert words in said
    result["kills"]["rows"].append({**row, "faults": ["a shard changed"]})
    data_tables.show(result)
    said = capsys.readouterr().out
    assert "after 1.50 s: a shard changed" in said
    assert "After every kill" not in said


@pytest.mark.filterwarnings("ignore::data.InverseCrimeWarning")  # of the fixture's tiny recipe
def test_flipped_bits_are_counted_by_what_becomes_of_them(tmp_path, made, monkeypatch, capsys):
    """On a data set that is there; once with a validation that sees nothing."""
    folder = shutil.copytree(made[0], tmp_path / "copy")
    monkeypatch.setattr(flips.data, "generate", lambda recipe, out, workers: data.open(folder))
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    found = flips.measure(4, 0, tmp_path, print)
    assert (found["unnoticed"], found["wrong"]) == ([], [])
    assert found["refused"] + found["same"] == found["flips"] == 4
    assert {file: file.read_bytes() for file in before} == before
    monkeypatch.setattr(flips.data, "validate", lambda path: [])
    blind = flips.measure(2, 0, tmp_path, print)
    assert len(blind["unnoticed"]) == 2
    result = {"environment": {"processor": "abacus", "cores": 2}, "flips": blind}
    data_tables.show(result)
    said = capsys.readouterr().out
    assert "validate notices 0" in said
    assert said.count("Not noticed: ") == 2


def test_every_part_is_offered_and_planned():
    assert set(bench.PLANS) == {"quick", "default", "study"}
    assert set(bench.PLANS["default"].ways) == set(places.WAYS)
    assert bench.PLANS["study"].kills == 50
