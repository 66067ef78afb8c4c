"""Training: settings, schedules, optimisers, the loop, its trace, checkpoints and snapshots."""

from surrogates.training.ensemble import fit_ensemble
from surrogates.training.loop import Callback, fit
from surrogates.training.optimisers import OPTIMISERS
from surrogates.training.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Exponential,
    Plateau,
    Schedule,
    Step,
    WarmUp,
    stagnation,
)
from surrogates.training.settings import Settings
from surrogates.training.snapshots import Snapshot, Snapshots
from surrogates.training.trace import EpochState, Result, Trace

__all__ = [
    "OPTIMISERS",
    "SCHEDULES",
    "Callback",
    "Constant",
    "Cosine",
    "EpochState",
    "Exponential",
    "Plateau",
    "Result",
    "Schedule",
    "Settings",
    "Snapshot",
    "Snapshots",
    "Step",
    "Trace",
    "WarmUp",
    "fit",
    "fit_ensemble",
    "stagnation",
]
