"""How a method looks in every picture: one colour, marker and dash each, the same everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.protocol.entries import BOUND, COMMITTEE, HYBRID, Entry
from experiments.protocol.spec import ProtocolSpec

# Okabe and Ito's colour-blind safe palette, its yellow darkened to be seen on white: a hue for each arm.
_ARMS = ("#56B4E9", "#0072B2", "#009E73", "#E69F00", "#998F00", "#D55E00", "#8A3F6A", "#CC79A7")
_ARM_MARKERS = "osD^vXPh"
_GREYS = ("#B0B0B0", "#707070", "#909090", "#505050", "#303030", "#808080", "#606060", "#404040", "#A0A0A0")
_GREY_MARKERS = "_v^<>dpHx"
_DASHES = {"resnet": "-", "fractional": "--", "dense-additive": "-.", "dense-concatenating": ":"}

SYMBOLS = {
    "o": "circle",
    "s": "square",
    "D": "diamond",
    "d": "diamond-tall",
    "^": "triangle-up",
    "v": "triangle-down",
    "<": "triangle-left",
    ">": "triangle-right",
    "X": "x",
    "x": "x-thin-open",
    "P": "cross",
    "h": "hexagon",
    "H": "hexagon2",
    "p": "pentagon",
    "*": "star",
    "_": "line-ew-open",
    "|": "line-ns-open",
}
"""Markers of matplotlib to symbols of plotly."""

STROKES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
"""Dashes of matplotlib to those of plotly."""


@dataclass(frozen=True)
class Look:
    """Colour, marker and dash in the names of matplotlib; open markers where `filled` is not set."""

    colour: str
    marker: str
    dash: str = "-"
    filled: bool = True


_OWN = {
    BOUND: Look("#000000", "|", ":"),
    HYBRID: Look("#000000", "D", "--", filled=False),
    COMMITTEE: Look("#000000", "D", "-"),
}
"""Kinds with a look of their own."""

TRUTH = Look("#000000", "", "--")
"""Of what theory allows, and of lines to compare with."""


def looks(spec: ProtocolSpec, entries: Sequence[Entry]) -> dict[str, Look]:
    """Name of each method of a study to its look.

    The hue says how the steps are chosen, the dash and whether markers are filled say the family, and networks
    that differ in depth, number of training samples or name alone differ in their marker.  Networks without steps
    are black stars, Gauss-Newton from a network is an open black diamond and the mean of several networks a full
    one; yardsticks are grey.
    """
    keys = list(dict.fromkeys(e.key for e in entries if not e.variant and e.kind not in _OWN))
    found, kin = {}, {}
    for entry in entries:
        if entry.kind in _OWN:
            found[entry.name] = _OWN[entry.kind]
            continue
        if not entry.variant:
            place = keys.index(entry.key)
            found[entry.name] = Look(_GREYS[place % 9], _GREY_MARKERS[place % 9], ":")
            continue
        cell = entry.variant.cell
        number = kin.setdefault((cell.data, cell.noise, cell.family, entry.key), [])
        found[entry.name] = network(spec, cell.family, entry.key, len(number))
        number.append(entry.name)
    return found


def network(spec: ProtocolSpec, family: str, arm: str, number: int = 0) -> Look:
    """The look of an arm in a family, the `number`-th of those that differ in something else."""
    if family == "feed-forward":
        return Look("#000000", "*XPh"[number % 4], "-.")
    place = list(spec.arms).index(arm)
    filled = family not in ("fractional", "dense-concatenating")
    marker = _ARM_MARKERS[(place + place // 8 + number) % 8]  # a ninth arm has the hue of the first alone
    return Look(_ARMS[place % 8], marker, _DASHES[family], filled)
