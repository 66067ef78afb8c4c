"""Proper orthogonal decomposition of observations: the few numbers that a forward surrogate has to learn."""

from dataclasses import dataclass

import numpy as np

from data.transforms import complexify, realify
from experiments.errors import StudyError


@dataclass(frozen=True, eq=False)
class Pod:
    """The k directions that lose least of the snapshots: z = Vᵀ realify(d), d ≈ complexify(V z).

    directions (2m, k) : V, orthonormal.  singular (r,) : all singular values of the snapshots (n, 2m), over √n.

    Not centred: no anomaly gives no scattered data, z = 0.  An isometry on its range, so white noise of the data
    stays white noise of the coefficients.
    """

    directions: np.ndarray
    singular: np.ndarray

    @classmethod
    def fit(cls, observations: np.ndarray, components: int) -> "Pod":
        """From snapshots (n, m) complex; one SVD, O(n m min(n, m)).  StudyError for more components than rank."""
        snapshots = realify(observations)
        if len(snapshots) > snapshots.shape[1]:
            snapshots = np.linalg.qr(snapshots, mode="r")  # the same singular values and directions
        _, singular, right = np.linalg.svd(snapshots, full_matrices=False)
        rank = int(np.sum(singular > 1e-12 * singular[0]))
        if not 1 <= components <= rank:
            raise StudyError(
                f"components is {components}; expected 1 to {rank}, the independent directions of the snapshots."
            )
        return cls(right[:components].T, singular / np.sqrt(len(observations)))

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """z: (n, m) complex → (n, k)."""
        return realify(observations) @ self.directions

    def inverse(self, coefficients: np.ndarray) -> np.ndarray:
        """The observations of coefficients: (n, k) → (n, m) complex."""
        return complexify(coefficients @ self.directions.T)

    @property
    def discarded(self) -> float:
        """√(Σ_{j>k} s_j²): the root mean square, over the snapshots, of ‖d − inverse(z)‖."""
        return float(np.linalg.norm(self.singular[self.directions.shape[1] :]))
