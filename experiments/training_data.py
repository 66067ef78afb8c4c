"""Between a data set and the networks of a study: features and targets as they enter training."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import data
from data import mesh_error as mesh_errors
from data.linear_estimate import LinearEstimate
from data.transforms import Compression, Standardise, blocks, soften
from data.turns import Turns
from experiments.errors import StudyError
from experiments.specs import RunSpec
from maxwell.symmetry import Symmetry


def features(compression: Compression, amplitude: str, observations: np.ndarray) -> np.ndarray:
    """What enters a network: (n, m) complex observations to (n, k) real features."""
    compressed = compression(observations)
    return soften(compressed) if amplitude == "asinh" else compressed


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What runs of one noise and one compression see: fitted transforms, and features and targets as float32.

    With a `remainder` the targets are what that linear estimate leaves of the data of each realisation, over its
    scale.  Called with an epoch e, it gives the pair x (n, k), y (n, p) of realisation e mod `draws`: of the noise,
    of the training mesh's error where this counts as noise, and of the problem's symmetries if they are used.  An
    estimate is then averaged over these `turns`.
    """

    compression: Compression
    standardise: Standardise
    remainder: LinearEstimate | None
    turns: Turns | None
    pairs: list[tuple[Tensor, Tensor]]
    valid: tuple[Tensor, Tensor]
    names: tuple[str, ...]
    units: tuple[str, ...]
    problem: dict[str, Any]
    mesh: dict[str, Any]
    digest: str

    def __call__(self, epoch: int) -> tuple[Tensor, Tensor]:
        """Return the training pair of an epoch."""
        return self.pairs[epoch % len(self.pairs)]

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.valid[0].device

    def __len__(self) -> int:
        """Number of training samples."""
        return len(self.pairs[0][1])


def training_data(dataset: Path, digest: str, spec: RunSpec, device: torch.device) -> TrainingData:
    """The data of a run, transforms fitted on the training split alone; those of the last two calls are kept."""
    given = (
        "components", "amplitude", "noise", "draws", "samples", "scale", "remainder", "mesh_error", "symmetries"
    )  # fmt: skip
    return _read(dataset.absolute(), digest, *(getattr(spec, name) for name in given), device)


@functools.lru_cache(maxsize=2)
def _read(
    path,
    digest,
    components,
    amplitude,
    noise,
    draws,
    samples,
    scale,
    remainder,
    mesh_error,
    symmetries,
    device,
) -> TrainingData:
    dataset = data.open(path)
    train, valid = dataset.split("train"), dataset.split("valid")
    if samples is not None and samples > len(train):
        raise StudyError(f"{dataset.path}: has {len(train)} training samples, and {samples} were asked for.")
    train = train.take(slice(0, samples))
    if remainder and noise == 0:
        raise StudyError(
            "remainder: a linear estimate needs data with noise; give noise > 0, or leave it out."
        )
    seen = _Seen(
        train, noise, mesh_errors.mesh_error(dataset) if mesh_error else None, _turns(train, symmetries)
    )
    compression = Compression.fit(seen.whole(0), components)
    standardise = Standardise.fit(train.parameters, common=scale == "common")
    linear = None
    if remainder:
        truth = standardise(train.parameters)
        linear = LinearEstimate.fit(
            train.observations, truth, noise * dataset.noise_reference, errors=seen.errors
        )

    def tensor(values):
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    def pair(parts):
        """In blocks, for all samples and their data together are large."""
        inputs, targets = [], []
        for observations, parameters in parts:
            left = standardise(parameters)
            if linear is not None:
                left = (left - linear(observations)) / linear.scale
            inputs.append(tensor(features(compression, amplitude, observations)))
            targets.append(tensor(left))
        return torch.cat(inputs), torch.cat(targets)

    pairs = [pair(seen(draw)) for draw in range(draws)]
    if linear is None and not symmetries:  # all draws have one target
        pairs = [(x, pairs[0][1]) for x, _ in pairs]
    return TrainingData(
        compression,
        standardise,
        linear,
        Turns.of(seen.turns) if seen.turns else None,
        pairs,
        pair([(valid.observe(noise), valid.parameters)]),
        dataset.names,
        dataset.units,
        dataset.spec,
        train.mesh,
        digest,
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    """Realisation `draw` ↦ observations (n, m) and parameters (n, p) as they are met in training, in blocks."""

    train: data.Dataset
    noise: float
    errors: np.ndarray | None
    turns: tuple[Symmetry, ...]

    def __call__(self, draw: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        turn = self.turns[draw % len(self.turns)] if self.turns else None
        errors = np.zeros((0, 1)) if self.errors is None else self.errors
        for rows, error in mesh_errors.realisations(errors, len(self.train), draw):
            part = self.train.take(rows)
            observations, parameters = part.observe(self.noise, draw), part.parameters
            if self.errors is not None:
                observations += error
            if turn is not None and not turn.turn.is_identity:
                observations, parameters = turn.observations(observations), turn.parameters(parameters)
            yield observations, parameters

    def whole(self, draw: int) -> np.ndarray:
        """All observations of a realisation."""
        found = np.empty_like(self.train.observations)
        for rows, (observations, _) in zip(blocks(len(found)), self(draw), strict=True):
            found[rows] = observations
        return found


def _turns(train: data.Dataset, wanted: bool) -> tuple[Symmetry, ...]:
    if not wanted:
        return ()
    found = getattr(train.problem, "symmetries", ())
    if len(found) < 2:
        raise StudyError(
            f"symmetries: {train.path} is of a problem without any (one of the kind conductivity has them where "
            "survey, unknown and prior do); leave it out."
        )
    cell = train.mesh.get("cell", "tetrahedron")
    if cell != "hexahedron":
        raise StudyError(
            f"symmetries: the training mesh of {train.path} has cells {cell!r}, which a turn does not map to "
            "themselves, so that turned data have another error of the mesh; expected 'hexahedron': leave the "
            "symmetries out, or generate on bricks (mesh.cell)."
        )
    return found
