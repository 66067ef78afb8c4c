"""A layer with τ = 0 changes nothing; what it takes to wake one; a step in two halves."""

import copy

import pytest
import torch
from depth_nets import GROWING, KINDS, admits, few, held, made, moments, nets, problem
from hypothesis import given
from hypothesis import strategies as st

from surrogates import RULES, AdditiveDenseNet, Fractional, ResNet, SurrogateError, TimeGrid, caputo, ensemble
from surrogates.depth import insert, prune, split, wake

EXACT = {"rtol": 0, "atol": 1e-12}
combinations = pytest.mark.parametrize(
    ("kind", "time_rule"), [(kind, rule) for kind in KINDS for rule in GROWING if admits(kind, rule)]
)


class TestInsert:
    @few
    @given(nets(), st.data())
    def test_the_function_stays(self, net, data):
        """For every family, rule, activation and position, one layer or several."""
        x, _ = problem()
        positions = data.draw(st.sets(st.integers(0, net.layers), min_size=1))
        found = insert(net, positions)
        assert found.net.layers == net.layers + len(positions) == len(found.net.layer_weights())
        torch.testing.assert_close(found.net(x), net(x), **EXACT)
        steps = found.net.steps()
        assert [number for number, step in enumerate(steps.tolist(), 1) if abs(step) < 1e-15] == list(
            found.layers
        )
        assert [number - 1 - index for index, number in enumerate(found.layers)] == sorted(positions)

    @few
    @given(nets(rules=("positive",)), st.data())
    def test_states_are_those_of_before_with_one_twice(self, net, data):
        x, _ = problem()
        position = data.draw(st.integers(0, net.layers))
        if isinstance(net, AdditiveDenseNet) and position == net.layers:
            return  # which reads a state of its own
        old, new = net.states(x), insert(net, position).net.states(x)
        torch.testing.assert_close(new[position, ..., :4], new[position + 1, ..., :4], **EXACT)
        rest = torch.cat((new[: position + 1], new[position + 2 :]))
        if net.state_width == net.width:
            torch.testing.assert_close(rest, old, **EXACT)
        torch.testing.assert_close(rest[..., : net.width], old[..., : net.width], **EXACT)

    @few
    @given(nets(), st.data())
    def test_then_prune_is_nothing_at_all(self, net, data):
        """Weights, steps and moments come back bit for bit."""
        x, _ = problem()
        position = data.draw(st.integers(0, net.layers))
        optimiser = moments(net) if net.steps().requires_grad else moments(net, torch.optim.SGD)
        before = {
            name: {k: copy.deepcopy(v) for k, v in s.items()} for name, s in held(optimiser, net).items()
        }
        there = insert(net, position)
        there.transplant(optimiser)
        back = prune(there.net, position + 1)
        back.transplant(optimiser)
        for name, value in net.state_dict().items():
            assert torch.equal(back.net.state_dict()[name], value), name
        after = held(optimiser, back.net)
        assert after.keys() == before.keys()
        for name, state in before.items():
            for key, value in state.items():
                assert torch.equal(torch.as_tensor(after[name][key]), torch.as_tensor(value)), (name, key)
        torch.testing.assert_close(back.net(x), net(x), rtol=0, atol=0)

    @pytest.mark.parametrize("kind", KINDS)
    def test_new_entries_have_no_moments_and_old_ones_keep_theirs(self, kind):
        net = made(kind)
        optimiser = moments(net)
        before = {name: state["exp_avg"].clone() for name, state in held(optimiser, net).items()}
        found = insert(net, 1)
        found.transplant(optimiser)
        for name, state in held(optimiser, found.net).items():
            kept = found.origins[name].kept
            if kept is None:
                assert torch.equal(state["exp_avg"], before[name])
                continue
            assert (state["exp_avg"][~kept] == 0).all()
            assert (state["exp_avg_sq"][~kept] == 0).all()
            ours, theirs = (
                values.flatten().sort().values for values in (state["exp_avg"][kept], before[name])
            )
            assert torch.equal(ours, theirs)
            assert (~kept).any()

    @few
    @given(nets(rules=("positive",)), st.data())
    def test_takes_the_parameters_of_its_neighbour(self, net, data):
        position = data.draw(st.integers(0, net.layers))
        found, like = insert(net, position).net, min(position, net.layers - 1)
        old, new = net.layer_biases()[like], found.layer_biases()[position]
        if len(new) == len(old) or net.state_width != net.width:
            assert torch.equal(new, old)
        else:  # an additive net: the first reads as its neighbour does, and is read by one state more
            assert torch.equal(new[-len(old) :], old)

    def test_shares_no_memory_with_the_net_before(self):
        net = made()
        before = copy.deepcopy(net.state_dict())
        found = insert(net, 1).net
        with torch.no_grad():
            for value in (*found.parameters(), *found.buffers()):
                value.fill_(0.5)
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())

    def test_frozen_parameters_stay_frozen(self):
        net = made()
        net.layer_weight.requires_grad_(False)
        net.time.requires_grad_(False)
        found = insert(net, 2).net
        assert not found.layer_weight.requires_grad
        assert not found.time.learned
        assert found.layer_bias.requires_grad

    @combinations
    def test_a_layer_at_rest_disturbs_no_gradient(self, kind, time_rule):
        """All derivatives are finite, and those of the old numbers are what they were."""
        net, (x, y) = made(kind, time_rule), problem()
        found = insert(net, 2)
        before = torch.autograd.grad(
            (net(x) - y).square().mean(), list(net.parameters()), materialize_grads=True
        )
        after = torch.autograd.grad(
            (found.net(x) - y).square().mean(), list(found.net.parameters()), materialize_grads=True
        )
        before = dict(zip(dict(net.named_parameters()), before, strict=True))
        for name, value in zip(dict(found.net.named_parameters()), after, strict=True):
            assert value.isfinite().all(), name
            origin = found.origins[name]
            if name.startswith("time.") and time_rule == "dependent":
                continue
            kept = torch.ones_like(value, dtype=torch.bool) if origin.kept is None else origin.kept
            expected = origin.carried(before[name])
            if kind != "AdditiveDenseNet":  # whose state beside the new one shares the weights of its row
                torch.testing.assert_close(value[kept], expected[kept], rtol=1e-10, atol=1e-13)

    def test_again_and_again(self):
        net, (x, _) = made("Fractional", "simplex", layers=2), problem()
        found = net
        for position in (0, 1, 1, 5, 3):
            found = insert(found, position).net
        torch.testing.assert_close(found(x), net(x), **EXACT)
        assert found.layers == 7

    @pytest.mark.parametrize("position", [-1, 5, [], [1, 1], True, 1.5, ["2"]])
    def test_refuses_a_position_that_is_none(self, position):
        with pytest.raises((SurrogateError, TypeError), match=r"positions 0 … 4|not iterable"):
            insert(made(), position)

    def test_refuses_a_uniform_grid_and_an_ensemble(self):
        draw = torch.Generator().manual_seed(0)
        with pytest.raises(SurrogateError, match=r"equal steps.*TimeGrid\.free"):
            insert(ResNet(3, 2, 4, RULES["uniform"](3, 1.0), generator=draw), 1)
        with pytest.raises(SurrogateError, match="singly"):
            insert(ensemble.stack([made(seed=0), made(seed=1)]), 1)


class TestTableAtRest:
    """The memory of a grid with zero steps: the others' as it was, and the limit from above."""

    STEPS, REST = torch.tensor([0.3, 0.0, 0.2, 0.0, 0.0, 0.4, 0.0], dtype=torch.float64), (1, 3, 4, 6)

    @pytest.mark.parametrize("order", [0.05, 0.5, 0.95])
    def test_other_entries_are_those_of_the_grid_without_it(self, order):
        a, c = caputo.table_at_rest(self.STEPS, order)
        awake = self.STEPS > 0
        expected = caputo.memory(self.STEPS[awake], order)
        torch.testing.assert_close(a[awake][:, awake], expected[0], rtol=1e-14, atol=0)
        torch.testing.assert_close(c[awake], expected[1], rtol=1e-14, atol=0)
        assert (a[~awake] == 0).all()
        assert (c[~awake] == 0).all()

    @pytest.mark.parametrize("order", [0.3, 0.8])
    def test_its_column_is_the_limit_of_small_steps(self, order):
        a, _ = caputo.table_at_rest(self.STEPS, order)
        spans = ((0.2, 0.2), (0.4, 0.6))  # of layers 3 and 6, and from layer 2, which is at rest, to them
        expected = [(1 - order) * (step / span) ** order for step, span in spans]
        assert a[[2, 5], 1].tolist() == pytest.approx(expected, rel=1e-13)
        near, _ = caputo.memory(torch.where(self.STEPS == 0, 1e-13, self.STEPS), order)
        awake = self.STEPS > 0
        torch.testing.assert_close(a[awake], near[awake], rtol=1e-6, atol=1e-6)

    def test_convex_weights_repeat_the_state_before(self):
        weights = caputo.convex_weights(caputo.table_at_rest(self.STEPS, 0.4)[0])
        torch.testing.assert_close(weights.sum(-1), torch.ones(7))
        assert [weights[layer, layer].item() for layer in self.REST] == [1.0] * 4


class TestWake:
    @pytest.mark.parametrize("time_rule", GROWING)
    @few
    @given(step=st.floats(1e-3, 0.2), position=st.integers(0, 4), timed_lift=st.booleans())
    def test_sets_the_step_and_keeps_what_the_rule_keeps(self, time_rule, step, position, timed_lift):
        net = made(rule=time_rule, timed_lift=timed_lift)
        found = insert(net, position).net
        wake(found, position + 1, step)
        steps = found.steps().tolist()
        assert steps.pop(position) == pytest.approx(step, rel=1e-12)
        horizon, before = found.time.horizon.item(), net.time.horizon.item()
        if time_rule in ("simplex", "simplex-horizon", "dependent"):
            assert horizon == pytest.approx(before, rel=1e-12)
        else:
            assert horizon == pytest.approx(before + step, rel=1e-12)
            assert steps == pytest.approx(net.steps().tolist(), rel=1e-14)
        if time_rule.startswith("simplex"):
            ratio = [new / old for new, old in zip(steps, net.steps().tolist(), strict=True)]
            assert ratio == pytest.approx([ratio[0]] * 4, rel=1e-5)

    def test_the_step_then_trains_like_the_others(self):
        for rule in GROWING:
            net = insert(made(rule=rule), 1).net
            wake(net, 2, 0.05)
            if rule != "fixed":
                net.steps()[1].backward()
                assert any(value.grad.abs().max() > 1e-3 for value in net.time.parameters())

    def test_a_free_step_may_be_negative_and_others_not(self):
        net = insert(made(rule="free"), 0).net
        wake(net, 1, -0.1)
        assert net.steps()[0].item() == -0.1
        for rule in ("positive", "simplex", "fixed"):
            with pytest.raises(SurrogateError, match="positive number"):
                wake(insert(made(rule=rule), 0).net, 1, -0.1)

    @pytest.mark.parametrize(("time_rule", "step"), [("simplex", 2.0), ("simplex", 1e-9), ("positive", 1e-9)])
    def test_refuses_what_the_rule_cannot_have(self, time_rule, step):
        with pytest.raises(SurrogateError, match=r"larger one|smaller ones"):
            wake(insert(made(rule=time_rule), 0).net, 1, step)

    def test_refuses_a_layer_that_is_not_there(self):
        for layer in (0, 5, None):
            with pytest.raises(SurrogateError, match="1 … 4"):
                wake(made(), layer, 0.1)


class TestSplit:
    def change(self, net, layer):
        x, _ = problem()
        return (split(net, layer).net(x) - net(x)).abs().max().item()

    @pytest.mark.parametrize("time_rule", ["fixed", "free", "positive", "dependent"])
    @pytest.mark.parametrize("kind", ["ResNet", "AdditiveDenseNet"])
    def test_changes_the_function_in_second_order(self, kind, time_rule):
        """Halving a step divides the change by four, wherever it is."""
        for layer in (1, 3):
            found = []
            for step in (0.04, 0.02, 0.01):
                net = made(kind, time_rule)
                wake(net, layer, step)
                found.append(self.change(net, layer))
            assert found[0] > 1e-8
            assert found[0] / found[1] == pytest.approx(4, rel=0.1)
            assert found[1] / found[2] == pytest.approx(4, rel=0.05)

    @few
    @given(nets(rules=("fixed", "free", "positive"), kinds=("ConcatenatingDenseNet",)), st.data())
    def test_changes_nothing_where_layers_only_add(self, net, data):
        assert self.change(net, data.draw(st.integers(1, net.layers))) < 1e-12

    @pytest.mark.parametrize("order", [0.3, 0.5, 0.8])
    def test_multiplies_a_fractional_increment_by_a_known_factor(self, order):
        draw = torch.Generator().manual_seed(0)
        net = Fractional(
            3, 2, 4, TimeGrid.positive(1, 0.1), order, activation=torch.ones_like, generator=draw
        )
        x, _ = problem()
        moved = [(each.states(x)[-1] - each.states(x)[0]) for each in (net, split(net, 1).net)]
        factor = 2**-order * (3 - 2 ** (1 - order))
        torch.testing.assert_close(moved[1], factor * moved[0], rtol=1e-12, atol=1e-14)

    @few
    @given(nets(), st.data())
    def test_halves_the_step_and_keeps_the_horizon(self, net, data):
        layer = data.draw(st.integers(1, net.layers))
        found = split(net, layer)
        steps, half = found.net.steps().tolist(), net.steps()[layer - 1].item() / 2
        assert steps[layer - 1 : layer + 1] == pytest.approx([half, half], rel=1e-9)
        assert found.net.time.horizon.item() == pytest.approx(net.time.horizon.item(), rel=1e-12)
        assert found.layers == (layer + 1,)

    @pytest.mark.parametrize("layers", [1, 3])
    def test_of_the_step_that_depends_leaves_the_others(self, layers):
        net = made(rule="dependent", layers=layers)
        before, after = net.steps().tolist(), split(net, layers).net.steps().tolist()
        assert after == pytest.approx([*before[:-1], before[-1] / 2, before[-1] / 2], rel=1e-12)

    def test_refuses_a_layer_at_rest(self):
        with pytest.raises(SurrogateError, match="no halves"):
            split(insert(made(), 1).net, 2)
