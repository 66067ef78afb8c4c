"""Every family passes the contract of its kind; below, what sets the recursive families apart."""

import inspect
import math
import subprocess
import sys
from typing import ClassVar

import pytest
import torch
from family_contract import FamilyContract, padded
from module_contract import EXACT, admitted, inputs
from recursive_contract import RecursiveContract
from torch import nn

from surrogates import (
    FAMILIES,
    RULES,
    AdditiveDenseNet,
    ConcatenatingDenseNet,
    Fractional,
    LayeredNet,
    Order,
    ResNet,
    SurrogateError,
    TimeGrid,
    caputo,
)


class TestResNet(RecursiveContract):
    family = ResNet


class TestFractional(RecursiveContract):
    family = Fractional

    def degree(self, net):
        return net.order


class TestAdditiveDenseNet(FamilyContract):
    family = AdditiveDenseNet

    def loop(self, net, start, source=None):
        steps, weights, biases = net.steps(), net.layer_weights(), net.layer_biases()
        states = [start]
        for n in range(1, net.layers + 1):
            y = start
            for i in range(1, n + 1):
                z = states[i - 1] @ weights[i - 1][n - i].T + biases[i - 1][n - i]
                y = y + steps[i - 1] * net.activation(z)
            states.append(y if source is None else y + source[n - 1])
        return states

    def layer_parameters(self, layers, width):
        return layers * (layers + 1) // 2 * width * (width + 1)


class TestConcatenatingDenseNet(FamilyContract):
    family = ConcatenatingDenseNet
    smallest: ClassVar = {"growth": 1}

    def loop(self, net, start, source=None):
        states = [start]
        for n, step in enumerate(net.steps()):
            new = net.activation(
                nn.functional.linear(states[-1], net.layer_weights()[n], net.layer_biases()[n])
            )
            y = torch.cat((states[-1], step * new), -1)
            states.append(y if source is None else y + source[n][:, : y.shape[-1]])
        return [padded(state, net.state_width) for state in states]

    def layer_parameters(self, layers, width):
        return sum(4 * (width + 4 * layer + 1) for layer in range(layers))


class TestList:
    """No family escapes."""

    def test_no_family_is_missing_from_the_list(self):
        assert {
            family for family in _below(LayeredNet) if family.__module__.startswith("surrogates.")
        } == set(FAMILIES)

    def test_no_family_is_without_the_contract(self):
        held = [contract.family for contract in _below(FamilyContract) if hasattr(contract, "family")]
        assert sorted(held, key=str) == sorted(FAMILIES, key=str)


def _below(parent):
    for kind in parent.__subclasses__():
        yield from () if inspect.isabstract(kind) else (kind,)
        yield from _below(kind)


class TestLimits:
    """Where the fractional net meets others."""

    def test_residual_net_is_explicit_euler(self, build):
        net, x = build(ResNet, TimeGrid.fixed(steps=[0.1, 0.7])), inputs()
        y = net.states(x)
        for n, step in enumerate([0.1, 0.7]):
            field = torch.tanh(y[n] @ net.layer_weight[n].T + net.layer_bias[n])
            torch.testing.assert_close(y[n + 1], y[n] + step * field, rtol=1e-14, atol=1e-15)

    @pytest.mark.parametrize("positive_rule", admitted(Fractional))
    def test_order_one_is_the_residual_net(self, positive_rule, build, scatter):
        x, distances = inputs(), (1e-3, 1e-6, 1e-9)
        residual, *nets = (
            scatter(build(family, positive_rule, **options), size=1.0)
            for family, options in [(ResNet, {})] + [(Fractional, {"order": 1 - d}) for d in distances]
        )
        for net, distance in zip(nets, distances, strict=True):
            assert 0 < (net.states(x) - residual.states(x)).abs().max() < 20 * distance

    @pytest.mark.parametrize("positive_rule", admitted(Fractional))
    def test_order_zero_adds_each_field_to_the_first_state(self, positive_rule, build, scatter):
        x = inputs()
        for distance in (1e-3, 1e-6, 1e-9):
            net = scatter(build(Fractional, positive_rule, order=distance), size=1.0)
            y = net.states(x)
            for n in range(5):
                field = torch.tanh(y[n] @ net.layer_weight[n].T + net.layer_bias[n])
                assert (y[n + 1] - y[0] - field).abs().max() < 20 * distance

    def test_table_is_homogeneous_in_the_steps(self, build):
        steps = torch.tensor([0.1, 0.7, 0.05, 0.3])
        for order in (0.2, 0.5, 0.9):
            (a, c), (b, e) = (
                build(Fractional, TimeGrid.fixed(steps=factor * steps), order=order).memory()
                for factor in (1.0, 3.7)
            )
            torch.testing.assert_close(b, a, **EXACT)
            torch.testing.assert_close(e, 3.7**order * c, **EXACT)

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


class TestFractionalDoor:
    """Steps and orders of which no power is NaN."""

    @pytest.mark.parametrize(
        "promising_rule", [name for name, make in RULES.items() if make(2, 1.0).always_positive]
    )
    def test_is_finite_at_the_edges_of_a_learned_grid(self, build, promising_rule):
        """Steps thrown to the floor by a wild gradient still give a finite net and finite gradients."""
        net = build(Fractional, promising_rule).to(torch.float32)
        with torch.no_grad():
            for parameter in net.time.parameters():
                parameter.copy_(torch.linspace(-1e4, 1e2, parameter.numel()).reshape(parameter.shape))
        net(inputs().float()).sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in net.parameters())

    def test_refuses_a_free_grid_and_says_why_and_what_instead(self, build):
        with pytest.raises(SurrogateError, match=r"'free'.*negative.*NaN.*TimeGrid\.positive"):
            build(Fractional, "free")

    @pytest.mark.parametrize("order", [0.0, 1.0, 2, math.nan, None])
    def test_refuses_an_order_outside_the_interval(self, build, order):
        with pytest.raises(SurrogateError, match="strictly between 0 and 1"):
            build(Fractional, "fixed", order=order)

    @pytest.mark.parametrize("make", [Order.fixed, Order.learned], ids=["fixed", "learned"])
    def test_an_order_may_be_of_another_dtype_and_is_refused_on_another_device(self, build, make):
        """The tables are made in float64 whatever the dtype of the order."""
        order = make(0.25)
        net = build(Fractional, "simplex", order=order)
        expected = net(inputs())
        order.float()
        torch.testing.assert_close(net(inputs()), expected, rtol=1e-6, atol=1e-7)
        order.to("meta")
        with pytest.raises(SurrogateError, match=r"cpu.* order .*meta"):
            net(inputs())

    def test_description_tells_the_order(self, build):
        assert "order=0.3" in repr(build(Fractional, "simplex", order=0.3))


def test_errors_are_at_hand_without_waiting_for_torch():
    code = "import sys, surrogates; surrogates.SurrogateError('mend it'); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert issubclass(SurrogateError, ValueError)
