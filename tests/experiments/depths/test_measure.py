"""Instruments of the study of depth against closed forms and the slow way."""

import math

import numpy as np
import pytest
import torch

import surrogates
from experiments.depths import measure
from experiments.depths.plain import Plain

GRIDS = {
    "fixed": surrogates.TimeGrid.fixed(5, 2.0),
    "positive": surrogates.TimeGrid.positive(5, 2.0),
    "free": surrogates.TimeGrid.free(5, 2.0),
}


def built(kind, time, width=4, **more):
    generator = torch.Generator().manual_seed(3)
    return measure.double(kind(inputs=3, outputs=2, width=width, time=time, generator=generator, **more))


def pair(n=6):
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(n, k, generator=generator, dtype=torch.float64) for k in (3, 2)]


def test_gradients_of_a_contraction_at_rest_are_those_of_the_closed_form():
    """y' = −κ y at small y: costates shrink by 1 − τκ a layer, and the bounds are attained."""
    layers, kappa = 40, 8.0
    net = built(surrogates.ResNet, surrogates.TimeGrid.fixed(layers, 4.0))
    net.layer_weight.copy_(-kappa * torch.eye(4).expand(layers, 4, 4))
    for part in (net.lift_weight, net.lift_bias, net.layer_bias):
        part.zero_()
    x, y = pair()
    expected = layers * math.log10(1 - 0.1 * kappa)
    found, seen = measure.gradients(net, x, y), measure.spectra(net, x)
    assert found["state_ratio"] == pytest.approx(expected)
    assert len(found["states"]) == measure.CURVE == len(measure.kept(layers + 1))
    assert found["states"][0] - found["states"][-1] == pytest.approx(expected)
    for key in ("lower", "smallest", "largest"):
        assert seen[key] == pytest.approx(expected)
    assert seen["upper"] == pytest.approx(layers * math.log10(1 + 0.1 * kappa))
    assert seen["exponential"] == pytest.approx(4.0 * kappa * math.log10(math.e))


def test_ratios_are_those_of_the_profile():
    net, (x, y) = built(surrogates.Fractional, GRIDS["positive"]), pair()
    found, profile = measure.gradients(net, x, y), surrogates.analysis.profile(net, x, y)
    assert 10 ** found["state_ratio"] == pytest.approx(float(profile.states[0] / profile.states[-1]))
    assert 10 ** found["weight_ratio"] == pytest.approx(float(profile.weights[0] / profile.weights[-1]))
    assert measure.kept(6) == list(range(6))


def test_direct_paths():
    """w_{L,0} = Σ of what the memory leaves to y_0; for order 1/2 and L = 2 equal steps 1 − (1 − (√2 − 1))."""
    fractional = built(surrogates.Fractional, surrogates.TimeGrid.fixed(2, 2.0))
    x, _ = pair()
    assert 10 ** measure.spectra(fractional, x)["direct"] == pytest.approx(math.sqrt(2) - 1)
    assert measure.spectra(built(surrogates.ResNet, GRIDS["fixed"]), x)["direct"] == 0
    assert measure.spectra(built(Plain, GRIDS["fixed"]), x)["direct"] == -measure.LIMIT


def test_products_that_vanish_in_single_precision_are_still_told():
    net, (x, y) = built(Plain, surrogates.TimeGrid.fixed(60)), pair()
    net.layer_weight.mul_(0.01)
    found = measure.gradients(net, x, y)
    assert -200 < found["state_ratio"] < -100
    assert measure.spectra(net, x)["largest"] == pytest.approx(found["state_ratio"], abs=3)


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        (surrogates.ResNet, "fixed"),
        (surrogates.ResNet, "free"),
        (surrogates.Fractional, "fixed"),
        (surrogates.Fractional, "positive"),
        (surrogates.AdditiveDenseNet, "positive"),
    ],
    ids=lambda part: part if isinstance(part, str) else part.__name__,
)
def test_sensitivity_to_first_order_is_that_of_small_changes(kind, rule, monkeypatch):
    monkeypatch.setattr(measure, "PROBES", 150)
    net, (x, _) = built(kind, GRIDS[rule]), pair()
    found = measure.sensitivity(net, x, (1e-5, 0.1), np.random.default_rng(5))
    assert found["1e-05"] / 1e-5 == pytest.approx(found["first"], rel=0.25)
    assert found["0.1"] == pytest.approx(0.1 * found["first"], rel=0.4)


def test_sensitivity_keeps_signs_and_leaves_the_network_alone():
    net, (x, _) = built(surrogates.ResNet, surrogates.TimeGrid.free(3, 3.0)), pair()
    net.time.steps.copy_(torch.tensor([1.0, -0.5, 2.0]))
    before = net(x)
    first = measure.sensitivity(net, x, (0.1,), np.random.default_rng(6))
    assert all(math.isfinite(value) and value > 0 for value in first.values())
    assert first == measure.sensitivity(net, x, (0.1,), np.random.default_rng(6))
    torch.testing.assert_close(net(x), before, rtol=0, atol=0)


def test_the_copy_is_frozen_and_apart():
    net = surrogates.ResNet(3, 2, 4, surrogates.TimeGrid.simplex(3))
    copy = measure.double(net)
    assert net.layer_weight.requires_grad
    assert not copy.layer_weight.requires_grad
    assert copy.time().dtype == torch.float64
    copy.layer_weight.zero_()
    assert net.layer_weight.abs().sum() > 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [(100.0, 2.0), (0.0, -300.0), (math.inf, 300.0), (math.nan, None), (1e-305, -300.0), (1.0, 0.0)],
)
def test_logarithms_are_cut_and_never_raise(value, expected):
    assert measure.log10(value) == (expected if expected is None else pytest.approx(expected))
