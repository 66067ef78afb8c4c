"""The best affine estimate of unknowns from data with noise, so that a network need learn only what it leaves."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from data.errors import DataError
from data.transforms import checked, realify, rebuilt


@dataclass(frozen=True, eq=False)
class LinearEstimate:
    """Observations (n, m), complex or real -> standardised parameters (n, q), by the linear law of least error.

    ::

        y ≈ offset + (realify(d) − mean) gain,    gain = (XᵀX/n + S)⁻¹ XᵀY/n

    with X, Y the centred training pairs without noise and S the covariance of the observation's error: white noise,
    σ²/2 for each real or imaginary part of a complex datum and σ² for a real one, and that of the training mesh if
    its errors are given (`data.mesh_error`). The noise is in S and not in the pairs, so none is fitted. Cost of the
    fit: n (2m)² products and a solve; of an estimate q products a datum.

    Where the unknown has a prior of known moments and the map is linear this is, up to sampling of the pairs,
    ``maxwell.inversion.LinearMMSE``.
    """

    mean: np.ndarray  #: (2m,)
    gain: np.ndarray  #: (2m, q)
    offset: np.ndarray  #: (q,)
    scale: np.ndarray  #: (), root mean square over noise, training pairs and parameters of what it leaves

    @classmethod
    def fit(
        cls,
        observations: np.ndarray,
        standardised: np.ndarray,
        deviation: float,
        errors: np.ndarray | None = None,
    ) -> "LinearEstimate":
        """From training pairs (n, m), (n, q) without noise, for noise of standard deviation σ > 0 a datum.

        errors : of the training mesh, (k, m), as `data.mesh_error` tells them; None for none.
        """
        if not (np.isfinite(deviation) and deviation > 0):
            raise DataError(f"deviation: expected that of noise, a positive number, given {deviation!r}.")
        x = realify(checked("observations", observations, complex))
        y = checked("standardised parameters", standardised, float)
        if len(x) != len(y):
            raise DataError(f"expected as many observations as parameters, given {len(x)} and {len(y)}.")
        mean, offset = x.mean(axis=0), y.mean(axis=0)
        x, y = x - mean, y - offset
        variance = deviation**2 / (2 if np.iscomplexobj(observations) else 1)
        gram = x.T @ x / len(x)
        gram[np.diag_indices_from(gram)] += variance
        other = np.zeros((0, x.shape[1]))
        if errors is not None and len(errors):
            other = realify(checked("errors", errors, complex, x.shape[1] // 2)) / np.sqrt(len(errors))
        gain = np.linalg.solve(gram + other.T @ other, x.T @ y / len(x))
        passed = variance * np.sum(gain**2) + np.sum((other @ gain) ** 2)
        left = np.mean((y - x @ gain) ** 2) + passed / y.shape[1]
        return cls(mean, gain, offset, np.sqrt(left))

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """(n, m) -> (n, q)."""
        x = realify(checked("observations", observations, complex, len(self.mean) // 2))
        return (x - self.mean) @ self.gain + self.offset

    def state(self) -> dict[str, np.ndarray]:
        """Plain arrays from which :meth:`from_state` rebuilds this object."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> "LinearEstimate":
        """The inverse of :meth:`state`."""
        return rebuilt(cls, state)
