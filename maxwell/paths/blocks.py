"""Precomputed arrays, in memory or on disk, keyed by everything that they depend on.

On disk a set of arrays is a folder `<name>-<key>` of .npy files, mapped into memory and so shared by all
processes that read it, with a manifest that is written last.  A manifest that is missing, or a file whose size or
checksum differs, means that the arrays are computed again.  The space of the files is reserved before anything is
computed: a mapped file whose disk turns out to be full would end the process by a signal.
"""

import errno
import hashlib
import importlib.metadata
import json
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import filelock
import numpy as np

from maxwell import memory
from maxwell.errors import MaxwellError

VERSION = 1
"""Part of every key; raised when the meaning of an array changes."""

DISTRIBUTIONS = ("fenics-dolfinx", "dolfinx-solver-complex", "fenics-basix", "fenics-ffcx")
"""What assembles the arrays, whose versions are part of every key; DOLFINx is named after its packager."""


class StaleBlocksWarning(UserWarning):
    """Precomputed arrays on disk were damaged or incomplete and are being computed again."""


class Blocks:
    """A place for precomputed arrays.

    folder : where they are kept between processes, or None for memory alone.
    key : everything that the arrays depend on, as bytes or text; its digest names them, with `VERSION` and the
        versions of `DISTRIBUTIONS`.
    """

    def __init__(self, folder: Path | str | None, *key: bytes | str):
        self.folder = None if folder is None else Path(folder)
        digest = hashlib.sha256(f"maxwell blocks {VERSION}".encode())
        for part in (*map(_version, DISTRIBUTIONS), *key):
            digest.update(hashlib.sha256(part.encode() if isinstance(part, str) else part).digest())
        self.key = digest.hexdigest()[:16]

    def get(
        self,
        name: str,
        shapes: Mapping[str, tuple[tuple[int, ...], type]],
        compute: Callable[[dict[str, np.ndarray]], None],
        working: int = 0,
    ) -> dict[str, np.ndarray]:
        """Arrays of the given shapes and types, read if they are there and else filled in by `compute`.

        working : bytes of memory that `compute` takes besides the arrays.

        Raises MaxwellError, before computing, when memory or the disk has no room for them; and when the folder
        cannot be made, read or written.  Whatever `compute` raises, nothing half-made stays behind.
        """
        needed = sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in shapes.values())
        if self.folder is None:
            _room(name, needed + working, memory.available(), "memory")
            arrays = {array: np.empty(shape, dtype) for array, (shape, dtype) in shapes.items()}
            compute(arrays)
            return arrays
        place = self.folder / f"{name}-{self.key}"
        with _told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.folder / f"{name}-{self.key}.lock"):
                if not _sound(place, shapes):
                    if place.exists():
                        shutil.rmtree(place)
                    _room(name, working, memory.available(), "memory")
                    _room(name, needed, shutil.disk_usage(self.folder).free, f"disk at {self.folder}")
                    try:
                        _make(place, shapes, compute)
                    except BaseException:
                        shutil.rmtree(place, ignore_errors=True)
                        raise
            # As plain arrays: the subclass of numpy costs microseconds for every slice.
            return {
                array: np.load(place / f"{array}.npy", mmap_mode="r").view(np.ndarray) for array in shapes
            }


def _make(place, shapes, compute):
    place.mkdir()
    arrays = {}
    for array, (shape, dtype) in shapes.items():
        file = place / f"{array}.npy"
        arrays[array] = np.lib.format.open_memmap(file, "w+", dtype, shape)
        _reserve(file, arrays[array].offset)
    compute(arrays)
    for array in arrays.values():
        array.flush()
    sums = {array: _checksum(place / f"{array}.npy") for array in shapes}
    (place / "manifest.json").write_text(json.dumps(sums, indent=1))


def _reserve(file, start):
    """Have the disk set aside all of a sparse file, whose first `start` bytes are written; OSError if it cannot."""
    with file.open("r+b") as stream:
        size = os.fstat(stream.fileno()).st_size
        try:
            os.posix_fallocate(stream.fileno(), 0, size)
            return
        except AttributeError:  # a system without it
            pass
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
        stream.seek(start)
        while start < size:
            start += stream.write(bytes(min(size - start, 2**24)))


@contextmanager
def _told(folder) -> Iterator[None]:
    """What the system refuses in a folder of blocks, as one sentence."""
    try:
        yield
    except OSError as error:
        raise MaxwellError(
            f"The precomputed blocks cannot be kept in {folder} ({error.strerror or error}): make room there or "
            "give a folder that can be written, or prepare without one."
        ) from error


def _sound(place, shapes):
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
    except (OSError, ValueError, KeyError, TypeError) as error:
        finding = f"{type(error).__name__}: {error}"
    if finding:
        warnings.warn(
            f"Precomputed blocks in {place} are damaged or incomplete ({finding}); computing them again.",
            StaleBlocksWarning,
            stacklevel=4,
        )
    return not finding


def _version(distribution):
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


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
