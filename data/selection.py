"""Which rows of a table are meant: by number, slice or mask, or by ranges of its columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data.errors import DataError
from maxwell.sentences import choice


def rows_of(count: int, given: Any, where: str) -> np.ndarray | slice:
    """What indexes ``count`` rows as ``given`` says: whole numbers, from the end if negative, a slice or a mask.

    Raises :class:`DataError`, its sentence beginning with ``where``, for anything else and for rows not there.
    """
    if isinstance(given, slice):
        try:
            given.indices(count)
        except TypeError:
            raise DataError(f"{where}: a slice has whole numbers, given {given!r}.") from None
        return given
    try:
        rows = np.atleast_1d(np.asarray(given))
    except ValueError:  # lists of different lengths
        rows = np.array(None)
    if rows.dtype == bool and rows.shape == (count,):
        return rows
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise DataError(
            f"{where}: rows are whole numbers, a slice, or a mask of length {count}, given an array of "
            f"{rows.dtype} and shape {rows.shape}."
        )
    outside = rows[(rows < -count) | (rows >= count)]
    if outside.size:
        raise DataError(f"{where}: row {outside[0]} is not there; it has {count} rows.")
    return rows.astype(np.int64)


def within(
    columns: np.ndarray,
    names: Sequence[str],
    ranges: Mapping[str, tuple[float | None, float | None]],
    where: str,
) -> np.ndarray:
    """Which rows of (n, p) have the named columns in the given ranges, bounds included: (n,) bool.

    ``None`` is no bound. Raises :class:`DataError` for a name that is no column, a bound that is no number, and
    columns that are complex.
    """
    kept = np.ones(len(columns), dtype=bool)
    for name, bounds in ranges.items():
        if name not in names:
            raise DataError(f"{where}: has no parameter {name!r}; expected {choice(name, names)}.")
        if np.iscomplexobj(columns):
            raise DataError(f"{where}: parameter {name} is complex and has no order; use take with a mask.")
        try:
            low, high = bounds
            ends = float(-np.inf if low is None else low), float(np.inf if high is None else high)
        except (TypeError, ValueError, OverflowError):
            ends = np.nan, np.nan
        if np.isnan(ends).any():
            raise DataError(
                f"{where}: expected {name}=(low, high), with None for no bound, given {bounds!r}."
            )
        values = columns[:, names.index(name)]
        kept &= (values >= ends[0]) & (values <= ends[1])
    return kept
