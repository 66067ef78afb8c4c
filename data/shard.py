"""One shard as a file: HDF5 with a table of contents before it, so that a row is found and checked alone.

::

    maxwell-inverse shard 3 4096 <SHA-256 of the next line>\\n
    {"arrays":{"observations":{"dtype":...,"offset":...,"shape":[...],"xxh3":"..."},...},"attributes":{...},"bytes":...,"sha256":"..."}\\n
    spaces up to byte 4096, then the HDF5 file, whose SHA-256 is the ``sha256`` above; ``bytes`` in all

The table stands in the user block of the HDF5 file, which HDF5 leaves to its users: a power of two bytes, as many
as the first line says. ``offset`` is the place of the array's first byte, ``xxh3`` the 128-bit XXH3 of all of
them, in hexadecimal digits; for ``checksums/NAME`` see :mod:`data.schema`.

Reading takes the table and then the bytes themselves, without HDF5: 4 microseconds and a checksum a row, where
HDF5 takes 50. Reads name their place in the file (``pread``) and keep it open until they are done, so processes
that fork and threads may share an opened shard, and one may close it while another reads.
"""

import hashlib
import io
import json
import math
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash

from data import schema
from data.errors import DataError
from data.recipe import canonical

_MAGIC = b"maxwell-inverse shard 3"
_LEAST = 4096


class Damage(Exception):
    """What is wrong with a file; :meth:`ShardFile.array` and its like turn it into a :class:`DataError`."""


def render(
    arrays: Mapping[str, np.ndarray], about: Sequence[schema.Array], attributes: Mapping[str, Any]
) -> bytes:
    """The bytes of a shard; equal arguments give equal bytes.

    arrays : cast by ``about``.  attributes : those of ``schema.ATTRIBUTES``, numbers or text.
    """
    sums = {f"{schema.CHECKSUMS}/{a.name}": row_checksums(arrays[a.name]) for a in about if a.by_row}
    size = _LEAST
    while True:
        buffer = io.BytesIO()
        entries = {}
        with h5py.File(buffer, "w", userblock_size=size) as file:
            file.attrs.update(attributes)
            for array in about:
                item = file.create_dataset(array.name, data=arrays[array.name])
                item.attrs.update(unit=array.unit, description=array.description)
            for name, values in sums.items():
                file.create_dataset(name, data=values)
            file.flush()
            for name, values in {**arrays, **sums}.items():
                entries[name] = {
                    "dtype": values.dtype.str,
                    "offset": file[name].id.get_offset(),
                    "shape": list(values.shape),
                    "xxh3": _xxh3(values),
                }
        content = buffer.getvalue()
        table = {
            "arrays": entries,
            "attributes": dict(attributes),
            "bytes": len(content),
            "sha256": _sha256(content[size:]),
        }
        line = canonical(table).encode() + b"\n"
        block = b"%s %d %s\n" % (_MAGIC, size, _sha256(line).encode()) + line
        if len(block) <= size:
            return block.ljust(size) + content[size:]
        size *= 2  # a long provenance, or many extras


def row_checksums(values: np.ndarray) -> np.ndarray:
    """The 64-bit XXH3 of each row, (n,) uint64."""
    rows = values.reshape(len(values), -1)
    return np.array([xxhash.xxh3_64_intdigest(row.data) for row in rows], dtype="<u8")


def is_begun(path: Path) -> bool:
    """Whether a file begins as a shard of this version does, sound or not."""
    try:
        opened = _Opened(path)  # it is closed with its last reference
        return os.pread(opened.descriptor, len(_MAGIC), 0) == _MAGIC
    except (Damage, OSError):
        return False


class _Opened:
    """A file of the system, closed with the last reference to it: by no thread under another's hands."""

    def __init__(self, path: Path):
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe has no other end
        kind = os.fstat(self.descriptor).st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # reading tells of a folder
            raise Damage("it is a pipe or a device, not a file")

    def __del__(self, close=os.close):  # the module may have gone before it
        if self.descriptor >= 0:
            close(self.descriptor)


class ShardFile:
    """A shard opened for reading; every number that it gives has been checked.

    Opening reads the table alone. Raises :class:`DataError` for a file that is missing, unreadable or damaged.
    """

    def __init__(self, path: Path):
        self.path = path
        self._opened: _Opened | None = None
        self._row_tables: dict[str, tuple[list[int], int, int]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        try:
            opened = self._file()
            self.table, self.size = _table(opened.descriptor)
        except Exception as error:
            self.close()
            raise self._told(error, "") from None

    def close(self) -> None:
        """Give the file back to the system, until it is read again; what the table says is kept."""
        self._opened = None

    def _file(self) -> _Opened:
        """The open file, which stays open for as long as the caller keeps what is returned."""
        opened = self._opened
        if opened is None:
            opened = self._opened = _Opened(self.path)
        return opened

    @property
    def attributes(self) -> dict[str, Any]:
        """The root attributes."""
        return self.table["attributes"]

    def expect(self, attributes: Mapping[str, Any]) -> None:
        """Raise :class:`DataError` unless the file has these attributes, else it is another shard or data set's."""
        for name, expected in attributes.items():
            if (found := self.attributes.get(name)) != expected:
                raise self._told(Damage(f"attribute {name} should be {expected}, is {found}"), "")

    def shape(self, name: str) -> tuple[int, ...]:
        """Of an array."""
        shape = self._shapes.get(name)
        if shape is None:
            shape = self._shapes[name] = tuple(self._entry(name)["shape"])
        return shape

    def dtype(self, name: str) -> np.dtype:
        """Of an array."""
        return np.dtype(self._entry(name)["dtype"])

    def array(self, name: str) -> np.ndarray:
        """All of an array."""
        try:
            entry = self._entry(name)
            values = np.empty(entry["shape"], entry["dtype"])
            self._fill(values, entry["offset"])
            if _xxh3(values) != entry["xxh3"]:
                raise Damage("the numbers are not those that were written")
            return values
        except (Damage, OSError) as error:
            raise self._told(error, f":/{name}") from None

    def rows(self, name: str, rows: np.ndarray, out: np.ndarray, places: np.ndarray) -> None:
        """Read some rows of an array of two or more axes into ``out[places]``, each checked by itself; ``out`` is
        contiguous."""
        self.fill(name, rows.tolist(), memoryview(out.reshape(-1).view(np.uint8)), places.tolist())

    def fill(self, name: str, rows: list[int], out: memoryview, places: list[int]) -> None:
        """The same, with the bytes of ``out`` for ``out``: few rows of many files are read so."""
        expected, offset, stride = self._row_table(name)
        preadv, digest = os.preadv, xxhash.xxh3_64_intdigest
        try:
            opened = self._file()
            descriptor = opened.descriptor
            for row, place in zip(rows, places, strict=True):
                target = out[place * stride : (place + 1) * stride]
                if preadv(descriptor, (target,), offset + row * stride) != stride:
                    raise Damage("the file ends too early")
                if digest(target) != expected[row]:
                    raise Damage(f"the numbers of row {row} are not those that were written")
        except (Damage, OSError) as error:
            raise self._told(error, f":/{name}") from None

    def _row_table(self, name: str) -> tuple[list[int], int, int]:
        """Of an array: the checksums of its rows, the place of the first in the file, and the bytes of each."""
        if name not in self._row_tables:
            sums = self.array(f"{schema.CHECKSUMS}/{name}").tolist()
            stride = self.dtype(name).itemsize * math.prod(self.shape(name)[1:])
            self._row_tables[name] = sums, self._entry(name)["offset"], stride
        return self._row_tables[name]

    def damage(self) -> str | None:
        """What is wrong with any byte of the file, or ``None``; reads all of it."""
        hasher, place, opened = hashlib.sha256(), self.size, self._file()
        while block := os.pread(opened.descriptor, 2**20, place):
            hasher.update(block)
            place += len(block)
        if hasher.hexdigest() != self.table["sha256"]:
            return "its bytes are not those that were written"
        return None

    def _entry(self, name: str) -> dict[str, Any]:
        try:
            return self.table["arrays"][name]
        except KeyError:
            raise self._told(Damage("there is no such array"), f":/{name}") from None

    def _fill(self, values: np.ndarray, offset: int) -> None:
        view, done, opened = memoryview(values.reshape(-1).view(np.uint8)), 0, self._file()
        while done < values.nbytes:
            read = os.preadv(opened.descriptor, [view[done : done + 2**30]], offset + done)
            if not read:
                raise Damage("the file ends too early")
            done += read

    def _told(self, error: Exception, where: str) -> DataError:
        again = "with the same recipe, which computes what is missing"
        if isinstance(error, FileNotFoundError):
            return DataError(f"{self.path}: is missing; generate the data set again {again}.")
        if isinstance(error, PermissionError):
            return DataError(f"{self.path}: may not be read; change its permissions.")
        if isinstance(error, OSError):
            return DataError(
                f"{self.path}{where}: cannot be read ({error.strerror or error}); mend that, or delete this file "
                f"and generate again {again}."
            )
        found = str(error) if isinstance(error, Damage) else "its table of contents is not what was written"
        return DataError(
            f"{self.path}{where}: damaged ({found}); delete this file and generate again {again}."
        )


def _table(descriptor: int) -> tuple[dict[str, Any], int]:
    """The table of a shard and the size of its block."""
    head = os.pread(descriptor, _LEAST, 0)
    first = head.partition(b"\n")[0]
    if not first.startswith(_MAGIC + b" "):
        raise Damage(f"it does not begin with {_MAGIC.decode()!r}")
    size, digest = first[len(_MAGIC) + 1 :].split(b" ")
    block = head if int(size) == len(head) else os.pread(descriptor, int(size), 0)
    if b"%d" % len(block) != size:
        raise Damage("the file ends too early")
    line = block[len(first) + 1 :]
    line, padding = line[: line.index(b"\n") + 1], line[line.index(b"\n") + 1 :]
    if _sha256(line).encode() != digest or padding.strip(b" "):
        raise Damage("its table of contents is not what was written")
    table = json.loads(line)
    if (found := os.fstat(descriptor).st_size) != table["bytes"]:
        raise Damage(f"it has {found} bytes and was written with {table['bytes']}")
    return table, int(size)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _xxh3(values: np.ndarray) -> str:
    return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
