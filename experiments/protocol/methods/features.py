"""What learned baselines see: principal components of noisy data, in a shape that suits, and rows to learn from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data.mesh_error import mesh_error, realised
from data.transforms import Compression, soften
from experiments.protocol.known import Known

COMPONENTS = (8, 16, 32, 64, 128)
"""Numbers of principal components among which learned baselines choose, as far as the data have so many."""


def white(components: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Unit variance each."""
    return components


def softened(components: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Unit variance each, and the size of a row by its logarithm where it is large: `data.transforms.soften`."""
    return soften(components)


def natural(components: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """As large as in the data, the first of unit variance: noise is the same in all of them."""
    return components * (scale / scale[0])


SHAPES = (white, softened, natural)


@dataclass(frozen=True, eq=False)
class Features:
    """Observations (n, m) ↦ features (n, k)."""

    compression: Compression
    components: int
    shape: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """(n, k), each row from its observation alone."""
        kept = slice(0, self.components)
        return self.shape(self.compression(observations)[:, kept], self.compression.scale[kept])

    @classmethod
    def choices(cls, known: Known) -> list["Features"]:
        """All that `COMPONENTS` and `SHAPES` allow, fitted on the noisy training data."""
        observed = known.train.observe(known.noise)
        width = observed.shape[1] * (2 if np.iscomplexobj(observed) else 1)
        most = min(len(observed) - 1, width, COMPONENTS[-1])
        compression = Compression.fit(observed, most)
        counts = [count for count in COMPONENTS if count < most] + [most]
        return [cls(compression, count, shape) for count in counts for shape in SHAPES]


def rows(known: Known, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Observations (n, m) and unknowns (n, p) to learn from, n ≤ most.

    All training samples with the first realisation of their noise and of the training mesh's error, then all with
    the second, as far as `known.draws` and `most` reach.
    """
    train, errors = known.train, mesh_error(known.dataset)
    if len(train) > most:
        train = train.take(slice(0, most))
    draws = max(1, min(known.draws, most // len(train)))
    observed = [
        train.observe(known.noise, draw) + realised(errors, len(train), draw) for draw in range(draws)
    ]
    return np.concatenate(observed), np.concatenate([train.parameters] * draws)
