"""Instruments that look at a net through its layer states."""

from surrogates.analysis.gradients import GradientProfile, profile

__all__ = ["GradientProfile", "profile"]
