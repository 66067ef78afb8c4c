"""A comparison as one self-contained HTML page."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure

import data
from experiments import compare, metrics
from experiments.errors import StudyError
from experiments.files import read_json, write_text
from experiments.plots import curves, setup, slices
from experiments.plots.style import png
from experiments.progress import clock
from experiments.runs import load
from experiments.variants import Variant, variants_of

TEMPLATES = Path(__file__).parent / "templates"
NEEDED = {
    "dataset",
    "digest",
    "runs",
    "splits",
    "left_out",
    "results",
    "levels",
    "noise",
    "scale",
    "learned_against_fixed",
}
MEDIAN = "median"
QUANTILES = {"good (10th percentile)": 0.1, MEDIAN: 0.5, "bad (90th percentile)": 0.9}
"""Samples whose recovery is shown: by the rank of their error."""


def write(comparison_file: str | Path, out: str | Path, pictures: str | Path | None = None) -> Path:
    """Write the page of a comparison and return its path; StudyError when something it needs is missing.

    pictures : folder to which every picture is written as a PNG file besides.
    """
    comparison_file, out = Path(comparison_file), Path(out)
    comparison = read_json(comparison_file, "comparison", "make one with `maxinv compare`")
    if not isinstance(comparison, dict) or not set(comparison) >= NEEDED:
        raise StudyError(f"{comparison_file}: is not a comparison of this version; make it again.")
    base = comparison_file.parent
    dataset = data.open(base / comparison["dataset"])
    variants = variants_of([load(base / run) for runs in comparison["runs"].values() for run in runs])
    if comparison["digest"] != dataset.manifest.digest or {v.label for v in variants} != set(
        comparison["runs"]
    ):
        raise StudyError(
            f"{comparison_file}: data set or runs have changed since; compare again with `maxinv compare`."
        )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = metrics.percent
    chosen = _chosen(comparison, dataset, variants)
    drawn = {name: png(made) for name, made in _pictures(comparison, dataset, variants, chosen).items()}
    page = environment.get_template("report.html.j2").render(
        **_facts(comparison, dataset, variants),
        best=chosen.variant,
        picture={name: "data:image/png;base64," + base64.b64encode(p).decode() for name, p in drawn.items()},
    )
    if pictures is not None:
        Path(pictures).mkdir(parents=True, exist_ok=True)
        for name, content in drawn.items():
            (Path(pictures) / f"{name}.png").write_bytes(content)
    write_text(out, page)
    return out


def _facts(comparison: dict[str, Any], dataset: data.Dataset, variants: list[Variant]) -> dict[str, Any]:
    """The words and numbers of the page."""
    problem = dataset.problem
    records = {name: dataset.split(name).records for name in dataset.splits}
    main = _main_split(comparison)
    rules = {v.spec.time for v in variants if v.learned}
    return {
        "one_horizon": rules <= {"simplex"} and len({v.spec.horizon for v in variants}) == 1,
        "valid_relation": compare.relation(dataset, "valid"),
        "problem": problem,
        "skin_depth": problem.scaling.skin_depth(problem.background),
        "dataset": dataset,
        "meshes": [
            {
                "split": name,
                "samples": len(dataset.split(name)),
                "mesh": ", ".join(f"{k} {v}" for k, v in dataset.split(name).mesh.items()),
                "dofs": int(records[name]["dofs"][0]),
                "error": f"{records[name]['error'].max():.0e}",
                "residual": f"{records[name]['residual'].max():.0e}",
                "reciprocity": f"{records[name]['reciprocity'].max():.0e}",
                "seconds": f"{np.median(records[name]['seconds']):.2f}",
                "crime": dataset.split(name).inverse_crime and name != "train",
            }
            for name in dataset.splits
        ],
        "mesh_difference": _mesh_difference(dataset),
        "comparison": comparison,
        "main": main,
        "crime_effect": _crime_effect(comparison, main),
        "tables": [
            {
                "title": compare.title(comparison, split),
                "relation": comparison["splits"][split]["relation"],
                "crime": comparison["splits"][split]["inverse_crime"],
                "problem": comparison["splits"][split]["problem"],
                "rows": compare.table(comparison, split),
                "verdicts": compare.verdicts(comparison, split),
            }
            for split in sorted(comparison["splits"], key=lambda s: s != main)
        ],
        "variants": variants,
        "seconds": clock(sum(run.record["seconds"] for v in variants for run in v.runs)),
        "versions": dataset.manifest.provenance["versions"],
        "training_versions": variants[0].runs[0].record["provenance"]["versions"],
        "settings": _shared_settings(variants),
    }


@dataclass(frozen=True)
class _Chosen:
    """What the pictures of single samples show: a variant, its estimates, and the rows they are about."""

    variant: Variant
    truth: np.ndarray  # (n, p)
    estimates: np.ndarray  # (n, p), of the variant's first seed
    rows: dict[str, int]


def _chosen(comparison: dict[str, Any], dataset: data.Dataset, variants: list[Variant]) -> _Chosen:
    """The variant of least validation loss, and a good, a median and a bad sample by its first seed's error."""
    main = _main_split(comparison)
    best = min(variants, key=lambda v: np.mean([run.record["best_loss"] for run in v.runs]))
    truth = dataset.split(main).parameters
    estimates = np.array(comparison["results"][best.label][main]["estimates"][0])
    order = np.argsort(metrics.squared_error(estimates, truth, np.array(comparison["scale"])))
    rows = {name: int(order[round(q * (len(order) - 1))]) for name, q in QUANTILES.items()}
    return _Chosen(best, truth, estimates, rows)


def _pictures(
    comparison: dict[str, Any], dataset: data.Dataset, variants: list[Variant], chosen: _Chosen
) -> dict[str, Figure]:
    """The pictures of the page, by name."""
    problem, truth = dataset.problem, chosen.truth
    classical = "linearised Tikhonov"
    beside = np.array(comparison["results"][classical][_main_split(comparison)]["estimates"][0])
    columns = {chosen.variant.label: chosen.estimates, classical: beside}
    return {
        "setup": setup.setup(problem, truth[chosen.rows[MEDIAN]]),
        "slices": slices.slices(problem, truth, columns, chosen.rows),
        "scatter": curves.scatter(problem, truth, chosen.estimates, chosen.variant.colour),
        "losses": curves.losses(variants),
        "steps": curves.steps(variants),
        "gradients": curves.gradients(variants),
        "noise": curves.noise(comparison, variants),
    }


def _crime_effect(comparison: dict[str, Any], main: str) -> str:
    """How the errors of the networks on the training mesh compare with those on a mesh of its own."""
    level = comparison["levels"].index(comparison["noise"])
    crimes = [name for name, about in comparison["splits"].items() if about["inverse_crime"]]
    if not crimes or comparison["splits"][main]["inverse_crime"]:
        return ""
    results = [comparison["results"][name] for name in comparison["runs"]]
    ratios = [r[crimes[0]]["relative"][level] / r[main]["relative"][level] for r in results]
    relation = comparison["splits"][main]["relation"]
    return (
        f"Here the networks' errors are {min(ratios):.2f} to {max(ratios):.2f} times those on the {relation}, and "
        "both are printed so that neither is taken for the other."
    )


def _main_split(comparison: dict[str, Any]) -> str:
    """The split that counts: the first without an inverse crime, else the first."""
    splits = comparison["splits"]
    return next((name for name, about in splits.items() if not about["inverse_crime"]), next(iter(splits)))


def _mesh_difference(dataset: data.Dataset) -> dict[str, Any] | None:
    """How much two splits of the same parameters differ by their meshes alone, relative to the finer's data."""
    for name in dataset.splits:
        partner = dataset.manifest.recipe.parameters_of(name)
        if partner != name:
            other = dataset.split(name)
            finer = dataset.split(partner).observations[: len(other)]
            relative = np.linalg.norm(other.observations - finer, axis=1) / np.linalg.norm(finer, axis=1)
            return {
                "between": f"{name} and {partner}",
                "median": float(np.median(relative)),
                "largest": relative.max(),
            }
    return None


def _shared_settings(variants: list[Variant]) -> str:
    """Settings that all variants share, in a line."""
    specs = [variant.spec.model_dump() for variant in variants]
    shared = {k: v for k, v in specs[0].items() if k != "seed" and all(spec[k] == v for spec in specs)}
    return ", ".join(f"{name.replace(chr(95), chr(32))} {value}" for name, value in shared.items())
