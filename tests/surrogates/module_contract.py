"""What every network family owes as a torch module: first weights, copies, precision, members, export, door."""

import copy
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from surrogates import FAMILIES, RULES, LayeredNet, SurrogateError, TimeGrid, ensemble

LAYERS, WIDTH, BATCH = 5, 4, 6
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def inputs(batch=BATCH, features=3, seed=2):
    return torch.randn(batch, features, generator=torch.Generator().manual_seed(seed))


def admitted(family, learned_only=False):
    """Names of the time rules that a family admits."""
    grids = {rule: make(2, 1.0) for rule, make in RULES.items()}
    return [
        rule
        for rule, grid in grids.items()
        if (grid.always_positive or not family.positive_steps_only) and (grid.learned or not learned_only)
    ]


def side_by_side(nets):
    """One net whose parameters and buffers have a member axis in front, in the rule of the first."""
    stacked = copy.deepcopy(nets[0])
    parameters, buffers = torch.func.stack_module_state(nets)
    for name, value in (*parameters.items(), *buffers.items()):
        home, _, last = name.rpartition(".")
        module = stacked.get_submodule(home)
        (module._parameters if last in module._parameters else module._buffers)[last] = (
            nn.Parameter(value.detach().clone()) if last in module._parameters else value.clone()
        )
    stacked.members = len(nets)
    return stacked


class ModuleContract:
    """What holds for a family whatever its recursion is."""

    family: ClassVar[type[LayeredNet]]

    # first weights

    def test_equal_seeds_start_alike_whatever_family_and_rule(self, rule, build):
        net, twin = build(self.family, rule).state_dict(), build(self.family, "fixed").state_dict()
        for name in (name for name in twin if not name.startswith("time.")):
            assert torch.equal(net[name], twin[name])
        for other in FAMILIES:
            reference = build(other, "fixed").state_dict()
            for name in ("lift_weight", "lift_bias"):
                assert torch.equal(net[name], reference[name])

    def test_rules_start_as_the_same_function(self, rule, build):
        x = inputs()
        found, expected = (build(self.family, name)(x) for name in (rule, "fixed"))
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-14)

    def test_layers_start_with_weights_of_their_own(self, rule, build):
        rows = [row for weight in build(self.family, rule).layer_weights() for row in weight.flatten(0, -2)]
        assert len({tuple(row.tolist()) for row in rows}) == len(rows)

    def test_draws_from_the_global_generator_when_none_is_given(self):
        first, second = (self.family(3, 2, 4, TimeGrid.fixed(2)).layer_weight for _ in range(2))
        assert not torch.equal(first, second)

    # a torch module among others

    def test_dtype_and_device_follow_the_parameters(self, rule, build):
        net = build(self.family, rule).to(torch.float32)
        x = inputs().float()
        assert net(x).dtype == net.states(x).dtype == torch.float32
        net(x).sum().backward()
        assert {parameter.grad.dtype for parameter in net.parameters()} == {torch.float32}
        away, x = build(self.family, rule).to("meta"), inputs().to("meta")
        assert away(x).device.type == away.states(x).device.type == "meta"
        away(x).sum().backward()
        assert {parameter.grad.device.type for parameter in away.parameters()} == {"meta"}

    def test_state_dict_round_trip(self, rule, build, scatter):
        net = scatter(build(self.family, rule))
        other = build(self.family, rule, seed=9, horizon=2.0)
        other.load_state_dict(net.state_dict())
        assert torch.equal(other(inputs()), net(inputs()))

    def test_copies_are_independent(self, rule, build, scatter):
        net, x = build(self.family, rule), inputs()
        before = net(x)
        scatter(copy.deepcopy(net))
        assert torch.equal(net(x), before)

    def test_is_the_same_with_and_without_gradients(self, rule, build):
        net, x = build(self.family, rule), inputs()
        with torch.no_grad():
            torch.testing.assert_close(net(x), net(x.clone().requires_grad_()), **EXACT)
            states = net.states(x)
        torch.testing.assert_close(states, net.states(x), **EXACT)

    def test_results_may_be_modified_in_place(self, rule, build):
        """As those of torch's own modules: neither what the way back keeps nor a view of it."""
        net, x = build(self.family, rule), inputs()
        parameters = [value for name, value in net.named_parameters() if "readout" not in name]
        for function in (net.last, lambda start: net.readout(net.last(start).mul_(2.0))):
            found, expected = (
                torch.autograd.grad(change(function(net.lift(x))).square().sum(), parameters)
                for change in (lambda y: y.mul_(3.0).add_(1.0), lambda y: 3.0 * y + 1.0)
            )
            for value, reference in zip(found, expected, strict=True):
                torch.testing.assert_close(value, reference, **EXACT)

    def test_samples_do_not_know_each_other(self, rule, build):
        net, x = build(self.family, rule), inputs()
        apart = torch.cat([net(sample.unsqueeze(0)) for sample in x])
        torch.testing.assert_close(net(x), apart, **EXACT)
        assert net(x[:0]).shape == (0, 2)

    def test_functional_calls_vectorise_over_members(self, rule, build):
        """torch.func must see through the net."""
        members = [build(self.family, rule, seed=seed) for seed in range(3)]
        parameters, buffers = torch.func.stack_module_state(members)
        x = inputs()

        def call(p, b):
            return torch.func.functional_call(members[0], (p, b), (x,))

        found = torch.func.vmap(call)(parameters, buffers)
        torch.testing.assert_close(found, torch.stack([net(x) for net in members]), **EXACT)

    @pytest.mark.parametrize("timed_lift", [False, True])
    def test_members_side_by_side_equal_each_alone(self, rule, timed_lift, build, scatter):
        members = [
            scatter(build(self.family, rule, seed=seed, timed_lift=timed_lift), seed=seed)
            for seed in range(3)
        ]
        net, shared = side_by_side(members), inputs()
        own = torch.stack([inputs(seed=seed) for seed in range(3)])
        for x in (shared, own):
            net.zero_grad()
            found = net(x)
            apart = x if x.ndim == 3 else x.expand(3, -1, -1)
            torch.testing.assert_close(
                found, torch.stack([m(y) for m, y in zip(members, apart, strict=True)]), **EXACT
            )
            states = torch.stack([m.states(y) for m, y in zip(members, apart, strict=True)], 1)
            torch.testing.assert_close(net.states(x), states, **EXACT)
            found.square().sum().backward()
            for index, (member, y) in enumerate(zip(members, apart, strict=True)):
                member.zero_grad()
                member(y).square().sum().backward()
                for name, value in member.named_parameters():
                    torch.testing.assert_close(net.get_parameter(name).grad[index], value.grad, **EXACT)

    def test_exported_program_is_the_net(self, build, scatter):
        net = scatter(build(self.family, "simplex", layers=3))
        batch = torch.export.Dim("batch", min=2)
        program = torch.export.export(net, (inputs(),), dynamic_shapes=({0: batch},)).module()
        for x in (inputs(), inputs(batch=11)):
            torch.testing.assert_close(program(x), net(x), **EXACT)

    def test_compiles_to_one_graph_with_the_same_derivatives(self, build, scatter):
        """Without a break: no check of the door and no decision by value is left inside."""
        net, x = scatter(build(self.family, "simplex", layers=3)), inputs()
        compiled = torch.compile(net, backend="eager", fullgraph=True)
        parameters = list(net.parameters())
        found, expected = (
            (value, *torch.autograd.grad(value.square().sum(), parameters)) for value in (compiled(x), net(x))
        )
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, **EXACT)

    # the door

    @pytest.mark.parametrize(
        ("x", "message"),
        [
            (torch.zeros(6, 4, dtype=torch.float64), r"\(batch, 3\).*\(6, 4\)"),
            (torch.zeros(3, dtype=torch.float64), r"\(batch, 3\).*\(3,\)"),
            (torch.zeros(6, 3, dtype=torch.float32), "float64.*float32"),
            (torch.zeros(6, 3, dtype=torch.float64, device="meta"), "cpu.*meta"),
            ([[1.0, 2.0, 3.0]], r"a tensor.*\(batch, 3\).*given list.*as_tensor"),
            (np.zeros((6, 3)), r"a tensor.*given ndarray"),
        ],
        ids=["width", "axes", "dtype", "device", "list", "array"],
    )
    def test_refuses_inputs_of_wrong_kind_shape_dtype_or_device(self, rule, build, x, message):
        with pytest.raises(SurrogateError, match=message):
            build(self.family, rule)(x)

    def test_refuses_a_time_grid_of_another_dtype_or_device(self, rule, build):
        """Two nets share a grid, one is converted and takes it along; or the grid is converted alone."""
        grid = RULES[rule](LAYERS, 1.3)
        net, other = build(self.family, grid), build(self.family, grid)
        other.to(torch.float32)
        for call, x in ((net, inputs()), (net.states, inputs())):
            with pytest.raises(SurrogateError, match=rf"{self.family.__name__} .*64.* time grid .*32.*\.to"):
                call(x)
        assert other(inputs().float()).dtype == torch.float32
        net.time.to("meta")
        with pytest.raises(SurrogateError, match=r"cpu.* time grid .*meta"):
            net(inputs())

    @pytest.mark.parametrize("part", range(2))
    def test_refuses_one_time_grid_of_another_dtype_among_members(self, part, build):
        net = ensemble.stack([build(self.family, rule) for rule in ("positive", "simplex")])
        assert net(inputs()).shape == (2, BATCH, 2)
        net.time.groups[part].float()
        with pytest.raises(SurrogateError, match=r"time grid.*float32"):
            net(inputs())

    @pytest.mark.parametrize("name", ["inputs", "outputs", "width"])
    @pytest.mark.parametrize("value", [0, -1, 2.0, True, None])
    def test_refuses_a_wrong_size(self, name, value):
        sizes = {"inputs": 3, "outputs": 2, "width": 4, name: value}
        with pytest.raises(SurrogateError, match=f"{self.family.__name__}.*{name}"):
            self.family(**sizes, time=TimeGrid.fixed(2))

    def test_refuses_something_else_than_a_time_grid(self):
        with pytest.raises(SurrogateError, match="time grid"):
            self.family(inputs=3, outputs=2, width=4, time=torch.ones(4))

    @pytest.mark.parametrize("value", ["no", 1, 0, None])
    def test_refuses_a_timed_lift_that_is_neither_true_nor_false(self, value, build):
        with pytest.raises(SurrogateError, match=f"True or False for timed_lift, but timed_lift={value!r}"):
            build(self.family, "fixed", timed_lift=value)

    def test_refuses_a_timed_lift_that_leaves_no_layer(self, build):
        with pytest.raises(SurrogateError, match="at least two steps"):
            build(self.family, "fixed", layers=1, timed_lift=True)

    def test_refuses_what_is_no_activation(self, build):
        with pytest.raises(SurrogateError, match="activation"):
            build(self.family, "fixed", activation="tanh")

    def test_description_tells_the_architecture(self, rule, build):
        text = repr(build(self.family, rule, timed_lift=True))
        for part in (self.family.__name__, "inputs=3", "width=4", "tanh", "timed_lift", "TimeGrid."):
            assert part in text
