"""When a net grows and when it is pruned: frozen objects that are plain data, and know nothing of any net."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, override

import torch

from surrogates.errors import SurrogateError
from surrogates.training.door import demand, real, whole


class Choice(ABC):
    """An order in which positions are tried, from their sensitivities. A frozen dataclass."""

    @abstractmethod
    def order(self, scores: Sequence[float], epoch: int) -> list[int]:
        """Return all positions, the one to be taken first in front."""


@dataclass(frozen=True)
class Largest(Choice):
    """The most sensitive position first, as SensLI has it; of equals the earlier one."""

    @override
    def order(self, scores, epoch):
        return sorted(range(len(scores)), key=lambda position: -scores[position])


@dataclass(frozen=True)
class Smallest(Choice):
    """The least sensitive position first, of those that pass the ``ratio``: a control of ``Largest``."""

    @override
    def order(self, scores, epoch):
        return sorted(range(len(scores)), key=lambda position: scores[position])


@dataclass(frozen=True)
class Drawn(Choice):
    """A random order, a function of ``seed`` and epoch."""

    seed: int = 0

    @override
    def order(self, scores, epoch):
        draw = torch.Generator().manual_seed((self.seed << 20) + epoch)
        return torch.randperm(len(scores), generator=draw).tolist()


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Layers by sensitivity: every so many epochs new ones where a layer matters most.

    every       epochs between two insertions, >= 1; none after the last epoch
    times       insertions at most, >= 0; None for no limit
    patience    >= 1: attempts in a row that come to nothing, after which growing ends; None for no limit
    count       layers at one time, >= 1
    ratio       >= 0: only where the sensitivity exceeds this multiple of the mean of the layers there are (SensLI)
    radius      >= 0, r: weights of a new layer are those of the ball ‖θ' − θ‖ ≤ r‖θ‖ around its neighbour's that
                matter most to first order, which ranks positions, too (``Sensitivities.norm``, or ``descent`` where
                steps are positive); 0 takes the neighbour's as they are
    step        >= 0: |τ| that a new layer is woken with, as a share of the mean |τ|, halved until the training loss
                is not above what it was; 0 leaves it at rest, for ``free`` and ``Dependent`` grids alone
    samples     >= 1, of the training set, from the first, by which sensitivities are found, new layers steered,
                their steps tried and the change measured; None for all of them. Few make growing cheap and its
                ranking noisy, and steer new layers towards those few
    held        >= 1: steps are tried on so many samples after those, which have not steered the new layers. All
                layers of one insertion are tried together and, if they lower no loss there at any step, left out
                together; that is an attempt in vain, counts as no insertion and is paid for. None to try them on
                ``samples``, where a short step is found in the end. Needs ``samples`` and a ``step`` > 0
    choice      the order in which positions that pass ``ratio`` are taken: ``Largest()``, ``Smallest()``,
                ``Drawn(seed)``
    """

    every: int
    times: int | None = None
    patience: int | None = None
    count: int = 1
    ratio: float = 1.0
    radius: float = 0.5
    step: float = 0.1
    samples: int | None = None
    held: int | None = None
    choice: Choice = Largest()

    def __post_init__(self):
        _check_when(self)
        demand(self, "count", "a whole number >= 1", whole(self.count) and self.count >= 1)
        for name in ("ratio", "radius", "step"):
            value = getattr(self, name)
            demand(self, name, "a number >= 0", real(value) and value >= 0)
        _check_samples(self)
        known = self.held is None or (whole(self.held) and self.held >= 1)
        demand(self, "held", "None or a whole number >= 1", known)
        if self.held is not None and (self.samples is None or self.step == 0):
            raise SurrogateError(
                f"Growth tries steps on {self.held} held samples after those that steer, but samples is "
                f"{self.samples} and step {self.step:g}: give samples and a step > 0, or leave held out"
            )
        known = self.patience is None or (whole(self.patience) and self.patience >= 1)
        demand(self, "patience", "None or a whole number >= 1", known)
        demand(self, "choice", "Largest(), Smallest() or Drawn(seed)", isinstance(self.choice, Choice))


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """Layers by refinement: every so many epochs the longest step becomes two of half its length.

    every, times    as in ``Growth``
    count           steps at one time, >= 1, each the longest of those that there are then
    samples         >= 1, of the training set, from the first, by which the change is measured, which decides
                    nothing; None for all of them
    """

    every: int
    times: int | None = None
    count: int = 1
    samples: int | None = None

    def __post_init__(self):
        _check_when(self)
        demand(self, "count", "a whole number >= 1", whole(self.count) and self.count >= 1)
        _check_samples(self)


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """Layers that go: after an epoch the one of least share |τ|/Σ|τ| if that is below the threshold.

    threshold   > 0 and < 1; 1 % as in arXiv 2306.16111
    count       layers at one time at most, >= 1, each the least of those that are left
    every       epochs between two looks, >= 1
    first       epochs before the first look, >= 0
    grace       epochs for which a new layer is spared, >= 0, as its step starts small
    samples     >= 1, of the training set, from the first, by which the change is measured and bounded, which
                decides nothing; None for all of them
    """

    threshold: float = 0.01
    count: int = 1
    every: int = 1
    first: int = 0
    grace: int = 10
    samples: int | None = None

    def __post_init__(self):
        _check_samples(self)
        demand(self, "threshold", "a number > 0 and < 1", real(self.threshold) and 0 < self.threshold < 1)
        for name in ("count", "every"):
            demand(self, name, "a whole number >= 1", whole(getattr(self, name)) and getattr(self, name) >= 1)
        for name in ("first", "grace"):
            demand(self, name, "a whole number >= 0", whole(getattr(self, name)) and getattr(self, name) >= 0)


@dataclass(frozen=True, kw_only=True)
class DepthSchedule:
    """How the depth of a net changes while it trains: grow, train, prune.

    growth      ``Growth``, ``Splitting`` or None
    pruning     ``Pruning`` or None
    shallowest  layers that pruning leaves, >= 1
    deepest     layers that growth does not exceed, None for no limit

    Without growth and pruning the depth stays. After an epoch, pruning comes first. Wrong values raise
    ``SurrogateError``.
    """

    growth: Growth | Splitting | None = None
    pruning: Pruning | None = None
    shallowest: int = 1
    deepest: int | None = None

    def __post_init__(self):
        known = self.growth is None or isinstance(self.growth, Growth | Splitting)
        demand(self, "growth", "a Growth, a Splitting or None", known)
        demand(
            self, "pruning", "a Pruning or None", self.pruning is None or isinstance(self.pruning, Pruning)
        )
        demand(self, "shallowest", "a whole number >= 1", whole(self.shallowest) and self.shallowest >= 1)
        enough = self.deepest is None or (whole(self.deepest) and self.deepest >= self.shallowest)
        demand(self, "deepest", "None or a whole number >= shallowest", enough)

    def plain(self) -> dict[str, Any]:
        """Return the schedule as names and numbers, which ``from_plain`` reads."""
        return _plain(self)

    @staticmethod
    def from_plain(description: Mapping[str, Any]) -> "DepthSchedule":
        """Return the schedule that ``plain`` describes; ``SurrogateError`` for anything else."""
        found = _made(description)
        if not isinstance(found, DepthSchedule):
            raise SurrogateError(
                f"a depth schedule is a table with kind 'DepthSchedule', but was given {description!r}"
            )
        return found


KINDS: Mapping[str, type] = {
    kind.__name__: kind for kind in (DepthSchedule, Growth, Splitting, Pruning, Largest, Smallest, Drawn)
}
"""Every part of a schedule under the name that files use."""


def _plain(part: Any) -> Any:
    if not is_dataclass(part):
        return part
    values = {field.name: _plain(getattr(part, field.name)) for field in fields(part)}
    return {"kind": type(part).__name__, **values}


def _made(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    try:
        return KINDS[value["kind"]](**{name: _made(each) for name, each in value.items() if name != "kind"})
    except (KeyError, TypeError) as error:
        raise SurrogateError(
            f"a part of a depth schedule is a table with a kind of {', '.join(KINDS)} and its values, but was "
            f"given {dict(value)!r} ({type(error).__name__}: {error})"
        ) from None


def _check_samples(part: Growth | Splitting | Pruning) -> None:
    enough = part.samples is None or (whole(part.samples) and part.samples >= 1)
    demand(part, "samples", "None or a whole number >= 1", enough)


def _check_when(part: Growth | Splitting) -> None:
    demand(part, "every", "a whole number >= 1", whole(part.every) and part.every >= 1)
    times = part.times
    demand(part, "times", "None or a whole number >= 0", times is None or (whole(times) and times >= 0))
