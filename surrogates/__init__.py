"""Networks as time discretisations: learned and fixed time grids, one recursion, training, analysis.

Start with ``TimeGrid``, give it to ``ResNet`` or ``Fractional``, train with ``training.fit``. The names
below are loaded when first used, so that a command line can catch ``SurrogateError`` and print its help
without waiting for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from surrogates.errors import SurrogateError

if TYPE_CHECKING:
    from surrogates import (
        activations,
        adjoint,
        analysis,
        architecture,
        baselines,
        caputo,
        depth,
        engine,
        ensemble,
        exponentials,
        export,
        fields,
        linearisation,
        losses,
        model,
        training,
    )
    from surrogates.baselines import BASELINES, Blocks, Convolutional, FeedForward, Recurrent
    from surrogates.model import Model
    from surrogates.nets import (
        FAMILIES,
        AdditiveDenseNet,
        ConcatenatingDenseNet,
        Fractional,
        LayeredNet,
        ResNet,
    )
    from surrogates.order import Order
    from surrogates.time_grid import RULES, TimeGrid

__all__ = [
    "BASELINES",
    "FAMILIES",
    "RULES",
    "AdditiveDenseNet",
    "Blocks",
    "ConcatenatingDenseNet",
    "Convolutional",
    "FeedForward",
    "Fractional",
    "LayeredNet",
    "Model",
    "Order",
    "Recurrent",
    "ResNet",
    "SurrogateError",
    "TimeGrid",
    "activations",
    "adjoint",
    "analysis",
    "architecture",
    "baselines",
    "caputo",
    "depth",
    "engine",
    "ensemble",
    "exponentials",
    "export",
    "fields",
    "linearisation",
    "losses",
    "model",
    "training",
]

_HOME = {
    "AdditiveDenseNet": "nets",
    "BASELINES": "baselines",
    "Blocks": "baselines",
    "ConcatenatingDenseNet": "nets",
    "Convolutional": "baselines",
    "FAMILIES": "nets",
    "FeedForward": "baselines",
    "Fractional": "nets",
    "LayeredNet": "nets",
    "Model": "model",
    "Order": "order",
    "ResNet": "nets",
    "Recurrent": "baselines",
    "RULES": "time_grid",
    "TimeGrid": "time_grid",
}


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"module 'surrogates' has no attribute {name!r}")
    home = _HOME.get(name)
    value = (
        getattr(import_module(f"surrogates.{home}"), name) if home else import_module(f"surrogates.{name}")
    )
    globals()[name] = value
    return value


def __dir__():
    return __all__
