"""One derivative three times: by the sweeps, by autograd through the plain recursion, and written out."""

import copy

import pytest
import torch

from surrogates import (
    Fractional,
    Order,
    ResNet,
    SurrogateError,
    adjoint,
    caputo,
    engine,
    linearisation,
)
from surrogates.activations import ACTIVATIONS
from surrogates.fields import FIELDS, Antisymmetric, Convolution, Dense
from surrogates.losses import mse

KINDS = {Dense: Dense(), Antisymmetric: Antisymmetric(damping=0.2), Convolution: Convolution(channels=2)}
recursive = pytest.mark.parametrize("kind", [ResNet, Fractional], ids=lambda kind: kind.__name__)


def problem(seed=4):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(7, 3, generator=draw), torch.randn(7, 2, generator=draw)


def gradients(net, value):
    """Ordinary gradients in all parameters that train, by name."""
    trained = {name: p for name, p in net.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(value, list(trained.values()), materialize_grads=True)
    return dict(zip(trained, found, strict=True))


def agree(found, expected, tolerance=1e-12):
    """Relative to the largest entry of each tensor."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        assert (found[name] - value).abs().max() <= tolerance * value.abs().max(), name


def by_source(net, x, y):
    """All costates by autograd through the plain recursion: the derivative in a source added to each state."""
    start = net.lift(x).detach()
    padded = torch.nn.functional.pad(start, (0, net.state_width - net.width)).requires_grad_()
    source = torch.zeros(net.layers, *padded.shape, requires_grad=True)
    value = mse(net.readout(net.integrate(padded[:, : net.width], source)[-1]), y)
    first, later = torch.autograd.grad(value, (padded, source))
    return torch.cat((first.unsqueeze(0), later))


class TestEveryFamilyOnEveryRule:
    """Algebra, so 1e-12: a family joins FAMILIES and must bring its linearisation."""

    def test_equals_the_sweeps_in_every_parameter(self, family, rule, build, scatter):
        net, (x, y) = scatter(build(family, rule)), problem()
        value = mse(net(x), y)
        found = adjoint.solve(net, x, y)
        agree(found.by_parameter, gradients(net, value))
        torch.testing.assert_close(found.loss, value.detach(), rtol=1e-13, atol=0)

    def test_equals_autograd_through_the_plain_recursion(self, family, rule, build, scatter):
        net, (x, y) = scatter(build(family, rule)), problem()
        source = torch.zeros(net.layers, len(x), net.state_width)
        plain = net.readout(net.integrate(net.lift(x), source)[-1])
        agree(adjoint.solve(net, x, y).by_parameter, gradients(net, mse(plain, y)))

    def test_costates_are_derivatives_in_sources(self, family, rule, build, scatter):
        net, (x, y) = scatter(build(family, rule)), problem()
        found = adjoint.solve(net, x, y)
        agree({"costates": found.costates}, {"costates": by_source(net, x, y)})

    @pytest.mark.parametrize("sigma", ACTIVATIONS)
    def test_every_activation_and_a_timed_lift(self, family, rule, build, scatter, sigma):
        net, (x, y) = build(family, rule, activation=ACTIVATIONS[sigma], timed_lift=True), problem()
        scatter(net)
        found = adjoint.solve(net, x, y)
        agree(found.by_parameter, gradients(net, mse(net(x), y)))
        assert found.by_steps.shape == (5,)

    def test_steps_whatever_the_rule(self, family, rule, build, scatter):
        """dJ/dτ at fixed steps is the derivative that a free grid with the same steps would have."""
        net, (x, y) = scatter(build(family, rule)), problem()
        steps = net.time().detach().clone().requires_grad_()
        handle = net.time.register_forward_hook(lambda *_: steps)
        expected = torch.autograd.grad(mse(net(x), y), steps)[0]
        handle.remove()
        agree({"steps": adjoint.solve(net, x, y).by_steps}, {"steps": expected})

    def test_inputs_and_one_layer(self, family, rule, build, scatter):
        net, (x, y) = scatter(build(family, rule, layers=1)), problem()
        x.requires_grad_()
        expected = torch.autograd.grad(mse(net(x), y), x)[0]
        found = adjoint.solve(net, x.detach(), y)
        agree({"input": found.by_input}, {"input": expected})

    def test_leaves_the_net_alone_and_needs_no_gradients_switched_on(self, family, rule, build, scatter):
        net, (x, y) = scatter(build(family, rule)), problem()
        before = copy.deepcopy(net.state_dict())
        with torch.no_grad():
            found = adjoint.solve(net, x, y)
        assert all(p.grad is None for p in net.parameters())
        assert not any(part.requires_grad for part in (found.costates, found.by_steps, found.by_input))
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
        agree(found.by_parameter, adjoint.solve(net, x, y).by_parameter, 0)

    def test_frozen_parameters_are_passed_over(self, family, rule, build):
        net, (x, y) = build(family, rule), problem()
        complete = adjoint.solve(net, x, y)
        net.layer_weight.requires_grad_(False)
        net.lift_bias.requires_grad_(False)
        found = adjoint.solve(net, x, y)
        assert complete.by_parameter.keys() - found.by_parameter.keys() == {"layer_weight", "lift_bias"}
        torch.testing.assert_close(found.by_weight, complete.by_weight, rtol=0, atol=0)


class TestRecursiveNets:
    """What belongs to memory and fields."""

    @recursive
    @pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.__name__)
    def test_every_field(self, kind, field, build, scatter):
        net, (x, y) = scatter(build(kind, "positive", field=KINDS[field])), problem()
        found = adjoint.solve(net, x, y)
        agree(found.by_parameter, gradients(net, mse(net(x), y)))
        assert found.by_weight.shape == net.layer_weights().shape
        assert found.by_bias.shape == net.layer_biases().shape

    @recursive
    def test_gains_and_memory(self, kind, build, scatter):
        """∂J/∂c and ∂J/∂a against autograd in the tables of ``engine.integrate``."""
        net, (x, y) = scatter(build(kind, "positive")), problem()
        memory, gains = net.memory()
        tables = [part.detach().requires_grad_() for part in (gains, memory) if part is not None]

        def field(layer, state):
            return torch.tanh(state @ net.layer_weight[layer].T + net.layer_bias[layer])

        states = engine.integrate(field, net.lift(x), *tables)
        expected = torch.autograd.grad(mse(net.readout(states[-1]), y), tables)
        found = adjoint.solve(net, x, y)
        agree(
            dict(enumerate(part for part in (found.by_gain, found.by_memory) if part is not None)),
            dict(enumerate(expected)),
        )

    def test_learned_order(self, build, scatter):
        net, (x, y) = scatter(build(Fractional, "simplex", order=Order.learned(0.4))), problem()
        found = adjoint.solve(net, x, y)
        assert found.by_parameter["order.logit"] != 0
        agree(found.by_parameter, gradients(net, mse(net(x), y)))

    def test_sum_of_exponentials(self, build, scatter):
        """The adjoint is that of the approximate memory, which is what the net computes with."""
        net, (x, y) = build(Fractional, "positive", layers=70, width=2, exponentials=1e-3), problem()
        scatter(net, size=0.1)
        agree(adjoint.solve(net, x, y).by_parameter, gradients(net, mse(net(x), y)), 1e-11)

    def test_recomputed_states(self, build, scatter):
        net, (x, y) = scatter(build(Fractional, "positive", layers=9, segment=4)), problem()
        agree(adjoint.solve(net, x, y).by_parameter, gradients(net, mse(net(x), y)))

    def test_holding_the_memory_would_be_wrong(self, build, scatter):
        """∂a/∂τ carries more than a per cent of dJ/dτ of a fractional net."""
        net, (x, y) = scatter(build(Fractional, "positive")), problem()
        found = adjoint.solve(net, x, y)
        steps = net.time().detach().requires_grad_()
        by_gain = torch.autograd.grad(caputo.table(steps, 0.5)[1], steps, found.by_gain)[0]
        assert (found.by_steps - by_gain).norm() > 0.01 * found.by_steps.norm()

    @recursive
    def test_free_of_fields_the_costate_is_kept(self, kind, build):
        """The convex weights at work: with f = 0 all weight of y_L is on y_0."""
        net, (x, y) = build(kind, "positive", activation=torch.zeros_like), problem()
        costates = adjoint.solve(net, x, y).costates
        torch.testing.assert_close(costates[0], costates[-1], rtol=1e-13, atol=0)

    def test_works_in_single_precision(self, build):
        net, (x, y) = build(Fractional, "positive").to(torch.float32), problem()
        found = adjoint.solve(net, x.float(), y.float())
        assert {part.dtype for part in found.by_parameter.values()} == {torch.float32}
        agree(found.by_parameter, gradients(net, mse(net(x.float()), y.float())), 1e-5)


class TestDoor:
    """What cannot be done is said."""

    def test_another_loss(self, family, build):
        net, (x, y) = build(family, "fixed"), problem()

        def loss(prediction, target):
            return (prediction - target).abs().sum() + prediction[0, 0]

        agree(adjoint.solve(net, x, y, loss).by_parameter, gradients(net, loss(net(x), y)))

    def test_a_net_without_linearisation_is_told_what_to_do(self):
        with pytest.raises(SurrogateError, match=r"Linear has no exact adjoint.*linearise\.register"):
            linearisation.linearise(torch.nn.Linear(1, 1), torch.zeros(1, 1, 1))

    def test_refuses_an_ensemble(self, family, build):
        net = build(family, "fixed")
        net.members = 2
        with pytest.raises(SurrogateError, match="ensemble of 2"):
            adjoint.solve(net, *problem())
