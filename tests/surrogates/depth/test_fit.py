"""Training that changes depth: the trainer where nothing happens, and the same bits when cut and continued."""

import copy
import json
import math
from dataclasses import asdict, replace

import pytest
import torch
from depth_nets import GROWING as GROWING_RULES
from depth_nets import KINDS, made, problem, scattered
from small_training import StopAfter

from surrogates import Fractional, ResNet, SurrogateError, TimeGrid, architecture, depth, ensemble, training
from surrogates.depth import (
    DepthSchedule,
    Drawn,
    Growth,
    Horizon,
    Magnitude,
    Pruning,
    Smallest,
    Splitting,
    insert,
)
from surrogates.training import Settings

SETTINGS = Settings(epochs=6, batch=8, learning_rate=0.01, seed=3, weight_decay=0.01)
TRAIN, VALID = problem(20, 0), problem(9, 1)
STILL = DepthSchedule()
GROWING = DepthSchedule(growth=Growth(every=2, ratio=0.0))
BOTH = DepthSchedule(
    growth=Growth(every=3, count=2, ratio=0.0, choice=Drawn(1)), pruning=Pruning(threshold=0.2, grace=2)
)


def sgd(net):
    return torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(v, second[k]) for k, v in first.items())


class TestTrainer:
    """Without events it is the trainer, bit for bit."""

    @pytest.mark.parametrize("make", [None, sgd], ids=["adamw", "sgd"])
    def test_without_events_nothing_differs(self, make):
        settings = SETTINGS if make is None else replace(SETTINGS, weight_decay=0.0)
        net, regulariser = made(rule="free"), Horizon(0.1, 2.0)
        found = depth.fit(net, TRAIN, VALID, settings, STILL, optimiser=make, regulariser=regulariser)
        expected = training.fit(net, TRAIN, VALID, settings, optimiser=make, regulariser=regulariser)
        assert same(found.net.state_dict(), net.state_dict())
        assert (found.best_epoch, found.best_loss) == (expected.best_epoch, expected.best_loss)
        for name in ("train_loss", "valid_loss", "learning_rate", "gradient_norm", "regulariser"):
            assert getattr(found.trace, name) == getattr(expected.trace, name), name
        assert found.trace.steps == expected.trace.steps[1:]
        assert found.trace.depth == [4] * 6

    def test_the_net_that_is_given_stays(self):
        net = made()
        before = copy.deepcopy(net.state_dict())
        depth.fit(net, TRAIN, VALID, SETTINGS, GROWING)
        assert same(net.state_dict(), before)
        assert net.layers == 4

    def test_patience_counts_from_the_last_event(self):
        net = made()
        valid = VALID[0], net(VALID[0]).detach()  # which training can only leave
        settings = replace(SETTINGS, epochs=20, patience=2, learning_rate=0.05)
        assert depth.fit(net, TRAIN, valid, settings, STILL).ended == "patience"
        schedule = DepthSchedule(growth=Growth(every=2, times=2, ratio=0.0))
        found = depth.fit(net, TRAIN, valid, settings, schedule)
        assert found.epochs >= 6


class TestEvents:
    @pytest.mark.parametrize("kind", KINDS)
    def test_grows_in_every_family(self, kind):
        found = depth.fit(made(kind, "positive"), TRAIN, VALID, SETTINGS, GROWING)
        assert [event.kind for event in found.trace.events] == ["insert", "insert"]
        assert found.trace.depth == [4, 4, 5, 5, 6, 6]
        assert found.last.layers == len(found.trace.steps[-1]) == 6
        for event in found.trace.events:
            assert event.train_loss[1] <= event.train_loss[0] * (1 + 1e-12)
            assert 0 < event.steps[0] <= 0.1 * 0.4
            assert event.sensitivities[event.layers[0] - 1] == max(event.sensitivities)
        assert found.trace.parameters[0] < found.trace.parameters[2] < found.trace.parameters[4]
        assert found.trace.work == sorted(found.trace.work)
        assert json.loads(json.dumps(asdict(found.trace))) == asdict(found.trace)

    @pytest.mark.parametrize("time_rule", GROWING_RULES)
    @pytest.mark.parametrize("radius", [0.0, 0.5])
    def test_grows_under_every_rule(self, time_rule, radius):
        schedule = DepthSchedule(growth=Growth(every=1, times=2, ratio=0.0, radius=radius, count=2))
        found = depth.fit(made(rule=time_rule, timed_lift=True), TRAIN, VALID, SETTINGS, schedule)
        if radius > 0:  # otherwise only where the neighbour's weights descend by a positive step
            assert found.trace.depth[2:] == [8] * 4
        assert found.trace.depth[-1] > 4
        for event in found.trace.events:
            assert event.train_loss[1] < event.train_loss[0]

    @pytest.mark.parametrize("time_rule", ["free", "dependent"])
    def test_a_layer_at_rest_grows_by_its_own_derivative(self, time_rule):
        """No step is set: the function is the same after the event, and training moves the step."""
        schedule = DepthSchedule(growth=Growth(every=2, times=1, ratio=0.0, step=0.0))
        found = depth.fit(made(rule=time_rule), TRAIN, VALID, SETTINGS, schedule)
        (event,) = found.trace.events
        assert event.change < 1e-12
        assert event.steps[0] == pytest.approx(0, abs=1e-15)
        assert abs(found.trace.steps[-1][event.layers[0] - 1]) > 1e-3

    def test_where_nothing_is_sensitive_enough_nothing_grows(self):
        schedule = DepthSchedule(growth=Growth(every=2, ratio=1e6))
        found = depth.fit(made(), TRAIN, VALID, SETTINGS, schedule)
        assert [event.kind for event in found.trace.events] == ["none", "none"]
        assert found.last.layers == 4
        event = found.trace.events[0]
        assert max(event.sensitivities) <= 1e6 * event.mean

    def test_ratio_is_to_the_mean_of_the_layers_there_are(self):
        first = depth.fit(made(), TRAIN, VALID, SETTINGS, GROWING).trace.events[0]
        bar = max(first.sensitivities) / first.mean
        for ratio, kind in ((0.99 * bar, "insert"), (1.01 * bar, "none")):
            schedule = DepthSchedule(growth=Growth(every=2, times=1, ratio=ratio))
            assert depth.fit(made(), TRAIN, VALID, SETTINGS, schedule).trace.events[0].kind == kind

    def test_few_samples_tell_the_sensitivities_for_less_work(self):
        net = made(rule="positive")
        few, all_of_them = (
            depth.fit(
                net, TRAIN, VALID, SETTINGS, DepthSchedule(growth=Growth(every=3, ratio=0.0, samples=n))
            )
            for n in (5, None)
        )
        assert few.trace.events[0].kind == all_of_them.trace.events[0].kind == "insert"
        assert few.trace.work[-1] < all_of_them.trace.work[-1]
        subset = depth.fit(
            net,
            TRAIN,
            VALID,
            SETTINGS,
            DepthSchedule(growth=Growth(every=3, ratio=0.0, samples=len(TRAIN[0]))),
        )
        assert subset.trace == all_of_them.trace

    def test_smallest_takes_the_other_end(self):
        schedule = DepthSchedule(growth=Growth(every=2, times=1, ratio=0.0, radius=0.0, choice=Smallest()))
        net = scattered(ResNet(3, 2, 4, TimeGrid.free(4, 1.3)), torch.Generator().manual_seed(5))
        (event,) = depth.fit(net, TRAIN, VALID, SETTINGS, schedule).trace.events
        assert event.sensitivities[event.layers[0] - 1] == min(event.sensitivities)

    def test_times_and_deepest_limit_growth(self):
        schedule = DepthSchedule(growth=Growth(every=1, count=3, ratio=0.0, times=2), deepest=8)
        assert depth.fit(made(), TRAIN, VALID, SETTINGS, schedule).trace.depth == [4, 7, 8, 8, 8, 8]

    @pytest.mark.parametrize("kind", ["ResNet", "Fractional"])
    def test_a_step_that_is_too_long_is_shortened(self, kind):
        """Asked for ten mean steps, a new layer gets what lowers the loss, by whole halvings of its gain."""
        schedule = DepthSchedule(growth=Growth(every=2, times=1, ratio=0.0, step=10.0))
        found = depth.fit(made(kind), TRAIN, VALID, SETTINGS, schedule)
        (event,) = found.trace.events
        asked = 10 * sum(found.trace.steps[1]) / 4
        halvings = math.log2(asked / event.steps[0]) * getattr(found.last, "order", 1.0)
        assert event.train_loss[1] <= event.train_loss[0] * (1 + 1e-12)
        assert halvings >= 1 - 1e-9
        assert halvings == pytest.approx(round(halvings), abs=1e-6)

    def test_splitting_halves_the_longest_step(self):
        schedule = DepthSchedule(growth=Splitting(every=2, times=1))
        found = depth.fit(made(), TRAIN, VALID, SETTINGS, schedule)
        (event,) = found.trace.events
        longest = max(found.trace.steps[1])
        assert event.layers[0] == found.trace.steps[1].index(longest) + 1
        assert event.steps == [pytest.approx(longest / 2)] * 2
        assert 0 < event.change < 0.05

    def test_splits_several_steps_at_one_time(self):
        """The longest in turn, halves too, as one after the other would; the cost of measuring is that of few."""
        costs = []
        for samples in (None, 5):
            growth = Splitting(every=2, times=1, count=4, samples=samples)
            found = depth.fit(made(), TRAIN, VALID, SETTINGS, DepthSchedule(growth=growth))
            (event,) = found.trace.events
            steps = {number: [step] for number, step in enumerate(found.trace.steps[1])}
            for _ in range(4):
                number, half = max(((k, parts[0]) for k, parts in steps.items()), key=lambda item: item[1])
                place = steps[number].index(half)
                steps[number][place : place + 1] = [half / 2] * 2
                steps[number].sort(reverse=True)
            halves = sorted(step for parts in steps.values() if len(parts) > 1 for step in parts)
            assert event.depth == 8
            assert sorted(event.steps) == pytest.approx(halves)
            costs.append(found.work)
        assert costs[0] == costs[1], "what is measured decides nothing and is no work"
        growth, room = Splitting(every=2, times=1, count=9), 6
        found = depth.fit(made(), TRAIN, VALID, SETTINGS, DepthSchedule(growth=growth, deepest=room))
        assert found.trace.depth[-1] == 6

    @pytest.mark.parametrize("kind", ["ResNet", "Fractional", "AdditiveDenseNet", "ConcatenatingDenseNet"])
    def test_prunes_the_least_and_says_what_changed(self, kind):
        net = made(kind, "positive", layers=5)
        with torch.no_grad():
            net.time.logits[2] = -6.0
        schedule = DepthSchedule(pruning=Pruning())
        found = depth.fit(net, TRAIN, VALID, SETTINGS, schedule)
        (event,) = found.trace.events
        assert (event.kind, event.layers, event.depth, event.epoch) == ("prune", [3], 4, 1)
        assert event.shares[0] < 0.01
        assert event.steps[0] == found.trace.steps[0][2]
        assert 0 < event.change <= event.bound
        assert event.train_loss[0] != event.train_loss[1]
        assert found.trace.depth == [5, 4, 4, 4, 4, 4]

    def test_prunes_several_at_one_time(self):
        schedule = DepthSchedule(pruning=Pruning(threshold=0.99, count=2), shallowest=1)
        found = depth.fit(made(rule="positive"), TRAIN, VALID, SETTINGS, schedule)
        assert [event.epoch for event in found.trace.events] == [1, 1, 2]
        assert [event.depth for event in found.trace.events] == [3, 2, 1]

    def test_prunes_to_the_shallowest_and_no_further(self):
        schedule = DepthSchedule(pruning=Pruning(threshold=0.9, first=1), shallowest=2)
        found = depth.fit(made(), TRAIN, VALID, SETTINGS, schedule)
        assert found.trace.depth == [4, 4, 3, 2, 2, 2]

    def test_spares_layers_that_are_young(self):
        growth = Growth(every=2, times=1, ratio=0.0, step=0.01)
        for grace, layers in ((10, 5), (0, 4)):
            schedule = DepthSchedule(growth=growth, pruning=Pruning(threshold=0.05, grace=grace))
            assert depth.fit(made(), TRAIN, VALID, SETTINGS, schedule).last.layers == layers

    def test_magnitude_empties_steps_that_pruning_takes(self):
        """The loss of a net that has learned does not hold all steps: with λ fewer layers are left."""
        settings = replace(SETTINGS, epochs=40, weight_decay=0.0, schedule="constant")
        schedule = DepthSchedule(pruning=Pruning(threshold=0.05))
        kept = [
            depth.fit(
                made(rule="free", layers=6), TRAIN, VALID, settings, schedule, optimiser=sgd, regulariser=each
            ).last.layers
            for each in (None, Magnitude(0.5))
        ]
        assert kept[1] < kept[0]

    def test_result_has_the_best_net_in_its_depth(self):
        found = depth.fit(made(), TRAIN, VALID, SETTINGS, BOTH)
        assert found.net.layers == found.trace.depth[found.best_epoch - 1]
        loss = (found.net(VALID[0]) - VALID[1]).square().mean().item()
        assert loss == found.best_loss == min(found.trace.valid_loss)


class TestResume:
    @pytest.mark.parametrize("epoch", [2, 4])
    @pytest.mark.parametrize("kind", ["ResNet", "Fractional", "AdditiveDenseNet", "ConcatenatingDenseNet"])
    def test_cut_and_continued_is_uninterrupted(self, kind, epoch, tmp_path):
        net, path = made(kind, "positive"), tmp_path / "run.pt"
        expected = depth.fit(net, TRAIN, VALID, SETTINGS, BOTH, regulariser=Magnitude(0.01))
        options = {"regulariser": Magnitude(0.01), "checkpoint": path, "checkpoint_seconds": 0}
        with pytest.raises(StopAfter):
            depth.fit(net, TRAIN, VALID, SETTINGS, BOTH, callbacks=[StopAfter(epoch)], **options)
        found = depth.fit(net, TRAIN, VALID, SETTINGS, BOTH, **options)
        assert found == expected
        assert len(found.trace.events) > 2
        for one, other in ((found.net, expected.net), (found.last, expected.last)):
            assert same(one.state_dict(), other.state_dict())

    def test_equal_arguments_give_equal_runs(self):
        first, second = (depth.fit(made(), TRAIN, VALID, SETTINGS, BOTH) for _ in range(2))
        assert first == second
        assert same(first.last.state_dict(), second.last.state_dict())

    def test_a_finished_run_returns_at_once(self, tmp_path):
        path, seen = tmp_path / "run.pt", []
        first = depth.fit(made(), TRAIN, VALID, SETTINGS, BOTH, checkpoint=path)
        again = depth.fit(made(), TRAIN, VALID, SETTINGS, BOTH, checkpoint=path, progress=seen.append)
        assert again == first
        assert seen == []

    def test_a_checkpoint_belongs_to_its_schedule_and_net(self, tmp_path):
        path = tmp_path / "run.pt"
        depth.fit(made(), TRAIN, VALID, SETTINGS, BOTH, checkpoint=path)
        with pytest.raises(SurrogateError, match="depth schedule"):
            depth.fit(made(), TRAIN, VALID, SETTINGS, GROWING, checkpoint=path)
        with pytest.raises(SurrogateError, match="another net"):
            depth.fit(made(layers=3), TRAIN, VALID, SETTINGS, BOTH, checkpoint=path)
        training.fit(made(), TRAIN, VALID, SETTINGS, checkpoint=tmp_path / "other.pt")
        with pytest.raises(SurrogateError, match="fixed depth"):
            depth.fit(made(), TRAIN, VALID, SETTINGS, BOTH, checkpoint=tmp_path / "other.pt")


class TestRefuses:
    @pytest.mark.parametrize(
        "several",
        [lambda: [made()], lambda: ensemble.stack([made(), made(seed=1)])],
        ids=["list", "ensemble"],
    )
    def test_several_nets(self, several):
        with pytest.raises(SurrogateError, match="train them singly"):
            depth.fit(several(), TRAIN, VALID, SETTINGS, GROWING)

    def test_lbfgs(self):
        settings = Settings(epochs=1, batch=None, learning_rate=1.0, optimiser="lbfgs", schedule="constant")
        with pytest.raises(SurrogateError, match="L-BFGS"):
            depth.fit(made(), TRAIN, VALID, settings, GROWING)

    def test_a_layer_that_would_never_wake(self):
        schedule = DepthSchedule(growth=Growth(every=1, step=0.0))
        for kind in ("ResNet", "Fractional"):
            with pytest.raises(SurrogateError, match="never wake"):
                depth.fit(made(kind, "positive"), TRAIN, VALID, SETTINGS, schedule)

    def test_a_net_that_cannot_grow_before_it_trains(self):
        net = ResNet(3, 2, 4, TimeGrid.uniform(4, 1.0))
        with pytest.raises(SurrogateError, match="equal steps"):
            depth.fit(net, TRAIN, VALID, SETTINGS, DepthSchedule(growth=Growth(every=100)))

    def test_no_schedule(self):
        with pytest.raises(SurrogateError, match="needs a DepthSchedule"):
            depth.fit(made(), TRAIN, VALID, SETTINGS, Growth(every=1))


@pytest.mark.parametrize("kind", KINDS)
def test_in_single_precision(kind):
    train, valid = (tuple(part.float() for part in pair) for pair in (TRAIN, VALID))
    found = depth.fit(made(kind).float(), train, valid, SETTINGS, BOTH)
    assert found.last(valid[0]).dtype == torch.float32
    assert {event.kind for event in found.trace.events} == {"insert", "prune"}


@pytest.mark.parametrize("time_rule", GROWING_RULES)
def test_a_grown_net_can_be_stored(time_rule):
    """Also with a layer at rest."""
    net, (x, _) = insert(made(rule=time_rule), 2).net, problem()
    again = architecture.build(architecture.describe(net))
    again.load_state_dict(net.state_dict(), assign=True)
    assert torch.equal(again(x), net(x))


def test_growing_a_fractional_net_keeps_its_order():
    found = depth.fit(made("Fractional-antisymmetric"), TRAIN, VALID, SETTINGS, GROWING).last
    assert isinstance(found, Fractional)
    assert found.order == 0.3
