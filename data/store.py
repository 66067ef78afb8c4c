"""The data-set folder: files that appear complete or not at all, and that notice damage when read.

Laws, whatever is killed and whenever:

 - a file under its final name is complete: it is written under a temporary name in the same folder,
   flushed to the disk, renamed, and the folder flushed. It is never written again, but for a shard with failed
   samples when these are tried once more;
 - a shard has one writer: the process that holds the folder, or the part of it that the shard belongs to
   (:mod:`data.locks`);
 - an array that is read is the array that was written, or :class:`DataError` says which is damaged.

Files are opened when they are first read, so a :class:`Folder` may be copied to other processes at any time.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from data import locks, schema
from data.errors import DataError
from data.recipe import Recipe, canonical
from data.shard import ShardFile, render

_TEMPORARY = ".part"  # ends the name of a file that is being written
_NAME = re.compile(
    r"(?P<split>[A-Za-z][A-Za-z0-9_]*)-(?P<number>\d{5,9})(?:\.(?P<failed>[1-9]\d*)-failed)?\.h5"
)


@dataclass(frozen=True, order=True)
class Shard:
    """Samples ``start`` to ``stop - 1`` of a split, which share a file."""

    split: str
    number: int
    start: int
    stop: int

    def file(self, failed: int = 0) -> str:
        """The file's name, in the folder of shards, once so many of its samples have failed."""
        mark = f".{failed}-failed" if failed else ""
        return f"{self.split}-{self.number:05d}{mark}.h5"

    def __len__(self) -> int:
        return self.stop - self.start


def shard_count(recipe: Recipe, split: str) -> int:
    """How many shards a split has."""
    return -(-recipe.splits[split].samples // recipe.store.shard)


def shard_of(recipe: Recipe, split: str, number: int) -> Shard:
    """A shard by its number in its split."""
    start = number * recipe.store.shard
    return Shard(split, number, start, min(start + recipe.store.shard, recipe.splits[split].samples))


def shards_of(recipe: Recipe, split: str) -> Iterator[Shard]:
    """The shards of a split, in the order of their samples."""
    return (shard_of(recipe, split, number) for number in range(shard_count(recipe, split)))


def parse_name(name: str) -> tuple[str, int, int] | None:
    """Split, number and failed samples that the name of a shard's file tells; ``None`` if it is no such name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    found = match["split"], int(match["number"]), int(match["failed"] or 0)
    return found if name == Shard(*found[:2], 0, 0).file(found[2]) else None


class Folder:
    """A data-set folder on disk. Making the object touches nothing."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.shards = self.path / schema.SHARDS
        self.blocks = self.path / schema.BLOCKS

    # -- one writer -----------------------------------------------------------------------------------

    @contextmanager
    def writing(self, part: locks.Part | None = None) -> Iterator[None]:
        """Be the one writer of the folder, or of a part; the folder is made if need be."""
        self.shards.mkdir(parents=True, exist_ok=True)
        with locks.writing(self.path, part):
            if part is None:  # what a killed writer left; a part's neighbours may be writing
                for leftover in [*self.path.glob(f".*{_TEMPORARY}"), *self.shards.glob(f".*{_TEMPORARY}")]:
                    leftover.unlink(missing_ok=True)
            yield

    # -- the manifest ---------------------------------------------------------------------------------

    def has_manifest(self) -> bool:
        """Whether a data set was started here."""
        return (self.path / schema.MANIFEST).is_file()

    def begun(self) -> bool:
        """Whether a data set was started here and holds at least one shard."""
        return self.has_manifest() and any(self.shards.glob("*.h5"))

    def write_manifest(self, manifest: schema.Manifest) -> None:
        """Write ``dataset.json``."""
        self._write(self.path / schema.MANIFEST, _manifest_text(manifest).encode())

    def read_manifest(self) -> schema.Manifest:
        """Read ``dataset.json``; :class:`DataError` if there is none, or not one that this version reads."""
        file = self.path / schema.MANIFEST
        if not self.path.is_dir():
            raise DataError(f"{self.path}: no such data set; give the folder of one, or generate it first.")
        if not file.is_file():
            raise DataError(
                f"{self.path}: is not a data set (it holds no {schema.MANIFEST}); give the folder of one."
            )
        try:
            text = file.read_bytes().decode()
            content = json.loads(text)
            if isinstance(content, dict) and content.get("version") in (1, 2):
                raise ValueError(f"version {content['version']}, and this is version {schema.VERSION}")
            if not isinstance(content, dict) or content.pop("sha256", None) != _checksum(content):
                raise ValueError("its content is not what was written")
            manifest = schema.Manifest.model_validate(content)
            if text != _manifest_text(manifest):
                raise ValueError("its text is not what was written")
            return manifest
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror}).") from None
        except pydantic.ValidationError as error:
            finding = error.errors()[0]
            path = ".".join(map(str, finding["loc"]))
            problem = finding["msg"].removeprefix("Value error, ")
            found = f"{path}: {problem}" if path else problem
        except (ValueError, RecursionError) as error:  # broken JSON or text
            found = " ".join(str(error).split())
        raise DataError(
            f"{file}: is damaged or of another version ({found}); restore it from a copy, or generate it again "
            "into another folder."
        )

    # -- shards ---------------------------------------------------------------------------------------

    def listing(self) -> dict[tuple[str, int], int]:
        """(split, number) -> failed samples, of every shard that is there and hence complete, by one look.

        Where a shard stands twice, before and after its failures were tried again, the better one counts.
        """
        found: dict[tuple[str, int], int] = {}
        try:
            with os.scandir(self.shards) as entries:
                for entry in entries:
                    parsed = parse_name(entry.name)
                    if parsed and not (entry.is_symlink() and not entry.is_file()):  # no link to nowhere
                        split, number, failed = parsed
                        found[split, number] = min(failed, found.get((split, number), failed))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return found

    def write_shard(
        self,
        manifest: schema.Manifest,
        shard: Shard,
        arrays: Mapping[str, np.ndarray],
        discretisation: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> int:
        """Write one shard, in full or not at all; ``arrays`` holds exactly those of ``schema.arrays_of``.

        Returns how many of its samples have failed. Takes the place of what an earlier try of these has left.
        """
        about = schema.arrays_of(manifest.recipe.store)
        lengths = {"n": len(shard), **manifest.problem(shard.split).lengths}
        cast = {}
        for array in about:
            cast[array.name] = array.cast(arrays[array.name])
            if found := schema.check(array, cast[array.name], lengths):
                raise ValueError(f"{shard.file()}:/{array.name}: {found}")
        solved = cast["status"] == schema.SOLVED
        for name in ("parameters", "observations"):
            if not np.isfinite(cast[name][solved]).all():
                raise ValueError(f"{shard.file()}:/{name}: holds a number that is not finite")
        failed = int(np.sum(~solved))
        attributes = expected_attributes(manifest, shard) | {
            "discretisation": canonical(discretisation),
            "provenance": canonical(provenance),
        }
        file = self.shards / shard.file(failed)
        self._write(file, render(cast, about, attributes))
        for other in self.shards.glob(f"{shard.split}-{shard.number:05d}.*"):
            if other != file and parse_name(other.name):
                other.unlink(missing_ok=True)
        return failed

    def opened(self, manifest: schema.Manifest, shard: Shard, failed: int = 0) -> ShardFile:
        """A shard for reading, if it is this one."""
        file = ShardFile(self.shards / shard.file(failed))
        file.expect(expected_attributes(manifest, shard))
        if (rows := file.shape("seed")[0]) != len(shard):
            raise DataError(
                f"{file.path}: holds {rows} samples, and by the recipe in {schema.MANIFEST} this shard has "
                f"{len(shard)}; give the folder its own {schema.MANIFEST} back, or generate into another."
            )
        return file

    # -- files ----------------------------------------------------------------------------------------

    def _write(self, file: Path, content: bytes) -> None:
        """Make ``file`` appear with this content, or not at all, even if the machine stops meanwhile."""
        temporary = file.with_name(f".{file.name}.{os.getpid()}{_TEMPORARY}")
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(file)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def expected_attributes(manifest: schema.Manifest, shard: Shard) -> dict[str, Any]:
    """The root attributes that follow from the manifest and the shard's place."""
    return {
        "format": schema.FORMAT,
        "version": schema.VERSION,
        "recipe": manifest.digest,
        "split": shard.split,
        "start": shard.start,
    }


def _manifest_text(manifest: schema.Manifest) -> str:
    content = manifest.model_dump(mode="json")
    return json.dumps({**content, "sha256": _checksum(content)}, indent=1) + "\n"


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(content).encode()).hexdigest()
