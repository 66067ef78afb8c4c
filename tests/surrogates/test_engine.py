import pytest
import torch

from surrogates import caputo, engine


def double_loop(field, start, gains, memory, source):
    """The recursion as it is written on paper: the slow twin of the engine."""
    states, increments = [start], []
    for n in range(len(gains)):
        d = gains[n] * field(n, states[-1])
        for j in range(n):
            d = d - memory[n, j] * increments[j]
        if source is not None:
            d = d + source[n]
        increments.append(d)
        states.append(states[-1] + d)
    return torch.stack(states)


@pytest.mark.parametrize("layers", [1, 2, 9])
@pytest.mark.parametrize("shape", [(), (3,), (4, 3), (2, 4, 3)])
@pytest.mark.parametrize("with_source", [False, True])
def test_equals_the_double_loop_for_any_memory_and_shape(layers, shape, with_source):
    draw = torch.Generator().manual_seed(layers)
    memory, gains = torch.randn(layers, layers, generator=draw), torch.rand(layers, generator=draw)
    start, factors = torch.randn(shape, generator=draw), torch.randn(layers, generator=draw)
    source = torch.randn(layers, *shape, generator=draw) if with_source else None

    def field(layer, state):
        return torch.tanh(factors[layer] * state)

    found = engine.integrate(field, start, gains, memory, source)
    assert found.shape == (layers + 1, *shape)
    torch.testing.assert_close(
        found, double_loop(field, start, gains, memory, source), rtol=1e-13, atol=1e-13
    )


def test_reads_the_strictly_lower_triangle_alone():
    memory, gains = torch.rand(6, 6), torch.rand(6)
    states = [engine.integrate(lambda _, y: y, torch.ones(2), gains, a) for a in (memory, memory.tril(-1))]
    assert torch.equal(*states)


def test_no_memory_is_zero_memory():
    gains = torch.rand(6)
    states = [
        engine.integrate(lambda _, y: y.cos(), torch.ones(2), gains, a) for a in (None, torch.zeros(6, 6))
    ]
    assert torch.equal(*states)


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")  # from inside torch
def test_forward_mode_derivatives_pass_through():
    """The Jacobian–vector product in the first state agrees with reverse mode."""
    a, c = caputo.memory(torch.tensor([0.2, 0.5, 0.1]), 0.4)

    def last(start):
        return engine.integrate(lambda _, y: torch.sin(y), start, c, a)[-1]

    start, direction = torch.tensor([0.3, -1.0]), torch.tensor([1.0, 2.0])
    _, forward = torch.func.jvp(last, (start,), (direction,))
    torch.testing.assert_close(forward, torch.func.jacrev(last)(start) @ direction)
