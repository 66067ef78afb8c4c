import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import surrogates.order
from surrogates import Order, SurrogateError, TimeGrid, caputo

KINDS = {"fixed": Order.fixed, "learned": Order.learned}
wild = st.floats(-(2.0**100), 2.0**100, width=32)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


class TestBothKinds:
    """Fixed and learned orders start alike and are one object."""

    @pytest.mark.parametrize("value", [0.0011, 0.1, 0.3, 0.5, 0.77, 0.9989])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_starts_at_exactly_the_order_asked_for(self, kind, value, dtype):
        torch.set_default_dtype(dtype)
        order = KINDS[kind](value)()
        assert order.shape == ()
        assert order.dtype == dtype
        assert torch.equal(order, torch.tensor(value))

    def test_learned_says_whether_an_optimiser_finds_something_to_move(self, kind):
        order = KINDS[kind](0.4)
        assert order.learned == (len(list(order.parameters())) > 0) == (kind == "learned")
        assert order().requires_grad == order.learned

    def test_freezing_stops_the_learning(self):
        assert not Order.learned(0.4).requires_grad_(False).learned

    def test_conversion_moves_the_order(self, kind):
        order = KINDS[kind](0.25).to(torch.float32)
        assert order().dtype == torch.float32
        assert order.to("meta")().device.type == "meta"

    def test_state_dict_round_trip(self, kind, scatter):
        order, other = scatter(KINDS[kind](0.25)), KINDS[kind](0.6)
        assert other() != order()
        other.load_state_dict(order.state_dict())
        assert torch.equal(other(), order())

    def test_copies_are_independent(self, kind, scatter):
        order = KINDS[kind](0.25)
        twin = copy.deepcopy(order)
        scatter(order)
        assert twin() == 0.25

    def test_repr_tells_the_value_and_whether_it_trains(self, kind):
        text = "learned" if kind == "learned" else "not trained"
        assert repr(KINDS[kind](0.25)) == f"Order(0.25, {text})"

    @pytest.mark.parametrize("value", [0, 1, -0.5, 1.5, math.nan, "0.5", True, None, 1e-400])
    def test_refuses_what_is_not_inside_the_interval(self, kind, value):
        with pytest.raises(SurrogateError, match="strictly between 0 and 1"):
            KINDS[kind](value)

    def test_refuses_a_number_that_single_precision_rounds_to_one(self, kind):
        torch.set_default_dtype(torch.float32)
        with pytest.raises(SurrogateError, match="strictly between 0 and 1"):
            KINDS[kind](1 - 1e-9)

    def test_refuses_several_orders(self, kind):
        with pytest.raises(SurrogateError, match=r"number.*\(3,\)"):
            KINDS[kind](torch.full((3,), 0.5))


class TestLearned:
    """γ = ε + (1−2ε) sigmoid(θ), θ counted from the start."""

    @given(shift=wild)
    def test_stays_inside_for_any_parameter_in_float32(self, shift):
        order = Order.learned(0.3).to(torch.float32)
        with torch.no_grad():
            order.logit.fill_(shift)
        low, high = torch.tensor([surrogates.order.MARGIN, 1 - surrogates.order.MARGIN], dtype=torch.float32)
        assert low <= order() <= high

    @pytest.mark.parametrize("shift", [-1e30, -20.0, 20.0, 1e30])
    def test_table_and_gradients_are_finite_at_the_edges(self, shift):
        order, grid = Order.learned(0.5).to(torch.float32), TimeGrid.positive(6).to(torch.float32)
        with torch.no_grad():
            order.logit.fill_(shift)
        a, c = caputo.table(grid(), order())
        (a.sum() + c.sum()).backward()
        assert a.isfinite().all()
        assert order.logit.grad.isfinite()
        assert grid.logits.grad.isfinite().all()

    @given(start=st.floats(0.01, 0.99), shift=st.floats(-4, 4))
    def test_is_the_formula(self, start, shift):
        order, margin = Order.learned(start), surrogates.order.MARGIN
        with torch.no_grad():
            order.logit.fill_(shift)
        share = (start - margin) / (1 - 2 * margin)
        expected = margin + (1 - 2 * margin) / (1 + math.exp(-shift) * (1 - share) / share)
        assert order().item() == pytest.approx(expected, rel=1e-12)

    def test_derivative_at_the_start(self):
        order, margin = Order.learned(0.5), surrogates.order.MARGIN
        order().backward()
        assert order.logit.grad.item() == pytest.approx((1 - 2 * margin) / 4, rel=1e-14)

    @pytest.mark.parametrize("start", [1e-4, 0.9999])
    def test_refuses_a_start_beyond_what_it_can_reach(self, start):
        with pytest.raises(SurrogateError, match=r"distance 0\.001"):
            Order.learned(start)

    def test_descent_finds_an_order_from_its_gains(self):
        """The derivative through the table leads to the order that made the data."""
        steps, order = torch.tensor([0.3, 0.1, 0.6]), Order.learned(0.3)
        target, _ = caputo.memory(steps, 0.8)
        optimiser = torch.optim.LBFGS(order.parameters(), line_search_fn="strong_wolfe", max_iter=60)

        def closure():
            optimiser.zero_grad()
            value = (caputo.table(steps, order())[0] - target).square().sum()
            value.backward()
            return value

        optimiser.step(closure)
        assert order().item() == pytest.approx(0.8, abs=1e-3)
