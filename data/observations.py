"""Observations that a user measured, from HDF5, NumPy or CSV files, and results for a user as HDF5.

A row is a sample, in the order of columns that the data set of training has. Layouts:

* ``.h5``, ``.hdf5``: a dataset (n, m), ``observations`` unless named otherwise, or a group that holds one. Its
  attribute ``unit``, if there is one, must be the unit of training.
* ``.npy``: an array (n, m); ``.npz``: one called ``observations``, or the only one, or that of the name given.
* ``.csv``: see :mod:`data.observation_tables`.

One sample may be an array (m,). Nothing is guessed: real numbers are refused where training had complex ones.
"""

import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from data.errors import DataError
from data.observation_tables import read_table
from maxwell.sentences import choice

NAME = "observations"
"""The dataset, or the array of an archive, that is read unless another is named."""


_PLACE = "row {}, column {} (counted from 0)".format


@dataclass(frozen=True)
class Expected:
    """What a sample must be: ``width`` numbers, complex or real, in ``unit`` ("" if that is not known)."""

    width: int
    is_complex: bool
    unit: str = ""

    def __str__(self) -> str:
        kind = "complex" if self.is_complex else "real"
        return f"{self.width} {kind} numbers a sample{f' in {self.unit}' if self.unit else ''}"


def read(path: str | Path, expected: Expected, dataset: str | None = None) -> np.ndarray:
    """The observations of a file: (n, m) complex128, or float64 if those of training are real.

    dataset: what to read of an HDF5 file or an ``.npz`` archive.

    Raises :class:`DataError`, which names the file and the row and column, for a file that is missing, damaged,
    empty or of another kind, for text, NaN and infinity, for another width, kind of numbers or unit.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder that holds no data set" if path.is_dir() else "no such file"
        raise DataError(f"{path}: {what}; give a file of observations ({', '.join(READERS)}), or a data set.")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: is of a kind that is not known here ({path.suffix or 'no suffix'}); expected one of "
            f"{', '.join(READERS)}."
        )
    if dataset is not None and path.suffix.lower() in (".npy", ".csv"):
        raise DataError(f"{path}: holds one table and no datasets by name; leave {dataset!r} out.")
    if not path.stat().st_size:
        raise DataError(f"{path}: is empty; expected {expected}, a row a sample.")
    values, place = reader(path, expected, dataset)
    return checked(values, expected, str(path), place)


def checked(
    values: np.ndarray,
    expected: Expected,
    where: str,
    place: Callable[[int, int], str] = _PLACE,
) -> np.ndarray:
    """Values as the numbers (n, m) that are expected, or :class:`DataError` with a sentence from ``where`` on.

    place: how to call the entry of a row and a column.
    """
    if values.dtype.kind not in "iufc":
        raise DataError(f"{where}: holds {values.dtype}, not numbers; expected {expected}.")
    rows = values[None] if values.ndim == 1 else values
    if rows.ndim != 2 or rows.shape[1] != expected.width:
        raise DataError(
            f"{where}: has shape {values.shape}; expected (n, {expected.width}), a row a sample"
            f"{_likely(rows, expected)}."
        )
    if not len(rows):
        raise DataError(f"{where}: holds no sample; expected at least one row of {expected.width} numbers.")
    if expected.is_complex and not np.iscomplexobj(rows):
        raise DataError(
            f"{where}: its numbers are real and those of training complex; give real and imaginary parts."
        )
    finite = np.isfinite(rows)
    if not finite.all():
        row, column = map(int, np.argwhere(~finite)[0])
        raise DataError(
            f"{where}: {place(row, column)} is {rows[row, column]}, not a finite number; repair that datum or "
            "leave the sample out."
        )
    if expected.is_complex or not np.iscomplexobj(rows):
        return rows.astype(np.complex128 if expected.is_complex else np.float64)
    if rows.imag.any():
        row, column = map(int, np.argwhere(rows.imag)[0])
        raise DataError(
            f"{where}: {place(row, column)} is {rows[row, column]}, and the data of training are real; give real "
            "numbers."
        )
    return rows.real.astype(np.float64)


def write(path: str | Path, arrays: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> None:
    """Write named arrays, text among them, and attributes to an HDF5 file, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        with h5py.File(unfinished, "w") as file:
            file.attrs.update(attributes)
            for name, values in arrays.items():
                text = values.dtype.kind in "UO"
                file.create_dataset(
                    name, data=values.astype(object) if text else values, dtype=_TEXT if text else None
                )
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


_TEXT = h5py.string_dtype()


def _likely(rows, expected):
    """What a table of another shape probably is, as the end of a sentence."""
    if rows.ndim != 2:
        return ""
    if rows.shape[0] == expected.width:
        return "; it looks transposed"
    if expected.is_complex and rows.shape[1] == 2 * expected.width and not np.iscomplexobj(rows):
        return "; it has twice as many real columns: join them to complex numbers, as in re + 1j * im"
    return ""


def _hdf5(path, expected, dataset):
    name = NAME if dataset is None else dataset
    try:
        with h5py.File(path, "r") as file:
            item = file.get(name)
            item = item.get(NAME) if isinstance(item, h5py.Group) else item
            if not isinstance(item, h5py.Dataset):
                there: list[str] = []
                file.visititems(lambda key, value: there.append(key) if hasattr(value, "shape") else None)
                raise DataError(
                    f"{path}: has no dataset {name!r}; expected {choice(name, there)}."
                    if there
                    else f"{path}: holds no dataset; expected one called {name} with {expected}."
                )
            _same_unit(f"{path}: {item.name[1:]}", item.attrs.get("unit", item.attrs.get("units")), expected)
            return item[...], _PLACE
    except (OSError, RuntimeError, KeyError):
        raise DataError(f"{path}: cannot be read as HDF5 (damaged, cut short or of another kind).") from None


def _numpy(path, expected, dataset):
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found, _PLACE
        with found as archive:
            there = archive.files
            only = there[0] if len(there) == 1 and dataset is None else None
            name = only or (NAME if dataset is None else dataset)
            if name not in there:
                raise DataError(f"{path}: has no array {name!r}; expected {choice(name, there)}.")
            return archive[name], _PLACE
    except DataError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        raise DataError(
            f"{path}: cannot be read as a NumPy file of numbers (damaged, cut short, objects, or of another kind)."
        ) from None


def _csv(path, expected, dataset):
    table = read_table(path, expected.width, expected.is_complex)
    for column, unit in table.units.items():
        _same_unit(f"{path}: column {column}", unit, expected)
    return table.values, table.place


def _same_unit(where, given, expected):
    """Raise :class:`DataError` where a unit is told and is not that of training."""
    given = given.decode(errors="replace") if isinstance(given, bytes) else given
    told = str(given).strip() if given is not None else ""
    if told and expected.unit and told != expected.unit:
        raise DataError(
            f"{where}: is in {told}, and training was in {expected.unit}; give the numbers in {expected.unit}."
        )


READERS: dict[str, Callable] = {
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".npy": _numpy,
    ".npz": _numpy,
    ".csv": _csv,
}
"""How a file of each suffix is read."""
