"""Between a data set and the networks of a study: features and targets as they enter training."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import data
from data.linear_estimate import LinearEstimate
from data.transforms import Compression, Standardise, soften
from experiments.errors import StudyError
from experiments.specs import RunSpec


def features(compression: Compression, amplitude: str, observations: np.ndarray) -> np.ndarray:
    """What enters a network: (n, m) complex observations to (n, k) real features."""
    compressed = compression(observations)
    return soften(compressed) if amplitude == "asinh" else compressed


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What runs of one noise and one compression see: fitted transforms, and features and targets as float32.

    With a `remainder` the targets are what that linear estimate leaves of the data of each realisation, over its
    scale.  Called with an epoch e, it gives the pair x (n, k), y (n, p) of noise realisation e mod `draws`.
    """

    compression: Compression
    standardise: Standardise
    remainder: LinearEstimate | None
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
    what = spec.components, spec.amplitude, spec.noise, spec.draws, spec.samples, spec.scale, spec.remainder
    return _read(dataset.absolute(), digest, *what, device)


@functools.lru_cache(maxsize=2)
def _read(
    path, digest, components, amplitude, noise, draws, samples, scale, remainder, device
) -> TrainingData:
    dataset = data.open(path)
    train, valid = dataset.split("train"), dataset.split("valid")
    if samples is not None and samples > len(train):
        raise StudyError(f"{dataset.path}: has {len(train)} training samples, and {samples} were asked for.")
    train = train.take(slice(0, samples))
    compression = Compression.fit(train.observe(noise), components)
    standardise = Standardise.fit(train.parameters, common=scale == "common")

    truth = standardise(train.parameters)
    linear = None
    if remainder:
        if noise == 0:
            raise StudyError(
                "remainder: a linear estimate needs data with noise; give noise > 0, or leave it out."
            )
        linear = LinearEstimate.fit(train.observations, truth, noise * dataset.noise_reference)

    def tensor(values):
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    def pair(observations, parameters):
        left = parameters if linear is None else (parameters - linear(observations)) / linear.scale
        return tensor(features(compression, amplitude, observations)), tensor(left)

    pairs = [pair(train.observe(noise, draw), truth) for draw in range(draws)]
    if linear is None:  # all draws have one target
        pairs = [(x, pairs[0][1]) for x, _ in pairs]
    return TrainingData(
        compression,
        standardise,
        linear,
        pairs,
        pair(valid.observe(noise), standardise(valid.parameters)),
        dataset.names,
        dataset.units,
        dataset.spec,
        train.mesh,
        digest,
    )
