"""Images to be told apart: MNIST and Fashion-MNIST from their IDX files, and the digits that scikit-learn ships."""

import gzip
import hashlib
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.errors import StudyError

NAMES = {"digits": "digits (scikit-learn, 8×8)", "mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
"""How a data set is called in a table."""

FOLDERS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
"""Where torchvision puts the IDX files: FOLDER/NAME/raw."""

STANDARD = (60_000, 10_000)
"""Images for training and for testing of both MNIST and Fashion-MNIST."""

CLASSES, VALID, TEST = 10, 1 / 12, 1 / 5
"""Classes; share of the training images kept for validation; of those without a test set of their own for it."""

UNSIGNED_BYTE = 8
LARGEST = 2**31 - 1  # numbers an array may hold: a damaged header asks for more

Pair = tuple[NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Images:
    """Grey images (n, pixels) uint8, `white` the brightest value, labels (n,) from 0 to 9; a test set or None."""

    key: str
    white: int
    train: tuple[NDArray[np.uint8], NDArray[np.int64]]
    test: tuple[NDArray[np.uint8], NDArray[np.int64]] | None

    @property
    def name(self) -> str:
        """How the data set is called in a table."""
        return NAMES[self.key]

    @property
    def digest(self) -> str:
        """A name of the numbers themselves, however they were stored."""
        found = hashlib.sha256()
        for part in (*self.train, *(self.test or ())):
            found.update(np.ascontiguousarray(part).tobytes())
        return found.hexdigest()[:16]

    @property
    def unlike_standard(self) -> str:
        """Empty if these are as many images as the data set has, else a sentence that says so."""
        sizes = (len(self.train[1]), len(self.test[1]) if self.test else 0)
        if self.key not in FOLDERS or sizes == STANDARD:
            return ""
        given, whole = (f"{train:,} and {test:,}" for train, test in (sizes, STANDARD))
        return f"holds {given} images for training and testing, not the {whole} of {self.name}"

    def split(self, seed: int) -> tuple[Pair, Pair, Pair]:
        """(training, validation, test), each (n, pixels) in [0, 1] and (n,), in equal shares of the classes.

        A standard test set is the test set whatever the seed; images without one are split anew by each seed, and
        nothing of their test part is in the others.
        """
        (x, y), test = self.train, self.test
        if test is None:
            x, y, *test = _stratified(x, y, TEST, seed)
        x, y, *valid = _stratified(x, y, VALID, seed)
        training, validation, testing = ((x, y), valid, test)
        return tuple(
            (np.asarray(part[0] / self.white, np.float32), np.asarray(part[1], np.int64))
            for part in (training, validation, testing)
        )


def digits() -> Images:
    """The 1,797 digits of 8×8 pixels with values 0 … 16 that scikit-learn ships (UCI, Alpaydin and Kaynak)."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return Images("digits", 16, (pixels.astype(np.uint8), labels.astype(np.int64)), None)


def found(folder: str | Path | None) -> list[Images]:
    """MNIST and Fashion-MNIST, as far as the folder has them; the digits if no folder is given.

    Raises StudyError for a folder that has neither, and for files that are damaged or do not fit each other.
    """
    if folder is None:
        return [digits()]
    there = [key for key in FOLDERS if _home(Path(folder), key) is not None]
    if not there:
        looked = " and ".join(str(Path(folder) / name / "raw") for name in FOLDERS.values())
        raise StudyError(
            f"--images {folder}: found no train-images-idx3-ubyte (plain or .gz) in {looked}; give the folder that "
            "torchvision had as its root, or leave the option out for scikit-learn's digits."
        )
    return [load(key, folder) for key in there]


def load(key: str, folder: str | Path | None) -> Images:
    """One data set by its key; see `found`."""
    if key == "digits":
        return digits()
    home = None if folder is None else _home(Path(folder), key)
    if home is None:
        raise StudyError(
            f"{NAMES[key]} is not in {folder}; give --images FOLDER with FOLDER/{FOLDERS[key]}/raw."
        )
    train, test = (_pair(home, part) for part in ("train", "t10k"))
    if train[0].shape[1:] != test[0].shape[1:]:
        raise StudyError(
            f"{home}: images for training have {train[0].shape[1:]} pixels, those for testing {test[0].shape[1:]}; "
            "expected the files of one data set."
        )
    flat = ((pixels.reshape(len(pixels), -1), labels.astype(np.int64)) for pixels, labels in (train, test))
    return Images(key, 255, *flat)


def read_idx(file: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of an IDX file, plain or .gz: 0, 0, 8 (unsigned bytes), the number of dimensions, each length as a
    big-endian int32, then the bytes.  StudyError says what is not so.  Source: yann.lecun.com/exdb/mnist.
    """
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(file, f"cannot be read ({error})") from None
    expected = bytes((0, 0, UNSIGNED_BYTE, dimensions))
    if content[:4] != expected:
        raise _damaged(file, f"begins with {content[:4].hex() or 'nothing'}, expected {expected.hex()}")
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise _damaged(file, f"ends within its header, after {len(content)} of {start} bytes")
    shape = tuple(int(length) for length in np.frombuffer(content, ">i4", dimensions, 4))
    if min(shape) < 1 or math.prod(shape) > LARGEST:
        raise _damaged(file, f"has the shape {shape}, expected positive lengths")
    if len(content) != start + math.prod(shape):
        raise _damaged(
            file, f"has {len(content)} bytes, expected {start + math.prod(shape)} for the shape {shape}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _damaged(file, what):
    return StudyError(f"{file}: {what}; fetch the file again.")


def _home(folder: Path, key: str) -> Path | None:
    for home in (folder / FOLDERS[key] / "raw", folder / FOLDERS[key]):
        if _file(home, "train-images-idx3-ubyte") is not None:
            return home
    return None


def _file(home: Path, name: str) -> Path | None:
    return next((file for file in (home / name, home / f"{name}.gz") if file.is_file()), None)


def _pair(home, part):
    read = []
    for kind, dimensions in (("images", 3), ("labels", 1)):
        name = f"{part}-{kind}-idx{dimensions}-ubyte"
        file = _file(home, name)
        if file is None:
            raise StudyError(f"{home}: {name} is missing (plain or .gz); fetch the whole data set.")
        read.append(read_idx(file, dimensions))
    pixels, labels = read
    if len(pixels) != len(labels):
        raise StudyError(
            f"{home}: {part} has {len(pixels)} images and {len(labels)} labels; expected as many."
        )
    if labels.max() >= CLASSES:
        raise StudyError(f"{home}: {part} has the label {labels.max()}; expected 0 to {CLASSES - 1}.")
    return pixels, labels


def _stratified(x, y, share, seed):
    """(x, y, x', y') with this share of each class in the primed ones."""
    from sklearn.model_selection import train_test_split

    x, other_x, y, other_y = train_test_split(x, y, test_size=share, stratify=y, random_state=seed)
    return x, y, other_x, other_y
