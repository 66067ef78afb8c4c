"""Which layer goes, what stays, and by how much the function changes at most."""

import pytest
import torch
from depth_nets import KINDS, admits, few, held, made, moments, nets, problem
from hypothesis import given
from hypothesis import strategies as st

from surrogates import ConcatenatingDenseNet, Fractional, ResNet, SurrogateError, TimeGrid, ensemble
from surrogates.depth import change_bound, insert, least, prune, shares


def with_step(kind, step, layer):
    """A net with one step of this size among four others."""
    steps = [0.3, 0.2, 0.4, 0.25]
    steps.insert(layer - 1, step)
    net = made(kind, "fixed", layers=5)
    net.time = TimeGrid.fixed(steps=steps)
    return net


class TestLeast:
    def test_is_the_smallest_share_below_the_threshold(self):
        net = made(rule="free")
        with torch.no_grad():
            net.time.steps.copy_(torch.tensor([0.5, -0.004, 0.3, 0.2]))
        assert shares(net).tolist() == pytest.approx([0.5 / 1.004, 0.004 / 1.004, 0.3 / 1.004, 0.2 / 1.004])
        assert least(net) == 2
        assert least(net, 0.003) is None

    def test_a_negative_step_is_not_small(self):
        net = made(rule="free")
        with torch.no_grad():
            net.time.steps.copy_(torch.tensor([0.5, -0.9, 0.3, 0.2]))
        assert least(net) is None
        assert least(net, 0.2) == 4

    def test_never_the_lift_nor_the_last_layer(self):
        net = made(rule="free", timed_lift=True, layers=2)
        with torch.no_grad():
            net.time.steps.copy_(torch.tensor([1e-6, 0.5, 0.5]))
        assert least(net) is None
        assert least(made(rule="free", layers=1), 2.0) is None

    def test_a_grid_of_zeros_loses_its_first_layer(self):
        net = made(rule="free")
        with torch.no_grad():
            net.time.steps.zero_()
        assert least(net) == 1


class TestPrune:
    @few
    @given(nets(), st.data())
    def test_a_layer_at_rest_changes_nothing_when_it_goes(self, net, data):
        x, _ = problem()
        position = data.draw(st.integers(0, net.layers))
        found = insert(net, position).net
        with torch.no_grad():  # its weights may have become anything
            for name, origin in insert(net, position).origins.items():
                if (
                    origin.kept is not None
                    and not name.startswith("time.")
                    and "Additive" not in str(type(net))
                ):
                    found.get_parameter(name)[~origin.kept] += 0.7
        torch.testing.assert_close(prune(found, position + 1).net(x), found(x), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("layer", [1, 2, 4])
    def test_a_dense_layer_whose_step_has_become_zero(self, layer):
        """Rows are weights of their own: what the layer read goes with it, and what it made stays."""
        net, (x, _) = made("AdditiveDenseNet", "free"), problem()
        with torch.no_grad():
            net.time.steps[layer - 1] = 0
        torch.testing.assert_close(prune(net, layer).net(x), net(x), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD, torch.optim.Adam])
    @few
    @given(nets(), st.data())
    def test_what_stays_is_as_it_was_bit_for_bit(self, kind, net, data):
        if net.layers == 1:
            return
        layer, optimiser = data.draw(st.integers(1, net.layers)), moments(net, kind)
        before = {
            name: {k: torch.as_tensor(v).clone() for k, v in s.items()}
            for name, s in held(optimiser, net).items()
        }
        found = prune(net, layer)
        for name in ("lift_weight", "lift_bias", "readout_bias"):
            assert torch.equal(found.net.get_parameter(name), net.get_parameter(name))
        if type(net) in (ResNet, Fractional):
            rest = [number for number in range(net.layers) if number != layer - 1]
            assert torch.equal(found.net.layer_weight, net.layer_weight[rest])
            assert torch.equal(found.net.layer_bias, net.layer_bias[rest])
        found.transplant(optimiser)
        after = held(optimiser, found.net)
        for name, state in after.items():
            for key, value in state.items():
                old, new = before[name][key], torch.as_tensor(value)
                expected = found.origins[name].carried(old) if old.ndim > 0 and key != "step" else old
                assert torch.equal(new, expected)
        assert {id(v) for group in optimiser.param_groups for v in group["params"]} == {
            id(v) for v in found.net.parameters()
        }

    def test_the_optimiser_goes_on_as_if_the_layer_had_never_been(self):
        """Two nets, one with a layer at rest that goes: their next updates are equal."""
        x, y = problem()
        ends = []
        for detour in (False, True):
            net = made(rule="free")
            optimiser = moments(net)
            if detour:
                there = insert(net, 2)
                there.transplant(optimiser)
                back = prune(there.net, 3)
                back.transplant(optimiser)
                net = back.net
            for _ in range(3):
                optimiser.zero_grad()
                (net(x) - y).square().mean().backward()
                optimiser.step()
            ends.append(net.state_dict())
        assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())

    def test_keeps_the_decay_and_the_group_of_each_parameter(self):
        net = made()
        optimiser = moments(net)
        prune(net, 1).transplant(optimiser)
        assert [group["weight_decay"] for group in optimiser.param_groups] == [0.1, 0.0]
        assert [len(group["params"]) for group in optimiser.param_groups] == [3, 4]

    @pytest.mark.parametrize("time_rule", ["fixed", "free", "positive", "simplex", "dependent", "uniform"])
    def test_the_grid_follows_its_rule(self, time_rule):
        net = made(rule=time_rule) if time_rule != "uniform" else ResNet(3, 2, 4, TimeGrid.uniform(4, 1.3))
        before, found = net.steps().tolist(), prune(net, 2).net
        rest = [before[0], *before[2:]]
        if time_rule == "simplex":
            rest = [step * 1.3 / sum(rest) for step in rest]
        if time_rule == "dependent":
            rest[-1] += before[1]
        assert found.steps().tolist() == pytest.approx(rest, rel=1e-6)

    def test_refuses_the_only_layer_an_ensemble_and_lbfgs(self):
        with pytest.raises(SurrogateError, match="keep one"):
            prune(made(layers=1), 1)
        with pytest.raises(SurrogateError, match="singly"):
            prune(ensemble.stack([made(seed=0), made(seed=1)]), 1)
        net = made()
        with pytest.raises(SurrogateError, match="adam"):
            prune(net, 1).transplant(torch.optim.LBFGS(net.parameters()))
        with pytest.raises(SurrogateError, match=r"none of the net's"):
            prune(net, 1).transplant(torch.optim.SGD(made().parameters()))


class TestChange:
    @few
    @given(nets(rules=("fixed", "positive", "simplex", "dependent")), st.data())
    def test_is_within_its_bound(self, net, data):
        if net.layers == 1:
            return
        x, _ = problem()
        found = prune(net, data.draw(st.integers(1, net.layers)))
        change = (found.net(x) - net(x)).norm(dim=-1)
        assert (change <= change_bound(found, x) * (1 + 1e-12) + 1e-14).all()

    @pytest.mark.parametrize("layer", [1, 3, 5])
    @pytest.mark.parametrize(
        "kind", [kind for kind in KINDS if admits(kind, "positive") and "exp" not in kind]
    )
    def test_and_bound_are_of_the_order_of_the_scheme(self, kind, layer):
        """τ without memory, τ^γ with it, as the step goes to zero."""
        x, _ = problem()
        order = getattr(made(kind), "order", 1.0)
        changes, bounds = [], []
        for step in (1e-8, 1e-10):
            net = with_step(kind, step, layer)
            found = prune(net, layer)
            changes.append((found.net(x) - net(x)).norm(dim=-1).max().item())
            bounds.append(change_bound(found, x).max().item())
        assert changes[0] / changes[1] == pytest.approx(100**order, rel=0.02)
        assert bounds[0] / bounds[1] == pytest.approx(100**order, rel=0.02)
        assert bounds[0] < 100 * changes[0]

    def test_bound_is_attained_where_nothing_follows(self):
        """The last layer goes: the readout alone stands between its increment and the result."""
        net, (x, _) = made("ResNet", "fixed"), problem()
        found = prune(net, 4)
        change = (found.net(x) - net(x)).norm(dim=-1)
        torch.testing.assert_close(change_bound(found, x), change, rtol=1e-12, atol=0)

    def test_refuses_what_is_no_removal(self):
        with pytest.raises(SurrogateError, match="one layer less"):
            change_bound(insert(made(), 1), problem()[0])

    def test_refuses_an_activation_without_a_bound(self):
        draw = torch.Generator().manual_seed(0)
        net = ConcatenatingDenseNet(
            3, 2, 4, TimeGrid.positive(3), activation=lambda z: z / (1 + z * z), generator=draw
        )
        with pytest.raises(SurrogateError, match="slope"):
            change_bound(prune(net, 1), problem()[0])
