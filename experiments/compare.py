"""Trained networks beside each other, beside the prior mean and beside linearised Tikhonov inversion.

Every method sees the same noisy data of the test splits.  Errors are root mean squares in units of the
prior's standard deviation, so the prior mean has error 1 (up to sampling); a network's is over its seeds.
The strength of Tikhonov's penalty is the best of a grid on the validation split, anew for each noise level:
like the networks it has seen training and validation data and no test data.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import data
from experiments import intervals, metrics
from experiments.differences import changes
from experiments.errors import StudyError
from experiments.files import write_json
from experiments.intervals import NONE_SHOWN
from experiments.runs import Run, load
from experiments.variants import pairs_of, variants_of
from maxwell import Balls
from maxwell.inversion import LinearisedTikhonov

NOISES = (0.0, 0.001, 0.01, 0.05, 0.2)
"""Levels of the test noise, relative to the RMS of the training data."""

STRENGTHS = np.logspace(-8, 1, 28)
"""Grid of Tikhonov's strength α."""

IMAGE_POINTS = 20
"""Points along each edge of the region of interest at which images are compared."""


def compare(dataset: str | Path, runs: Sequence[str | Path], out: str | Path) -> dict[str, Any]:
    """Evaluate trained runs and classical inversion on all test splits; writes the comparison to `out` (JSON).

    runs : run folders, or folders that hold run folders at any depth.
    Returns what is written: see `experiments.report` for how each entry is read.
    Raises StudyError when a run belongs to another data set or noise levels differ.
    """
    opened = data.open(dataset)
    unknown = getattr(opened.problem, "parametrisation", opened.problem)
    if not isinstance(unknown, Balls):
        raise StudyError(
            f"{opened.path}: holds data of {unknown!r}; expected balls, whose groups and images the comparison "
            "knows: read the runs from Python for other unknowns."
        )
    variants = variants_of([_own(run, opened) for run in find_runs(runs)])
    noise = _one({variant.spec.noise for variant in variants})
    levels = sorted({*NOISES, noise})
    train = opened.split("train")
    scale, prior_mean = train.parameters.std(axis=0), train.parameters.mean(axis=0)
    tests = [name for name in opened.splits if name not in ("train", "valid")]
    left_out = {name: why for name in tests if (why := unanswerable(opened, name))}
    splits = [name for name in tests if name not in left_out]
    if not splits:
        raise StudyError(
            f"{opened.path}: has no test split that its networks could answer; add one to the recipe, such as "
            "[splits.test]."
        )

    problem = opened.problem
    tikhonov = LinearisedTikhonov(
        problem.discretise(**train.mesh), train.parameters, problem.parametrisation.branch(train.parameters)
    )
    strengths = {level: _best_strength(tikhonov, opened.split("valid"), level, scale) for level in levels}
    estimators = {
        "prior mean": lambda d, level: [np.broadcast_to(prior_mean, (len(d), len(prior_mean)))],
        "linearised Tikhonov": lambda d, level: [tikhonov.estimate(d, strengths[level])],
        **{
            variant.label: lambda d, level, runs=variant.runs: [run.estimate(d) for run in runs]
            for variant in variants
        },
    }
    groups = [p.group for p in problem.parameters]
    squares: dict[tuple[str, str], np.ndarray] = {}  # (method, split) at the training noise, (seeds, n)
    results: dict[str, Any] = {name: {} for name in estimators}
    for split in splits:
        view = opened.split(split)
        for level in levels:
            observations = view.observe(level)
            for name, estimate in estimators.items():
                found = np.stack(estimate(observations, level))  # (seeds, n, p)
                error = metrics.squared_error(found, view.parameters, scale)
                entry = results[name].setdefault(split, {"relative": [], "by_seed": []})
                entry["relative"].append(float(np.sqrt(error.mean())))
                entry["by_seed"].append(np.sqrt(error.mean(axis=1)).tolist())
                if level == noise:
                    squares[name, split] = error
                    entry["median"] = float(np.sqrt(np.median(error)))
                    entry["groups"] = metrics.group_errors(found, view.parameters, groups)
                    entry["image"] = _image_error(problem, found, view.parameters)
                    entry["estimates"] = found.tolist()
    out = Path(out)
    comparison = {
        "dataset": os.path.relpath(opened.path, out.parent),
        "digest": opened.manifest.digest,
        "noise": noise,
        "levels": levels,
        "splits": {
            name: {
                "samples": len(opened.split(name)),
                "mesh": opened.split(name).mesh,
                "inverse_crime": opened.split(name).inverse_crime,
                "relation": relation(opened, name),
                "problem": changes(opened.spec, opened.split(name).spec),
            }
            for name in splits
        },
        "left_out": left_out,
        "strengths": [strengths[level] for level in levels],
        "scale": scale.tolist(),
        "runs": {v.label: [os.path.relpath(run.path, out.parent) for run in v.runs] for v in variants},
        "results": results,
        "below_prior": {
            split: {
                name: _change(squares, split, "prior mean", name)
                for name in estimators
                if name != "prior mean"
            }
            for split in splits
        },
        "learned_against_fixed": {
            split: [
                {"fixed": fixed.label, "learned": learned.label, "seeds": len(fixed.runs)}
                | _change(squares, split, fixed.label, learned.label)
                for fixed, learned in pairs_of(variants)
            ]
            for split in splits
        },
        "parameters": {v.label: v.runs[0].record["parameters"] for v in variants},
    }
    write_json(out, comparison)
    return comparison


def find_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Load every finished run at or below the given folders."""
    folders: list[Path] = []
    for path in map(Path, paths):
        records = sorted(path.rglob("run.json"))
        if not records:
            raise StudyError(f"{path}: holds no finished training run; train one with `maxinv train`.")
        folders += [record.parent.resolve() for record in records]
    found = [load(folder) for folder in dict.fromkeys(folders)]
    for k, run in enumerate(found):
        twin = next((other for other in found[:k] if other.spec == run.spec), None)
        if twin is not None:
            raise StudyError(
                f"{run.path}: is the same training as {twin.path}, which would count twice; give one of them."
            )
    return found


def table(comparison: dict[str, Any], split: str) -> list[dict[str, Any]]:
    """Rows of the table of a split, classical methods first: figures at the training noise."""
    level = comparison["levels"].index(comparison["noise"])
    rows = []
    for name, splits in comparison["results"].items():
        entry = splits[split]
        rows.append(
            {
                "method": name,
                "relative": entry["relative"][level],
                "median": entry["median"],
                "by_seed": entry["by_seed"][level],
                "image": entry["image"],
                **entry["groups"],
                "below_prior": comparison["below_prior"][split].get(name),
                "parameters": comparison["parameters"].get(name),
            }
        )
    return rows


def verdicts(comparison: dict[str, Any], split: str) -> list[str]:
    """One sentence for each family: whether learned steps changed the error, with the interval."""
    sentences = []
    for change in comparison["learned_against_fixed"][split]:
        said = {
            "smaller error": "the learned steps have the smaller error",
            "larger error": "the learned steps have the larger error",
            NONE_SHOWN: "learned steps do not win: the interval contains zero",
        }[change["verdict"]]
        if change["seeds"] == 1:
            said += ", for these weights: one seed says nothing of others"
        sentences.append(
            f"{change['learned']} against fixed steps: error changed by {change['value']:+.1%} "
            f"(95 % interval {change['low']:+.1%} to {change['high']:+.1%}); {said}."
        )
    return sentences


def title(comparison: dict[str, Any], split: str) -> str:
    """What a split is, for a reader: its mesh, and whether that is an inverse crime."""
    about = comparison["splits"][split]
    mesh = ", ".join(f"{key} {value}" for key, value in about["mesh"].items())
    crime = "INVERSE CRIME: " if about["inverse_crime"] else ""
    size = f"{about['samples']} samples, {comparison['noise']:.1%} noise"
    other = "".join(f"; {change}" for change in about["problem"])
    return f"{split} ({crime}{about['relation']}; {mesh}{other}): {size}"


def unanswerable(dataset: data.Dataset, split: str) -> str:
    """Why no network of this data set has an answer to a split, in a sentence; "" if it has."""
    if not len(dataset.split(split)):
        return f"{split} is left out: none of its samples could be solved."
    there, here = (dataset.manifest.problem(name) for name in ("train", split))
    for what, (trained, given) in {
        "parameters": (there.parameters, here.parameters),
        "observations": (there.observations.labels, here.observations.labels),
    }.items():
        if trained != given:
            counts = [problem.lengths["p" if what == "parameters" else "m"] for problem in (there, here)]
            return (
                f"{split} is left out: its samples have {counts[1]} {what} and those of training {counts[0]}, "
                "so that a trained network has no answer."
            )
    return ""


def relation(dataset, split):
    """The mesh of a split beside that of training, by the unknowns of the field."""
    if dataset.split(split).inverse_crime:
        return "training mesh"
    here, there = (dataset.split(name).records["dofs"].max() for name in (split, "train"))
    return "finer mesh" if here > there else "coarser mesh" if here < there else "another mesh"


def _own(run, dataset):
    if run.record["dataset"] != dataset.manifest.digest:
        raise StudyError(
            f"{run.path}: was trained on another data set than {dataset.path}; give the runs of this one."
        )
    return run


def _one(noises):
    if len(noises) > 1:
        raise StudyError(
            f"the runs were trained at different noise levels {sorted(noises)}; compare those of one level."
        )
    return noises.pop()


def _best_strength(tikhonov, valid, level, scale):
    observations = valid.observe(level)
    errors = [
        metrics.squared_error(tikhonov.estimate(observations, s), valid.parameters, scale).mean()
        for s in STRENGTHS
    ]
    return float(STRENGTHS[np.argmin(errors)])


def _change(squares, split, baseline, other):
    """Change from one method to another on a split; its resampling depends on their names alone."""
    pair = squares[baseline, split], squares[other, split]
    change = intervals.change(*pair, f"{split}|{baseline}|{other}")
    return {"value": change.value, "low": change.low, "high": change.high, "verdict": change.verdict}


def _image_error(problem, found, truth):
    """Median over samples of ‖m̂ − m‖/‖m‖ on a grid of the region of interest, averaged over seeds."""
    grid = region_grid(IMAGE_POINTS)
    images = np.stack([render(problem, theta, grid) for theta in truth])
    size = np.linalg.norm(images, axis=1)
    errors = []
    for estimates in found:
        seen = np.stack([render(problem, theta, grid) for theta in estimates])
        errors.append(np.median(np.linalg.norm(seen - images, axis=1) / size))
    return float(np.mean(errors))


def region_grid(points: int) -> np.ndarray:
    """A grid of points³ points in the region of interest, (points³, 3) in m."""
    from maxwell import REGION_OF_INTEREST

    axes = [np.linspace(low, high, points) for low, high in REGION_OF_INTEREST.T]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def render(problem, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Log-conductivity ratio m at points x; an estimated radius that is not positive becomes a millimetre."""
    theta = np.array(theta, dtype=float)
    radii = [k for k, p in enumerate(problem.parameters) if p.group == "radius"]
    theta[radii] = np.maximum(theta[radii], 1e-3)
    return problem.parametrisation.evaluate(theta, x)
