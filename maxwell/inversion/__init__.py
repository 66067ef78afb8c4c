"""Classical inversion, the yardstick of every learned one: any forward map.

One call each: `tsvd`, `tikhonov`, `linear_mmse`, `gauss_newton` (forward, observation, noise, prior) → `Estimate`.
The classes behind them are built once and then serve many observations.
The whole posterior instead of one estimate: `metropolis`, and `delayed_acceptance` behind a cheap approximation.
"""

from maxwell.inversion.known_blocks import known_blocks
from maxwell.inversion.linearised import LinearisedTikhonov
from maxwell.inversion.metropolis import Chain, RandomWalk, delayed_acceptance, metropolis
from maxwell.inversion.mixing import effective_samples, potential_scale
from maxwell.inversion.mmse import LinearMMSE, linear_mmse
from maxwell.inversion.newton import gauss_newton
from maxwell.inversion.posterior_mean import PosteriorMean, posterior_mean
from maxwell.inversion.result import Estimate, Record, Trace
from maxwell.inversion.rules import GCV, Candidates, Choice, Discrepancy, Fixed, LCurve, Rule
from maxwell.inversion.spectral import (
    Filter,
    PredictedError,
    Tikhonov,
    Truncation,
    WhitenedSystem,
    tikhonov,
    tsvd,
)
from maxwell.inversion.whitening import DataSpace, Gaussian, Sampler

__all__ = [
    "GCV",
    "Candidates",
    "Chain",
    "Choice",
    "DataSpace",
    "Discrepancy",
    "Estimate",
    "Filter",
    "Fixed",
    "Gaussian",
    "LCurve",
    "LinearMMSE",
    "LinearisedTikhonov",
    "PosteriorMean",
    "PredictedError",
    "RandomWalk",
    "Record",
    "Rule",
    "Sampler",
    "Tikhonov",
    "Trace",
    "Truncation",
    "WhitenedSystem",
    "delayed_acceptance",
    "effective_samples",
    "gauss_newton",
    "known_blocks",
    "linear_mmse",
    "metropolis",
    "posterior_mean",
    "potential_scale",
    "tikhonov",
    "tsvd",
]
