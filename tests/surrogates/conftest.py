"""Shared by the tests of the networks: float64 throughout, and ways to build a net of any family and rule."""

import pytest
import torch

from surrogates import FAMILIES, RULES, TimeGrid
from surrogates.activations import ACTIVATIONS

pytest.register_assert_rewrite("module_contract", "family_contract", "recursive_contract")

from module_contract import admitted  # noqa: E402  (after its assertions were asked to explain themselves)


@pytest.fixture(autouse=True)
def double_precision():
    """Laws are algebra: test them where round-off is 1e-16. A test of float32 asks for it by name."""
    before = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    yield
    torch.set_default_dtype(before[0])
    torch.set_num_threads(before[1])


def combinations(learned_only=False):
    """Every family with every time rule that it admits; by name, since nets are built inside the tests."""
    return [
        pytest.param(family, rule, id=f"{family.__name__}-{rule}")
        for family in FAMILIES
        for rule in admitted(family, learned_only)
    ]


def pytest_generate_tests(metafunc):
    """Give every admitted ``family`` and ``rule`` (or ``learned_rule``) to the tests that ask for them.

    Inside a contract the class names the family, and ``activation`` runs over all.
    """
    asked, own = set(metafunc.fixturenames), getattr(metafunc.cls, "family", None)
    if "family" in asked:
        for name in ("rule", "learned_rule"):
            if name in asked:
                metafunc.parametrize(("family", name), combinations(learned_only=name == "learned_rule"))
                break
        else:
            metafunc.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
    elif own is not None:
        for name in {"rule", "learned_rule"} & asked:
            metafunc.parametrize(name, admitted(own, learned_only=name == "learned_rule"))
        if "activation" in asked:
            metafunc.parametrize("activation", ACTIVATIONS.values(), ids=list(ACTIVATIONS))
    elif "rule" in asked:
        metafunc.parametrize("rule", RULES)


@pytest.fixture
def build():
    """build(family, grid or rule, ...) -> net with weights from the given seed."""

    def build(family, time, *, layers=5, horizon=1.3, width=4, inputs=3, outputs=2, seed=0, **options):
        grid = time if isinstance(time, TimeGrid) else RULES[time](layers, horizon)
        generator = torch.Generator().manual_seed(seed)
        return family(inputs, outputs, width, grid, generator=generator, **options)

    return build


@pytest.fixture
def scatter():
    """scatter(module, seed) moves every parameter by a random amount, learned steps away from uniform."""

    def scatter(module, seed=1, size=0.3):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += (
                    size
                    * (2 * torch.rand(parameter.shape, generator=generator) - 1)
                    * (parameter.abs().max() if isinstance(module, TimeGrid) and module.rule == "free" else 1)
                )
        return module

    return scatter
