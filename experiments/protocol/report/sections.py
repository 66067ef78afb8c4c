"""What the page says of each problem in tables: rows of cells as text, ready to print."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from experiments.protocol.distances import ALL
from experiments.protocol.entries import BOUND, Row
from experiments.protocol.report.chart import percent
from experiments.protocol.report.material import Material, Problem, cell_of, name_of
from experiments.protocol.sheets import Place


@dataclass(frozen=True)
class Table:
    """A table to print.  rows : cells as text, the first the name; strong : rows to stand out."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: frozenset[int] = frozenset()


def main(problem: Problem) -> Table:
    """Every method at the place that counts: what it achieves, and what it costs."""
    costs = {name_of(row): row for row in problem.rows("costs")}
    errors, most = problem.at(problem.main), max(row["samples"] for row in problem.at(problem.main).values())
    rows = []
    for name, row in errors.items():
        cost = costs[name]
        few = "" if row["samples"] == most else f" (first {row['samples']:g})"
        rows.append(
            [
                problem.label(name) + few,
                interval(row),
                number(row["median"]),
                number(row["misfit"]),
                number(row["noise_gain"]),
                number(row["worst_case"]),
                seconds(cost["seconds_one"] or None),
                seconds(cost["training_seconds"]),
                count(cost["parameters"]),
                number(cost["layer_evaluations"]),
                number(cost["tuning_evaluations"]),
            ]
        )
    head = "method|error (95 % interval)|median|data misfit|noise gain|worst case|one inversion|training"
    head += "|parameters|layer evaluations|all trials"
    ranked = sorted(
        (row["error"], k, row["kind"]) for k, row in enumerate(errors.values()) if row["kind"] != BOUND
    )
    strong = {ranked[0][1], *[k for _, k, kind in ranked if kind == "network"][:1]}
    caption = (
        f"{problem.title}: split {problem.main.split}, {percent(problem.main.level)} noise, {most:g} samples"
    )
    return Table(caption, head.split("|"), rows, frozenset(strong))


def outside(problem: Problem) -> Table | None:
    """Error of every method on every other split at the noise of training; None without such splits."""
    places = [p for p in problem.places if p.level == problem.noise and p.split != problem.main.split]
    if not places:
        return None
    found = {place: problem.at(place) for place in places}
    names = [entry.name for entry in problem.entries if any(entry.name in rows for rows in found.values())]
    rows = [
        [problem.label(n), *(interval(found[p][n]) if n in found[p] else "" for p in places)] for n in names
    ]
    head = ["method", *(_split(problem, place) for place in places)]
    return Table("Other splits, error (95 % interval)", head, rows)


def _split(problem: Problem, place: Place) -> str:
    crime = problem.dataset.split(place.split).inverse_crime
    return f"{place.split} (mesh of training: inverse crime)" if crime else place.split


def distances(problem: Problem) -> Table | None:
    """Every method's error as a multiple of the bound, in all and by group; None where there is no bound."""
    rows = problem.rows("bounds")
    if not rows:
        return None
    groups = list(dict.fromkeys(row["group"] for row in rows))
    lines: dict[str, list[Row]] = {}
    for row in rows:
        lines.setdefault(problem.label(name_of(row)), []).append(row)
    cells = _crossed(lines, groups, "group")
    few = max(row["samples"] for row in rows)
    return Table(
        f"Distance from the bound ({rows[0]['bound']}): error / bound (95 % interval), {few:g} samples",
        ["method", *("all unknowns" if group == ALL else group for group in groups)],
        cells,
    )


def over_noise(material: Material, key: str) -> Table | None:
    """Errors as multiples of the bound, of methods that come in several noises of training; None without any."""
    problems = sorted((p for p in material.problems if p.key == key), key=lambda problem: problem.noise)
    rows = [row for problem in problems for row in problem.rows("bounds", group=ALL)]
    same: dict[object, list[Row]] = {}
    for row in rows:
        which = (replace(cell_of(row), noise=0.0), row["method"]) if row["family"] else row["method"]
        same.setdefault(which, []).append(row)
    several = [found for found in same.values() if len(found) > 1]
    if not several:
        return None
    noises = sorted({row["noise"] for found in several for row in found})
    shown = [material.by_name[name_of(found[0])] for found in several]
    home = {entry.name: problem for problem in problems for entry in problem.entries}
    lines = {home[e.name].label(e.name, shown): found for e, found in zip(shown, several, strict=True)}
    return Table(
        f"Distance from the bound ({rows[0]['bound']}): error / bound (95 % interval), at each noise",
        ["method", *(f"{100 * noise:g} %" for noise in noises)],
        _crossed(lines, noises, "noise"),
    )


def _crossed(lines: Mapping[str, Sequence[Row]], columns: Sequence, key: str) -> list[list[str]]:
    """Ratios to the bound: a line a method, a column a value of the key."""
    cells = []
    for label, rows in lines.items():
        texts = {r[key]: f"{number(r['ratio'])} ({number(r['low'])} – {number(r['high'])})" for r in rows}
        cells.append([label, *(texts.get(column, "") for column in columns)])
    return cells


def depths(problem: Problem) -> Table | None:
    """Fixed depths and those that are found, at what each costs; None where no network changes its depth."""
    rows = problem.rows("depths")
    if not rows:
        return None
    cells, strong = [], set()
    for k, row in enumerate(rows):
        ends = f"{row['least']:g} – {row['most']:g}" if row["least"] < row["most"] else f"{row['most']:g}"
        best = row["method"] == row["best_fixed"]
        strong |= {k} if best or row["changes"] == "True" else set()
        cells.append(
            [
                problem.label(name_of(row)) + " (best fixed)" * best,
                f"{row['starts']:g}",
                ends,
                count(row["parameters"]),
                number(row["horizon"]),
                number(row["work"]),
                seconds(row["seconds_one"]),
                f"{number(row['valid'])} ({number(row['valid_low'])} – {number(row['valid_high'])})",
                "" if best else _percents(row, "valid_change"),
                "" if best else _percents(row, "error_change"),
            ]
        )
    head = "network|layers at the start|in the end|weights|horizon|work|one inversion|root of validation loss"
    head += "|change from best fixed, %|change of test error, %"
    return Table("Fixed depths and depths that are found", head.split("|"), cells, frozenset(strong))


def _percents(row: Row, key: str) -> str:
    value, low, high = (f"{100 * row[name]:.1f}" for name in (key, f"{key}_low", f"{key}_high"))
    return f"{value} ({low} – {high})"


def starts(material: Material) -> Table | None:
    """Gauss-Newton from the network beside its cold start; None where it was not tried."""
    rows = material.tables["hybrid"]
    if not rows:
        return None
    head = "problem|samples|error reached, %|smaller by 1 %, %|misfit reached, %|fewer iterations, %"
    head += "|iterations, cold → network|their change"
    cells = [
        [
            material.titles[row["data"], row["noise"]],
            count(row["samples"]),
            _share(row, "reached"),
            _share(row, "ahead"),
            _share(row, "fitted"),
            _share(row, "fewer"),
            f"{number(row['iterations_cold'])} → {number(row['iterations_hybrid'])}",
            f"{number(row['change'])} ({number(row['change_low'])} – {number(row['change_high'])})",
        ]
        for row in rows
    ]
    return Table("Gauss-Newton from the network and from cold (95 % intervals)", head.split("|"), cells)


def _share(row: Row, key: str) -> str:
    if row.get(key) is None:  # or the study is older than the column
        return ""
    value, low, high = (f"{100 * row[name]:.3g}" for name in (key, f"{key}_low", f"{key}_high"))
    return f"{value} ({low} – {high})"


def tuned(problem: Problem) -> Table:
    """The settings that the tuning chose for each network or the study gave, and the horizon it ended with.

    An arrow tells the largest or the least value of all trials of a network: what is best may lie beyond it.
    """
    tried: dict[str, list[Row]] = {}
    for row in problem.material.tables["tuning"]:
        tried.setdefault(row["variant"], []).append(row)
    chosen = {row["variant"]: row for row in problem.material.tables["tuning"] if row["chosen"] == "True"}
    rows = []
    for entry in (entry for entry in problem.entries if entry.variant):
        given, ends = problem.material.plan.given(entry.variant), [s.about["horizon"] for s in entry.sheets]
        spec = problem.material.plan.run(entry.variant, given, 0) if given else None
        row = chosen[entry.name] if given is None else {key: getattr(spec, key) for key in _SETTINGS}
        steps = entry.variant.cell.family != "feed-forward" and None not in ends
        trials = tried.get(entry.name, []) if given is None else []
        said = [number(row[key]) + _extreme(row[key], [trial[key] for trial in trials]) for key in _SETTINGS]
        rows.append(
            [
                problem.label(entry.name),
                *said[:2],
                said[2] if steps else "",
                f"{np.mean(ends):.3g} ({min(ends):.3g} to {max(ends):.3g})" if steps else "",
                "given, not tuned" if given else number(row["valid_loss"]),
                str(len(entry.sheets)),
            ]
        )
    head = "network|learning rate|weight decay|horizon at the start|horizon after training (range of seeds)"
    caption = (
        "Settings of the networks (↑ ↓: the largest or the least of all trials; what is best may lie beyond)"
    )
    return Table(caption, [*head.split("|"), "validation loss", "seeds"], rows)


def _extreme(value: float, tried: list[float]) -> str:
    ends = {max(tried): " ↑", min(tried): " ↓"} if len(set(tried)) > 1 else {}
    return ends.get(value, "")


_SETTINGS = ("learning_rate", "weight_decay", "horizon")


def full(problem: Problem) -> list[Table]:
    """All rows of the long tables about this problem."""
    made = [
        _long(problem, "errors", "Errors at every place", _ERRORS),
        _long(problem, "groups", "Errors by group of unknowns, in their units", _GROUPS),
    ]
    rows = problem.rows("directions")
    if rows:
        named: dict[str, list[Row]] = {}
        for row in rows:
            named.setdefault(name_of(row), []).append(row)
        first = next(iter(named.values()))
        cells = [["what linear theory allows", *(number(row["best"]) for row in first)]]
        cells += [
            [problem.label(name), *(number(row["error"]) for row in found)] for name, found in named.items()
        ]
        head = ["direction", *(f"{row['direction']:g}" for row in first)]
        made.append(Table("Error along the singular directions", head, cells))
    names = {entry.name for entry in problem.entries}
    trials = [row for row in problem.material.tables["tuning"] if row["variant"] in names]
    cells = [
        [
            problem.label(row["variant"]),
            f"{row['trial']:g}",
            *(number(row[key]) for key in (*_SETTINGS, "valid_loss")),
            "chosen" if row["chosen"] == "True" else "",
        ]
        for row in trials
    ]
    head = ["network", "trial", "learning rate", "weight decay", "horizon", "validation loss", ""]
    made.append(Table("Every trial of the tuning", head, cells))
    return [table for table in made if table.rows]


_ERRORS = ("split", "level", "samples", "error", "low", "high", "median", "misfit", "unsolved")
_ERRORS += ("noise_gain", "worst_case", "iterations")
_GROUPS = ("split", "level", "group", "error", "low", "high")


def _long(problem: Problem, table: str, caption: str, columns: Sequence[str]) -> Table:
    rows = [
        [problem.label(name_of(row)), *(cell(row[column]) for column in columns)]
        for row in problem.rows(table)
    ]
    return Table(caption, ["method", *(column.replace("_", " ") for column in columns)], rows)


def cell(value: float | str | None) -> str:
    """A value as text."""
    return value if isinstance(value, str) else number(value)


def number(value: float | None) -> str:
    """Three digits; large and tiny ones in powers of ten."""
    if value is None:
        return ""
    if value and not 1e-4 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}·10{str(int(exponent)).translate(_POWERS)}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−") if abs(value) < 1000 else f"{value:,.0f}".replace("-", "−")


_POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def interval(row: Row) -> str:
    """An error with its interval."""
    return f"{number(row['error'])} ({number(row['low'])} – {number(row['high'])})"


def count(value: float | None) -> str:
    """A whole number."""
    return "" if value is None else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """A time in the unit that suits it."""
    if value is None:
        return ""
    for factor, unit in ((60, "min"), (1, "s"), (1e-3, "ms")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{1e6 * value:.3g} µs"
