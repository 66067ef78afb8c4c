"""The page of a study: one HTML file that opens offline and prints, and its pictures as PDF and PNG."""

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from experiments.errors import StudyError
from experiments.files import read_json, write_text
from experiments.plots.style import picture
from experiments.protocol.report import (
    charts,
    curves,
    depth_chart,
    figures,
    findings,
    interactive,
    sections,
    setup,
)
from experiments.protocol.report.chart import Chart
from experiments.protocol.report.material import Material, Problem
from experiments.protocol.sheets import KEPT

TEMPLATES = Path(__file__).parents[2] / "templates"
SHADES = 64
"""Colours of a picture in the page: enough for curves and maps, at a third of the size."""


@dataclass(frozen=True)
class Shown:
    """A picture: printed as `source`, on screen drawn from `table` (JSON) where it has one."""

    name: str
    title: str
    caption: str
    source: str
    table: Markup | None = None
    height: int = 0
    unknowns: bool = False
    samples: int = 0


def write(folder: str | Path, out: str | Path | None = None, pictures: str | Path | None = None) -> Path:
    """Write the page of a finished study from its tables and score sheets, and return its path.

    out : by default report.html in the folder.  pictures : where PDF and PNG go, by default pictures in the folder.
    Equal tables and sheets give equal bytes.  Raises StudyError if the folder holds no finished study.
    """
    material = Material.of(folder)
    depths = _depths(material.folder.path / "depths")
    out = material.folder.path / "report.html" if out is None else Path(out)
    home = material.folder.path / "pictures" if pictures is None else Path(pictures)
    home.mkdir(parents=True, exist_ok=True)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("study.html.j2").render(**_facts(material, home), depths=depths)
    write_text(out, page)
    return out


def _facts(material: Material, home: Path) -> dict[str, Any]:
    """Everything that the page says."""
    forest, found = charts.forest(material), depth_chart.found(material)
    first = material.problems[0].dataset.manifest.provenance
    return {
        "spec": material.spec,
        "library": Markup(interactive.library()),
        "script": Markup((TEMPLATES / "study.js").read_text("utf-8")),
        "answers": findings.answers(material),
        "horizons": findings.horizons(material),
        "places": _places(material),
        "compared": _compared(material),
        "starts": findings.starts(material),
        "below": findings.below(material),
        "found_depths": findings.depths(material),
        "depth_chart": found and _chart(found, home),
        "started": sections.starts(material),
        "noises": _noises(material, home),
        "forest": forest and _chart(forest, home),
        "prices": _chart(charts.prices(material), home),
        "problems": [_section(problem, home) for problem in material.problems],
        "kinds": len({problem.key for problem in material.problems}),
        "comparisons": _comparisons(material),
        "versions": _versions(material),
        "host": first.get("host", {}),
        "made": [_made(problem) for problem in material.problems],
        "networks": sum(variant.seeds for variant in material.plan.variants),
        "trials": len(material.plan.points),
        "given": any(material.plan.given(variant) for variant in material.plan.variants),
        "evaluations": sections.number(_evaluations(material)),
    }


def _section(problem: Problem, home: Path) -> dict[str, Any]:
    """What the page says of one problem."""
    drawn = [charts.places(problem), charts.noise(problem), charts.directions(problem), charts.steps(problem)]
    drawn += [curves.depth(problem), curves.learning(problem)]
    shown = {chart.name.split("-")[0]: _chart(chart, home) for chart in drawn if chart is not None}
    return {
        "id": problem.slug,
        "title": problem.title,
        "setup": setup.sentences(problem),
        "yardsticks": findings.yardsticks(problem),
        "elsewhere": findings.elsewhere(problem),
        "main": sections.main(problem),
        "outside": sections.outside(problem),
        "distances": sections.distances(problem),
        "depths": sections.depths(problem),
        "tuned": sections.tuned(problem),
        "full": sections.full(problem),
        "shown": shown,
        "unknowns": _unknowns(problem, home),
    }


def _places(material: Material) -> str:
    """What sets apart the places of the grid besides their problem and family."""
    cells = {variant.cell for variant in material.plan.variants if variant.cell.family != "feed-forward"}
    names = {"layers": "one depth", "samples": "one number of training samples", "network": "one name"}
    return " and ".join(text for key, text in names.items() if len({getattr(c, key) for c in cells}) > 1)


def _compared(material: Material) -> dict[str, Any]:
    """How many comparisons there are here and share one error rate, and from how many seeds."""
    rows = material.tables["comparisons"]
    seeds = " to ".join(
        dict.fromkeys(f"{pick(row['seeds'] for row in rows):g}" for pick in (min, max) if rows)
    )
    return {
        "here": len(rows),
        "all": max((int(row.get("of", len(rows))) for row in rows), default=0),
        "seeds": seeds,
    }


def _noises(material: Material, home: Path) -> list[dict[str, Any]]:
    """What the page says of each data set on which methods were trained at several noises."""
    found = {key: curves.noises(material, key) for key in dict.fromkeys(p.key for p in material.problems)}
    return [
        {
            "id": f"over-{key}",
            "title": material.spec.data[key].title,
            "chart": _chart(chart, home),
            "table": sections.over_noise(material, key),
        }
        for key, chart in found.items()
        if chart is not None
    ]


def _chart(chart: Chart, home: Path) -> Shown:
    table = interactive.draw(chart)
    source = _drawn(chart.name, figures.draw(chart), home)
    return Shown(chart.name, chart.title, chart.caption, source, _json(table), table["layout"]["height"])


def _unknowns(problem: Problem, home: Path) -> Shown | None:
    """True and recovered unknowns of the first samples, beside each other; None without a network."""
    methods = [entry for entry in (problem.best, problem.best_classical) if entry is not None]
    if problem.best is None:
        return None
    kept = [entry.sheets[0].arrays[problem.main]["estimates"] for entry in methods]
    count = min(len(estimates) for estimates in kept)
    columns = {"truth": problem.truth()[:count]} | {
        problem.label(entry.name): estimates[:count] for entry, estimates in zip(methods, kept, strict=True)
    }
    squared = problem.best.sheets[0].arrays[problem.main]["squared"][:count]
    order = squared.argsort(kind="stable")
    rows = {
        f"{rank} of the first {count}": int(order[place])
        for rank, place in (("best", 0), ("median", (count - 1) // 2), ("worst", count - 1))
    }
    described = problem.dataset.split(problem.main.split).problem
    name = f"unknowns-{problem.slug}"
    source = _drawn(name, figures.cuts(described, columns, rows), home)
    said = (
        "Samples of the split that counts, at the noise of training: the truth, the network of least validation "
        "loss (first seed) and the classical method of least error. "
    )
    caption = (
        said
        + f"On paper: the best, the median and the worst of the first {count} samples by the network's error, cut "
        "through the largest true value. On screen: any of them in three dimensions; turn it with the mouse. One "
        "scale of colours for all."
    )
    table = interactive.unknowns(described, columns)
    return Shown(
        name, "True and recovered unknowns", caption, source, _json(table), 430, True, min(count, KEPT)
    )


def _drawn(name: str, made: Figure, home: Path) -> str:
    """Write a picture as PDF and PNG; returns what the page shows of it."""
    files = {suffix: picture(made, suffix) for suffix in (".pdf", ".png")}
    for suffix, content in files.items():
        (home / f"{name}{suffix}").write_bytes(content)
    return _png(files[".png"])


def _png(content: bytes) -> str:
    """A PNG as a data URI, in fewer colours than it has."""
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.open(io.BytesIO(content)).convert("RGB").quantize(SHADES, dither=Image.Dither.NONE)
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _json(table: Any) -> Markup:
    """A table that may stand inside a script element."""
    text = json.dumps(table, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c"))


def _comparisons(material: Material) -> list[sections.Table]:
    """All rows of the tables of comparisons."""
    made = []
    for table, caption in (
        ("comparisons", "Every comparison, with Holm's correction over all of the study"),
        (
            "elsewhere",
            "Every comparison at other noise than that of training and out of distribution: single intervals",
        ),
        ("ablation", "How much is the horizon: single intervals"),
        ("against", "Networks of least validation loss beside yardsticks: single intervals"),
        ("bounds", "Errors as multiples of the bound: single intervals"),
        ("losses", "Losses of training and validation: mean squares of the standardised unknown"),
        ("depths", "Fixed depths and those that are found"),
        ("hybrid", "Gauss-Newton from the network beside its cold start: single intervals"),
    ):
        rows = material.tables[table]
        if rows:
            cells = [[sections.cell(value) for value in row.values()] for row in rows]
            made.append(sections.Table(caption, [key.replace("_", " ") for key in rows[0]], cells))
    return made


def _depths(folder: Path) -> dict[str, Any] | None:
    """What a study of depth found, if its folder lies in that of the study."""
    if not (folder / "summary.json").exists():
        return None
    summary = read_json(folder / "summary.json", "summary", "run `maxinv depths` again, or remove the folder")
    shown = []
    try:
        for name, caption in summary["captions"].items():
            source = _png((folder / "pictures" / f"{name}.png").read_bytes())
            shown.append(Shown(name, name, caption, source))
        facts = {key: summary[key] for key in ("networks", "trained", "bounds", "verdicts", "reach")}
    except (OSError, KeyError, TypeError) as error:
        raise StudyError(
            f"{folder}: lacks {error}; run `maxinv depths` again, or remove the folder."
        ) from None
    return {"shown": shown, **facts}


def _versions(material: Material) -> dict[str, str]:
    """Versions of the data sets and of the training."""
    found: dict[str, str] = {}
    for problem in material.problems:
        found |= problem.dataset.manifest.provenance["versions"]
    return found | _record(material)["provenance"]["versions"]


def _record(material: Material) -> dict[str, Any]:
    """The record of the first run."""
    folder = material.folder.sheet(material.plan.variants[0], 0).parent
    return read_json(folder / "run.json", "run", "run `maxinv study` again")


def _made(problem: Problem) -> dict[str, str]:
    """Where a data set comes from."""
    manifest, about = problem.dataset.manifest, problem.material.spec.data[problem.key]
    changes = ", ".join(f"{key} = {value}" for key, value in about.set.items())
    return {
        "title": problem.title,
        "recipe": about.recipe + (f" with {changes}" if changes else ""),
        "digest": manifest.digest,
        "commit": str(manifest.provenance.get("commit", "")),
        "samples": f"{len(problem.dataset):,}",
    }


def _evaluations(material: Material) -> float:
    """Layer evaluations of all training and tuning."""
    rows = [row for row in material.tables["costs"] if row["layer_evaluations"] is not None]
    return sum(row["layer_evaluations"] * row["seeds"] + row["tuning_evaluations"] for row in rows)
