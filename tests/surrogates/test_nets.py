import copy
import inspect
import math
import subprocess
import sys

import pytest
import torch

from surrogates import FAMILIES, RULES, Fractional, LayeredNet, ResNet, SurrogateError, TimeGrid, caputo


def inputs(batch=6, features=3, seed=2):
    return torch.randn(batch, features, generator=torch.Generator().manual_seed(seed))


class TestEveryFamilyOnEveryRule:
    """The contract of a family: a new one joins FAMILIES and inherits all of this."""

    def test_shapes(self, family, rule, build):
        net, x = build(family, rule), inputs()
        assert net(x).shape == (6, 2)
        assert net.states(x).shape == (6, 6, 4)
        assert net.layer_weights().shape == (5, 4, 4)
        memory, gains = net.memory()
        assert gains.shape == (5,)
        assert memory is None or (memory.shape == (5, 5) and torch.equal(memory, memory.tril(-1)))

    def test_result_is_the_readout_of_the_last_state(self, family, rule, build):
        net, x = build(family, rule), inputs()
        torch.testing.assert_close(net(x), net.readout(net.states(x))[-1])
        assert torch.equal(net.states(x)[0], net.lift(x))

    def test_states_follow_the_recursion_written_as_a_double_loop(self, family, rule, build, scatter):
        net, x = build(family, rule), inputs()
        scatter(net.time)
        memory, gains = net.memory()
        y, increments = torch.tanh(x @ net.lift_weight.T + net.lift_bias), []
        expected = [y]
        for n in range(5):
            d = gains[n] * torch.tanh(y @ net.layer_weights()[n].T + net.layer_bias[n])
            for j in range(n):
                d = d - (0 if memory is None else memory[n, j]) * increments[j]
            y = y + d
            increments.append(d)
            expected.append(y)
        torch.testing.assert_close(net.states(x), torch.stack(expected), rtol=1e-13, atol=1e-13)

    def test_equal_seeds_give_identical_weights_whatever_family_and_rule(self, family, rule, build):
        reference = build(ResNet, "fixed").state_dict()
        net = build(family, rule).state_dict()
        for name, value in reference.items():
            if not name.startswith("time."):
                assert torch.equal(value, net[name])

    def test_rules_start_as_the_same_function(self, family, rule, build):
        x = inputs()
        torch.testing.assert_close(build(family, rule)(x), build(family, "fixed")(x), rtol=1e-13, atol=1e-14)

    def test_layers_start_with_weights_of_their_own(self, family, rule, build):
        weights = build(family, rule).layer_weights()
        assert len({tuple(weight.flatten().tolist()) for weight in weights}) == 5

    def test_every_parameter_receives_a_gradient(self, family, rule, build):
        net, x = build(family, rule), inputs()
        net(x).square().sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad.abs().max() > 0, name

    def test_dtype_and_device_follow_the_parameters(self, family, rule, build):
        net = build(family, rule).to(torch.float32)
        assert net(inputs().float()).dtype == torch.float32
        assert build(family, rule).to("meta")(inputs().to("meta")).device.type == "meta"

    def test_state_dict_round_trip(self, family, rule, build, scatter):
        net = scatter(build(family, rule))
        other = build(family, rule, seed=9, horizon=2.0)
        other.load_state_dict(net.state_dict())
        assert torch.equal(other(inputs()), net(inputs()))

    def test_copies_are_independent(self, family, rule, build, scatter):
        net, x = build(family, rule), inputs()
        before = net(x)
        scatter(copy.deepcopy(net))
        assert torch.equal(net(x), before)

    def test_one_layer_is_enough(self, family, rule, build):
        assert build(family, rule, layers=1)(inputs()).isfinite().all()

    def test_functional_calls_vectorise_over_members(self, family, rule, build):
        """Ensembles run many members as one program: torch.func must see through the net."""
        members = [build(family, rule, seed=seed) for seed in range(3)]
        parameters, buffers = torch.func.stack_module_state(members)
        x = inputs()

        def call(p, b):
            return torch.func.functional_call(members[0], (p, b), (x,))

        found = torch.func.vmap(call)(parameters, buffers)
        torch.testing.assert_close(found, torch.stack([net(x) for net in members]), rtol=1e-12, atol=1e-14)

    @pytest.mark.parametrize(
        ("x", "message"),
        [
            (torch.zeros(6, 4, dtype=torch.float64), r"\(batch, 3\).*\(6, 4\)"),
            (torch.zeros(3, dtype=torch.float64), r"\(batch, 3\).*\(3,\)"),
            (torch.zeros(6, 3, dtype=torch.float32), "float64.*float32"),
            (torch.zeros(6, 3, dtype=torch.float64, device="meta"), "cpu.*meta"),
        ],
    )
    def test_refuses_inputs_of_wrong_shape_dtype_or_device(self, family, rule, build, x, message):
        with pytest.raises(SurrogateError, match=message):
            build(family, rule)(x)


class TestLearnedSteps:
    """dJ/dτ is exact: it passes through the gains and through the memory."""

    def test_gradcheck_in_every_parameter_of_the_grid(self, family, learned_rule, build, scatter):
        net, x = build(family, learned_rule, layers=4), inputs(batch=2)
        scatter(net.time)
        names = [f"time.{name}" for name, _ in net.time.named_parameters()]
        values = tuple(value.detach().clone().requires_grad_() for value in net.time.parameters())

        def result(*parameters):
            return torch.func.functional_call(net, dict(zip(names, parameters, strict=True)), (x,))

        assert torch.autograd.gradcheck(result, values, eps=1e-6, atol=1e-8, rtol=1e-6)

    def test_memory_carries_part_of_the_derivative(self, build):
        """Holding a constant would change dJ/dτ of a fractional net by more than a per cent."""
        net, x = build(Fractional, TimeGrid.positive(6, 1.0)), inputs()
        net(x).square().sum().backward()
        complete = net.time.logits.grad.clone()

        memory, _ = net.memory()
        net.memory = lambda: (memory.detach(), caputo.table(net.time(), net.order)[1])
        net.zero_grad()
        net(x).square().sum().backward()
        assert (net.time.logits.grad - complete).norm() > 0.01 * complete.norm()


class TestFamilies:
    """What sets the families apart."""

    def test_residual_net_is_explicit_euler(self, build):
        net, x = build(ResNet, TimeGrid.fixed(steps=[0.1, 0.7])), inputs()
        y = net.states(x)
        for n, step in enumerate([0.1, 0.7]):
            field = torch.tanh(y[n] @ net.layer_weight[n].T + net.layer_bias[n])
            torch.testing.assert_close(y[n + 1], y[n] + step * field, rtol=1e-14, atol=1e-15)

    def test_order_one_is_the_residual_net(self, build):
        grid, x = TimeGrid.fixed(steps=[0.1, 0.7, 0.05, 0.3]), inputs()
        residual = build(ResNet, grid).states(x)
        for distance in (1e-3, 1e-6, 1e-9):
            near = build(Fractional, grid, order=1 - distance).states(x)
            assert (near - residual).abs().max() < 5 * distance

    def test_order_zero_adds_each_field_to_the_first_state(self, build):
        grid, x = TimeGrid.fixed(steps=[0.1, 0.7, 0.05, 0.3]), inputs()
        for distance in (1e-3, 1e-6, 1e-9):
            net = build(Fractional, grid, order=distance)
            y = net.states(x)
            for n in range(4):
                field = torch.tanh(y[n] @ net.layer_weight[n].T + net.layer_bias[n])
                assert (y[n + 1] - y[0] - field).abs().max() < 20 * distance

    def test_direct_path_of_the_fractional_net_reaches_the_last_state(self, build):
        """With fields that ignore the state, ∂y_L/∂y_0 is w_{L,0} + …, here exactly the identity."""
        net = build(Fractional, "fixed", layers=6, activation=torch.zeros_like)
        jacobian = torch.func.jacrev(lambda y: net.integrate(y)[-1])(torch.randn(1, 4)).reshape(4, 4)
        torch.testing.assert_close(jacobian, torch.eye(4), rtol=1e-13, atol=1e-13)

    @pytest.mark.parametrize(
        "promising_rule", [name for name, make in RULES.items() if make(2, 1.0).always_positive]
    )
    def test_fractional_net_is_finite_at_the_edges_of_a_learned_grid(self, build, promising_rule):
        """Steps thrown to the floor by a wild gradient still give a finite net and finite gradients."""
        net = build(Fractional, promising_rule).to(torch.float32)
        with torch.no_grad():
            for parameter in net.time.parameters():
                parameter.copy_(torch.linspace(-1e4, 1e2, parameter.numel()).reshape(parameter.shape))
        net(inputs().float()).sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in net.parameters())

    def test_fractional_net_refuses_a_free_grid_and_says_why_and_what_instead(self, build):
        with pytest.raises(SurrogateError, match=r"'free'.*negative.*NaN.*TimeGrid\.positive"):
            build(Fractional, "free")

    @pytest.mark.parametrize("order", [0.0, 1.0, 2, math.nan, None])
    def test_fractional_net_refuses_an_order_outside_the_interval(self, build, order):
        with pytest.raises(SurrogateError, match="strictly between 0 and 1"):
            build(Fractional, "fixed", order=order)

    def test_no_family_is_missing_from_the_list(self):
        def concrete(parent):
            for family in parent.__subclasses__():
                yield from () if inspect.isabstract(family) else (family,)
                yield from concrete(family)

        assert set(concrete(LayeredNet)) == set(FAMILIES)

    def test_description_tells_the_architecture(self, build):
        text = repr(build(Fractional, "simplex", order=0.3))
        for part in ("Fractional", "inputs=3", "width=4", "activation=tanh", "order=0.3", "TimeGrid.simplex"):
            assert part in text


class TestConstructor:
    """Sizes and time grid are checked when a net is built."""

    @pytest.mark.parametrize("name", ["inputs", "outputs", "width"])
    @pytest.mark.parametrize("value", [0, -1, 2.0, True, None])
    def test_refuses_a_wrong_size(self, family, name, value):
        sizes = {"inputs": 3, "outputs": 2, "width": 4, name: value}
        with pytest.raises(SurrogateError, match=name):
            family(**sizes, time=TimeGrid.fixed(2))

    def test_refuses_something_else_than_a_time_grid(self, family):
        with pytest.raises(SurrogateError, match="time grid"):
            family(inputs=3, outputs=2, width=4, time=torch.ones(4))

    def test_draws_from_the_global_generator_when_none_is_given(self, family):
        first, second = (family(3, 2, 4, TimeGrid.fixed(2)).layer_weight for _ in range(2))
        assert not torch.equal(first, second)


def test_errors_are_at_hand_without_waiting_for_torch():
    code = "import sys, surrogates; surrogates.SurrogateError('mend it'); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert issubclass(SurrogateError, ValueError)
