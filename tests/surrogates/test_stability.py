"""Noise gains, worst cases and bounds: measured ≤ bound over all families and rules, and equal where it must be."""

import math
from dataclasses import dataclass
from typing import override

import pytest
import torch

from surrogates import (
    AdditiveDenseNet,
    ConcatenatingDenseNet,
    Fractional,
    ResNet,
    SurrogateError,
    TimeGrid,
    analysis,
)
from surrogates.activations import ACTIVATIONS, Activation
from surrogates.analysis import Exact, Lanczos
from surrogates.fields import Antisymmetric, Convolution

GRID = [0.3, 0.05, 0.2, 0.11]


def inputs(batch=6, seed=2):
    return torch.randn(batch, 3, generator=torch.Generator().manual_seed(seed))


def noise(seed=5):
    return torch.Generator().manual_seed(seed)


def extremes(net, x):
    """Largest and smallest singular value over the samples, l = 0 … L."""
    values = [torch.linalg.svdvals(part) for part in analysis.layer_jacobians(net, x)]
    return torch.stack([v.max() for v in values]), torch.stack([v.min() for v in values])


def diagonal(net, factor):
    """All K_l = factor · I, no bias, and y_0 = 0: all states are 0, and tanh there has the slope 1."""
    with torch.no_grad():
        for parameter in (net.lift_bias, net.layer_bias):
            parameter.zero_()
        net.layer_weight.copy_(factor * torch.eye(net.width).expand_as(net.layer_weight))
    return net, torch.zeros(1, 3)


class TestEveryFamilyOnEveryRule:
    """Bounds hold, for small weights and for large ones."""

    @pytest.mark.parametrize("size", [0.02, 0.3, 2.0])
    def test_jacobians_lie_between_their_bounds(self, family, rule, build, scatter, size):
        net = build(family, rule)
        with torch.no_grad():
            net.layer_weight.mul_(size)
        scatter(net, size=size / 10)
        found = analysis.bounds(net)
        largest, smallest = extremes(net, inputs())
        slack = 1e-12 * found.upper
        assert (largest <= found.upper + slack).all()
        assert (smallest >= found.lower - slack).all()
        assert (found.lower <= found.upper + slack).all()
        assert (found.upper - found.direct.abs() <= found.rest + slack).all()
        assert size > 0.02 or found.lower[0] > 0.5  # and say something
        if found.exponential is not None:
            assert (found.upper <= found.exponential + slack).all()

    def test_what_does_not_arrive_directly_is_the_rest(self, family, rule, build, scatter):
        net = scatter(build(family, rule))
        found = analysis.bounds(net)
        for layer, part in enumerate(analysis.layer_jacobians(net, inputs())):
            straight = found.direct[layer] * torch.eye(*part.shape[1:])
            rest = torch.linalg.matrix_norm(part - straight, 2)
            assert (rest <= found.rest[layer] + 1e-12).all()

    def test_ratios_and_slopes_stay_below_the_lipschitz_bound(self, family, rule, build, scatter):
        for timed in (False, True):
            net = scatter(build(family, rule, timed_lift=timed))
            found = analysis.lipschitz(net, inputs(12))
            assert 0 < found.ratio <= found.bound
            assert 0 < found.slope <= found.bound
            close = inputs(1) + 1e-5 * inputs(12)  # between neighbours the ratio is below the slope
            assert analysis.lipschitz(net, close).ratio <= analysis.lipschitz(net, close).slope * (1 + 1e-3)

    def test_noise_gains_lie_below_the_worst_case(self, family, rule, build, scatter):
        net, x = scatter(build(family, rule)), inputs()
        found = analysis.noise_gain(net, x, [1e-6, 1e-2, 1.0], noise(), draws=20)
        worst = analysis.worst_case(net, x).gain
        assert (found.mean < found.largest).all()
        assert found.largest[0] <= worst.max() * (1 + 1e-5)
        assert (found.largest <= analysis.lipschitz_bound(net)).all()


class TestBoundsAreAttained:
    """Weights that are multiples of the identity, where σ' = sup|σ'|."""

    @pytest.mark.parametrize("factor", [0.8, 3.0])
    def test_residual_net(self, build, factor):
        net, x = diagonal(build(ResNet, TimeGrid.fixed(steps=GRID)), factor)
        largest, _ = extremes(net, x)
        torch.testing.assert_close(largest, analysis.bounds(net).upper, rtol=1e-13, atol=0)
        net, x = diagonal(net, -factor)
        _, smallest = extremes(net, x)
        torch.testing.assert_close(smallest, analysis.bounds(net).lower, rtol=1e-13, atol=0)
        expected = math.prod(1 - step * factor for step in GRID)
        assert analysis.bounds(net).lower[0].item() == pytest.approx(expected, rel=1e-13)

    def test_no_positive_factor_no_lower_bound(self, build):
        """1 − 0.3·6 and 1 − 0.2·6 are negative; that their product is positive means nothing."""
        net, _ = diagonal(build(ResNet, TimeGrid.fixed(steps=GRID)), 6.0)
        lower = analysis.bounds(net).lower
        assert (lower[:3] == 0).all()
        assert (lower[3:] > 0).all()

    @pytest.mark.parametrize("order", [0.2, 0.5, 0.9])
    def test_fractional_net(self, build, order):
        net, x = diagonal(build(Fractional, TimeGrid.fixed(steps=GRID), order=order), 0.5)
        largest, _ = extremes(net, x)
        torch.testing.assert_close(largest, analysis.bounds(net).upper, rtol=1e-12, atol=0)

    def test_fractional_net_with_one_field_attains_the_lower_bound(self, build):
        net, x = diagonal(build(Fractional, TimeGrid.fixed(steps=GRID)), 0.0)
        with torch.no_grad():
            net.layer_weight[1].copy_(-0.5 * torch.eye(4))
        _, smallest = extremes(net, x)
        found = analysis.bounds(net)
        torch.testing.assert_close(smallest, found.lower, rtol=1e-12, atol=0)
        assert found.direct[0].item() == pytest.approx(1, rel=1e-13)

    def test_additive_net(self, build):
        net, x = diagonal(build(AdditiveDenseNet, TimeGrid.fixed(steps=GRID)), 0.7)
        largest, _ = extremes(net, x)
        torch.testing.assert_close(largest, analysis.bounds(net).upper, rtol=1e-13, atol=0)

    def test_concatenating_net(self, build):
        net, x = build(ConcatenatingDenseNet, TimeGrid.fixed(steps=[0.4])), torch.zeros(1, 3)
        with torch.no_grad():
            net.lift_bias.zero_()
            net.layer_bias.zero_()
        largest, smallest = extremes(net, x)
        torch.testing.assert_close(largest, analysis.bounds(net).upper, rtol=1e-13, atol=0)
        assert (smallest >= 1 - 1e-14).all()

    @pytest.mark.parametrize("timed", [False, True])
    def test_lipschitz_bound(self, build, timed):
        """Of the whole net: linear at 0, where a pair of small inputs along the top singular vector shows it."""
        grid = TimeGrid.fixed(steps=GRID)
        net, _ = diagonal(build(ResNet, grid, inputs=3, outputs=4, timed_lift=timed), 0.8)
        with torch.no_grad():
            net.readout_weight.copy_(3 * torch.eye(4))
        _, _, v = torch.linalg.svd(net.lift_weight.detach())
        found = analysis.lipschitz(net, torch.stack((0 * v[0], 1e-5 * v[0])))
        assert found.slope.item() == pytest.approx(found.bound.item(), rel=1e-12)
        assert found.ratio.item() == pytest.approx(found.bound.item(), rel=1e-8)


@dataclass(frozen=True)
class Steep(Activation):
    """σ(z) = 3 tanh z."""

    name = "steep"
    slope_bound = 3.0

    @override
    def __call__(self, z):
        return 3 * torch.tanh(z)

    @override
    def pull(self, kept, q):
        return 3 * q / torch.cosh(kept).square()


class TestConstants:
    """What the bounds are made of."""

    def test_the_largest_slope_enters(self, family, build):
        """The derivative at 0 is 3, in lift and layers; bounds with 1 instead would be far too small."""
        net, x = build(family, TimeGrid.fixed(steps=[0.4]), activation=Steep()), torch.zeros(2, 3)
        with torch.no_grad():
            net.lift_bias.zero_()
            net.layer_bias.zero_()
            if net.layer_weight.shape[-2:] == (4, 4):
                net.layer_weight.copy_(torch.eye(4).expand_as(net.layer_weight))
        largest, _ = extremes(net, x)
        found = analysis.bounds(net)
        torch.testing.assert_close(largest, found.upper, rtol=1e-13, atol=0)
        net.layer_weight.data.zero_()
        with torch.no_grad():
            net.readout_weight.copy_(torch.eye(2, net.state_width))
            net.lift_weight.copy_(torch.eye(4, 3))
        assert analysis.lipschitz_bound(net).item() == pytest.approx(3, rel=1e-13)

    @pytest.mark.parametrize("kind", [ResNet, Fractional], ids=lambda kind: kind.__name__)
    @pytest.mark.parametrize("field", [Antisymmetric(0.1), Convolution(2)], ids=lambda field: field.name)
    @pytest.mark.parametrize("sigma", ACTIVATIONS)
    def test_every_field_and_activation(self, kind, field, sigma, build):
        net = build(kind, "fixed", field=field, activation=ACTIVATIONS[sigma])
        with torch.no_grad():
            net.layer_weight.mul_(0.2)
        found, (largest, smallest) = analysis.bounds(net), extremes(net, inputs())
        assert (largest <= found.upper * (1 + 1e-12)).all()
        assert (smallest >= found.lower - 1e-12).all()

    def test_norm_of_a_convolution_is_that_of_the_operator_on_the_state(self, build):
        """A kernel (1, 1, 1) on 8 receivers with zeros outside: 1 + 2 cos(π/9), not 3."""
        net = build(ResNet, TimeGrid.fixed(steps=[0.5]), width=8, field=Convolution(1))
        with torch.no_grad():
            net.layer_weight.fill_(1.0)
        expected = 1 + 0.5 * (1 + 2 * math.cos(math.pi / 9))
        assert analysis.bounds(net).upper[0].item() == pytest.approx(expected, rel=1e-13)

    def test_direct_path_is_the_weight_of_the_first_state(self, build):
        """Without fields all of y_L comes from y_0; a step of its own weight from each state after it."""
        net = build(Fractional, TimeGrid.fixed(steps=GRID), activation=torch.tanh)
        found = analysis.bounds(net).direct
        with torch.no_grad():
            net.layer_weight.zero_()
        for layer, part in enumerate(analysis.layer_jacobians(net, inputs(1))):
            torch.testing.assert_close(part[0], found[layer] * torch.eye(4), rtol=1e-12, atol=1e-14)

    def test_negative_steps_count_by_their_size(self, build):
        net = build(ResNet, "free")
        with torch.no_grad():
            net.time.steps[2] = -0.35
        found, (largest, smallest) = analysis.bounds(net), extremes(net, inputs())
        assert (largest <= found.upper * (1 + 1e-12)).all()
        assert (smallest >= found.lower - 1e-12).all()

    def test_refuses_an_activation_without_a_bound(self, family, build):
        net = build(family, "fixed", activation=torch.exp)
        with pytest.raises(SurrogateError, match=r"no bound of the slope of exp is known.*slope_bound"):
            analysis.bounds(net)
        with pytest.raises(SurrogateError, match="no bound of the slope"):
            analysis.lipschitz(net, inputs())

    def test_refuses_an_ensemble(self, family, build):
        net = build(family, "fixed")
        net.members = 2
        with pytest.raises(SurrogateError, match="ensemble of 2"):
            analysis.bounds(net)


class TestWorstCase:
    """σ_1(∂Φ/∂x) and its direction."""

    def test_is_the_top_singular_value_by_both_methods(self, family, build, scatter):
        net, x = scatter(build(family, "positive", inputs=3, outputs=2)), inputs()
        x.requires_grad_()
        rows = [torch.autograd.grad(column.sum(), x, retain_graph=True)[0] for column in net(x).unbind(1)]
        values = torch.linalg.svdvals(torch.stack(rows, 1))[:, 0]
        for method in (None, Exact(), Lanczos(1e-11)):
            found = analysis.worst_case(net, x, method)
            torch.testing.assert_close(found.gain, values, rtol=1e-10, atol=0)
            assert (found.residual < 1e-10).all()

    def test_no_small_noise_does_more_than_noise_along_its_direction(self, family, build):
        net, x = build(family, "fixed"), inputs()
        found, h = analysis.worst_case(net, x), 1e-6
        gain = (net(x + h * found.direction) - net(x)).norm(dim=1) / h
        torch.testing.assert_close(gain, found.gain, rtol=1e-5, atol=0)


class TestNoiseGain:
    """‖Φ(x+e) − Φ(x)‖/‖e‖."""

    def test_of_a_net_that_is_linear(self, build):
        """With τ → 0 and small inputs Φ is R K_0 x: the mean square gain is that of the matrix."""
        net, x = build(ResNet, TimeGrid.fixed(3, horizon=1e-9)), 1e-4 * inputs()
        with torch.no_grad():
            net.lift_bias.zero_()
            net.lift_weight.copy_(torch.eye(4, 3))
            net.readout_weight.copy_(torch.eye(2, 4))
        found = analysis.noise_gain(net, x, [0.1, 1.0], noise(), draws=4)
        drawn = noise()
        e = torch.stack([torch.randn(6, 3, generator=drawn) for _ in range(4)])
        gain = e[..., :2].norm(dim=-1) / e.norm(dim=-1)
        torch.testing.assert_close(found.mean, gain.mean().expand(2), rtol=1e-5, atol=0)
        torch.testing.assert_close(found.largest, gain.max().expand(2), rtol=1e-5, atol=0)

    def test_levels_are_relative_to_the_size_of_the_data(self, family, build):
        net, x = build(family, "fixed"), 5 + inputs()
        found = analysis.noise_gain(net, x, [0.3], noise(), draws=1)
        e = 0.3 * x.square().mean().sqrt() * torch.randn(6, 3, generator=noise())
        gain = (net(x + e) - net(x)).norm(dim=1) / e.norm(dim=1)
        assert found.levels.tolist() == [0.3]
        assert found.mean.item() == pytest.approx(gain.mean().item(), rel=1e-12)
        assert found.largest.item() == pytest.approx(gain.max().item(), rel=1e-12)

    def test_a_bounded_net_has_no_gain_for_huge_noise(self, family, build):
        found = analysis.noise_gain(build(family, "fixed"), inputs(), [0.01, 1e6], noise())
        assert found.mean[1] < 1e-4 * found.mean[0]

    def test_repeats_itself_from_equal_generators(self, family, build):
        net = build(family, "fixed")
        first, again, other = (
            analysis.noise_gain(net, inputs(), [0.1], noise(seed)).mean for seed in (1, 1, 2)
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    @pytest.mark.parametrize("levels", [[], [0.0], [-0.1], [0.1, math.inf], [math.nan]])
    def test_refuses_levels_that_are_none(self, build, levels):
        with pytest.raises(SurrogateError, match="noise levels must be positive"):
            analysis.noise_gain(build(ResNet, "fixed"), inputs(), levels, noise())

    @pytest.mark.parametrize("draws", [0, 1.5, True])
    def test_refuses_less_than_a_draw(self, build, draws):
        with pytest.raises(SurrogateError, match="draws, at least 1"):
            analysis.noise_gain(build(ResNet, "fixed"), inputs(), [0.1], noise(), draws)

    def test_refuses_data_that_are_zero(self, build):
        with pytest.raises(SurrogateError, match="x is 0"):
            analysis.noise_gain(build(ResNet, "fixed"), 0 * inputs(), [0.1], noise())
