"""What an inversion hands back: the estimate, the data it predicts, and how it came about."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Record:
    """One candidate of a penalty, or one iteration.

    penalty : λ of ½‖r‖² + ½λ‖z‖² in whitened variables (1 is the Bayesian weight), for a truncated
        decomposition the number of components kept, for Gauss-Newton the damping μ.
    misfit : RMS of residual over noise; 1 is the noise level.
    norm : ‖Γ^{-1/2}(θ − θ_0)‖, the distance from the prior mean in standard deviations.
    linearisations : of the forward map, spent up to here.  seconds : since the call.
    step : Gauss-Newton only, length of the next full step in posterior standard deviations.
    """

    penalty: float
    misfit: float
    norm: float
    seconds: float
    linearisations: int
    step: float = float("nan")


@dataclass(frozen=True)
class Trace:
    """records : candidates from the strongest penalty to the weakest, or iterations in order.

    chosen : number of the record that the estimate belongs to.
    reason : why that one, or why the iteration stopped.
    solves, linearisations : of the forward map, in all.  seconds : in all.
    notes : what a reader must know besides (a linearisation, a rule that found nothing, rejected starts).
    """

    records: tuple[Record, ...]
    chosen: int
    reason: str
    solves: int
    linearisations: int
    seconds: float
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> np.ndarray:
        """One field of all records, (len(records),)."""
        return np.array([getattr(record, name) for record in self.records])


@dataclass(frozen=True)
class Estimate:
    """theta (p,) : the estimate θ̂, in the units of the unknown, real or complex like the unknown.

    predicted (m,) : the data of θ̂; for a nonlinear map inverted by a linear method, those of its linearisation.
    misfit : RMS of (observation − predicted) / noise over the data; 1 is the noise level.
    covariance (p, p) : predicted E (θ̂ − θ)(θ̂ − θ)ᴴ; each method says over what the mean is taken.
    """

    theta: np.ndarray
    predicted: np.ndarray
    misfit: float
    covariance: np.ndarray
    trace: Trace

    @property
    def deviation(self) -> np.ndarray:
        """Predicted root-mean-square error of each unknown, (p,)."""
        return np.sqrt(np.diag(self.covariance).real)
