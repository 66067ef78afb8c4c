"""One bit of a data set flipped, again and again: does `validate` notice each, and is no number read wrong?"""

import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np

import data
from experiments.bench.pipeline.places import RECIPE


def measure(count: int, seed: int, folder: Path, watch: Callable[[str], None]) -> dict:
    """Flip `count` bits, one at a time, at random over all files by their size, the manifest ten times as often.

    Returns `flips`, `files`, `bytes`; `unnoticed`, those that `validate` has no damage in that file for; and of
    reading everything and some rows how often it was `refused`, gave the `same` numbers, or `wrong` ones.
    """
    whole = data.generate(data.recipe.parse(tomllib.loads(RECIPE)), folder / "set", 2)
    files = sorted(file for file in whole.path.rglob("*") if file.is_file() and file.stat().st_size)
    sizes = np.array([file.stat().st_size * (10 if file.suffix == ".json" else 1) for file in files])
    truth, rng = _read(whole.path), np.random.default_rng(seed)
    found = {"flips": count, "files": len(files), "bytes": sum(file.stat().st_size for file in files)}
    found |= {"unnoticed": [], "refused": 0, "same": 0, "wrong": []}
    for number in range(count):
        if not number % 100:
            watch(f"flips: {number} of {count}")
        file = files[rng.choice(len(files), p=sizes / sizes.sum())]
        intact = file.read_bytes()
        place, bit = int(rng.integers(len(intact))), int(rng.integers(8))
        flipped = bytearray(intact)
        flipped[place] ^= 1 << bit
        file.write_bytes(flipped)
        name = file.relative_to(whole.path).as_posix()
        try:
            damaged = {finding.file for finding in data.validate(whole.path) if finding.severity == "damage"}
            if name not in damaged:
                found["unnoticed"].append(f"{name}, bit {bit} of byte {place}")
            try:
                same = all(np.array_equal(a, b) for a, b in zip(_read(whole.path), truth, strict=True))
            except data.DataError:
                found["refused"] += 1
            else:
                found["same"] += same
                found["wrong"] += [] if same else [f"{name}, bit {bit} of byte {place}"]
        finally:
            file.write_bytes(intact)
    return found


def _read(folder: Path) -> list[np.ndarray]:
    """All numbers of a data set, and some rows once more, each by itself."""
    ds = data.open(folder)
    rows = ds.take(np.arange(len(ds))[::-3])
    return [ds.parameters, ds.observations, ds.seeds, ds.indices, rows.parameters, rows.observations]
