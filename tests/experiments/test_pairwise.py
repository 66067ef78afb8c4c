"""The pairwise loop is the same net: else a ratio of their times would mean nothing."""

import pytest
import torch
from numpy.testing import assert_allclose

from experiments.bench.pairwise import PairwiseLoop
from surrogates import RULES, Fractional


@pytest.fixture
def net():
    """A fractional net in float64 whose learned steps are far from uniform."""
    draw = torch.Generator().manual_seed(4)
    made = Fractional(3, 2, 5, RULES["simplex"](7, 1.3), order=0.4, generator=draw).double()
    with torch.no_grad():
        made.time.logits += torch.randn(7, generator=draw, dtype=torch.float64)
    return made


def gradients(net, x):
    net.zero_grad()
    value = net(x)
    value.square().sum().backward()
    return value.detach(), net.time.logits.grad


def test_function_and_gradients_are_those_of_the_fractional_net(net):
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    value, by_steps = gradients(net, x)
    by_weight, by_bias, by_lift = (
        p.grad.clone() for p in (net.layer_weight, net.layer_bias, net.lift_weight)
    )
    by_steps = by_steps.clone()

    loop = PairwiseLoop(net)
    found, found_by_steps = gradients(loop, x)
    near = {"rtol": 1e-10, "atol": 1e-12}
    assert_allclose(found, value, **near)
    assert_allclose(found_by_steps, by_steps, **near)
    assert_allclose(loop.lift.weight.grad, by_lift, **near)
    for layer, linear in enumerate(loop.layers):
        assert_allclose(linear.weight.grad, by_weight[layer], **near)
        assert_allclose(linear.bias.grad, by_bias[layer], **near)


def test_constant_coefficients_give_the_same_function_and_no_derivative_in_the_steps(net):
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found, by_steps = gradients(PairwiseLoop(net, constant=True), x)
    assert_allclose(found, net(x).detach(), rtol=1e-10, atol=1e-12)
    assert by_steps is None


def test_its_weights_are_its_own(net):
    before = net.layer_weight.detach().clone()
    with torch.no_grad():
        PairwiseLoop(net).layers[0].weight.zero_()
    assert torch.equal(net.layer_weight, before)
