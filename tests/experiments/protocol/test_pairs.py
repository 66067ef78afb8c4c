"""`maxinv compare A B`: two variants of a study beside each other."""

import json
import shutil

import numpy as np
import pytest
import study_folder

from experiments import cli
from experiments.errors import StudyError
from experiments.files import read_json, write_json
from experiments.protocol import tables
from experiments.protocol.pairs import Side, compare, differences
from experiments.protocol.sheets import Sheet

CELL = "runs/cauchy/resnet-L3-noise0.01"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return study_folder.make(tmp_path_factory.mktemp("pairs") / "study")


def sides(folder, one="fixed-unit", other="positive"):
    return Side.read(folder / CELL / one), Side.read(folder / CELL / other)


@pytest.mark.parametrize("other", ["positive", "fixed-tuned"])
def test_the_error_at_the_place_that_counts_is_the_row_of_the_study(finished, other):
    (study,) = [
        row
        for row in tables.read(finished / "tables")["comparisons"]
        if (row["family"], row["baseline"], row["other"]) == ("resnet", "fixed-unit", other)
    ]
    row = compare(*sides(finished, other=other))[0]
    assert (row["split"], row["level"], row["metric"]) == ("test", 0.01, "error")
    for key in ("change", "low", "high", "p"):
        assert f"{row[key]:.6g}" == study[key]
    assert (row["seeds"], row["samples"]) == (int(study["seeds"]), int(study["samples"]))


def test_every_metric_at_every_place_of_both(finished):
    rows = compare(*sides(finished))
    found = {(row["split"], row["level"]): [] for row in rows}
    for row in rows:
        found[row["split"], row["level"]].append(row["metric"])
    assert found == {
        ("test", 0.01): ["error", "TE", "TM", "misfit", "gain", "worst"],
        ("test", 0.0): ["error", "TE", "TM"],
        ("test", 0.1): ["error", "TE", "TM", "gain"],
        ("test_narrow", 0.01): ["error", "TE", "TM"],
    }
    misfit = next(row for row in rows if row["metric"] == "misfit")
    assert misfit["samples"] == 1  # the map refuses the other estimate
    assert misfit["baseline"] == pytest.approx(1.5)
    assert misfit["change"] == pytest.approx(0)


def test_the_other_way_round_the_ratio_is_inverted(finished):
    there, back = compare(*sides(finished)), compare(*reversed(sides(finished)))
    for one, two in zip(there, back, strict=True):
        assert (1 + one["change"]) * (1 + two["change"]) == pytest.approx(1)


def test_equal_seeds_alone_are_paired(finished, tmp_path):
    some = tmp_path / "runs/cauchy/resnet-L3-noise0.01/positive"
    shutil.copytree(finished / CELL / "positive", some)
    shutil.rmtree(some / "seed0")
    one, other = Side.read(finished / CELL / "fixed-unit"), Side.read(some)
    row = compare(one, other)[0]
    assert row["seeds"] == 2
    errors = [
        np.mean([side.sheets[seed].arrays[study_folder.places(0.01)[0]]["squared"] for seed in (1, 2)])
        for side in (one, other)
    ]
    assert row["change"] == pytest.approx(np.sqrt(errors[1] / errors[0]) - 1)
    for seed in (1, 2):
        (some / f"seed{seed}").rename(some / f"seed{seed + 5}")
    with pytest.raises(StudyError, match=r"has seeds 0, 1, 2 and .* 6, 7; expected some in common"):
        compare(one, Side.read(some))


def test_different_data_sets_are_refused(finished, tmp_path):
    other = tmp_path / "positive"
    shutil.copytree(finished / CELL / "positive", other)
    for file in other.glob("seed*/run.json"):
        write_json(file, read_json(file, "run", "") | {"dataset": "f" * 64})
    with pytest.raises(
        StudyError, match=r"trained on data set .* and .* on ffffffffffff; expected two variants on one"
    ):
        compare(Side.read(finished / CELL / "fixed-unit"), Side.read(other))
    write_json(other / "seed0" / "run.json", {"dataset": "e" * 64, "spec": {}})
    with pytest.raises(StudyError, match="holds runs on 2 data sets"):
        Side.read(other)


def test_sheets_without_a_common_place_are_refused(finished, tmp_path):
    other = tmp_path / "positive"
    shutil.copytree(finished / CELL / "positive", other)
    for file in other.glob("seed*/scores.npz"):
        sheet = Sheet.read(file)
        Sheet({study_folder.Place("elsewhere", 0.5): {"squared": np.ones(3)}}, sheet.about).write(file)
    with pytest.raises(StudyError, match="at no common place"):
        compare(Side.read(finished / CELL / "fixed-unit"), Side.read(other))


def test_settings_that_differ_are_told(finished):
    found = differences(*sides(finished))
    assert found["time"] == ("fixed", "positive")
    assert "seed" not in found
    assert "layers" not in found


def test_the_command_prints_and_writes(finished, tmp_path, capsys):
    out = tmp_path / "pair.json"
    folders = [str(finished / CELL / arm) for arm in ("fixed-unit", "positive")]
    assert cli.main(["compare", *folders, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "B smaller" in printed
    assert "time fixed → positive" in printed
    rows = json.loads(out.read_text())["rows"]
    assert rows == compare(*sides(finished))


def test_the_command_refuses_in_a_sentence(finished, tmp_path, capsys):
    there = str(finished / CELL / "positive")
    assert cli.main(["compare", str(tmp_path), there]) == 2
    assert "holds no scored runs" in capsys.readouterr().err
    assert cli.main(["compare", there, there, there]) == 2
    assert "is set beside one other, given 2" in capsys.readouterr().err
