"""What sets the DenseNets apart from the recursive families and from each other."""

import pytest
import torch
from module_contract import EXACT, inputs
from torch import nn

from surrogates import AdditiveDenseNet, ConcatenatingDenseNet, ResNet, SurrogateError, TimeGrid, ensemble


class TestAdditive:
    def test_with_one_map_for_all_later_states_it_is_the_residual_net(self, rule, build, scatter):
        residual = scatter(build(ResNet, rule))
        net, x = build(AdditiveDenseNet, rule), inputs()
        values = dict(residual.state_dict())
        for name in ("layer_weight", "layer_bias"):
            rows = [values[name][i].expand(5 - i, *values[name][i].shape) for i in range(5)]
            values[name] = torch.cat(rows)
        net.load_state_dict(values)
        torch.testing.assert_close(net.states(x), residual.states(x), **EXACT)

    def test_parameters_are_packed_by_the_state_they_read(self, build):
        """K_{l,i} acts on y_{i−1} for y_l alone: moving it moves y_l and what reads y_l, nothing before."""
        net, x = build(AdditiveDenseNet, "fixed", layers=4), inputs()
        states, place = net.states(x), 0
        for source in range(1, 5):
            for target in range(source, 5):
                with torch.no_grad():
                    before = net.layer_bias[place].clone()
                    net.layer_bias[place] += 1.0
                    moved = (net.states(x) - states).abs().amax((1, 2)) > 0
                    net.layer_bias[place] = before
                place += 1
                assert moved.tolist() == [level >= target for level in range(5)]
        assert place == len(net.layer_bias)

    def test_free_steps_may_be_negative(self, build):
        net, x = build(AdditiveDenseNet, "free"), inputs()
        forwards = net.states(x)[1] - net.lift(x)
        with torch.no_grad():
            net.time.steps.neg_()
        torch.testing.assert_close(net.states(x)[1] - net.lift(x), -forwards, **EXACT)


class TestConcatenating:
    @pytest.mark.parametrize("growth", [1, 3])
    def test_state_grows_by_the_growth_and_keeps_what_it_has(self, growth, build):
        net, x = build(ConcatenatingDenseNet, "positive", growth=growth), inputs()
        states = net.states(x)
        assert net.state_width == states.shape[-1] == 4 + 5 * growth
        for layer in range(6):
            width = 4 + layer * growth
            assert torch.equal(states[layer][:, :width], states[-1][:, :width])
            assert (states[layer][:, width:] == 0).all()

    def test_padded_states_follow_the_recursion_of_the_other_families(self, build):
        """y_l = y_{l−1} + P_l τ_l σ(K_l y_{l−1} + b_l), K_l with zero columns for what is not yet born."""
        net, x = build(ConcatenatingDenseNet, "simplex", growth=3), inputs()
        y = net.states(x)
        for n, (weight, bias) in enumerate(zip(net.layer_weights(), net.layer_biases(), strict=True)):
            wide = nn.functional.pad(weight, (0, net.state_width - weight.shape[1]))
            embedding = torch.eye(net.state_width)[:, 4 + 3 * n : 7 + 3 * n]
            field = net.steps()[n] * torch.tanh(y[n] @ wide.T + bias)
            torch.testing.assert_close(y[n + 1], y[n] + field @ embedding.T, **EXACT)

    def test_first_weights_are_of_the_size_of_their_number_of_columns(self, build):
        net = build(ConcatenatingDenseNet, "fixed", width=5, growth=50)
        for weight, bias in zip(net.layer_weights(), net.layer_biases(), strict=True):
            limit = weight.shape[1] ** -0.5
            assert 0.95 * limit < weight.abs().max() <= limit
            assert bias.abs().max() <= limit

    def test_source_of_entries_that_are_not_yet_born_is_ignored(self, build):
        net, x = build(ConcatenatingDenseNet, "fixed"), inputs()
        source = torch.zeros(5, 6, net.state_width)
        source[1, :, 12:] = 1.0  # y_2 has 4 + 2·4 entries
        torch.testing.assert_close(net.integrate(net.lift(x), source), net.states(x), **EXACT)

    @pytest.mark.parametrize("growth", [0, -2, 2.0, True, None])
    def test_refuses_a_wrong_growth(self, growth, build):
        with pytest.raises(SurrogateError, match="growth"):
            build(ConcatenatingDenseNet, "fixed", growth=growth)

    def test_description_tells_the_growth(self, build):
        assert "growth=3" in repr(build(ConcatenatingDenseNet, "fixed", growth=3))


@pytest.mark.parametrize("kind", [AdditiveDenseNet, ConcatenatingDenseNet])
class TestBoth:
    def test_training_keeps_no_more_than_a_few_states_a_layer(self, kind, build):
        """Numbers kept for the way back, parameters aside: linear in the depth, not quadratic."""
        kept = []
        for layers in (8, 16, 32):
            net, x = build(kind, "fixed", layers=layers), inputs(batch=50)
            sizes = {}

            def keep(tensor, sizes=sizes):
                sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                result = net(x)
            for parameter in net.parameters():
                sizes.pop(parameter.untyped_storage().data_ptr(), None)
            kept.append(sum(sizes.values()))
            assert result.shape == (50, 2)
        assert kept[2] - kept[1] < 2.1 * (kept[1] - kept[0])

    def test_an_ensemble_of_mixed_rules_equals_its_members(self, kind, build, scatter):
        rules = ("simplex", "fixed", "positive")
        nets = [scatter(build(kind, rule, seed=seed), seed=seed) for seed, rule in enumerate(rules)]
        x = inputs()
        found = ensemble.stack(nets)(x)
        torch.testing.assert_close(found, torch.stack([net(x) for net in nets]), **EXACT)

    def test_a_source_reaches_each_member_of_an_ensemble(self, kind, build, scatter):
        nets = [scatter(build(kind, "positive", seed=seed), seed=seed) for seed in range(2)]
        stacked, x = ensemble.stack(nets), inputs()
        source = torch.randn(5, 2, 6, stacked.state_width, generator=torch.Generator().manual_seed(8))
        alone = [net.integrate(net.lift(x), source[:, i]) for i, net in enumerate(nets)]
        torch.testing.assert_close(stacked.integrate(stacked.lift(x), source), torch.stack(alone, 1), **EXACT)

    def test_given_steps_are_those_of_the_scheme(self, kind, build):
        net, x = build(kind, TimeGrid.fixed(steps=[0.1, 0.7])), inputs()
        assert net.steps().tolist() == pytest.approx([0.1, 0.7])
        start = net.lift(x)
        first = net.states(x)[1][:, -8:-4] if kind is ConcatenatingDenseNet else net.states(x)[1] - start
        weight, bias = net.layer_weights()[0], net.layer_biases()[0]
        if kind is AdditiveDenseNet:
            weight, bias = weight[0], bias[0]
        torch.testing.assert_close(first, 0.1 * torch.tanh(start @ weight.T + bias), **EXACT)
