"""Interruption and damage: a resumed training is the uninterrupted one, and a bad file is noticed."""

from dataclasses import replace

import pytest
import torch
from small_training import (
    OPTIMISERS,
    SCHEDULES,
    SETTINGS,
    TRAIN,
    VALID,
    Recorder,
    StopAfter,
    dropout_net,
    noisy,
    receding,
    same,
)

from surrogates import Fractional, Order, ResNet, SurrogateError, training
from surrogates.losses import mse
from surrogates.training import Cosine, Exponential, Plateau, Schedule, Step, WarmUp, fit, fit_ensemble


def courses():
    """Every optimiser with every schedule that it admits."""
    for name, change in OPTIMISERS.items():
        for schedule in SCHEDULES if "schedule" not in change else SCHEDULES[:1]:
            yield pytest.param(change | {"schedule": schedule}, id=f"{name}-{schedule}")


class TestResume:
    """A run that was cut anywhere and continued is the uninterrupted run, bit for bit."""

    def test_ten_epochs_equal_five_and_five(self, family, rule, build, tmp_path):
        """On fresh noise and with weights that decay; on a pair and with every optimiser below."""
        settings = replace(SETTINGS, epochs=10, weight_decay=0.1)
        whole = build(family, rule)
        expected = fit(whole, noisy, VALID, settings)

        def run(net, *callbacks):
            return fit(
                net,
                noisy,
                VALID,
                settings,
                checkpoint=tmp_path / "run.pt",
                checkpoint_seconds=0,
                callbacks=callbacks,
            )

        with pytest.raises(StopAfter):
            run(build(family, rule), StopAfter(5))
        recorder, resumed = Recorder(), build(family, rule, seed=99)  # its own weights must not matter
        assert run(resumed, recorder) == expected
        assert [state.epoch for state in recorder.states] == [6, 7, 8, 9, 10]
        assert same(resumed.state_dict(), whole.state_dict())

    @pytest.mark.parametrize("course", list(courses()))
    def test_every_optimiser_with_every_schedule(self, build, tmp_path, course):
        """On a validation set that does not improve, so that a plateau is met before the cut and after it."""
        settings, path = replace(SETTINGS, epochs=10, **course), tmp_path / "run.pt"
        whole, net, resumed = (build(ResNet, "positive", seed=seed) for seed in (0, 0, 99))
        valid = receding(whole)
        expected = fit(whole, TRAIN, valid, settings)
        with pytest.raises(StopAfter):
            fit(net, TRAIN, valid, settings, checkpoint=path, checkpoint_seconds=0, callbacks=[StopAfter(5)])
        recorder = Recorder()
        assert fit(resumed, TRAIN, valid, settings, checkpoint=path, callbacks=[recorder]) == expected
        assert [state.epoch for state in recorder.states] == [6, 7, 8, 9, 10]
        assert same(resumed.state_dict(), whole.state_dict())

    def test_no_optimiser_and_no_schedule_is_missing_from_the_lists(self):
        assert {type(schedule) for schedule in SCHEDULES} == set(Schedule.__subclasses__())
        used = {replace(SETTINGS, **change).optimiser for change in OPTIMISERS.values()}
        assert used == set(training.OPTIMISERS)

    def test_dropout_goes_on_where_it_was(self, tmp_path):
        """Whatever the caller's global generator does, and whatever a callback draws from it."""

        class Drawing:
            def on_epoch(self, state):
                torch.rand(3)

        settings, path = replace(SETTINGS, epochs=10), tmp_path / "run.pt"
        whole, net, resumed = dropout_net(), dropout_net(), dropout_net()
        torch.manual_seed(1)
        expected = fit(whole, TRAIN, VALID, settings)
        torch.manual_seed(2)
        stop = [Drawing(), StopAfter(5)]
        with pytest.raises(StopAfter):
            fit(net, TRAIN, VALID, settings, checkpoint=path, checkpoint_seconds=0, callbacks=stop)
        torch.manual_seed(3)
        assert fit(resumed, TRAIN, VALID, settings, checkpoint=path) == expected
        assert same(resumed.state_dict(), whole.state_dict())

    @pytest.mark.parametrize(
        "schedule",
        ["constant", Step(every=2), Plateau(patience=2), WarmUp(epochs=2, then=Step(every=3))],
        ids=str,
    )
    def test_a_longer_run_continues_a_finished_one_where_no_rate_depends_on_it(
        self, build, tmp_path, schedule
    ):
        settings = replace(SETTINGS, epochs=10, schedule=schedule)
        whole, halves = build(ResNet, "positive"), build(ResNet, "positive")
        expected = fit(whole, TRAIN, VALID, settings)
        fit(halves, TRAIN, VALID, replace(settings, epochs=5), checkpoint=tmp_path / "run.pt")
        assert fit(halves, TRAIN, VALID, settings, checkpoint=tmp_path / "run.pt") == expected
        assert same(halves.state_dict(), whole.state_dict())

    @pytest.mark.parametrize(
        "schedule", ["cosine", Exponential(end=0.1), WarmUp(epochs=2, then=Cosine())], ids=str
    )
    def test_a_longer_run_is_another_one_where_rates_depend_on_it(self, build, tmp_path, schedule):
        settings, path = replace(SETTINGS, schedule=schedule), tmp_path / "run.pt"
        fit(build(ResNet, "positive"), TRAIN, VALID, settings, checkpoint=path)
        with pytest.raises(SurrogateError, match="epochs 6 there, 7 here"):
            fit(build(ResNet, "positive"), TRAIN, VALID, replace(settings, epochs=7), checkpoint=path)

    def test_best_weights_survive_the_interruption(self, build, tmp_path):
        """The best epoch may lie before the cut, and must come back as it was."""
        whole = build(ResNet, "positive")
        valid = receding(whole)
        expected = fit(whole, TRAIN, valid, SETTINGS)
        assert expected.best_epoch < 4
        path, net = tmp_path / "run.pt", build(ResNet, "positive")
        with pytest.raises(StopAfter):
            fit(net, TRAIN, valid, SETTINGS, checkpoint=path, checkpoint_seconds=0, callbacks=[StopAfter(4)])
        assert fit(net, TRAIN, valid, SETTINGS, checkpoint=path) == expected
        assert same(net.state_dict(), whole.state_dict())

    def test_a_cut_inside_an_epoch_goes_back_to_the_last_checkpoint(self, build, tmp_path):
        path, whole = tmp_path / "run.pt", build(Fractional, "simplex")
        expected = fit(whole, TRAIN, VALID, SETTINGS)
        calls = []

        def failing(prediction, target):
            calls.append(1)
            if len(calls) == 12:
                raise KeyboardInterrupt
            return mse(prediction, target)

        net = build(Fractional, "simplex")
        with pytest.raises(KeyboardInterrupt):
            fit(net, TRAIN, VALID, SETTINGS, loss=failing, checkpoint=path, checkpoint_seconds=0)
        assert fit(net, TRAIN, VALID, SETTINGS, checkpoint=path) == expected
        assert same(net.state_dict(), whole.state_dict())

    def test_a_finished_run_returns_at_once_with_its_best_weights(self, build, tmp_path):
        path, net = tmp_path / "deep" / "run.pt", build(ResNet, "positive")
        first = fit(net, TRAIN, VALID, SETTINGS, checkpoint=path)
        other, recorder = build(ResNet, "positive", seed=5), Recorder()
        assert fit(other, TRAIN, VALID, SETTINGS, checkpoint=path, callbacks=[recorder]) == first
        assert recorder.states == []
        assert same(other.state_dict(), net.state_dict())

    def test_resume_can_be_declined(self, build, tmp_path):
        path, net = tmp_path / "run.pt", build(ResNet, "positive")
        fit(net, TRAIN, VALID, SETTINGS, checkpoint=path)
        recorder = Recorder()
        fit(net, TRAIN, VALID, SETTINGS, checkpoint=path, resume=False, callbacks=[recorder])
        assert len(recorder.states) == 6

    def test_a_failed_write_keeps_the_old_file_and_leaves_no_litter(self, build, tmp_path, monkeypatch):
        path, net = tmp_path / "run.pt", build(ResNet, "positive")
        fit(net, TRAIN, VALID, SETTINGS, checkpoint=path)
        before = path.read_bytes()

        def half(content, file):
            file.write_bytes(b"half a file")
            raise OSError("no space left on device")

        monkeypatch.setattr(torch, "save", half)
        with pytest.raises(OSError, match="no space"):
            fit(net, TRAIN, VALID, SETTINGS, checkpoint=path, resume=False)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_a_write_replaces_the_file_and_never_writes_into_it(self, build, tmp_path):
        """Whoever holds the old file, as a process killed in mid-write leaves it, still holds it whole."""
        path, net = tmp_path / "run.pt", build(ResNet, "positive")
        fit(net, TRAIN, VALID, SETTINGS, checkpoint=path)
        before = path.read_bytes()
        (tmp_path / "old.pt").hardlink_to(path)
        fit(net, TRAIN, VALID, SETTINGS, checkpoint=path, resume=False)
        assert path.read_bytes() != before
        assert (tmp_path / "old.pt").read_bytes() == before

    def test_checkpoints_are_read_without_running_code_from_them(self, build, tmp_path):
        path = tmp_path / "run.pt"
        fit(build(ResNet, "positive"), TRAIN, VALID, SETTINGS, checkpoint=path)
        content = torch.load(path, weights_only=True)
        wanted = {"weights", "best", "optimiser", "sampler", "randomness", "epoch", "trace", "settings"}
        assert wanted | {"architecture"} <= content.keys()


class TestDamage:
    """A checkpoint that is not this run's is refused in one sentence that names the file."""

    @pytest.fixture
    def path(self, build, tmp_path):
        path = tmp_path / "run.pt"
        fit(build(ResNet, "positive"), TRAIN, VALID, SETTINGS, checkpoint=path)
        return path

    @pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.999])
    def test_cut_short(self, build, path, keep):
        content = path.read_bytes()
        path.write_bytes(content[: int(keep * len(content))])
        with pytest.raises(SurrogateError, match=r"run\.pt cannot be read"):
            fit(build(ResNet, "positive"), TRAIN, VALID, SETTINGS, checkpoint=path)

    def test_flipped_bit_in_the_weights(self, build, path):
        weight = torch.load(path, weights_only=True)["weights"]["layer_weight"].numpy().tobytes()
        content = bytearray(path.read_bytes())
        content[content.index(weight) + 100] ^= 16
        path.write_bytes(content)
        with pytest.raises(SurrogateError, match=r"run\.pt cannot be read"):
            fit(build(ResNet, "positive"), TRAIN, VALID, SETTINGS, checkpoint=path)

    @pytest.mark.parametrize("content", [{"weights": 1}, [1, 2], torch.zeros(3)])
    def test_file_of_another_kind(self, build, path, content):
        torch.save(content, path)
        with pytest.raises(SurrogateError, match=r"run\.pt is not a training checkpoint"):
            fit(build(ResNet, "positive"), TRAIN, VALID, SETTINGS, checkpoint=path)

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"learning_rate": 0.1}, "learning_rate 0.02 there, 0.1 here"),
            ({"batch": 4, "seed": 1}, "batch.*seed"),
            ({"epochs": 12}, "epochs 6 there, 12 here"),
            ({"schedule": Step(every=2)}, r"schedule 'cosine' there, 'Step\(every=2, ratio=0.1\)' here"),
            ({"patience": 3}, "patience None there, 3 here"),
            ({"weight_decay": 0.1}, "weight_decay.*optimiser 'Adam' there, 'AdamW' here"),
        ],
    )
    def test_other_settings(self, build, path, change, named):
        with pytest.raises(SurrogateError, match=rf"run\.pt was trained with other settings.*{named}"):
            fit(build(ResNet, "positive"), TRAIN, VALID, replace(SETTINGS, **change), checkpoint=path)

    @pytest.mark.parametrize(
        ("kind", "time", "options", "named"),
        [
            (Fractional, "positive", {}, "class 'ResNet' there, 'Fractional' here"),
            (ResNet, "simplex", {}, "time rule"),
            (ResNet, "positive", {"horizon": 2.0}, "time constants"),
            (ResNet, "positive", {"width": 5}, "shapes"),
            (ResNet, "positive", {"activation": torch.relu}, "tanh.*relu"),
        ],
    )
    def test_another_net(self, build, path, kind, time, options, named):
        with pytest.raises(SurrogateError, match=rf"run\.pt belongs to another net.*{named}"):
            fit(build(kind, time, **options), TRAIN, VALID, SETTINGS, checkpoint=path)


class TestWhatIsNoWeight:
    """What weights do not say but their meaning depends on: constants in buffers, and what trains."""

    @pytest.mark.parametrize("make", [Order.fixed, Order.learned], ids=["fixed", "learned"])
    @pytest.mark.parametrize("together", [False, True], ids=["fit", "fit_ensemble"])
    def test_another_order(self, build, tmp_path, make, together):
        def run(*orders):
            nets = [build(Fractional, "positive", order=make(order)) for order in orders]
            if together:
                return fit_ensemble(nets, TRAIN, VALID, SETTINGS, checkpoint=tmp_path / "run.pt")
            return fit(nets[0], TRAIN, VALID, SETTINGS, checkpoint=tmp_path / "run.pt")

        first = run(0.3, 0.5)
        named = (
            r"order\.groups\.0\.\w+ \[0.3, 0.5\] there, \[0.7, 0.5\]"
            if together
            else r"order\.\w+ 0.3 there, 0.7"
        )
        with pytest.raises(SurrogateError, match=rf"run\.pt belongs to another net.*{named} here"):
            run(0.7, 0.5)
        assert run(0.3, 0.5) == first

    @pytest.mark.parametrize("together", [False, True], ids=["fit", "fit_ensemble"])
    @pytest.mark.parametrize("before", [False, True], ids=["frozen since", "thawed since"])
    def test_a_grid_that_trains_in_one_of_the_two_alone(self, build, tmp_path, together, before):
        def run(frozen):
            net = build(ResNet, "simplex")
            net.time.requires_grad_(not frozen)
            if together:
                fit_ensemble([net], TRAIN, VALID, SETTINGS, checkpoint=tmp_path / "run.pt")
            else:
                fit(net, TRAIN, VALID, SETTINGS, checkpoint=tmp_path / "run.pt")

        run(before)
        named = r"frozen \['time.*'\] there, \[\] here" if before else r"frozen \[\] there, \['time.*'\] here"
        with pytest.raises(SurrogateError, match=rf"run\.pt belongs to another net \({named}"):
            run(not before)
        run(before)

    def test_statistics_of_the_batches_go_on_and_constants_may_not_differ(self, tmp_path):
        class Scaled(torch.nn.Module):
            def __init__(self, scale):
                super().__init__()
                self.inner = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))
                self.register_buffer("scale", torch.tensor(scale))
                with torch.no_grad():
                    self.inner[1].weight.fill_(0.1)
                    self.inner[1].bias.zero_()

            def forward(self, x):
                return self.inner(x) * self.scale

        whole, path = Scaled(1.0), tmp_path / "run.pt"
        expected = fit(whole, TRAIN, VALID, SETTINGS)
        stop = [StopAfter(4)]
        with pytest.raises(StopAfter):
            fit(Scaled(1.0), TRAIN, VALID, SETTINGS, checkpoint=path, checkpoint_seconds=0, callbacks=stop)
        with pytest.raises(SurrogateError, match=r"another net \(scale 1.0 there, 2.0 here\)"):
            fit(Scaled(2.0), TRAIN, VALID, SETTINGS, checkpoint=path)
        resumed = Scaled(1.0)
        assert fit(resumed, TRAIN, VALID, SETTINGS, checkpoint=path, checkpoint_seconds=0) == expected
        assert same(resumed.state_dict(), whole.state_dict())
        assert fit(resumed, TRAIN, VALID, SETTINGS, checkpoint=path) == expected
