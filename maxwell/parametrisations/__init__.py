"""Unknowns: how a few numbers θ describe a field, one parametrisation a file."""

from maxwell.kinds import one_of
from maxwell.parametrisations.balls import REGION_OF_INTEREST, Balls
from maxwell.parametrisations.base import Parameter, Parametrisation, smoothstep
from maxwell.parametrisations.magnetisation import Dipoles, MagneticCells
from maxwell.parametrisations.voxels import Voxels

LogContrast = one_of(Balls, Voxels)
"""What a table may choose from to describe log σ/σ0."""

__all__ = [
    "REGION_OF_INTEREST",
    "Balls",
    "Dipoles",
    "LogContrast",
    "MagneticCells",
    "Parameter",
    "Parametrisation",
    "Voxels",
    "smoothstep",
]
