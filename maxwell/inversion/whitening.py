"""The two spaces in which every classical method works: unknowns of unit covariance, data of unit noise."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.numbers import array_of, is_whole

RANK = 1e-12
"""Eigenvalues of a covariance below this part of the largest one count as zero."""


class Sampler(Protocol):
    """A prior: anything that draws unknowns."""

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """`size` draws of θ, (size, p)."""


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean θ_0 (p,) and covariance Γ = E (θ − θ_0)(θ − θ_0)ᴴ (p, p) of the unknown, in its units.

    A complex unknown is taken as circular: E (θ − θ_0)(θ − θ_0)ᵀ = 0.  Γ may be singular: then θ stays in
    θ_0 + range Γ.  `low` and `high` (p,), both or neither, bound a real unknown.
    """

    mean: np.ndarray
    covariance: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    def __post_init__(self):
        mean = array_of(self.mean, "Gaussian: mean")
        covariance = array_of(self.covariance, "Gaussian: covariance")
        if mean.ndim != 1 or covariance.shape != (mean.size, mean.size):
            raise MaxwellError(
                f"Gaussian: mean has shape {mean.shape} and covariance {covariance.shape}; "
                "expected (p,) and (p, p)."
            )
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise MaxwellError(
                "Gaussian: mean or covariance has entries that are not finite; check the samples."
            )
        scale = np.abs(covariance).max(initial=0.0)
        if np.abs(covariance - covariance.conj().T).max(initial=0.0) > 1e-10 * scale:
            raise MaxwellError("Gaussian: covariance is not Hermitian; expected E (θ − θ_0)(θ − θ_0)ᴴ.")
        values = np.linalg.eigvalsh(covariance)
        if not values.max(initial=0.0) > 0 or values.min() < -1e-10 * values.max():
            raise MaxwellError(
                f"Gaussian: covariance has eigenvalues from {values.min(initial=0.0):.3g} to "
                f"{values.max(initial=0.0):.3g}; expected them not negative and not all zero."
            )
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "covariance", covariance)

    @classmethod
    def of(
        cls, prior: "Gaussian | Sampler", samples: int = 2000, seed: int | np.random.Generator = 0
    ) -> "Gaussian":
        """Moments and range of `samples` draws of a prior; a Gaussian is returned as it is.

        The range is widened by a tenth of its width on each side, for the draws do not reach the ends.
        """
        return prior if isinstance(prior, Gaussian) else cls.from_samples(draw(prior, samples, seed))

    @classmethod
    def from_samples(cls, samples: np.ndarray) -> "Gaussian":
        """Moments and widened range of samples (n, p), n at least 2."""
        samples = np.asarray(samples)
        if samples.ndim != 2 or len(samples) < 2:
            raise MaxwellError(
                f"Gaussian: samples have shape {samples.shape}; expected (n, p), n at least 2."
            )
        mean = samples.mean(axis=0)
        centred = samples - mean
        covariance = centred.T @ centred.conj() / (len(samples) - 1)
        if np.iscomplexobj(samples):
            return cls(mean, covariance)
        low, high = samples.min(axis=0), samples.max(axis=0)
        margin = 0.1 * (high - low)
        return cls(mean, covariance, low - margin, high + margin)

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draws (size, p), moved into the bounds if there are any."""
        root = self.root()
        z = rng.standard_normal((size, root.shape[1]))
        if np.iscomplexobj(self.mean) or np.iscomplexobj(root):
            z = (z + 1j * rng.standard_normal(z.shape)) / np.sqrt(2)
        draws = self.mean + z @ root.T
        return draws if self.low is None else np.clip(draws, self.low, self.high)

    def root(self) -> np.ndarray:
        """L (p, r) with L Lᴴ = Γ and r the rank of Γ: θ = θ_0 + L z has covariance Γ for z of unit covariance."""
        # Unknowns of different units differ by orders of magnitude, so the rank is judged on correlations.
        scale = np.sqrt(np.diag(self.covariance).real)
        safe = np.where(scale > 0, scale, 1.0)
        values, vectors = np.linalg.eigh(self.covariance / np.outer(safe, safe))
        keep = values > RANK * values[-1]
        return scale[:, None] * vectors[:, keep] * np.sqrt(values[keep])


def draw(prior: Sampler, samples: int, seed: int | np.random.Generator) -> np.ndarray:
    """`samples` draws of a prior, (samples, p)."""
    if not callable(getattr(prior, "sample", None)):
        raise MaxwellError(
            f"prior is {prior!r}; expected an object with sample(rng, size) or a maxwell.inversion.Gaussian."
        )
    if not (is_whole(samples) and samples >= 1):
        raise MaxwellError(
            f"samples is {samples!r}; expected a whole number of at least 1, of draws from the prior."
        )
    try:
        rng = np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise MaxwellError(
            f"seed is {seed!r}; expected a whole number of at least 0 or a numpy Generator."
        ) from None
    return np.asarray(prior.sample(rng, samples))


@dataclass(frozen=True, eq=False)
class DataSpace:
    """Data of unit noise.

    noise (m,) : standard deviation of each datum.  Of real data it is √E n², of complex data √E |n|² with
        independent real and imaginary parts of variance noise²/2 each.
    stacked : complex data of a real unknown, kept as real and imaginary parts side by side.
    """

    noise: np.ndarray
    stacked: bool

    @classmethod
    def of(cls, noise, data: np.ndarray, unknown: np.ndarray) -> "DataSpace":
        """For data and an unknown of the kind (real or complex) of these two."""
        noise = array_of(noise, "noise")
        if (
            noise.shape not in ((), data.shape)
            or np.iscomplexobj(noise)
            or not (np.isfinite(noise).all() and (noise > 0).all())
        ):
            raise MaxwellError(
                f"noise is {np.array2string(noise, threshold=6)}; expected a positive standard deviation in the "
                f"unit of the data, one number or one for each of the {data.size} data."
            )
        if np.iscomplexobj(unknown) and not np.iscomplexobj(data):
            raise MaxwellError(
                "the unknown is complex and the data are real; pass the unknown as real numbers."
            )
        stacked = np.iscomplexobj(data) and not np.iscomplexobj(unknown)
        return cls(np.broadcast_to(noise.astype(float), data.shape), stacked)

    @property
    def size(self) -> int:
        """N, the number of whitened data, each of unit variance."""
        return self.noise.size * (2 if self.stacked else 1)

    def whiten(self, values: np.ndarray) -> np.ndarray:
        """values (..., m) over noise: (..., N)."""
        values = values / self.noise
        if self.stacked:
            return np.sqrt(2) * np.concatenate([values.real, values.imag], axis=-1)
        return values


def check_observation(observation, data: np.ndarray) -> np.ndarray:
    """The observation as finite numbers of the shape and kind of `data`, or one sentence."""
    observation = array_of(observation, "observation")
    if observation.shape != data.shape:
        raise MaxwellError(
            f"observation has shape {observation.shape}; the forward map gives {data.shape}: "
            "pass the data of one sample, on the survey of this map."
        )
    if not np.isfinite(observation).all():
        raise MaxwellError(
            "observation has entries that are not finite numbers; leave out or repair those data."
        )
    if np.iscomplexobj(observation) and not np.iscomplexobj(data):
        raise MaxwellError(
            "observation is complex and the data of the forward map are real; pass its real part."
        )
    return observation


def rms(residual: np.ndarray) -> float:
    """Root mean square of whitened residuals (N,)."""
    return float(np.linalg.norm(residual) / np.sqrt(residual.size))
