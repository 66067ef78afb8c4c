"""Derivatives in a step that is zero: against differences, in every family, for any loss; their largest over θ."""

import copy

import pytest
import torch
from depth_nets import KINDS, admits, few, made, nets, problem
from hypothesis import given
from hypothesis import strategies as st

from surrogates import AdditiveDenseNet, Fractional, SurrogateError, adjoint, caputo
from surrogates.depth import change_bound, insert, prune, sensitivities, steer, wake
from surrogates.losses import mse


def worst(prediction, target):
    """A loss that is no mean over samples."""
    return (prediction - target).square().sum(1).logsumexp(0)


LOSSES = {"mse": mse, "log-sum-exp": worst}
without_memory = pytest.mark.parametrize(
    "kind", [kind for kind, (family, _) in KINDS.items() if family is not Fractional]
)
with_memory = pytest.mark.parametrize("kind", ["Fractional", "Fractional-antisymmetric"])


def moved(net, position, step, loss):
    """J with a new layer of this step."""
    found = insert(net, position).net
    if step:
        wake(found, position + 1, step)
    return loss(found(problem()[0]), problem()[1]).item()


class TestAtZero:
    @pytest.mark.parametrize("loss", LOSSES)
    @without_memory
    def test_equals_a_difference_in_the_step(self, kind, loss):
        net, (x, y) = made(kind, "free"), problem()
        found = sensitivities(net, x, y, LOSSES[loss])
        for position in range(5):
            up, down = (moved(net, position, step, LOSSES[loss]) for step in (1e-5, -1e-5))
            assert found.at[position].item() == pytest.approx((up - down) / 2e-5, rel=1e-6, abs=1e-9)

    @pytest.mark.parametrize("loss", LOSSES)
    @with_memory
    def test_equals_a_difference_in_the_gain(self, kind, loss):
        """With memory the derivative in the step is infinite, and the one in c = Γ(2−γ)τ^γ is not."""
        net, (x, y) = made(kind, "fixed"), problem()
        found, gamma = sensitivities(net, x, y, LOSSES[loss]), net.order
        start = moved(net, 0, 0, LOSSES[loss])
        for position in range(5):
            quotients = []
            for gain in (1e-5, 2e-5):
                step = (gain / caputo.gamma_function(2 - gamma)) ** (1 / gamma)
                quotients.append((moved(net, position, step, LOSSES[loss]) - start) / gain)
            extrapolated = 2 * quotients[0] - quotients[1]
            assert found.at[position].item() == pytest.approx(extrapolated, rel=1e-4, abs=1e-8)

    @few
    @given(nets(rules=("free",), kinds=("ResNet", "ConcatenatingDenseNet", "AdditiveDenseNet")), st.data())
    def test_is_what_autograd_says_of_a_layer_at_rest(self, net, data):
        x, y = problem()
        position = data.draw(st.integers(0, net.layers))
        grown = insert(net, position).net
        mse(grown(x), y).backward()
        expected = grown.time.steps.grad[position + net.timed_lift]
        found = sensitivities(net, x, y).at[position]
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)

    def test_in_a_resnet_it_is_the_costate_on_the_field(self):
        net, (x, y) = made("ResNet", "simplex"), problem()
        costates, states = adjoint.solve(net, x, y).costates, net.states(x)
        found = sensitivities(net, x, y)
        for position in range(5):
            like = min(position, 3)
            field = torch.tanh(states[position] @ net.layer_weight[like].T + net.layer_bias[like])
            expected = torch.sum(costates[position] * field)
            torch.testing.assert_close(found.at[position], expected.detach(), rtol=1e-12, atol=1e-15)

    @without_memory
    def test_of_the_layers_there_are(self, kind):
        net, (x, y) = made(kind, "free"), problem()
        found, expected = sensitivities(net, x, y), adjoint.solve(net, x, y)
        torch.testing.assert_close(found.present, expected.by_gain, rtol=1e-10, atol=1e-13)
        torch.testing.assert_close(found.loss, expected.loss)

    def test_leaves_the_net_alone(self):
        net, (x, y) = made(), problem()
        before = copy.deepcopy(net.state_dict())
        net.layer_weight.requires_grad_(False)
        sensitivities(net, x, y)
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
        assert all(value.grad is None for value in net.parameters())

    @pytest.mark.parametrize("kind", ["Fractional", "AdditiveDenseNet"])
    def test_more_samples_than_are_held_at_once(self, kind, monkeypatch):
        """In parts of any size it is the same, also for a loss that is no sum over samples."""
        net, (x, y) = made(kind), problem(8)
        whole, bound = sensitivities(net, x, y, worst), change_bound(prune(net, 2), x)
        monkeypatch.setattr("surrogates.depth.sensitivity.SAMPLES", 3)
        monkeypatch.setattr("surrogates.depth.pruning.SAMPLES", 3)
        parts = sensitivities(net, x, y, worst)
        for name, value in vars(whole).items():
            torch.testing.assert_close(getattr(parts, name), value, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(change_bound(prune(net, 2), x), bound, rtol=1e-12, atol=1e-14)

    def test_is_over_all_samples(self):
        """A mean over two halves is the mean of both."""
        net, (x, y) = made(), problem(8)
        whole = sensitivities(net, x, y)
        halves = [sensitivities(net, x[part], y[part]) for part in (slice(4), slice(4, 8))]
        torch.testing.assert_close(whole.at, (halves[0].at + halves[1].at) / 2)

    def test_refuses_a_uniform_grid(self):
        net = made("ResNet", "fixed")
        net.time = type(net.time).uniform(4, 1.0)
        with pytest.raises(SurrogateError, match="equal steps"):
            sensitivities(net, *problem())


class TestNorm:
    """The largest over a ball of weights around the neighbour's, to first order."""

    def with_weights(self, net, position, radius, draw):
        """s of a new layer whose weights are drawn from the sphere of this radius."""
        grown = insert(net, position)
        with torch.no_grad():
            mine = {
                name: ~origin.kept
                for name, origin in grown.origins.items()
                if name in ("layer_weight", "layer_bias")
            }
            size = sum(
                grown.net.get_parameter(name)[mask].square().sum() for name, mask in mine.items()
            ).sqrt()
            ways = {name: torch.randn(int(mask.sum()), generator=draw) for name, mask in mine.items()}
            length = sum(way.square().sum() for way in ways.values()).sqrt()
            for name, mask in mine.items():
                grown.net.get_parameter(name)[mask] += radius * size / length * ways[name]
        x, y = problem()
        mse(grown.net(x), y).backward()
        return grown.net.time.steps.grad[position].item()

    def test_bounds_every_draw_of_a_small_ball(self):
        net, draw = made("ResNet", "free"), torch.Generator().manual_seed(1)
        found = sensitivities(net, *problem())
        for position in range(5):
            seen = [abs(self.with_weights(net, position, 1e-3, draw)) for _ in range(20)]
            assert max(seen) <= found.norm(1e-3)[position].item() * (1 + 1e-5)

    @pytest.mark.parametrize("kind", [kind for kind in KINDS if admits(kind, "positive")])
    def test_is_attained_where_it_says(self, kind):
        """To second order in the radius, by the weights that ``steer`` gives the layer."""
        net, (x, y) = made(kind, "positive"), problem()
        found = sensitivities(net, x, y)
        for position in (0, 2, 4):
            gaps = []
            for radius in (2e-3, 1e-3):
                grown = insert(net, position).net
                reached = steer(grown, position + 1, x, y, radius=radius, sign=-1.0)
                predicted = found.at[position] - radius * found.size[position] * found.slope[position]
                gaps.append(abs(reached - predicted.item()))
                torch.testing.assert_close(grown(x), net(x), rtol=0, atol=1e-12)
            assert gaps[0] < 0.1 * 2e-3 * (found.size * found.slope)[position]
            assert gaps[0] / gaps[1] == pytest.approx(4, rel=0.2)

    def test_of_radius_zero_is_the_sensitivity_itself(self):
        found = sensitivities(made(), *problem())
        assert torch.equal(found.norm(0.0), found.at.abs())
        assert torch.equal(found.descent(0.0), (-found.at).clamp_min(0))
        assert found.mean_present(0.0) == found.present.abs().mean()

    def test_a_woken_layer_of_descent_lowers_the_loss(self):
        net, (x, y) = made("Fractional", "positive", "softplus"), problem()
        found = sensitivities(net, x, y)
        position = int(found.descent(1.0).argmax())
        grown = insert(net, position).net
        assert steer(grown, position + 1, x, y, radius=1.0) < 0
        wake(grown, position + 1, 1e-5)
        assert mse(grown(x), y) < mse(net(x), y)


def test_dense_layers_have_a_field_into_every_later_state():
    """A costate of one state alone would miss most of it."""
    net, (x, y) = made("AdditiveDenseNet", "free"), problem()
    assert isinstance(net, AdditiveDenseNet)
    one = adjoint.solve(insert(net, 1).net, x, y)
    states, first = net.states(x), insert(net, 1).net
    weight, bias = first.layer_weights()[1], first.layer_biases()[1]
    every = [
        torch.sum(p * torch.tanh(states[1] @ k.T + b))
        for p, k, b in zip(one.costates[2:], weight, bias, strict=True)
    ]
    torch.testing.assert_close(sensitivities(net, x, y).at[1], sum(every).detach())
    assert sum(abs(part.item()) for part in every[1:]) > 0
