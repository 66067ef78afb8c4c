"""The data pipeline on trial: equal bits from all workers, kills and refusals, speed of reading, layouts."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data import layouts
from experiments.bench.pipeline import flips, kills, places, reading, troubles


@dataclass(frozen=True)
class Plan:
    """What a run of the benchmark does.

    ways : of computing one recipe.  trials : troubles short of a kill of everything.
    kills, flips, seed : how many, and of their instants and places.
    folder : a data set to read, or None for one of so many training samples.  turns : of each way of reading.
    rows : of the array whose layouts are compared.
    """

    ways: tuple[str, ...]
    trials: tuple[str, ...]
    kills: int
    samples: int
    turns: int
    rows: int = 2000
    flips: int = 400
    seed: int = 0
    folder: str | None = None


_ALL = tuple(places.WAYS), tuple(troubles.TRIALS)

PLANS = {
    "quick": Plan(("1 local worker", "2 local workers"), ("two generators",), 1, 40, 2, 64, 5),
    "default": Plan(*_ALL, 4, 2000, 7),
    "study": Plan(*_ALL, 50, 100_000, 7, 10_000, 2000),
}
"""How much to do, by name."""

PARTS = ("executors", "layout", "reading", "flips", "kills")
"""What a run consists of, in order."""


def run(
    plan: Plan,
    parts=PARTS,
    watch: Callable[[str], None] = lambda line: None,
    result: dict | None = None,
    save: Callable[[dict], None] = lambda result: None,
) -> dict:
    """Do the chosen parts of a plan that the result lacks, and return it, plain data.

    watch : told in a line what comes next.  save : given the result after each part.
    """
    result = {} if result is None else result
    actions = dict(zip(PARTS, (_executors, _layout, _reading, _flips, _kills), strict=True))
    for part in PARTS:
        if part in parts and part in result:
            watch(f"{part}: taken up")
        elif part in parts:
            with tempfile.TemporaryDirectory(prefix="maxinv-bench-") as folder:
                result[part] = actions[part](plan, Path(folder), watch)
            save(result)
    return result


def _executors(plan, folder, watch):
    return places.measure(list(plan.ways), folder, watch)


def _layout(plan, folder, watch):
    train = reading.data_set(plan.folder, plan.samples, watch).split("train")
    values = train.take(slice(plan.rows)).observations
    watch(f"layout: {len(values)} observations of {train.path}, {plan.turns} turns")
    rows = layouts.compare(values, folder, plan.turns)
    return {"folder": str(train.path), "shape": list(values.shape), "bytes": values.nbytes, "rows": rows}


def _reading(plan, folder, watch):
    path = reading.data_set(plan.folder, plan.samples, watch).path
    watch(f"reading: {path}, {plan.turns} turns")
    return reading.measure(path, plan.turns)


def _flips(plan, folder, watch):
    return flips.measure(plan.flips, plan.seed, folder, watch)


def _kills(plan, folder, watch):
    (folder / "kills").mkdir()
    found = kills.measure(plan.kills, plan.seed, folder / "kills", watch)
    (folder / "troubles").mkdir()
    return found | {"troubles": troubles.measure(folder / "troubles", watch, list(plan.trials))}
