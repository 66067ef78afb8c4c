"""A finished study as `maxinv study` leaves it, but for its numbers, which are drawn: for tests of what reads them.

The data set is a real one.  Score sheets and records of runs hold seeded random numbers whose ratios between arms
are chosen, so that a test knows what must be found.
"""

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import data
from experiments.files import validated, write_json
from experiments.protocol import study, tables
from experiments.protocol.folder import SHEET, Folder
from experiments.protocol.plan import Plan, run_name, trial_name
from experiments.protocol.sheets import Place, Sheet
from experiments.protocol.spec import ProtocolSpec

RECIPE = """
seed = 5
[problem]
kind = "cauchy"
modes = 4
[mesh]
cells = 5
degree = 1
[store]
shard = 20
[splits.train]
samples = 12
[splits.valid]
samples = 4
[splits.test]
samples = 16
mesh = { cells = 6, degree = 1 }
[splits.test_narrow]
samples = 6
mesh = { cells = 6, degree = 1 }
problem = { prior = { kind = "boundary_patch_prior", modes = 4, deviation = [0.03, 0.06] } }
"""

STUDY = """
title = "Do <learned> steps help?"
seeds = 3
levels = [0.0, 0.01, 0.1]
resimulate = 2
yardsticks = ["prior-mean", "tikhonov", "gauss-newton"]
[data.cauchy]
recipe = "RECIPE"
title = "Cauchy & depth"
iterated = 5
[arms.fixed-unit]
label = "fixed steps, T = 1"
time = "fixed"
[arms.fixed-tuned]
label = "fixed steps, tuned T"
time = "fixed"
horizon = "tuned"
[arms.positive]
label = "learned positive steps from T = 1"
time = "positive"
[tuning]
trials = 2
[[grid]]
data = ["cauchy"]
families = ["resnet", "fractional", "feed-forward"]
arms = ["fixed-unit", "fixed-tuned", "positive"]
layers = [3]
noise = [0.01]
[[comparisons]]
baseline = "fixed-unit"
other = "positive"
question = "Learned steps against fixed ones"
[[comparisons]]
baseline = "fixed-unit"
other = "fixed-tuned"
question = "A tuned horizon"
"""

CURVES = (
    STUDY.split("[[grid]]")[0]
    + """
[networks.wide]
width = 48
[[grid]]
data = ["cauchy"]
families = ["resnet"]
arms = ["fixed-unit", "positive"]
layers = [3]
noise = [0.01, 0.1]
[[grid]]
data = ["cauchy"]
families = ["feed-forward"]
arms = ["fixed-unit"]
layers = [3]
noise = [0.01, 0.1]
[[grid]]
data = ["cauchy"]
families = ["resnet"]
arms = ["fixed-unit", "positive"]
layers = [6, 12]
noise = [0.01]
settings = { learning_rate = 0.00321, weight_decay = 0.1 }
[[grid]]
data = ["cauchy"]
families = ["resnet"]
arms = ["fixed-unit"]
layers = [3]
noise = [0.01]
samples = [3, 6]
[[grid]]
data = ["cauchy"]
families = ["resnet"]
arms = ["positive"]
layers = [3]
noise = [0.01]
networks = ["wide"]
[[comparisons]]
baseline = "fixed-unit"
other = "positive"
question = "Learned steps against fixed ones"
"""
)
"""A study of several depths, numbers of samples, noises and names."""

SIZES = {
    "fixed-unit": 1.0,
    "fixed-tuned": 0.7,
    "positive": 0.6,
    "prior-mean": 2.0,
    "tikhonov": 0.5,
    "gauss-newton": 1.4,
    "hybrid": 1.4,
}
"""Errors of arms and yardsticks, up to chance; in a fractional network all arms are alike."""

KINDS = {"prior-mean": "prior mean", "tikhonov": "Tikhonov", "gauss-newton": "Gauss–Newton"}
KINDS["hybrid"] = "Gauss-Newton from an estimate"


def places(noise: float) -> tuple[Place, ...]:
    """Where methods for a noise are scored, the place that counts first."""
    others = (level for level in (0.0, 0.01, 0.1) if level != noise)
    return (Place("test", noise), *(Place("test", level) for level in others), Place("test_narrow", noise))


def make(folder: Path, text: str = STUDY) -> Path:
    """Write a study into a folder that does not exist yet, and return it."""
    recipe = folder.parent / "recipe.toml"
    recipe.write_text(RECIPE)
    plan = Plan(validated(ProtocolSpec, tomllib.loads(text.replace("RECIPE", str(recipe))), "study"), False)
    with ThreadPoolExecutor(1) as here:  # a process would import the solver anew
        dataset = data.generate(
            data.recipe.parse(tomllib.loads(RECIPE)), folder / "data" / "cauchy", 1, executor=here
        )
    write_json(folder / "study.json", plan.spec.model_dump(mode="json"))
    home = Folder(folder)
    rng = np.random.default_rng(7)
    noises = list(dict.fromkeys(noise for _, noise in study.problems(plan)))
    everywhere = dict.fromkeys(place for noise in noises for place in places(noise))
    difficulty = {place: rng.gamma(4.0, 0.05, len(dataset.split(place.split))) for place in everywhere}
    truth = dataset.split("test").parameters
    record = {
        "dataset": dataset.manifest.digest,
        "parameters": 321,
        "best_epoch": 4,
        "seconds": 2.5,
        "samples": 12,
        "loss_unit": 1.0,
        "trace": {"train_loss": [0.9, 0.5, 0.3, 0.19]},
    }
    record["provenance"] = {"versions": {"torch": "9.9"}}
    for variant in plan.variants:
        for number in range(len(plan.points)):
            run = home.tuning / trial_name(variant, number, 0)
            write_json(run / "run.json", {**record, "best_loss": float(rng.uniform(0.2, 0.9))})
    finals = plan.finals(study.choose(plan, home))
    for variant in plan.variants:
        for seed in range(variant.seeds):
            name = run_name(variant, seed)
            run, spec = home.runs / name, finals[name]
            here, samples = places(variant.cell.noise), variant.cell.samples or 12
            best_loss = {"fractional": 0.4, "resnet": 0.2}.get(variant.cell.family, 0.9) * SIZES[variant.arm]
            write_json(
                run / "run.json", {**record, "best_loss": best_loss, "spec": spec.model_dump(mode="json")}
            )
            size = 1.0 if variant.cell.family == "fractional" else SIZES[variant.arm]
            size *= (12 / samples) ** 0.5 * (3 / variant.cell.layers) ** 0.25
            arrays = {p: _arrays(rng, p, here[0], size, difficulty[p], truth, network=True) for p in here}
            plain = variant.cell.family == "feed-forward"
            steps = None if plain else rng.dirichlet(np.full(3, 50.0)).tolist()
            about = {key: record[key] for key in ("parameters", "seconds", "best_epoch", "samples")}
            about |= {"samples": samples}
            about |= {"one": 1e-4, "valid": best_loss, "horizon": None if plain else 1.0, "steps": steps}
            Sheet(arrays, about).write(run / SHEET)
    for noise in noises:
        _yardsticks(rng, home, noise, difficulty, truth)
    tables.write(plan, home)
    return folder


def _yardsticks(rng, home: Folder, noise: float, difficulty, truth) -> None:
    """Sheets of yardsticks and of the bound."""
    main = places(noise)[0]
    for key, label in KINDS.items():
        here = [place for place in places(noise) if place.level > 0]
        arrays = {p: _arrays(rng, p, main, SIZES[key], difficulty[p], truth) for p in here}
        if key in ("gauss-newton", "hybrid"):
            arrays[main] |= {"iterations": np.full(16, 9.0 if key == "hybrid" else 12.0)}
            arrays[main] |= {"settled": arrays[main]["squared"]}
            kept = {k: v if k == "best" else v[:5] for k, v in arrays[main].items()}
            arrays = {main: kept}
        about = {"key": key, "label": label, "kind": "classical", "fit": 0.1, "one": 2e-3}
        Sheet(arrays, about).write(home.yardstick(key, "cauchy", noise))
    together = {p: _arrays(rng, p, main, 0.55, difficulty[p], truth) for p in places(noise)}
    about = {"key": "committee", "label": "mean of 2 networks", "kind": "committee", "fit": 0.0, "one": 2e-4}
    Sheet(together, about).write(home.yardstick("committee", "cauchy", noise))
    least = _arrays(rng, main, main, 0.1, difficulty[main], truth)
    least = {k: v for k, v in least.items() if k == "squared" or k.startswith("group:")}
    about = {"key": "bound", "label": "Cramér-Rao bound", "kind": "bound", "fit": 0.0, "one": 0.0}
    Sheet({main: least}, about).write(home.yardstick("bound", "cauchy", noise))


def _arrays(rng, place, main, size, difficulty, truth, network=False) -> dict[str, np.ndarray]:
    """The arrays of a sheet at a place (see `sheets.score`): the same samples are difficult for all."""
    n = len(difficulty)
    squared = difficulty * (size * (1 + 3 * place.level) * rng.uniform(0.97, 1.03, n)) ** 2
    found = {
        "squared": squared,
        "seconds": np.full(n, 1e-4),
        "group:TE": squared / 4,
        "group:TM": squared / 5,
    }
    if place == main:
        found["directions"] = squared[:, None] * np.linspace(0.2, 1.0, 4)
        found["best"] = np.linspace(0.05, 0.9, 4) if place.level else np.zeros(0)
        found["estimates"] = truth[:12] * (1 + 0.2 * size)
        found["misfit"] = np.array([1.5, np.nan]) if network else np.array([1.2, 1.1])
    if network and place.level and place.split == "test":
        found["gain"] = rng.uniform(0.4, 0.6, n)
    if network and place == main:
        found["worst"] = rng.uniform(0.1, 0.2, n)
    return found
