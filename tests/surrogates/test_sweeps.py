import math

import pytest
import torch
import torch.utils.checkpoint
from test_engine import double_loop

from surrogates import SurrogateError, activations, exponentials, sweeps
from surrogates.fields import Antisymmetric, Convolution, Dense
from surrogates.histories import Blocked, Exponential

WIDTH, BATCH = 4, 3
DEPTHS = [1, 2, 3, 8, 13, 16, 37]
MEMORIES = ["none", "blocked", "exponential"]


def history(memory, table):
    if memory == "none":
        return None
    if memory == "blocked":
        return Blocked(*table)
    return Exponential(exponentials.Exponentials(*table, gains=None))


def inputs(depth, members=2, field=None, memory="blocked", seed=0):
    """Leaves: start, weights, biases, gains, and the tables of the memory."""
    field, draw = field or Dense(), torch.Generator().manual_seed(seed)
    weight, bias, _ = field.shapes(WIDTH)

    def leaf(*shape, scale=1.0):
        return (scale * torch.randn(shape, generator=draw)).requires_grad_()

    tables = []
    if memory == "blocked":
        tables = [leaf(members, depth, depth, scale=0.4)]
    if memory == "exponential":
        steps = 0.05 + torch.rand(members, depth, generator=draw)
        made = exponentials.table(steps, 0.4, tolerance=1e-3, block=8)
        tables = [
            part.detach().requires_grad_() for part in (made.near, made.recall, made.intake, made.decay)
        ]
    return [
        leaf(members, BATCH, WIDTH),
        leaf(depth, members, *weight, scale=0.5),
        leaf(depth, members, *bias),
        leaf(depth, members),
        *tables,
    ]


def fast(leaves, memory, field=None, activation=None, segment=None, everything=True):
    start, weights, biases, gains, *table = leaves
    layers = sweeps.Layers(
        field or Dense(),
        activation or activations.Tanh(),
        weights,
        biases,
        gains,
        history(memory, table),
        segment,
    )
    return sweeps.states(layers, start) if everything else sweeps.last(layers, start)


def slow(leaves, memory, field=None, activation=None):
    """Member by member by the double loop over pairs of layers, through autograd."""
    field, activation = field or Dense(), activation or activations.Tanh()
    start, weights, biases, gains, *table = leaves
    known = history(memory, table)
    a = torch.zeros(start.shape[0], len(gains), len(gains)) if known is None else known.dense(*table)
    found = []
    for m in range(start.shape[0]):

        def value(layer, y, m=m):
            return activation(field.apply(y, weights[layer, m], biases[layer, m]))

        found.append(double_loop(value, start[m], gains[:, m], a[m], None))
    return torch.stack(found, 1)


def gradients(value, leaves, seed=3):
    direction = torch.randn(value.shape, generator=torch.Generator().manual_seed(seed))
    return torch.autograd.grad(value, leaves, direction, retain_graph=True, materialize_grads=True)


def gradients_once(value, leaves, seed=3):
    direction = torch.randn(value.shape, generator=torch.Generator().manual_seed(seed))
    return torch.autograd.grad(value, leaves, direction, materialize_grads=True)


def agree(first, second):
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(
            one, other, rtol=1e-12, atol=1e-12 * (1 + other.detach().abs().max().item())
        )


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("depth", DEPTHS)
class TestAgainstTheDoubleLoop:
    """Values and derivatives in every input, at every depth that ends a block early, late or exactly."""

    def test_all_states(self, memory, depth):
        leaves = inputs(depth, memory=memory)
        found, expected = fast(leaves, memory), slow(leaves, memory)
        assert found.shape == (depth + 1, 2, BATCH, WIDTH)
        agree([found], [expected])
        agree(gradients(found, leaves), gradients(expected, leaves))

    @pytest.mark.parametrize("segment", [None, 1, 5, 100])
    def test_last_state_with_and_without_keeping_the_others(self, memory, depth, segment):
        leaves = inputs(depth, memory=memory)
        found = fast(leaves, memory, segment=segment, everything=False)
        expected = slow(leaves, memory)[-1]
        agree([found], [expected])
        agree(gradients(found, leaves), gradients(expected, leaves))

    def test_without_gradients_the_value_is_the_same(self, memory, depth):
        leaves = inputs(depth, memory=memory)
        with torch.no_grad():
            for everything in (True, False):
                found = fast(leaves, memory, everything=everything)
                assert not found.requires_grad
                agree([found], [slow(leaves, memory) if everything else slow(leaves, memory)[-1]])


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("field", [Dense(), Antisymmetric(0.3), Convolution(2)], ids=lambda field: field.name)
@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_every_field_and_activation(memory, field, name):
    activation = activations.ACTIVATIONS[name]
    leaves = inputs(5, field=field, memory=memory)
    for segment in (None, 2):
        found = fast(leaves, memory, field, activation, segment, everything=False)
        expected = slow(leaves, memory, field, activation)[-1]
        agree([found], [expected])
        agree(gradients(found, leaves), gradients(expected, leaves))


@pytest.mark.parametrize("memory", MEMORIES)
class TestAsAnOperationOfAutograd:
    """The hand-written sweep behaves as any other operation."""

    def test_frozen_inputs_get_no_gradient_and_do_not_change_those_of_others(self, memory):
        leaves = inputs(6, memory=memory)
        complete = gradients(fast(leaves, memory, everything=False), leaves)
        for n, leaf in enumerate(leaves):
            frozen = [other.detach() if n == m else other for m, other in enumerate(leaves)]
            wanted = [other for m, other in enumerate(leaves) if m != n]
            found = gradients(fast(frozen, memory, everything=False), wanted)
            agree(found, [part for m, part in enumerate(complete) if m != n])
            assert leaf.grad is None

    def test_may_go_back_twice(self, memory):
        leaves = inputs(6, memory=memory)
        value = fast(leaves, memory, everything=False)
        agree(gradients(value, leaves), gradients(value, leaves))

    def test_leaves_its_inputs_alone(self, memory):
        leaves = inputs(6, memory=memory)
        before = [leaf.detach().clone() for leaf in leaves]
        gradients(fast(leaves, memory), leaves)
        assert all(torch.equal(leaf, copy) for leaf, copy in zip(leaves, before, strict=True))

    def test_second_derivatives(self, memory):
        leaves = inputs(3, members=1, memory=memory)
        assert torch.autograd.gradgradcheck(
            lambda *given: fast(given, memory, everything=False), tuple(leaves), atol=1e-7
        )

    def test_several_derivatives_at_once(self, memory):
        """Under the vmap of ``is_grads_batched`` the way back is that of the plain operations."""
        leaves = inputs(5, memory=memory)
        value = fast(leaves, memory, everything=False)
        several = torch.randn(3, *value.shape, generator=torch.Generator().manual_seed(1))
        options = {"retain_graph": True, "materialize_grads": True}
        together = torch.autograd.grad(value, leaves[:4], several, is_grads_batched=True, **options)
        apart = [torch.autograd.grad(value, leaves[:4], one, **options) for one in several]
        agree(together, [torch.stack(parts) for parts in zip(*apart, strict=True)])

    def test_forward_mode_outside_of_torch_func(self, memory):
        leaves = [leaf.detach() for leaf in inputs(4, memory=memory)]
        direction = torch.ones_like(leaves[0])
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(leaves[0], direction)
            value = fast([dual, *leaves[1:]], memory, everything=False)
            found = torch.autograd.forward_ad.unpack_dual(value).tangent
        _, expected = torch.func.jvp(
            lambda start: fast([start, *leaves[1:]], memory, everything=False), (leaves[0],), (direction,)
        )
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)

    def test_inside_a_checkpoint_of_torch(self, memory):
        leaves = inputs(5, memory=memory)
        value = torch.utils.checkpoint.checkpoint(
            lambda *given: fast(given, memory, everything=False), *leaves, use_reentrant=False
        )
        agree(gradients_once(value, leaves), gradients(fast(leaves, memory, everything=False), leaves))

    def test_autocast_is_refused_in_a_sentence(self, memory):
        leaves = inputs(3, memory=memory)
        with torch.autocast("cpu"), pytest.raises(SurrogateError, match=r"torch\.autocast"):
            fast(leaves, memory)

    def test_transforms_of_torch_func(self, memory):
        leaves = [leaf.detach() for leaf in inputs(4, memory=memory)]

        def last(start):
            return fast([start, *leaves[1:]], memory, everything=False)

        backward = torch.func.jacrev(last)(leaves[0])
        torch.testing.assert_close(torch.func.jacfwd(last)(leaves[0]), backward, rtol=1e-12, atol=1e-13)
        many = torch.func.vmap(last)(torch.stack([leaves[0], 2 * leaves[0]]))
        torch.testing.assert_close(many[1], last(2 * leaves[0]), rtol=1e-12, atol=1e-13)


def kept(memory, depth, segment=None):
    """Numbers that one forward pass keeps for the way back, of tables and weights apart."""
    leaves, found = inputs(depth, members=1, memory=memory), 0
    mine = {leaf.data_ptr() for leaf in leaves}

    def count(tensor):
        nonlocal found
        found += 0 if tensor.data_ptr() in mine else tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        fast(leaves, memory, segment=segment, everything=False)
    return found / (BATCH * WIDTH)


def carried(memory, depth):
    """States that exponentials carry from block to block of 8 layers: as many as there are exponentials."""
    if memory != "exponential":
        return 0
    return (depth // 8 - 1) * inputs(depth, members=1, memory=memory)[5].shape[-1]


@pytest.mark.parametrize(("memory", "tensors"), [("none", 1), ("blocked", 2), ("exponential", 2)])
def test_storage_is_linear_in_the_depth(memory, tensors):
    """What the activation keeps, with memory the increments, one state in so many, and what exponentials carry."""
    for depth in (32, 64, 256):
        assert kept(memory, depth) == tensors * depth + depth // sweeps.STRIDE + carried(memory, depth)


@pytest.mark.parametrize(("memory", "tensors"), [("none", 0), ("blocked", 1), ("exponential", 1)])
def test_segments_keep_one_state_in_so_many_layers(memory, tensors):
    expected = tensors * 64 + 64 // 8 + 1 + carried(memory, 64)  # one for the layer at work
    assert kept(memory, 64, segment=8) == expected


def test_members_do_not_touch_each_other():
    leaves = [leaf.detach() for leaf in inputs(9, members=3)]
    alone = fast([leaf[1:2] if n in (0, 4) else leaf[:, 1:2] for n, leaf in enumerate(leaves)], "blocked")
    leaves[0][0], leaves[4][2] = math.nan, math.inf
    together = fast(leaves, "blocked")
    assert torch.equal(together[:, 1], alone[:, 0]) or (together[:, 1] - alone[:, 0]).abs().max() < 1e-13
