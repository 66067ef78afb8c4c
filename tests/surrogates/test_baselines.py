import copy
from dataclasses import replace

import pytest
import torch
from small_training import SETTINGS, TRAIN, VALID, data, same
from torch import nn

from surrogates import ResNet, SurrogateError, TimeGrid
from surrogates.baselines import BASELINES, Baseline, Blocks, Convolutional, FeedForward, Recurrent
from surrogates.losses import mse
from surrogates.training import fit

SIZES = {
    FeedForward: {"inputs": 3, "outputs": 2, "width": 8, "layers": 2},
    Blocks: {"inputs": 3, "outputs": 2, "width": 8, "layers": 2},
    Convolutional: {"channels": 1, "receivers": 3, "outputs": 2, "width": 8, "layers": 2},
    Recurrent: {"steps": 3, "features": 1, "outputs": 2, "width": 8, "layers": 2},
}


def build(baseline, seed=0, **changes):
    return baseline(**{**SIZES[baseline], **changes}, generator=torch.Generator().manual_seed(seed))


def inputs(batch=6, features=3, seed=2):
    return torch.randn(batch, features, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda baseline: baseline.__name__)
class TestEveryBaseline:
    """The contract of a baseline: a new one joins BASELINES and inherits all of this."""

    def test_shapes_and_sizes(self, baseline):
        net = build(baseline)
        assert (net.inputs, net.outputs) == (3, 2)
        assert net(inputs()).shape == (6, 2)

    def test_trains(self, baseline):
        net = build(baseline)
        before = mse(net(VALID[0]), VALID[1]).item()
        result = fit(net, data(200, 5), VALID, replace(SETTINGS, epochs=20, batch=20))
        assert result.best_loss < 0.6 * before
        assert result.trace.steps == []

    def test_a_checkpoint_continues_it_and_refuses_another(self, baseline, tmp_path):
        net = build(baseline)
        first = fit(net, TRAIN, VALID, SETTINGS, checkpoint=tmp_path / "run.pt")
        twin = build(baseline, seed=5)
        assert fit(twin, TRAIN, VALID, SETTINGS, checkpoint=tmp_path / "run.pt") == first
        assert same(twin.state_dict(), net.state_dict())
        with pytest.raises(SurrogateError, match="another net"):
            fit(build(baseline, width=9), TRAIN, VALID, SETTINGS, checkpoint=tmp_path / "run.pt")

    def test_equal_seeds_give_identical_weights_and_leave_the_global_generator_alone(self, baseline):
        before = torch.get_rng_state()
        first, second, other = build(baseline), build(baseline), build(baseline, seed=1)
        assert torch.equal(torch.get_rng_state(), before)
        assert same(first.state_dict(), second.state_dict())
        assert not any(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))

    def test_draws_from_the_global_generator_when_none_is_given(self, baseline):
        first, second = (baseline(**SIZES[baseline]) for _ in range(2))
        assert not torch.equal(first.readout.weight, second.readout.weight)

    def test_every_parameter_receives_a_gradient(self, baseline):
        net = build(baseline)
        net(inputs()).square().sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad.abs().max() > 0, name

    def test_samples_do_not_see_each_other(self, baseline):
        net, x = build(baseline), inputs()
        torch.testing.assert_close(net(x)[2:3], net(x[2:3]), rtol=1e-12, atol=1e-14)

    def test_dtype_and_device_follow_the_parameters(self, baseline):
        net = build(baseline).to(torch.float32)
        assert net(inputs().float()).dtype == torch.float32
        assert build(baseline).to("meta")(inputs().to("meta")).device.type == "meta"

    def test_copies_are_independent(self, baseline):
        net, x = build(baseline), inputs()
        before = net(x)
        with torch.no_grad():
            for parameter in copy.deepcopy(net).parameters():
                parameter += 1
        assert torch.equal(net(x), before)

    @pytest.mark.parametrize(
        ("x", "message"),
        [
            (torch.zeros(6, 4, dtype=torch.float64), r"\(batch, 3\).*\(6, 4\)"),
            (torch.zeros(3, dtype=torch.float64), r"\(batch, 3\).*\(3,\)"),
            (torch.zeros(6, 3, dtype=torch.float32), "float64.*float32"),
            (torch.zeros(6, 3, dtype=torch.float64, device="meta"), "cpu.*meta"),
            ([[1.0, 2.0, 3.0]], r"a tensor.*\(batch, 3\).*given list.*as_tensor"),
        ],
        ids=["columns", "axes", "dtype", "device", "list"],
    )
    def test_refuses_inputs_of_wrong_kind_shape_dtype_or_device(self, baseline, x, message):
        with pytest.raises(SurrogateError, match=f"{baseline.__name__}.*{message}"):
            build(baseline)(x)

    @pytest.mark.parametrize("value", [0, -1, 2.0, True, None])
    def test_refuses_a_wrong_size(self, baseline, value):
        for name in SIZES[baseline]:
            with pytest.raises(SurrogateError, match=f"{baseline.__name__} .*{name}={value}"):
                build(baseline, **{name: value})

    def test_description_tells_every_size(self, baseline):
        text = build(baseline).extra_repr()
        for name, value in SIZES[baseline].items():
            assert f"{name}={value}" in text


class TestLaws:
    """What each baseline computes, against torch's functions and by hand."""

    def test_feed_forward_is_the_chain_of_its_layers(self):
        net, x = build(FeedForward, layers=1, activation=torch.sin), inputs()
        first, second = net.hidden
        y = torch.sin(torch.sin(x @ first.weight.T + first.bias) @ second.weight.T + second.bias)
        expected = y @ net.readout.weight.T + net.readout.bias
        torch.testing.assert_close(net(x), expected, rtol=1e-13, atol=1e-14)

    def test_feed_forward_has_as_many_parameters_as_the_residual_net(self):
        residual = ResNet(3, 2, 8, TimeGrid.fixed(layers=2))
        count = sum(p.numel() for p in build(FeedForward).parameters())
        assert count == sum(p.numel() for p in residual.parameters())

    @pytest.mark.parametrize("kernel", [1, 3, 5])
    def test_convolution_is_the_sum_over_neighbours_that_exist(self, kernel):
        net = build(Convolutional, channels=2, receivers=4, layers=1, kernel=kernel, activation=torch.sin)
        x, half = inputs(features=8), kernel // 2
        weight, bias = net.hidden[0].weight, net.hidden[0].bias
        seen = x.reshape(6, 2, 4)  # channel-major
        y = bias[None, :, None].repeat(6, 1, 4)
        for r in range(4):
            for k in range(kernel):
                if 0 <= r + k - half < 4:
                    y[:, :, r] = y[:, :, r] + seen[:, :, r + k - half] @ weight[:, :, k].T
        expected = torch.sin(y).reshape(6, -1) @ net.readout.weight.T + net.readout.bias
        torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-13)

    def test_convolution_refuses_an_even_kernel(self):
        with pytest.raises(SurrogateError, match=r"odd kernel.*kernel=4.*3 or 5"):
            build(Convolutional, kernel=4)

    def test_recurrent_net_is_the_gated_recursion(self):
        net, x = build(Recurrent, steps=4, features=2, layers=1), inputs(features=8)
        w, u, b, v = (
            getattr(net.units, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        h = torch.zeros(6, 8)
        for step in range(4):
            entering = (x[:, 2 * step : 2 * step + 2] @ w.T + b).chunk(3, 1)  # step-major
            kept = (h @ u.T + v).chunk(3, 1)
            reset, update = (torch.sigmoid(entering[k] + kept[k]) for k in range(2))
            h = (1 - update) * torch.tanh(entering[2] + reset * kept[2]) + update * h
        expected = h @ net.readout.weight.T + net.readout.bias
        torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-13)

    def test_weights_have_the_spread_of_torchs_own(self):
        """Uniform in ±1/√columns; the largest of many draws comes close to the bound."""
        for made, reference in (
            (build(FeedForward, inputs=200, width=200).hidden[0], nn.Linear(200, 200)),
            (build(Convolutional, channels=40, width=40).hidden[0], nn.Conv1d(40, 40, 3)),
            (build(Recurrent, features=40, width=100).units, nn.GRU(40, 100)),
        ):
            for (name, ours), theirs in zip(made.named_parameters(), reference.parameters(), strict=False):
                if ours.ndim > 1:
                    assert ours.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.02), name

    def test_no_baseline_is_missing_from_the_list(self):
        assert set(Baseline.__subclasses__()) == set(BASELINES) == set(SIZES)
