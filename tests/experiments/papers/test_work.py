"""Experiments are kept by their specification, and a reproduction goes on where it was stopped."""

import csv
import json
import sys
import types
from concurrent.futures import ThreadPoolExecutor

import pydantic
import pytest
from filelock import FileLock

from data import executors
from experiments import cli, papers
from experiments.errors import StudyError
from experiments.papers.claims import Measured, over_seeds
from experiments.papers.reproduction import reproduce
from experiments.papers.work import Work

CLAIMS = """
title = "A paper"
authors = "A. Uthor"
arxiv = "0000.00000"
data = "own data"
[quick]
seeds = 2
[full]
seeds = 3
[claims.positive]
statement = "Squares are positive [−3, 3]."
source = "abstract"
certainty = "our reading"
experiment = "whole numbers are squared"
quantity = "square"
expected = { above = -20 }
"""


class Settings(pydantic.BaseModel):
    seeds: int


class Stopped(Exception):
    pass


def square(spec, folder):
    """Counts its calls in a file beside its folder, and is stopped where it is told to be."""
    with (folder.parent / "calls").open("a") as file:
        file.write(f"{spec['x']}\n")
    if (folder.parent / f"stop-{spec['x']}").exists():
        raise Stopped
    return {"square": spec["x"] ** 2}


def measure(settings, work):
    found = work.map(square, [{"x": seed + 1} for seed in range(settings.seeds)])
    return {"positive": {"": over_seeds([each["square"] for each in found], "whole numbers")}}


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """A paper `squares-of-ours`, the only one there is."""
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "squares-of-ours.toml").write_text(CLAIMS)
    module = types.ModuleType("experiments.papers.squares_of_ours")
    module.Settings, module.measure = Settings, measure
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(papers, "SHIPPED", shipped)
    return module


def calls(out):
    return (out / "experiments" / "calls").read_text().split()


def test_results_come_in_order_and_are_computed_once(tmp_path, pool):
    work, specs = Work(tmp_path, pool), [{"x": x} for x in (3, 1, 3, 2)]
    expected = [{"square": square} for square in (9, 1, 9, 4)]
    assert work.map(square, specs) == expected
    assert Work(tmp_path, pool).map(square, specs[::-1]) == expected[::-1]
    assert calls(tmp_path) == ["3", "1", "2"]


def test_a_stopped_reproduction_goes_on(tmp_path, pool, paper):
    out = tmp_path / "out"
    stop = out / "experiments" / "stop-2"
    stop.parent.mkdir(parents=True)
    stop.touch()
    with pytest.raises(Stopped):
        reproduce("squares-of-ours", out, pool)
    assert not (out / "claims.json").exists()
    stop.unlink()
    reproduce("squares-of-ours", out, pool)
    assert (calls(out).count("1"), calls(out).count("2")) == (1, 2)


def test_what_is_written(tmp_path, pool, paper):
    result = reproduce("squares-of-ours", tmp_path / "out", pool, "quick")
    assert json.loads((tmp_path / "out" / "claims.json").read_text()) == result
    assert result["pictures"] == ["verdicts.png"]
    assert (tmp_path / "out" / "verdicts.png").read_bytes().startswith(b"\x89PNG")
    claim = result["claims"]["positive"]
    assert (claim["verdict"], claim["cases"][""]["value"], claim["cases"][""]["count"]) == ("holds", 2.5, 2)
    table = (tmp_path / "out" / "claims.csv").read_text()
    (row,) = csv.DictReader(table.splitlines())
    assert (row["claim"], row["expected"]) == ("positive", "above -20")
    assert float(row["high"]) - 2.5 == pytest.approx(2.5 - float(row["low"])) == pytest.approx(1.5 * 12.7062)
    assert (row["verdict"], row["note"]) == ("holds", "whole numbers")
    reproduce("squares-of-ours", tmp_path / "out", pool, "quick")
    assert (tmp_path / "out" / "claims.csv").read_text() == table


def test_a_case_without_a_number_decides_nothing_and_can_be_written(tmp_path, pool, paper):
    numbers = {"one": Measured(None, None, None, 0, "no seed has one"), "two": over_seeds([1.0, 2.0])}
    paper.measure = lambda settings, work: {"positive": numbers}
    claim = reproduce("squares-of-ours", tmp_path / "out", pool)["claims"]["positive"]
    assert (claim["cases"]["one"]["measured"], claim["verdict"]) == ("no number", "not shown")
    assert "positive,one,above -20,,,,0,not shown" in (tmp_path / "out" / "claims.csv").read_text()


def test_measurements_must_be_those_of_the_claims(tmp_path, pool, paper):
    paper.measure = lambda settings, work: {"negative": {"": over_seeds([1.0, 2.0])}}
    with pytest.raises(StudyError, match="negative, and expected are positive"):
        reproduce("squares-of-ours", tmp_path / "out", pool)


def test_two_processes_do_not_work_in_one_folder(tmp_path, pool, paper):
    (tmp_path / "out").mkdir()
    with (
        FileLock(tmp_path / "out" / ".lock"),
        pytest.raises(StudyError, match="another process works here"),
    ):
        reproduce("squares-of-ours", tmp_path / "out", pool)


def test_a_damaged_result_is_told(tmp_path, pool):
    work = Work(tmp_path, pool)
    work.map(square, [{"x": 2}])
    (file,) = tmp_path.glob("experiments/*/result.json")
    for content in ("{", "[]"):
        file.write_text(content)
        with pytest.raises(StudyError, match="run again"):
            work.map(square, [{"x": 2}])


def test_the_command_lists_the_keys_and_prints_verdicts(tmp_path, paper, capsys, monkeypatch):
    assert cli.main(["reproduce"]) == 0
    assert "squares-of-ours  arXiv 0000.00000  A paper (1 claims)" in capsys.readouterr().out
    assert cli.main(["reproduce", "squares"]) == 2
    assert "did you mean squares-of-ours?" in capsys.readouterr().err
    assert cli.main(["reproduce", "squares-of-ours", "--workers", "0"]) == 2
    monkeypatch.setattr(executors, "local", ThreadPoolExecutor)
    assert cli.main(["reproduce", "squares-of-ours", "--quick", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    for part in (
        "Squares are positive [−3, 3].",
        "our reading",
        "2.5 [-16.6, 21.6]",
        "holds",
        "not a finding",
    ):
        assert part in said
    assert (tmp_path / "out" / "squares-of-ours-quick" / "claims.json").exists()
