import itertools
import math

import pytest
import torch

from surrogates import Fractional, Order, SurrogateError, TimeGrid, caputo, engine, exponentials


def grid(name, layers, seed=3):
    """Steps of very different arrangements, by name; the widest spread over eleven decades."""
    draw = torch.rand(layers, generator=torch.Generator().manual_seed(seed))
    count = torch.arange(layers) / max(layers - 1, 1)
    return {
        "uniform": torch.full((layers,), 1.7 / layers),
        "random": draw + 0.01,
        "growing": 1e-4 * 1e4**count,
        "shrinking": 1e-4**count,
        "decades": 10 ** (11 * draw - 8),
    }[name]


GRIDS = ("uniform", "random", "growing", "shrinking", "decades")
ORDERS = (1e-3, 0.1, 0.5, 0.9, 0.999)


def relative_error(sums, a):
    """Largest |ã − a|/a below the diagonal."""
    lower = torch.ones_like(a, dtype=torch.bool).tril(-1)
    return ((exponentials.dense(sums).to(a) - a).abs()[lower] / a[lower]).max().item()


class TestBound:
    """|ã_{l,j} − a_{l,j}| ≤ ε a_{l,j} for every pair of layers."""

    @pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6, 1e-8, 1e-10])
    @pytest.mark.parametrize("name", GRIDS)
    @pytest.mark.parametrize("order", ORDERS)
    def test_every_entry(self, name, order, tolerance):
        steps = grid(name, 90)
        a, _ = caputo.memory(steps, order)
        sums = exponentials.table(steps, order, tolerance, block=8)
        assert relative_error(sums, a) <= tolerance

    @pytest.mark.parametrize("order", [0.2, 0.5, 0.8])
    def test_the_bound_is_not_generous_by_more_than_a_decade(self, order):
        """Else exponentials are wasted: some entry comes within a factor of ten of the tolerance."""
        steps = grid("uniform", 300)
        error = relative_error(
            exponentials.table(steps, order, 1e-4, block=4), caputo.memory(steps, order)[0]
        )
        assert error > 1e-5

    @pytest.mark.parametrize("name", GRIDS)
    def test_single_precision_adds_its_rounding(self, name):
        steps = grid(name, 90).float().requires_grad_()
        sums = exponentials.table(steps, 0.5, 1e-8, block=8)
        assert sums.recall.dtype == sums.intake.dtype == sums.decay.dtype == sums.near.dtype == torch.float32
        assert relative_error(sums, caputo.memory(steps.double(), 0.5)[0]) < 2e-6
        sum(part.sum() for part in vars(sums).values()).backward()
        assert steps.grad.isfinite().all()

    @pytest.mark.parametrize(("layers", "block"), [(1, 4), (3, 4), (4, 4), (5, 4), (9, 4), (7, 1), (6, 100)])
    def test_any_number_of_layers_and_any_block(self, layers, block):
        steps = grid("random", layers)
        a, c = caputo.memory(steps, 0.4)
        sums = exponentials.table(steps, 0.4, 1e-7, block)
        torch.testing.assert_close(exponentials.dense(sums), a, rtol=1e-7, atol=0)
        torch.testing.assert_close(sums.gains, c, rtol=1e-14, atol=0)


class TestTables:
    """What the tables are, and that they stand for the matrix."""

    def test_shapes_and_exactness_inside_the_blocks(self):
        steps = grid("decades", 14)
        a, _ = caputo.memory(steps, 0.3)
        sums = exponentials.table(steps, 0.3, block=4)
        count = sums.decay.shape[-1]
        assert sums.near.shape == (14, 4)
        assert sums.recall.shape == sums.intake.shape == (14, count)
        assert sums.decay.shape == (4, count)
        for layer in range(14):
            start = layer - layer % 4
            expected = torch.zeros(4)
            expected[: layer - start] = a[layer, start:layer]
            torch.testing.assert_close(sums.near[layer], expected, rtol=1e-14, atol=0)

    def test_carrying_the_memory_from_block_to_block_is_the_recursion(self):
        """The recursion of the docstring gives the states of the engine with the dense matrix."""
        steps, draw = grid("random", 22), torch.Generator().manual_seed(0)
        fields, start = torch.randn(22, 3, generator=draw), torch.randn(3, generator=draw)
        sums = exponentials.table(steps, 0.6, block=5)
        expected = engine.integrate(
            lambda layer, y: torch.tanh(fields[layer] * y), start, sums.gains, exponentials.dense(sums)
        )
        y, memory, block, states = start, torch.zeros(sums.decay.shape[-1], 3), [], [start]
        for layer in range(22):
            inside, b = layer % 5, layer // 5
            d = sums.gains[layer] * torch.tanh(fields[layer] * y) - sums.recall[layer] @ memory
            d = d - sum(sums.near[layer, i] * block[i] for i in range(inside))
            y, block = y + d, [*block, d]
            states.append(y)
            if inside == 4:
                here = sums.intake[5 * b : 5 * b + 5]
                memory, block = sums.decay[b, :, None] * memory + here.T @ torch.stack(block), []
        torch.testing.assert_close(torch.stack(states), expected, rtol=1e-12, atol=1e-13)

    @pytest.mark.parametrize(
        ("order", "counts"),
        [(0.1, (10, 14, 19)), (0.5, (12, 17, 22)), (0.9, (13, 18, 24))],
    )
    def test_number_of_exponentials_for_a_thousand_steps(self, order, counts):
        """T/δ = 1024 at ε = 1e-4, 1e-6, 1e-8; blocks of one layer make δ the step itself."""
        steps = torch.ones(1024)
        found = [exponentials.table(steps, order, ε, block=1).decay.shape[-1] for ε in (1e-4, 1e-6, 1e-8)]
        assert found == list(counts)

    def test_number_of_exponentials_grows_with_the_logarithm_of_the_depth(self):
        counts = [exponentials.table(torch.ones(2**k), 0.5).decay.shape[-1] for k in (6, 9, 12, 15)]
        assert all(1 <= later - before <= 4 for before, later in itertools.pairwise(counts))

    def test_number_of_exponentials_is_that_of_the_next_power_of_two(self):
        """Steps that move in training change it rarely."""
        counts = {exponentials.table(torch.ones(n), 0.5, block=1).decay.shape[-1] for n in (513, 700, 1024)}
        assert len(counts) == 1

    def test_a_scaling_of_the_steps_drops_out(self):
        steps = grid("random", 20)
        one, other = (exponentials.table(factor * steps, 0.3, block=4) for factor in (1.0, 1e-3))
        for name in ("near", "recall", "intake", "decay"):
            torch.testing.assert_close(getattr(other, name), getattr(one, name), rtol=1e-12, atol=0)


class TestManyGrids:
    """Leading axes are grids of their own, each with the exponentials that it has alone."""

    def test_each_grid_with_the_order_of_all_or_its_own(self):
        steps = torch.stack([grid(name, 30) for name in GRIDS])
        for order in (0.5, torch.tensor(0.5), torch.tensor([0.1, 0.3, 0.5, 0.7, 0.95])):
            a, c = caputo.memory(steps, order)
            sums = exponentials.table(steps, order, 1e-7, block=8)
            assert relative_error(sums, a) <= 1e-7
            assert sums.near.shape == (5, 30, 8)
            assert sums.recall.shape[:-1] == sums.intake.shape[:-1] == (5, 30)
            assert sums.decay.shape[:-1] == (5, 4)
            torch.testing.assert_close(sums.gains, c, rtol=1e-14, atol=0)

    def test_two_leading_axes(self):
        steps = torch.stack([grid(name, 30) for name in GRIDS[:4]]).reshape(2, 2, 30)
        orders = torch.tensor([[0.2, 0.4], [0.6, 0.8]])
        sums = exponentials.table(steps, orders, 1e-7, block=8)
        assert relative_error(sums, caputo.memory(steps, orders)[0]) <= 1e-7

    @pytest.mark.parametrize("orders", [0.5, [0.1, 0.3, 0.5, 0.7, 0.95]], ids=["one order", "one each"])
    def test_each_grid_has_its_own_exponentials_and_others_of_weight_zero(self, orders):
        steps = torch.stack([grid(name, 30) for name in GRIDS])
        together = torch.tensor(orders).requires_grad_()
        alone = together.detach().expand(5).clone().requires_grad_()
        sums = exponentials.table(steps, together, 1e-7, block=8)
        counts = set()
        for index, single in enumerate(steps):
            expected = exponentials.table(single, alone[index], 1e-7, block=8)
            counts.add(count := expected.decay.shape[-1])
            for name in ("recall", "intake", "decay"):
                part = getattr(sums, name)[index, :, :count]
                torch.testing.assert_close(part, getattr(expected, name), rtol=1e-13, atol=0)
            assert not sums.recall[index, :, count:].any()
            exponentials.dense(expected).sum().backward()
        assert len(counts) > 1
        assert sums.decay.shape[-1] == max(counts)
        exponentials.dense(sums).sum().backward()
        expected = alone.grad if together.ndim else alone.grad.sum()
        torch.testing.assert_close(together.grad, expected, rtol=1e-10, atol=0)

    @pytest.mark.parametrize("fault", ["step", "infinite step", "order"])
    def test_a_grid_without_numbers_leaves_those_of_the_others(self, fault):
        steps, orders = torch.stack([grid(name, 30) for name in GRIDS]), torch.linspace(0.1, 0.9, 5)
        sound = exponentials.expansion(steps, orders, 1e-7, block=8)
        if fault == "order":
            orders[2] = math.nan
        else:
            steps[2, 11] = math.nan if fault == "step" else math.inf
        steps.requires_grad_(), orders.requires_grad_()
        sums = exponentials.expansion(steps, orders, 1e-7, block=8)
        found, expected = exponentials.dense(sums), exponentials.dense(sound)
        others = [0, 1, 3, 4]
        torch.testing.assert_close(found[others], expected[others], rtol=1e-13, atol=0)
        assert not found[2].isfinite().all()
        found[others].sum().backward()
        assert steps.grad[others].isfinite().all()
        assert orders.grad[others].isfinite().all()


class TestDerivatives:
    """The derivative is that of the sum in use, and close to that of the exact memory."""

    def test_gradcheck_in_steps_and_order(self):
        steps = torch.stack((grid("random", 7), grid("shrinking", 7)))
        logarithms, orders = steps.log().requires_grad_(), torch.tensor([0.37, 0.8], requires_grad=True)

        def found(logarithms, orders):
            return exponentials.dense(exponentials.table(logarithms.exp(), orders, 1e-10, block=3))

        assert torch.autograd.gradcheck(found, (logarithms, orders), eps=1e-5, atol=1e-7, rtol=1e-6)

    @pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")  # from inside torch
    @pytest.mark.parametrize("name", GRIDS)
    @pytest.mark.parametrize("order", [0.05, 0.5, 0.95])
    def test_close_to_the_derivative_of_the_exact_memory(self, name, order):
        """In the logarithm of each step and in the order, entry by entry, to a small multiple of ε."""
        tolerance, gamma = 1e-7, torch.tensor(order)
        logarithms = grid(name, 12).log()

        def exact(x, gamma):
            return caputo.table(x.exp(), gamma)[0]

        def summed(x, gamma):
            return exponentials.dense(exponentials.table(x.exp(), gamma, tolerance, block=3))

        for direction in torch.eye(13):
            along = (logarithms, gamma), (direction[:12], direction[12])
            a, expected = torch.func.jvp(exact, *along)
            _, found = torch.func.jvp(summed, *along)
            assert ((found - expected).abs() <= 20 * tolerance * (a + expected.abs())).all()

    def test_a_scaling_of_the_steps_is_no_direction_of_change(self):
        """Exact also at a coarse tolerance, for the exponents move with the horizon."""
        steps = grid("random", 20).requires_grad_()
        found = exponentials.dense(exponentials.table(steps, 0.5, 1e-2, block=4))
        slope = torch.autograd.grad((torch.linspace(1, 2, 400).reshape(20, 20) * found).sum(), steps)[0]
        assert abs((slope * steps).sum().item()) < 1e-12 * (slope * steps).abs().sum().item()

    @pytest.mark.parametrize("order", [0.1, 0.5, 0.99])
    def test_finite_and_right_over_the_whole_range_of_float32(self, order):
        steps = torch.tensor([1e-38, 1e38, 1e-30, 1.0, 1e20, 1e-38, 1e-38, 3e10], requires_grad=True)
        weights = torch.linspace(1, 2, 64).reshape(8, 8)
        a, found = (
            caputo.table(steps, order)[0],
            exponentials.dense(exponentials.table(steps, order, block=3)),
        )
        torch.testing.assert_close(found, a, rtol=1e-6, atol=1e-60)
        exact, found = (torch.autograd.grad((weights * table).sum(), steps)[0] for table in (a, found))
        assert found.isfinite().all()
        torch.testing.assert_close(found[5:7], exact[5:7], rtol=1e-4, atol=0)

    def test_short_steps_keep_their_digits(self):
        """Steps of 1e-9 of the horizon: a difference of exponentials would leave nothing of the derivative."""
        steps = torch.tensor([1.0, 1e-9, 2e-9, 0.7, 1e-9, 0.2]).requires_grad_()
        weights = torch.linspace(1, 2, 36).reshape(6, 6)
        exact = torch.autograd.grad((weights * caputo.table(steps, 0.5)[0]).sum(), steps)[0]
        sums = exponentials.table(steps, 0.5, 1e-9, block=2)
        found = torch.autograd.grad((weights * exponentials.dense(sums)).sum(), steps)[0]
        torch.testing.assert_close(found, exact, rtol=1e-6, atol=0)


class TestDoor:
    """What cannot be met is refused in one sentence."""

    @pytest.mark.parametrize("tolerance", [0, 1e-11, 0.1, -1e-6, math.nan, "1e-6", None, True])
    def test_tolerance_outside_its_range(self, tolerance):
        with pytest.raises(SurrogateError, match=r"from 1e-10 to 0\.01"):
            exponentials.table(torch.ones(4), 0.5, tolerance)

    @pytest.mark.parametrize("block", [0, -1, 2.0, True, None])
    def test_a_block_that_is_no_whole_number(self, block):
        with pytest.raises(SurrogateError, match="whole number of layers"):
            exponentials.table(torch.ones(4), 0.5, block=block)

    @pytest.mark.parametrize("order", [0, 1, 1.5, math.nan, "0.5"])
    def test_order_outside_the_open_interval(self, order):
        with pytest.raises(SurrogateError, match="strictly between 0 and 1"):
            exponentials.table(torch.ones(4), order)

    @pytest.mark.parametrize("steps", [[0.1, -0.1], [0.1, 0.0], [math.nan], [math.inf]])
    def test_steps_that_are_not_positive(self, steps):
        with pytest.raises(SurrogateError, match="positive, finite steps"):
            exponentials.table(torch.tensor(steps), 0.5)

    def test_orders_that_do_not_match_the_grids(self):
        with pytest.raises(SurrogateError, match=r"shape \(2,\)"):
            exponentials.table(torch.ones(2, 4), torch.full((3,), 0.5))

    @pytest.mark.parametrize(
        "order", [torch.tensor(0.5), torch.nn.Parameter(torch.tensor([0.5]))], ids=["0", "1"]
    )
    def test_a_net_is_given_its_order_as_a_number_or_an_object(self, order):
        with pytest.raises(SurrogateError, match=r"tensor of shape \(1?,?\): Order\.learned\(0\.5\)"):
            Fractional(3, 2, 4, TimeGrid.positive(5), order, exponentials=1e-6)
        for given in (0.5, Order.learned(0.5)):
            assert Fractional(3, 2, 4, TimeGrid.positive(5), given).memory()[0].shape == (5, 5)
