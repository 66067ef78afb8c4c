"""Learning rates by schedule, and the end of a run that no longer improves."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_training import SCHEDULES, SETTINGS, TRAIN, VALID, Recorder, StopAfter, receding, same

from surrogates import ResNet, SurrogateError
from surrogates.training import (
    Constant,
    Cosine,
    Exponential,
    Plateau,
    Schedule,
    Step,
    WarmUp,
    fit,
    stagnation,
)

losses_of_a_run = st.lists(st.integers(1, 30).map(float), min_size=1, max_size=60)


class TestFactors:
    """Each schedule is its formula."""

    @pytest.mark.parametrize(
        ("schedule", "epochs", "losses", "expected"),
        [
            (Constant(), 3, [], [1, 1, 1]),
            (Cosine(), 4, [], [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
            (Exponential(end=0.01), 5, [], [1, 10**-0.5, 0.1, 10**-1.5, 0.01]),
            (Exponential(end=0.01), 1, [], [1]),
            (Step(every=2, ratio=0.1), 5, [], [1, 1, 0.1, 0.1, 0.01]),
            (Plateau(patience=2), 6, [3, 4, 3, 4, 5], [1, 1, 1, 0.5, 0.5, 0.25]),
            (Plateau(patience=2), 6, [3, 4, 2, 2, 1], [1, 1, 1, 1, 1, 1]),
            (Plateau(patience=2, min_improvement=0.5), 4, [3, 2, 2], [1, 1, 1, 0.5]),
            (WarmUp(epochs=3, then=Constant()), 5, [], [0.25, 0.5, 0.75, 1, 1]),
            (WarmUp(epochs=1, then=Cosine()), 5, [], [0.5, 1, (1 + math.sqrt(0.5)) / 2, 0.5]),
            (WarmUp(epochs=2, then=Plateau(patience=1)), 6, [1, 2, 3, 3, 3], [1 / 3, 2 / 3, 1, 1, 0.5, 0.25]),
        ],
        ids=str,
    )
    def test_values_at_given_epochs(self, schedule, epochs, losses, expected):
        found = [schedule.factor(epoch, epochs, losses[:epoch]) for epoch in range(len(expected))]
        assert found == pytest.approx(expected, rel=1e-14)

    @given(losses=losses_of_a_run, patience=st.integers(1, 5), improvement=st.sampled_from([0.0, 0.25, 0.5]))
    def test_plateau_is_that_of_torch(self, losses, patience, improvement):
        """torch waits for one bad epoch more than its patience says."""
        optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
        known = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, factor=0.5, patience=patience - 1, threshold=improvement, eps=0
        )
        schedule = Plateau(patience, 0.5, improvement)
        for epoch, loss in enumerate(losses):
            assert schedule.factor(epoch, len(losses), losses[:epoch]) == optimiser.param_groups[0]["lr"]
            known.step(loss)

    @pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
    def test_the_trace_has_the_rates_of_the_schedule(self, build, schedule):
        net = build(ResNet, "positive")
        trace = fit(net, TRAIN, receding(net), replace(SETTINGS, epochs=10, schedule=schedule)).trace
        expected = [0.02 * schedule.factor(epoch, 10, trace.valid_loss[:epoch]) for epoch in range(10)]
        assert trace.learning_rate == expected
        assert len(set(expected)) > 1 or schedule == Constant()

    def test_names_of_configuration_files_mean_the_objects(self, build):
        for name, schedule in {"constant": Constant(), "cosine": Cosine()}.items():
            nets = [build(ResNet, "fixed") for _ in range(2)]
            first, second = (
                fit(net, TRAIN, VALID, replace(SETTINGS, schedule=given))
                for net, given in zip(nets, (name, schedule), strict=True)
            )
            assert first == second

    def test_a_schedule_of_ones_own(self, build):
        class Zigzag(Schedule):
            def factor(self, epoch, epochs, valid_losses):
                return 1.0 if epoch % 2 else 0.5

        trace = fit(build(ResNet, "fixed"), TRAIN, VALID, replace(SETTINGS, schedule=Zigzag())).trace
        assert trace.learning_rate == [0.01, 0.02] * 3

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Exponential(end=0.0), r"Exponential: end must be a number > 0, but is 0\.0"),
            (lambda: Step(every=0), "Step: every must be a whole number >= 1, but is 0"),
            (lambda: Step(every=3, ratio=math.nan), "Step: ratio"),
            (lambda: Plateau(patience=1.5), "Plateau: patience"),
            (lambda: Plateau(patience=1, ratio=0), "Plateau: ratio"),
            (lambda: Plateau(patience=1, min_improvement=-1), "Plateau: min_improvement"),
            (lambda: WarmUp(epochs=0, then=Constant()), "WarmUp: epochs"),
            (lambda: WarmUp(epochs=2, then="cosine"), r"WarmUp: then must be a schedule, such as Cosine\(\)"),
            (
                lambda: replace(SETTINGS, schedule=WarmUp(epochs=6, then=Constant())),
                "a run of 6 epochs ends within the warm-up of 6: give more epochs",
            ),
        ],
    )
    def test_numbers_that_make_no_sense(self, make, message):
        with pytest.raises(SurrogateError, match=message):
            make()


class TestStagnation:
    """How long a validation loss has not improved."""

    @pytest.mark.parametrize(
        ("losses", "improvement", "expected"),
        [
            ([], 0.0, []),
            ([2, 1, 1, 1.5, 0.9, 0.9], 0.0, [0, 0, 1, 2, 0, 1]),
            ([100, 95, 91, 89, 89], 0.1, [0, 1, 2, 0, 1]),  # many small steps count once they add up
            ([-1, -1.05, -1.2], 0.1, [0, 1, 0]),
            ([0, 0, -1], 0.5, [0, 1, 0]),
        ],
    )
    def test_by_hand(self, losses, improvement, expected):
        assert stagnation(losses, improvement) == expected


class TestEarlyStopping:
    """A run that is out of patience is the longer run, cut there."""

    @pytest.mark.parametrize("patience", [1, 3])
    def test_equals_the_truncated_run(self, build, patience):
        stopped, truncated = build(ResNet, "positive"), build(ResNet, "positive")
        valid = receding(stopped)
        settings = replace(SETTINGS, epochs=30, schedule="constant", patience=patience)
        found = fit(stopped, TRAIN, valid, settings)
        expected = fit(truncated, TRAIN, valid, replace(settings, epochs=found.epochs, patience=None))
        assert found.epochs < 30
        assert (found.ended, expected.ended) == ("patience", "epochs")
        assert replace(found, ended="epochs") == expected
        assert same(stopped.state_dict(), truncated.state_dict())
        assert stagnation(found.trace.valid_loss) == [*stagnation(found.trace.valid_loss[:-1]), patience]

    def test_goes_on_while_the_loss_falls(self, build):
        result = fit(build(ResNet, "positive"), TRAIN, TRAIN, replace(SETTINGS, patience=2))
        assert (result.epochs, result.ended) == (6, "epochs")

    def test_a_slow_descent_is_none_if_more_was_asked(self, build):
        settings = replace(SETTINGS, epochs=20, patience=2, min_improvement=0.9)
        result = fit(build(ResNet, "positive"), TRAIN, TRAIN, settings)
        assert (result.epochs, result.best_epoch, result.ended) == (3, 3, "patience")

    def test_a_stopped_run_resumed_returns_at_once(self, build, tmp_path):
        path, net, other = tmp_path / "run.pt", build(ResNet, "positive"), build(ResNet, "positive", seed=5)
        valid, settings = receding(net), replace(SETTINGS, epochs=30, patience=2, schedule=Step(every=4))
        first = fit(net, TRAIN, valid, settings, checkpoint=path)
        for longer in (settings, replace(settings, epochs=40)):
            recorder = Recorder()
            assert fit(other, TRAIN, valid, longer, checkpoint=path, callbacks=[recorder]) == first
            assert recorder.states == []
            assert same(other.state_dict(), net.state_dict())

    def test_patience_remembers_what_was_before_an_interruption(self, build, tmp_path):
        path, whole, net = tmp_path / "run.pt", build(ResNet, "positive"), build(ResNet, "positive")
        valid, settings = receding(whole), replace(SETTINGS, epochs=30, patience=4)
        expected = fit(whole, TRAIN, valid, settings)
        stop = [StopAfter(expected.epochs - 2)]
        with pytest.raises(StopAfter):
            fit(net, TRAIN, valid, settings, checkpoint=path, checkpoint_seconds=0, callbacks=stop)
        assert fit(net, TRAIN, valid, settings, checkpoint=path) == expected
        assert same(net.state_dict(), whole.state_dict())
