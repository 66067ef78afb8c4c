"""Every activation: what sweeps keep and pull, its bound and laws, and nets that carry it into files."""

import math

import numpy as np
import onnxruntime
import pytest
import small_models
import torch
import torch.nn.functional as F
from small_models import observations

from surrogates import ResNet, SurrogateError, TimeGrid, activations, ensemble, export
from surrogates.activations import ACTIVATIONS, GELU, Elementwise, SiLU, SmoothedReLU
from surrogates.model import load

EVERY = [*ACTIVATIONS.values(), SmoothedReLU(0.5), Elementwise(torch.erf), Elementwise(torch.zeros_like)]
NAMES = [f"{activation.name}-{n}" for n, activation in enumerate(EVERY)]


@pytest.fixture
def z():
    """Points on both sides of each kink, none on one."""
    return torch.linspace(-3, 3, 400).reshape(20, 20)


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


def slope(activation, z):
    """σ'(z) as the sweeps have it."""
    return activation.pull(activation.keep(z.clone()), torch.ones_like(z))


def trained(activation):
    """A net of some size whose steps and weights are away from where they started."""
    seeded = torch.Generator().manual_seed(0)
    net = ResNet(small_models.FEATURES, 2, 6, TimeGrid.simplex(2), activation=activation, generator=seeded)
    with torch.no_grad():
        for value in net.parameters():
            value += 0.2 * (2 * torch.rand(value.shape, generator=seeded) - 1)
    return net


@pytest.mark.parametrize("activation", EVERY, ids=NAMES)
class TestEveryActivation:
    """What the sweeps keep and pull is what autograd says of the function itself."""

    def test_value_from_what_is_kept(self, activation, z):
        torch.testing.assert_close(
            activation.value(activation.keep(z.clone())), activation(z), rtol=0, atol=1e-15
        )

    def test_keep_leaves_its_result_in_the_tensor_it_was_given(self, activation, z):
        given = z.clone()
        assert activation.keep(given).data_ptr() == given.data_ptr()

    def test_pull_is_the_derivative(self, activation, z):
        q = torch.randn(z.shape, generator=torch.Generator().manual_seed(1))
        leaf = z.clone().requires_grad_()
        value = activation(leaf)
        expected = torch.autograd.grad(value, leaf, q)[0] if value.requires_grad else torch.zeros_like(z)
        kept, given = activation.keep(z.clone()), q.clone()
        torch.testing.assert_close(activation.pull(kept, given), expected, rtol=1e-13, atol=1e-15)
        assert torch.equal(given, q)

    def test_pull_is_that_of_differences(self, activation, z):
        """Of second order in the step, between the kinks."""
        h = 1e-5
        expected = (activation(z + h) - activation(z - h)) / (2 * h)
        torch.testing.assert_close(slope(activation, z), expected, rtol=0, atol=1e-8)

    def test_slope_bound_is_the_least_one(self, activation, z):
        if activation.slope_bound is None:
            assert isinstance(activation, Elementwise)
            return
        wide = torch.linspace(-40, 40, 100_001)
        steepest = wide[slope(activation, wide).abs().argmax()]
        close = steepest + torch.linspace(-1e-3, 1e-3, 100_001)
        found = torch.cat([slope(activation, wide), slope(activation, close)]).abs().max().item()
        assert found <= activation.slope_bound * (1 + 4 * torch.finfo(torch.float64).eps)
        assert found == pytest.approx(activation.slope_bound, abs=1e-10)


class TestLaws:
    """What the formulas say of each other."""

    @pytest.mark.parametrize("name", ["relu", "smoothed-relu", "softplus", "silu", "gelu"])
    def test_a_kind_of_relu_splits_the_identity(self, name, z):
        """σ(z) − σ(−z) = z, hence σ'(z) + σ'(−z) = 1."""
        sigma = ACTIVATIONS[name]
        torch.testing.assert_close(sigma(z) - sigma(-z), z, rtol=0, atol=1e-14)
        torch.testing.assert_close(slope(sigma, z) + slope(sigma, -z), torch.ones_like(z), rtol=0, atol=1e-14)

    @pytest.mark.parametrize("name", ["tanh", "sin"])
    def test_the_others_are_odd(self, name, z):
        sigma = ACTIVATIONS[name]
        torch.testing.assert_close(sigma(-z), -sigma(z), rtol=0, atol=1e-15)
        torch.testing.assert_close(slope(sigma, -z), slope(sigma, z), rtol=0, atol=1e-15)

    def test_silu_is_the_slope_of_softplus_times_z(self, z):
        torch.testing.assert_close(SiLU()(z), z * slope(ACTIVATIONS["softplus"], z), rtol=1e-14, atol=1e-15)

    def test_gelu_has_the_exact_distribution_function(self, z):
        """The approximation by tanh is off by up to 5e-4."""
        expected = z * torch.special.ndtr(z)
        torch.testing.assert_close(GELU()(z), expected, rtol=1e-13, atol=1e-15)
        assert (F.gelu(z, approximate="tanh") - expected).abs().max() > 1e-4

    @pytest.mark.parametrize(
        ("activation", "curvature"),
        [
            (SiLU(), lambda u: u * math.tanh(u) - 1),
            (GELU(), lambda u: 2 - (2 * u) ** 2),
        ],
        ids=["silu", "gelu"],
    )
    def test_steepest_where_the_curvature_vanishes(self, activation, curvature):
        """By bisection for z = 2u: σ'(z) = β, σ'(−z) = 1 − β < 0 and σ''(z) = 0."""
        low, high = 0.1, 3.0
        assert curvature(low) * curvature(high) < 0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if curvature(middle) * curvature(high) > 0 else (middle, high)
        z = torch.tensor([2 * low, -2 * low], requires_grad=True)
        first = torch.autograd.grad(activation(z).sum(), z, create_graph=True)[0]
        beta = activation.slope_bound
        torch.testing.assert_close(first.detach(), torch.tensor([beta, 1 - beta]), rtol=0, atol=1e-15)
        second = torch.autograd.grad(first.sum(), z)[0]
        torch.testing.assert_close(second, torch.zeros(2), rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
class TestNetsWithEveryActivation:
    """A net has the activation asked for in its derivatives, in ensembles and in files."""

    def test_derivatives_are_those_of_differences(self, name, build, scatter):
        net, x = scatter(build(ResNet, "positive", activation=ACTIVATIONS[name], layers=3)), draw(4, 3)
        names = [key for key, _ in net.named_parameters()]
        values = [value.detach().clone().requires_grad_() for value in net.parameters()]

        def result(*values):
            return torch.func.functional_call(net, dict(zip(names, values, strict=True)), (x,))

        assert torch.autograd.gradcheck(result, values, eps=1e-6, atol=1e-8, rtol=1e-6)

    def test_an_ensemble_is_its_members(self, name, build, scatter):
        nets = [
            scatter(build(ResNet, "simplex", activation=ACTIVATIONS[name], seed=seed), seed)
            for seed in (3, 4, 5)
        ]
        net, x = ensemble.stack(nets), draw(3, 6, 3)
        assert net.activation == ACTIVATIONS[name]
        found = net(x)
        torch.testing.assert_close(
            found,
            torch.stack([single(part) for single, part in zip(nets, x, strict=True)]),
            rtol=1e-13,
            atol=1e-14,
        )
        by_member = torch.autograd.grad(found.square().sum(), net.layer_weight)[0]
        for member, single in enumerate(nets):
            loss = single(x[member]).square().sum()
            expected = torch.autograd.grad(loss, single.layer_weight)[0]
            torch.testing.assert_close(by_member[member], expected, rtol=1e-12, atol=1e-13)

    def test_a_file_brings_it_back(self, name, tmp_path):
        model = small_models.model(trained(ACTIVATIONS[name]))
        model.save(tmp_path / "model.pt")
        again, d = load(tmp_path / "model.pt"), observations()
        assert again.net.activation == ACTIVATIONS[name]
        np.testing.assert_array_equal(again.estimate(d), model.estimate(d))


@pytest.mark.parametrize("name", ["smoothed-relu", "softplus", "silu", "gelu"])
def test_an_onnx_file_gives_the_same(name, tmp_path):
    """Those that ONNX makes of several operations; in float32, as onnxruntime has no erf of float64."""
    model, d = small_models.model(trained(ACTIVATIONS[name]).float()), observations()
    export.to_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    found = session.run(None, {"observations": np.stack([d.real, d.imag], axis=1)})[0]
    expected, spread = model.estimate(d), np.array([1e-2, 40.0])
    assert (abs(found - expected) < 1e-6 * (abs(expected) + spread)).all()


def test_a_file_brings_back_a_function_of_torch_without_an_activation_here(tmp_path):
    model = small_models.model(trained(torch.sigmoid))
    model.save(tmp_path / "model.pt")
    again, d = load(tmp_path / "model.pt"), observations()
    assert again.net.activation == Elementwise(torch.sigmoid)
    np.testing.assert_array_equal(again.estimate(d), model.estimate(d))


class TestSmoothedReLU:
    """The quadratic on [−ε, ε] joins 0 and z with equal slopes."""

    def test_is_the_published_formula(self):
        epsilon = 0.3
        for z, expected in [
            (-1.0, 0.0),
            (-0.3, 0.0),
            (0.0, epsilon / 4),
            (0.1, 0.4**2 / 1.2),
            (0.3, 0.3),
            (2.0, 2.0),
        ]:
            assert SmoothedReLU(epsilon)(torch.tensor(z)).item() == pytest.approx(expected, abs=1e-15)

    @pytest.mark.parametrize("sign", [-1, 1])
    def test_slope_is_continuous_at_the_joints_whichever_way_it_is_computed(self, sign):
        activation = SmoothedReLU(0.1)
        joint = torch.tensor(0.1 * sign)
        near = [torch.nextafter(joint, torch.tensor(to)) for to in (-1.0, 1.0)]
        z = torch.stack([near[0], joint, near[1]]).requires_grad_()
        by_autograd = torch.autograd.grad(activation(z).sum(), z)[0]
        by_hand = activation.pull(activation.keep(z.detach().clone()), torch.ones(3))
        expected = torch.full((3,), 1.0 if sign == 1 else 0.0)
        torch.testing.assert_close(by_autograd, expected, rtol=0, atol=1e-14)
        torch.testing.assert_close(by_hand, expected, rtol=0, atol=1e-14)

    def test_tends_to_relu(self):
        z = torch.linspace(-1, 1, 101)
        assert (SmoothedReLU(1e-9)(z) - torch.relu(z)).abs().max() < 1e-9

    @pytest.mark.parametrize("epsilon", [0, -0.1, math.inf, math.nan, "0.1", True, None])
    def test_refuses_a_width_that_is_not_positive(self, epsilon):
        with pytest.raises(SurrogateError, match="epsilon > 0"):
            SmoothedReLU(epsilon)


class TestOf:
    """Functions that torch users write become activations."""

    @pytest.mark.parametrize(
        ("function", "name"),
        [
            (torch.tanh, "tanh"),
            (F.tanh, "tanh"),
            (torch.relu, "relu"),
            (F.relu, "relu"),
            (F.softplus, "softplus"),
            (torch.sin, "sin"),
            (F.silu, "silu"),
            (F.gelu, "gelu"),
        ],
        ids=lambda part: part if isinstance(part, str) else "function",
    )
    def test_knows_the_functions_of_torch(self, function, name):
        assert activations.of(function) is ACTIVATIONS[name] or activations.of(function) == ACTIVATIONS[name]

    def test_takes_any_other_function_and_any_module_without_state(self):
        z = torch.linspace(-1, 1, 5)
        for function in (torch.erf, lambda z: z**2, torch.nn.GELU()):
            torch.testing.assert_close(activations.of(function)(z), function(z))

    @pytest.mark.parametrize("given", ["tanh", activations.Tanh, torch.nn.Tanh, None])
    def test_refuses_what_is_not_a_function(self, given):
        with pytest.raises(SurrogateError, match=r"torch\.tanh.*, but is"):
            activations.of(given)

    def test_refuses_parameters_that_no_net_would_train(self):
        with pytest.raises(SurrogateError, match="PReLU has parameters"):
            activations.of(torch.nn.PReLU())

    @pytest.mark.parametrize(
        "function",
        [lambda z: z.softmax(-1), lambda z: z - z.mean(), torch.nn.Dropout(), lambda z: z[:1]],
        ids=["softmax", "mean", "dropout", "shape"],
    )
    def test_refuses_what_does_not_act_entry_by_entry_or_not_twice_the_same(self, function):
        state = torch.get_rng_state()
        with pytest.raises(SurrogateError, match="entry by entry, or gives another result"):
            activations.of(function)
        assert torch.equal(torch.get_rng_state(), state)

    def test_refuses_a_function_of_something_else(self):
        with pytest.raises(SurrogateError, match="cannot be applied"):
            activations.of(lambda z, w: z * w)
