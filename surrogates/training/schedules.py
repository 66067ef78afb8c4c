"""Schedules: the factor on the learning rate, epoch by epoch."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from surrogates.errors import SurrogateError
from surrogates.training.door import demand, real, whole


class Schedule(ABC):
    """A factor on the learning rate that depends on the epoch e = 0 … E−1 and on the validation losses.

    ===============================  ==================================================================
    ``Constant()``                   1
    ``Cosine()``                     (1 + cos(π e/E))/2 (Loshchilov and Hutter, arXiv 1608.03983)
    ``Exponential(end)``             end^(e/(E−1)): 1 in the first epoch, ``end`` in the last
    ``Step(every, ratio)``           ratio^⌊e/every⌋
    ``Plateau(patience, ratio)``     ratio^n, n the times that ``patience`` epochs did not improve
    ``WarmUp(epochs, then)``         (e+1)/(epochs+1), then another schedule over the epochs left
    ===============================  ==================================================================

    It has no state: what it knows of the past is in the trace, so that a resumed run has the rates of the
    uninterrupted one. A subclass is a frozen dataclass, whose repr names it in a checkpoint. Numbers out of
    range raise ``SurrogateError``.
    """

    @abstractmethod
    def factor(self, epoch: int, epochs: int, valid_losses: Sequence[float]) -> float:
        """Return the factor in epoch e of E, given the validation losses after epochs 0 … e−1."""

    @property
    def extensible(self) -> bool:
        """Whether no factor depends on E, so that a finished run may be continued for longer."""
        return True


@dataclass(frozen=True)
class Constant(Schedule):
    """1 throughout."""

    def factor(self, epoch: int, epochs: int, valid_losses: Sequence[float]) -> float:
        """Return 1."""
        return 1.0


@dataclass(frozen=True)
class Cosine(Schedule):
    """(1 + cos(π e/E))/2: from 1 in the first epoch towards 0, which it does not reach."""

    def factor(self, epoch: int, epochs: int, valid_losses: Sequence[float]) -> float:
        """Return (1 + cos(π e/E))/2."""
        return (1 + math.cos(math.pi * (epoch / epochs))) / 2

    @property
    def extensible(self) -> bool:
        """False."""
        return False


@dataclass(frozen=True)
class Exponential(Schedule):
    """end^(e/(E−1)): geometric from 1 in the first epoch to ``end`` > 0 in the last."""

    end: float

    def __post_init__(self):
        demand(self, "end", "a number > 0", real(self.end) and self.end > 0)

    def factor(self, epoch: int, epochs: int, valid_losses: Sequence[float]) -> float:
        """Return end^(e/(E−1)), and 1 where there is one epoch."""
        return self.end ** (epoch / max(epochs - 1, 1))

    @property
    def extensible(self) -> bool:
        """False."""
        return False


@dataclass(frozen=True)
class Step(Schedule):
    """ratio^⌊e/every⌋, ``every`` >= 1 epochs, ``ratio`` > 0."""

    every: int
    ratio: float = 0.1

    def __post_init__(self):
        demand(self, "every", "a whole number >= 1", whole(self.every) and self.every >= 1)
        demand(self, "ratio", "a number > 0", real(self.ratio) and self.ratio > 0)

    def factor(self, epoch: int, epochs: int, valid_losses: Sequence[float]) -> float:
        """Return ratio^⌊e/every⌋."""
        return self.ratio ** (epoch // self.every)


@dataclass(frozen=True)
class Plateau(Schedule):
    """ratio^n, n the number of times that ``patience`` >= 1 epochs in a row did not improve.

    Improvement is on the best validation loss so far, by more than ``min_improvement`` of it (see
    ``stagnation``). Not with an early stopping of equal or shorter patience, which ends the run first.
    """

    patience: int
    ratio: float = 0.5
    min_improvement: float = 0.0

    def __post_init__(self):
        demand(self, "patience", "a whole number >= 1", whole(self.patience) and self.patience >= 1)
        demand(self, "ratio", "a number > 0", real(self.ratio) and self.ratio > 0)
        demand(
            self, "min_improvement", "a number >= 0", real(self.min_improvement) and self.min_improvement >= 0
        )

    def factor(self, epoch: int, epochs: int, valid_losses: Sequence[float]) -> float:
        """Return ratio^n, n over the validation losses so far."""
        idle = stagnation(valid_losses, self.min_improvement)
        return self.ratio ** sum(count > 0 and count % self.patience == 0 for count in idle)


@dataclass(frozen=True)
class WarmUp(Schedule):
    """Linear over the first ``epochs`` = w >= 1, (e+1)/(w+1), then the schedule ``then`` over the E − w left.

    The other schedule counts its epochs, and the losses it looks at, from the end of the warm-up. A run of
    no more than w epochs would never reach its learning rate, and raises ``SurrogateError``.
    """

    epochs: int
    then: Schedule

    def __post_init__(self):
        demand(self, "epochs", "a whole number >= 1", whole(self.epochs) and self.epochs >= 1)
        demand(self, "then", "a schedule, such as Cosine()", isinstance(self.then, Schedule))

    def factor(self, epoch: int, epochs: int, valid_losses: Sequence[float]) -> float:
        """Return (e+1)/(w+1) while e < w, and then the other schedule's factor."""
        if epochs <= self.epochs:
            raise SurrogateError(
                f"WarmUp: a run of {epochs} epochs ends within the warm-up of {self.epochs}: give more epochs "
                "or a shorter warm-up"
            )
        if epoch < self.epochs:
            return (epoch + 1) / (self.epochs + 1)
        return self.then.factor(epoch - self.epochs, epochs - self.epochs, valid_losses[self.epochs :])

    @property
    def extensible(self) -> bool:
        """Whether the schedule after the warm-up is."""
        return self.then.extensible


SCHEDULES: Mapping[str, Schedule] = MappingProxyType({"constant": Constant(), "cosine": Cosine()})
"""The schedules without numbers, under the names that configuration files use."""


def stagnation(valid_losses: Sequence[float], min_improvement: float = 0.0) -> list[int]:
    """For each epoch, how many epochs in a row up to it did not improve; 0 for the first and for one that did.

    A loss improves when it is less than v − min_improvement·|v|, v being the loss after the last epoch that
    improved: many small steps count once they add up.
    """
    counts, best = [], math.inf
    for loss in valid_losses:
        improved = not counts or loss < best - min_improvement * abs(best)
        counts.append(0 if improved else counts[-1] + 1)
        best = loss if improved else best
    return counts
