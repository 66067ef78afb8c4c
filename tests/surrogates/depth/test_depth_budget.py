"""Work in the place of epochs: nets of any depth, and those that change it, are given the same."""

import math

import pytest
import torch
from depth_nets import made, problem
from small_training import StopAfter

from surrogates import SurrogateError, depth
from surrogates.depth import DepthSchedule, Drawn, Growth, Pruning, Splitting
from surrogates.training import Settings

SETTINGS = Settings(epochs=6, batch=8, learning_rate=0.01, seed=3, weight_decay=0.01)
TRAIN, VALID = problem(20, 0), problem(9, 1)
STILL = DepthSchedule()
GROWING = DepthSchedule(growth=Growth(every=2, ratio=0.0, samples=5))
BOTH = DepthSchedule(
    growth=Growth(every=3, count=2, ratio=0.0, samples=5, choice=Drawn(1)),
    pruning=Pruning(threshold=0.2, grace=2),
)


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(v, second[k]) for k, v in first.items())


def test_without_events_it_is_so_many_epochs():
    net = made(rule="positive")
    epoch = sum(p.numel() for p in net.parameters()) * len(TRAIN[0])
    expected = depth.fit(net, TRAIN, VALID, SETTINGS, STILL)
    for budget in (6 * epoch, 6.9 * epoch):  # what buys no epoch changes nothing
        found = depth.fit(net, TRAIN, VALID, SETTINGS, STILL, budget=budget)
        assert (found.epochs, found.ended, found.work) == (6, "budget", 6 * epoch)
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
    budget = 40.0 * sum(p.numel() for p in net.parameters()) * len(TRAIN[0])
    found = depth.fit(net, TRAIN, VALID, SETTINGS, schedule, budget=budget)
    trace = found.trace
    assert trace.events
    assert budget - found.trace.parameters[-1] * len(TRAIN[0]) < found.work <= budget
    # the rate follows the work that has been done, as if the depth stayed: the next epochs at the price of the last
    assert trace.learning_rate == sorted(trace.learning_rate, reverse=True)
    assert trace.learning_rate[0] == SETTINGS.learning_rate
    for epoch in range(1, found.epochs):
        if not any(event.epoch == epoch for event in trace.events):
            spent, cost = trace.work[epoch - 1], trace.parameters[epoch] * len(TRAIN[0])
            left = math.floor((budget - spent) / cost)
            rate = (1 + math.cos(math.pi * spent / (spent + left * cost))) / 2 * SETTINGS.learning_rate
            assert trace.learning_rate[epoch] == pytest.approx(rate, rel=1e-12)


def test_what_the_budget_cannot_train_is_not_inserted():
    """Sensitivities of all samples cost many epochs, and the net that comes of them more an epoch."""
    net = made(rule="positive", layers=1)
    epoch = sum(p.numel() for p in net.parameters()) * len(TRAIN[0])
    schedule = DepthSchedule(growth=Growth(every=1, count=2, ratio=0.0))
    for share in (1.2, 3.0, 9.0, 27.0, 35.0, 43.0, 80.0, 160.0):
        found = depth.fit(net, TRAIN, VALID, SETTINGS, schedule, budget=share * epoch)
        assert found.work <= share * epoch
        assert all(event.epoch < found.epochs for event in found.trace.events), (
            "the last epoch trains every layer"
        )
    assert found.last.layers > 1


@pytest.mark.parametrize("kind", ["ResNet", "AdditiveDenseNet", "ConcatenatingDenseNet", "Fractional"])
@pytest.mark.parametrize("held", [None, 12])
@pytest.mark.parametrize("count", [1, 3])
def test_attempts_in_vain_stay_within(kind, held, count):
    """Outputs that do not follow from inputs: most steps are tried again and again, and left out in the end."""
    net, kinds = made(kind, rule="positive", layers=2), []
    epoch = sum(p.numel() for p in net.parameters()) * 20
    for seed in (0, 2):
        growth = Growth(every=1, count=count, ratio=0.0, samples=3, held=held)
        for share in (7.0, 60.0):
            found = depth.fit(
                net, problem(20, seed), VALID, SETTINGS, DepthSchedule(growth=growth), budget=share * epoch
            )
            assert found.work <= share * epoch
            assert all(event.epoch < found.epochs for event in found.trace.events if event.kind == "insert")
            kinds += [event.kind for event in found.trace.events]
    assert kinds
    assert count > 1 or "insert" in kinds
    assert held is None or "none" in kinds


def test_only_the_layers_that_there_is_room_for_are_paid_for():
    net = made(rule="positive", layers=2)
    budget = 25.0 * sum(p.numel() for p in net.parameters()) * len(TRAIN[0])
    one, many = (
        depth.fit(
            net,
            TRAIN,
            VALID,
            SETTINGS,
            DepthSchedule(growth=Growth(every=1, count=count, ratio=0.0, samples=5), deepest=3),
            budget=budget,
        )
        for count in (1, 8)
    )
    assert one.last.layers == 3
    assert many.trace == one.trace


def test_training_sets_of_changing_size_end_with_the_budget(tmp_path):
    net = made(rule="positive")
    size = sum(p.numel() for p in net.parameters())
    counts = [4, 4, 20]

    def train(epoch):
        return tuple(part[: counts[epoch]] for part in TRAIN)

    path = tmp_path / "checkpoint.pt"
    found = depth.fit(
        net, train, VALID, SETTINGS, STILL, budget=27.0 * size, checkpoint=path, checkpoint_seconds=1e6
    )
    assert (found.epochs, found.ended, found.work) == (2, "budget", 8 * size)  # the third would make it 28
    again = depth.fit(net, train, VALID, SETTINGS, STILL, budget=27.0 * size, checkpoint=path)
    assert again == found
    counts[0] = 20
    with pytest.raises(SurrogateError, match="one epoch of this net costs"):
        depth.fit(net, train, VALID, SETTINGS, STILL, budget=19.0 * size)


@pytest.mark.parametrize("kind", ["ResNet", "AdditiveDenseNet", "ConcatenatingDenseNet", "Fractional"])
def test_sensitivities_are_paid_as_two_adjoints_of_the_net_with_every_new_layer(kind):
    net = made(kind, rule="positive")
    sizes = [sum(p.numel() for p in each.parameters()) for each in (net, depth.insert(net, range(5)).net)]
    schedule = DepthSchedule(growth=Growth(every=1, ratio=1e9, samples=5))  # ranks, and finds none
    found = depth.fit(net, TRAIN, VALID, SETTINGS, schedule)
    assert {event.kind for event in found.trace.events} == {"none"}
    paid = found.work - 6 * sizes[0] * len(TRAIN[0])
    assert paid == pytest.approx(5 * 2 * max(2 * sizes[0], sizes[1]) * 5, rel=1e-12)


def test_attempts_in_vain_are_counted_over_a_cut(tmp_path):
    """Without the cut growing ends after two attempts; with one between them it ends there, too."""
    schedule = DepthSchedule(growth=Growth(every=1, ratio=1e9, samples=5, patience=2))
    net, path = made(rule="positive"), tmp_path / "checkpoint.pt"
    whole = depth.fit(net, TRAIN, VALID, SETTINGS, schedule)
    assert [event.epoch for event in whole.trace.events] == [1, 2]
    keep = {"checkpoint": path, "checkpoint_seconds": 0.0}
    with pytest.raises(StopAfter):
        depth.fit(net, TRAIN, VALID, SETTINGS, schedule, callbacks=[StopAfter(1)], **keep)
    assert depth.fit(net, TRAIN, VALID, SETTINGS, schedule, **keep).trace == whole.trace


@pytest.mark.parametrize("growth", [Growth(every=1, ratio=0.0), Splitting(every=1)], ids=["insert", "split"])
def test_a_net_deeper_than_the_deepest_does_not_grow(growth):
    found = depth.fit(made(), TRAIN, VALID, SETTINGS, DepthSchedule(growth=growth, deepest=3))
    assert found.trace.depth == [4] * 6
    assert not found.trace.events


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
