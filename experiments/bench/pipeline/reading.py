"""Opening a data set, and random batches of it, checked, beside plain h5py that reads the same bytes in order."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import data
from data import layouts
from experiments.bench.pipeline import runs
from experiments.progress import clock

RECIPE = "conductivity_many"
BATCH = 256


def data_set(given: str | None, samples: int, watch: Callable[[str], None]) -> data.Dataset:
    """The data set in a folder, or so many training samples of RECIPE, generated now unless the cache has them."""
    if given is not None:
        return runs.opened(Path(given))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maxwell-inverse" / "bench"
    told = [0.0]

    def progress(event):
        if time.monotonic() - told[0] > 10:
            told[0] = time.monotonic()
            left = "" if event.left is None else f", {clock(event.left)} left"
            watch(f"reading: generating {event.done} of {event.total} samples of {RECIPE}{left}")

    recipe = data.recipe.load(RECIPE, {"splits.train.samples": samples})
    train = {"train": recipe.splits["train"]}  # the finer mesh of the others would take longer than all of it
    return data.generate(
        recipe.model_copy(update={"splits": train}), cache / f"{RECIPE}-{samples}", progress=progress
    )


def measure(folder: Path, repeats: int) -> dict:
    """Keys: `samples`, `shards`, `disk` in bytes; `open` in seconds, best and median; `bytes` of the observations
    of the training split, read in a turn by each of `ways`.

    Of each way the bytes a second of processor time, `best` and `median` of the turns, and its `ratio` to the plain
    reading: that of the best turns, and over the pairs of turns that follow each other the `median`, `low` and
    `high`. Everything lies in the page cache.
    """
    opening = [_clocked(lambda: runs.opened(folder), time.perf_counter) for _ in range(repeats)]
    dataset = runs.opened(folder)
    train = dataset.split("train")
    files = [file for file in sorted((folder / "shards").glob("train-*.h5")) if "failed" not in file.name]
    draw = np.random.default_rng(0)
    size = layouts.read_in_order(files, "observations")  # and warms the page cache
    row = train.take([0]).observations.nbytes
    _loader(train.take([0]))  # imports
    ways = {
        "h5py, in order": lambda: layouts.read_in_order(files, "observations"),
        f"random batches of {BATCH}, checked": lambda: _batches(train, draw, size // row),
        f"DataLoader, batches of {BATCH}, shuffled": lambda: _loader(train),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            seconds[name].append(_clocked(way, time.process_time))
    plain = np.array(seconds["h5py, in order"])
    return {
        "folder": str(folder),
        "samples": len(dataset),
        "shards": len(list(folder.glob("shards/*.h5"))),
        "disk": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        "open": {"best": min(opening), "median": float(np.median(opening))},
        "bytes": size,
        "ways": {name: _rates(size, np.array(found), plain) for name, found in seconds.items()},
    }


def _rates(size, seconds, plain):
    ratios = plain / seconds
    return {
        "best": float(size / seconds.min()),
        "median": float(size / np.median(seconds)),
        "ratio": {
            "best": float(plain.min() / seconds.min()),
            "median": float(np.median(ratios)),
            "low": float(ratios.min()),
            "high": float(ratios.max()),
        },
    }


def _batches(train, draw, count):
    order = draw.permutation(len(train))[:count]
    for start in range(0, len(order), BATCH):
        train.take(order[start : start + BATCH]).observations  # noqa: B018 - read on access


def _loader(train):
    """Tensors of real and imaginary parts, in single precision, in this process."""
    import torch

    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    samples = train.to_torch(dtype=torch.float32)
    for _ in torch.utils.data.DataLoader(samples, BATCH, shuffle=True, generator=draw):
        pass


def _clocked(action, timer):
    began = timer()
    action()
    return timer() - began
