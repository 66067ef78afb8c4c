"""The results in the repository are of what ships: the study and the claims of today, with every table there."""

import csv
import json
from pathlib import Path

import pytest

import experiments
from experiments import papers
from experiments.files import validated
from experiments.papers import claims
from experiments.papers.reproduction import settings_of
from experiments.protocol import plan
from experiments.protocol.spec import ProtocolSpec

RESULTS = Path(experiments.__file__).parent / "results"
STUDIES = sorted(file.parent for file in RESULTS.glob("*/study.json"))
PAPERS = sorted(file.parent for file in RESULTS.glob("*/claims.json"))


def rows(file):
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_every_folder_is_a_study_or_a_paper():
    assert {*STUDIES, *PAPERS} == {path for path in RESULTS.iterdir() if path.is_dir()}
    assert STUDIES
    assert PAPERS


@pytest.mark.parametrize("folder", STUDIES, ids=lambda folder: folder.name)
def test_a_study_is_the_one_that_ships(folder):
    """So a change of a study, or of what its settings mean, asks for its results anew."""
    stored = validated(ProtocolSpec, json.loads((folder / "study.json").read_text()), str(folder))
    name, _, data = folder.name.partition("-")
    made = plan.load(name, data=data.split("-") if data else ())
    assert stored == made.spec
    done = json.loads((folder / "DONE").read_text())
    assert (done["title"], done["quick"]) == (made.spec.title, False)
    assert done["provenance"]["versions"]["torch"]


@pytest.mark.parametrize("folder", STUDIES, ids=lambda folder: folder.name)
def test_a_study_has_an_error_of_every_variant(folder):
    name, _, data = folder.name.partition("-")
    made = plan.load(name, data=data.split("-") if data else ())
    found = {row["method"] for row in rows(folder / "tables" / "errors.csv") if row["kind"] == "network"}
    assert found == {variant.name for variant in made.variants}
    tuned = {row["variant"] for row in rows(folder / "tables" / "tuning.csv")}
    assert tuned == {variant.name for variant in made.variants if made.given(variant) is None}


@pytest.mark.parametrize("folder", PAPERS, ids=lambda folder: folder.name)
def test_a_paper_is_the_one_that_ships_at_full_size(folder):
    result = json.loads((folder / "claims.json").read_text())
    assert (result["key"], result["size"]) == (folder.name, "full")
    assert result["settings"] == settings_of(folder.name, "full").model_dump(mode="json")
    paper = claims.load(papers.claims_file(folder.name))
    assert list(result["claims"]) == list(paper.claims)
    for name, claim in result["claims"].items():
        assert claim["statement"] == paper.claims[name].statement
        assert {case["verdict"] for case in claim["cases"].values()} <= {
            "holds",
            "does not hold",
            "not shown",
        }
    written = {(row["claim"], row["case"]) for row in rows(folder / "claims.csv")}
    assert written == {(name, case) for name, claim in result["claims"].items() for case in claim["cases"]}


@pytest.mark.parametrize("folder", [*STUDIES, *PAPERS], ids=lambda folder: folder.name)
def test_results_are_small_and_name_no_folder_of_the_machine_that_made_them(folder):
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 3e6
    for file in files:
        if file.suffix in (".json", ".csv", ""):
            text = file.read_text("utf-8")
            assert not any(place in text for place in ('"/', ",/", "/home/", "/root/", "/tmp/")), file
