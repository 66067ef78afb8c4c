import pytest
import torch

from surrogates.l1_weights import Weights

GRIDS = {
    "one layer": torch.tensor([0.3], dtype=torch.float64),
    "uniform": torch.full((90,), 0.01, dtype=torch.float64),
    "random": 0.01 + torch.rand(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
    "eleven decades": 10 ** (11 * torch.rand(40, generator=torch.Generator().manual_seed(1)).double() - 8),
    "three grids": 10 ** (3 * torch.rand(3, 70, generator=torch.Generator().manual_seed(2)).double() - 2),
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("order", [0.05, 0.5, 0.95])
def test_written_out_derivative_is_that_of_the_formula(grid, order):
    """Value, and derivative in steps and orders, against autograd over the plain operations."""
    tau = GRIDS[grid].clone().requires_grad_()
    gamma = torch.full(tau.shape[:-1], order).requires_grad_()
    weights = Weights()
    fast, plain = weights(tau, gamma), weights.plain(tau, gamma)
    torch.testing.assert_close(fast, plain, rtol=1e-13, atol=0)
    given = torch.rand(fast.shape, generator=torch.Generator().manual_seed(3))
    found, expected = (
        torch.autograd.grad(value, (tau, gamma), given, materialize_grads=True) for value in (fast, plain)
    )
    torch.testing.assert_close(found[0], expected[0], rtol=1e-9, atol=0)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-12, atol=0)


def test_an_order_for_all_grids_collects_the_derivatives_of_all():
    tau = GRIDS["three grids"]
    one, each = torch.tensor(0.4, requires_grad=True), torch.full((3,), 0.4, requires_grad=True)
    together, apart = (torch.autograd.grad(Weights()(tau, gamma).sum(), gamma)[0] for gamma in (one, each))
    torch.testing.assert_close(together, apart.sum(), rtol=1e-12, atol=0)


def test_keeps_nothing_and_builds_no_graph_without_gradients():
    with torch.no_grad():
        assert not Weights()(GRIDS["random"].clone().requires_grad_(), torch.tensor(0.5)).requires_grad
