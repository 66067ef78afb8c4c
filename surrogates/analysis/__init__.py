"""Instruments that look at a net through its layer states."""

from surrogates.analysis.gradients import GradientProfile, profile
from surrogates.analysis.jacobians import (
    extreme_singular_values,
    input_products,
    jacobian,
    layer_jacobians,
    products,
)
from surrogates.analysis.norm_bounds import Bounds, bounds, lipschitz_bound
from surrogates.analysis.singular_values import AccuracyError, Exact, Lanczos, SingularValues
from surrogates.analysis.stability import Lipschitz, NoiseGain, WorstCase, lipschitz, noise_gain, worst_case

__all__ = [
    "AccuracyError",
    "Bounds",
    "Exact",
    "GradientProfile",
    "Lanczos",
    "Lipschitz",
    "NoiseGain",
    "SingularValues",
    "WorstCase",
    "bounds",
    "extreme_singular_values",
    "input_products",
    "jacobian",
    "layer_jacobians",
    "lipschitz",
    "lipschitz_bound",
    "noise_gain",
    "products",
    "profile",
    "worst_case",
]
