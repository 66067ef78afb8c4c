"""Small trained-looking models that the tests of architectures, files and exports share."""

import numpy as np
import torch

from data.linear_estimate import LinearEstimate
from data.transforms import Compression, Normalise, Standardise
from surrogates import FAMILIES, RULES, Convolutional, FeedForward, Recurrent, ResNet, TimeGrid
from surrogates.fields import Convolution
from surrogates.model import Model

SOURCES, RECEIVERS, FEATURES = 2, 3, 12  # 6 complex observations, 12 real features

NETS = {
    f"{family.__name__}-{rule}": lambda draw, family=family, rule=rule: family(
        FEATURES, 2, 8, RULES[rule](3, 1.3), generator=draw
    )
    for family in FAMILIES
    for rule, make in RULES.items()
    if make(2, 1.0).always_positive or not family.positive_steps_only
} | {
    "FeedForward": lambda draw: FeedForward(FEATURES, 2, width=8, layers=1, generator=draw),
    "Convolutional": lambda draw: Convolutional(2 * SOURCES, RECEIVERS, 2, width=8, layers=2, generator=draw),
    "ConvolutionField": lambda draw: ResNet(
        FEATURES, 2, 8, TimeGrid.simplex(3), generator=draw, field=Convolution(2)
    ),
    "Recurrent": lambda draw: Recurrent(SOURCES, 2 * RECEIVERS, 2, width=8, layers=2, generator=draw),
}
"""Every family on every rule that it admits, another field, and every baseline: functions of the generator."""


def net(name, seed=0, size=0.3):
    """A net whose parameters, learned steps among them, are away from where they started."""
    draw = torch.Generator().manual_seed(seed)
    made = NETS[name](draw)
    with torch.no_grad():
        for key, value in made.named_parameters():
            spread = 0.05 if key.startswith("time.") else size  # free steps stay positive
            value += spread * (2 * torch.rand(value.shape, generator=draw) - 1)
    return made


def observations(count=20, seed=1):
    """Complex data of very different size, with a mean."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((2, count, SOURCES * RECEIVERS))
    sizes = 10.0 ** rng.uniform(-1, 1, (count, 1))
    return 1e-3 * (sizes * (white[0] + 1j * white[1]) * np.logspace(0, -2, SOURCES * RECEIVERS) + 0.5 - 2j)


def full_model():
    """Complex unknowns, and a net that says what a linear estimate leaves of them."""
    data, draw = observations(60, seed=2), np.random.default_rng(3).standard_normal((2, 60, 1))
    decode = Standardise.fit(5.0 + draw[0] + 1j * draw[1], common=True)
    linear = LinearEstimate.fit(data, decode(5.0 + draw[0] + 1j * draw[1]), 1e-4)
    return Model(net("ResNet-simplex"), Compression.fit(data, FEATURES), decode, ("c",), remainder=linear)


def model(net, softened=False, normalise=False, **options):
    """A model around a net, its transforms fitted on made-up data."""
    data = observations(60, seed=2)
    spread = np.random.default_rng(3).standard_normal((60, 2)) * [1e-2, 40.0] + [0.3, 1.0]
    return Model(
        net=net,
        encode=Normalise.fit(data, SOURCES) if normalise else Compression.fit(data, FEATURES),
        decode=Standardise.fit(spread),
        names=("x", "q"),
        units=("m", ""),
        softened=softened,
        **{"spec": {"kind": "conductivity", "frequency": 23.9e6}, "digest": "abc", **options},
    )
