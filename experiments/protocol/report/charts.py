"""What the pictures of a report show: of each problem, and of the whole study."""

from collections.abc import Sequence

from experiments.intervals import NONE_SHOWN
from experiments.protocol.entries import BOUND, Row
from experiments.protocol.report.chart import Axis, Chart, Panel, Series, percent
from experiments.protocol.report.looks import TRUTH, Look
from experiments.protocol.report.material import Material, Problem, cell_of, name_of
from experiments.protocol.sheets import Place
from experiments.variants import FAMILY_NAMES

FURTHEST = 100.0
"""Largest change that the picture of all comparisons shows, in %: a failure must not press all else together."""


def place_name(place: Place) -> str:
    """A test split at a level of noise, for a reader."""
    return f"{place.split}, {percent(place.level)} noise"


def places(problem: Problem) -> Chart:
    """Error of every method on every split at the noise of training; on screen at every level, too."""
    names = [entry.name for entry in problem.entries][::-1]
    panels = {place: Panel(place_name(place), _dots(problem, place, names)) for place in problem.places}
    return Chart(
        f"places-{problem.slug}",
        "Error of every method on every test split",
        "Each mark is the error of one method with its 95 % interval over seeds and samples; further left is "
        "better, 1 is always answering with the prior mean. The first panel is the place that counts; compare the "
        "order of the methods there with that on splits outside the distribution of training.",
        Axis("error relative to that of the prior mean", log=True, mark=1.0),
        Axis("", names=[problem.label(name) for name in names]),
        [panel for place, panel in panels.items() if place.level == problem.main.level],
        along="x",
        choices={place_name(place): panel for place, panel in panels.items()},
        legend=False,
    )


def _dots(problem: Problem, place: Place, names: Sequence[str]) -> list[Series]:
    rows = problem.at(place)
    return [
        Series(
            problem.label(name),
            problem.material.looks[name],
            [rows[name]["error"]],
            [names.index(name)],
            [rows[name]["low"]],
            [rows[name]["high"]],
            [_said(problem.label(name), rows[name])],
            line=False,
        )
        for name in reversed(names)
        if name in rows
    ]


def _said(label: str, row: Row) -> str:
    return (
        f"{label}<br>error {row['error']:.3g} ({row['low']:.3g} to {row['high']:.3g})<br>"
        f"{row['split']}, {percent(row['level'])} noise, {row['samples']:g} samples"
    )


def noise(problem: Problem) -> Chart | None:
    """Error against the level of the test noise, a panel a family, yardsticks beside; None for a single level."""
    levels = sorted({p.level for p in problem.places if p.split == problem.main.split})
    if len(levels) < 2:
        return None
    rows = [problem.at(Place(problem.main.split, level)) for level in levels]

    def line(name: str) -> Series:
        here = [(k, row[name]) for k, row in enumerate(rows) if name in row]
        label = problem.label(name)
        x, found = [k for k, _ in here], [row for _, row in here]
        ends = ([row[key] for row in found] for key in ("error", "low", "high"))
        return Series(label, problem.material.looks[name], x, *ends, [_said(label, row) for row in found])

    return Chart(
        f"noise-{problem.slug}",
        "Error against the noise of the test data",
        f"Networks stay as trained, at {percent(problem.noise)} noise; classical methods know the level of each "
        "test, and need one above 0. Bars are 95 % intervals. A flat curve is not limited by noise; one that rises "
        f"early amplifies it. Levels are evenly spaced, not to scale.{_one(problem)}",
        Axis("noise in % of the RMS of the training data", names=[f"{100 * level:g}" for level in levels]),
        Axis("error relative to that of the prior mean", log=True, mark=1.0),
        _panels(problem, line),
    )


def _one(problem: Problem) -> str:
    if not problem.several:
        return ""
    return (
        " Of networks that differ in depth, training samples or name alone, the one of least validation loss is "
        "shown, of all samples if there is one."
    )


def _panels(problem: Problem, line, extra: Sequence[Series] = ()) -> list[Panel]:
    """A panel of yardsticks and plain networks, and one a family of networks with steps."""
    plain = [e.name for e in problem.entries if not e.variant]
    plain += [entry.name for entry in problem.chosen.get("feed-forward", ())]
    panels = [Panel("yardsticks and plain networks", [*extra, *map(line, plain)])]
    for family, entries in problem.families():
        panels.append(Panel(FAMILY_NAMES[family], [*extra, *(line(entry.name) for entry in entries)]))
    return [Panel(p.title, [s for s in p.series if len(s.x)]) for p in panels]


def directions(problem: Problem) -> Chart | None:
    """Error along each singular direction, and the best that linear theory allows; None where there are none."""
    rows = problem.rows("directions")
    if not rows:
        return None
    named: dict[str, list[Row]] = {}
    for row in rows:
        named.setdefault(name_of(row), []).append(row)
    first = next(iter(named.values()))

    def line(name: str) -> Series:
        here, label = named.get(name, []), problem.label(name)
        said = [
            f"{label}<br>direction {row['direction']:g}: {row['error']:.3g} "
            f"({row['low']:.3g} to {row['high']:.3g})"
            for row in here
        ]
        x, *rest = ([row[key] for row in here] for key in ("direction", "error", "low", "high"))
        return Series(label, problem.material.looks[name], x, *rest, hover=said, band=True)

    allowed = Series(
        "what linear theory allows", TRUTH, *([row[key] for row in first] for key in ("direction", "best"))
    )
    return Chart(
        f"directions-{problem.slug}",
        "Error along the singular directions of the forward map",
        "Root-mean-square error along each singular direction, in standard deviations of the prior: 1 is knowing "
        "nothing. Directions are ordered from the best to the least seen in the data. Dashed: the least error of "
        "any method under a Gaussian prior and the map linearised at the prior mean; below it, a method knows "
        "more of the prior than its covariance; far above it, it leaves out what the data say, or meets the error "
        f"of the training mesh, which is not in that line. Bands are 95 % intervals.{_one(problem)}",
        Axis("singular direction, from the best seen", whole=True),
        Axis("error in standard deviations of the prior", log=True, mark=1.0),
        _panels(problem, line, [allowed]),
    )


def steps(problem: Problem) -> Chart | None:
    """Time steps of each layer over their mean, a line a seed and a panel a network; None where none has any."""
    panels = []
    for entry in (entry for _, entries in problem.families() for entry in entries):
        label, series, sums = problem.label(entry.name), [], []
        for seed, sheet in enumerate(entry.sheets):
            taken = sheet.about["steps"]
            if taken is None or (seed and problem.material.spec.arms[entry.key].time == "fixed"):
                continue  # fixed ones are alike
            mean = sum(map(abs, taken)) / len(taken)
            said = [
                f"{label}, seed {seed}<br>layer {k} of {len(taken)}: {tau:.4g}<br>their sum {sum(taken):.4g}"
                for k, tau in enumerate(taken, 1)
            ]
            x = [(k - 0.5) / len(taken) for k in range(1, len(taken) + 1)]
            look = problem.material.looks[entry.name]
            series.append(Series(label, look, x, [tau / mean for tau in taken], hover=said))
            sums.append(sum(taken))
        if series:
            ends = [f"{pick(sums):.3g}".replace("-", "−") for pick in (min, max)]
            panels.append(Panel(f"{label}: Στ {' to '.join(dict.fromkeys(ends))}", series))
    if not panels:
        return None
    return Chart(
        f"steps-{problem.slug}",
        "Time steps after training, layer by layer",
        "One panel a way to choose the steps, one line a seed, from the first layer to the last; Στ is the horizon "
        "that they end with. Fixed steps and a learned horizon lie at 1. Look for lines that bend alike from every "
        f"seed: only those show a placement that the problem asks for.{_one(problem)}",
        Axis("place of the layer, from first (0) to last (1)", ticks=[0, 0.25, 0.5, 0.75, 1]),
        Axis("time step relative to the mean of |τ|", mark=1.0),
        panels,
        legend=False,
    )


def forest(material: Material) -> Chart | None:
    """Every comparison of the study with its interval, a panel a problem; None if it has none."""
    rows = material.tables["comparisons"]
    if not rows:
        return None
    several = {
        key: len({getattr(cell_of(row), key) for row in rows}) > 1 for key in ("layers", "samples", "network")
    }

    def name(row: Row) -> str:
        place = FAMILY_NAMES[row["family"]]
        place += f", {row['layers']:g} layers" if several["layers"] else ""
        place += f", {row['training_samples']} samples" if several["samples"] else ""
        place += f", {row['network'] or 'usual settings'}" if several["network"] else ""
        return f"{place}: {material.arm(row['other'])}\nagainst {material.arm(row['baseline'])}"

    names = list(dict.fromkeys(name(row) for row in rows))[::-1]
    panels, beyond = [], False
    for problem in (problem for problem in material.problems if problem.rows("comparisons")):
        series = []
        for row in problem.rows("comparisons"):
            look = material.looks[f"{cell_of(row).name}/{row['other']}"]
            decided = row["verdict"] != NONE_SHOWN
            said = (
                f"{name(row)}: {percent(row['change'])} ({percent(row['low'])} to {percent(row['high'])})"
                f"\np = {row['p']:.2g}, Holm's {row['p_holm']:.2g}: {row['verdict']}"
            )
            x, *ends = ([min(100 * row[key], FURTHEST)] for key in ("change", "low", "high"))
            beyond |= row["high"] * 100 > FURTHEST
            look = Look(look.colour, "o", look.dash, decided)  # an open plus looks like a filled one
            said = said.replace("\n", "<br>")
            series.append(Series(name(row), look, x, [names.index(name(row))], *ends, [said], line=False))
        panels.append(Panel(problem.title, series))
    return Chart(
        "forest",
        "Every comparison of the study",
        "Change of the root-mean-square error when the first way to choose the steps replaces the second, same "
        "seeds and samples, with its 95 % interval: left of 0 the first is better. Filled marks hold after Holm's "
        "correction for all comparisons of the study; at open ones no difference is shown."
        + (f" What ends at +{FURTHEST:g} % goes on beyond it." if beyond else ""),
        Axis("change of the error in %", mark=0.0),
        Axis("", names=names),
        panels,
        along="x",
        legend=False,
    )


def prices(material: Material) -> Chart:
    """Error against the time of one inversion, a panel a problem."""
    panels = []
    for problem in material.problems:
        errors, series = problem.at(problem.main), []
        shown = {entry.name for kin in problem.chosen.values() for entry in kin}
        shown |= {entry.name for entry in problem.entries if not entry.variant and entry.kind != BOUND}
        for row in (row for row in problem.rows("costs") if name_of(row) in shown):
            name = name_of(row)
            label, error = problem.label(name), errors[name]
            said = f"{_said(label, error)}<br>{1e3 * row['seconds_one']:.3g} ms an inversion"
            ends = [error["low"]], [error["high"]]
            series.append(
                Series(
                    label,
                    material.looks[name],
                    [row["seconds_one"]],
                    [error["error"]],
                    *ends,
                    [said],
                    line=False,
                )
            )
        panels.append(Panel(problem.title, series))
    return Chart(
        "prices",
        "Error against the time of one inversion",
        "Lower left is better. Times are of the processor, for one observation alone on one core of this machine, "
        "without training or the preparation of a method, and do not repeat to the digit."
        f"{max(map(_one, material.problems), key=len)}",
        Axis("seconds of one inversion", log=True),
        Axis("error relative to that of the prior mean", log=True),
        panels,
    )
