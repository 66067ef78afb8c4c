"""Products, Jacobians and singular values of ∂y_L/∂y_l over all families and rules."""

import numpy as np
import pytest
import torch

from surrogates import ConcatenatingDenseNet, Fractional, ResNet, SurrogateError, analysis
from surrogates.activations import Sine
from surrogates.analysis import AccuracyError, Exact, Lanczos
from surrogates.fields import Antisymmetric, Convolution


def draw(*shape, seed=3):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs(batch=3):
    return draw(batch, 3, seed=2)


def born(net, layer):
    """Entries of y_l."""
    return net.width + layer * net.growth if isinstance(net, ConcatenatingDenseNet) else net.width


def by_differences(net, x, layer, h=1e-6):
    """∂y_L/∂y_l by central differences in a start or a source: (n, state_width, columns)."""
    start, columns = net.lift(x).detach(), []
    for entry in range(born(net, layer)):
        ends = []
        for shift in (h, -h):
            moved, source = start.clone(), torch.zeros(net.layers, len(x), net.state_width)
            (moved if layer == 0 else source[layer - 1])[:, entry] += shift
            ends.append(net.integrate(moved, source)[-1].detach())
        columns.append((ends[0] - ends[1]) / (2 * h))
    return torch.stack(columns, -1)


class TestEveryFamilyOnEveryRule:
    """A Jacobian is that of the net: with its memory, and as wide as the state is by then."""

    @pytest.mark.parametrize("layer", [0, 2, 4, 5])
    def test_products_are_dual(self, family, rule, build, scatter, layer):
        net = scatter(build(family, rule))
        jvp, vjp = analysis.products(net, inputs(), layer)
        v, p = draw(3, born(net, layer)), draw(3, net.state_width, seed=4)
        forth, back = (jvp(v) * p).sum(-1), (v * vjp(p)).sum(-1)
        torch.testing.assert_close(forth, back, rtol=1e-12, atol=1e-13)

    def test_input_products_are_dual_and_those_of_the_net(self, family, rule, build, scatter):
        net, x = scatter(build(family, rule, timed_lift=True)), inputs()
        jvp, vjp = analysis.input_products(net, x)
        v, p = draw(3, 3), draw(3, 2, seed=4)
        torch.testing.assert_close((jvp(v) * p).sum(-1), (v * vjp(p)).sum(-1), rtol=1e-12, atol=1e-13)
        x.requires_grad_()
        expected = torch.autograd.grad((net(x) * p).sum(), x)[0]
        torch.testing.assert_close(vjp(p), expected, rtol=1e-12, atol=1e-13)

    @pytest.mark.parametrize("layer", [0, 3])
    def test_matrix_and_singular_values_are_those_of_differences(self, family, rule, build, scatter, layer):
        net, x = scatter(build(family, rule)), inputs()
        expected = by_differences(net, x, layer)
        torch.testing.assert_close(analysis.jacobian(net, x, layer), expected, rtol=0, atol=1e-8)
        values = np.linalg.svd(expected.numpy(), compute_uv=False)
        for method in (Exact(), Lanczos()):
            found = analysis.extreme_singular_values(net, x, layer, method)
            np.testing.assert_allclose(found.largest, values[:, 0], rtol=1e-7)
            np.testing.assert_allclose(found.smallest, values[:, -1], rtol=0, atol=1e-7)
            assert found.method == method

    def test_one_sweep_gives_the_jacobians_of_all_layers(self, family, rule, build, scatter):
        net, x = scatter(build(family, rule)), inputs()
        found = analysis.layer_jacobians(net, x)
        assert len(found) == 6
        for layer, part in enumerate(found):
            torch.testing.assert_close(part, analysis.jacobian(net, x, layer), rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(found[-1], torch.eye(net.state_width).expand(3, -1, -1))


class TestProducts:
    """What does not depend on the family."""

    @pytest.mark.parametrize("kind", [ResNet, Fractional], ids=lambda kind: kind.__name__)
    @pytest.mark.parametrize("field", [Antisymmetric(0.1), Convolution(2)], ids=lambda field: field.name)
    def test_other_fields_and_activations(self, kind, field, build, scatter):
        net, x = scatter(build(kind, "positive", field=field, activation=Sine())), inputs()
        expected = by_differences(net, x, 1)
        torch.testing.assert_close(analysis.jacobian(net, x, 1), expected, rtol=0, atol=1e-8)
        v, p = draw(3, 4), draw(3, 4, seed=4)
        jvp, vjp = analysis.products(net, x, 1)
        torch.testing.assert_close((jvp(v) * p).sum(), (v * vjp(p)).sum(), rtol=1e-12, atol=0)

    def test_many_directions_at_once(self, family, build):
        jvp, vjp = analysis.products(build(family, "fixed"), inputs())
        v = draw(2, 5, 3, 4)
        p = jvp(v)
        torch.testing.assert_close(p[1, 2], jvp(v[1, 2]), rtol=1e-13, atol=1e-14)
        torch.testing.assert_close(vjp(p)[1, 2], vjp(p[1, 2]), rtol=1e-13, atol=1e-14)

    def test_have_no_graph_and_keep_the_weights_of_their_making(self, family, build, scatter):
        net, v = build(family, "positive"), draw(3, 3)
        jvp, _ = analysis.input_products(net, inputs())
        before = jvp(v)
        scatter(net)
        assert not before.requires_grad
        assert torch.equal(jvp(v), before)

    @pytest.mark.parametrize("layer", [-1, 6, 1.0, True, None])
    def test_refuse_a_layer_that_is_none(self, family, build, layer):
        with pytest.raises(SurrogateError, match=r"y_0 … y_5.*from 0 to 5"):
            analysis.products(build(family, "fixed"), inputs(), layer)

    def test_refuse_an_ensemble(self, family, build):
        net = build(family, "fixed")
        net.members = 2
        with pytest.raises(SurrogateError, match="ensemble of 2"):
            analysis.jacobian(net, inputs())


def maps(matrices):
    return (
        lambda v: torch.einsum("nrc,...nc->...nr", matrices, v),
        lambda p: torch.einsum("nrc,...nr->...nc", matrices, p),
        matrices.new_zeros(len(matrices), matrices.shape[-1]),
        matrices.shape[-2],
    )


class TestLanczos:
    """Against the singular value decomposition of matrices that are hard in one way or another."""

    @pytest.mark.parametrize("shape", [(30, 30), (50, 30), (30, 50), (7, 1), (1, 7), (1, 1)])
    def test_any_shape_to_the_tolerance(self, shape):
        matrices = draw(4, *shape)
        found = Lanczos(1e-10).find(*maps(matrices))
        values = torch.linalg.svdvals(matrices)
        torch.testing.assert_close(found.largest, values[:, 0], rtol=1e-10, atol=0)
        torch.testing.assert_close(found.smallest, values[:, -1], rtol=0, atol=1e-9)
        assert found.residuals.max() <= 1e-10

    @pytest.mark.parametrize(
        "diagonal",
        [
            torch.ones(20),
            torch.tensor([2.0] * 10 + [1.0] * 10),
            torch.cat((torch.ones(19), torch.zeros(1))),
            10.0 ** -torch.arange(20.0),
            torch.zeros(20),
        ],
        ids=["identity", "two-values", "singular", "ill-conditioned", "zero"],
    )
    def test_multiple_and_vanishing_values(self, diagonal):
        diagonal = diagonal.double()  # made before the tests' precision is set
        turn = torch.linalg.qr(draw(2, 20, 20)).Q
        found = Lanczos(1e-12).find(*maps(turn @ torch.diag(diagonal) @ turn.mT))
        torch.testing.assert_close(found.largest, diagonal.max().expand(2), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(found.smallest, diagonal.min().expand(2), rtol=0, atol=1e-13)

    def test_samples_of_different_difficulty_go_side_by_side(self):
        matrices = torch.stack((torch.eye(25), draw(25, 25), torch.zeros(25, 25)))
        found = Lanczos().find(*maps(matrices))
        torch.testing.assert_close(found.largest, torch.linalg.svdvals(matrices)[:, 0], rtol=1e-9, atol=1e-14)
        assert found.smallest[0] == pytest.approx(1, rel=1e-12)

    def test_separated_ends_take_few_steps(self):
        spectrum = torch.cat((torch.tensor([5.0, 0.1]), torch.linspace(0.9, 1.1, 298)))
        turn = torch.linalg.qr(draw(1, 300, 300)).Q
        found = Lanczos(1e-8).find(*maps(turn * spectrum))
        assert found.steps < 60
        assert found.largest.item() == pytest.approx(5, rel=1e-8)
        assert found.smallest.item() == pytest.approx(0.1, rel=1e-7)

    def test_vectors_belong_to_the_values(self):
        matrices = draw(3, 12, 9)
        for method in (Exact(), Lanczos(1e-11)):
            found = method.find(*maps(matrices))
            values = torch.stack((found.largest, found.smallest)).unsqueeze(-1)
            forth = torch.einsum("nrc,enc->enr", matrices, found.right)
            torch.testing.assert_close(forth, values * found.left, rtol=0, atol=1e-9)
            torch.testing.assert_close(found.right.norm(dim=-1), torch.ones(2, 3))

    def test_says_so_when_it_has_not_converged(self):
        with pytest.raises(AccuracyError, match=r"after 4 of at most 30 .*allow more steps or use Exact"):
            Lanczos(steps=4).find(*maps(draw(2, 30, 30)))

    def test_repeats_itself_and_draws_from_the_generator_given(self):
        system = maps(draw(2, 30, 30))
        first, again = (Lanczos(1e-6).find(*system) for _ in range(2))
        other = Lanczos(1e-6, generator=torch.Generator().manual_seed(5)).find(*system)
        assert torch.equal(first.largest, again.largest)
        assert not torch.equal(first.right, other.right)

    def test_works_in_single_precision(self, build):
        net = build(Fractional, "fixed", width=40).to(torch.float32)
        found = analysis.extreme_singular_values(net, inputs().float(), 0, Lanczos(1e-4))
        expected = torch.linalg.svdvals(analysis.jacobian(net, inputs().float()))
        torch.testing.assert_close(found.largest, expected[:, 0], rtol=1e-4, atol=0)
        torch.testing.assert_close(found.smallest, expected[:, -1], rtol=0, atol=3e-4)

    def test_is_what_a_wide_net_gets(self, build):
        net, x = build(ResNet, "fixed", width=300, layers=3), inputs(1)
        assert isinstance(analysis.extreme_singular_values(net, x, 2).method, Lanczos)
        assert isinstance(analysis.extreme_singular_values(build(ResNet, "fixed"), x).method, Exact)

    @pytest.mark.parametrize("options", [{"tolerance": 0}, {"tolerance": "1"}, {"steps": 0}, {"steps": 2.5}])
    def test_refuses_wrong_options(self, options):
        with pytest.raises(SurrogateError, match=f"Lanczos needs .*{next(iter(options))}"):
            Lanczos(**options)
