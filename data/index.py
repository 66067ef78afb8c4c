"""Which samples of a data set are there, and in which row of which file: told by the names of the files."""

import functools
import os
import resource
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data import schema
from data.errors import DataError
from data.shard import ShardFile
from data.store import Folder, Shard, shard_count, shard_of

# Files that are held open at once, by one data set of possibly several: a quarter of what the system allows.
_OPEN = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4, 64)
_ORDERING = threading.Lock()  # of which file was read when
# A child must not be born while some thread holds the lock: that thread does not exist in the child.
os.register_at_fork(
    before=_ORDERING.acquire, after_in_parent=_ORDERING.release, after_in_child=_ORDERING.release
)


# Each its own key: to hash what it holds would take longer than to read a row.
@dataclass(frozen=True, eq=False)
class Entry:
    """A shard that is there; an index and its parts share theirs."""

    shard: Shard
    failed: int  #: samples that could not be solved, which no reader sees

    def __len__(self) -> int:
        return len(self.shard) - self.failed


@dataclass(frozen=True)
class Failure:
    """A sample that could not be solved."""

    split: str
    index: int
    seed: int  #: from which its parameters were drawn
    reason: str

    def __str__(self) -> str:
        return f"sample {self.index} of split {self.split}, seed {self.seed}: {self.reason}"


class _Files:
    """The opened shards of a folder, which all views of a data set share."""

    def __init__(self, folder: Folder, manifest: schema.Manifest):
        self.folder, self.manifest = folder, manifest
        self._known: dict[Entry, ShardFile] = {}
        self._open: OrderedDict[Entry, ShardFile] = OrderedDict()

    def __getstate__(self):
        return self.folder, self.manifest

    def __setstate__(self, state):
        self.__init__(*state)

    def __getitem__(self, entry: Entry) -> ShardFile:
        """A shard, ready to be read; those that were not read for longest are closed."""
        file = self._known.get(entry)
        if file is None:
            file = self.folder.opened(self.manifest, entry.shard, entry.failed)
        elif len(self._known) <= _OPEN:  # all can stay open: no need to know which was read when
            return file
        with _ORDERING:
            file = self._open[entry] = self._known.setdefault(entry, file)
            self._open.move_to_end(entry)
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)[1].close()
        return file


class Index:
    """The samples of some splits: those solved, in the order of the splits and then of their index.

    Made without opening a shard. Rows below are numbers in that order. Picklable; files are opened when first
    read.
    """

    def __init__(self, files: _Files, entries: tuple[Entry, ...], everything: tuple[Entry, ...]):
        self._files, self.entries, self._everything = files, entries, everything
        self.bounds = np.concatenate([[0], np.cumsum([len(e) for e in entries], dtype=np.int64)])
        self._columns: dict[str, np.ndarray] = {}

    @classmethod
    def of(cls, folder: Folder, manifest: schema.Manifest) -> "Index":
        """Of all that is there."""
        recipe, found = manifest.recipe, folder.listing()
        there: dict[str, list[int]] = {name: [] for name in recipe.splits}
        for split, number in found:
            if split in there and number < shard_count(recipe, split):
                there[split].append(number)
        entries = []
        for split, numbers in there.items():
            for number in sorted(numbers):
                shard = shard_of(recipe, split, number)
                entries.append(Entry(shard, min(found[split, number], len(shard))))
        return cls(_Files(folder, manifest), tuple(entries), tuple(entries))

    def __len__(self) -> int:
        return int(self.bounds[-1])

    def of_splits(self, splits: tuple[str, ...]) -> "Index":
        """Of some splits alone."""
        wanted = set(splits)
        return Index(self._files, tuple(e for e in self.entries if e.shard.split in wanted), self._everything)

    @functools.cached_property
    def splits(self) -> tuple[str, ...]:
        """The split of each entry."""
        return tuple(entry.shard.split for entry in self.entries)

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """The entry of each row."""
        return np.searchsorted(self.bounds, rows, side="right") - 1

    def range(self, split: str) -> np.ndarray:
        """The rows of a split."""
        numbers = [number for number, name in enumerate(self.splits) if name == split]
        if not numbers:
            return np.arange(0)
        return np.arange(self.bounds[numbers[0]], self.bounds[numbers[-1] + 1])

    # -- reading --------------------------------------------------------------------------------------

    def file(self, number: int) -> ShardFile:
        """The shard of an entry."""
        return self._files[self.entries[number]]

    def positions(self, number: int) -> np.ndarray | slice:
        """Where the solved samples of an entry stand in its file."""
        entry = self.entries[number]
        if not entry.failed:
            return slice(None)
        solved = np.flatnonzero(self.file(number).array("status") == schema.SOLVED)
        if len(solved) != len(entry):
            raise DataError(
                f"{self.file(number).path}: its name tells of {entry.failed} failed samples and its content of "
                f"{len(entry.shard) - len(solved)}; give it the name that it was written under."
            )
        return solved

    def parts(self, name: str) -> Iterator[np.ndarray]:
        """An array over all samples, shard by shard."""
        for number, entry in enumerate(self.entries):
            if len(entry):
                yield self.file(number).array(name)[self.positions(number)]

    def failures(self) -> Iterator[Failure]:
        """The samples that could not be solved."""
        for number, entry in enumerate(self.entries):
            if entry.failed:
                file = self.file(number)
                status, reasons, seeds = (
                    file.array(name) for name in ("status", "failure", "parameter_seed")
                )
                for row in np.flatnonzero(status == schema.FAILED).tolist():
                    reason = reasons[row].decode(errors="replace")
                    yield Failure(entry.shard.split, entry.shard.start + row, int(seeds[row]), reason)

    def column(self, name: str) -> np.ndarray:
        """An array of one number a sample, over all of them; kept."""
        if name not in self._columns:
            self._columns[name] = self.whole(name)
        return self._columns[name]

    def whole(self, name: str) -> np.ndarray:
        """An array over all samples."""
        parts = list(self.parts(name))
        if not parts:
            return self._nothing(name)
        if len({part.shape[1:] for part in parts}) > 1:
            raise DataError(
                f"{self._files.folder.path}: {name} of these splits have different lengths, for their problems "
                "differ; ask one split, as in ds.split('test')."
            )
        return np.concatenate(parts)

    def rows(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Some rows of an array of two or more axes, in the order given, each checked by itself."""
        if not len(rows):
            return self._nothing(name)
        numbers = self.numbers(rows)
        local = rows - self.bounds[numbers]
        order = np.argsort(numbers, kind="stable")
        local, numbers, places = local[order], numbers[order], order.tolist()
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        ends = [*starts[1:].tolist(), len(order)]
        first = self.file(int(numbers[0]))
        shape = first.shape(name)[1:]
        out = np.empty((len(rows), *shape), first.dtype(name))
        whole = memoryview(out.reshape(-1).view(np.uint8))
        for number, begin, end in zip(numbers[starts].tolist(), starts.tolist(), ends, strict=True):
            file, inside = self.file(number), local[begin:end]
            if self.entries[number].failed:
                inside = self.positions(number)[inside]
            if file.shape(name)[1:] != shape:
                raise DataError(
                    f"{self._files.folder.path}: {name} of these samples have different lengths, for the "
                    "problems of their splits differ; ask one split."
                )
            file.fill(name, inside.tolist(), whole, places[begin:end])
        return out

    @functools.cached_property
    def samples(self) -> np.ndarray:
        """(n,) int64, the index of each sample within its split."""
        ranges = [
            np.arange(entry.shard.start, entry.shard.stop)[self.positions(number)]
            for number, entry in enumerate(self.entries)
        ]
        return np.concatenate([np.arange(0), *ranges])

    def _nothing(self, name: str) -> np.ndarray:
        """An array over no samples; real or complex as in a shard, of another problem if need be."""
        for entry in (self.entries or self._everything)[:1]:
            file = self._files[entry]
            return np.empty((0, *file.shape(name)[1:]), file.dtype(name))
        manifest = self._files.manifest
        (array,) = (a for a in schema.arrays_of(manifest.recipe.store) if a.name == name)
        lengths = {"n": 0, **manifest.problems[0].lengths}
        return np.empty(
            tuple(int(c) if c.isdigit() else lengths.get(c, 0) for c in array.shape), array.dtypes[0]
        )
