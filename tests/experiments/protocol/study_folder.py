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

SIZES = {
    "fixed-unit": 1.0,
    "fixed-tuned": 0.7,
    "positive": 0.6,
    "prior-mean": 2.0,
    "tikhonov": 0.5,
    "gauss-newton": 1.4,
}
"""Errors of arms and yardsticks, up to chance; in a fractional network all arms are alike."""

KINDS = {"prior-mean": "prior mean", "tikhonov": "Tikhonov", "gauss-newton": "Gauss–Newton"}

PLACES = (Place("test", 0.01), Place("test", 0.0), Place("test", 0.1), Place("test_narrow", 0.01))


def make(folder: Path) -> Path:
    """Write the study into a folder that does not exist yet, and return it."""
    recipe = folder.parent / "recipe.toml"
    recipe.write_text(RECIPE)
    plan = Plan(validated(ProtocolSpec, tomllib.loads(STUDY.replace("RECIPE", str(recipe))), "study"), False)
    with ThreadPoolExecutor(1) as here:  # a process would import the solver anew
        dataset = data.generate(
            data.recipe.parse(tomllib.loads(RECIPE)), folder / "data" / "cauchy", 1, executor=here
        )
    write_json(folder / "study.json", plan.spec.model_dump(mode="json"))
    home = study.Folder(folder)
    rng = np.random.default_rng(7)
    difficulty = {place: rng.gamma(4.0, 0.05, len(dataset.split(place.split))) for place in PLACES}
    truth = dataset.split("test").parameters
    record = {
        "dataset": dataset.manifest.digest,
        "parameters": 321,
        "best_epoch": 4,
        "seconds": 2.5,
        "samples": 12,
    }
    record["provenance"] = {"versions": {"torch": "9.9"}}
    for name in plan.trials():
        write_json(home.tuning / name / "run.json", {**record, "best_loss": float(rng.uniform(0.2, 0.9))})
        assert trial_name(plan.variants[0], 0, 0).count("/") == name.count("/")
    chosen = study.choose(plan, home)
    for variant in plan.variants:
        for seed in range(variant.seeds):
            run = home.runs / run_name(variant, seed)
            spec = plan.run(variant, chosen[variant.name], seed)
            best_loss = {"fractional": 0.4, "resnet": 0.2}.get(variant.cell.family, 0.9) * SIZES[variant.arm]
            write_json(
                run / "run.json", {**record, "best_loss": best_loss, "spec": spec.model_dump(mode="json")}
            )
            size = 1.0 if variant.cell.family == "fractional" else SIZES[variant.arm]
            arrays = {p: _arrays(rng, p, size, difficulty[p], truth, network=True) for p in PLACES}
            plain = variant.cell.family == "feed-forward"
            steps = None if plain else rng.dirichlet(np.full(3, 50.0)).tolist()
            about = {key: record[key] for key in ("parameters", "seconds", "best_epoch", "samples")}
            about |= {"one": 1e-4, "valid": best_loss, "horizon": None if plain else 1.0, "steps": steps}
            Sheet(arrays, about).write(run / study.SHEET)
    for key, label in KINDS.items():
        places = [place for place in PLACES if place.level > 0]
        arrays = {p: _arrays(rng, p, SIZES[key], difficulty[p], truth) for p in places}
        if key == "gauss-newton":
            arrays = {
                PLACES[0]: {
                    k: v if k in ("directions", "best") else v[:5] for k, v in arrays[PLACES[0]].items()
                }
            }
        about = {"key": key, "label": label, "kind": "classical", "fit": 0.1, "one": 2e-3}
        Sheet(arrays, about).write(home.yardstick(key, "cauchy", 0.01))
    least = {
        k: v for k, v in _arrays(rng, PLACES[0], 0.1, difficulty[PLACES[0]], truth).items() if k == "squared"
    }
    about = {"key": "bound", "label": "Cramér-Rao bound", "kind": "bound", "fit": 0.0, "one": 0.0}
    Sheet({PLACES[0]: least}, about).write(home.yardstick("bound", "cauchy", 0.01))
    tables.write(plan, home)
    return folder


def _arrays(rng, place, size, difficulty, truth, network=False) -> dict[str, np.ndarray]:
    """The arrays of a sheet at a place (see `sheets.score`): the same samples are difficult for all."""
    n = len(difficulty)
    squared = difficulty * (size * (1 + 3 * place.level) * rng.uniform(0.97, 1.03, n)) ** 2
    found = {
        "squared": squared,
        "seconds": np.full(n, 1e-4),
        "group:TE": squared / 4,
        "group:TM": squared / 5,
    }
    if place.split == "test":
        found["directions"] = size * np.linspace(0.2, 1.0, 4)
        found["best"] = np.linspace(0.05, 0.9, 4) if place.level else np.zeros(0)
    if place == PLACES[0]:
        found["estimates"] = truth[:12] * (1 + 0.2 * size)
        found["misfit"] = np.array([1.5, np.nan]) if network else np.array([1.2, 1.1])
    if network and place.level and place.split == "test":
        found["gain"] = rng.uniform(0.4, 0.6, n)
    if network and place == PLACES[0]:
        found["worst"] = rng.uniform(0.1, 0.2, n)
    return found
