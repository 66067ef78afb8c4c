import copy
import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import surrogates.time_grid
from surrogates import RULES, SurrogateError, TimeGrid

POSITIVE = [name for name, make in RULES.items() if make(2, 1.0).always_positive]
wild = st.floats(allow_nan=False, allow_infinity=False, width=32)
LARGEST = torch.finfo(torch.float32).max


def fill(grid, values):
    with torch.no_grad():
        for parameter in grid.parameters():
            parameter.copy_(torch.tensor(values[: parameter.numel()]).reshape(parameter.shape))


class TestEveryRule:
    """All rules start at the same uniform steps and expose the same object."""

    def test_starts_at_uniform_steps(self, rule):
        grid = RULES[rule](7, 2.1)
        torch.testing.assert_close(grid(), torch.full((7,), 0.3), rtol=1e-14, atol=0)

    def test_steps_times_and_horizon_agree(self, rule, scatter):
        grid = scatter(RULES[rule](7, 2.1))
        assert grid().shape == (7,)
        assert grid.layers == 7
        assert grid.times.shape == (8,)
        assert grid.times[0] == 0
        torch.testing.assert_close(grid.times.diff(), grid(), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(grid.horizon, grid.times[-1])

    def test_learned_says_whether_an_optimiser_finds_something_to_move(self, rule):
        grid = RULES[rule](3, 1.0)
        assert grid.learned == (len(list(grid.parameters())) > 0) == (rule != "fixed")
        assert grid().requires_grad == grid.learned

    def test_state_dict_carries_the_steps_into_a_grid_of_another_horizon(self, rule, scatter):
        grid = scatter(RULES[rule](5, 2.0))
        other = RULES[rule](5, 1.0)
        assert not torch.equal(other(), grid())
        other.load_state_dict(grid.state_dict())
        assert torch.equal(other(), grid())

    def test_conversion_moves_the_steps(self, rule):
        grid = RULES[rule](5, 2.0).to(torch.float32)
        assert grid().dtype == torch.float32
        assert grid.to("meta")().device.type == "meta"

    def test_repr_names_rule_layers_and_horizon(self, rule):
        text = repr(RULES[rule](16, 1.25))
        assert text.startswith(f"TimeGrid.{rule.removesuffix('-horizon')}(layers=16, horizon=1.25, ")
        assert ("learned" in text) == (rule != "fixed")

    def test_copies_are_independent(self, rule, scatter):
        grid = RULES[rule](4, 1.0)
        twin = copy.deepcopy(grid)
        before = grid().clone()
        scatter(twin)
        assert torch.equal(grid(), before)

    def test_is_the_whole_list(self):
        kinds = [kind for kind in TimeGrid.__subclasses__() if kind.__module__ == TimeGrid.__module__]
        subclasses = {kind.rule for kind in kinds}
        assert subclasses == {make(1, 1.0).rule for make in RULES.values()}

    def test_members_are_evaluated_as_if_alone(self, rule, scatter):
        grids = [scatter(RULES[rule](5, 1.0 + seed), seed) for seed in range(3)]
        together = copy.deepcopy(grids[0])
        for held in (together._parameters, together._buffers):
            for name, value in held.items():
                if value is not None:
                    values = torch.stack([getattr(grid, name).detach() for grid in grids])
                    held[name] = torch.nn.Parameter(values) if held is together._parameters else values
        for attribute, shape in {"times": (3, 6), "horizon": (3,)}.items():
            expected = torch.stack([getattr(grid, attribute) for grid in grids])
            assert expected.shape == shape
            torch.testing.assert_close(getattr(together, attribute), expected, rtol=1e-14, atol=0)
        torch.testing.assert_close(together(), torch.stack([grid() for grid in grids]), rtol=1e-14, atol=0)

    @pytest.mark.parametrize("layers", [0, -3, 2.0, True, None, "4"])
    def test_refuses_a_wrong_number_of_layers(self, rule, layers):
        with pytest.raises(SurrogateError, match="layers"):
            RULES[rule](layers, 1.0)

    @pytest.mark.parametrize("horizon", [0.0, -1.0, math.inf, math.nan, "1", None, 1e-323])
    def test_refuses_a_wrong_horizon(self, rule, horizon):
        with pytest.raises(SurrogateError, match="horizon"):
            RULES[rule](7, horizon)


class TestFixed:
    """A fixed grid has nothing to train, and its steps are a buffer."""

    def test_has_no_parameter_and_saves_its_steps(self):
        grid = TimeGrid.fixed(steps=[0.1, 0.5, 0.2])
        assert list(grid.parameters()) == []
        assert torch.equal(grid.state_dict()["steps"], torch.tensor([0.1, 0.5, 0.2]))
        assert "not trained" in repr(grid)

    def test_keeps_its_own_copy_of_given_steps(self):
        steps = torch.tensor([0.1, 0.5], requires_grad=True)
        grid = TimeGrid.fixed(steps=steps)
        with torch.no_grad():
            steps.mul_(2)
        assert grid().tolist() == [0.1, 0.5]
        assert not grid().requires_grad

    @pytest.mark.parametrize(
        ("steps", "message"),
        [
            ([0.1, 0.0], "step 2 of 2 is 0.0"),
            ([-0.1, 1.0], "step 1 of 2"),
            ([1.0, math.nan], "step 2 of 2 is nan"),
            ([math.inf], "inf"),
            ([], "at least one"),
            ([[1.0]], "shape"),
            ("half", "numbers"),
            ([None], "numbers"),
        ],
    )
    def test_refuses_steps_that_are_not_positive_numbers(self, steps, message):
        with pytest.raises(SurrogateError, match=message):
            TimeGrid.fixed(steps=steps)

    @pytest.mark.parametrize("arguments", [{}, {"layers": 2, "steps": [0.1, 0.2]}])
    def test_wants_layers_or_steps_but_not_both(self, arguments):
        with pytest.raises(SurrogateError, match="exactly one"):
            TimeGrid.fixed(**arguments)


class TestPositivity:
    """A rule that promises positive steps keeps the promise for every finite value of its parameters."""

    @pytest.mark.parametrize("positive_rule", POSITIVE)
    @given(values=st.lists(wild, min_size=6, max_size=6))
    @example(values=[LARGEST] * 6)
    @example(values=[-LARGEST, LARGEST] * 3)
    def test_steps_are_positive_and_finite_in_float32(self, positive_rule, values):
        grid = RULES[positive_rule](6, 1.0).to(torch.float32)
        fill(grid, values)
        steps = grid()
        assert (steps > 0).all()
        assert grid.times.isfinite().all()

    @pytest.mark.parametrize("positive_rule", [name for name in POSITIVE if name != "fixed"])
    @given(values=st.lists(wild, min_size=6, max_size=6))
    @example(values=[LARGEST] * 6)
    @example(values=[-LARGEST, LARGEST] * 3)
    def test_gradients_are_finite_in_float32(self, positive_rule, values):
        grid = RULES[positive_rule](6, 1.0).to(torch.float32)
        fill(grid, values)
        (grid() * torch.arange(6.0, dtype=torch.float32)).sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in grid.parameters())

    @given(values=st.lists(st.floats(-50, 50), min_size=6, max_size=6))
    def test_simplex_keeps_its_horizon(self, values):
        grid = TimeGrid.simplex(6, 2.5)
        fill(grid, values)
        assert grid.horizon.item() == pytest.approx(2.5, rel=1e-13)

    def test_simplex_moves_its_horizon_when_told_to_learn_it(self):
        grid = TimeGrid.simplex(6, 2.5, learn_horizon=True)
        grid.horizon.backward()
        assert grid.stretch.grad > 1
        assert grid.logits.grad.abs().max() < 1e-15

    def test_free_makes_no_promise_and_breaks_it(self):
        grid = TimeGrid.free(2, 1.0)
        fill(grid, [-0.35, 0.1])
        assert not grid.always_positive
        assert grid().tolist() == [-0.35, 0.1]

    @given(values=st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=6))
    def test_ceiling_leaves_ordinary_values_alone(self, values):
        grid, floor = TimeGrid.positive(6, 3.0), surrogates.time_grid.FLOOR
        fill(grid, values)
        softplus = torch.nn.functional.softplus(grid.logits)
        torch.testing.assert_close(
            grid(), 0.5 * (floor + (1 - floor) * softplus / math.log(2)), rtol=1e-14, atol=0
        )

    def test_a_step_grows_no_further_than_the_ceiling(self):
        grid, ceiling = TimeGrid.positive(3, 3.0), surrogates.time_grid.CEILING
        fill(grid, [0.999 * ceiling, ceiling, 1e300])
        below, there, beyond = grid().tolist()
        assert below < there == beyond == pytest.approx(ceiling / math.log(2), rel=1e-5)
        grid()[2].backward()
        assert (grid.logits.grad == 0).all()

    def test_floor_leaves_the_start_alone(self):
        assert 0 < surrogates.time_grid.FLOOR < 1e-3
        assert TimeGrid.positive(3, 3.0)().tolist() == pytest.approx([1.0, 1.0, 1.0], abs=1e-15)
