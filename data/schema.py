"""The format of a data set on disk, version 3: what the writer writes and the reader insists on.

A data set is a folder::

    dataset.json                      the manifest (:class:`Manifest`), written once before the first sample
    shards/train-00000.h5             samples 0, 1, ... of split train; the number is the shard's
    shards/train-00001.2-failed.h5    the next ones, of which 2 could not be solved
    blocks/                           what forward maps prepared; removed with the last sample

All shards of a split but its last hold equally many samples. A shard is an HDF5 file that any HDF5 library reads,
with the arrays of :data:`ARRAYS`, one row a sample, those of :data:`EXTRAS` that the recipe's ``[store]`` asks
for, and the root attributes of :data:`ATTRIBUTES`. Every array carries the attributes ``unit`` (``""`` if it
has none) and ``description``. Complex numbers are HDF5 compounds of ``r`` and ``i``, as h5py writes them.
Parameters and observations are real or complex, as the problem's are, the same in all shards of a problem. Of
a sample that failed, ``status`` is 1, ``failure`` says why, and what could not be computed is NaN. In a shard
without a solved sample, lengths that only a solution tells (q, k, c, s, g) are 0. To try failed samples again
replaces their whole shard; its solved samples come out the same on the same kind of processor.

Nothing is compressed or chunked. Observations without noise are numbers whose last digits look random: shuffled
and compressed (lzf, gzip) they keep 89 to 95 % of their size and are read in order ten to thirty times slower, at
0.15 to 0.4 GB/s instead of 4; chunks alone cost a quarter of the speed or more (``maxinv bench data --part
layout``).

Every byte is covered by a checksum. Before the HDF5 part stands a user block of text, as HDF5 allows (see
:mod:`data.shard`): the SHA-256 of the rest of the file, and of each array its place in the file and the XXH3
of its bytes. For arrays of two or more axes the group ``checksums`` holds the XXH3 of each row, so that one
sample is read and checked without the others. The manifest's ``sha256`` covers the rest of the manifest.

Version 3 added ``status`` and ``failure``, the user block, tables of the survey, problems of their own for
splits, and the extras. Letters of the shapes: n samples of the shard, p parameters, m observations, q planes,
k points along an edge, c components, s sources, g points along an edge of the grid of fields.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from data.errors import DataError
from data.recipe import Recipe, Store

FORMAT = "maxwell-inverse data set"
VERSION = 3
MANIFEST = "dataset.json"
SHARDS = "shards"
BLOCKS = "blocks"
MESH_ERROR = "mesh_error.npz"  # derived from the samples, under a checksum of its own
CHECKSUMS = "checksums"
SOLVED, FAILED = 0, 1  # values of ``status``
FAILURE_LENGTH = 240  # bytes of UTF-8 that a reason may take


@dataclass(frozen=True)
class Array:
    """One array of a shard."""

    name: str
    shape: str  #: one letter an axis, or a digit that is its length
    dtypes: tuple[str, ...]  #: numpy's, little-endian; of two the second holds complex numbers
    unit: str
    description: str

    def cast(self, values: Any) -> np.ndarray:
        """The values as this array stores them."""
        is_complex = np.iscomplexobj(np.asarray(values))
        return np.ascontiguousarray(values, dtype=self.dtypes[-1] if is_complex else self.dtypes[0])

    @property
    def by_row(self) -> bool:
        """Whether its rows have checksums of their own."""
        return len(self.shape) > 1


_NUMBERS = ("<f8", "<c16")

ARRAYS = (
    Array("parameters", "np", _NUMBERS, "", "parameters of each sample; names and units are in the manifest"),
    Array(
        "observations", "nm", _NUMBERS, "", "data without noise; their unit and labels are in the manifest"
    ),
    Array("seed", "n", ("<u8",), "", "the sample's own seed; its noise follows from it"),
    Array("parameter_seed", "n", ("<u8",), "", "the seed from which the parameters were drawn"),
    Array("status", "n", ("|u1",), "", "0: solved; 1: failed, see failure"),
    Array("failure", "n", (f"|S{FAILURE_LENGTH}",), "", "why the sample failed, in UTF-8; else empty"),
    Array(
        "residual", "n", ("<f8",), "", "relative residual of the systems that the method solved, the largest"
    ),
    Array(
        "error", "n", ("<f8",), "", "estimated relative error of the data that the solver left; 0: rounding"
    ),
    Array("reciprocity", "n", ("<f8",), "", "relative violation of reciprocity by the observations"),
    Array("seconds", "n", ("<f8",), "s", "time of the sample, without its mesh; not part of any digest"),
    Array("dofs", "n", ("<i8",), "", "degrees of freedom of the discretisation"),
    Array("method", "n", ("|S80",), "", "how the forward map had the sample: path and solver, in UTF-8"),
)

EXTRAS = {
    "jacobian": Array(
        "jacobian", "nmp", _NUMBERS, "", "derivative of the observations by the parameters, unit by unit"
    ),
    "slices": Array(
        "slices",
        "nqkkc",
        ("<f4", "<c8"),
        "",
        "the unknown on the middle planes x, y, z = constant of its region, on the region itself if that is flat; "
        "rows along the first axis left; its name and unit are in the manifest",
    ),
    "fields": Array(
        "fields",
        "nsggg3",
        ("<f4", "<c8"),
        "",
        "total field of each source on a grid of the region, without its faces; unit in the manifest",
    ),
}
"""What a sample may hold besides, by the key of ``[store]`` that asks for it."""

ATTRIBUTES = {
    "format": "the constant FORMAT",
    "version": "the constant VERSION",
    "recipe": "digest of the recipe, as in the manifest",
    "split": "name of the split",
    "start": "index, within the split, of the first sample",
    "discretisation": "JSON: mesh and element, as the forward map describes them",
    "provenance": "JSON: by what, where and when these samples were computed",
}


def arrays_of(store: Store) -> tuple[Array, ...]:
    """The arrays of every shard of a data set."""
    return ARRAYS + tuple(array for key, array in EXTRAS.items() if getattr(store, key))


class Parameter(pydantic.BaseModel):
    """Name, unit and group of one column of ``parameters``."""

    name: str
    unit: str
    group: str


class Column(pydantic.BaseModel):
    """One property of the things that a label counts, such as the x of each source."""

    unit: str
    values: list[float]


class Table(pydantic.BaseModel):
    """What the numbers of a label stand for."""

    description: str
    columns: dict[str, Column]


class Observations(pydantic.BaseModel):
    """What the columns of ``observations`` are."""

    unit: str
    labels: dict[str, list[int]]  #: for each label (``source``, ``receiver``) one number a column
    tables: dict[str, Table]  #: for each label, what these numbers are rows of


class Quantity(pydantic.BaseModel):
    """Name and unit of what an extra array holds."""

    name: str
    unit: str


class Problem(pydantic.BaseModel):
    """What the rows of all samples of one problem mean."""

    spec: dict[str, Any]  #: enough for ``maxwell.problem_from`` to rebuild it
    parameters: Annotated[list[Parameter], pydantic.Field(min_length=1)]
    observations: Observations
    image: Quantity  #: what ``slices`` hold
    field: Quantity  #: what ``fields`` hold

    @pydantic.model_validator(mode="after")
    def _is_consistent(self) -> "Problem":
        if len({len(column) for column in self.observations.labels.values()}) != 1:
            raise DataError("observations.labels: are not equally long")
        return self

    @property
    def lengths(self) -> dict[str, int]:
        """The lengths p and m."""
        return {"p": len(self.parameters), "m": len(next(iter(self.observations.labels.values())))}


class Manifest(pydantic.BaseModel):
    """The content of ``dataset.json``: all that is true of every sample."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    format: Literal["maxwell-inverse data set"] = FORMAT
    version: Literal[3] = VERSION
    digest: str  #: of the recipe; see Recipe.digest
    recipe: Recipe  #: with every default filled in
    time_convention: Literal["exp(+i omega t)"] = "exp(+i omega t)"
    problems: Annotated[list[Problem], pydantic.Field(min_length=1)]  #: the recipe's own first
    splits: dict[str, int]  #: number of the problem of each split
    provenance: dict[str, Any]  #: of the run that started the folder

    @pydantic.model_validator(mode="after")
    def _is_consistent(self) -> "Manifest":
        if self.digest != self.recipe.digest:
            raise DataError("digest: does not belong to the recipe beside it")
        if list(self.splits) != list(self.recipe.splits):
            raise DataError("splits: are not those of the recipe beside them")
        if not set(self.splits.values()) <= set(range(len(self.problems))):
            raise DataError("splits: name a problem that is not there")
        return self

    def problem(self, split: str) -> Problem:
        """What the samples of a split mean."""
        return self.problems[self.splits[split]]


def check(array: Array, values: np.ndarray, lengths: dict[str, int]) -> str | None:
    """What is wrong with the shape or dtype of an array of a shard, or ``None``.

    A letter that ``lengths`` does not know takes the length found, for this array and the next.
    """
    if values.dtype not in [np.dtype(name) for name in array.dtypes]:
        expected = " or ".join(str(np.dtype(name)) for name in array.dtypes)
        return f"expected dtype {expected}, found {values.dtype}"
    if values.ndim == len(array.shape):
        for letter, length in zip(array.shape, values.shape, strict=True):
            if not letter.isdigit():
                lengths.setdefault(letter, length)
    expected = [int(letter) if letter.isdigit() else lengths.get(letter, letter) for letter in array.shape]
    if list(values.shape) != expected:
        return f"expected shape ({', '.join(map(str, expected))}), found {values.shape}"
    return None
