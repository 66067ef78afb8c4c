"""Who may write into a folder: one process, or the parts of one division, each once.

A lock is a lock of the system on an open file (``flock``): it ends with its process, however that ends. On a
network file system it holds between machines where that supports locks, as NFS of version 4 does.
"""

import errno
import fcntl
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from data.errors import DataError

_WHOLE = ".lock"
_PART = re.compile(r"\.lock-(\d+)-of-(\d+)")


@dataclass(frozen=True)
class Part:
    """Part ``number`` of ``parts``, counted from 1: the shards whose place in the plan leaves number − 1."""

    number: int
    parts: int

    def __post_init__(self):
        if not (type(self.number) is type(self.parts) is int and 1 <= self.number <= self.parts):
            raise DataError(
                f"part: expected i/N with whole numbers 1 <= i <= N, such as 1/4, given {self.number}/{self.parts}."
            )

    @classmethod
    def of(cls, text: str) -> "Part":
        """From text such as ``"1/4"``."""
        match = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
        if not match:
            raise DataError(
                f"part: expected i/N with whole numbers 1 <= i <= N, such as 1/4, given {text!r}."
            )
        return cls(*map(int, match.groups()))

    def __str__(self) -> str:
        return f"{self.number}/{self.parts}"


@contextmanager
def writing(folder: Path, part: Part | None) -> Iterator[None]:
    """Be the one writer of a folder, or of a part of it; :class:`DataError` if another process is."""
    with ExitStack() as held:
        if not _lock(held, folder / _WHOLE, shared=part is not None):
            raise DataError(
                f"{folder}: another process is generating into this folder; wait for it, stop it, or give "
                "another folder."
            )
        if part is None:
            for file in _parts(folder):
                file.unlink(missing_ok=True)
        else:
            if not _lock(held, folder / _name(part)):
                raise DataError(
                    f"{folder}: another process is generating part {part} of this folder; wait for it, stop it, or "
                    "give another part."
                )
            for file, (_, parts) in _parts(folder).items():
                if parts != part.parts and not _free(file):
                    raise DataError(
                        f"{folder}: another process is generating a part of {parts} of this folder, and parts of "
                        f"{part.parts} would do the same shards again; divide by {parts}, or wait for it."
                    )
        yield


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is in a block of this kind, for what the parts do in turn."""
    with (folder / ".lock-start").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def others(folder: Path, part: Part) -> bool:
    """Whether another part of the folder is being generated, by whoever holds this one."""
    mine = folder / _name(part)
    return any(file != mine and not _free(file) for file in _parts(folder))


def _name(part: Part) -> str:
    return f".lock-{part.number}-of-{part.parts}"


def _parts(folder: Path) -> dict[Path, tuple[int, int]]:
    matches = {file: _PART.fullmatch(file.name) for file in folder.glob(".lock-*")}
    return {file: (int(m[1]), int(m[2])) for file, m in matches.items() if m}


def _lock(held: ExitStack, file: Path, *, shared: bool = False) -> bool:
    stream = held.enter_context(file.open("a"))
    try:
        fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        return False
    return True


def _free(file: Path) -> bool:
    with ExitStack() as held:
        return _lock(held, file)
