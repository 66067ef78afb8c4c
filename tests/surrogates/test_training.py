import copy
import json
import math
from dataclasses import asdict, replace

import pytest
import torch
from small_training import (
    OPTIMISERS,
    SETTINGS,
    TRAIN,
    VALID,
    Recorder,
    data,
    dropout_net,
    noisy,
    receding,
    same,
)
from torch.utils._python_dispatch import TorchDispatchMode

from surrogates import Fractional, Order, ResNet, SurrogateError, TimeGrid
from surrogates.losses import mse
from surrogates.training import fit, fit_ensemble


class TestFit:
    """Training lowers the loss, records what it did, and leaves the best weights behind."""

    def test_learns(self, family, rule, build):
        """On as many samples to validate as to train: few would measure which of them are extreme."""
        net, valid = build(family, rule, width=12), data(200, 6)
        before = mse(net(valid[0]), valid[1]).item()
        result = fit(net, data(200, 5), valid, replace(SETTINGS, epochs=25, batch=20))
        assert result.best_loss < 0.3 * before
        assert mse(net(valid[0]), valid[1]).item() == result.best_loss

    def test_learned_steps_move_and_fixed_ones_do_not(self, family, rule, build):
        result = fit(build(family, rule), TRAIN, VALID, SETTINGS)
        assert len(result.trace.steps) == SETTINGS.epochs + 1
        moved = max(abs(a - b) for a, b in zip(result.trace.steps[0], result.trace.steps[-1], strict=True))
        assert (moved == 0) == (rule == "fixed")

    def test_best_weights_are_copies_and_not_the_live_ones(self, build):
        """Where the validation loss rises, the weights left behind are those of the epoch before it did."""
        recorder, net = Recorder(), build(ResNet, "positive")
        result = fit(net, TRAIN, receding(net), SETTINGS, callbacks=[recorder])
        assert result.best_epoch < 6
        assert result.best_loss == min(result.trace.valid_loss)
        assert same(net.state_dict(), recorder.weights[result.best_epoch - 1])
        assert not same(net.state_dict(), recorder.weights[-1])

    def test_validation_sees_the_whole_set_without_gradients_in_evaluation_mode(self, build):
        seen, net = [], build(ResNet, "fixed")

        def loss(prediction, target):
            if not net.training:
                seen.append((len(target), prediction.requires_grad))
            return mse(prediction, target)

        net.train()
        fit(net, TRAIN, VALID, SETTINGS, loss=loss)
        assert seen == [(20, False)] * SETTINGS.epochs
        assert net.training

    def test_trace_is_complete_and_plain(self, build):
        trace = fit(build(ResNet, "free"), TRAIN, VALID, SETTINGS).trace
        lengths = {name: len(entries) for name, entries in asdict(trace).items()}
        assert lengths.pop("steps") == SETTINGS.epochs + 1
        assert lengths.pop("order") == lengths.pop("regulariser") == 0
        assert set(lengths.values()) == {SETTINGS.epochs}
        assert json.loads(json.dumps(asdict(trace))) == asdict(trace)

    def test_trace_of_one_full_batch_is_checked_by_hand(self, build):
        net = build(ResNet, "positive")
        value = mse(net(TRAIN[0]), TRAIN[1])
        gradients = torch.autograd.grad(value, list(net.parameters()))
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
        trace = fit(net, TRAIN, VALID, replace(SETTINGS, epochs=1, batch=100)).trace
        assert trace.train_loss == [pytest.approx(value.item(), rel=1e-12)]
        assert trace.gradient_norm == [pytest.approx(norm, rel=1e-12)]
        assert trace.clipped == [0.0]

    def test_train_loss_is_the_mean_over_samples_when_the_last_batch_is_short(self, build):
        def still(net):
            return torch.optim.SGD(net.parameters(), lr=1e-300)

        net = build(ResNet, "fixed")
        trace = fit(net, TRAIN, VALID, replace(SETTINGS, batch=7), optimiser=still).trace
        assert trace.train_loss == pytest.approx([mse(net(TRAIN[0]), TRAIN[1]).item()] * 6, rel=1e-12)

    def test_cosine_schedule_per_epoch(self, build):
        trace = fit(build(ResNet, "fixed"), TRAIN, VALID, SETTINGS).trace
        expected = [0.02 * (1 + math.cos(math.pi * epoch / 6)) / 2 for epoch in range(6)]
        assert trace.learning_rate == pytest.approx(expected, rel=1e-14)

    def test_equal_seeds_give_equal_batches_to_every_net(self, build):
        def batches(family, rule):
            seen = []

            def loss(prediction, target):
                seen.append(target.clone())
                return mse(prediction, target)

            fit(build(family, rule), TRAIN, VALID, SETTINGS, loss=loss)
            return torch.cat(seen)

        reference = batches(ResNet, "fixed")
        assert torch.equal(reference, batches(Fractional, "simplex"))
        first, second = reference[:30], reference[50:80]
        assert not torch.equal(first, second)  # a new order in each epoch (20 validation samples between)
        assert torch.equal(first.sum(1).sort().values, second.sum(1).sort().values)

    def test_every_epoch_asks_for_its_own_data(self, build):
        asked = []

        def train(epoch):
            asked.append(epoch)
            return noisy(epoch)

        fit(build(ResNet, "fixed"), train, VALID, SETTINGS)
        assert asked == list(range(6))

    def test_optimiser_state_lives_over_the_epochs(self, build):
        held = []

        def momentum(net):
            held.append(torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9))
            return held[-1]

        net = build(ResNet, "fixed")
        twin = copy.deepcopy(net)
        settings = replace(SETTINGS, epochs=3, batch=30, schedule="constant")
        recorder = Recorder()
        fit(net, TRAIN, VALID, settings, optimiser=momentum, callbacks=[recorder])
        by_hand = torch.optim.SGD(twin.parameters(), lr=0.01, momentum=0.9)
        for _ in range(3):
            by_hand.zero_grad()
            mse(twin(TRAIN[0]), TRAIN[1]).backward()
            by_hand.step()
        assert len(held) == 1
        for name, value in twin.state_dict().items():
            torch.testing.assert_close(value, recorder.weights[-1][name], rtol=1e-12, atol=1e-14)

    def test_a_line_search_optimiser_fits_in(self, build):
        def quasi_newton(net):
            return torch.optim.LBFGS(net.parameters(), line_search_fn="strong_wolfe")

        settings = replace(SETTINGS, epochs=5, batch=30, schedule="constant")
        trace = fit(build(ResNet, "positive"), TRAIN, VALID, settings, optimiser=quasi_newton).trace
        assert trace.train_loss[-1] < 0.2 * trace.train_loss[0]

    def test_weight_decay_spares_steps_and_biases(self, build):
        net = build(ResNet, "free")
        before = {name: value.clone() for name, value in net.state_dict().items()}
        constant = (
            torch.zeros(8, 3),
            net(torch.zeros(8, 3)).detach(),
        )  # zero loss: decay alone moves the net
        settings = replace(SETTINGS, epochs=1, weight_decay=0.5, learning_rate=1e-6)
        recorder = Recorder()
        fit(net, constant, constant, settings, callbacks=[recorder])
        for name, value in recorder.weights[0].items():
            shrunk = torch.allclose(value, before[name] * (1 - 0.5e-6), rtol=1e-12, atol=0)
            assert shrunk == name.endswith("weight"), name

    def test_clipping_bounds_the_update_and_is_recorded(self, build):
        def plain(net):
            return torch.optim.SGD(net.parameters(), lr=1.0)

        net = build(ResNet, "fixed")
        before = torch.nn.utils.parameters_to_vector(net.parameters()).detach().clone()
        settings = replace(SETTINGS, epochs=1, batch=30, clip=1e-3)
        trace = fit(net, TRAIN, VALID, settings, optimiser=plain).trace
        after = torch.nn.utils.parameters_to_vector(net.parameters()).detach()
        assert float((after - before).norm()) == pytest.approx(1e-3, rel=1e-2)
        assert trace.clipped == [1.0]
        assert trace.gradient_norm[0] > 1e-3

    def test_callbacks_and_progress_see_every_epoch(self, build):
        recorder, told = Recorder(), []
        result = fit(
            build(ResNet, "fixed"), TRAIN, VALID, SETTINGS, callbacks=[recorder], progress=told.append
        )
        assert (
            [state.epoch for state in recorder.states]
            == [state.epoch for state in told]
            == [1, 2, 3, 4, 5, 6]
        )
        assert told[-1].epochs == 6
        assert (told[-1].best_epoch, told[-1].best_loss) == (result.best_epoch, result.best_loss)

    def test_one_full_batch_takes_the_samples_in_their_own_order(self, build):
        seen = []

        def loss(prediction, target):
            seen.append(target)
            return mse(prediction, target)

        trace = fit(
            build(ResNet, "fixed"), TRAIN, VALID, replace(SETTINGS, epochs=2, batch=None), loss=loss
        ).trace
        assert all(torch.equal(target, TRAIN[1]) for target in seen[::2])
        assert trace.evaluations == [1, 1]

    @pytest.mark.parametrize(("batch", "updates"), [(8, 4), (30, 1), (1, 30)])
    def test_evaluations_are_counted(self, build, batch, updates):
        trace = fit(build(ResNet, "fixed"), TRAIN, VALID, replace(SETTINGS, batch=batch)).trace
        assert trace.evaluations == [updates] * SETTINGS.epochs

    def test_no_update_reads_single_numbers_from_the_device(self, build):
        """As many reads with 30 updates an epoch as with one: each would wait for a graphics card."""

        class Reads(TorchDispatchMode):
            count = 0

            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                self.count += function is torch.ops.aten._local_scalar_dense.default
                return function(*args, **(kwargs or {}))

        def plain(net):
            return torch.optim.SGD(net.parameters(), lr=0.01)

        counts = []
        for batch in (1, 30):
            net = build(ResNet, "fixed")
            with Reads() as reads:
                fit(net, TRAIN, VALID, replace(SETTINGS, batch=batch, clip=1.0), optimiser=plain)
            counts.append(reads.count)
        assert counts[0] == counts[1] > 0

    def test_a_net_of_torchs_own_parts_trains_too(self):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
        result = fit(net, TRAIN, VALID, SETTINGS)
        assert result.trace.train_loss[-1] < result.trace.train_loss[0]
        assert result.trace.steps == []


class TestOrderInTheTrace:
    """A learned order leaves as many entries as the steps leave rows."""

    def test_of_a_single_net(self, build):
        recorder, order = Recorder(), Order.learned(0.3)
        net = build(Fractional, "positive", order=order)
        trace = fit(net, TRAIN, VALID, SETTINGS, callbacks=[recorder]).trace
        assert len(trace.order) == len(trace.steps) == SETTINGS.epochs + 1
        assert trace.order[0] == 0.3
        for value, weights in zip(trace.order[1:], recorder.weights, strict=True):
            net.load_state_dict(weights)
            assert value == order().item() != 0.3
        assert json.loads(json.dumps(asdict(trace)))["order"] == trace.order

    @pytest.mark.parametrize("order", [float, Order.fixed], ids=["number", "fixed"])
    def test_empty_without_a_learned_one(self, build, order):
        assert fit(build(Fractional, "positive", order=order(0.3)), TRAIN, VALID, SETTINGS).trace.order == []
        assert fit(build(ResNet, "positive"), TRAIN, VALID, SETTINGS).trace.order == []

    def test_of_an_ensemble(self, build):
        orders = [Order.learned(0.3), Order.fixed(0.6), Order.learned(0.5)]
        nets, twins = ([build(Fractional, "fixed", order=copy.deepcopy(o)) for o in orders] for _ in range(2))
        for result, twin in zip(fit_ensemble(nets, TRAIN, VALID, SETTINGS), twins, strict=True):
            expected = fit(twin, TRAIN, VALID, SETTINGS).trace.order
            assert result.trace.order == pytest.approx(expected, rel=1e-10)
            assert len(expected) == (7 if twin.order.learned else 0)


class TestDeterminism:
    """Equal arguments give equal runs, bit for bit, and the caller's random numbers are left alone."""

    @pytest.mark.parametrize("change", OPTIMISERS.values(), ids=OPTIMISERS)
    def test_two_runs_are_equal(self, family, build, change):
        nets = [build(family, "positive") for _ in range(2)]
        first, second = (fit(net, TRAIN, VALID, replace(SETTINGS, **change)) for net in nets)
        assert first == second
        assert same(nets[0].state_dict(), nets[1].state_dict())

    def test_dropout_follows_the_seed_and_not_the_global_generator(self):
        def run(seed, global_seed):
            torch.manual_seed(global_seed)
            return fit(dropout_net(), TRAIN, VALID, replace(SETTINGS, seed=seed, batch=None))

        assert run(3, 1) == run(3, 2)
        assert run(3, 1) != run(4, 1)

    def test_the_global_generator_is_as_before(self):
        net = dropout_net()
        torch.manual_seed(5)
        expected = torch.rand(4)
        torch.manual_seed(5)
        fit(net, TRAIN, VALID, SETTINGS)
        assert torch.equal(torch.rand(4), expected)


class TestNotFinite:
    """A loss or gradient that leaves the numbers stops the run and says where it began."""

    def test_names_epoch_layer_steps_and_checkpoint(self, build, tmp_path):
        """… and leaves the weights at fault in the net, the good ones in the file."""
        net, path = build(ResNet, TimeGrid.fixed(steps=[0.25, 0.5, 1.0])), tmp_path / "run.pt"

        class Poison:
            def on_epoch(self, state):
                if state.epoch == 2:
                    with torch.no_grad():
                        state.net.layer_bias[1, 0] = math.nan

        with pytest.raises(SurrogateError) as caught:
            fit(net, TRAIN, VALID, SETTINGS, checkpoint=path, checkpoint_seconds=0, callbacks=[Poison()])
        text = str(caught.value)
        for part in ("epoch 3", "state of layer 2", "0.25, 0.5, 1", f"last good: {path}"):
            assert part in text
        assert "\n" not in text
        good = torch.load(path, weights_only=True)
        assert good["epoch"] == 2
        assert all(value.isfinite().all() for value in good["weights"].values())
        assert net.layer_bias[1, 0].isnan()

    def test_a_rate_beyond_reason_stops_the_run(self, build):
        net = build(ResNet, "fixed", activation=lambda z: z**3)
        with pytest.raises(SurrogateError, match=r"not finite.*no checkpoint was written"):
            fit(net, TRAIN, VALID, replace(SETTINGS, learning_rate=1e4))

    def test_an_infinite_gradient_of_a_finite_loss_is_caught_before_the_step(self, build):
        net = build(ResNet, "fixed")
        before = {name: value.clone() for name, value in net.state_dict().items()}

        def steep(prediction, target):
            return (prediction - prediction.detach()).abs().sqrt().sum()  # zero, with an infinite slope

        with pytest.raises(SurrogateError, match=r"epoch 1: the gradient is not finite, though"):
            fit(net, TRAIN, VALID, SETTINGS, loss=steep)
        assert same(net.state_dict(), before)
