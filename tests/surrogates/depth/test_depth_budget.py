"""Work in the place of epochs: nets of any depth, and those that change it, are given the same."""

import math

import pytest
import torch
from depth_nets import made, problem
from small_training import StopAfter

from surrogates import SurrogateError, depth
from surrogates.depth import DepthSchedule, Drawn, Growth, Pruning
from surrogates.training import Settings

SETTINGS = Settings(epochs=6, batch=8, learning_rate=0.01, seed=3, weight_decay=0.01)
TRAIN, VALID = problem(20, 0), problem(9, 1)
STILL = DepthSchedule()
GROWING = DepthSchedule(growth=Growth(every=2, ratio=0.0))
BOTH = DepthSchedule(
    growth=Growth(every=3, count=2, ratio=0.0, choice=Drawn(1)), pruning=Pruning(threshold=0.2, grace=2)
)


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(v, second[k]) for k, v in first.items())


def test_without_events_it_is_so_many_epochs():
    net = made(rule="positive")
    epoch = sum(p.numel() for p in net.parameters()) * len(TRAIN[0])
    expected = depth.fit(net, TRAIN, VALID, SETTINGS, STILL)
    for budget in (6 * epoch, 6.9 * epoch):
        found = depth.fit(net, TRAIN, VALID, SETTINGS, STILL, budget=budget)
        assert (found.epochs, found.ended) == (6, "budget")
    found = depth.fit(net, TRAIN, VALID, SETTINGS, STILL, budget=6 * epoch)
    assert found.trace == expected.trace
    assert same(found.last.state_dict(), expected.last.state_dict())
    with pytest.raises(SurrogateError, match="one epoch of this net costs"):
        depth.fit(net, TRAIN, VALID, SETTINGS, STILL, budget=0.99 * epoch)
    for wrong in (0, -1.0, math.nan, "much"):
        with pytest.raises(SurrogateError, match="budget must be None or a number > 0"):
            depth.fit(net, TRAIN, VALID, SETTINGS, STILL, budget=wrong)


@pytest.mark.parametrize("schedule", [GROWING, BOTH], ids=["growing", "both"])
def test_growing_and_pruning_stay_within(schedule):
    net = made(rule="positive")
    budget = 20.0 * sum(p.numel() for p in net.parameters()) * len(TRAIN[0])
    found = depth.fit(net, TRAIN, VALID, SETTINGS, schedule, budget=budget)
    trace = found.trace
    assert trace.events
    assert trace.work[-1] <= budget
    # the learning rate follows the work that has been done: here events have no part in the last epoch's
    assert trace.learning_rate == sorted(trace.learning_rate, reverse=True)
    spent = [0.0, *trace.work[:-1]]
    places = [math.floor(SETTINGS.epochs * work / budget) for work in spent]
    assert trace.learning_rate[0] == SETTINGS.learning_rate
    for k, rate in enumerate(trace.learning_rate):
        assert rate <= SETTINGS.rate(places[k]) * SETTINGS.learning_rate * (1 + 1e-12)


def test_cut_and_continued_is_uninterrupted(tmp_path):
    net = made(rule="positive")
    budget = 20.0 * sum(p.numel() for p in net.parameters()) * len(TRAIN[0])
    whole = depth.fit(net, TRAIN, VALID, SETTINGS, BOTH, budget=budget)
    path = tmp_path / "checkpoint.pt"
    keep = {"budget": budget, "checkpoint": path, "checkpoint_seconds": 0.0}
    with pytest.raises(StopAfter):
        depth.fit(net, TRAIN, VALID, SETTINGS, BOTH, callbacks=[StopAfter(2)], **keep)
    again = depth.fit(net, TRAIN, VALID, SETTINGS, BOTH, **keep)
    assert again.trace == whole.trace
    assert same(again.last.state_dict(), whole.last.state_dict())
    assert depth.fit(net, TRAIN, VALID, SETTINGS, BOTH, **keep) == again
    with pytest.raises(SurrogateError, match="budget"):
        depth.fit(net, TRAIN, VALID, SETTINGS, BOTH, **{**keep, "budget": 2 * budget})
