"""What a picture is: series of numbers with intervals, drawn on paper and on screen alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from experiments.protocol.report.looks import Look


@dataclass(frozen=True)
class Series:
    """Points of one method.

    low, high : ends of their intervals, none if empty.  hover : what a point says of itself.  band : whether the
    intervals of neighbours run together, for points too dense for bars.
    """

    name: str
    look: Look
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    hover: Sequence[str] = ()
    line: bool = True
    band: bool = False


@dataclass(frozen=True)
class Axis:
    """A label with its unit.

    names : in place of the numbers 0, 1, ….  mark : a value to compare with.  whole : ticks at whole numbers alone.
    ticks : marks of the axis, none for such as suit it.
    """

    label: str
    log: bool = False
    names: Sequence[str] = ()
    mark: float | None = None
    whole: bool = False
    ticks: Sequence[float] = ()


@dataclass(frozen=True)
class Panel:
    """Series under one title."""

    title: str
    series: Sequence[Series]


@dataclass(frozen=True)
class Chart:
    """Panels side by side with common axes; intervals lie along `along`, "x" or "y".

    choices : panels that a reader may choose from on screen, in place of `panels`, which paper shows.
    """

    name: str
    title: str
    caption: str
    x: Axis
    y: Axis
    panels: Sequence[Panel]
    along: str = "y"
    choices: Mapping[str, Panel] = field(default_factory=dict)
    legend: bool = True


def percent(value: float) -> str:
    """A share of 1 as a percentage of three digits."""
    return f"{100 * value:.3g} %".replace("-", "−")
