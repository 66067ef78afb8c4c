import math

import pytest
import torch
import torch.nn.functional as F

from surrogates import SurrogateError, activations
from surrogates.activations import ACTIVATIONS, Elementwise, SmoothedReLU

EVERY = [*ACTIVATIONS.values(), SmoothedReLU(0.5), Elementwise(torch.erf), Elementwise(torch.zeros_like)]
NAMES = [f"{activation.name}-{n}" for n, activation in enumerate(EVERY)]


@pytest.fixture
def z():
    """Points on both sides of each kink, none on one."""
    return torch.linspace(-3, 3, 400).reshape(20, 20)


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

    def test_slope_bound_is_the_least_one(self, activation, z):
        if activation.slope_bound is None:
            assert isinstance(activation, Elementwise)
            return
        wide = torch.linspace(-40, 40, 100_001)
        slopes = activation.pull(activation.keep(wide.clone()), torch.ones_like(wide)).abs()
        assert slopes.max() <= activation.slope_bound
        assert slopes.max() == pytest.approx(activation.slope_bound, abs=1e-6)


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
