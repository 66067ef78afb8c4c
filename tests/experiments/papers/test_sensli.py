"""Layers inserted by sensitivity: spirals, runs that repeat and pair, insertion, curves read at equal work."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from experiments import papers
from experiments.papers import sensli, sensli_pictures
from experiments.papers.claims import load
from experiments.papers.reproduction import reproduce, settings_of
from experiments.papers.sensli_runs import GRID, Case, Data, Run, build, grid, points, train
from experiments.papers.spirals import arm, spirals

DATA = Data(points=20, test_points=30, noise=0.05)
FAMILIES = ["feed-forward", "blocks", "resnet"]


def case(**values):
    common = {"name": "a case", "family": "feed-forward", "layers": 1, "width": 4, "learning_rate": 0.02}
    return Case(**{**common, "insert": 3, "epochs": 6, **values})


def trained(folder, **values):
    run = Run(**{"case": case(), "variant": "largest", "seed": 1, "data": DATA, **values})
    return train(run.model_dump(mode="json"), folder)


def without_seconds(result):
    assert result["seconds"] > 0
    return {key: value for key, value in result.items() if key != "seconds"}


def test_an_arm_makes_one_turn_and_goes_one_unit_out():
    ends = arm(np.array([0.0, 0.25, 0.5, 1.0]))
    assert ends == pytest.approx(np.array([[0.5, 0], [0, 0.75], [-1, 0], [1.5, 0]]))


def test_spirals_without_noise_are_each_other_turned_by_half_a_circle():
    x, y = spirals(200, 0.0, np.random.default_rng(0))
    assert (y[:200] == 1).all()
    assert (y[200:] == -1).all()
    turned = x * y  # both on the first arm
    radius = np.hypot(*turned.T)
    assert ((radius >= 0.5) & (radius <= 1.5)).all()
    assert turned == pytest.approx(arm(radius - 0.5))


def test_noise_has_its_deviation():
    x, _ = spirals(20_000, 0.1, np.random.default_rng(1))
    bare, _ = spirals(20_000, 0.0, np.random.default_rng(1))
    assert (x - bare).std() == pytest.approx(0.1, rel=0.02)


def test_parts_are_different_points_and_seeds_too():
    drawn = [
        points(Run(case=case(), variant="small", seed=seed, data=DATA), part)[0][:20]
        for seed in (0, 1)
        for part in ("train", "valid", "test")
    ]
    assert len({tuple(part.flatten().tolist()) for part in drawn}) == 6


@pytest.mark.parametrize("family", FAMILIES)
def test_nets_of_a_seed_begin_with_the_same_layers(family):
    small, large = (build(case(family=family), layers, 3) for layers in (1, 2))
    assert (small.layers, large.layers) == (1, 2)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert not torch.allclose(small(x), large(x))
    first = {"feed-forward": "hidden.0.weight", "blocks": "first.weight", "resnet": "lift_weight"}[family]
    assert torch.equal(small.state_dict()[first], large.state_dict()[first])
    again = build(case(family=family), 1, 3)
    assert torch.equal(small(x), again(x))


@pytest.mark.parametrize("batch", [None, 16])
@pytest.mark.parametrize("family", FAMILIES)
def test_insertion_leaves_the_function_and_pairs_the_epochs_before(family, batch, tmp_path):
    same = case(family=family, batch=batch)
    small, grown, least, large = (
        trained(tmp_path, case=same, variant=variant) for variant in ("small", "largest", "smallest", "large")
    )
    event = grown["insertion"]
    assert event["epoch"] == 3
    assert event["change"] < 1e-12
    assert event["loss"][1] == pytest.approx(event["loss"][0], rel=1e-12)
    assert event["sensitivities"][event["position"]] == max(event["sensitivities"])
    assert least["insertion"]["sensitivities"][least["insertion"]["position"]] == min(event["sensitivities"])
    for key in ("loss", "error"):
        assert grown[key][:3] == least[key][:3]
        assert small[key][:3] == pytest.approx(grown[key][:3], rel=1e-9)  # which may grow, by Adam by entry
    assert small["loss"][4] != grown["loss"][4] != least["loss"][4]
    assert grown["parameters"] == large["parameters"] > small["parameters"]
    assert small["insertion"] is None
    assert len(grown["loss"]) == len(large["loss"]) == 6
    assert small["work"][-1] >= large["work"][-1] > small["work"][-2]
    assert grown["work"][2] == small["work"][2]
    per_update = {"small": small["parameters"] * 40, "large": large["parameters"] * 40}
    assert small["work"][0] == per_update["small"]
    assert large["work"][-1] == 6 * per_update["large"]
    # The analysis is in it: more than what the updates alone cost.
    assert grown["work"][3] - grown["work"][2] > per_update["large"]


def test_runs_repeat_and_are_plain_data(tmp_path):
    once = trained(tmp_path, regions=True, variant="drawn")
    assert json.loads(json.dumps(once, allow_nan=False)) == once
    assert without_seconds(trained(tmp_path, regions=True, variant="drawn")) == without_seconds(once)
    assert set(once["regions"]) == {"insertion", "end"}
    assert len(once["regions"]["end"]) == GRID**2 == len(grid())


def test_the_rule_waits_until_the_sensitivity_is_large(tmp_path):
    assert trained(tmp_path, ratio=1e9)["insertion"] is None


def test_training_tells_the_spirals_apart(tmp_path):
    """Half of the points are on the wrong side at the start, and few after it, in loss and error alike."""
    found = trained(
        tmp_path,
        case=case(width=10, batch=50, insert=20, epochs=60, learning_rate=0.02),
        data=Data(points=150, test_points=200, noise=0.02),
    )
    assert found["error"][-1] < 0.05 < 0.3 < found["error"][0]
    assert found["loss"][-1] < 0.2 < found["loss"][0]


CURVE = {"loss": [4.0, 2.0, 1.0, 3.0], "work": [10.0, 20.0, 35.0, 50.0]}


def test_curves_are_read_at_equal_work():
    assert sensli.within(CURVE, "loss", 9.9) is None
    assert sensli.within(CURVE, "loss", 20.0) == 2.0
    assert sensli.within(CURVE, "loss", 34.9) == 2.0
    assert sensli.within(CURVE, "loss", 1e9) == 3.0
    assert sensli.work_to(CURVE, 2.0) == 20.0
    assert sensli.work_to(CURVE, 1.5) == 35.0
    assert sensli.work_to(CURVE, 0.5) is None


def tiny():
    settings = settings_of("sensli", "quick")
    deep = next(each for each in settings.cases if each.layers > 1)
    small = {"epochs": 5, "width": 4}
    cases = [
        settings.cases[0].model_copy(update={**small, "insert": 2}),
        settings.cases[0].model_copy(update={**small, "insert": 1, "name": "earlier"}),
        deep.model_copy(update={**small, "insert": 2}),
    ]
    return settings.model_copy(update={"seeds": 2, "data": DATA, "soon": 2, "cases": tuple(cases)})


@pytest.mark.slow
def test_every_claim_is_measured_and_a_second_run_is_the_same(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        once = reproduce("sensli", tmp_path, pool, settings=tiny())
        stamps = {file: file.stat().st_mtime_ns for file in tmp_path.glob("experiments/*/result.json")}
        again = reproduce("sensli", tmp_path, pool, settings=tiny())
    assert again["claims"] == once["claims"]
    assert set(once["claims"]) == set(load(papers.claims_file("sensli")).claims)
    assert once["pictures"] == ["loss.png", "places.png", "regions.png", "verdicts.png"]
    assert stamps == {file: file.stat().st_mtime_ns for file in tmp_path.glob("experiments/*/result.json")}
    for name in ("unchanged", "less-effort"):
        assert all(each["count"] == 2 for each in once["claims"][name]["cases"].values())
    assert once["claims"]["unchanged"]["verdict"] == "holds"
    # 5 variants of one case, 4 of the other, and 2 that grow at another epoch; the fixed nets are the same.
    assert len(stamps) == 2 * (4 + 5 + 2)
    late = once["claims"]["position-late"]["cases"]
    assert any("drawn" in name for name in late)
    assert any("positions 0 … 3" in each["note"] for each in late.values())


def test_settings_are_of_thirty_seeds_and_insert_in_the_course():
    assert settings_of("sensli", "quick").seeds == 3
    full = settings_of("sensli", "full")
    assert full.seeds == 30
    assert full.data.points == 300
    assert {each.family for each in full.cases} == set(FAMILIES)
    assert len({each.name for each in full.cases}) == len(full.cases)
    assert all(each.insert + full.soon < each.epochs for each in full.cases)


def test_a_net_whose_units_are_all_dead_can_be_drawn():
    dead = {"position": 1, "sensitivities": [0.0, 1e-4], "mean": 0.0}
    alive = {"position": 0, "sensitivities": [2.0, 1.0], "mean": 0.5}
    results = [{"insertion": event} for event in (dead, alive)]
    drawn = sensli_pictures.places({"a case": {"largest": results}})
    (axis,) = drawn.axes
    points = {tuple(line.get_ydata()) for line in axis.get_lines() if line.get_marker() == "o"}
    assert points == {(4.0,), (2.0,)}
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0\n1 ×", "1\n1 ×"]
