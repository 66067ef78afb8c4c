"""The plain net: the feed-forward baseline in layered form, and its place among the instruments."""

import pytest
import torch

import surrogates
from experiments.depths.plain import Plain
from surrogates import adjoint, analysis, ensemble
from surrogates.activations import ACTIVATIONS

SIZES = {"inputs": 3, "outputs": 2, "width": 5}


def net(layers=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    time = surrogates.TimeGrid.fixed(layers)
    return Plain(**SIZES, time=time, activation=ACTIVATIONS["tanh"], generator=generator).double()


def pair(n=7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, k, generator=generator, dtype=torch.float64) for k in (3, 2)]


def test_it_is_the_feed_forward_baseline():
    layered, baseline = net(), surrogates.FeedForward(**SIZES, layers=6).double()
    with torch.no_grad():
        maps = [layered.lift_weight, *layered.layer_weight], [layered.lift_bias, *layered.layer_bias]
        for layer, weight, bias in zip(baseline.hidden, *maps, strict=True):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        baseline.readout.weight.copy_(layered.readout_weight)
        baseline.readout.bias.copy_(layered.readout_bias)
    x, _ = pair()
    torch.testing.assert_close(layered(x), baseline(x))


def test_equal_seeds_give_the_weights_of_a_resnet():
    other = surrogates.ResNet(
        **SIZES, time=surrogates.TimeGrid.fixed(6), generator=torch.Generator().manual_seed(0)
    )
    for name, value in other.double().named_parameters():
        torch.testing.assert_close(net().get_parameter(name), value, rtol=0, atol=0)


def test_the_adjoint_is_that_of_autograd():
    here, (x, y) = net(), pair()
    found = adjoint.solve(here, x, y)
    loss = (here(x) - y).square().mean()
    names, parameters = zip(*here.named_parameters(), strict=True)
    for name, value in zip(names, torch.autograd.grad(loss, parameters), strict=True):
        torch.testing.assert_close(found.by_parameter[name], value)
    source = torch.zeros(6, len(x), 5, dtype=torch.float64, requires_grad=True)
    moved = (here.readout(here.integrate(here.lift(x), source)[-1]) - y).square().mean()
    torch.testing.assert_close(found.costates[1:], torch.autograd.grad(moved, source)[0])


@pytest.mark.parametrize("layer", [0, 4, 6])
def test_products_are_transposes_and_bounds_hold(layer):
    here, (x, _) = net(), pair()
    jvp, vjp = analysis.products(here, x, layer)
    generator = torch.Generator().manual_seed(2)
    v, p = (torch.randn(len(x), 5, generator=generator, dtype=torch.float64) for _ in range(2))
    torch.testing.assert_close((jvp(v) * p).sum(), (v * vjp(p)).sum())
    bounds = analysis.bounds(here)
    values = analysis.extreme_singular_values(here, x, layer)
    assert values.largest.max() <= bounds.upper[layer] + 1e-12
    assert values.smallest.min() >= bounds.lower[layer] - 1e-12
    torch.testing.assert_close(bounds.upper[6], torch.tensor(1.0, dtype=torch.float64))


def test_the_bound_is_attained_by_multiples_of_the_identity_at_rest():
    here = net(4)
    with torch.no_grad():
        here.layer_weight.copy_(0.5 * torch.eye(5).expand(4, 5, 5))
        for bias in (here.lift_weight, here.lift_bias, here.layer_bias):
            bias.zero_()
    values = analysis.extreme_singular_values(here, pair()[0])
    assert values.largest.tolist() == pytest.approx(7 * [0.5**4])
    assert float(analysis.bounds(here).upper[0]) == pytest.approx(0.5**4)


def test_an_ensemble_is_its_members():
    nets, (x, _) = [net(seed=seed) for seed in range(3)], pair()
    together = ensemble.stack(nets)(x)
    for found, single in zip(together, nets, strict=True):
        torch.testing.assert_close(found, single(x))
