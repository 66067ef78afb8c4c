import copy

import pytest
import torch

from surrogates import Fractional, ResNet, SurrogateError, TimeGrid, analysis, caputo
from surrogates.fields import Antisymmetric, Convolution
from surrogates.losses import mse

GRID = [0.3, 0.05, 0.6, 0.2, 0.11]


def problem(seed=4):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(7, 3, generator=draw), torch.randn(7, 2, generator=draw)


def adjoint(net, x, y):
    """Costates and weight gradients by the discrete adjoint recursion, without autograd."""
    with torch.no_grad():
        states, (a, c) = net.states(x), net.memory()
        layers = len(c)
        w = caputo.convex_weights(torch.zeros(layers, layers) if a is None else a)
        slopes = [
            1 - torch.tanh(states[n] @ net.layer_weight[n].T + net.layer_bias[n]) ** 2 for n in range(layers)
        ]
        costates = [None] * (layers + 1)
        residual = net.readout(states[-1]) - y
        costates[layers] = 2 / residual.numel() * residual @ net.readout_weight
        for k in reversed(range(layers)):
            through_field = c[k] * (slopes[k] * costates[k + 1]) @ net.layer_weight[k]
            costates[k] = sum(w[n - 1, k] * costates[n] for n in range(k + 1, layers + 1)) + through_field
        by_weight = [c[n] * (slopes[n] * costates[n + 1]).T @ states[n] for n in range(layers)]
    return costates, by_weight


class TestGradientProfile:
    """Norms of costates and weight gradients, exact for every family."""

    @pytest.mark.parametrize("kind", [ResNet, Fractional], ids=lambda kind: kind.__name__)
    def test_agrees_with_the_discrete_adjoint(self, kind, build):
        net, (x, y) = build(kind, TimeGrid.fixed(steps=GRID)), problem()
        found = analysis.profile(net, x, y)
        costates, by_weight = adjoint(net, x, y)
        torch.testing.assert_close(
            found.states, torch.stack([p.norm() for p in costates]), rtol=1e-12, atol=0
        )
        torch.testing.assert_close(
            found.weights, torch.stack([g.norm() for g in by_weight]), rtol=1e-12, atol=0
        )
        assert found.steps.tolist() == pytest.approx(GRID)
        torch.testing.assert_close(found.loss, mse(net(x), y).detach())

    def test_a_state_is_moved_and_all_later_ones_follow(self, family, build):
        """‖∂J/∂y_l‖ against central differences of J in a source at layer l, memory included."""
        net, (x, y) = build(family, TimeGrid.fixed(steps=GRID)), problem()
        found = analysis.profile(net, x, y)
        start = net.lift(x).detach()

        def value(layer, index, shift):
            source = torch.zeros(5, len(start), net.state_width)
            source[layer].view(-1)[index] = shift
            return mse(net.readout(net.integrate(start, source)[-1]), y).item()

        h = 1e-5
        for layer in (0, 2, 4):
            indices = range(len(start) * net.state_width)
            entries = [(value(layer, i, h) - value(layer, i, -h)) / (2 * h) for i in indices]
            assert float(found.states[layer + 1]) == pytest.approx(
                torch.tensor(entries).norm().item(), rel=1e-7
            )

    def test_weight_norms_are_those_of_ordinary_gradients(self, family, rule, build, scatter):
        net, (x, y) = scatter(build(family, rule)), problem()
        found = analysis.profile(net, x, y)
        mse(net(x), y).backward()
        gradients = copy.deepcopy(net)  # one whose weights are the gradients, laid out layer by layer
        gradients.layer_weight.data = net.layer_weight.grad
        expected = torch.stack([part.norm() for part in gradients.layer_weights()])
        torch.testing.assert_close(found.weights, expected, rtol=1e-12, atol=0)

    @pytest.mark.parametrize(
        "field", [Antisymmetric(damping=0.1), Convolution(channels=2)], ids=lambda f: f.name
    )
    def test_other_fields_and_a_timed_lift(self, field, build):
        net, (x, y) = build(Fractional, "positive", field=field, timed_lift=True), problem()
        found = analysis.profile(net, x, y)
        weights = net.layer_weights().detach().requires_grad_()
        net.layer_weights = lambda: weights
        by_weight = torch.autograd.grad(mse(net(x), y), weights)[0]
        torch.testing.assert_close(found.weights, by_weight.flatten(1).norm(dim=1), rtol=1e-12, atol=0)
        assert (len(found.states), len(found.weights), len(found.steps)) == (5, 4, 5)

    def test_weights_may_be_frozen(self, family, build):
        net, (x, y) = build(family, "fixed"), problem()
        expected = analysis.profile(net, x, y).weights
        found = analysis.profile(net.requires_grad_(False), x, y).weights
        torch.testing.assert_close(found, expected, rtol=0, atol=0)

    def test_refuses_an_ensemble(self, family, build):
        net = build(family, "fixed")
        net.members = 3
        with pytest.raises(SurrogateError, match="ensemble of 3"):
            analysis.profile(net, *problem())

    def test_leaves_the_net_and_its_gradients_alone(self, family, rule, build):
        net, (x, y) = build(family, rule), problem()
        assert all(parameter.grad is None for parameter in net.parameters() if analysis.profile(net, x, y))
        mse(net(x), y).backward()
        before = [parameter.grad.clone() for parameter in net.parameters()]
        weights = {name: value.clone() for name, value in net.state_dict().items()}
        analysis.profile(net, x, y)
        assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), before, strict=True))
        assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())

    def test_works_where_gradients_are_switched_off_and_returns_plain_numbers(self, family, build):
        net, (x, y) = build(family, "fixed"), problem()
        with torch.no_grad():
            found = analysis.profile(net, x, y)
        assert not any(part.requires_grad for part in (found.states, found.weights, found.steps, found.loss))
        assert found.states.shape == (6,)
        assert found.weights.shape == (5,)
