"""Training: settings, the loop, its trace and its checkpoints."""

from surrogates.training.loop import fit
from surrogates.training.settings import SCHEDULES, Settings
from surrogates.training.trace import EpochState, Result, Trace

__all__ = ["SCHEDULES", "EpochState", "Result", "Settings", "Trace", "fit"]
