"""Trainings of a budget and of changing depth: what they cost, what they leave, and that a kill harms neither."""

import json

import pydantic
import pytest
import torch

from experiments import courses, runs, training
from experiments.errors import StudyError
from experiments.files import validated
from experiments.specs import DepthSpec, RunSpec
from experiments.training_data import training_data
from surrogates import depth, files
from surrogates.losses import mse

SMALL = {"layers": 3, "width": 8, "components": 6, "epochs": 4, "batch": 16, "draws": 2, "time": "positive"}
WEIGHTS = 6 * 8 + 8 + 3 * (64 + 8) + 8 * 5 + 5 + 3
EPOCH = 40 * WEIGHTS
GROWING = {"growth": {"every": 1, "ratio": 0.0, "radius": 0.0}}
SHRINKING = {"pruning": {"threshold": 0.9}, "shallowest": 2}


@pytest.fixture(scope="module")
def dataset(demo):
    return demo / "data"


def spec(**changes):
    return RunSpec(**{**SMALL, **changes})


def record(folder):
    return json.loads((folder / "run.json").read_text())


def same(one, other):
    one, other = one.net.state_dict(), other.net.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_a_budget_buys_whole_epochs(dataset, tmp_path):
    bought = runs.train(dataset, tmp_path / "bought", spec(budget=3.9 * EPOCH, epochs=77))
    asked = runs.train(dataset, tmp_path / "asked", spec(epochs=3))
    assert same(bought, asked)
    assert bought.record["epochs"] == asked.record["epochs"] == 3
    assert bought.record["work"] == 3 * EPOCH
    assert bought.record["layer_evaluations"] == 3 * 3 * 40
    with pytest.raises(StudyError, match=f"one pass of 40 samples through {WEIGHTS} weights"):
        runs.train(dataset, tmp_path / "poor", spec(budget=0.9 * EPOCH))


def test_a_run_that_grows_ends_within_its_budget_and_loads_in_its_depth(dataset, tmp_path):
    found = runs.train(dataset, tmp_path, spec(depth=GROWING, budget=30 * EPOCH))
    events = [event["kind"] for event in found.record["trace"]["events"]]
    assert events.count("insert") >= 1
    assert found.record["layers"] == found.net.layers > 3
    assert found.record["work"] <= 30 * EPOCH
    assert found.record["parameters"] == sum(p.numel() for p in found.net.parameters())
    assert same(found, runs.load(tmp_path))


def test_a_run_that_is_pruned_reports_the_data_loss_alone(dataset, tmp_path):
    pruned = spec(depth=SHRINKING, layers=4, regularisers={"magnitude": 0.5, "horizon": 0.1})
    found = runs.train(dataset, tmp_path, pruned)
    assert found.record["layers"] == found.net.layers == 2
    seen = training_data(dataset, found.record["dataset"], pruned, files.device("cpu"))
    with torch.no_grad():
        alone = mse(found.net(seen.valid[0]), seen.valid[1]).item()
    assert found.record["best_loss"] == pytest.approx(alone, rel=1e-6)
    assert all(value > 0 for value in found.record["trace"]["regulariser"])


def test_steps_may_be_regularised_at_one_depth(dataset, tmp_path):
    light, heavy = (
        runs.train(dataset, tmp_path / str(k), spec(epochs=12, regularisers={"magnitude": weight}))
        for k, weight in enumerate((0.0, 10.0))
    )
    assert heavy.net.time().sum() < light.net.time().sum()
    assert same(light, runs.train(dataset, tmp_path / "none", spec(epochs=12)))


@pytest.mark.parametrize("table", [GROWING, SHRINKING], ids=["growing", "shrinking"])
def test_killed_and_continued_is_uninterrupted(dataset, tmp_path, table, monkeypatch):
    asked = spec(depth=table)
    whole = runs.train(dataset, tmp_path / "whole", asked)
    real = depth.fit

    def impatient(*arguments, **options):
        return real(*arguments, **options, checkpoint_seconds=0.0)

    def kill(state):
        if state.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(depth, "fit", impatient)
    with pytest.raises(KeyboardInterrupt):
        runs.train(dataset, tmp_path / "cut", asked, kill)
    assert (tmp_path / "cut" / "checkpoint.pt").exists()
    again = runs.train(dataset, tmp_path / "cut", asked)
    assert same(again, whole)
    assert again.record["trace"] == whole.record["trace"]


def test_such_runs_train_one_by_one_with_a_notice(dataset, tmp_path, in_this_process):
    asked = {"one": spec(depth=GROWING), "two": spec(depth=GROWING, seed=1), "three": spec(seed=2)}
    groups = training.groups(asked, 8)
    assert [list(group) for group in groups] == [["one"], ["two"], ["three"]]
    with pytest.warns(UserWarning, match="2 of 3 networks change their depth"):
        training.train_all([(dataset, group) for group in groups], tmp_path, 1)
    assert all(runs.finished(tmp_path / name) for name in asked)
    assert record(tmp_path / "three")["layers"] == 3


def test_every_setting_of_depth_reaches_its_schedule():
    growth = {"every": 3, "times": 2, "count": 2, "ratio": 0.7, "radius": 0.2, "step": 0.3, "samples": 7}
    pruning = {"threshold": 0.2, "count": 3, "every": 2, "first": 5, "grace": 4, "samples": 9}
    table = {"growth": growth, "pruning": pruning, "shallowest": 2, "deepest": 9}
    for choice, kind in (
        ("largest", depth.Largest()),
        ("smallest", depth.Smallest()),
        ("drawn", depth.Drawn(7)),
    ):
        made = courses.schedule(spec(depth={**table, "growth": {**growth, "choice": choice}}, seed=7))
        expected = depth.Growth(**growth, choice=kind)
        assert made == depth.DepthSchedule(
            growth=expected, pruning=depth.Pruning(**pruning), shallowest=2, deepest=9
        )
    table = {"every": 2, "times": 1, "count": 3, "samples": 5}
    halves = courses.schedule(spec(depth={"growth": {"by": "halving", **table}}))
    assert halves == depth.DepthSchedule(growth=depth.Splitting(**table))
    assert courses.schedule(spec()) is None


def test_every_regulariser_has_its_weight():
    weights = {"horizon": 0.5, "magnitude": 0.01, "squares": 0.2}
    made = courses.regulariser(spec(regularisers=weights, horizon=3.0))
    steps = torch.tensor([1.0, 0.5, 0.25])
    assert made(steps).item() == pytest.approx(0.5 * 1.25**2 + 0.01 * 1.75 + 0.2 * 1.3125)
    assert courses.regulariser(spec(regularisers={})) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"depth": {}}, "neither growth nor pruning"),
        ({"depth": {"growth": {"every": 0}}}, "depth.growth.every"),
        (
            {"depth": {"growth": {"every": 1, "by": "halving", "ratio": 2.0}}},
            "growth by halving does not have",
        ),
        ({"depth": {"growth": {"every": 1, "held": 3}}}, "held is 3, samples None"),
        (
            {"depth": {"growth": {"every": 1, "by": "halving", "samples": 3, "held": 3}}},
            "halving does not have",
        ),
        (
            {
                "depth": {"growth": {"every": 1, "samples": 2, "held": 3}},
                "time": "fixed",
                "family": "feed-forward",
                "activation": "relu",
            },
            "no time steps to try",
        ),
        ({"depth": {**GROWING, "shallowest": 4, "deepest": 3}}, "deepest is 3 and shallowest 4"),
        ({"depth": {"pruning": {"share": 0.1}}}, "depth.pruning.share"),
        ({"depth": GROWING, "time": "uniform"}, "leave no place for a small new one"),
        ({"depth": SHRINKING, "time": "fixed", "family": "feed-forward"}, "has no time steps"),
        ({"regularisers": {"magnitude": -1.0}}, "regularisers.magnitude"),
        ({"regularisers": {"squares": 1.0}, "time": "fixed"}, "regularisers are given, but time is 'fixed'"),
        (
            {"regularisers": {"horizon": 1.0}, "time": "simplex"},
            "regularisers.horizon is 1.0, but time 'simplex'",
        ),
        ({"depth": SHRINKING, "time": "fixed"}, "the shares of fixed steps stay as they are"),
        ({"depth": {"pruning": {}, "shallowest": 3}}, "shallowest is 3 and layers 3, so nothing is pruned"),
        ({"depth": {**GROWING, "deepest": 3}}, "deepest is 3 and layers 3, so nothing grows"),
        ({"depth": GROWING, "time": "fixed", "family": "feed-forward"}, "exact for ReLU alone"),
        (
            {"depth": {"growth": {"every": 1, "step": 0.0}}},
            "a new layer of positive steps would rest for ever",
        ),
        ({"budget": 0.0}, "budget"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_mistakes_are_told_in_a_sentence(changes, said):
    with pytest.raises(StudyError, match=said):
        validated(RunSpec, {**SMALL, **changes}, "mine")


def test_a_specification_with_tables_is_plain_data_and_comes_back():
    asked = spec(depth={**GROWING, "pruning": {}}, regularisers={"squares": 0.1}, budget=1e9)
    assert RunSpec(**json.loads(json.dumps(asked.model_dump()))) == asked
    assert len({asked, spec(), spec(depth=GROWING)}) == 3
    with pytest.raises(pydantic.ValidationError):
        DepthSpec(growth={"every": 1}, other=1)


def test_finished_runs_of_other_settings_are_refused_before_anything_trains(
    dataset, tmp_path, in_this_process
):
    asked = {"one": spec(), "two": spec(seed=1)}
    training.train_all([(dataset, asked)], tmp_path, 1)
    other = {**asked, "two": spec(seed=1, learning_rate=0.5)}
    with pytest.raises(
        StudyError, match=r"holds a finished run with learning_rate = 0\.003, and 0\.5 was asked"
    ):
        training.train_all([(dataset, other)], tmp_path, 1)
