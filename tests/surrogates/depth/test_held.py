"""Steps that are tried on samples which have not steered the new layers."""

import copy

import pytest
import torch
from depth_nets import made, problem

from surrogates import FeedForward, SurrogateError, depth
from surrogates.depth import DepthSchedule, Growth
from surrogates.training import Settings

SETTINGS = Settings(epochs=3, batch=8, learning_rate=0.01, seed=3)
VALID = problem(9, 1)
STEERING, HELD = 6, 9
GROWTH = {"every": 2, "times": 1, "ratio": 0.0, "samples": STEERING}


class After:
    """The net after an epoch and its events."""

    def __init__(self, epoch):
        self.epoch, self.net = epoch, None

    def on_epoch(self, state):
        if state.epoch == self.epoch:
            self.net = copy.deepcopy(state.net)


def grown(rule, seed, held, kind="ResNet"):
    """The event of a growth after two epochs, the net after it and the same net without it, and their data."""
    train, found = problem(20, seed), []  # outputs that do not follow from inputs: what steers is chance
    for schedule in (
        DepthSchedule(),
        DepthSchedule(growth=Growth(held=held, **GROWTH)),
    ):
        after = After(2)
        result = depth.fit(made(kind, rule, seed=seed), train, VALID, SETTINGS, schedule, callbacks=[after])
        found.append((result, after.net))
    (_, without), (result, with_it) = found
    (event,) = result.trace.events
    return event, with_it, without, train


@torch.no_grad()
def loss(net, pair):
    return (net(pair[0]) - pair[1]).square().mean().item()


@pytest.mark.parametrize("time_rule", ["free", "positive", "simplex", "dependent"])
def test_layers_come_where_the_loss_of_held_samples_falls_and_nowhere_else(time_rule):
    kinds = set()
    for seed in range(12):
        event, with_it, without, train = grown(time_rule, seed, HELD)
        held = [values[STEERING : STEERING + HELD] for values in train]
        kinds.add(event.kind)
        if event.kind == "insert":
            assert with_it.layers == 5
            assert loss(with_it, held) < loss(without, held)
        else:
            assert with_it.layers == 4
            for name, value in without.state_dict().items():
                torch.testing.assert_close(with_it.state_dict()[name], value, rtol=0, atol=1e-12)
    assert kinds == {"insert", "none"}


def test_without_them_the_loss_of_others_may_rise():
    """Why they are held: all insertions are taken, and other samples pay for some."""
    rises = []
    for seed in range(12):
        event, with_it, without, train = grown("positive", seed, None)
        assert event.kind == "insert"
        others = [values[STEERING:] for values in train]
        rises.append(loss(with_it, others) > loss(without, others))
    assert any(rises)


def test_a_growth_that_came_to_nothing_is_not_counted_and_comes_again():
    seed = next(seed for seed in range(12) if grown("positive", seed, HELD)[0].kind == "none")
    settings = Settings(epochs=12, batch=8, learning_rate=0.01, seed=3)
    schedule = DepthSchedule(growth=Growth(held=HELD, **GROWTH))
    found = depth.fit(made("ResNet", "positive", seed=seed), problem(20, seed), VALID, settings, schedule)
    kinds = [event.kind for event in found.trace.events]
    assert len(kinds) > 1
    assert kinds[0] == "none"
    assert kinds.count("insert") <= 1
    assert found.last.layers == 4 + kinds.count("insert")


@pytest.mark.parametrize("patience", [1, 2])
def test_after_so_many_attempts_in_vain_growing_ends(patience):
    settings = Settings(epochs=40, batch=8, learning_rate=0.01, seed=3)
    schedule = DepthSchedule(
        growth=Growth(every=1, ratio=0.0, samples=STEERING, held=HELD, patience=patience)
    )
    vain, met = ["none"] * patience, set()
    for seed in range(4):
        found = depth.fit(made(rule="positive", seed=seed), problem(20, seed), VALID, settings, schedule)
        kinds = [event.kind for event in found.trace.events]
        ends = [end for end in range(patience, len(kinds) + 1) if kinds[end - patience : end] == vain]
        assert ends == [len(kinds)]
        assert found.trace.events[-1].epoch < 40
        met.update(kinds)
    assert met == {"insert", "none"}


def test_layers_of_one_insertion_come_or_are_left_out_together():
    come = set()
    for seed in range(12):
        growth = Growth(every=2, times=1, count=2, ratio=0.0, samples=STEERING, held=HELD)
        schedule = DepthSchedule(growth=growth)
        found = depth.fit(made(rule="free", seed=seed), problem(20, seed), VALID, SETTINGS, schedule)
        (event,) = found.trace.events
        come.add(len(event.layers))
        assert len({abs(step) for step in event.steps}) <= 1
    assert come == {0, 2}


@pytest.mark.parametrize(("digits", "kind"), [("float32", "none"), ("float64", "insert")])
def test_a_fall_within_rounding_is_none(digits, kind):
    """J is 1e5 and falls by a few units in the last place of float32, by which sums of others may differ."""
    dtype = getattr(torch, digits)
    train, valid = ([part.to(dtype) for part in pair] for pair in (problem(20, 2), VALID))
    schedule = DepthSchedule(growth=Growth(held=HELD, **GROWTH))
    net = made(rule="positive", seed=2).to(dtype)
    for base in (0.0, 1e5, -1e5):
        found = depth.fit(
            net, train, valid, SETTINGS, schedule, loss=lambda p, y, base=base: (p - y).square().mean() + base
        )
        (event,) = found.trace.events
        assert event.kind == (kind if base else "insert")


def test_trials_cost_work():
    train = problem(20, 0)
    works = [
        depth.fit(
            made("ResNet", "positive"),
            train,
            VALID,
            SETTINGS,
            DepthSchedule(growth=Growth(held=held, **GROWTH)),
        ).trace
        for held in (1, 14)
    ]
    assert works[0].work[0] == works[1].work[0]
    assert works[0].work[-1] != works[1].work[-1]


@pytest.mark.parametrize("wrong", [0, 2.5, True, "few"])
def test_a_wrong_number_is_told(wrong):
    with pytest.raises(SurrogateError, match=f"held must be None or a whole number >= 1, but is {wrong!r}"):
        Growth(every=2, samples=3, held=wrong)


@pytest.mark.parametrize("change", [{"samples": None}, {"step": 0}])
def test_held_samples_that_nothing_would_be_tried_on(change):
    with pytest.raises(SurrogateError, match="give samples and a step > 0, or leave held out"):
        Growth(**{"every": 2, "samples": 3, "held": 3, **change})


def test_more_samples_than_there_are():
    schedule = DepthSchedule(growth=Growth(every=2, samples=12, held=9))
    with pytest.raises(SurrogateError, match=r"steers by 12 samples and tries steps on 9 others, .* has 20"):
        depth.fit(made(), problem(20, 0), VALID, SETTINGS, schedule)


def test_a_net_without_steps():
    schedule = DepthSchedule(growth=Growth(every=2, samples=3, held=3))
    net = FeedForward(3, 2, 4, 2, activation=torch.relu).double()
    with pytest.raises(SurrogateError, match="a FeedForward has no time steps: leave held out"):
        depth.fit(net, problem(20, 0), VALID, SETTINGS, schedule)
