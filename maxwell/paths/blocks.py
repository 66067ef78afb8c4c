"""Precomputed arrays, in memory or on disk, keyed by everything that they depend on.

On disk a set of arrays is a folder `<name>-<key>` of .npy files, mapped into memory and so shared by all
processes that read it, with a manifest that is written last.  A manifest that is missing, or a file whose size or
checksum differs, means that the arrays are computed again.
"""

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import filelock
import numpy as np

from maxwell import memory
from maxwell.errors import MaxwellError

VERSION = 1
"""Part of every key; raised when the meaning of an array changes."""


class StaleBlocksWarning(UserWarning):
    """Precomputed arrays on disk were damaged or incomplete and are being computed again."""


class Blocks:
    """A place for precomputed arrays.

    folder : where they are kept between processes, or None for memory alone.
    key : everything that the arrays depend on, as bytes or text; its digest names them.
    """

    def __init__(self, folder: Path | str | None, *key: bytes | str):
        self.folder = None if folder is None else Path(folder)
        digest = hashlib.sha256(f"maxwell blocks {VERSION}".encode())
        for part in key:
            digest.update(hashlib.sha256(part.encode() if isinstance(part, str) else part).digest())
        self.key = digest.hexdigest()[:16]

    def get(
        self,
        name: str,
        shapes: Mapping[str, tuple[tuple[int, ...], type]],
        compute: Callable[[dict[str, np.ndarray]], None],
    ) -> dict[str, np.ndarray]:
        """Arrays of the given shapes and types, read if they are there and else filled in by `compute`.

        Raises MaxwellError, before computing, when memory or the disk has no room for them.
        """
        bytes_needed = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in shapes.values())
        if self.folder is None:
            _room(name, bytes_needed, memory.available(), "memory")
            arrays = {array: np.empty(shape, dtype) for array, (shape, dtype) in shapes.items()}
            compute(arrays)
            return arrays
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / f"{name}-{self.key}"
        with filelock.FileLock(self.folder / f"{name}-{self.key}.lock"):
            if not self._sound(place, shapes):
                _room(name, bytes_needed, shutil.disk_usage(self.folder).free, f"disk at {self.folder}")
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                arrays = {
                    array: np.lib.format.open_memmap(place / f"{array}.npy", "w+", dtype, shape)
                    for array, (shape, dtype) in shapes.items()
                }
                compute(arrays)
                for array in arrays.values():
                    array.flush()
                del arrays
                sums = {array: _checksum(place / f"{array}.npy") for array in shapes}
                (place / "manifest.json").write_text(json.dumps(sums, indent=1))
        # As plain arrays: the subclass of numpy costs microseconds for every slice.
        return {array: np.load(place / f"{array}.npy", mmap_mode="r").view(np.ndarray) for array in shapes}

    def _sound(self, place, shapes):
        if not place.exists():
            return False
        try:
            sums = json.loads((place / "manifest.json").read_text())
            damaged = [a for a in shapes if _checksum(place / f"{a}.npy") != sums[a]]
            wrong = [
                a
                for a, (shape, dtype) in shapes.items()
                if a not in damaged and _header(place / f"{a}.npy") != (tuple(shape), np.dtype(dtype))
            ]
            finding = f"{', '.join(damaged + wrong)} differ from the manifest" if damaged + wrong else ""
        except (OSError, ValueError, KeyError) as error:
            finding = f"{type(error).__name__}: {error}"
        if finding:
            warnings.warn(
                f"Precomputed blocks in {place} are damaged or incomplete ({finding}); computing them again.",
                StaleBlocksWarning,
                stacklevel=4,
            )
        return not finding


def _header(path):
    array = np.load(path, mmap_mode="r")
    return array.shape, array.dtype


def _checksum(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _room(name, needed, free, where):
    if needed > 0.9 * free:
        raise MaxwellError(
            f"The precomputed blocks of the {name} path need {needed / 2**30:.2g} GiB, and {where} has "
            f"{free / 2**30:.2g} GiB free: take fewer cells or degree 1, or refactorise for every sample."
        )
