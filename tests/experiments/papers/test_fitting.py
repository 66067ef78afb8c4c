"""Networks fitted to targets: closed forms, pairing by seeds, gradients, and numbers that repeat."""

import json
import math

import numpy as np
import pytest
import torch

from experiments.papers.fitting import Fit, Member, build, logistic, train
from experiments.papers.outcomes import Outcomes, difference, members, ratio, share
from experiments.papers.targets import TARGETS, peaks, star
from surrogates import analysis, losses

SMALL = {"layers": 3, "width": 4, "points": 40, "batch": 20, "epochs": 3, "learning_rate": 1e-2}
MEMBERS = (Member(seed=0), Member(seed=1, time="positive", horizon=2.0))
FAMILIES = ["resnet", "dense-additive", "fractional", "feed-forward"]


def fit(**values):
    return Fit(**{"target": "peaks", "family": "resnet", "members": MEMBERS, **SMALL, **values})


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_has_unit_variance_or_two_classes(name):
    target = TARGETS[name]
    grid = target.grid()
    values = target.values(grid)
    assert grid.shape == (4096, target.inputs)
    assert values.shape == (4096, 1)
    assert np.abs(grid).max() < 1
    if target.classes:
        assert set(values.ravel()) == {-1.0, 1.0}
    else:
        assert (values.mean(), values.std()) == (pytest.approx(0, abs=1e-12), pytest.approx(1))
        assert target.values(grid[:7]) == pytest.approx(values[:7])


def test_peaks_is_the_surface_that_matlab_documents():
    """z(0, 0) = 3/e − 1/(3e) by the formula; z is greatest, 8.106, near (−0.01, 1.58)."""
    assert peaks(np.zeros((1, 2)))[0] == pytest.approx((3 - 1 / 3) / math.e)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 601)] * 2, indexing="ij"), -1).reshape(-1, 2)
    z = peaks(grid)
    assert z.max() == pytest.approx(8.106, abs=2e-3)
    assert 3 * grid[z.argmax()] == pytest.approx([-0.01, 1.58], abs=0.01)


def test_the_star_has_its_area_and_its_corners():
    area = 5 * 0.9 * 0.4 * math.sin(math.pi / 5)
    points = np.random.default_rng(0).uniform(-1, 1, (200_000, 2))
    assert 4 * (star(points) > 0).mean() == pytest.approx(area, rel=0.01)
    angles = math.pi / 2 + 2 * math.pi * np.arange(10) / 10
    corners = np.where(np.arange(10) % 2, 0.4, 0.9)[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    assert (star(0.98 * corners) > 0).all()
    assert (star(1.02 * corners) < 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fit_repeats_and_is_plain_data(family, tmp_path):
    spec = fit(family=family).model_dump(mode="json")
    found = train(spec, tmp_path)
    assert json.loads(json.dumps(found, allow_nan=False)) == found == train(spec, tmp_path)
    assert not list(tmp_path.glob("*.pt"))
    for outcome in found["members"]:
        assert outcome["failed"] == ""
        assert 0 < outcome["error"] < 2
    if family != "feed-forward":
        fixed, learned = found["members"]
        assert fixed["steps"] == pytest.approx([1 / 3] * 3)
        assert learned["horizon"] != pytest.approx(2.0, abs=1e-4)


def test_training_reduces_the_error(tmp_path):
    """A sine is learned to a tenth, from an error near 1."""
    found = train(
        fit(
            target="sine", width=12, points=200, epochs=120, members=[Member(seed=0, horizon=8.0)]
        ).model_dump(),
        tmp_path,
    )
    assert found["members"][0]["error"] < 0.1


def test_classes_are_told_apart(tmp_path):
    found = train(
        fit(
            target="star", width=12, points=300, epochs=60, members=[Member(seed=0, horizon=8.0)]
        ).model_dump(),
        tmp_path,
    )
    assert found["members"][0]["error"] < 0.2  # the star is 0.26 of the square


def test_a_network_that_leaves_the_numbers_is_told(tmp_path):
    spec = fit(activation="relu", scale=1e30, layers=8, members=[Member(seed=0, horizon=8.0)])
    (outcome,) = train(spec.model_dump(), tmp_path)["members"]
    assert outcome["error"] is None
    assert outcome["failed"]


def test_pairs_start_from_the_same_weights():
    resnet, memory = (build(fit(family=family), Member(seed=3), 2) for family in ("resnet", "fractional"))
    for name, value in resnet.state_dict().items():
        assert torch.equal(value, memory.state_dict()[name])
    scaled = build(fit(scale=4.0), Member(seed=3), 2)
    assert torch.equal(scaled.layer_weight, 4 * resnet.layer_weight)
    assert torch.equal(scaled.lift_weight, resnet.lift_weight)
    plain = build(fit(family="feed-forward"), Member(seed=3), 2)
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in resnet.parameters())


def test_decades_are_those_of_the_gradient_profile(tmp_path):
    """A learning rate of next to nothing leaves the start, so start and end agree, with memory and without."""
    for family in FAMILIES:
        spec = fit(family=family, learning_rate=1e-12, epochs=1, layers=6)
        for outcome in train(spec.model_dump(), tmp_path)["members"]:
            assert outcome["start"]["states"] == pytest.approx(outcome["end"]["states"], abs=1e-4)
            assert outcome["start"]["weights"] == pytest.approx(outcome["end"]["weights"], abs=1e-4)
    net = build(fit(layers=6), MEMBERS[0], 2)
    drawn = np.random.default_rng([0, 40]).uniform(-1, 1, (2, 40, 2))[1]
    x, y = (torch.as_tensor(part, dtype=torch.float32) for part in (drawn, TARGETS["peaks"].values(drawn)))
    profile = analysis.profile(net, x, y)
    (outcome, _) = train(fit(layers=6, epochs=1).model_dump(), tmp_path)["members"]
    assert outcome["start"]["states"] == pytest.approx(
        math.log10(profile.states[1] / profile.states[-1]), abs=1e-5
    )
    assert profile.loss == pytest.approx(losses.mse(net(x), y).item())


def test_plain_layers_lose_the_gradient_exponentially(tmp_path):
    """Weights uniform in ±1/√w shrink a vector by 1/√3 a layer, 0.24 decades; 200 layers are beyond float32."""
    spec = fit(family="feed-forward", layers=200, width=16, epochs=1, members=[Member(seed=0)])
    (outcome,) = train(spec.model_dump(), tmp_path)["members"]
    assert outcome["start"]["states"] < -40


def test_the_logistic_loss_of_a_net_that_is_sure():
    y = torch.tensor([[1.0], [-1.0]])
    assert logistic(100 * y, y) == pytest.approx(0, abs=1e-6)
    assert logistic(0 * y, y) == pytest.approx(math.log(2))
    assert logistic(-100 * y, y) == pytest.approx(100)


def outcomes(*rows):
    return Outcomes(
        tuple(
            (fit(), Member(seed=seed, horizon=horizon), {"valid": valid, "error": error})
            for seed, horizon, valid, error in rows
        )
    )


def test_groups_hold_every_seed_once_with_every_variant():
    groups = list(members(5, 2, [{"time": "fixed"}, {"time": "positive", "horizon": 4.0}]))
    assert [len(group) for group in groups] == [4, 4, 2]
    found = [(member.seed, member.time) for group in groups for member in group]
    assert sorted(found) == [(seed, time) for seed in range(5) for time in ("fixed", "positive")]


def test_the_best_horizon_has_the_smallest_loss_and_no_failure():
    found = outcomes((0, 1.0, 0.5, 1.0), (1, 1.0, 0.4, 1.0), (0, 2.0, 0.1, 1.0), (1, 2.0, 0.6, 1.0))
    assert found.best_horizon() == 2.0
    failed = outcomes(*[(s, 1.0, 0.5, 1.0) for s in (0, 1)], (0, 2.0, 0.1, 1.0), (1, 2.0, None, None))
    assert failed.best_horizon() == 1.0


def test_pairs_leave_out_seeds_without_a_number_and_say_so():
    one, two = {0: 1.0, 1: None, 2: 4.0}, {0: 2.0, 1: 3.0, 2: 8.0}
    found = ratio(one, two)
    assert (found.value, found.count) == (pytest.approx(0.5), 2)
    assert "1 of 3 seeds" in found.note
    assert difference(one, two).value == -2.5
    assert difference({0: None}, {0: 1.0}).value is None
    assert share(one, 2.0) == {0: 1.0, 1: 0.0, 2: 0.0}


def test_numbers_are_of_one_network_a_seed():
    with pytest.raises(ValueError, match="narrow the choice"):
        outcomes((0, 1.0, 0.5, 1.0), (0, 2.0, 0.1, 1.0)).errors()
