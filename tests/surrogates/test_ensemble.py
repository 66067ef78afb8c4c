"""Many nets as one: member by member the ensemble is the single nets, in value, derivative and what is left."""

import copy

import pytest
import torch

from surrogates import RULES, Fractional, Order, ResNet, SurrogateError, TimeGrid, ensemble
from surrogates.fields import Antisymmetric, Convolution

MIXED = ["simplex", "fixed", "free", "simplex-horizon", "fixed", "positive", "simplex"]
"""Rules in an order in which members of one rule are not neighbours."""


def inputs(*shape, seed=2):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def several(build, scatter):
    """several(family, rules, ...) -> nets of other seeds, horizons and steps."""

    def several(family, rules, **options):
        rules = [rule for rule in rules if rule != "free" or not family.positive_steps_only]
        found = []
        for seed, rule in enumerate(rules):
            net = build(family, rule, seed=seed, horizon=1 + seed / 4, **options)
            scatter(net.time, seed, 0.1)
            found.append(net)
        return found

    return several


class TestEveryFamily:
    """The contract of an ensemble, for every family on every mixture of rules."""

    @pytest.fixture(params=[*RULES, "mixed"])
    def nets(self, request, family, several):
        if request.param == "free" and family.positive_steps_only:
            return several(family, ["fixed", "positive"])
        return several(family, MIXED if request.param == "mixed" else [request.param] * 3)

    def test_results_and_states_are_those_of_the_members(self, nets):
        net, x = ensemble.stack(nets), inputs(len(nets), 6, 3)
        expected = torch.stack([single(part) for single, part in zip(nets, x, strict=True)])
        torch.testing.assert_close(net(x), expected, rtol=1e-13, atol=1e-14)
        states = torch.stack([single.states(part) for single, part in zip(nets, x, strict=True)], 1)
        torch.testing.assert_close(net.states(x), states, rtol=1e-13, atol=1e-14)
        with torch.no_grad():
            torch.testing.assert_close(net(x), expected, rtol=1e-13, atol=1e-14)

    def test_sources_reach_their_members(self, nets):
        net, x = ensemble.stack(nets), inputs(len(nets), 6, 3)
        source = inputs(net.layers, len(nets), 6, net.state_width, seed=4)
        found = net.integrate(net.lift(x), source)
        for member, single in enumerate(nets):
            expected = single.integrate(single.lift(x[member]), source[:, member])
            torch.testing.assert_close(found[:, member], expected, rtol=1e-13, atol=1e-13)

    def test_one_input_is_given_to_all(self, nets):
        net, x = ensemble.stack(nets), inputs(6, 3)
        expected = torch.stack([single(x) for single in nets])
        torch.testing.assert_close(net(x), expected, rtol=1e-13, atol=1e-14)

    def test_derivatives_are_those_of_the_members(self, nets):
        net, x = ensemble.stack(nets), inputs(len(nets), 6, 3).requires_grad_()
        net(x).square().sum().backward()
        seen = 0
        for member, single in enumerate(nets):
            part = x.detach()[member].requires_grad_()
            single(part).square().sum().backward()
            torch.testing.assert_close(x.grad[member], part.grad, rtol=1e-11, atol=1e-13)
        for name, parameter, members in ensemble.holders(net):
            for place, member in enumerate(members or range(len(nets))):
                grids = name.startswith("time.groups")
                expected = nets[member].get_parameter("time." + name.split(".")[-1] if grids else name).grad
                torch.testing.assert_close(parameter.grad[place], expected, rtol=1e-11, atol=1e-13)
                seen += 1
        assert seen == sum(len(list(single.parameters())) for single in nets)

    def test_members_come_back_bit_by_bit_on_their_own_rules(self, nets):
        x = inputs(6, 3)
        for single, again in zip(nets, ensemble.unstack(ensemble.stack(nets)), strict=True):
            assert type(again) is type(single)
            assert repr(again) == repr(single)
            assert again.members is None
            assert again.state_dict().keys() == single.state_dict().keys()
            assert all(
                torch.equal(value, again.state_dict()[name]) for name, value in single.state_dict().items()
            )
            assert torch.equal(again(x), single(x))

    def test_copies_share_nothing(self, nets, scatter):
        before = copy.deepcopy([single.state_dict() for single in nets])
        net = ensemble.stack(nets)
        apart = ensemble.unstack(net)
        for part in (net, *apart[1:]):
            scatter(part)
        for single, values in zip([*nets, apart[0]], [*before, before[0]], strict=True):
            assert all(torch.equal(value, values[name]) for name, value in single.state_dict().items())

    def test_assigned_values_are_those_of_the_members(self, nets, scatter):
        net, x = ensemble.stack(nets), inputs(6, 3)
        scatter(net, size=0.05)
        ensemble.assign(net, nets)
        torch.testing.assert_close(torch.stack([n(x) for n in nets]), net(x), rtol=1e-13, atol=1e-14)

    def test_state_of_a_member_is_a_view(self, nets):
        net = ensemble.stack(nets)
        for member, single in enumerate(nets):
            views = ensemble.state(net, member)
            assert list(views) == list(single.state_dict())
            views["lift_bias"].fill_(member)
        assert net.lift_bias[:, 0].tolist() == list(range(len(nets)))

    def test_dtype_and_device_follow(self, nets):
        net = ensemble.stack(nets).to(torch.float32)
        assert net(inputs(6, 3).float()).dtype == torch.float32
        assert net.to("meta")(inputs(6, 3).float().to("meta")).device.type == "meta"


class TestGrids:
    """The grids of an ensemble are one time grid."""

    def test_each_rule_is_evaluated_once(self, several, monkeypatch):
        net, calls = ensemble.stack(several(ResNet, MIXED)), []
        for part in net.time.groups:
            part.register_forward_hook(lambda *_: calls.append(1))
        net.time()
        assert len(calls) == len(set(MIXED)) < len(MIXED)

    def test_steps_times_and_horizon_of_all(self, several):
        nets = several(ResNet, MIXED)
        grid = ensemble.stack(nets).time
        assert isinstance(grid, TimeGrid)
        assert (grid().shape, grid.times.shape, grid.layers) == ((7, 5), (7, 6), 5)
        torch.testing.assert_close(grid.horizon, torch.stack([net.time.horizon for net in nets]))

    @pytest.mark.parametrize(
        ("rules", "positive", "learned"),
        [(["fixed", "free"], False, True), (["fixed", "simplex"], True, True), (["fixed"] * 2, True, False)],
    )
    def test_what_holds_for_all(self, several, rules, positive, learned):
        grid = ensemble.stack(several(ResNet, rules)).time
        assert (grid.always_positive, grid.learned) == (positive, learned)

    def test_a_frozen_grid_stays_frozen_beside_a_learned_one(self, several):
        nets = several(ResNet, ["positive", "positive"])
        nets[0].time.requires_grad_(False)
        net = ensemble.stack(nets)
        assert [len(list(filter(lambda p: p.requires_grad, n.time.parameters()))) for n in (*nets, net)] == [
            0,
            1,
            1,
        ]
        assert [n.time.learned for n in ensemble.unstack(net)] == [False, True]

    def test_repr_tells_each_member(self, several):
        text = repr(ensemble.stack(several(ResNet, ["positive", "fixed"])))
        assert "members=2" in text
        assert "1: TimeGrid.positive(layers=5, horizon=1" in text
        assert "2: TimeGrid.fixed(layers=5, horizon=1.25" in text

    def test_orders_fixed_and_learned(self, build, scatter):
        orders = [Order.learned(0.3), Order.fixed(0.7), Order.learned(0.5)]
        nets = [build(Fractional, "positive", seed=i, order=order) for i, order in enumerate(orders)]
        for order in orders:
            scatter(order)
        net, x = ensemble.stack(nets), inputs(3, 6, 3)
        assert net.order().tolist() == [order().item() for order in orders]
        assert net.order.learned
        expected = torch.stack([single(part) for single, part in zip(nets, x, strict=True)])
        torch.testing.assert_close(net(x), expected, rtol=1e-13, atol=1e-14)
        net(x).square().sum().backward()
        nets[2](x[2]).square().sum().backward()
        torch.testing.assert_close(
            net.order.groups[0].logit.grad[1], orders[2].logit.grad, rtol=1e-11, atol=0
        )

    @pytest.mark.parametrize(
        "options",
        [
            {"field": Antisymmetric(0.1)},
            {"field": Convolution(2, 3)},
            {"timed_lift": True},
            {"segment": 2},
            {"activation": torch.sin},
            {"exponentials": 1e-4},
        ],
        ids=lambda options: next(iter(options)),
    )
    def test_options_of_the_families(self, several, options):
        nets = several(Fractional, MIXED, **options)
        net, x = ensemble.stack(nets), inputs(len(nets), 6, 3)
        expected = torch.stack([single(part) for single, part in zip(nets, x, strict=True)])
        torch.testing.assert_close(net(x), expected, rtol=1e-13, atol=1e-14)

    def test_exponentials_of_members_with_very_different_steps(self, build):
        """One short step in one member must not give the others more nodes, or other ones."""
        short = torch.ones(70)
        short[32] = 1e-7
        grids = [TimeGrid.simplex(70), TimeGrid.fixed(steps=short), TimeGrid.positive(70, horizon=3.0)]
        orders = [Order.learned(0.3), Order.learned(0.6), Order.fixed(0.8)]
        nets = [
            build(Fractional, time, seed=seed, order=order, exponentials=1e-3)
            for seed, (time, order) in enumerate(zip(grids, orders, strict=True))
        ]
        net, x = ensemble.stack(nets), inputs(3, 6, 3)
        expected = torch.stack([single(part) for single, part in zip(nets, x, strict=True)])
        torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-13)
        net(x).square().sum().backward()
        expected.square().sum().backward()
        found = net.order.groups[net.order.of(0)[0]].logit.grad
        torch.testing.assert_close(
            found, torch.stack([order.logit.grad for order in orders[:2]]), rtol=1e-10, atol=0
        )


class TestDoor:
    """What cannot be one ensemble is refused in a sentence that says why."""

    @pytest.mark.parametrize(
        ("kind", "options", "named"),
        [
            (Fractional, {}, "class .Fractional instead of ResNet"),
            (ResNet, {"width": 5}, "width .5 instead of 4"),
            (ResNet, {"layers": 6}, "layers .6 instead of 5"),
            (ResNet, {"activation": torch.relu}, "activation .ReLU.* instead of Tanh"),
            (ResNet, {"field": Antisymmetric()}, "field .Antisymmetric.* instead of Dense"),
            (ResNet, {"timed_lift": True}, "timed_lift .True instead of False"),
        ],
    )
    def test_another_architecture(self, build, kind, options, named):
        with pytest.raises(SurrogateError, match=rf"net 2 of 2 differs from the first in {named}"):
            ensemble.stack([build(ResNet, "positive"), build(kind, "positive", **options)])

    @pytest.mark.parametrize("order", [0.7, Order.fixed(0.5)], ids=["another number", "an object"])
    def test_an_order_given_as_a_number_must_agree(self, build, order):
        with pytest.raises(SurrogateError, match="order"):
            ensemble.stack([build(Fractional, "fixed", order=0.5), build(Fractional, "fixed", order=order)])

    def test_another_dtype_and_frozen_weights(self, build):
        nets = [build(ResNet, "fixed"), build(ResNet, "fixed").float()]
        with pytest.raises(SurrogateError, match=r"lift_weight\.dtype .torch\.float32 instead of"):
            ensemble.stack(nets)
        nets = [build(ResNet, "fixed"), build(ResNet, "fixed").requires_grad_(False)]
        with pytest.raises(SurrogateError, match=r"lift_weight\.requires_grad .False instead of True"):
            ensemble.stack(nets)

    def test_shared_steps(self, build):
        grid = TimeGrid.positive(5)
        with pytest.raises(SurrogateError, match=r"net 1 and net 2 of an ensemble share time\.logits"):
            ensemble.stack([build(ResNet, grid), build(ResNet, grid, seed=1)])

    def test_no_net_no_layered_net_and_an_ensemble(self, build):
        net = ensemble.stack([build(ResNet, "fixed")])
        for nets in ([], [torch.nn.Linear(2, 2)], [net]):
            with pytest.raises(SurrogateError, match="list of single layered nets"):
                ensemble.stack(nets)

    def test_a_single_net_is_no_ensemble(self, build):
        for use in (
            ensemble.unstack,
            lambda net: ensemble.state(net, 0),
            lambda net: ensemble.assign(net, []),
        ):
            with pytest.raises(SurrogateError, match="needs an ensemble"):
                use(build(ResNet, "fixed"))

    def test_values_are_assigned_to_as_many_nets_of_the_same_rules(self, several):
        nets = several(ResNet, ["fixed", "positive"])
        net = ensemble.stack(nets)
        with pytest.raises(SurrogateError, match="ensemble of 2 was to be assigned to 1"):
            ensemble.assign(net, nets[:1])
        with pytest.raises(SurrogateError, match="net 1 of 2 is not of the architecture"):
            ensemble.assign(net, nets[::-1])

    @pytest.mark.parametrize("shape", [(2, 6, 4), (3, 6, 3), (3,), (1, 2, 6, 3)])
    def test_inputs_of_another_shape(self, several, shape):
        with pytest.raises(SurrogateError, match=r"\(2, batch, 3\)"):
            ensemble.stack(several(ResNet, ["fixed", "free"]))(inputs(*shape))
