"""Nets without time steps: identities and zero outer weights change nothing; sensitivities are gradients."""

import pytest
import torch
from depth_nets import few, held, moments, problem
from hypothesis import given
from hypothesis import strategies as st
from small_training import StopAfter

from surrogates import Convolutional, FeedForward, SurrogateError, depth
from surrogates.activations import ACTIVATIONS
from surrogates.depth import Blocks, DepthSchedule, Growth, Pruning, Smallest, insert, prune, sensitivities
from surrogates.losses import mse
from surrogates.training import Settings

SETTINGS = Settings(epochs=6, batch=8, learning_rate=0.01, seed=3, weight_decay=0.01)
TRAIN, VALID = problem(20, 0), problem(9, 1)


@st.composite
def nets(draw):
    """Feed-forward nets with ReLU, and blocks with any activation."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    layers = draw(st.integers(1, 4))
    if draw(st.booleans()):
        return FeedForward(3, 2, 5, layers, torch.relu, generator)
    return Blocks(3, 2, 5, layers, ACTIVATIONS[draw(st.sampled_from(list(ACTIVATIONS)))], generator)


def made(kind, layers=3, seed=0):
    activation = torch.relu if kind is FeedForward else torch.tanh
    return kind(3, 2, 5, layers, activation, torch.Generator().manual_seed(seed))


kinds = pytest.mark.parametrize("kind", [FeedForward, Blocks])


def test_blocks_are_what_they_say():
    net, (x, _) = made(Blocks, 2), problem()
    y = torch.tanh(x @ net.first.weight.T + net.first.bias)
    for block in net.hidden:
        y = y + torch.tanh(y @ block.inner.weight.T + block.inner.bias) @ block.outer.weight.T
    torch.testing.assert_close(net(x), y @ net.readout.weight.T + net.readout.bias)
    assert sum(value.numel() for value in net.parameters()) == 5 * 4 + 2 * (5 * 5 + 5 + 5 * 5) + 2 * 6
    again = made(Blocks, 2)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in net.state_dict().items())


@few
@given(nets(), st.data())
def test_insertion_changes_nothing(net, data):
    x, _ = problem()
    positions = data.draw(st.sets(st.integers(0, net.layers), min_size=1))
    found = insert(net, positions)
    torch.testing.assert_close(found.net(x), net(x), rtol=0, atol=1e-12)
    assert found.net.layers == net.layers + len(positions)
    assert [number - 1 - index for index, number in enumerate(found.layers)] == sorted(positions)


@few
@given(nets(), st.data())
def test_then_prune_is_nothing_at_all(net, data):
    position, optimiser = data.draw(st.integers(0, net.layers)), moments(net)
    before = {name: {k: v.clone() for k, v in state.items()} for name, state in held(optimiser, net).items()}
    there = insert(net, position)
    there.transplant(optimiser)
    assert len([v for group in optimiser.param_groups for v in group["params"]]) == len(
        list(there.net.parameters())
    )
    back = prune(there.net, position + 1)
    back.transplant(optimiser)
    for name, value in net.state_dict().items():
        assert torch.equal(back.net.state_dict()[name], value)
    after = held(optimiser, back.net)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name][key], value) for name in before for key, value in before[name].items())


@kinds
def test_sensitivities_are_gradients_in_the_weights(kind):
    """Each by a net with one new layer alone, and the norm by a difference along the gradient."""
    net, (x, y) = made(kind), problem()
    found = sensitivities(net, x, y)
    for position in range(4):
        grown = insert(net, position).net
        block = grown.hidden[position + (kind is FeedForward)]
        weight = block.weight if kind is FeedForward else block.outer.weight
        (gradient,) = torch.autograd.grad(mse(grown(x), y), weight)
        assert found.norm(2.0)[position].item() == pytest.approx(2 * gradient.norm().item(), rel=1e-12)
        ends = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                weight += step * gradient / gradient.norm()
                ends.append(mse(grown(x), y).item())
                weight -= step * gradient / gradient.norm()
        if kind is Blocks:  # ReLU has corners at identities
            assert found.slope[position].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6)
    weights = [
        layer.weight if kind is FeedForward else layer.outer.weight
        for layer in net.hidden[int(kind is FeedForward) :]
    ]
    present = torch.stack([g.norm() for g in torch.autograd.grad(mse(net(x), y), weights)])
    torch.testing.assert_close(found.present_slope, present)
    assert found.mean_present(1.0).item() == pytest.approx(present.mean().item())


@kinds
def test_grow_by_the_schedule(kind, tmp_path):
    schedule = DepthSchedule(growth=Growth(every=2, times=1, ratio=0.0))
    net, path = made(kind, 1), tmp_path / "run.pt"
    found = depth.fit(net, TRAIN, VALID, SETTINGS, schedule, checkpoint=path)
    (event,) = found.trace.events
    assert event.change < 1e-12
    assert event.train_loss[1] == pytest.approx(event.train_loss[0], rel=1e-12)
    assert event.sensitivities[event.layers[0] - 1] == max(event.sensitivities)
    assert found.trace.depth == [1, 1, 2, 2, 2, 2]
    assert found.trace.steps == [[]] * 6
    assert depth.fit(net, TRAIN, VALID, SETTINGS, schedule, checkpoint=path) == found
    cut = tmp_path / "cut.pt"
    options = {"checkpoint": cut, "checkpoint_seconds": 0}
    with pytest.raises(StopAfter):
        depth.fit(net, TRAIN, VALID, SETTINGS, schedule, callbacks=[StopAfter(4)], **options)
    again = depth.fit(net, TRAIN, VALID, SETTINGS, schedule, **options)
    assert again == found
    assert all(torch.equal(v, found.last.state_dict()[name]) for name, v in again.last.state_dict().items())
    least = DepthSchedule(growth=Growth(every=2, times=1, ratio=0.0, choice=Smallest()))
    (other,) = depth.fit(net, TRAIN, VALID, SETTINGS, least).trace.events
    assert other.sensitivities == event.sensitivities
    assert other.layers != event.layers


def test_refuse_what_has_no_way():
    with pytest.raises(SurrogateError, match=r"ReLU.*tanh"):
        insert(FeedForward(3, 2, 5, 2), 1)
    net = Convolutional(1, 3, 2, 4, 2)
    for act in (lambda: insert(net, 0), lambda: prune(net, 1), lambda: sensitivities(net, *problem())):
        with pytest.raises(SurrogateError, match=r"Convolutional.*Blocks"):
            act()
    with pytest.raises(SurrogateError, match="one must stay"):
        prune(made(Blocks, 1), 1)
    with pytest.raises(SurrogateError, match="no time steps"):
        depth.fit(made(Blocks), TRAIN, VALID, SETTINGS, DepthSchedule(pruning=Pruning()))
