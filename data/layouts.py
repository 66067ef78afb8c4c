"""Other ways to keep an array in HDF5, and reading with HDF5 alone: what the format and its reader are measured
against (``maxinv bench data``)."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np


@dataclass(frozen=True)
class Layout:
    """How one array (n, ...) is laid out in a file."""

    name: str
    rows: int | None  #: in a chunk; ``None``: contiguous
    compression: str | None = None
    level: int | None = None

    def options(self, shape: tuple[int, ...]) -> dict:
        """As ``create_dataset`` takes them."""
        if self.rows is None:
            return {}
        return {
            "chunks": (min(self.rows, shape[0]), *shape[1:]),
            "compression": self.compression,
            "compression_opts": self.level,
            "shuffle": self.compression is not None,
        }


LAYOUTS = (
    Layout("contiguous", None),
    Layout("chunks of 1 row", 1),
    Layout("chunks of 32 rows", 32),
    Layout("1 row, shuffle, lzf", 1, "lzf"),
    Layout("1 row, shuffle, gzip 1", 1, "gzip", 1),
    Layout("1 row, shuffle, gzip 9", 1, "gzip", 9),
    Layout("32 rows, shuffle, lzf", 32, "lzf"),
    Layout("32 rows, shuffle, gzip 1", 32, "gzip", 1),
)


def compare(
    values: np.ndarray, folder: Path, turns: int = 5, layouts: Iterable[Layout] = LAYOUTS
) -> list[dict]:
    """Each layout of an array: `size` over that of its numbers, and the best turn of writing, reading in order and
    reading its rows one by one in random order, bytes a second of processor time.

    Turns are interleaved; files are in the page cache. Raises ``ValueError`` if a file gives other numbers.
    """
    layouts = tuple(layouts)
    order = np.random.default_rng(0).permutation(len(values))
    best = {layout: {} for layout in layouts}
    for _ in range(turns):
        for number, layout in enumerate(layouts):
            file = folder / f"{number}.h5"
            actions = {
                "write": lambda file=file, layout=layout: _write(file, values, layout),
                "in order": lambda file=file: _read(file),
                "random": lambda file=file: _read_rows(file, order),
            }
            for action, seconds in _clocked(actions).items():
                best[layout][action] = min(seconds, best[layout].get(action, np.inf))
    for number in range(len(layouts)):
        if _read(folder / f"{number}.h5").tobytes() != values.tobytes():
            raise ValueError(f"{layouts[number].name}: other numbers were read than were written")
    return [
        {
            "layout": layout.name,
            "size": (folder / f"{number}.h5").stat().st_size / values.nbytes,
            **{action: values.nbytes / seconds for action, seconds in best[layout].items()},
        }
        for number, layout in enumerate(layouts)
    ]


def read_in_order(files: Iterable[Path], name: str) -> int:
    """Read an array of each of some files in their order, with h5py alone; how many bytes there were."""
    total = 0
    for path in files:
        with h5py.File(path, "r") as file:
            total += file[name][...].nbytes
    return total


def _clocked(actions: Mapping[str, Callable]) -> dict[str, float]:
    seconds = {}
    for name, action in actions.items():
        began = time.process_time()
        action()
        seconds[name] = time.process_time() - began
    return seconds


def _write(path, values, layout):
    with h5py.File(path, "w") as file:
        file.create_dataset("values", data=values, **layout.options(values.shape))


def _read(path):
    with h5py.File(path, "r") as file:
        return file["values"][...]


def _read_rows(path, order):
    with h5py.File(path, "r") as file:
        array = file["values"]
        out = np.empty_like(array, shape=array.shape[1:])
        for row in order.tolist():
            array.read_direct(out, np.s_[row])
