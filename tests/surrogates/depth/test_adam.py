"""Adam by entry: torch's own where all entries are of one age, a new optimiser's where a layer is new."""

import copy

import pytest
import torch
from depth_nets import KINDS, held, made, moments, problem

from surrogates import depth
from surrogates.depth import DepthSchedule, Growth, Pruning, insert
from surrogates.depth.adam import AdamByEntry, adam
from surrogates.depth.run import optimiser_of
from surrogates.training import OPTIMISERS, Settings

NEAR = {"rtol": 1e-12, "atol": 1e-14}


def train(net, optimiser, updates, seed=4):
    """Some updates, each on other samples."""
    for k in range(updates):
        x, y = problem(seed=seed + k)
        optimiser.zero_grad()
        (net(x) - y).square().mean().backward()
        optimiser.step()
    return {name: value.detach().clone() for name, value in net.named_parameters()}


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_it_is_torchs_where_all_are_of_one_age(decay):
    settings = Settings(epochs=1, batch=1, learning_rate=0.01, weight_decay=decay)
    one = made(rule="free")
    other = copy.deepcopy(one)
    ours, theirs = (
        train(net, make(net, settings), 30) for net, make in ((one, adam), (other, OPTIMISERS["adam"]))
    )
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], **NEAR)


def changes(net, optimiser):
    """What the first update does to each parameter."""
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    after = train(net, optimiser, 1, seed=40)
    return {name: after[name] - before[name] for name in before}


@pytest.mark.parametrize("kind", KINDS)
def test_new_entries_begin_as_in_a_new_optimiser_and_old_ones_go_on(kind):
    """Against torch's Adam, new for the new ones and carried over for the old: entry by entry."""
    net = made(kind)
    found, carried, fresh = None, {}, {}
    for make in (AdamByEntry, torch.optim.AdamW):
        optimiser = moments(copy.deepcopy(net), make, steps=5)
        trained = copy.deepcopy(net)
        optimiser = moments(trained, make, steps=5)
        surgery = insert(trained, 1)
        surgery.transplant(optimiser)
        if make is AdamByEntry:
            found = changes(surgery.net, optimiser)
        else:
            again = copy.deepcopy(surgery.net)
            carried = changes(surgery.net, optimiser)
            fresh = changes(again, moments(again, make, steps=0))
    for name, change in found.items():
        kept = surgery.origins[name].kept
        kept = torch.ones_like(change, dtype=torch.bool) if kept is None else kept
        torch.testing.assert_close(
            change, torch.where(kept, carried[name], fresh[name]), rtol=1e-9, atol=1e-13
        )
    assert found["layer_weight"].abs().max() < 1.2e-3, "no entry moves by more than about the rate"


def test_states_of_new_entries_are_zero_and_come_back():
    net = made()
    optimiser = moments(net, AdamByEntry, steps=3)
    found = insert(net, 2)
    found.transplant(optimiser)
    state = held(optimiser, found.net)["layer_weight"]
    kept = found.origins["layer_weight"].kept
    assert set(state) == {"mean", "mean_age", "square", "square_age"}
    for value in state.values():
        assert (value[~kept] == 0).all()
        assert (value[kept] != 0).any()
    again = AdamByEntry(found.net.parameters(), lr=0.1)
    whole = AdamByEntry(found.net.parameters(), lr=0.1)
    train(found.net, again, 2)
    whole.load_state_dict(copy.deepcopy(again.state_dict()))
    for parameter in found.net.parameters():
        for key, value in again.state[parameter].items():
            assert torch.equal(value, whole.state[parameter][key])


def test_a_net_that_may_grow_is_trained_by_it():
    settings = Settings(epochs=2, batch=8, learning_rate=0.01, seed=3)
    train_set, valid = problem(20, 0), problem(9, 1)
    seen = []

    def look(state):
        seen.append(state)

    for schedule, kind in (
        (DepthSchedule(growth=Growth(every=1)), "AdamByEntry"),
        (DepthSchedule(pruning=Pruning()), "Adam"),
    ):
        assert type(optimiser_of(settings, schedule)(made())).__name__ == kind
        depth.fit(made(), train_set, valid, settings, schedule, progress=look)
    assert len(seen) == 4
