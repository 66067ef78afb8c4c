"""The data-set folder: files that appear complete or not at all, and that notice damage when read.

Laws, whatever is killed and whenever:

 - a file under its final name is complete: it is written under a temporary name in the same folder,
   flushed to the disk, renamed, and the folder flushed. It is never written again;
 - one process writes to a folder: the one that holds its lock, which the system frees when it dies;
 - an array that is read is the array that was written, or :class:`DataError` says which is damaged.

Only this file touches HDF5. Files are opened for one access and closed, so a :class:`Folder` may be
copied to other processes at any time.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import h5py
import numpy as np
import pydantic

from data import schema
from data.errors import DataError
from data.recipe import Recipe, canonical

_TEMPORARY = ".part"  # ends the name of a file that is being written
_LOCK = ".lock"


@dataclass(frozen=True, order=True)
class Shard:
    """Samples ``start`` to ``stop - 1`` of a split, which share a file."""

    split: str
    number: int
    start: int
    stop: int

    @property
    def file(self) -> str:
        """The file's name, in the folder of shards."""
        return f"{self.split}-{self.number:05d}.h5"

    def __len__(self) -> int:
        return self.stop - self.start


def shards_of(recipe: Recipe, split: str) -> list[Shard]:
    """The shards of a split, in the order of their samples."""
    size, samples = recipe.store.shard, recipe.splits[split].samples
    starts = range(0, samples, size)
    return [Shard(split, k, start, min(start + size, samples)) for k, start in enumerate(starts)]


class Folder:
    """A data-set folder on disk. Making the object touches nothing."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.shards = self.path / schema.SHARDS
        self.blocks = self.path / schema.BLOCKS

    # -- one writer -----------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the one writer of the folder, which is made if need be; remove what a killed writer left."""
        self.shards.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.path / _LOCK)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise DataError(
                f"{self.path}: another process is generating into this folder; wait for it, stop it, or give "
                "another folder."
            ) from None
        try:
            for leftover in [*self.path.glob(f".*{_TEMPORARY}"), *self.shards.glob(f".*{_TEMPORARY}")]:
                leftover.unlink()
            yield
        finally:
            lock.release()

    # -- the manifest ---------------------------------------------------------------------------------

    def has_manifest(self) -> bool:
        """Whether a data set was started here."""
        return (self.path / schema.MANIFEST).exists()

    def begun(self) -> bool:
        """Whether a data set was started here and holds at least one shard."""
        return self.has_manifest() and any(self.shards.glob("*.h5"))

    def write_manifest(self, manifest: schema.Manifest) -> None:
        """Write ``dataset.json``."""
        content = manifest.model_dump(mode="json")
        text = json.dumps({**content, "sha256": _checksum(content)}, indent=1) + "\n"
        self._write(self.path / schema.MANIFEST, text.encode())

    def read_manifest(self) -> schema.Manifest:
        """Read ``dataset.json``; :class:`DataError` if there is none, or not one that this version reads."""
        file = self.path / schema.MANIFEST
        if not self.path.is_dir():
            raise DataError(f"{self.path}: no such data set; give the folder of one, or generate it first.")
        if not file.exists():
            raise DataError(
                f"{self.path}: is not a data set (it holds no {schema.MANIFEST}); give the folder of one."
            )
        try:
            content = json.loads(file.read_text("utf-8"))
            if not isinstance(content, dict) or content.pop("sha256", None) != _checksum(content):
                raise ValueError("its content is not what was written")
            return schema.Manifest.model_validate(content)
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror}).") from None
        except pydantic.ValidationError as error:
            finding = error.errors()[0]
            path = ".".join(map(str, finding["loc"]))
            problem = finding["msg"].removeprefix("Value error, ")
            found = f"{path}: {problem}" if path else problem
        except ValueError as error:  # broken JSON or text
            found = str(error)
        raise DataError(
            f"{file}: is damaged or of another version ({found}); restore it from a copy, or generate it again "
            "into another folder."
        )

    # -- shards ---------------------------------------------------------------------------------------

    def has(self, shard: Shard) -> bool:
        """Whether the shard is there, hence complete."""
        return (self.shards / shard.file).exists()

    def write_shard(
        self,
        manifest: schema.Manifest,
        shard: Shard,
        arrays: Mapping[str, np.ndarray],
        provenance: dict[str, Any],
    ) -> None:
        """Write one shard, in full or not at all; ``arrays`` holds exactly those of :data:`schema.ARRAYS`."""
        lengths = {"n": len(shard), **manifest.lengths}
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            for array in schema.ARRAYS:
                values = np.ascontiguousarray(array.cast(arrays[array.name]))
                if found := schema.check(array, values, lengths):
                    raise ValueError(f"{shard.file}:/{array.name}: {found}")
                item = file.create_dataset(array.name, data=values)
                item.attrs.update(
                    unit=array.unit, description=array.description, sha256=_array_checksum(values)
                )
            attributes = _attributes(manifest, shard) | {"provenance": canonical(provenance)}
            file.attrs.update(attributes | {"sha256": _checksum(attributes)})
        self._write(self.shards / shard.file, buffer.getvalue())

    def read(self, manifest: schema.Manifest, shard: Shard, *names: str) -> list[np.ndarray]:
        """The named arrays of a shard, in this order, each checked against its checksum and the schema."""
        path = self.shards / shard.file
        lengths = {"n": len(shard), **manifest.lengths}
        arrays = [array for name in names for array in schema.ARRAYS if array.name == name]
        where = ""
        try:
            with h5py.File(path, "r") as file:
                attributes = {name: file.attrs[name] for name in schema.ATTRIBUTES}
                if file.attrs["sha256"] != _checksum(attributes):
                    raise _Damage("the attributes are not those that were written")
                for name, expected in _attributes(manifest, shard).items():
                    if attributes[name] != expected:
                        raise _Damage(f"attribute {name} should be {expected}, is {attributes[name]}")
                found = []
                for array in arrays:
                    where = f":/{array.name}"
                    values = file[array.name][()]
                    if problem := schema.check(array, values, lengths):
                        raise _Damage(problem)
                    if file[array.name].attrs["sha256"] != _array_checksum(values):
                        raise _Damage("the numbers are not those that were written")
                    if values.dtype.kind in "fc" and not np.isfinite(values).all():
                        row = int(np.argmin(np.isfinite(values.reshape(len(values), -1)).all(axis=1)))
                        raise _Damage(
                            f"sample {shard.start + row} of {shard.split} holds a number that is not finite"
                        )
                    found.append(values)
                return found
        except _Damage as error:
            problem = str(error)
        except FileNotFoundError:
            raise DataError(f"{path}: is missing; {_mend('generate the data set again')}.") from None
        except PermissionError:
            raise DataError(f"{path}: may not be read; change its permissions.") from None
        except Exception as error:  # what h5py raises on a damaged file is not documented
            problem = f"cannot be read as HDF5, {type(error).__name__}"
        raise DataError(
            f"{path}{where}: damaged ({problem}); {_mend('delete this file and generate again')}."
        )

    # -- files ----------------------------------------------------------------------------------------

    def _write(self, file: Path, content: bytes) -> None:
        """Make ``file`` appear with this content, or not at all, even if the machine stops meanwhile."""
        temporary = file.with_name(f".{file.name}{_TEMPORARY}")
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


class _Damage(Exception):
    pass


def _mend(how: str) -> str:
    return f"{how} with the same recipe, which computes what is missing"


def _attributes(manifest: schema.Manifest, shard: Shard) -> dict[str, Any]:
    """The root attributes that follow from the manifest and the shard's place."""
    return {
        "format": schema.FORMAT,
        "version": schema.VERSION,
        "recipe": manifest.digest,
        "split": shard.split,
        "start": shard.start,
    }


def _array_checksum(values: np.ndarray) -> str:
    hasher = hashlib.sha256(f"{values.dtype.str} {values.shape} ".encode())
    hasher.update(np.ascontiguousarray(values).data)
    return hasher.hexdigest()


def _checksum(content: Mapping[str, Any]) -> str:
    """Of attributes or a manifest, as canonical JSON."""
    plain = {name: v.item() if isinstance(v, np.generic) else v for name, v in content.items()}
    return hashlib.sha256(canonical(plain).encode()).hexdigest()
