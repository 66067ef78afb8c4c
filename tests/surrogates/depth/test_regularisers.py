"""What regularisers do to steps, what theory says of the horizon, and that no reported loss contains them."""

import math
import pickle
from dataclasses import replace

import pytest
import torch
from depth_nets import few, made, problem
from hypothesis import given
from hypothesis import strategies as st

from surrogates import FeedForward, ResNet, SurrogateError, TimeGrid
from surrogates.depth import Dependent, Horizon, Magnitude, Squares
from surrogates.depth.regularisers import TERMS, from_plain
from surrogates.losses import mse
from surrogates.training import Settings, Snapshots, fit

SETTINGS = Settings(epochs=3, batch=4, learning_rate=0.02, schedule="constant")
TRAIN, VALID = problem(20, 0), problem(9, 1)
steps_of = st.lists(st.floats(-2, 2), min_size=1, max_size=6).map(torch.tensor)


def flat(prediction, target):
    """A data loss without any slope."""
    return 0 * prediction.sum()


def descent(rate):
    return lambda net: torch.optim.SGD(net.parameters(), lr=rate)


class TestValues:
    @few
    @given(steps_of, st.floats(0, 3), st.floats(0.1, 3))
    def test_are_those_of_their_formulas(self, steps, weight, target):
        values = steps.tolist()
        assert Horizon(weight, target)(steps).item() == pytest.approx(weight * (sum(values) - target) ** 2)
        assert Magnitude(weight)(steps).item() == pytest.approx(weight * sum(map(abs, values)))
        assert Squares(weight)(steps).item() == pytest.approx(weight * sum(v * v for v in values))
        total = Horizon(weight, target) + Magnitude(0.3) + Squares(weight)
        parts = Horizon(weight, target)(steps) + Magnitude(0.3)(steps) + Squares(weight)(steps)
        assert total(steps).item() == pytest.approx(parts.item())

    @few
    @given(steps_of.filter(lambda steps: steps.abs().min() > 1e-3))
    def test_have_the_derivatives_of_their_formulas(self, steps):
        total = Horizon(0.5, 1.0) + Magnitude(0.1) + Squares(0.2)
        assert torch.autograd.gradcheck(total, steps.requires_grad_(), eps=1e-6, atol=1e-7)

    def test_of_many_grids_at_once(self):
        steps = torch.rand(3, 5, generator=torch.Generator().manual_seed(0))
        total = Horizon(0.5, 1.0) + Magnitude(0.1)
        torch.testing.assert_close(total(steps), torch.stack([total(row) for row in steps]))

    def test_are_plain_data_and_come_back(self):
        total = Horizon(0.5, 6.0) + Magnitude(0.01) + Squares(2.0)
        assert from_plain(total.plain()) == total == pickle.loads(pickle.dumps(total))
        assert from_plain(Squares(1).plain()) == Squares(1)
        assert {part["term"] for part in total.plain()} == set(TERMS)

    @pytest.mark.parametrize("wrong", [[], [{"term": "Cubes"}], [{"weight": 1.0}], [{"term": "Squares"}]])
    def test_refuse_what_they_do_not_describe(self, wrong):
        with pytest.raises(SurrogateError, match="regulariser"):
            from_plain(wrong)

    @pytest.mark.parametrize("weight", [-1.0, math.nan, "1", True, None])
    def test_refuse_a_weight_that_is_none(self, weight):
        for make in (Magnitude, Squares, lambda value: Horizon(value, 1.0)):
            with pytest.raises(SurrogateError, match="weight must be a number >= 0"):
                make(weight)
        with pytest.raises(SurrogateError, match="target must be a number > 0"):
            Horizon(1.0, 0.0)


class TestTheory:
    @few
    @given(st.integers(1, 6), st.floats(0.05, 1.0), st.floats(0.3, 6.0))
    def test_the_horizon_relaxes_at_its_rate(self, layers, weight, target):
        """(1 − 2αLη)ⁿ by gradient descent where the data say nothing, each step moving by the same."""
        net = ResNet(3, 2, 4, TimeGrid.free(layers, 1.5), generator=torch.Generator().manual_seed(0))
        rate, before = 0.3 / (2 * weight * layers), net.steps().detach().clone()
        snapshots = Snapshots()
        settings = replace(SETTINGS, batch=None, epochs=8)
        found = fit(
            net,
            TRAIN,
            VALID,
            settings,
            loss=flat,
            optimiser=descent(rate),
            regulariser=Horizon(weight, target),
            callbacks=[snapshots],
        )
        expected = [target + 0.7**n * (1.5 - target) for n in range(9)]
        assert [sum(steps) for steps in found.trace.steps] == pytest.approx(expected, rel=1e-10)
        moved = snapshots.trajectory("steps")[-1] - before
        torch.testing.assert_close(moved, moved[:1].expand(layers), rtol=1e-10, atol=1e-14)
        expected = [weight * (horizon - target) ** 2 for horizon in expected[1:]]
        assert found.trace.regulariser == pytest.approx(expected, rel=1e-9, abs=1e-15)

    def test_against_a_loss_it_rests_where_both_slopes_meet(self):
        """Σ τ − T = −g/(2α) for a loss of slope g in the horizon."""
        net = ResNet(3, 2, 4, TimeGrid.free(4, 1.5), generator=torch.Generator().manual_seed(0))

        def slope(prediction, target):
            return 0 * prediction.sum() - 0.2 * net.time.horizon

        settings = replace(SETTINGS, batch=None, epochs=60)
        trace = fit(
            net, TRAIN, VALID, settings, loss=slope, optimiser=descent(0.1), regulariser=Horizon(0.5, 2.0)
        ).trace
        assert sum(trace.steps[-1]) == pytest.approx(2.0 + 0.2 / (2 * 0.5), rel=1e-6)

    def test_magnitude_brings_steps_to_zero_that_nothing_holds(self):
        net = ResNet(3, 2, 4, TimeGrid.free(4, 1.0), generator=torch.Generator().manual_seed(0))
        settings = replace(SETTINGS, batch=None, epochs=60)
        trace = fit(
            net, TRAIN, VALID, settings, loss=flat, optimiser=descent(0.05), regulariser=Magnitude(0.1)
        ).trace
        assert max(map(abs, trace.steps[-1])) <= 0.05 * 0.1 + 1e-12

    def test_squares_are_least_for_equal_steps(self):
        steps = torch.rand(5, generator=torch.Generator().manual_seed(0))
        assert Squares(2.0)(steps) > Squares(2.0)(steps.mean().expand(5))
        assert Squares(2.0)(torch.full((5,), 0.6)).item() == pytest.approx(2.0 * 3.0**2 / 5)


class TestReported:
    REGULARISER = Horizon(5.0, 3.0) + Magnitude(0.3)

    def test_apart_from_every_loss(self):
        """An update whose rate is next to nothing: what is reported is J of the untouched net."""
        net = made(rule="free")
        expected = mse(net(TRAIN[0]), TRAIN[1]).item(), mse(net(VALID[0]), VALID[1]).item()
        penalty = self.REGULARISER(net.time()).item()
        settings = replace(SETTINGS, epochs=1, batch=None)
        found = fit(net, TRAIN, VALID, settings, optimiser=descent(1e-300), regulariser=self.REGULARISER)
        assert found.trace.train_loss == [pytest.approx(expected[0], rel=1e-13)]
        assert found.trace.valid_loss == [pytest.approx(expected[1], rel=1e-13)]
        assert found.best_loss == found.trace.valid_loss[0]
        assert found.trace.regulariser == [pytest.approx(penalty, rel=1e-13)]
        assert penalty > 1

    def test_gradient_is_that_of_both(self):
        net, settings = made(rule="free"), replace(SETTINGS, epochs=1, batch=None)
        goal = mse(net(TRAIN[0]), TRAIN[1]) + self.REGULARISER(net.time())
        gradients = torch.autograd.grad(goal, list(net.parameters()))
        before = [value.detach().clone() for value in net.parameters()]
        trace = fit(net, TRAIN, VALID, settings, optimiser=descent(0.01), regulariser=self.REGULARISER).trace
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
        assert trace.gradient_norm == [pytest.approx(norm, rel=1e-12)]
        for value, start, gradient in zip(net.parameters(), before, gradients, strict=True):
            torch.testing.assert_close(value.detach(), start - 0.01 * gradient, rtol=1e-12, atol=1e-14)

    def test_the_line_search_of_lbfgs_sees_both(self):
        net = made(rule="free")
        settings = Settings(epochs=4, batch=None, learning_rate=1.0, optimiser="lbfgs", schedule="constant")
        trace = fit(net, TRAIN, VALID, settings, loss=flat, regulariser=Horizon(5.0, 3.0)).trace
        assert sum(trace.steps[-1]) == pytest.approx(3.0, rel=1e-8)
        assert trace.train_loss == [0.0] * 4

    def test_without_one_nothing_is_reported_and_zero_weight_changes_nothing(self):
        plain, weightless = made(rule="free"), made(rule="free")
        first = fit(plain, TRAIN, VALID, SETTINGS)
        second = fit(weightless, TRAIN, VALID, SETTINGS, regulariser=Magnitude(0.0))
        assert first.trace.regulariser == []
        assert second.trace.regulariser == [0.0] * 3
        assert replace(first.trace, regulariser=[0.0] * 3) == second.trace

    def test_a_checkpoint_belongs_to_its_regulariser(self, tmp_path):
        path = tmp_path / "run.pt"
        fit(made(), TRAIN, VALID, SETTINGS, regulariser=Magnitude(0.1), checkpoint=path)
        with pytest.raises(SurrogateError, match="regulariser"):
            fit(made(), TRAIN, VALID, SETTINGS, regulariser=Magnitude(0.2), checkpoint=path)
        again = fit(made(), TRAIN, VALID, SETTINGS, regulariser=Magnitude(0.1), checkpoint=path)
        assert len(again.trace.regulariser) == 3

    def test_a_net_without_steps_has_none(self):
        with pytest.raises(SurrogateError, match="FeedForward has none"):
            fit(FeedForward(3, 2, 4, 2), TRAIN, VALID, SETTINGS, regulariser=Magnitude(0.1))

    def test_runs_of_one_epoch_with_one_sampler_see_what_one_run_sees(self):
        whole, parts = made(), made()
        expected = fit(whole, TRAIN, VALID, SETTINGS, optimiser=descent(0.01)).trace
        sampler, optimiser = torch.Generator().manual_seed(SETTINGS.seed), descent(0.01)(parts)
        one = replace(SETTINGS, epochs=1)
        found = [
            fit(parts, TRAIN, VALID, one, optimiser=lambda _: optimiser, sampler=sampler).trace
            for _ in range(3)
        ]
        assert [loss for trace in found for loss in trace.train_loss] == expected.train_loss


class TestDependent:
    """Σ τ = T by elimination."""

    @few
    @given(st.lists(st.floats(-1, 1), min_size=5, max_size=5))
    def test_the_horizon_is_exact_whatever_the_parameters(self, values):
        grid = Dependent(6, 2.5)
        with torch.no_grad():
            grid.steps.copy_(torch.tensor(values))
        assert grid.horizon.item() == pytest.approx(2.5, rel=1e-14)
        assert grid()[:-1].tolist() == values
        assert Horizon(1.0, 2.5)(grid()).item() < 1e-28

    def test_every_step_sees_minus_the_derivative_in_the_last(self):
        net, (x, y) = made(rule="dependent"), problem()
        twin = made(rule="free")
        with torch.no_grad():
            twin.time.steps.copy_(net.time())
        mse(net(x), y).backward()
        mse(twin(x), y).backward()
        free = twin.time.steps.grad
        torch.testing.assert_close(net.time.steps.grad, free[:-1] - free[-1], rtol=1e-12, atol=1e-15)

    @pytest.mark.parametrize("kind", ["ResNet", "AdditiveDenseNet", "ConcatenatingDenseNet"])
    def test_gradcheck(self, kind):
        net, (x, y) = made(kind, "dependent"), problem()
        values = net.time.steps.detach().clone().requires_grad_()

        def goal(steps):
            return mse(torch.func.functional_call(net, {"time.steps": steps}, (x,)), y)

        assert torch.autograd.gradcheck(goal, values, eps=1e-6, atol=1e-9, rtol=1e-6)

    def test_reaches_the_optimum_of_the_simplex_where_all_steps_are_positive(self):
        """The same constraint twice: the best steps agree, and there all derivatives on it vanish."""
        x, _ = problem()
        target = made(rule="free", seed=3)
        with torch.no_grad():
            target.time.steps.copy_(torch.tensor([0.5, 0.2, 0.4, 0.2]))
            y = target(x)
        best = []
        for rule in ("dependent", "simplex"):
            net = made(rule=rule, seed=3)
            net.requires_grad_(False)
            net.time.requires_grad_(True)
            settings = Settings(
                epochs=12, batch=None, learning_rate=1.0, optimiser="lbfgs", schedule="constant"
            )
            trace = fit(net, (x, y), (x, y), settings).trace
            assert trace.valid_loss[-1] < 1e-12
            assert min(net.steps().tolist()) > 0
            best.append(net.steps().detach())
        torch.testing.assert_close(best[0], best[1], rtol=0, atol=1e-4)
        torch.testing.assert_close(best[0], torch.tensor([0.5, 0.2, 0.4, 0.2]), rtol=0, atol=1e-4)

    def test_has_nothing_to_train_with_one_layer(self):
        assert Dependent(1, 0.7)().tolist() == [pytest.approx(0.7)]

    def test_refuses_what_a_free_grid_refuses_and_a_fractional_net(self):
        with pytest.raises(SurrogateError, match="horizon"):
            Dependent(3, -1.0)
        with pytest.raises(SurrogateError, match="layers"):
            Dependent(0)
        with pytest.raises(SurrogateError, match="dependent"):
            made("Fractional", "dependent")
