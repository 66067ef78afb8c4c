"""The results in the repository are of what ships: claims and settings of today, with every verdict."""

import csv
import json
from pathlib import Path

import pytest

import experiments
from experiments import papers
from experiments.papers import claims
from experiments.papers.reproduction import settings_of

RESULTS = Path(experiments.__file__).parent / "results"
PAPERS = sorted(file.parent for file in RESULTS.glob("*/claims.json"))


def test_every_folder_is_a_paper():
    assert PAPERS
    assert set(PAPERS) == {path for path in RESULTS.iterdir() if path.is_dir()}


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


@pytest.mark.parametrize("folder", PAPERS, ids=lambda folder: folder.name)
def test_results_are_small_and_name_no_folder_of_the_machine_that_made_them(folder):
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 1e6
    for file in (file for file in files if file.suffix in (".json", ".csv")):
        text = file.read_text("utf-8")
        assert not any(
            f"{start}{place}/" in text for start in '" ,=' for place in ("/home", "/root", "/tmp", "/work")
        )
