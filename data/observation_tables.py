"""Observations in a CSV file: a header, then a line a sample.

Layouts, for m observations a sample:

* ``re_0, im_0, re_1, …``: 2m columns of numbers in any order, real and imaginary part of each observation;
* m columns of any names with complex entries ``1.5e-3+2e-4j`` (or ``…i``), or with real ones if the data are real.

A name may end in its unit, ``re_0 [V/m]``. Columns are separated by commas, semicolons or tabs; lines that begin
with # are left out, but for a header as ``numpy.savetxt`` writes it.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import DataError

_PAIR = re.compile(r"(re|im)_(\d{1,9})")
_UNIT = re.compile(r"(.*?)\s*\[(.*)\]")


@dataclass(frozen=True, eq=False)
class Table:
    """The numbers of a file, and what to call each in a sentence."""

    values: np.ndarray  #: (n, m)
    lines: list[int]  #: (n,), of the file, counted from 1
    columns: list[str]  #: (m,), names of the header
    units: dict[str, str]  #: of the columns that tell one

    def place(self, row: int, column: int) -> str:
        """Line and column of an entry."""
        return f"line {self.lines[row]}, column {self.columns[column]}"


def read_table(path: Path, width: int, is_complex: bool) -> Table:
    """Read a file with ``width`` observations a sample.

    Raises :class:`DataError`, which names the file and the place, for what is no such table. About 0.1
    microseconds a number.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise DataError(f"{path}: cannot be read as text; expected CSV in UTF-8.") from None
    lines = _header_first([(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()])
    if len(lines) < 2:
        raise DataError(f"{path}: holds no sample; expected a header, then a line a sample.")
    delimiter = max(",;\t", key=lines[0][1].count)
    header = _cells(path, *lines[0], delimiter)
    if all(_is_number(name) for name in header):
        raise DataError(
            f"{path}: has no header; put the names of the columns into the first line, as in "
            f"{'re_0,im_0,re_1,…' if is_complex else 'd_0,d_1,…'}"
        )
    units = {name: match[2] for name in header if (match := _UNIT.fullmatch(name))}
    names = [match[1] if (match := _UNIT.fullmatch(name)) else name for name in header]
    pairs = [_PAIR.fullmatch(name) for name in names]
    as_pairs = all(pairs)
    if as_pairs:
        order = _order(path, names, width)
    elif len(names) != width:
        also = f", or {2 * width} named re_0, im_0, re_1, … re_{width - 1}, im_{width - 1}" * is_complex
        raise DataError(
            f"{path}: has {len(names)} columns ({', '.join(names[:3])}{', …' if len(names) > 3 else ''}); expected "
            f"{width} of {'complex entries such as 1e-3+2e-4j' if is_complex else 'numbers'}{also}."
        )
    number = complex if is_complex and not as_pairs else float
    values = np.empty((len(lines) - 1, len(names)), dtype=number)
    for row, (line, told) in enumerate(lines[1:]):
        cells = _cells(path, line, told, delimiter)
        if len(cells) != len(names):
            raise DataError(
                f"{path}: line {line} has {len(cells)} entries; expected {len(names)}, as the header."
            )
        values[row] = _numbers(path, cells, number, line, header)
    if as_pairs:
        values = values[:, order[0]] + 1j * values[:, order[1]]
        header = [f"re_{k} or im_{k}" for k in range(width)]
    return Table(values, [line for line, _ in lines[1:]], header, units)


def _header_first(lines):
    """The header and what follows: comments left out, unless the last of them is the header."""
    told = [pair for pair in lines if pair[1][0] != "#"]
    above = [pair for pair in lines if told and pair[0] < told[0][0]]
    if above and all(map(_is_number, re.split("[,;\t]", told[0][1]))):
        number, header = above[-1]
        return [(number, header.lstrip("# ")), *told]
    return told


def _cells(path, line, told, delimiter):
    try:
        return [cell.strip() for cell in next(csv.reader([told], delimiter=delimiter))]
    except csv.Error as error:
        raise DataError(f"{path}: line {line} is no line of a table ({error}).") from None


def _order(path, names, width):
    """Where the real and the imaginary part of each observation stand: (2, m)."""
    places = {name: place for place, name in enumerate(names)}
    if len(places) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: has two columns {twice}; expected each once.")
    wanted = [[f"{part}_{k}" for k in range(width)] for part in ("re", "im")]
    missing = [name for name in [*wanted[0], *wanted[1]] if name not in places]
    if missing or len(names) != 2 * width:
        what = f"{missing[0]} is missing" if missing else f"there are {len(names)} columns"
        raise DataError(
            f"{path}: expected re_0, im_0 to re_{width - 1}, im_{width - 1} for the {width} observations of a "
            f"sample, but {what}."
        )
    return np.array([[places[name] for name in part] for part in wanted])


def _numbers(path, cells, number, line, header):
    try:
        return [number(cell) for cell in cells]
    except ValueError:
        found = []
    for cell, name in zip(cells, header, strict=True):
        plain = re.sub(r"\s+", "", cell)
        try:
            found.append(number(f"{plain[:-1]}j" if plain.endswith("i") else plain))
        except ValueError:
            kind = "a number" if number is float else "a complex number such as 1e-3+2e-4j"
            raise DataError(
                f"{path}: line {line}, column {name} is {cell[:40]!r}; expected {kind}."
            ) from None
    return found


def _is_number(text):
    try:
        complex(text)
    except ValueError:
        return False
    return True
