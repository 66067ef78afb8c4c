"""Network families: what lies between lift and readout, on one time grid. None imports another."""

from surrogates.nets.additive import AdditiveDenseNet
from surrogates.nets.base import LayeredNet
from surrogates.nets.concatenating import ConcatenatingDenseNet
from surrogates.nets.fractional import Fractional
from surrogates.nets.resnet import ResNet

FAMILIES: tuple[type[LayeredNet], ...] = (ResNet, Fractional, AdditiveDenseNet, ConcatenatingDenseNet)
"""Every family; tests and command line run over this list."""

__all__ = ["FAMILIES", "AdditiveDenseNet", "ConcatenatingDenseNet", "Fractional", "LayeredNet", "ResNet"]
