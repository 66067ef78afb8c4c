"""What changes along the grid of a study: error over depth, over training samples, and over the noise."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from experiments.protocol.entries import BOUND, Entry, Row
from experiments.protocol.report.chart import Axis, Chart, Panel, Series, percent
from experiments.protocol.report.looks import Look, network
from experiments.protocol.report.material import Material, Problem
from experiments.variants import FAMILY_NAMES

Line = Sequence[Entry]
"""Networks, or a yardstick, along a setting."""

_ERROR = Axis("error relative to that of the prior mean", log=True, mark=1.0)
_BARS = (
    "Bars are 95 % intervals over seeds and samples, set beside each other so that all are seen; at 1 lies always "
    "answering with the prior mean."
)


def depth(problem: Problem) -> Chart | None:
    """Error over the number of layers, a panel a family; None where no network comes in several."""
    lines = _lines(problem.entries, "layers")
    if not lines:
        return None
    panels = _families(problem.material, lines, partial(_along, problem, lines, "layers", _layers))
    return Chart(
        f"depth-{problem.slug}",
        "Error over depth",
        "Each line is one way to choose the steps in networks that differ in their number of layers alone, at "
        f"{percent(problem.noise)} noise. A line that falls is helped by depth; one that rises no longer trains "
        f"well. {_settings(problem.material, lines, _layers, 'layers')}{_BARS}",
        Axis("layers", log=True, ticks=sorted({_layers(entry) for line in lines for entry in line})),
        _ERROR,
        panels,
    )


def learning(problem: Problem) -> Chart | None:
    """Error over training samples, yardsticks as level lines; None where no network comes in several numbers."""
    lines = _lines(problem.entries, "samples")
    if not lines:
        return None
    counts = sorted({_samples(entry) for line in lines for entry in line})
    rows = problem.at(problem.main)
    looks, ends = problem.material.looks, (counts[0], counts[-1])
    level = [
        _series(problem.label(e.name), looks[e.name], ends, [rows[e.name]] * 2)
        for e in problem.entries
        if not e.variant and e.key != "prior-mean" and e.name in rows
    ]
    panels = _families(problem.material, lines, partial(_along, problem, lines, "samples", _samples))
    return Chart(
        f"samples-{problem.slug}",
        "Learning curve",
        "Each line is one way to choose the steps in networks that differ in their number of training samples "
        "alone. Where it still falls at its right end, more data would help; where it is level, something else "
        "limits. Level grey lines are yardsticks, learned ones fitted to as many samples as they may have; dotted "
        f"black is the bound, where there is one. {_settings(problem.material, lines, _samples, 'samples')}"
        f"{_few(problem)}{_BARS}",
        Axis("training samples", log=True, ticks=_apart(counts)),
        _ERROR,
        [Panel(panel.title, [*panel.series, *level]) for panel in panels],
    )


def noises(material: Material, key: str) -> Chart | None:
    """Error over the noise that networks are trained for and tested at, yardsticks and bound beside.

    None where no method comes in several noises above 0.
    """
    problems = [problem for problem in material.problems if problem.key == key and problem.noise > 0]
    if len(problems) < 2:
        return None
    problems.sort(key=lambda problem: problem.noise)
    home = {entry.name: problem for problem in problems for entry in problem.entries}
    rows = {name: row for problem in problems for name, row in problem.at(problem.main).items()}

    groups = _lines([entry for problem in problems for entry in problem.entries], "noise")
    firsts = [line[0] for line in groups]

    def line(entries: Line, look: Look) -> Series:
        label = home[entries[0].name].label(entries[0].name, firsts)
        return _series(label, look, [100 * e.noise for e in entries], [rows[e.name] for e in entries])

    yardsticks: dict[str, list[Entry]] = {}
    for problem in problems:
        for entry in problem.entries:
            if not entry.variant and entry.name in rows:
                yardsticks.setdefault(entry.key, []).append(entry)
    drawn = {which: line(found, material.looks[found[0].name]) for which, found in yardsticks.items()}
    bound = [drawn[which] for which, found in yardsticks.items() if found[0].kind == BOUND]
    families = _families(material, groups, line)
    beside = _beside(list(drawn.values()), problems[-1].noise / problems[0].noise)
    plain = [s for panel in families if panel.title == FAMILY_NAMES["feed-forward"] for s in panel.series]
    panels = [Panel("yardsticks and plain networks", [*beside, *plain])]
    panels += [
        Panel(p.title, [*bound, *p.series]) for p in families if p.title != FAMILY_NAMES["feed-forward"]
    ]
    return Chart(
        f"noises-{key}",
        "Error over the noise, trained and tested at each",
        "Unlike the pictures of one noise of training, every mark is a network trained, and a method told, for the "
        "noise that it is tested at. Where there is one, the bound is dotted: a method that follows it in parallel "
        "loses a constant factor, one that levels off at small noise is limited by what it learned or by the error "
        "of the training mesh, not by noise. "
        f"{_settings(material, groups, lambda entry: 100 * entry.noise, '%')}{_few(problems[0])}{_BARS}",
        Axis(
            "noise in % of the RMS of the training data",
            log=True,
            ticks=[100 * problem.noise for problem in problems],
        ),
        _ERROR,
        panels,
    )


def _settings(material: Material, lines: Sequence[Line], x: Callable[[Entry], float], unit: str) -> str:
    """Where settings were tuned and where given, lest a change of one into the other pass for an effect."""
    found: dict[bool, set[float]] = {True: set(), False: set()}
    for entry in (entry for line in lines for entry in line):
        found[material.plan.given(entry.variant) is None].add(x(entry))
    tuned, given = (", ".join(f"{value:,.15g}" for value in sorted(found[key])) for key in (True, False))
    if found[True] & found[False]:  # both at one mark, so the lines differ
        return "Learning rate and weight decay of some lines were given, those of others tuned, as tabled. "
    if tuned and given:
        return f"Learning rate and weight decay were tuned at {tuned} {unit} and given at {given}. "
    return "Every mark is tuned with the same budget. " if tuned else "Every mark has given settings. "


def _few(problem: Problem) -> str:
    """On which samples some of what is drawn lies."""
    rows = problem.at(problem.main)
    counts = {name: row["samples"] for name, row in rows.items()}
    few = [e for e in problem.entries if not e.variant and counts.get(e.name, 0) < max(counts.values())]
    if not few:
        return ""
    names = ", ".join(entry.label for entry in few)
    return f"Over the first {counts[few[0].name]:g} samples alone: {names}. "


def _lines(entries: Line, along: str) -> list[Line]:
    """Networks that differ in one setting of their cell alone, in its order; those that come in several."""
    named: dict[tuple, list[Entry]] = {}
    for entry in entries:
        if entry.variant:
            named.setdefault((replace(entry.variant.cell, **{along: 0}), entry.key), []).append(entry)
    order = {"layers": _layers, "samples": _samples, "noise": lambda entry: entry.noise}[along]
    return [sorted(line, key=order) for line in named.values() if len(line) > 1]


def _families(material: Material, lines: Sequence[Line], draw: Callable[[Line, Look], Series]) -> list[Panel]:
    """A panel a family, a series a line; lines of one arm differ in their markers."""
    found: dict[str, list[Series]] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for line in lines:
        family, arm = line[0].variant.cell.family, line[0].key
        look = network(material.spec, family, arm, seen[family, arm])
        seen[family, arm] += 1
        found.setdefault(family, []).append(draw(line, look))
    ends = [x for series in found.values() for s in series for x in s.x]
    return [
        Panel(FAMILY_NAMES[family], _beside(series, max(ends) / min(ends)))
        for family, series in found.items()
    ]


def _beside(series: Sequence[Series], span: float) -> list[Series]:
    """Series moved a little along a logarithmic axis, so that their intervals do not cover each other."""
    middle = (len(series) - 1) / 2
    moves = [span ** (0.012 * (number - middle)) for number in range(len(series))]
    return [replace(s, x=[x * move for x in s.x]) for s, move in zip(series, moves, strict=True)]


def _along(
    problem: Problem, lines: Sequence[Line], along: str, x: Callable[[Entry], float], line: Line, look: Look
) -> Series:
    rows = problem.at(problem.main)
    label = problem.label(line[0].name, [entry for line in lines for entry in line], along)
    return _series(label, look, [x(e) for e in line], [rows[e.name] for e in line])


def _series(label: str, look: Look, x: Sequence[float], rows: Sequence[Row]) -> Series:
    said = [
        f"{label}<br>at {place:,.15g}: {row['error']:.3g} ({row['low']:.3g} to {row['high']:.3g})"
        for place, row in zip(x, rows, strict=True)
    ]
    return Series(label, look, x, *([row[end] for row in rows] for end in ("error", "low", "high")), said)


def _layers(entry: Entry) -> float:
    return entry.variant.cell.layers


def _samples(entry: Entry) -> float:
    """Training samples, counted where all are taken."""
    return entry.sheets[0].about["samples"]


def _apart(values: Sequence[float], ratio: float = 1.5) -> list[float]:
    """Those of ordered values that can be marked without overlap on a logarithmic axis; the last is one."""
    kept = [values[-1]]
    for value in values[-2::-1]:
        if kept[0] / value >= ratio:
            kept.insert(0, value)
    return kept
