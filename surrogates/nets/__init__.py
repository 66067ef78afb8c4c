"""Network families: each a table of memory and gains for the one recursion. None imports another."""

from surrogates.nets.base import LayeredNet
from surrogates.nets.fractional import Fractional
from surrogates.nets.resnet import ResNet

FAMILIES: tuple[type[LayeredNet], ...] = (ResNet, Fractional)
"""Every family; tests and command line run over this list."""

__all__ = ["FAMILIES", "Fractional", "LayeredNet", "ResNet"]
