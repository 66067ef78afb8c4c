"""What an inversion may know of a problem before it sees test data."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

import data
from maxwell import inversion


@dataclass(frozen=True, eq=False)
class Known:
    """Training and validation splits of a data set at one level of noise, and the forward map behind them.

    dataset : the whole data set.  noise : level of the training data, relative to their RMS.
    samples : how many training samples count, from the first; None for all.  draws : realisations of their noise.

    Test splits are not reached through this object.
    """

    dataset: data.Dataset
    noise: float
    samples: int | None = None
    draws: int = 1

    @cached_property
    def train(self) -> data.Dataset:
        """The training samples that count."""
        train = self.dataset.split("train")
        return train if self.samples is None else train.take(slice(0, self.samples))

    @cached_property
    def valid(self) -> data.Dataset:
        """The validation samples."""
        return self.dataset.split("valid")

    @cached_property
    def problem(self):
        """The inverse problem, with its prior."""
        return self.train.problem

    @cached_property
    def forward(self):
        """The forward map on the mesh of training, so that no method knows a finer mesh than the networks do."""
        return self.problem.discretise(**self.train.mesh)

    @cached_property
    def gaussian(self) -> inversion.Gaussian:
        """Mean and covariance of the unknown: the prior's own where it has them, else of the training samples."""
        samples = inversion.Gaussian.from_samples(self.train.parameters)
        prior = self.problem.prior
        if not hasattr(prior, "covariance"):
            return samples
        return inversion.Gaussian(prior.mean, prior.covariance, samples.low, samples.high)

    def deviation(self, level: float) -> float:
        """Standard deviation σ of the noise at a level, √E|n|² of a complex datum."""
        return level * self.dataset.noise_reference


@dataclass(frozen=True, eq=False)
class Answers:
    """What a method says to n observations.

    theta (n, p) : estimates.  seconds (n,) : processor time that each took, or the share in that of all.
    extras : anything else that the method counts, name to (n,), such as iterations.
    settled (n, p) : where a descent would come to rest, whose estimate stops as soon as noise allows; in no time.
    """

    theta: np.ndarray
    seconds: np.ndarray
    extras: dict[str, np.ndarray]
    settled: np.ndarray | None = None
