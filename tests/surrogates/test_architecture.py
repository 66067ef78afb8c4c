"""What a net is made of, as plain values: every net that this package can build comes back."""

import json

import pytest
import small_models
import torch
from small_models import NETS
from small_training import same
from torch import nn

from surrogates import (
    FeedForward,
    Fractional,
    Order,
    ResNet,
    SurrogateError,
    TimeGrid,
    activations,
    architecture,
    fields,
)

X = torch.randn(7, small_models.FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def returned(net):
    """The net as a file would bring it back: description through JSON, then weights."""
    again = architecture.build(json.loads(json.dumps(architecture.describe(net))))
    again.load_state_dict(net.state_dict(), assign=True)
    return again


@pytest.mark.parametrize("name", NETS)
class TestEveryNet:
    """Families on all rules, and baselines."""

    def test_comes_back_as_the_same_function(self, name):
        net = small_models.net(name)
        again = returned(net)
        assert type(again) is type(net)
        assert torch.equal(again(X), net(X))
        assert repr(again) == repr(net)

    def test_comes_back_in_its_precision_whatever_the_default_is(self, name):
        net = small_models.net(name).to(torch.float32)
        again = returned(net)
        assert {value.dtype for value in again.parameters()} == {torch.float32}
        assert torch.equal(again(X.float()), net(X.float()))

    def test_what_was_frozen_stays_frozen_and_the_rest_trains(self, name):
        net = small_models.net(name)
        first = next(net.parameters())
        first.requires_grad_(False)
        again = returned(net)
        assert [p.requires_grad for p in again.parameters()] == [p.requires_grad for p in net.parameters()]

    def test_building_takes_no_number_from_the_global_generator(self, name):
        description = architecture.describe(small_models.net(name))
        before = torch.get_rng_state()
        architecture.build(description)
        assert torch.equal(torch.get_rng_state(), before)

    def test_architectures_differ_when_a_width_does(self, name):
        description = architecture.describe(small_models.net(name))
        wider = {**description, "arguments": {**description["arguments"], "width": 10}}
        assert architecture.describe(architecture.build(wider)) == wider != description


class TestArguments:
    """Beyond sizes: steps, order, activation."""

    def test_given_steps_and_the_order(self):
        grid = TimeGrid.fixed(steps=[0.1, 0.7, 0.2])
        net = Fractional(small_models.FEATURES, 2, 4, grid, order=0.3)
        again = returned(net)
        assert again.time().tolist() == grid().tolist()
        assert torch.equal(again(X), net(X))

    @pytest.mark.parametrize(
        "options",
        [
            {"order": Order.learned(0.4)},
            {"order": Order.fixed(0.3)},
            {"activation": activations.SmoothedReLU(0.2)},
            {"activation": nn.functional.gelu},
            {"field": fields.Antisymmetric(damping=0.1)},
            {"field": fields.Convolution(channels=2, kernel=5)},
            {"timed_lift": True},
            {"segment": 2},
            {"exponentials": 1e-6},
        ],
        ids=["learned order", "order", "smoothed", "gelu", "skew", "convolution", "lift", "segment", "sums"],
    )
    def test_options_of_a_family(self, options):
        net = Fractional(small_models.FEATURES, 2, 4, TimeGrid.simplex(6), **options)
        with torch.no_grad():
            for value in net.parameters():
                value += 0.01
        again = returned(net)
        assert repr(again) == repr(net)
        assert torch.equal(again(X), net(X))

    @pytest.mark.parametrize("name", architecture.FUNCTIONS)
    def test_functions_of_torch(self, name):
        net = FeedForward(small_models.FEATURES, 2, 4, 1, activation=architecture.FUNCTIONS[name])
        again = returned(net)
        assert again.activation is net.activation
        assert torch.equal(again(X), net(X))

    def test_functions_that_torch_has_twice(self):
        net = FeedForward(small_models.FEATURES, 2, 4, 1, activation=nn.functional.relu)
        assert returned(net).activation is torch.relu

    @pytest.mark.parametrize("kind", [ResNet, Fractional])
    def test_an_activation_of_ones_own_is_refused_by_name(self, kind):
        def bump(z):
            return torch.exp(-z * z)

        net = kind(3, 2, 4, TimeGrid.fixed(2), activation=bump)
        with pytest.raises(SurrogateError, match=r"bump.*without code.*tanh"):
            architecture.describe(net)


class TestRefusals:
    """What cannot be described, or not be built, is told in one sentence."""

    def test_a_net_of_ones_own(self):
        class Mine(ResNet):
            pass

        with pytest.raises(SurrogateError, match=r"Mine cannot be stored without code.*ResNet.*Recurrent"):
            architecture.describe(Mine(3, 2, 4, TimeGrid.fixed(2)))
        with pytest.raises(SurrogateError, match="Linear cannot be stored"):
            architecture.describe(nn.Linear(3, 2))

    def test_a_time_grid_of_ones_own(self):
        class Golden(type(TimeGrid.fixed(2))):
            pass

        with pytest.raises(SurrogateError, match=r"Golden.*simplex"):
            architecture.describe(ResNet(3, 2, 4, Golden(2, 1.0, None)))

    @pytest.mark.parametrize(
        "change",
        [
            {"class": "Transformer"},
            {"class": None},
            {"arguments": {"inputs": 3}},
            {"arguments": {"inputs": 3, "outputs": 2, "width": 4, "time": {"time grid": "golden"}}},
            {"arguments": {"inputs": 3, "outputs": 2, "width": 4, "time": {"object": "time_grid.torch"}}},
            {"arguments": {"inputs": 3, "outputs": 2, "width": 4, "time": {"object": "os.system"}}},
            {"arguments": {"inputs": 3, "outputs": 2, "width": 4, "time": 5}},
            {"frozen": ["nothing"]},
        ],
    )
    def test_a_description_from_elsewhere(self, change):
        description = architecture.describe(ResNet(3, 2, 4, TimeGrid.fixed(2)))
        with pytest.raises(SurrogateError, match="not known here") as caught:
            architecture.build({**description, **change})
        assert "\n" not in str(caught.value)

    def test_an_object_of_another_package_is_not_even_imported(self):
        description = architecture.describe(FeedForward(3, 2, 4, 1))
        for path in ("os.system", "nets.base.nn", "nets.base.LayeredNet", "time_grid.partial"):
            changed = {**description["arguments"], "activation": {"object": path, "arguments": {}}}
            with pytest.raises(SurrogateError, match="not known here"):
                architecture.build({**description, "arguments": changed})


def test_equal_weights_need_equal_architectures():
    """The description tells apart what state_dicts cannot: the order and the activation."""
    grid = TimeGrid.fixed(3)
    seeds = [torch.Generator().manual_seed(0) for _ in range(3)]
    nets = [
        Fractional(3, 2, 4, grid, order=0.5, generator=seeds[0]),
        Fractional(3, 2, 4, grid, order=0.6, generator=seeds[1]),
        Fractional(3, 2, 4, grid, order=0.5, activation=torch.relu, generator=seeds[2]),
    ]
    assert same(nets[0].state_dict(), nets[1].state_dict())
    descriptions = [json.dumps(architecture.describe(net)) for net in nets]
    assert len(set(descriptions)) == 3
