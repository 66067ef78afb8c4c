import math

import pytest
import torch

from surrogates import SurrogateError
from surrogates.fields import FIELDS, Antisymmetric, Convolution, Dense

WIDTH, MEMBERS, BATCH = 6, 3, 5
EVERY = [
    Dense(),
    Antisymmetric(),
    Antisymmetric(0.2),
    Convolution(2),
    Convolution(3, kernel=5),
    Convolution(6, 1),
]
NAMES = [f"{field.name}-{n}" for n, field in enumerate(EVERY)]


def drawn(field, seed=0):
    """Parameters of the members, states, and a derivative in K y + b."""
    draw = torch.Generator().manual_seed(seed)
    weight, bias, _ = field.shapes(WIDTH)
    return (
        torch.randn(MEMBERS, *weight, generator=draw),
        torch.randn(MEMBERS, *bias, generator=draw),
        torch.randn(MEMBERS, BATCH, WIDTH, generator=draw),
        torch.randn(MEMBERS, BATCH, WIDTH, generator=draw),
    )


@pytest.mark.parametrize("field", EVERY, ids=NAMES)
class TestEveryField:
    """Products in place, member by member, against autograd on ``apply``."""

    def test_into_applies_the_map_of_each_member(self, field):
        weight, bias, state, _ = drawn(field)
        out = torch.full_like(state, math.nan)
        field.into(out, state, field.views(weight.unsqueeze(0), bias.unsqueeze(0))[0])
        expected = torch.stack([field.apply(*part) for part in zip(state, weight, bias, strict=True)])
        torch.testing.assert_close(out, expected, rtol=1e-13, atol=1e-13)

    def test_pull_and_gradients_are_the_transposed_derivatives(self, field):
        weight, bias, state, p = drawn(field)
        leaves = [part.clone().requires_grad_() for part in (weight, bias, state)]
        value = torch.stack([field.apply(y, k, b) for k, b, y in zip(*leaves, strict=True)])
        by_weight, by_bias, by_state = torch.autograd.grad(value, leaves, p)

        out = torch.randn(state.shape, generator=torch.Generator().manual_seed(7))
        before = out.clone()
        field.pull(p, weight, out)
        torch.testing.assert_close(out - before, by_state, rtol=1e-12, atol=1e-12)

        found = torch.full_like(weight, math.nan), torch.full_like(bias, math.nan)
        field.gradients(p, state, *found)
        torch.testing.assert_close(found[0], by_weight, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found[1], by_bias, rtol=1e-12, atol=1e-12)

    def test_takes_an_empty_batch(self, field):
        weight, bias, state, p = (part if n < 2 else part[:, :0] for n, part in enumerate(drawn(field)))
        out = torch.empty_like(state)
        field.into(out, state, field.views(weight.unsqueeze(0), bias.unsqueeze(0))[0])
        field.pull(p, weight, out)
        found = torch.full_like(weight, math.nan), torch.full_like(bias, math.nan)
        field.gradients(p, state, *found)
        assert not any(part.any() for part in found)

    def test_is_linear_in_the_state(self, field):
        weight, _, state, other = drawn(field)
        zero = torch.zeros(field.shapes(WIDTH)[1])
        both = field.apply(2 * state[0] - other[0], weight[0], zero)
        apart = 2 * field.apply(state[0], weight[0], zero) - field.apply(other[0], weight[0], zero)
        torch.testing.assert_close(both, apart, rtol=1e-12, atol=1e-12)


class TestAntisymmetric:
    """K + Kᵀ = −2γI: the field turns states and damps them."""

    @pytest.mark.parametrize("damping", [0.0, 0.25])
    def test_symmetric_part_is_the_damping(self, damping):
        stack = torch.randn(4, 2, WIDTH, WIDTH, generator=torch.Generator().manual_seed(0))
        maps = Antisymmetric(damping).weights(stack)
        torch.testing.assert_close(maps + maps.mT, -2 * damping * torch.eye(WIDTH).expand_as(maps))

    def test_eigenvalues_lie_on_the_line_of_the_damping(self):
        stack = torch.randn(1, WIDTH, WIDTH, generator=torch.Generator().manual_seed(0))
        values = torch.linalg.eigvals(Antisymmetric(0.25).weights(stack))
        torch.testing.assert_close(values.real, torch.full_like(values.real, -0.25))

    @pytest.mark.parametrize("damping", [-0.1, math.nan, math.inf, "0", True])
    def test_refuses_negative_damping(self, damping):
        with pytest.raises(SurrogateError, match="damping >= 0"):
            Antisymmetric(damping)


class TestConvolution:
    """The state is channels × receivers; shifts along the receivers commute with the map, away from the ends."""

    def test_commutes_with_shifts_inside(self):
        field = Convolution(2)
        weight, bias, _, _ = drawn(field)
        state = torch.zeros(1, 2, 9)
        state[0, :, 3] = torch.tensor([1.0, -2.0])
        moved = state.roll(2, dims=-1)
        first, second = (
            field.apply(y.reshape(1, -1), weight[0], bias[0]).reshape(1, 2, 9) for y in (state, moved)
        )
        torch.testing.assert_close(first.roll(2, dims=-1), second)

    @pytest.mark.parametrize(
        ("name", "value"), [("channels", 0), ("channels", 2.0), ("kernel", 0), ("kernel", True)]
    )
    def test_refuses_wrong_sizes(self, name, value):
        with pytest.raises(SurrogateError, match=name):
            Convolution(**{"channels": 2, name: value})

    def test_refuses_an_even_kernel_and_a_width_that_does_not_divide(self):
        with pytest.raises(SurrogateError, match="odd kernel"):
            Convolution(2, kernel=4)
        with pytest.raises(SurrogateError, match="multiple of it, but width=7"):
            Convolution(2).shapes(7)


def test_no_field_is_missing_from_the_list():
    def every(parent):
        for kind in parent.__subclasses__():
            yield kind
            yield from every(kind)

    assert set(every(FIELDS[0].__mro__[1])) == set(FIELDS)
    assert {type(field) for field in EVERY} == set(FIELDS)
