"""The contract of a family that is a table of memory and gains, beyond that of every family."""

import pytest
import torch
from family_contract import FamilyContract
from module_contract import EXACT, LAYERS, inputs

from surrogates import SurrogateError, caputo
from surrogates.fields import FIELDS as KINDS
from surrogates.fields import Antisymmetric, Convolution, Dense


def dense(weight):
    return lambda y, k: y @ weight[k].T


def antisymmetric(damping):
    def applied(weight):
        return lambda y, k: y @ weight[k].T - y @ weight[k] - damping * y

    return applied


def convolution(channels, kernel):
    def applied(weight):
        def along(y, k):
            receivers = y.shape[-1] // channels
            split = y.reshape(len(y), channels, receivers)
            out = []
            for channel in range(channels):
                for place in range(receivers):
                    total = 0
                    for other in range(channels):
                        for tap in range(kernel):
                            reach = place + tap - kernel // 2
                            if 0 <= reach < receivers:
                                total = total + weight[k][channel, other, tap] * split[:, other, reach]
                    out.append(total)
            return torch.stack(out, -1)

        return along

    return applied


FIELDS = {
    "dense": (Dense(), dense),
    "antisymmetric": (Antisymmetric(), antisymmetric(0.0)),
    "damped": (Antisymmetric(damping=0.3), antisymmetric(0.3)),
    "convolution": (Convolution(channels=2), convolution(2, 3)),
    "wide convolution": (Convolution(channels=1, kernel=5), convolution(1, 5)),
}
"""Fields of layers, each with the map K_l y in plain words."""


class RecursiveContract(FamilyContract):
    """Beyond that, what holds for families d_l = c_l f_l(y_{l−1}) − Σ_{j<l} a_{l,j} d_j."""

    def loop(self, net, start, source=None):
        memory, gains = net.memory()
        linear = next(make for field, make in FIELDS.values() if field == net.field)(net.layer_weight)
        states, increments = [start], []
        for n in range(net.layers):
            z = linear(states[-1], n)
            bias = net.layer_bias[n].repeat_interleave(z.shape[-1] // net.layer_bias.shape[-1])
            d = gains[n] * net.activation(z + bias)
            for j in range(n):
                d = d - (0 if memory is None else memory[n, j]) * increments[j]
            increments.append(d if source is None else d + source[n])
            states.append(states[-1] + increments[-1])
        return states

    def layer_parameters(self, layers, width):
        return layers * width * (width + 1)

    def convex(self, net):
        """Return the weights w (L, L) of y_l = Σ_{k<l} w_{l,k} y_k + c_l f_l, and c, in plain words."""
        memory, gains = net.memory()
        layers = len(gains)
        w = torch.zeros(layers, layers)
        for row in range(layers):
            a = [0.0 if memory is None else memory[row, j].item() for j in range(row)] + [1.0]
            w[row, 0] = a[0]
            for k in range(1, row + 1):
                w[row, k] = a[k] - a[k - 1]
        return w, gains.detach()

    def test_memory_is_strictly_lower_triangular(self, rule, build, scatter):
        net = build(self.family, rule)
        scatter(net.time)
        memory, gains = net.memory()
        assert gains.shape == (LAYERS,)
        assert memory is None or (memory.shape == (LAYERS, LAYERS) and torch.equal(memory, memory.tril(-1)))

    def test_each_state_is_a_convex_combination_of_earlier_ones_and_its_field(self, rule, build, scatter):
        net, x = build(self.family, rule), inputs()
        scatter(net.time, size=1.5 if net.time.always_positive else 0.3)
        w, c = self.convex(net)
        memory, _ = net.memory()
        torch.testing.assert_close(w.sum(1), torch.ones(LAYERS), **EXACT)
        remembers = memory is not None
        assert (w.tril() > 0).sum() == (LAYERS * (LAYERS + 1) // 2 if remembers else LAYERS)
        assert (w >= 0).all()
        if remembers:
            torch.testing.assert_close(caputo.convex_weights(memory), w, **EXACT)
        y = net.states(x).detach()
        for n in range(LAYERS):
            f = net.activation(net.field.apply(y[n], net.layer_weights()[n], net.layer_bias[n])).detach()
            combined = torch.tensordot(w[n, : n + 1], y[: n + 1], dims=1) + c[n] * f
            torch.testing.assert_close(y[n + 1], combined, **EXACT)
            bound = y[: n + 1].abs().amax(0) + c[n].abs() * f.abs()
            assert (y[n + 1].abs() <= bound * (1 + 1e-12)).all()

    @pytest.mark.parametrize("field", FIELDS)
    def test_every_field_is_the_one_asked_for(self, field, build, scatter):
        net, x = scatter(build(self.family, "positive", field=FIELDS[field][0])), inputs()
        expected = torch.stack(self.loop(net, net.lift(x)))
        torch.testing.assert_close(net.states(x), expected, **EXACT)
        found = torch.autograd.grad(net(x).square().sum(), tuple(net.parameters()))
        loop = torch.autograd.grad(net.readout(expected[-1]).square().sum(), tuple(net.parameters()))
        for value, reference in zip(found, loop, strict=True):
            torch.testing.assert_close(value, reference, **EXACT)

    @pytest.mark.parametrize("segment", [1, 2, 3, LAYERS, 9])
    def test_segments_change_neither_result_nor_gradient(self, segment, rule, build, scatter):
        net, twin = (scatter(build(self.family, rule, segment=size)) for size in (segment, None))
        x = inputs()
        for one in (net, twin):
            one(x).square().sum().backward()
        torch.testing.assert_close(net(x), twin(x), **EXACT)
        for value, reference in zip(net.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(value.grad, reference.grad, **EXACT)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"field": "dense"}, "layer field"),
            ({"field": Convolution(channels=3)}, "multiple"),
            ({"segment": 0}, "segment"),
            ({"segment": 2.0}, "segment"),
        ],
        ids=["no field", "channels", "no segment", "half a segment"],
    )
    def test_refuses_wrong_options(self, options, message, build):
        with pytest.raises(SurrogateError, match=message):
            build(self.family, "fixed", **options)

    def test_no_field_is_missing_from_the_list(self):
        assert {type(field) for field, _ in FIELDS.values()} == set(KINDS)
