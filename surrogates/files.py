"""Files that are either whole or absent, read without running code from them, onto a device that is there."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from surrogates.errors import SurrogateError


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a path to write to; when the block ends well, that file is forced to the disk and becomes ``path``.

    At any instant ``path`` is the old file or the new one; a block that raises leaves the old one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"unfinished-{path.name}")  # the ending stays: some writers look at it
    try:
        yield unfinished
        with open(unfinished, "rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def read(path: Path, device: torch.device, what: str, mend: str) -> Any:
    """Return what ``torch.save`` wrote: tensors and plain values alone, its check sums verified.

    ``SurrogateError`` says that ``path`` is missing or cannot be read as ``what``, and the ``mend``.
    """
    if not path.exists():
        raise SurrogateError(f"{path}: there is no {what} here; {mend}")
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load itself does not look at the check sums
            if archive.testzip() is not None:
                raise zipfile.BadZipFile
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch reports damage as any of half a dozen types
        raise SurrogateError(
            f"{path} cannot be read as a {what} (damaged, cut short or of another kind): {mend}"
        ) from error


def device(name: str | torch.device) -> torch.device:
    """Return the device of this name when torch can use it here, else raise ``SurrogateError``."""
    try:
        found = torch.device(name)
        torch.zeros(1, device=found).cpu()
    except (RuntimeError, AssertionError) as error:  # "meta" among them
        text = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise SurrogateError(
            f"device is {str(name)!r}, which torch cannot use ({text}): give cpu or cuda"
        ) from None
    return found
