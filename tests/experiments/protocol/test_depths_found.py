"""A study whose arms are depths, fixed and found, at one budget of work: real, and as small as it can be."""

import csv
import dataclasses
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiny_study

from experiments.files import read_json
from experiments.protocol import plan, study, tables
from experiments.protocol.plan import run_name
from experiments.protocol.report import depth_chart, findings, interactive, page, sections
from experiments.protocol.report.material import Material
from experiments.runs import load

BUDGET = 4e5
ARMS = """
[arms.one]
label = "one layer"
time = "positive"
layers = 1
[arms.four]
label = "four layers"
time = "positive"
layers = 4
[arms.grown]
label = "grown from one layer"
time = "positive"
layers = 1
depth = { growth = { every = 1, count = 2, ratio = 0.0, samples = 4 }, deepest = 3 }
[arms.pruned]
label = "pruned from four layers"
time = "positive"
layers = 4
depth = { pruning = { threshold = 0.9, count = 2 }, shallowest = 2 }
[tuning]
trials = 1
[[grid]]
data = ["cauchy"]
families = ["resnet"]
arms = ["one", "four", "grown", "pruned"]
layers = [1]
noise = [0.02]
"""


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    home = tmp_path_factory.mktemp("depths")
    file = tiny_study.write(home)
    head = file.read_text().split("[arms.")[0].replace("epochs = 4", f"budget = {BUDGET}")
    file.write_text(head.replace('"mmse", "gauss-newton"', '"mmse"') + ARMS)
    made = plan.load(file)
    with ThreadPoolExecutor(1) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        folder = study.run(made, home / "study", study.Workplace(1, pool))
    tables.write(made, folder)
    study.finish(made, folder)
    return Material.of(folder.path)


def row(material, arm):
    (found,) = [r for r in material.tables["depths"] if r["method"] == arm]
    return found


def test_rows_are_what_the_runs_are(material):
    for arm, changes in (("one", "False"), ("four", "False"), ("grown", "True"), ("pruned", "True")):
        found = row(material, arm)
        assert found["changes"] == changes
        (variant,) = [v for v in material.plan.variants if v.arm == arm]
        nets = [load(material.folder.runs / run_name(variant, seed)).net for seed in range(2)]
        assert found["layers_end"] == np.mean([net.layers for net in nets])
        assert (found["least"], found["most"]) == tuple(
            pick(net.layers for net in nets) for pick in (min, max)
        )
        sizes = [sum(p.numel() for p in net.parameters()) for net in nets]
        assert found["parameters"] == pytest.approx(np.mean(sizes), rel=1e-5)
        horizons = [net.time().sum().item() for net in nets]
        assert found["horizon"] == pytest.approx(np.mean(horizons), rel=1e-5)
        assert 0.5 * BUDGET < found["work"] <= BUDGET


def test_depth_is_found(material):
    assert (row(material, "grown")["starts"], row(material, "pruned")["starts"]) == (1, 4)
    assert row(material, "grown")["layers_end"] > 1
    assert row(material, "pruned")["layers_end"] == 2


def test_the_best_fixed_depth_is_that_of_least_validation_loss(material):
    rows = material.tables["depths"]
    best = min(rows[:2], key=lambda r: r["valid"])
    assert {r["best_fixed"] for r in rows} == {best["method"]}
    for r in rows:
        assert r["valid_change"] == pytest.approx(r["valid"] / best["valid"] - 1, abs=2e-5)
        assert r["valid_change_low"] <= r["valid_change"] <= r["valid_change_high"]
    assert (best["valid_change_low"], best["valid_change_high"]) == (0, 0)


def test_events_are_those_of_the_runs(material):
    """Every network grows by the rule and is pruned by it: where, when and what it did to the loss."""
    with (material.folder.tables / "events.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert {r["method"] for r in rows} == {"grown", "pruned"}
    for arm in ("grown", "pruned"):
        (variant,) = [v for v in material.plan.variants if v.arm == arm]
        for seed in range(2):
            here = [r for r in rows if (r["method"], r["seed"]) == (arm, str(seed))]
            run = read_json(material.folder.runs / run_name(variant, seed) / "run.json", "run", "")
            told = run["trace"]["events"]
            assert [int(r["epoch"]) for r in here] == [event["epoch"] for event in told]
            assert [r["event"] for r in here] == [event["kind"] for event in told]
            assert [r["places"] for r in here] == [" ".join(map(str, event["layers"])) for event in told]
            assert {(r["kind"], r["layers"]) for r in here} == {("network", "1")}  # of the cell
            for r, event in zip(here, told, strict=True):
                assert float(r["valid_after"]) == pytest.approx(event["valid_loss"][1], rel=1e-5)
                assert float(r["ends"]) == pytest.approx(run["best_loss"], rel=1e-5)
                if event["kind"] == "insert":
                    first, second = event["layers"]
                    scores = event["sensitivities"]
                    largest = max(scores[first - 1], scores[second - 2])
                    assert float(r["sensitivity"]) == pytest.approx(largest / event["mean"], rel=1e-5)
                    assert float(r["largest"]) == float(r["sensitivity"])  # as the rule has it
                else:
                    assert r["sensitivity"] == ""


def test_costs_are_means_over_seeds_where_depth_changes(material):
    for arm in ("four", "grown", "pruned"):
        (found,) = [r for r in material.tables["costs"] if r["method"] == arm]
        assert found["parameters"] == pytest.approx(row(material, arm)["parameters"], rel=1e-5)
        (variant,) = [v for v in material.plan.variants if v.arm == arm]
        runs = [material.folder.runs / run_name(variant, seed) for seed in range(2)]
        trials = [material.folder.tuning / name for name in material.plan.trials_of(variant)]
        done, tried = (
            [read_json(path / "run.json", "run", "")["layer_evaluations"] for path in paths]
            for paths in (runs, trials)
        )
        assert found["layer_evaluations"] == pytest.approx(np.mean(done), rel=1e-5)
        assert found["tuning_evaluations"] == pytest.approx(sum(tried), rel=1e-5)


def test_answers_and_tables_say_so(material):
    grown, pruned = findings.depths(material)
    assert "Grown from one layer: beside the fixed depth of least validation loss" in grown.sentence
    assert "It ends with 2 layers" in pruned.sentence
    table = sections.depths(material.problems[0])
    assert [cells[1] for cells in table.rows] == ["1", "4", "1", "4"]
    assert sum("best fixed" in cells[0] for cells in table.rows) == 1
    html = page.write(material.folder.path, material.folder.path / "report.html").read_text()
    assert "Depth that is found" in html
    assert "pruned from four layers" in html
    assert "This study asks what finding it changes" in html
    assert "every way to choose the layers" in html


def test_the_picture_has_every_arm_where_it_ends_and_where_it_began(material):
    chart = depth_chart.found(material)
    (panel,) = chart.panels
    fixed, *drawn = panel.series
    assert (fixed.name, list(fixed.x)) == (depth_chart.FIXED, [1, 4])
    marks = {series.name: series for series in drawn if series.low}
    trails = {series.name: series for series in drawn if not series.low}
    assert set(trails) == {"grown from one layer", "pruned from four layers"}
    assert len(marks) == 4
    for arm in ("one", "four", "grown", "pruned"):
        found, mark = row(material, arm), marks[material.arm(arm)]
        change = [
            min(100 * found[f"valid_change{end}"], depth_chart.FURTHEST) for end in ("", "_low", "_high")
        ]
        assert (list(mark.x), [*mark.y, *mark.low, *mark.high]) == ([found["layers_end"]], change)
    assert list(trails["grown from one layer"].x) == [1, row(material, "grown")["layers_end"]]
    assert list(chart.x.ticks) == [1, 4]
    assert ("or beyond" in chart.caption) == any(
        100 * r["valid_change"] > depth_chart.FURTHEST for r in material.tables["depths"]
    )
    assert len(interactive.draw(chart)["data"]) == 1 + 4 + 2
    assert (material.folder.path / "pictures" / "found-depths.pdf").exists()


def test_the_line_is_of_fixed_depths_under_one_rule(material):
    spec, best = material.plan.spec, row(material, "one")["best_fixed"]
    (other,) = {"one", "four"} - {best}
    arms = spec.arms | {other: spec.arms[other].model_copy(update={"time": "free"})}
    other_plan = dataclasses.replace(material.plan, spec=spec.model_copy(update={"arms": arms}))
    changed = dataclasses.replace(material, plan=other_plan)
    for which, layers in ((material, [1, 4]), (changed, [row(material, best)["layers_end"]])):
        (panel,) = depth_chart.found(which).panels
        (line,) = [series for series in panel.series if series.name == depth_chart.FIXED]
        assert list(line.x) == layers


def test_a_study_of_fixed_depths_has_no_such_rows(tiny):
    made, folder = tiny
    assert tables.write(made, folder)["depths"] == []
    assert depth_chart.found(Material.of(folder.path)) is None
