"""The contract of a network family: a new one subclasses ``FamilyContract`` in test_nets.py and inherits all tests.

A subclass gives the family, the recursion in plain words, and the number of layer parameters. Tests that ask for
``rule`` run over all time rules the family admits, ``learned_rule`` over those that learn, ``activation`` over all
activations (conftest.py).
"""

import copy
from typing import ClassVar

import pytest
import torch
from module_contract import BATCH, EXACT, LAYERS, WIDTH, ModuleContract, inputs
from torch import nn

from surrogates import TimeGrid


def leaves(net):
    """Names of all parameters, and values of their own to differentiate in."""
    names = [name for name, _ in net.named_parameters()]
    return names, tuple(value.detach().clone().requires_grad_() for value in net.parameters())


def called(net, names, values, x):
    return torch.func.functional_call(net, dict(zip(names, values, strict=True)), (x,))


def padded(state, width):
    return nn.functional.pad(state, (0, width - state.shape[-1]))


class FamilyContract(ModuleContract):
    """What holds for every family of ``LayeredNet``."""

    smallest: ClassVar[dict] = {}
    """Options of the family with which a net has fewest parameters."""

    def loop(self, net, start, source=None):
        """Return y_0 … y_L as a list, each padded to the state width, pair by pair and layer by layer."""
        raise AssertionError(f"{type(self).__name__} has to say what its family computes")

    def layer_parameters(self, layers, width):
        """Return how many numbers the layers of a net with default options hold."""
        raise AssertionError(f"{type(self).__name__} has to say how many parameters its family has")

    def degree(self, net):
        """Return the power of a common factor of all steps by which a constant field acts."""
        return 1.0

    # shapes and the way from x to the result

    def test_shapes(self, rule, build):
        net, x = build(self.family, rule), inputs()
        assert net(x).shape == (BATCH, 2)
        assert net.states(x).shape == (LAYERS + 1, BATCH, net.state_width)
        assert net.lift(x).shape == (BATCH, WIDTH)
        assert net.steps().shape == (LAYERS,)
        assert len(net.layer_weights()) == len(net.layer_biases()) == LAYERS

    def test_result_is_the_readout_of_the_last_state(self, rule, build):
        net, x = build(self.family, rule), inputs()
        states, start = net.states(x), net.lift(x)
        torch.testing.assert_close(net(x), states[-1] @ net.readout_weight.T + net.readout_bias, **EXACT)
        torch.testing.assert_close(net.last(start), states[-1], **EXACT)
        torch.testing.assert_close(start, torch.tanh(x @ net.lift_weight.T + net.lift_bias), **EXACT)
        assert torch.equal(states[0], padded(start, net.state_width))

    def test_counts_its_parameters(self, rule, build):
        for layers, width in ((1, 3), (5, 4)):
            net = build(self.family, rule, layers=layers, width=width)
            grid = sum(value.numel() for value in net.time.parameters())
            ends = width * (3 + 1) + 2 * (net.state_width + 1)
            found = sum(value.numel() for value in net.parameters())
            assert found == ends + self.layer_parameters(layers, width) + grid

    def test_one_layer_is_enough(self, rule, build):
        net, x = build(self.family, rule, layers=1), inputs()
        torch.testing.assert_close(net.states(x), torch.stack(self.loop(net, net.lift(x))), **EXACT)

    # the recursion and its derivative

    def test_states_follow_the_double_loop(self, rule, build, scatter):
        net, x = build(self.family, rule), inputs()
        scatter(net.time)
        torch.testing.assert_close(net.states(x), torch.stack(self.loop(net, net.lift(x))), **EXACT)

    def test_a_source_is_added_to_the_states(self, rule, build, scatter):
        net, x = build(self.family, rule), inputs()
        scatter(net.time)
        source = torch.randn(LAYERS, BATCH, net.state_width, generator=torch.Generator().manual_seed(5))
        expected = torch.stack(self.loop(net, net.lift(x), source))
        torch.testing.assert_close(net.integrate(net.lift(x), source), expected, **EXACT)
        torch.testing.assert_close(net.integrate(net.lift(x), 0 * source), net.states(x), **EXACT)

    def test_derivatives_are_those_of_the_double_loop(self, rule, build, scatter):
        """In every parameter, steps among them, and in x: of the result, and of a function of all states."""
        net, x = scatter(build(self.family, rule)), inputs().requires_grad_()
        wanted = (x, *net.parameters())
        weight = torch.randn(LAYERS + 1, BATCH, net.state_width, generator=torch.Generator().manual_seed(6))

        def gradients(states, last):
            result = (weight * states).sum() + net.readout(last).square().sum()
            return torch.autograd.grad(result, wanted)

        expected = torch.stack(self.loop(net, net.lift(x)))
        start = net.lift(x)
        found = gradients(net.integrate(start), net.last(start))
        for value, reference in zip(found, gradients(expected, expected[-1]), strict=True):
            torch.testing.assert_close(
                value, reference, rtol=1e-12, atol=1e-12 * reference.abs().max().item()
            )

    def test_every_activation_is_the_one_asked_for(self, activation, build, scatter):
        net, x = scatter(build(self.family, "positive", activation=activation)), inputs()
        expected = torch.stack(self.loop(net, net.lift(x)))
        torch.testing.assert_close(net.states(x), expected, **EXACT)
        found = torch.autograd.grad(net(x).square().sum(), tuple(net.parameters()))
        loop = torch.autograd.grad(net.readout(expected[-1]).square().sum(), tuple(net.parameters()))
        for value, reference in zip(found, loop, strict=True):
            torch.testing.assert_close(
                value, reference, rtol=1e-12, atol=1e-12 * reference.abs().max().item()
            )

    def test_activation_may_be_any_function_of_one_tensor(self, build):
        net, x = build(self.family, "positive", activation=lambda z: z / (1 + z * z)), inputs()
        torch.testing.assert_close(net.states(x), torch.stack(self.loop(net, net.lift(x))), **EXACT)

    def test_timed_lift_takes_the_first_step(self, rule, build, scatter):
        net, x = build(self.family, rule, timed_lift=True), inputs()
        scatter(net.time)
        steps = net.time()
        torch.testing.assert_close(
            net.lift(x), steps[0] * torch.tanh(x @ net.lift_weight.T + net.lift_bias), **EXACT
        )
        assert net.layers == LAYERS - 1
        assert torch.equal(net.steps(), steps[1:])
        torch.testing.assert_close(net.states(x), torch.stack(self.loop(net, net.lift(x))), **EXACT)

    # laws

    def test_without_fields_the_first_state_stays(self, rule, build, scatter):
        net = build(self.family, rule, activation=torch.zeros_like)
        scatter(net.time)
        start = torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(3))
        expected = padded(start, net.state_width).expand(LAYERS + 1, -1, -1)
        torch.testing.assert_close(net.integrate(start), expected, rtol=1e-13, atol=1e-13)

    def test_first_state_reaches_the_last_one_directly(self, rule, build, scatter):
        """With fields that ignore the state, ∂y_L/∂y_0 is the identity: no exponential vanishing."""
        net = build(self.family, rule, activation=torch.zeros_like)
        scatter(net.time)
        jacobian = torch.autograd.functional.jacobian(net.last, torch.randn(1, WIDTH)).squeeze()
        expected = torch.eye(net.state_width)[:, :WIDTH]
        torch.testing.assert_close(jacobian, expected, rtol=1e-13, atol=1e-13)

    def test_constant_fields_act_in_proportion_to_a_power_of_the_steps(self, build):
        """a is homogeneous of degree 0 and c of the degree of the scheme, whatever the steps are."""
        steps, start = torch.tensor([0.1, 0.7, 0.05, 0.3, 0.2]), torch.zeros(1, WIDTH)
        moved = []
        for factor in (1.0, 3.7):
            net = build(self.family, TimeGrid.fixed(steps=factor * steps), activation=torch.ones_like)
            moved.append(net.integrate(start))
        torch.testing.assert_close(moved[1], 3.7 ** self.degree(net) * moved[0], **EXACT)
        assert moved[0][-1].abs().max() > 0.1

    @pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")  # from inside torch
    def test_forward_mode_is_the_transpose_of_reverse_mode(self, rule, build, scatter):
        """⟨J v, w⟩ = ⟨v, Jᵀ w⟩ in x and all parameters, and J from either mode is one matrix."""
        net, x = scatter(build(self.family, rule)), inputs(batch=2)
        names, values = leaves(net)
        draw = torch.Generator().manual_seed(7)
        point = (x, *(value.detach() for value in values))
        v = tuple(torch.randn(value.shape, generator=draw) for value in point)
        w = torch.randn(2, 2, generator=draw)

        def result(x, *values):
            return called(net, names, values, x)

        _, forward = torch.func.jvp(result, point, v)
        _, transpose = torch.func.vjp(result, *point)
        backward = sum((a * b).sum() for a, b in zip(v, transpose(w), strict=True))
        torch.testing.assert_close((forward * w).sum(), backward, **EXACT)

        wanted = [value.requires_grad_() for value in point]
        by_hand = torch.autograd.grad(result(*wanted), wanted, w)
        for value, reference in zip(by_hand, transpose(w), strict=True):
            torch.testing.assert_close(value, reference, **EXACT)

    @pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")  # from inside torch
    def test_jacobians_of_both_modes_agree(self, build, scatter):
        net, x = scatter(build(self.family, "positive")), inputs(batch=2)
        forward, reverse = torch.func.jacfwd(net)(x), torch.func.jacrev(net)(x)
        torch.testing.assert_close(forward, reverse, **EXACT)

    def test_derivative_in_the_steps_is_that_of_differences(self, learned_rule, build, scatter):
        """dJ/dτ passes through the gains and through the memory."""
        net, x = build(self.family, learned_rule, layers=4), inputs(batch=2)
        scatter(net.time)
        names = [f"time.{name}" for name, _ in net.time.named_parameters()]
        values = tuple(value.detach().clone().requires_grad_() for value in net.time.parameters())
        assert torch.autograd.gradcheck(
            lambda *v: called(net, names, v, x), values, eps=1e-6, atol=1e-8, rtol=1e-6
        )

    def test_second_derivatives(self, learned_rule, build, scatter):
        sizes = {"layers": 2, "width": 2, "inputs": 1, "outputs": 1, **self.smallest}
        net, x = scatter(build(self.family, learned_rule, **sizes)), inputs(2, 1)
        names, values = leaves(net)
        assert torch.autograd.gradgradcheck(
            lambda *v: called(net, names, v, x), values, eps=1e-6, atol=1e-7, rtol=1e-5
        )

    def test_every_parameter_receives_a_gradient(self, rule, build):
        net, x = build(self.family, rule), inputs()
        net(x).square().sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad.abs().max() > 0, name

    def test_frozen_parameters_receive_none_and_change_no_other_gradient(self, learned_rule, build, scatter):
        net, x = scatter(build(self.family, learned_rule)), inputs()
        net(x).square().sum().backward()
        for chosen, _ in net.named_parameters():
            other = copy.deepcopy(net)
            other.zero_grad()
            other.get_parameter(chosen).requires_grad_(False)
            other(x).square().sum().backward()
            assert other.get_parameter(chosen).grad is None
            for name, value in other.named_parameters():
                if name != chosen:
                    torch.testing.assert_close(value.grad, net.get_parameter(name).grad, **EXACT)
