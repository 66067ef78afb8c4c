"""Mistakes in a training of changing depth are told in a sentence, at once where that can be."""

from dataclasses import replace

import pytest
import torch
from depth_nets import made, problem

from surrogates import FeedForward, ResNet, SurrogateError, TimeGrid, depth
from surrogates.depth import DepthSchedule, Growth, Pruning, Splitting
from surrogates.errors import StoppedError
from surrogates.training import Settings

SETTINGS = Settings(epochs=6, batch=8, learning_rate=0.01, seed=3)
TRAIN, VALID = problem(20, 0), problem(9, 1)
STILL = DepthSchedule()


def uniform():
    draw = torch.Generator().manual_seed(0)
    return ResNet(3, 2, 4, TimeGrid.uniform(4), activation=torch.tanh, generator=draw).double()


def test_what_left_the_numbers_is_told_with_its_epoch_and_checkpoint(tmp_path):
    path = tmp_path / "run.pt"

    def spoiled(epoch):
        return (TRAIN[0], TRAIN[1] * 1e200) if epoch == 3 else TRAIN

    with pytest.raises(StoppedError, match=r"training stopped in epoch 4: .*; last good: ") as caught:
        depth.fit(made(), spoiled, VALID, SETTINGS, STILL, checkpoint=path, checkpoint_seconds=0.0)
    assert (caught.value.epoch, caught.value.checkpoint) == (4, path)
    with pytest.raises(StoppedError, match=r"epoch 4: .*; no checkpoint was written"):
        depth.fit(made(), spoiled, VALID, SETTINGS, STILL)


def test_equal_steps_cannot_be_split_and_say_so_at_once():
    seen = []
    schedule = DepthSchedule(growth=Splitting(every=3))
    with pytest.raises(SurrogateError, match="uniform"):
        depth.fit(uniform(), TRAIN, VALID, SETTINGS, schedule, progress=seen.append)
    assert not seen


def test_equal_steps_can_be_pruned_and_the_best_net_be_of_an_epoch_before():
    net = uniform()
    with torch.no_grad():
        valid = VALID[0], net(VALID[0])  # so that the first epoch is the best
    schedule = DepthSchedule(pruning=Pruning(threshold=0.9, first=2))
    found = depth.fit(net, TRAIN, valid, SETTINGS, schedule)
    assert (found.best_epoch, found.net.layers, found.last.layers) == (1, 4, 1)
    assert depth.fit(net, TRAIN, valid, replace(SETTINGS, epochs=1), STILL).best_loss == found.best_loss
    with torch.no_grad():
        again = (found.net(valid[0]) - valid[1]).square().mean().item()
    assert again == pytest.approx(found.best_loss, rel=1e-9)


@pytest.mark.parametrize(("layers", "count"), [(1, 1), (2, 3)])
def test_a_step_that_a_horizon_has_no_room_for_is_halved(layers, count):
    growth = Growth(every=2, times=1, count=count, ratio=0.0, step=1.0)
    net = made(rule="simplex", layers=layers)
    found = depth.fit(net, TRAIN, VALID, SETTINGS, DepthSchedule(growth=growth))
    (event,) = found.trace.events
    assert 0 < sum(event.steps) < net.time().sum().item()
    assert event.train_loss[1] <= event.train_loss[0] * (1 + 1e-12)


def test_nets_that_draw_draw_anew_in_every_epoch():
    masks = []
    activation = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Dropout(0.5))
    net = FeedForward(3, 2, 8, 1, activation=activation).double()

    def look(module, given, out):
        if module.training:
            masks.append(out == 0)

    activation[1].register_forward_hook(look)
    depth.fit(net, TRAIN, VALID, replace(SETTINGS, batch=None, epochs=2), STILL)
    half = len(masks) // 2
    assert half >= 1
    assert not any(torch.equal(one, other) for one, other in zip(masks[:half], masks[half:], strict=True))


@pytest.mark.parametrize("net", [torch.nn.Linear(3, 2), "net", None], ids=["Linear", "str", "None"])
@pytest.mark.parametrize("schedule", [STILL, DepthSchedule(pruning=Pruning())], ids=["still", "pruning"])
def test_what_has_no_layers_is_refused(net, schedule):
    with pytest.raises(SurrogateError, match=f"given a {type(net).__name__}|one net"):
        depth.fit(net, TRAIN, VALID, SETTINGS, schedule)


def test_settings_in_a_dictionary():
    with pytest.raises(SurrogateError, match=r"depth\.fit needs Settings, but settings is a dict"):
        depth.fit(made(), TRAIN, VALID, {"epochs": 2}, STILL)
