"""SIGKILL of a generation with all its workers at random instants, and what a second run makes of the folder."""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from data.store import Folder
from experiments.bench.pipeline import runs
from experiments.bench.pipeline.runs import Run
from experiments.bench.pipeline.victim import WORKERS

RECIPE = """
seed = 12
[problem]
kind = "conductivity"
[mesh]
cells = 4
degree = 1
[store]
shard = 2
[splits.train]
samples = 200
[splits.valid]
samples = 6
[splits.test]
samples = 24
mesh = { cells = 5, degree = 1 }
"""
"""115 shards of two meshes, one with a fast path that is prepared in the folder, and one without."""

LOOK_AHEAD = 2 * WORKERS  # shards under way at once


def measure(kills: int, seed: int, folder: Path, watch: Callable[[str], None]) -> dict:
    """Kill so many runs, each at an instant uniform over the length of an undisturbed one, and run each again.

    Keys: `undisturbed` (`seconds`, `shards`, `samples`, `digest`) and `rows`, one for each kill:

    instant     seconds after the start.  phase : "starting" (no shard yet), "solving", or "ended" by itself
    kept        shards in the folder after the kill.  told : samples that it had said were done
    lost        shards given to a worker that are not there: at most LOOK_AHEAD
    again       shards that the second run computed.  seconds : it took
    faults      what a law of the store forbids; empty
    """
    recipe, whole = folder / "recipe.toml", folder / "undisturbed"
    recipe.write_text(RECIPE)
    watch("kills: an undisturbed run")
    runs.done(
        _command(recipe, folder / "warm", folder / "warm.log")
    )  # compiled kernels are there from now on
    seconds = runs.done(_command(recipe, whole, folder / "undisturbed.log")).seconds
    dataset, expected = runs.opened(whole), runs.files(whole)
    undisturbed = {
        "seconds": seconds,
        "shards": len(runs.shards(whole)),
        "samples": len(dataset),
        "digest": dataset.digest(),
    }
    rows = []
    for number, instant in enumerate(np.random.default_rng(seed).uniform(0, seconds, kills)):
        rows.append(_kill(recipe, folder / f"killed{number}", float(instant), undisturbed, expected))
        watch(
            f"kills: {number + 1} of {kills}, after {instant:.2f} s while {rows[-1]['phase']}, "
            f"{rows[-1]['kept']} shards kept{'' if not rows[-1]['faults'] else ': ' + rows[-1]['faults'][0]}"
        )
    return {"undisturbed": undisturbed, "rows": rows}


def _command(recipe, out, log):
    return [sys.executable, "-m", "experiments.bench.pipeline.victim", str(recipe), str(out), str(log)]


def _kill(recipe, out, instant, undisturbed, expected):
    log, again = out.with_suffix(".log"), out.with_suffix(".again")
    run = Run(_command(recipe, out, log))
    time.sleep(max(0.0, run.began + instant - time.monotonic()))
    ended = not run.running()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.process.pid, signal.SIGKILL)
    run.end()
    kept = runs.shards(out)
    asked, told = _noted(log)
    row = {
        "instant": instant,
        "phase": "ended" if ended else "solving" if kept else "starting",
        "kept": len(kept),
        "told": told,
        "lost": 0 if ended else asked - len(kept),
    }
    second = Run(_command(recipe, out, again)).end()
    row |= {"again": _noted(again)[0], "seconds": second.seconds}
    row["faults"] = list(faults(out, row, kept, second, undisturbed, expected))
    if not row["faults"]:
        shutil.rmtree(out)  # else it is kept for whoever looks
    return row


def _noted(log: Path) -> tuple[int, int]:
    """Shards that were given to workers, and samples that were said to be done."""
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    told = [int(line.split()[1]) for line in lines if line.startswith("done")]
    return lines.count("asked"), max(told, default=0)


def faults(
    out: Path, row: dict, kept: dict[str, str], second: Run, undisturbed: dict, expected: set[str]
) -> Iterator[str]:
    """What forbids that a kill cost nothing but what was under way, a sentence each.

    kept : the shards after the kill.  second : the run that followed, ended.  expected : files of an undisturbed
    run.
    """
    if second.code:
        yield f"the second run ended with {second.code}: {second.output[-300:]}"
        return
    if row["kept"] * 2 < row["told"]:
        yield f"{row['told']} samples were said to be done and {row['kept']} shards of 2 are there"
    if row["lost"] > LOOK_AHEAD:
        yield f"{row['lost']} shards are lost, more than {LOOK_AHEAD}"
    if row["again"] != undisturbed["shards"] - row["kept"]:
        yield f"{row['again']} shards were computed again, {undisturbed['shards'] - row['kept']} were missing"
    after = runs.shards(out)
    if changed := [name for name, content in kept.items() if after.get(name) != content]:
        yield f"{changed[0]} is not what it was"
    if runs.files(out) != expected or Folder(out).blocks.exists():
        yield f"other files than undisturbed: {sorted(runs.files(out) ^ expected)}"
    if runs.opened(out).digest() != undisturbed["digest"]:
        yield "the content is not that of the undisturbed run"
