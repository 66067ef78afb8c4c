"""The results in the repository are of what ships: claims, studies and settings of today, with every verdict.

A folder of results is named as its paper or study, `depths` after its command; data sets to which a study was
restricted follow, after hyphens.
"""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

import experiments
from experiments import papers
from experiments.depths import spec as depths
from experiments.papers import claims
from experiments.papers.reproduction import settings_of
from experiments.protocol import plan
from experiments.protocol.plan import Cell
from experiments.protocol.spec import ProtocolSpec

RESULTS = Path(experiments.__file__).parent / "results"
PAPERS = sorted(file.parent for file in RESULTS.glob("*/claims.json"))
STUDIES = sorted(file.parent for file in RESULTS.glob("*/study.json"))
DEPTHS = sorted(file.parent for file in RESULTS.glob("*/summary.json"))
ALL = [*PAPERS, *STUDIES, *DEPTHS]


def test_every_folder_is_a_paper_or_a_study():
    assert PAPERS
    assert STUDIES
    assert set(ALL) == {path for path in RESULTS.iterdir() if path.is_dir()}


@pytest.mark.parametrize("folder", DEPTHS, ids=lambda folder: folder.name)
def test_the_study_of_depth_is_the_one_that_ships_at_full_size(folder):
    study, summary = depths.load(None, quick=False), json.loads((folder / "summary.json").read_text("utf-8"))
    assert summary["study"] == study.spec.model_dump(mode="json")
    assert summary["cells"] == len(study.cells)
    assert not json.loads((folder / "DONE").read_text("utf-8"))["quick"]


def study_of(folder):
    """The plan that ships under the name of a folder."""
    name, *data = folder.name.split("-")
    return plan.load(name, data=data)


def rows(folder, name):
    with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("folder", STUDIES, ids=lambda folder: folder.name)
def test_a_study_is_the_one_that_ships_and_was_ended_at_full_size(folder):
    """So a change of its settings asks for its results anew."""
    ours, stored = study_of(folder), json.loads((folder / "study.json").read_text("utf-8"))
    there = ProtocolSpec.model_validate(stored)
    assert there.model_dump(mode="json") == ours.spec.model_dump(mode="json")
    done = json.loads((folder / "DONE").read_text("utf-8"))
    assert (done["title"], done["quick"]) == (ours.spec.title, False)


@pytest.mark.parametrize("folder", STUDIES, ids=lambda folder: folder.name)
def test_a_study_has_every_network_and_trial(folder):
    ours = study_of(folder)
    seeds = {
        (Cell(**typed(row)).name, row["method"]): int(row["seeds"])
        for row in rows(folder, "errors")
        if row["kind"] == "network"
    }
    assert seeds == {(variant.cell.name, variant.arm): variant.seeds for variant in ours.variants}
    trials = Counter(row["variant"] for row in rows(folder, "tuning"))
    tuned = [variant.name for variant in ours.variants if ours.given(variant) is None]
    assert trials == dict.fromkeys(tuned, ours.spec.tuning.trials)


def typed(row):
    """The cell that a row of a table is about."""
    samples = row["training_samples"]
    return {
        "data": row["data"],
        "family": row["family"],
        "layers": int(row["layers"]),
        "noise": float(row["noise"]),
        "samples": int(samples) if samples not in ("", "all") else None,
        "network": row["network"] or None,
    }


@pytest.mark.parametrize("folder", PAPERS, ids=lambda folder: folder.name)
def test_a_paper_is_the_one_that_ships_at_full_size(folder):
    """So a change of its claims or settings asks for its results anew."""
    result = json.loads((folder / "claims.json").read_text("utf-8"))
    assert (result["key"], result["size"]) == (folder.name, "full")
    assert result["settings"] == settings_of(folder.name, "full").model_dump(mode="json")
    paper = claims.load(papers.claims_file(folder.name))
    assert list(result["claims"]) == list(paper.claims)
    for name, claim in result["claims"].items():
        ours = paper.claims[name]
        assert (claim["statement"], claim["experiment"]) == (ours.statement, ours.experiment)
        assert claim["expected"] == str(ours.expected)
    with (folder / "claims.csv").open(newline="", encoding="utf-8") as lines:
        written = [(row["claim"], row["case"], row["verdict"]) for row in csv.DictReader(lines)]
    assert written == [
        (name, case, found["verdict"])
        for name, claim in result["claims"].items()
        for case, found in claim["cases"].items()
    ]


@pytest.mark.parametrize("folder", ALL, ids=lambda folder: folder.name)
def test_results_are_small_and_name_no_folder_of_the_machine_that_made_them(folder):
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 1.5e6
    for file in (file for file in files if file.suffix != ".png"):
        text = file.read_text("utf-8")
        assert not any(
            f"{start}{place}/" in text for start in '" ,=' for place in ("/home", "/root", "/tmp", "/work")
        )
