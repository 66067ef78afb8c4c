"""A comparison as one self-contained HTML page."""

from pathlib import Path
from typing import Any

import jinja2
import numpy as np

import data
from experiments import compare
from experiments.files import read_json, write_text
from experiments.plots import curves, setup, slices
from experiments.plots.style import png
from experiments.progress import clock
from experiments.runs import load
from experiments.variants import Variant, variants_of

TEMPLATES = Path(__file__).parent / "templates"
QUANTILES = {"good (10th percentile)": 0.1, "median": 0.5, "bad (90th percentile)": 0.9}
"""Samples whose recovery is shown: by the rank of their error."""


def write(comparison_file: str | Path, out: str | Path) -> Path:
    """Write the page of a comparison and return its path; StudyError when something it needs is missing."""
    comparison_file, out = Path(comparison_file), Path(out)
    comparison = read_json(comparison_file, "comparison", "make one with `maxinv compare`")
    base = comparison_file.parent
    dataset = data.open(base / comparison["dataset"])
    variants = variants_of([load(base / run) for runs in comparison["runs"].values() for run in runs])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": lambda value: f"{value:.0%}", "signed": lambda value: f"{value:+.1%}"}
    page = environment.get_template("report.html.j2").render(
        **_facts(comparison, dataset, variants), **_pictures(comparison, dataset, variants)
    )
    write_text(out, page)
    return out


def _facts(comparison: dict[str, Any], dataset: data.Dataset, variants: list[Variant]) -> dict[str, Any]:
    """The words and numbers of the page."""
    problem = dataset.problem
    records = {name: dataset.split(name).records for name in dataset.splits}
    main = _main_split(comparison)
    return {
        "problem": problem,
        "skin_depth": problem.scaling.skin_depth(problem.background),
        "dataset": dataset,
        "meshes": [
            {
                "split": name,
                "samples": len(dataset.split(name)),
                "mesh": ", ".join(f"{k} {v}" for k, v in dataset.split(name).mesh.items()),
                "dofs": int(records[name]["dofs"][0]),
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
                "crime": comparison["splits"][split]["inverse_crime"],
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


def _pictures(comparison: dict[str, Any], dataset: data.Dataset, variants: list[Variant]) -> dict[str, Any]:
    """The pictures of the page as data URIs, and what their captions need."""
    problem, main = dataset.problem, _main_split(comparison)
    truth = dataset.split(main).parameters
    best = min(variants, key=lambda v: np.mean([run.record["best_loss"] for run in v.runs]))
    estimates = {
        name: np.array(comparison["results"][name][main]["estimates"])
        for name in (best.label, "linearised Tikhonov")
    }
    scale = np.array(comparison["scale"])
    shown = estimates[best.label][
        0
    ]  # its first seed; which sample is shown is decided by that network's error
    order = np.argsort((((shown - truth) / scale) ** 2).mean(axis=1))
    rows = {name: int(order[round(q * (len(order) - 1))]) for name, q in QUANTILES.items()}
    return {
        "best": best.label,
        "best_seed": best.seeds[0],
        "setup_picture": png(setup.setup(problem, truth[rows["median"]])),
        "slices_picture": png(slices.slices(problem, truth, {k: e[0] for k, e in estimates.items()}, rows)),
        "scatter_picture": png(curves.scatter(problem, truth, shown, best.colour)),
        "losses_picture": png(curves.losses(variants)),
        "steps_picture": png(curves.steps(variants)),
        "gradients_picture": png(curves.gradients(variants)),
        "noise_picture": png(curves.noise(comparison, variants)),
    }


def _crime_effect(comparison: dict[str, Any], main: str) -> str:
    """How the errors of the networks on the training mesh compare with those on a mesh of its own."""
    level = comparison["levels"].index(comparison["noise"])
    crimes = [name for name, about in comparison["splits"].items() if about["inverse_crime"]]
    if not crimes or comparison["splits"][main]["inverse_crime"]:
        return ""
    results = [comparison["results"][name] for name in comparison["runs"]]
    ratios = [r[crimes[0]]["relative"][level] / r[main]["relative"][level] for r in results]
    return (
        f"Here the networks' errors are {min(ratios):.2f} to {max(ratios):.2f} times those on a mesh of its own, "
        "and both are printed so that neither is taken for the other."
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
