"""Snapshots along a training, in memory and in files."""

import pytest
import torch
from small_training import SETTINGS, TRAIN, VALID, Recorder, StopAfter, dropout_net, same

from surrogates import ResNet, SurrogateError
from surrogates.training import Snapshots, fit


class TestSnapshots:
    """Each is what the net was after its epoch, wherever it is kept."""

    @pytest.fixture(params=[False, True], ids=["memory", "files"])
    def folder(self, request, tmp_path):
        return tmp_path / "shots" if request.param else None

    def test_weights_and_steps_of_every_second_epoch(self, family, learned_rule, build, folder):
        snapshots, recorder = Snapshots(every=2, folder=folder), Recorder()
        net = build(family, learned_rule)
        trace = fit(net, TRAIN, VALID, SETTINGS, callbacks=[snapshots, recorder]).trace
        assert list(snapshots) == [2, 4, 6]
        for epoch, shot in snapshots.items():
            assert shot.epoch == epoch
            assert same(shot.weights, recorder.weights[epoch - 1])
            assert shot.steps.tolist() == trace.steps[epoch]

    def test_trajectory(self, build, folder):
        net, snapshots, recorder = build(ResNet, "positive"), Snapshots(folder=folder), Recorder()
        snapshots.take(net, 0)
        start = net.layer_weight.detach().clone()
        trace = fit(net, TRAIN, VALID, SETTINGS, callbacks=[snapshots, recorder]).trace
        expected = torch.stack([start, *(weights["layer_weight"] for weights in recorder.weights)])
        assert torch.equal(snapshots.trajectory("layer_weight"), expected)
        assert snapshots.trajectory("steps").tolist() == trace.steps

    def test_files_outlive_the_process(self, build, tmp_path):
        whole = Snapshots(every=2)
        fit(build(ResNet, "positive"), TRAIN, VALID, SETTINGS, callbacks=[whole])
        path, folder = tmp_path / "run.pt", tmp_path / "shots"
        stop = [Snapshots(2, folder), StopAfter(3)]
        with pytest.raises(StopAfter):
            fit(
                build(ResNet, "positive"),
                TRAIN,
                VALID,
                SETTINGS,
                checkpoint=path,
                checkpoint_seconds=0,
                callbacks=stop,
            )
        resumed = Snapshots(2, folder)
        fit(build(ResNet, "positive"), TRAIN, VALID, SETTINGS, checkpoint=path, callbacks=[resumed])
        assert list(resumed) == [2, 4, 6]
        assert torch.equal(resumed.trajectory("layer_weight"), whole.trajectory("layer_weight"))
        assert torch.load(folder / "epoch-000002.pt", weights_only=True)["epoch"] == 2

    def test_a_net_without_a_time_grid_has_no_steps(self, folder):
        snapshots = Snapshots(every=6, folder=folder)
        fit(dropout_net(), TRAIN, VALID, SETTINGS, callbacks=[snapshots])
        assert snapshots[6].steps is None
        with pytest.raises(SurrogateError, match=r"no 'steps' to follow; known are 0\.weight"):
            snapshots.trajectory("steps")

    def test_what_is_not_there(self, build, folder):
        snapshots = Snapshots(every=4, folder=folder)
        with pytest.raises(SurrogateError, match="as there is no snapshot"):
            snapshots.trajectory("layer_weight")
        fit(build(ResNet, "positive"), TRAIN, VALID, SETTINGS, callbacks=[snapshots])
        assert 4 in snapshots
        assert 5 not in snapshots
        with pytest.raises(SurrogateError, match="no 'weight' to follow; known are lift_weight"):
            snapshots.trajectory("weight")

    def test_a_damaged_file_is_named(self, build, tmp_path):
        snapshots = Snapshots(every=6, folder=tmp_path)
        fit(build(ResNet, "positive"), TRAIN, VALID, SETTINGS, callbacks=[snapshots])
        path = tmp_path / "epoch-000006.pt"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(SurrogateError, match=r"epoch-000006\.pt cannot be read"):
            snapshots[6]

    @pytest.mark.parametrize("every", [0, 1.5, True])
    def test_every_must_be_a_whole_number(self, every):
        with pytest.raises(SurrogateError, match="every must be a whole number >= 1"):
            Snapshots(every=every)
