import math

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surrogates import SurrogateError, caputo, engine

orders = st.floats(0.05, 0.95)
step_lists = st.lists(st.floats(-3, 3).map(lambda exponent: 10**exponent), min_size=1, max_size=12)


def exact_memory(steps, order):
    """The definition, term by term, with 60 digits; steps and order are taken as the floats they are."""
    with mpmath.workdps(60):
        tau, gamma = [mpmath.mpf(step) for step in steps], mpmath.mpf(order)

        def power(j, last):
            return mpmath.fsum(tau[j : last + 1]) ** (1 - gamma)

        a = [
            [tau[n] ** gamma / tau[j] * (power(j, n) - power(j + 1, n)) for j in range(n)]
            for n in range(len(tau))
        ]
        c = [mpmath.gamma(2 - gamma) * step**gamma for step in tau]
    return a, c


def random_steps(count, low, high, seed, dtype=torch.float64):
    exponents = low + (high - low) * torch.rand(count, generator=torch.Generator().manual_seed(seed))
    return (10**exponents).to(dtype)


class TestAccuracy:
    """a and c are exact to the precision of the steps, for steps over eleven decades."""

    @pytest.mark.parametrize("order", [0.01, 0.3, 0.5, 0.8, 0.99])
    @pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-7), (torch.float64, 2e-14)])
    @pytest.mark.parametrize("arrangement", ["random", "growing", "shrinking"])
    def test_relative_error_against_sixty_digits(self, order, dtype, tolerance, arrangement):
        steps = random_steps(20, -8, 3, seed=3, dtype=dtype)
        if arrangement != "random":
            steps = steps.sort(descending=arrangement == "shrinking").values
        a, c = caputo.memory(steps, order)
        exact_a, exact_c = exact_memory(steps.tolist(), order)
        assert a.dtype == c.dtype == dtype
        for n in range(len(steps)):
            assert abs(float(c[n]) / exact_c[n] - 1) < tolerance
            for j in range(n):
                assert abs(float(a[n, j]) / exact_a[n][j] - 1) < tolerance

    @pytest.mark.parametrize("order", [0.05, 0.5, 0.95])
    def test_derivatives_against_sixty_digits(self, order):
        """Also where a step is 1e-11 of its span, which differencing powers gets wrong altogether."""
        steps = torch.tensor([1e-8, 10.0, 0.3, 1e-8, 1e3, 1e-4, 1e-6], requires_grad=True)
        a, _ = caputo.memory(steps, order)
        with mpmath.workdps(80):
            for n, j in [(1, 0), (2, 0), (2, 1), (4, 3), (5, 0), (6, 3), (6, 4), (6, 5)]:
                found = torch.autograd.grad(a[n, j], steps, retain_graph=True)[0]
                for i in range(j, n + 1):

                    def entry(value, n=n, j=j, i=i):
                        moved = [mpmath.mpf(step) for step in steps.tolist()]
                        moved[i] = value
                        gamma = mpmath.mpf(order)
                        upper, lower = mpmath.fsum(moved[j : n + 1]), mpmath.fsum(moved[j + 1 : n + 1])
                        return moved[n] ** gamma / moved[j] * (upper ** (1 - gamma) - lower ** (1 - gamma))

                    value = mpmath.mpf(steps[i].item())
                    h = value * mpmath.mpf("1e-25")
                    exact = (entry(value + h) - entry(value - h)) / (2 * h)
                    assert float(found[i]) == pytest.approx(float(exact), rel=1e-11)

    @pytest.mark.parametrize("seed", range(3))
    def test_gradients_are_finite_in_float32(self, seed):
        steps = random_steps(40, -8, 3, seed, torch.float32).requires_grad_()
        a, c = caputo.memory(steps, 0.5)
        (a.sum() + c.sum()).backward()
        assert steps.grad.isfinite().all()

    def test_steps_over_the_whole_range_of_float32_stay_finite(self):
        steps = torch.tensor([1e-38, 1e38, 1e-30, 1.0, 1e20, 1e-38], dtype=torch.float32, requires_grad=True)
        a, c = caputo.memory(steps, 0.5)
        (a.sum() + c.sum()).backward()
        assert a.isfinite().all()
        assert steps.grad.isfinite().all()

    def test_gradcheck_through_both_tables(self):
        steps = torch.tensor([0.4, 0.01, 1.7, 0.3, 0.02], requires_grad=True)  # shares on both sides of 1/64
        assert torch.autograd.gradcheck(lambda tau: caputo.memory(tau, 0.37), (steps,), eps=1e-7)
        assert torch.autograd.gradgradcheck(lambda tau: caputo.memory(tau, 0.37), (steps,), eps=1e-7)

    @pytest.mark.parametrize("value", [0.05, 0.5, 0.95])
    @pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
    def test_derivative_in_the_order_against_sixty_digits(self, value, dtype, tolerance):
        """Entries of a and gains, for steps over eleven decades; the values too, now with Γ from a tensor."""
        order = torch.tensor(value, dtype=dtype, requires_grad=True)
        steps = random_steps(7, -8, 3, seed=6, dtype=dtype)
        a, c = caputo.memory(steps, order)
        exact_a, exact_c = exact_memory(steps.tolist(), order.item())
        with mpmath.workdps(60):
            h = mpmath.mpf("1e-20")
            above_a, above_c = exact_memory(steps.tolist(), order.item() + h)
            below_a, below_c = exact_memory(steps.tolist(), order.item() - h)
            for n in range(7):
                entries = [(c[n], exact_c[n], above_c[n] - below_c[n])]
                entries += [(a[n, j], exact_a[n][j], above_a[n][j] - below_a[n][j]) for j in range(n)]
                for found, exact, change in entries:
                    slope = torch.autograd.grad(found, order, retain_graph=True)[0]
                    assert slope.dtype == dtype
                    assert abs(found.item() / exact - 1) < tolerance
                    assert abs(slope.item() / (change / (2 * h)) - 1) < tolerance

    def test_gradcheck_in_steps_and_order_together(self):
        steps = torch.tensor([[0.4, 0.01, 1.7, 0.3, 0.02], [0.1, 0.1, 2.0, 0.1, 0.3]], requires_grad=True)
        orders = torch.tensor([0.37, 0.8], requires_grad=True)
        assert torch.autograd.gradcheck(caputo.memory, (steps, orders), eps=1e-7)
        assert torch.autograd.gradgradcheck(caputo.memory, (steps, orders), eps=1e-7)


class TestManyGrids:
    """Leading axes are grids of their own, each equal to what it is alone."""

    @pytest.mark.parametrize("shape", [(3,), (2, 3)])
    def test_one_order_for_all(self, shape):
        grids = random_steps(6 * math.prod(shape), -3, 1, seed=2).reshape(*shape, 6)
        a, c = caputo.memory(grids, 0.3)
        assert a.shape == (*shape, 6, 6)
        assert c.shape == (*shape, 6)
        for index in range(math.prod(shape)):
            alone = caputo.memory(grids.reshape(-1, 6)[index], 0.3)
            torch.testing.assert_close(a.reshape(-1, 6, 6)[index], alone[0], rtol=1e-14, atol=0)
            torch.testing.assert_close(c.reshape(-1, 6)[index], alone[1], rtol=1e-14, atol=0)

    def test_an_order_for_each_grid(self):
        grids, orders = random_steps(18, -3, 1, seed=2).reshape(3, 6), torch.tensor([0.2, 0.5, 0.9])
        a, c = caputo.memory(grids, orders)
        for index, order in enumerate(orders.tolist()):
            alone = caputo.memory(grids[index], order)
            torch.testing.assert_close(a[index], alone[0], rtol=1e-14, atol=0)
            torch.testing.assert_close(c[index], alone[1], rtol=1e-14, atol=0)

    def test_a_tensor_is_the_number_it_holds(self):
        steps = random_steps(9, -8, 3, seed=4)
        for found, expected in zip(
            caputo.memory(steps, torch.tensor(0.5)), caputo.memory(steps, 0.5), strict=True
        ):
            torch.testing.assert_close(found, expected, rtol=1e-14, atol=0)

    def test_convex_weights_of_each_grid(self):
        a, _ = caputo.memory(random_steps(12, -3, 1, seed=7).reshape(2, 6), 0.4)
        w = caputo.convex_weights(a)
        assert torch.equal(w, torch.stack([caputo.convex_weights(one) for one in a]))
        torch.testing.assert_close(w.sum(-1), torch.ones(2, 6), rtol=1e-13, atol=0)

    def test_vectorising_is_the_leading_axis(self):
        grids, orders = random_steps(18, -3, 1, seed=2).reshape(3, 6), torch.tensor([0.2, 0.5, 0.9])
        mapped = torch.func.vmap(caputo.table)(grids, orders)
        for found, expected in zip(mapped, caputo.table(grids, orders), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-14, atol=0)

    @pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")  # from inside torch
    def test_forward_mode_agrees_with_reverse_mode_also_when_vectorised(self):
        steps, order = random_steps(5, -3, 1, seed=2), torch.tensor(0.4)
        forward = torch.func.jacfwd(caputo.table, argnums=(0, 1))(steps, order)
        reverse = torch.func.jacrev(caputo.table, argnums=(0, 1))(steps, order)
        torch.testing.assert_close(forward, reverse, rtol=1e-12, atol=1e-14)

    def test_nothing_depends_on_values_or_leaves_the_device(self):
        a, c = caputo.table(torch.ones(2, 6, device="meta"), torch.tensor(0.5, device="meta"))
        assert a.shape == (2, 6, 6)
        assert a.device.type == c.device.type == "meta"


class TestLaws:
    """Convex weights, homogeneity, limits and the uniform closed form."""

    @given(steps=step_lists, order=orders)
    def test_weights_are_positive_and_sum_to_one(self, steps, order):
        a, _ = caputo.memory(torch.tensor(steps), order)
        w = caputo.convex_weights(a)
        lower = torch.ones_like(w, dtype=torch.bool).tril()
        assert (w[lower] > 0).all()
        assert (w[~lower] == 0).all()
        torch.testing.assert_close(w.sum(1), torch.ones(len(steps)), rtol=1e-13, atol=0)

    @given(steps=step_lists, order=orders)
    def test_memory_lies_between_zero_and_one_below_the_diagonal_only(self, steps, order):
        a, c = caputo.memory(torch.tensor(steps), order)
        assert a.shape == (len(steps), len(steps))
        assert c.shape == (len(steps),)
        lower = torch.ones_like(a, dtype=torch.bool).tril(-1)
        assert ((a[lower] > 0) & (a[lower] < 1)).all()
        assert (a[~lower] == 0).all()

    @given(steps=step_lists, order=orders, seed=st.integers(0, 1000))
    def test_each_state_is_the_convex_combination_and_is_bounded_by_it(self, steps, order, seed):
        a, c = caputo.memory(torch.tensor(steps), order)
        w = caputo.convex_weights(a)
        fields = torch.randn(len(steps), 3, generator=torch.Generator().manual_seed(seed))
        start = torch.randn(3, generator=torch.Generator().manual_seed(seed + 1))
        y = engine.integrate(lambda layer, _: fields[layer], start, c, a)
        size = y.abs().max().item()
        torch.testing.assert_close(y[1:], w @ y[:-1] + c[:, None] * fields, rtol=0, atol=1e-12 * max(size, 1))
        for n in range(1, len(y)):
            bound = y[:n].abs().max(0).values + c[n - 1] * fields[n - 1].abs()
            assert (y[n].abs() <= bound * (1 + 1e-12)).all()

    @given(steps=step_lists, order=orders)
    def test_a_zero_field_keeps_the_first_state(self, steps, order):
        a, c = caputo.memory(torch.tensor(steps), order)
        y = engine.integrate(lambda _, state: 0 * state, torch.tensor([1.0, -2.0]), c, a)
        assert torch.equal(y, y[:1].expand_as(y))

    @given(steps=step_lists, order=orders, scale=st.floats(1e-3, 1e3))
    def test_memory_has_degree_zero_and_gains_degree_gamma(self, steps, order, scale):
        steps = torch.tensor(steps)
        a, c = caputo.memory(steps, order)
        scaled_a, scaled_c = caputo.memory(scale * steps, order)
        torch.testing.assert_close(scaled_a, a, rtol=1e-12, atol=0)
        torch.testing.assert_close(scaled_c, scale**order * c, rtol=1e-12, atol=0)

    @pytest.mark.parametrize("order", [0.1, 0.5, 0.9])
    def test_equal_steps_give_the_uniform_closed_form(self, order):
        a, c = caputo.memory(torch.full((9,), 0.2), order)
        for n in range(9):
            assert float(c[n]) == pytest.approx(math.gamma(2 - order) * 0.2**order, rel=1e-14)
            for j in range(n):
                expected = (n - j + 1) ** (1 - order) - (n - j) ** (1 - order)
                assert float(a[n, j]) == pytest.approx(expected, rel=1e-12)

    def test_order_one_is_the_limit_without_memory(self):
        steps = random_steps(10, -2, 0, seed=5)
        for distance in (1e-4, 1e-8):
            a, c = caputo.memory(steps, 1 - distance)
            torch.testing.assert_close(a, torch.zeros_like(a), rtol=0, atol=50 * distance)
            torch.testing.assert_close(c, steps, rtol=10 * distance, atol=0)

    def test_order_zero_is_the_limit_of_full_memory(self):
        steps = random_steps(10, -2, 0, seed=5)
        for distance in (1e-4, 1e-8):
            a, c = caputo.memory(steps, distance)
            torch.testing.assert_close(a, torch.ones_like(a).tril(-1), rtol=0, atol=20 * distance)
            torch.testing.assert_close(c, torch.ones_like(c), rtol=20 * distance, atol=0)

    def test_without_memory_the_weights_are_those_of_the_residual_net(self):
        assert torch.equal(caputo.convex_weights(torch.zeros(4, 4)), torch.eye(4))


def slope(counts, errors):
    """Least-squares slope of log error against log 1/N."""
    x, y = torch.tensor(counts).double().log(), torch.tensor(errors).double().log()
    x, y = x - x.mean(), y - y.mean()
    return -float((x * y).sum() / (x * x).sum())


def errors_along(times, order, right, solution, start=0.0):
    """Largest error over the grid of the scheme for D^γ u = right(t, u before)."""
    a, c = caputo.memory(times.diff(), order)
    y = engine.integrate(lambda layer, state: right(times[layer + 1], state), torch.tensor(start), c, a)
    return (y - solution(times)).abs().max().item()


class TestOrderOfAccuracy:
    """The scheme converges to solutions of D^γ u = g at the order that theory gives."""

    COUNTS = (32, 64, 128, 256, 512)

    @pytest.mark.parametrize("order", [0.3, 0.5, 0.8])
    def test_order_two_minus_gamma_for_a_smooth_solution_on_equal_steps(self, order):
        def right(t, _):
            return 2 * t ** (2 - order) / math.gamma(3 - order)

        errors = [
            errors_along(torch.linspace(0, 1, n + 1), order, right, lambda t: t**2) for n in self.COUNTS
        ]
        assert slope(self.COUNTS, errors) == pytest.approx(2 - order, abs=0.06)

    @pytest.mark.parametrize("order", [0.4, 0.6, 0.8])
    def test_order_two_minus_gamma_for_a_singular_solution_on_a_graded_grid(self, order):
        """u = t^γ is steep at 0: equal steps lose the order, points at (k/N)^((2−γ)/γ) restore it."""
        rise = math.gamma(1 + order)

        def errors(grading):
            grids = (torch.linspace(0, 1, n + 1) ** grading for n in self.COUNTS)
            return [errors_along(times, order, lambda *_: rise, lambda t: t**order) for times in grids]

        assert slope(self.COUNTS, errors((2 - order) / order)) == pytest.approx(2 - order, abs=0.1)
        assert slope(self.COUNTS, errors(1.0)) == pytest.approx(order, abs=0.1)

    @pytest.mark.parametrize("order", [0.5, 0.8])
    def test_linear_decay_follows_the_mittag_leffler_function(self, order):
        """D^γ u = −u, u(0) = 1: u = E_γ(−t^γ); a lagged right-hand side has order 1 on (k/N)^(1/γ)."""

        def solution(times):
            # the series of E_γ(−z) = Σ (−z)^k/Γ(γk+1), z = t^γ ≤ 1
            return sum((-(times**order)) ** k / math.gamma(order * k + 1) for k in range(60))

        grids = {n: torch.linspace(0, 1, n + 1) ** (1 / order) for n in self.COUNTS}
        errors = [
            errors_along(times, order, lambda _, u: -u, solution, start=1.0) for times in grids.values()
        ]
        assert errors[-1] < 5e-3
        assert slope(self.COUNTS, errors) == pytest.approx(1, abs=0.1)


class TestDoor:
    """A wrong order or wrong steps are refused in one sentence."""

    @pytest.mark.parametrize("order", [0, 1, -0.5, 1.5, math.nan, "0.5", True, None])
    def test_order_outside_the_open_interval(self, order):
        with pytest.raises(SurrogateError, match="strictly between 0 and 1"):
            caputo.memory(torch.ones(3), order)

    @pytest.mark.parametrize("steps", [[0.1, -0.1], [0.1, 0.0], [math.nan], [math.inf]])
    def test_steps_that_are_not_positive(self, steps):
        with pytest.raises(SurrogateError, match="positive, finite steps"):
            caputo.memory(torch.tensor(steps), 0.5)

    @pytest.mark.parametrize(
        ("shape", "dtype"), [((), torch.float64), ((0,), torch.float64), ((3,), torch.int64)]
    )
    def test_steps_that_are_not_real_vectors(self, shape, dtype):
        with pytest.raises(SurrogateError, match="vector"):
            caputo.memory(torch.ones(shape, dtype=dtype), 0.5)

    @pytest.mark.parametrize("values", [1.0, [0.5, 0.0], [0.5, math.nan]])
    def test_tensors_of_orders_outside_the_open_interval(self, values):
        with pytest.raises(SurrogateError, match="strictly between 0 and 1"):
            caputo.memory(torch.ones(2, 3), torch.tensor(values))

    @pytest.mark.parametrize("shape", [(1,), (3,), (2, 1)])
    def test_orders_that_do_not_match_the_grids(self, shape):
        with pytest.raises(SurrogateError, match=r"shape \(2,\)"):
            caputo.memory(torch.ones(2, 3), torch.full(shape, 0.5))

    def test_an_order_on_another_device(self):
        with pytest.raises(SurrogateError, match="cpu"):
            caputo.memory(torch.ones(3, device="meta"), torch.tensor(0.5))
