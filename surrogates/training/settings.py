"""What decides a training run, apart from net and data."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from surrogates.errors import SurrogateError

SCHEDULES: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "constant": lambda progress: 1.0,
        "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,
    }
)
"""Factor on the learning rate as a function of epoch/epochs ∈ [0, 1), epochs counted from 0."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A training budget and its course.

    epochs          passes over the training set, >= 1
    batch           samples per update, >= 1; the last update of an epoch takes what is left
    learning_rate   > 0, before the schedule
    weight_decay    >= 0; decoupled (AdamW) and on matrices alone: a decayed time step or bias would be drawn
                    to a value that nobody chose
    schedule        "cosine" (from 1 towards 0, per epoch) or "constant"
    clip            None, or the largest norm of the whole gradient, > 0; off by default, since clipping hides
                    the gradient behaviour that a study of time steps looks at; recorded in the trace
    seed            order of the samples; equal seeds give equal mini-batches to every net of a comparison

    Anything else raises ``SurrogateError``.
    """

    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float = 0.0
    schedule: str = "cosine"
    clip: float | None = None
    seed: int = 0

    def __post_init__(self):
        self._demand("epochs", "a whole number >= 1", _whole(self.epochs) and self.epochs >= 1)
        self._demand("batch", "a whole number >= 1", _whole(self.batch) and self.batch >= 1)
        self._demand("learning_rate", "a number > 0", _real(self.learning_rate) and self.learning_rate > 0)
        self._demand("weight_decay", "a number >= 0", _real(self.weight_decay) and self.weight_decay >= 0)
        self._demand("schedule", "one of " + ", ".join(map(repr, SCHEDULES)), self.schedule in SCHEDULES)
        self._demand(
            "clip", "None or a number > 0", self.clip is None or (_real(self.clip) and self.clip > 0)
        )
        self._demand("seed", "a whole number from 0 to 2^63−1", _whole(self.seed) and 0 <= self.seed < 2**63)

    def rate(self, epoch: int) -> float:
        """Factor on the learning rate in this epoch, counted from 0."""
        return SCHEDULES[self.schedule](epoch / self.epochs)

    def _demand(self, name, expected, met):
        if not met:
            raise SurrogateError(
                f"training settings: {name} must be {expected}, but is {getattr(self, name)!r}"
            )


def _whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _real(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
