"""Unknowns: how a few numbers θ describe a field, one parametrisation a file."""

from maxwell.parametrisations.balls import Balls
from maxwell.parametrisations.base import Parameter, Parametrisation, smoothstep

__all__ = ["Balls", "Parameter", "Parametrisation", "smoothstep"]
