"""Reading a data set: lazily, checked, and with noise that is added here and never stored."""

import functools
import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import maxwell
from data import schema, seeds
from data.errors import DataError
from data.recipe import Mesh, canonical
from data.store import Folder, Shard, shards_of

RECORDS = ("residual", "error", "reciprocity", "seconds", "dofs", "method")


class InverseCrimeWarning(UserWarning):
    """Samples meant for evaluation were computed on the training mesh, and the recipe does not say so."""


def open(path: str | Path, *, partial: bool = False) -> "Dataset":
    """Open a data set. Reads the manifest and looks which shards are there; arrays are read when asked for.

    partial: accept a data set whose generation is not finished, and read what is there.

    Raises :class:`DataError` if the folder is missing, is not a data set, or is incomplete; issues
    :class:`InverseCrimeWarning` if a split for evaluation shares the training mesh undeclared.
    """
    folder = Folder(path)
    manifest = folder.read_manifest()
    wanted = [shard for split in manifest.recipe.splits for shard in shards_of(manifest.recipe, split)]
    present = [shard for shard in wanted if folder.has(shard)]
    if len(present) < len(wanted) and not partial:
        raise DataError(
            f"{folder.path}: is incomplete, {len(wanted) - len(present)} of {len(wanted)} shards are missing;"
            f" continue with `maxinv generate RECIPE {folder.path}`, or read what is there with "
            "partial=True."
        )
    for split in manifest.recipe.undeclared_inverse_crimes():
        warnings.warn(
            f"INVERSE CRIME: split {split} of {folder.path} was computed on the training mesh, so errors "
            "measured on it flatter every method; evaluate on a split with a finer mesh, or declare "
            "inverse_crime = true in the recipe to make this a label.",
            InverseCrimeWarning,
            stacklevel=2,
        )
    return Dataset(_Source(folder, manifest, present), tuple(manifest.recipe.splits))


class _Source:
    """An opened folder: what all views of one data set share."""

    def __init__(self, folder: Folder, manifest: schema.Manifest, present: list[Shard]):
        self.folder, self.manifest, self.present = folder, manifest, present

    def read(self, splits: tuple[str, ...], name: str) -> np.ndarray:
        """One array over all samples of some splits."""
        parts = [self.folder.read(self.manifest, shard, name)[0] for shard in self.shards(splits)]
        return np.concatenate(parts) if parts else self._nothing(name)

    def shards(self, splits: tuple[str, ...]) -> list[Shard]:
        return [shard for split in splits for shard in self.present if shard.split == split]

    def _nothing(self, name: str) -> np.ndarray:
        """An array over no samples; real or complex as in the shards of other splits, if there are any."""
        for shard in self.present[:1]:
            return self.folder.read(self.manifest, shard, name)[0][:0]
        (array,) = (a for a in schema.ARRAYS if a.name == name)
        lengths = {"n": 0, **self.manifest.lengths}
        return np.empty(tuple(lengths[letter] for letter in array.shape), array.dtypes[0])

    @functools.cached_property
    def noise_reference(self) -> float:
        total, count = 0.0, 0
        for shard in self.shards(("train",)):
            (observations,) = self.folder.read(self.manifest, shard, "observations")
            total += float(np.sum(observations.real**2 + observations.imag**2))
            count += observations.size
        if not count:
            raise DataError(
                f"{self.folder.path}: split train, which sets the noise level, has no samples yet; continue "
                "the generation."
            )
        return float(np.sqrt(total / count))


class Dataset:
    """The samples of a data set, or of one of its splits: the same object with fewer splits.

    Rows are in the order of the recipe's splits, then of the samples' indices. An array is read on first
    use, each shard checked against its checksum, and kept. Files are open only while they are read, so a
    data set may be handed to worker processes. Every access can raise :class:`DataError`, which names a
    file and the path inside.
    """

    def __init__(self, source: _Source, splits: tuple[str, ...]):
        self._source, self.splits = source, splits  #: ``splits``: names, in the recipe's order

    def __repr__(self) -> str:
        return f"<Dataset {self.path}: {len(self)} samples of {', '.join(self.splits)}>"

    def __len__(self) -> int:
        return sum(map(len, self._source.shards(self.splits)))

    def split(self, name: str) -> "Dataset":
        """The samples of one split."""
        if name not in self.splits:
            raise DataError(f"{self.path}: has no split {name!r}; expected one of {', '.join(self.splits)}.")
        return Dataset(self._source, (name,))

    # -- samples --------------------------------------------------------------------------------------

    @functools.cached_property
    def parameters(self) -> np.ndarray:
        """(n, p) float64, or complex128 if the unknowns are complex, in the units of :attr:`units`."""
        return self._source.read(self.splits, "parameters")

    @functools.cached_property
    def observations(self) -> np.ndarray:
        """(n, m) complex128, or float64 if the data are real: without noise, in :attr:`observation_unit`."""
        return self._source.read(self.splits, "observations")

    @functools.cached_property
    def seeds(self) -> np.ndarray:
        """(n,) uint64, each sample's own seed."""
        return self._source.read(self.splits, "seed")

    @functools.cached_property
    def indices(self) -> np.ndarray:
        """(n,) int64, each sample's index within its split; the partner of a paired split has the same."""
        ranges = [np.arange(s.start, s.stop) for s in self._source.shards(self.splits)]
        return np.concatenate([np.arange(0), *ranges])

    @functools.cached_property
    def records(self) -> dict[str, np.ndarray]:
        """What the solver said of each sample, (n,) each.

        ``residual`` of the systems that its ``method`` solved (a method that corrects its data to second order
        stops at a residual of 1e-5), the ``error`` of the observations that this leaves by its own estimate,
        ``reciprocity``, ``seconds``, ``dofs``.
        """
        records = {name: self._source.read(self.splits, name) for name in RECORDS}
        return records | {"method": np.strings.decode(records["method"], "utf-8")}

    def observe(self, noise: float = 0.01, draw: int = 0) -> np.ndarray:
        """The observations with noise, (n, m) complex128, or float64 if the data are real.

        ``d + noise · r · (ξ₁ + iξ₂)/√2``, or ``d + noise · r · ξ₁`` if the data are real, with standard normal ξ
        and r = :attr:`noise_reference`, so that
        ``noise`` is the RMS of the noise relative to that of the training data. ξ depends on the sample's own
        seed and on ``draw`` alone: data of several levels are paired, a new ``draw`` is a new realisation,
        and the noise of different splits is independent, even where they share their parameters.
        """
        if not (np.isfinite(noise) and noise >= 0):
            raise DataError(f"noise: expected a relative level such as 0.01, at least 0, given {noise}.")
        if isinstance(draw, bool) or not isinstance(draw, int | np.integer) or draw < 0:
            raise DataError(f"draw: expected the number of a realisation, 0 or greater, given {draw!r}.")
        if noise == 0:
            return self.observations.copy()
        scale = noise * self.noise_reference
        observed = np.empty_like(self.observations)
        for row, clean, seed in zip(observed, self.observations, self.seeds, strict=True):
            xi = seeds.noise_stream(int(seed), int(draw)).standard_normal((2, clean.size))
            row[:] = clean + scale * ((xi[0] + 1j * xi[1]) / np.sqrt(2) if np.iscomplexobj(clean) else xi[0])
        return observed

    @property
    def noise_reference(self) -> float:
        """RMS of the noise-free data of the split ``train``, over samples and entries; on every view."""
        return self._source.noise_reference

    def digest(self) -> str:
        """SHA-256 over splits, parameters and observations: equal when two data sets agree to the bit.

        Seconds, versions and the layout in shards do not enter.
        """
        hasher = hashlib.sha256()
        for name in self.splits:
            for array in ("parameters", "observations"):
                values = np.ascontiguousarray(self._source.read((name,), array))
                hasher.update(f"{name} {array} {values.dtype.str} {values.shape} ".encode())
                hasher.update(values.data)
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
        return self.manifest.recipe.problem

    @functools.cached_property
    def problem(self) -> Any:
        """The problem, rebuilt from :attr:`spec`."""
        return maxwell.problem_from(self.spec)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(p.name for p in self.manifest.parameters)

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the parameters; ``""`` for none."""
        return tuple(p.unit for p in self.manifest.parameters)

    @property
    def observation_unit(self) -> str:
        """Unit of the observations."""
        return self.manifest.observations.unit

    @property
    def labels(self) -> Mapping[str, np.ndarray]:
        """What each observation is, such as source and receiver number, (m,) each."""
        return {name: np.asarray(values) for name, values in self.manifest.observations.labels.items()}

    @property
    def mesh(self) -> Mesh:
        """The mesh of the samples, as keyword arguments of ``problem.discretise``."""
        meshes = {canonical(mesh): mesh for mesh in self._meshes()}
        if len(meshes) > 1:
            raise DataError(
                f"{self.path}: its splits have different meshes; ask one split, as in ds.split('train').mesh."
            )
        return dict(next(iter(meshes.values())))

    @property
    def inverse_crime(self) -> bool:
        """Whether any of these samples was computed on the training mesh; true of train by construction."""
        return any(mesh == self.manifest.recipe.training_mesh for mesh in self._meshes())

    def _meshes(self) -> list[Mesh]:
        return [self.manifest.recipe.splits[name].mesh for name in self.splits]
