"""What the training mesh does to data: a second error of observation, which no noise level tells.

Where a network is trained on one mesh and asked about data of the world, or of a finer mesh, the data differ by

    ε = d − F(θ),    d from the finer mesh, F on the training mesh, both without noise,

seen on the validation split, whose unknowns are solved again on the training mesh. ε is modelled as Gaussian of
second moment E ε εᵀ and independent of θ, so that observation error has the covariance σ² I + E ε εᴴ.

Not for data of a mesh, or a world, that the validation split does not stand for.
Source: Kaipio, Somersalo, Statistical and Computational Inverse Problems (2005), section 5.8.
"""

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data import schema
from data.errors import DataError
from data.reader import Dataset
from data.transforms import blocks

_DRAWS = 0x6D657368  # of the stream of mesh errors: not that of a sample's own noise


@dataclass(frozen=True, eq=False)
class ObservationError:
    """White noise and a mesh error together: covariance C = σ² I + U diag(s²) Uᴴ.

    deviation : σ > 0, for each number of the data.
    directions (m, r), orthonormal, and deviations (r,) : U and s; r = 0 for none.
    """

    deviation: float
    directions: np.ndarray
    deviations: np.ndarray

    @classmethod
    def of(cls, errors: np.ndarray, deviation: float) -> "ObservationError":
        """From mesh errors (n, m), real or complex, with E ε εᴴ their mean; n = 0 for none.  Costs one SVD."""
        if not (np.isfinite(deviation) and deviation > 0):
            raise DataError(f"deviation: expected that of noise, a positive number, given {deviation!r}.")
        left, values, _ = np.linalg.svd(errors.T / np.sqrt(max(len(errors), 1)), full_matrices=False)
        return cls(float(deviation), left, values)

    def whiten(self, values: np.ndarray) -> np.ndarray:
        """C^{-1/2} d of each row of (n, m)."""
        shrink = self.deviation / np.hypot(self.deviation, self.deviations) - 1
        along = values @ self.directions.conj()
        return (values + (along * shrink) @ self.directions.T) / self.deviation

    @property
    def covariance(self) -> np.ndarray:
        """C, (m, m)."""
        scaled = self.directions * self.deviations
        found = scaled @ scaled.conj().T
        found[np.diag_indices_from(found)] += self.deviation**2
        return found


def mesh_error(dataset: Dataset) -> np.ndarray:
    """ε of the validation samples, (n, m); n = 0 where these are of the training mesh themselves.

    Solves for each of them once, and keeps what it found in the folder of the data set (`mesh_error.npz`), if that
    can be written to; it is solved again where that file is damaged or of another data set. Cost: the
    training mesh's preparation and a solve a sample, 2 minutes for 300 samples of voxels_many.

    Raises :class:`DataError` for a data set without a split ``valid``, and what the forward map raises.
    """
    valid = dataset.split("valid")
    if valid.mesh == dataset.manifest.recipe.training_mesh:
        return np.zeros((0, valid.observations.shape[1]), valid.observations.dtype)
    found = kept(dataset)
    if found is None:
        forward = valid.problem.discretise(**dataset.manifest.recipe.training_mesh)
        found = valid.observations - forward.batch(valid.parameters)
        _keep(dataset.path / schema.MESH_ERROR, _stamp(valid), found)
    return found


def kept(dataset: Dataset) -> np.ndarray | None:
    """What :func:`mesh_error` has kept in the folder of the data set, or None; solves nothing."""
    valid = dataset.split("valid")
    try:
        with np.load(dataset.path / schema.MESH_ERROR, allow_pickle=False) as content:
            errors = content["errors"]
            told = str(content["stamp"]), str(content["sha256"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    fits = told == (_stamp(valid), hashlib.sha256(errors.tobytes()).hexdigest())
    return errors if fits and errors.shape == valid.observations.shape else None


def realised(errors: np.ndarray, count: int, draw: int) -> np.ndarray:
    """A realisation of Gaussian mesh errors for `count` samples, (count, m) of the kind of `errors` (n, m).

    Σ_j ξ_j ε_j / √n with standard normal ξ, so the second moment is E ε εᵀ. Row i depends on i and `draw` alone.
    """
    found = np.empty((count, errors.shape[1]), errors.dtype)
    for rows, part in realisations(errors, count, draw):
        found[rows] = part
    return found


def realisations(errors: np.ndarray, count: int, draw: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows of :func:`realised` in blocks, each with its place, for want of memory for all."""
    normal, factor = np.random.default_rng((_DRAWS, draw)), errors / np.sqrt(max(len(errors), 1))
    for rows in blocks(count):
        yield rows, normal.standard_normal((rows.stop - rows.start, len(errors))) @ factor


def _stamp(valid: Dataset) -> str:
    """Of the recipe and the validation samples that were solved."""
    seeds = np.ascontiguousarray(valid.seeds).tobytes()
    return hashlib.sha256(valid.manifest.digest.encode() + seeds).hexdigest()


def _keep(file: Path, stamp: str, errors: np.ndarray) -> None:
    errors = np.ascontiguousarray(errors)
    content = io.BytesIO()
    np.savez(content, errors=errors, stamp=stamp, sha256=hashlib.sha256(errors.tobytes()).hexdigest())
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content.getvalue())
        temporary.replace(file)
    except OSError:  # a folder that is read only, or full: it is solved again next time
        temporary.unlink(missing_ok=True)
