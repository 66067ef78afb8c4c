"""Random nets of every kind whose depth may change, and how hypothesis draws them."""

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from surrogates import FAMILIES, RULES, Fractional, ResNet
from surrogates.activations import ACTIVATIONS
from surrogates.depth import Dependent
from surrogates.fields import Antisymmetric, Convolution

GROWING = {**{name: make for name, make in RULES.items() if name != "uniform"}, "dependent": Dependent}
"""Rules under which layers can be inserted."""

KINDS = {family.__name__: (family, {}) for family in FAMILIES} | {
    "ResNet-convolution": (ResNet, {"field": Convolution(2)}),
    "Fractional-antisymmetric": (Fractional, {"field": Antisymmetric(0.1), "order": 0.3}),
    "Fractional-exponentials": (Fractional, {"exponentials": 1e-3}),
}
"""Every family, and the options that change how its layers lie or what they remember."""

few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Each example builds and runs several nets."""


def admits(kind, rule):
    """Whether the family has nets of this rule."""
    return GROWING[rule](2, 1.0).always_positive or not KINDS[kind][0].positive_steps_only


def scattered(net, draw, size=0.3):
    """Weights and steps away from their start, steps still positive."""
    with torch.no_grad():
        for name, value in net.named_parameters():
            spread = 0.05 if name.startswith("time.") else size
            value += spread * (2 * torch.rand(value.shape, generator=draw) - 1)
    return net


def made(kind="ResNet", rule="positive", activation="tanh", layers=4, timed_lift=False, seed=0):
    """A net of width 4 on 3 inputs and 2 outputs, its weights drawn."""
    family, options = KINDS[kind]
    draw = torch.Generator().manual_seed(seed)
    grid = GROWING[rule](layers + timed_lift, 1.3)
    options = {"activation": ACTIVATIONS[activation], "timed_lift": timed_lift, **options}
    return scattered(family(3, 2, 4, grid, generator=draw, **options), draw)


def problem(count=7, seed=4):
    """Inputs and targets."""
    draw = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(count, size, generator=draw, dtype=torch.float64) for size in (3, 2))


@st.composite
def nets(draw, rules=tuple(GROWING), kinds=tuple(KINDS)):
    """A net of any kind under any rule that it admits."""
    kind = draw(st.sampled_from(kinds))
    return made(
        kind,
        draw(st.sampled_from([rule for rule in rules if admits(kind, rule)])),
        draw(st.sampled_from(list(ACTIVATIONS))),
        draw(st.integers(1, 5)),
        draw(st.booleans()),
        draw(st.integers(0, 99)),
    )


def moments(net, kind=torch.optim.AdamW, steps=2):
    """An optimiser of the net after some updates of it, so that its state is not empty."""
    options = {"momentum": 0.9} if kind is torch.optim.SGD else {"weight_decay": 0.1}
    matrices = [value for name, value in net.named_parameters() if name.endswith("weight")]
    others = [value for name, value in net.named_parameters() if not name.endswith("weight")]
    optimiser = kind([{"params": matrices}, {"params": others, "weight_decay": 0.0}], lr=1e-3, **options)
    x, y = problem()
    for _ in range(steps):
        optimiser.zero_grad()
        (net(x) - y).square().mean().backward()
        optimiser.step()
    return optimiser


def held(optimiser, net):
    """The state of an optimiser by name of the parameter."""
    names = {id(value): name for name, value in net.named_parameters()}
    return {names[id(value)]: dict(state) for value, state in optimiser.state.items()}
