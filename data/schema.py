"""The format of a data set on disk, version 2: what the writer writes and the reader insists on.

A data set is a folder::

    dataset.json              the manifest (:class:`Manifest`), written once before the first sample
    shards/train-00000.h5     samples 0, 1, ... of split train, written once; the number is the shard's
    shards/train-00001.h5     the next ones; all shards of a split but its last hold equally many
    blocks/                   what forward maps prepared for this problem and its meshes; may be deleted

A shard is an HDF5 file with the arrays of :data:`ARRAYS`, one row a sample, and the root attributes of
:data:`ATTRIBUTES`. Every array carries the attributes ``unit`` (``""`` if it has none), ``description``
and ``sha256``, the checksum of its dtype, shape and bytes; the root attribute ``sha256`` covers the
other root attributes, and the manifest's ``sha256`` the rest of the manifest. Complex numbers are HDF5
compounds of ``r`` and ``i``, as h5py writes them. Parameters and observations are real or complex, as the
problem's are, the same in all shards.

Version 2 added ``error`` and ``method`` to the arrays, real observations and complex parameters.

Letters of the shapes: n samples of the shard, p parameters, m observations.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from data.errors import DataError
from data.recipe import Recipe

FORMAT = "maxwell-inverse data set"
VERSION = 2
MANIFEST = "dataset.json"
SHARDS = "shards"
BLOCKS = "blocks"


@dataclass(frozen=True)
class Array:
    """One array of a shard."""

    name: str
    shape: str  #: one letter an axis
    dtypes: tuple[str, ...]  #: numpy's, little-endian; of two the second holds complex numbers
    unit: str
    description: str

    def cast(self, values: Any) -> np.ndarray:
        """The values as this array stores them."""
        is_complex = np.iscomplexobj(np.asarray(values))
        return np.asarray(values, dtype=self.dtypes[-1] if is_complex else self.dtypes[0])


_NUMBERS = ("<f8", "<c16")

ARRAYS = (
    Array("parameters", "np", _NUMBERS, "", "parameters of each sample; names and units are in the manifest"),
    Array(
        "observations", "nm", _NUMBERS, "", "data without noise; their unit and labels are in the manifest"
    ),
    Array("seed", "n", ("<u8",), "", "the sample's own seed; its noise follows from it"),
    Array("parameter_seed", "n", ("<u8",), "", "the seed from which the parameters were drawn"),
    Array(
        "residual", "n", ("<f8",), "", "relative residual of the systems that the method solved, the largest"
    ),
    Array(
        "error", "n", ("<f8",), "", "estimated relative error of the data that the solver left; 0: rounding"
    ),
    Array("reciprocity", "n", ("<f8",), "", "relative violation of reciprocity by the observations"),
    Array("seconds", "n", ("<f8",), "s", "time of the sample, without its mesh; not part of any digest"),
    Array("dofs", "n", ("<i8",), "", "degrees of freedom of the discretisation"),
    Array("method", "n", ("S80",), "", "how the forward map had the sample: path and solver, in UTF-8"),
)

ATTRIBUTES = {
    "format": "the constant FORMAT",
    "version": "the constant VERSION",
    "recipe": "digest of the recipe, as in the manifest",
    "split": "name of the split",
    "start": "index, within the split, of the first sample",
    "provenance": "JSON: by what, where and when these samples were computed",
}


class Parameter(pydantic.BaseModel):
    """Name and unit of one column of ``parameters``."""

    name: str
    unit: str


class Observations(pydantic.BaseModel):
    """What the columns of ``observations`` are."""

    unit: str
    labels: dict[str, list[int]]  #: for each label (``source``, ``receiver``) one number a column


class Manifest(pydantic.BaseModel):
    """The content of ``dataset.json``: all that is true of every sample."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    format: Literal["maxwell-inverse data set"] = FORMAT
    version: Literal[2] = VERSION
    digest: str  #: of the recipe; see Recipe.digest
    recipe: Recipe  #: with every default filled in; ``problem`` is enough to rebuild the problem
    time_convention: Literal["exp(+i omega t)"] = "exp(+i omega t)"
    parameters: Annotated[list[Parameter], pydantic.Field(min_length=1)]
    observations: Observations
    provenance: dict[str, Any]  #: of the run that started the folder

    @pydantic.model_validator(mode="after")
    def _is_consistent(self) -> "Manifest":
        if self.digest != self.recipe.digest:
            raise DataError("digest: does not belong to the recipe beside it")
        if len({len(column) for column in self.observations.labels.values()}) != 1:
            raise DataError("observations.labels: are not equally long")
        return self

    @property
    def lengths(self) -> dict[str, int]:
        """The lengths p and m."""
        return {"p": len(self.parameters), "m": len(next(iter(self.observations.labels.values())))}


def check(array: Array, values: np.ndarray, lengths: dict[str, int]) -> str | None:
    """What is wrong with the shape or dtype of an array of a shard, or ``None``."""
    shape = tuple(lengths[letter] for letter in array.shape)
    if values.dtype not in [np.dtype(name) for name in array.dtypes]:
        expected = " or ".join(str(np.dtype(name)) for name in array.dtypes)
        return f"expected dtype {expected}, found {values.dtype}"
    if values.shape != shape:
        return f"expected shape {shape}, found {values.shape}"
    return None
