"""Training of many nets as one program: member by member it is the training of one."""

import copy
import math
from dataclasses import asdict, replace

import pytest
import torch
from small_training import SCHEDULES, SETTINGS, TRAIN, VALID, Recorder, StopAfter, data, noisy, receding, same
from torch.utils._python_dispatch import TorchDispatchMode

from surrogates import RULES, Fractional, Order, ResNet, SurrogateError, TimeGrid
from surrogates.losses import mse
from surrogates.training import Cosine, Step, fit, fit_ensemble

LONG = replace(SETTINGS, epochs=13)  # 52 updates

VARIED = [
    replace(LONG, seed=0),
    replace(LONG, seed=1, learning_rate=0.005, schedule=Step(every=4)),
    replace(LONG, seed=1, weight_decay=0.1, clip=0.3),
    replace(LONG, seed=3, learning_rate=0.05, weight_decay=0.3, patience=4),
    replace(LONG, seed=4, clip=0.1, schedule="constant"),
]
"""Settings that differ in all that members may differ in."""


def agree(found, expected, nets, twins, tolerance=1e-12):
    """Whether results, traces and weights are those of single training, to round-off."""
    assert len(found) == len(expected) == len(nets)
    for result, alone, net, twin in zip(found, expected, nets, twins, strict=True):
        for name in ("best_epoch", "epochs", "ended"):
            assert getattr(result, name) == getattr(alone, name)
        assert result.best_loss == pytest.approx(alone.best_loss, rel=1e3 * tolerance)
        trace = asdict(alone.trace)
        for name, entries in asdict(result.trace).items():
            close = {"rtol": 1e3 * tolerance, "atol": tolerance}
            torch.testing.assert_close(torch.tensor(entries), torch.tensor(trace[name]), **close)
        for name, value in twin.state_dict().items():
            torch.testing.assert_close(net.state_dict()[name], value, rtol=0, atol=tolerance)


def both(nets, train, valid, settings, **options):
    """Train nets as an ensemble and copies of them one by one, and compare."""
    twins, count = copy.deepcopy(nets), len(nets)
    found = fit_ensemble(nets, train, valid, settings, **options)
    each = [given if isinstance(given, list) else [given] * count for given in (train, valid, settings)]
    expected = [fit(twin, *given, **options) for twin, *given in zip(twins, *each, strict=True)]
    agree(found, expected, nets, twins)
    return found


class TestMemberByMember:
    """Each net is left as its own training would have left it."""

    def test_fifty_updates_of_every_family_on_every_rule(self, family, build):
        """… in one ensemble, at differing rates, schedules, decays, limits and patience."""
        admitted = [rule for rule in RULES if rule != "free" or not family.positive_steps_only]
        rules = ["simplex", *admitted]  # two of one rule that are not neighbours
        nets = [build(family, rule, seed=i, horizon=1 + i / 4, layers=3) for i, rule in enumerate(rules)]
        settings = [VARIED[i % len(VARIED)] for i in range(len(nets))]
        both(nets, TRAIN, VALID, settings)

    def test_several_rates_on_one_rule(self, rule, build):
        nets = [build(ResNet, rule, seed=seed, layers=3) for seed in range(2)]
        both(nets, TRAIN, VALID, VARIED[2:4])

    def test_single_precision(self, family, build):
        rules, settings = ["simplex", "fixed", "simplex-horizon"], VARIED[1:4]
        nets = [build(family, rule, seed=seed, layers=3).float() for seed, rule in enumerate(rules)]
        twins = copy.deepcopy(nets)
        train, valid = (tuple(part.float() for part in pair) for pair in (TRAIN, VALID))
        found = fit_ensemble(nets, train, valid, settings)
        expected = [fit(twin, train, valid, each) for twin, each in zip(twins, settings, strict=True)]
        agree(found, expected, nets, twins, tolerance=1e-5)

    def test_learned_and_fixed_orders(self, build):
        orders = [Order.learned(0.3), Order.fixed(0.6), Order.learned(0.5)]
        nets = [build(Fractional, "positive", seed=i, order=order) for i, order in enumerate(orders)]
        both(nets, TRAIN, VALID, VARIED[:3])
        assert orders[0]() != 0.3
        assert orders[1]() == 0.6

    def test_exponentials_beside_a_short_step(self, build):
        """Over two blocks of layers, at the tolerance that shows a choice of other nodes best."""
        short = torch.ones(34)
        short[32] = 1e-6
        grids = [TimeGrid.simplex(34), TimeGrid.fixed(steps=short / 34), TimeGrid.positive(34)]
        orders = [Order.learned(0.4), Order.fixed(0.6), Order.fixed(0.6)]
        nets = [
            build(Fractional, time, seed=seed, width=3, order=order, exponentials=1e-2)
            for seed, (time, order) in enumerate(zip(grids, orders, strict=True))
        ]
        both(nets, TRAIN, VALID, VARIED[:3])

    @pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
    def test_every_schedule(self, build, schedule):
        nets = [build(ResNet, "positive", seed=seed, layers=2) for seed in range(2)]
        settings = replace(LONG, epochs=8)
        both(nets, TRAIN, VALID, [replace(settings, schedule=schedule), replace(settings, schedule=Cosine())])

    @pytest.mark.parametrize("change", [{"batch": None}, {"batch": 1}, {"batch": 100}, {"batch": 7}], ids=str)
    def test_every_size_of_batch(self, build, change):
        nets = [build(ResNet, "positive", seed=seed) for seed in range(3)]
        both(nets, TRAIN, VALID, [replace(each, epochs=3, **change) for each in VARIED[:3]])

    def test_one_net_is_an_ensemble(self, build):
        both([build(Fractional, "simplex")], TRAIN, VALID, LONG)

    def test_one_data_set_for_each(self, build):
        """Own noise, on inputs that are shared and on such that are not."""
        x, y = TRAIN
        train = [(x, y), (x + 0.1, y), (x, y + 0.2)]
        valid = [VALID, (VALID[0], VALID[1] + 0.1), VALID]
        for change in ({}, {"batch": None}):
            nets = [build(ResNet, "positive", seed=seed) for seed in range(3)]
            both(nets, train, valid, [replace(each, **change) for each in VARIED[:3]])

    @pytest.mark.parametrize("own", [False, True], ids=["one for all", "one each"])
    def test_fresh_data_in_each_epoch(self, build, own):
        asked = []

        def train(epoch):
            asked.append(epoch)
            return noisy(epoch)

        nets = [build(ResNet, "positive", seed=seed) for seed in range(3)]
        later = [TRAIN, lambda epoch: noisy(epoch + 100), noisy] if own else train
        both(nets, later, VALID, VARIED[:3])
        assert asked == [] if own else asked[:13] == list(range(13))

    def test_another_loss(self, build):
        def relative(prediction, target):
            return ((prediction - target).square().sum(1) / (1 + target.square().sum(1))).mean()

        for change in ({}, {"batch": None}):
            nets = [build(ResNet, "positive", seed=seed) for seed in range(3)]
            settings = [replace(each, **change) for each in VARIED[:3]]
            both(nets, TRAIN, VALID, settings, loss=relative)

    def test_validation_of_a_large_set_in_parts(self, build):
        nets = [build(ResNet, "positive", seed=seed) for seed in range(3)]
        both(nets, TRAIN, data(1000, 5), VARIED[:3])
        nets = [build(ResNet, "positive", seed=seed) for seed in range(2)]
        both(nets, TRAIN, [data(700, 5), data(700, 6)], VARIED[:2])

    def test_out_of_patience_one_after_the_other(self, build):
        nets = [build(ResNet, "positive", seed=seed) for seed in range(4)]
        valid = [receding(nets[0]), VALID, receding(nets[2]), VALID]
        found = both(nets, TRAIN, valid, [replace(LONG, patience=patience) for patience in (2, 8, 4, None)])
        assert [result.ended for result in found] == ["patience", "epochs", "patience", "epochs"]
        assert found[0].epochs < found[2].epochs < 13

    def test_ends_when_all_are_out_of_patience(self, build):
        nets, told = [build(ResNet, "positive", seed=seed) for seed in range(2)], []
        valid = [receding(net) for net in nets]
        found = fit_ensemble(nets, TRAIN, valid, replace(LONG, patience=2), progress=told.append)
        assert len(told) == max(result.epochs for result in found) < 13

    def test_callbacks_see_what_those_of_single_training_see(self, build):
        rules = ["fixed", "positive", "fixed"]
        nets = [build(ResNet, rule, seed=seed) for seed, rule in enumerate(rules)]
        twins, recorders, told = copy.deepcopy(nets), [Recorder() for _ in nets], []
        settings = [replace(SETTINGS, patience=patience) for patience in (None, 1, None)]
        valid = [VALID, receding(nets[1]), VALID]
        fit_ensemble(nets, TRAIN, valid, settings, callbacks=[[r] for r in recorders], progress=told.append)
        for member, (recorder, twin) in enumerate(zip(recorders, twins, strict=True)):
            alone = Recorder()
            fit(twin, TRAIN, valid[member], settings[member], callbacks=[alone])
            assert len(recorder.states) == len(alone.states)
            assert recorder.states[-1].net is nets[member]
            for found, expected in zip(recorder.states, alone.states, strict=True):
                for name in ("epoch", "epochs", "best_epoch"):
                    assert getattr(found, name) == getattr(expected, name)
            for found, expected in zip(recorder.weights, alone.weights, strict=True):
                for name, value in expected.items():
                    torch.testing.assert_close(found[name], value, rtol=0, atol=1e-12)
        assert [len(states) for states in told] == [
            sum(len(recorder.states) >= epoch for recorder in recorders) for epoch in range(1, 7)
        ]

    def test_the_global_generator_is_as_before(self, build):
        torch.manual_seed(5)
        expected = torch.rand(4)
        torch.manual_seed(5)
        fit_ensemble([build(ResNet, "fixed")], TRAIN, VALID, SETTINGS)
        assert torch.equal(torch.rand(4), expected)

    def test_no_update_reads_single_numbers_from_the_device(self, build):
        class Reads(TorchDispatchMode):
            count = 0

            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                self.count += function is torch.ops.aten._local_scalar_dense.default
                return function(*args, **(kwargs or {}))

        counts = []
        for batch in (1, 30):
            nets = [build(ResNet, "positive", seed=seed) for seed in range(3)]
            with Reads() as reads:
                fit_ensemble(nets, TRAIN, VALID, replace(SETTINGS, batch=batch, clip=1.0))
            counts.append(reads.count)
        assert counts[0] == counts[1] > 0


class TestFailure:
    """A member that leaves the numbers is told as single training tells it, and disturbs nobody."""

    @pytest.mark.parametrize(
        ("kind", "where"),
        [
            ("weight", "the loss is not finite, first in the state of layer 2"),
            ("valid", "the validation loss"),
        ],
    )
    def test_the_others_go_on_and_the_sentence_is_the_same(self, build, kind, where):
        nets = [build(ResNet, rule, seed=i) for i, rule in enumerate(["positive", "fixed", "positive"])]
        valid = [VALID] * 3
        if kind == "weight":
            with torch.no_grad():
                nets[1].layer_bias[1, 0] = math.nan
        else:  # finite data with a square that is not
            valid = [VALID, (VALID[0], torch.full_like(VALID[1], 1e200)), VALID]
        twins = copy.deepcopy(nets)
        found = fit_ensemble(nets, TRAIN, valid, VARIED[:3])
        with pytest.raises(SurrogateError) as alone:
            fit(twins[1], TRAIN, valid[1], VARIED[1])
        assert isinstance(found[1], SurrogateError)
        assert str(found[1]) == str(alone.value)
        assert where in str(found[1])
        for name, value in twins[1].state_dict().items():
            torch.testing.assert_close(nets[1].state_dict()[name], value, rtol=0, atol=1e-12, equal_nan=True)
        rest = [fit(twins[i], TRAIN, valid[i], VARIED[i]) for i in (0, 2)]
        agree([found[0], found[2]], rest, [nets[0], nets[2]], [twins[0], twins[2]])

    @pytest.mark.parametrize("fault", ["step", "order"])
    def test_a_sum_of_exponentials_without_numbers(self, build, fault):
        """… in its steps or its order, from which the tables of all members are made."""
        nets = [
            build(
                Fractional,
                "positive",
                seed=seed,
                layers=34,
                width=3,
                order=Order.learned(0.5),
                exponentials=1e-2,
            )
            for seed in range(3)
        ]
        with torch.no_grad():
            (nets[1].time.logits[5:6] if fault == "step" else nets[1].order.logit).fill_(math.nan)
        twins, settings = copy.deepcopy(nets), [replace(each, epochs=3) for each in VARIED[:3]]
        found = fit_ensemble(nets, TRAIN, VALID, settings)
        with pytest.raises(SurrogateError, match=r"first in the state of layer .*time steps") as alone:
            fit(twins[1], TRAIN, VALID, settings[1])
        assert str(found[1]) == str(alone.value)
        assert "no checkpoint was written" in str(found[1])
        rest = [fit(twins[i], TRAIN, VALID, settings[i]) for i in (0, 2)]
        agree([found[0], found[2]], rest, [nets[0], nets[2]], [twins[0], twins[2]])

    def test_an_infinite_gradient_of_a_finite_loss_is_caught_before_the_step(self, build):
        def steep(prediction, target):
            return (prediction - prediction.detach()).abs().sqrt().sum()  # zero, with an infinite slope

        nets = [build(ResNet, "fixed", seed=seed) for seed in range(2)]
        before = copy.deepcopy([net.state_dict() for net in nets])
        found = fit_ensemble(nets, TRAIN, VALID, SETTINGS, loss=steep)
        assert all("epoch 1: the gradient is not finite, though" in str(each) for each in found)
        assert all(same(net.state_dict(), weights) for net, weights in zip(nets, before, strict=True))

    def test_a_rate_beyond_reason_ends_one_member_alone(self, build):
        nets = [build(ResNet, "fixed", seed=seed, activation=lambda z: z**3) for seed in range(1)]
        nets += [copy.deepcopy(nets[0])]
        found = fit_ensemble(nets, TRAIN, VALID, [SETTINGS, replace(SETTINGS, learning_rate=1e4)])
        assert found[0].epochs == 6
        assert "not finite" in str(found[1])
        assert "no checkpoint was written" in str(found[1])


class TestResume:
    """A run that was cut anywhere and continued is the uninterrupted run, bit for bit."""

    def test_ten_epochs_equal_five_and_five(self, family, build, tmp_path):
        """… with a member that is finished before the cut, and one that has failed."""

        def make(first):
            rules = ["simplex", "fixed", "positive", "fixed", "simplex"]
            nets = [build(family, rule, seed=first + i) for i, rule in enumerate(rules)]
            with torch.no_grad():
                nets[3].readout_bias[0] = math.inf
            return nets

        settings, train = [replace(each, epochs=10) for each in VARIED], [TRAIN, noisy, TRAIN, noisy, TRAIN]
        settings[0] = replace(settings[0], patience=2)
        whole = make(0)
        valid = [receding(whole[0]), *[VALID] * 4]
        expected = fit_ensemble(whole, train, valid, settings)
        assert expected[0].ended == "patience"
        path, cut = tmp_path / "run.pt", make(0)
        stop = [[], [StopAfter(5)], [], [], []]
        with pytest.raises(StopAfter):
            fit_ensemble(cut, train, valid, settings, checkpoint=path, checkpoint_seconds=0, callbacks=stop)
        resumed, told = make(99), []  # their own weights must not matter
        found = fit_ensemble(resumed, train, valid, settings, checkpoint=path, progress=told.append)
        assert len(told) == 5
        assert [found[i] for i in (0, 1, 2, 4)] == [expected[i] for i in (0, 1, 2, 4)]
        assert str(found[3]) == str(expected[3])
        for net, twin in zip(resumed, whole, strict=True):
            assert same(net.state_dict(), twin.state_dict())
        again = fit_ensemble(make(50), train, valid, settings, checkpoint=path, progress=told.append)
        assert len(told) == 5  # a finished run returns at once
        assert again[2] == expected[2]

    def test_a_longer_run_continues_a_finished_one(self, build, tmp_path):
        settings = replace(SETTINGS, schedule="constant")
        whole, halves = ([build(ResNet, "positive", seed=seed) for seed in range(2)] for _ in range(2))
        expected = fit_ensemble(whole, TRAIN, VALID, replace(settings, epochs=10))
        fit_ensemble(halves, TRAIN, VALID, replace(settings, epochs=5), checkpoint=tmp_path / "run.pt")
        again = replace(settings, epochs=10)
        assert fit_ensemble(halves, TRAIN, VALID, again, checkpoint=tmp_path / "run.pt") == expected

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"rules": ["positive", "positive"]}, "belongs to another net.*time rule"),
            ({"rules": ["fixed"]}, "belongs to another net.*members"),
            ({"learning_rate": 0.1}, "other settings.*learning_rate 0.02 there, 0.1 here"),
            ({"seeds": [1, 2]}, r"other settings.*seed 3 there, \[1, 2\] here"),
            ({"identity": {"digest": "b"}}, "other settings.*digest 'a' there, 'b' here"),
        ],
        ids=str,
    )
    def test_another_run_is_refused(self, build, tmp_path, change, message):
        def run(rules=("fixed", "positive"), learning_rate=0.02, seeds=None, identity=None):
            nets = [build(ResNet, rule, seed=seed) for seed, rule in enumerate(rules)]
            settings = replace(SETTINGS, learning_rate=learning_rate)
            settings = settings if seeds is None else [replace(settings, seed=seed) for seed in seeds]
            identity = identity or {"digest": "a"}
            fit_ensemble(nets, TRAIN, VALID, settings, checkpoint=tmp_path / "run.pt", identity=identity)

        run()
        with pytest.raises(SurrogateError, match=rf"run\.pt .*{message}"):
            run(**change)

    def test_the_checkpoint_of_a_single_run_is_refused(self, build, tmp_path):
        fit(build(ResNet, "fixed"), TRAIN, VALID, SETTINGS, checkpoint=tmp_path / "run.pt")
        with pytest.raises(SurrogateError, match=r"run\.pt belongs to another net"):
            fit_ensemble([build(ResNet, "fixed")], TRAIN, VALID, SETTINGS, checkpoint=tmp_path / "run.pt")


class TestDoor:
    """What cannot be trained together is refused before the first step, and the nets are left alone."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"settings": replace(SETTINGS, batch=None, optimiser="lbfgs", schedule="constant")}, "one by one"),
            ({"settings": [SETTINGS, replace(SETTINGS, epochs=7)]}, "epochs is 7 for net 2 and 6 for the first"),
            ({"settings": [SETTINGS, replace(SETTINGS, batch=None)]}, "batch is None for net 2 and 8"),
            ({"settings": [SETTINGS]}, "settings has 1 entries for 2 nets"),
            ({"settings": "fast"}, "settings must be what fit takes"),
            ({"train": TRAIN[0]}, "train must be what fit takes"),
            ({"train": (TRAIN[0], TRAIN[1][:5])}, "as many inputs as targets"),
            ({"train": [TRAIN, data(29, 0)]}, r"train: the data of net 2 have shapes \(29, 3\)"),
            ({"valid": [VALID, data(29, 0)]}, "valid: the data of net 2"),
            ({"valid": [VALID] * 3}, "valid has 3 entries for 2 nets"),
            ({"train": (TRAIN[0] * math.nan, TRAIN[1])}, "train: NaN"),
            ({"train": lambda epoch: (TRAIN[0] * math.nan, TRAIN[1])}, r"train\(0\): NaN"),
            ({"train": (TRAIN[0][:, :2], TRAIN[1])}, r"inputs of shape \(2, batch, 3\)"),
            ({"train": (TRAIN[0], TRAIN[1][:, :1])}, "same shape"),
            ({"callbacks": [[]]}, "each of 2 nets, but was given 1"),
        ],
        ids=[
            "lbfgs", "epochs", "batch", "too few settings", "settings", "no pair", "unequal pair", "train sizes",
            "valid sizes", "too many valid", "NaN", "NaN later", "inputs", "targets", "callbacks",
        ],
    )  # fmt: skip
    def test_refused(self, build, arguments, message):
        nets = [build(ResNet, rule) for rule in ("fixed", "positive")]
        before = copy.deepcopy([net.state_dict() for net in nets])
        with pytest.raises(SurrogateError, match=message):
            fit_ensemble(nets, **{"train": TRAIN, "valid": VALID, "settings": SETTINGS, **arguments})
        assert all(same(net.state_dict(), weights) for net, weights in zip(nets, before, strict=True))

    def test_nets_that_are_not_alike_or_share_their_steps(self, build):
        with pytest.raises(SurrogateError, match="net 2 of 2 differs from the first in width"):
            fit_ensemble([build(ResNet, "fixed"), build(ResNet, "fixed", width=5)], TRAIN, VALID, SETTINGS)
        grid = TimeGrid.positive(5)
        with pytest.raises(SurrogateError, match="share"):
            fit_ensemble([build(ResNet, grid), build(ResNet, grid)], TRAIN, VALID, SETTINGS)

    def test_mean_squares_have_the_path_of_their_own(self, build):
        """The result of the fast path is that of ``mse`` as any other loss."""
        nets = [build(ResNet, "positive", seed=seed) for seed in range(2)]
        twins = copy.deepcopy(nets)
        found = fit_ensemble(nets, TRAIN, VALID, LONG)
        expected = fit_ensemble(twins, TRAIN, VALID, LONG, loss=lambda p, y: mse(p, y))
        agree(found, expected, nets, twins)
