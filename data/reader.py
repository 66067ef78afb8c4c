"""Reading a data set: lazily, checked, and with noise that is added here and never stored."""

import functools
import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import maxwell
from data import noise as noises
from data import schema
from data.errors import DataError
from data.index import Failure, Index
from data.recipe import Mesh, canonical
from data.selection import rows_of, within
from data.store import Folder, shard_count
from maxwell.sentences import choice

if TYPE_CHECKING:
    import torch
    import xarray

    from data.torch_samples import TorchSamples, Transform

RECORDS = ("residual", "error", "reciprocity", "seconds", "dofs", "method")


class InverseCrimeWarning(UserWarning):
    """Samples meant for evaluation were computed on the training mesh, and the recipe does not say so."""


def open(path: str | Path, *, partial: bool = False) -> "Dataset":
    """Open a data set. Reads the manifest and looks which shards are there; arrays are read when asked for.

    partial: accept a data set whose generation is not finished, and read what is there.

    Raises :class:`DataError` if the folder is missing, is not a data set, or is incomplete; issues
    :class:`InverseCrimeWarning` if a split for evaluation shares the training mesh undeclared. A tenth of a
    second for 100,000 samples in 5,000 shards.
    """
    if not isinstance(path, str | Path):
        raise DataError(f"open: expected the folder of a data set, given {path!r}.")
    folder = Folder(path)
    manifest = folder.read_manifest()
    recipe, index = manifest.recipe, Index.of(folder, manifest)
    wanted = sum(shard_count(recipe, split) for split in recipe.splits)
    if len(index.entries) < wanted and not partial:
        raise DataError(
            f"{folder.path}: is incomplete, {wanted - len(index.entries)} of {wanted} shards are missing;"
            f" continue with `maxinv generate RECIPE {folder.path}`, or read what is there with "
            "partial=True."
        )
    for split in recipe.undeclared_inverse_crimes():
        warnings.warn(
            f"INVERSE CRIME: split {split} of {folder.path} was computed on the training mesh, so errors "
            "measured on it flatter every method; evaluate on a split with a finer mesh, or declare "
            "inverse_crime = true in the recipe to make this a label.",
            InverseCrimeWarning,
            stacklevel=2,
        )
    return Dataset(_Source(folder, manifest, index), tuple(recipe.splits))


class _Source:
    """An opened folder: what all views of one data set share."""

    def __init__(self, folder: Folder, manifest: schema.Manifest, index: Index):
        self.folder, self.manifest, self.index = folder, manifest, index

    @functools.cached_property
    def noise_reference(self) -> float:
        total, count = 0.0, 0
        for observations in self.index.of_splits(("train",)).parts("observations"):
            total += float(np.sum(observations.real**2 + observations.imag**2))
            count += observations.size
        if not count:
            raise DataError(
                f"{self.folder.path}: split train, which sets the noise level, has no solved samples; continue the "
                "generation, or see in `maxinv info` why they failed."
            )
        return float(np.sqrt(total / count))


class Dataset:
    """The samples of a data set, or some of them: the same object with fewer splits or rows.

    Rows are in the order of the recipe's splits, then of the samples' indices; samples that failed are left
    out. An array is read on first use, checked against its checksums, and kept. Files are read by place, so a
    data set may be handed to worker processes, forked or spawned. Every access can raise :class:`DataError`,
    which names a file and the path inside.
    """

    def __init__(self, source: _Source, splits: tuple[str, ...], rows: np.ndarray | None = None):
        self._source, self.splits = source, splits  #: ``splits``: names, in the recipe's order
        self._rows = rows  # of the whole index; None: all of the splits

    def __repr__(self) -> str:
        return f"<Dataset {self.path}: {len(self)} samples of {', '.join(self.splits)}>"

    def __len__(self) -> int:
        return len(self._part) if self._rows is None else len(self._rows)

    # -- views ----------------------------------------------------------------------------------------

    def split(self, *names: str) -> "Dataset":
        """The samples of one split, or of several."""
        for name in names:
            if name not in self.splits:
                raise DataError(
                    f"{self.path}: has no split {name!r}; expected one of {', '.join(self.splits)}."
                )
        if not names:
            raise DataError(f"{self.path}: no split was named; expected one of {', '.join(self.splits)}.")
        splits = tuple(name for name in self.splits if name in names)
        if self._rows is None:
            return Dataset(self._source, splits)
        index = self._source.index
        kept = [index.splits[number] in splits for number in index.numbers(self._rows)]
        return Dataset(self._source, splits, self._rows[np.array(kept, dtype=bool)])

    def take(self, rows: Any) -> "Dataset":
        """Some of these samples by row, in the order given: whole numbers, a slice, or a mask of length n.

        Reads nothing. The view has the splits of its rows, and then reads what it is asked for row by row. Raises
        :class:`DataError` for rows that are not there.
        """
        every = self._every_row()
        chosen = every[rows_of(len(every), rows, str(self.path))]
        index = self._source.index
        present = {index.splits[number] for number in np.unique(index.numbers(chosen))}
        splits = tuple(name for name in self.splits if name in present)
        return Dataset(self._source, splits or self.splits, chosen)

    def where(self, **ranges: tuple[float | None, float | None]) -> "Dataset":
        """The samples whose parameters lie in ranges, bounds included: ``ds.where(R1=(0.1, None), q1=(0, 2))``.

        ``None`` is no bound. Reads the parameters. Raises :class:`DataError` for a name that is no parameter.
        """
        return self.take(within(self.parameters, self.names, ranges, str(self.path)))

    def _every_row(self) -> np.ndarray:
        if self._rows is not None:
            return self._rows
        return np.concatenate([np.arange(0), *(self._source.index.range(name) for name in self.splits)])

    @functools.cached_property
    def _part(self) -> Index:
        return self._source.index.of_splits(self.splits)

    def _array(self, name: str) -> np.ndarray:
        index = self._source.index
        values = self._part.whole(name) if self._rows is None else index.rows(name, self._rows)
        if len(self):
            return values
        (about,) = (a for a in schema.arrays_of(self.manifest.recipe.store) if a.name == name)
        lengths = self.manifest.problem(self.splits[0]).lengths  # not those of what another split holds
        shape = (lengths.get(c, k) for c, k in zip(about.shape, values.shape, strict=True))
        return np.empty(tuple(shape), values.dtype)

    def _column(self, name: str) -> np.ndarray:
        """An array of one number a sample; of all samples it is kept."""
        return self._source.index.column(name)[self._every_row()]

    # -- samples --------------------------------------------------------------------------------------

    @functools.cached_property
    def parameters(self) -> np.ndarray:
        """(n, p) float64, or complex128 if the unknowns are complex, in the units of :attr:`units`."""
        return self._array("parameters")

    @functools.cached_property
    def observations(self) -> np.ndarray:
        """(n, m) complex128, or float64 if the data are real: without noise, in :attr:`observation_unit`."""
        return self._array("observations")

    @functools.cached_property
    def seeds(self) -> np.ndarray:
        """(n,) uint64, each sample's own seed."""
        return self._column("seed")

    @functools.cached_property
    def indices(self) -> np.ndarray:
        """(n,) int64, each sample's index within its split; the partner of a paired split has the same."""
        return self._source.index.samples[self._every_row()]

    @functools.cached_property
    def split_names(self) -> np.ndarray:
        """(n,) text, the split of each sample."""
        index = self._source.index
        return np.array(index.splits or ("",))[index.numbers(self._every_row())]

    @functools.cached_property
    def records(self) -> dict[str, np.ndarray]:
        """What the solver said of each sample, (n,) each.

        ``residual`` of the systems that its ``method`` solved (a method that corrects its data to second order
        stops at a residual of 1e-5), the ``error`` of the observations that this leaves by its own estimate,
        ``reciprocity``, ``seconds``, ``dofs``.
        """
        records = {name: self._column(name) for name in RECORDS}
        return records | {"method": np.strings.decode(records["method"], "utf-8")}

    def extra(self, name: str) -> np.ndarray:
        """What the recipe's ``[store]`` keeps besides: ``jacobian`` (n, m, p), ``slices`` or ``fields``, as
        the schema says."""
        if name not in schema.EXTRAS:
            raise DataError(
                f"{self.path}: no extra is called {name!r}; expected {choice(name, schema.EXTRAS)}."
            )
        if name not in self.extras:
            raise DataError(
                f"{self.path}: keeps no {name} (it keeps {', '.join(self.extras) or 'no extra'}); generate it with "
                f"store.{name} in another folder."
            )
        return self._array(name)

    @property
    def extras(self) -> tuple[str, ...]:
        """What :meth:`extra` gives of this data set."""
        return tuple(key for key in schema.EXTRAS if getattr(self.manifest.recipe.store, key))

    @property
    def failed(self) -> int:
        """How many samples of these splits could not be solved, without reading a file; of chosen rows, none."""
        return sum(entry.failed for entry in self._part.entries) if self._rows is None else 0

    @functools.cached_property
    def failures(self) -> list[Failure]:
        """The samples of these splits that could not be solved, with the reason; of chosen rows, none."""
        return list(self._part.failures()) if self._rows is None else []

    def observe(self, noise: float = 0.01, draw: int = 0, kind: str = "white") -> np.ndarray:
        """The observations with noise, (n, m) complex128, or float64 if the data are real.

        noise: its level, relative to the RMS of the training data (``kind`` "white", the same noise for all
        samples), to that of the sample's own data ("sample"), or to each datum ("entry").

        See :func:`data.noise.add` for the law. Noise depends on the sample's own seed and on ``draw`` alone:
        data of several levels are paired, a new ``draw`` is a new realisation, and the noise of different
        splits is independent, even where they share their parameters.
        """
        reference = self.noise_reference if kind == "white" and noise else 0.0
        return noises.add(self.observations, self.seeds, noise, reference, draw, kind)

    def to_torch(
        self,
        noise: float = 0.0,
        draw: int = 0,
        draws: int = 1,
        kind: str = "white",
        *,
        encode: "Transform | None" = None,
        decode: "Transform | None" = None,
        dtype: "torch.dtype | None" = None,
    ) -> "TorchSamples":
        """These samples as a map-style ``torch.utils.data.Dataset`` of pairs (features, targets), read row by row.

        See :class:`data.torch_samples.TorchSamples` for the arguments. Imports torch. Raises :class:`DataError` for
        samples of several problems.
        """
        from data.torch_samples import TorchSamples

        self._problem_number()  # a network is not to learn two maps as one
        return TorchSamples(self, noise, draw, draws, kind, encode, decode, dtype)

    def to_xarray(self, noise: float = 0.0, draw: int = 0, kind: str = "white") -> "xarray.Dataset":
        """These samples as labelled arrays, observations with the noise of :meth:`observe`.

        See :func:`data.xarray_samples.labelled`. Needs the extra ``xarray``, or raises :class:`DataError`.
        """
        from data.xarray_samples import labelled

        return labelled(self, noise, draw, kind)

    @property
    def noise_reference(self) -> float:
        """RMS of the noise-free data of the split ``train``, over samples and entries; on every view."""
        return self._source.noise_reference

    def digest(self) -> str:
        """SHA-256 over splits, parameters and observations: equal when two data sets agree to the bit.

        Seconds, versions and the layout in shards do not enter. Reads all of it, one shard at a time.
        """
        hasher = hashlib.sha256()
        for name in self.splits:
            view = self.split(name)
            for array in ("parameters", "observations"):
                parts = view._part.parts(array) if self._rows is None else [getattr(view, array)]
                for number, values in enumerate(parts):
                    if not number:
                        shape = (len(view), *values.shape[1:])
                        hasher.update(f"{name} {array} {values.dtype.str} {shape} ".encode())
                    hasher.update(np.ascontiguousarray(values).data)
        return hasher.hexdigest()

    # -- what they are --------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The folder."""
        return self._source.folder.path

    @property
    def manifest(self) -> schema.Manifest:
        """All that ``dataset.json`` says: recipe, labels, provenance."""
        return self._source.manifest

    @property
    def spec(self) -> dict[str, Any]:
        """The problem as plain data; ``maxwell.problem_from`` rebuilds it."""
        return self._described.spec

    @property
    def _described(self) -> schema.Problem:
        if self._rows is None and len(self.splits) == len(self.manifest.splits):
            return self.manifest.problems[0]  # of the whole data set: that of the recipe
        return self.manifest.problems[self._problem_number()]

    def _problem_number(self) -> int:
        numbers = {self.manifest.splits[name] for name in self.splits}
        if len(numbers) > 1:
            raise DataError(
                f"{self.path}: the splits {', '.join(self.splits)} have different problems; ask one, as in "
                f"ds.split({self.splits[0]!r})."
            )
        return numbers.pop()

    @functools.cached_property
    def problem(self) -> Any:
        """The problem, rebuilt from :attr:`spec`."""
        return maxwell.problem_from(self.spec)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(p.name for p in self._described.parameters)

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the parameters; ``""`` for none."""
        return tuple(p.unit for p in self._described.parameters)

    @property
    def observation_unit(self) -> str:
        """Unit of the observations."""
        return self._described.observations.unit

    @property
    def labels(self) -> Mapping[str, np.ndarray]:
        """What each observation is, such as source and receiver number, (m,) each."""
        return {name: np.asarray(values) for name, values in self._described.observations.labels.items()}

    @property
    def mesh(self) -> Mesh:
        """The mesh of the samples, as keyword arguments of ``problem.discretise``."""
        meshes = {canonical(mesh): mesh for mesh in self._meshes()}
        if len(meshes) > 1:
            raise DataError(
                f"{self.path}: its splits have different meshes; ask one split, as in ds.split('train').mesh."
            )
        return dict(next(iter(meshes.values())))

    @functools.cached_property
    def discretisation(self) -> dict[str, Any]:
        """Element and mesh as the forward map described them to the first shard; ``{}`` while there is none."""
        _ = self.mesh, self._problem_number()  # one for all of them, or the sentence that it is not
        return json.loads(self._part.file(0).attributes["discretisation"]) if self._part.entries else {}

    @property
    def inverse_crime(self) -> bool:
        """Whether any of these samples was computed on the training mesh; true of train by construction."""
        return any(mesh == self.manifest.recipe.training_mesh for mesh in self._meshes())

    def _meshes(self) -> list[Mesh]:
        return [self.manifest.recipe.splits[name].mesh for name in self.splits]
