"""Between physics and networks: complex observations to real features, parameters to unit scale.

This is the one place where complex becomes real. Everything here is fitted on the training split alone,
which the caller passes, and stored with the model as plain arrays (``state``, ``from_state``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

from data.errors import DataError

BLOCK = 8192
"""Rows that are worked on at one time."""

LEAST = 1e-5
"""Least ratio of singular values that are found from products of the data with themselves."""


def realify(observations: np.ndarray) -> np.ndarray:
    """(n, m) complex -> (n, 2m) real, ``[Re, Im]``: an isometry for the inner product Re⟨·,·⟩."""
    return np.concatenate([observations.real, observations.imag], axis=1)


def complexify(features: np.ndarray) -> np.ndarray:
    """The inverse of :func:`realify`."""
    real, imaginary = np.split(features, 2, axis=1)
    return real + 1j * imaginary


def blocks(count: int) -> Iterator[slice]:
    """Slices that cover so many rows, in order: what is done to each in turn needs the memory of one."""
    return (slice(begin, min(begin + BLOCK, count)) for begin in range(0, count, BLOCK))


def soften(features: np.ndarray) -> np.ndarray:
    """(n, k) -> (n, k): each row shortened to asinh of its size, its direction kept.

    z ↦ z · asinh(r)/r with r = ‖z‖/√k, so that rows of ordinary size (r ≲ 1, when the features have unit
    variance) hardly change and large ones count by their logarithm. Scattered data are nearly proportional
    to contrast times volume and spread over decades; where the anomaly is stands in their direction.
    """
    features = checked("features", features, float)
    size = np.linalg.norm(features, axis=1, keepdims=True) / np.sqrt(features.shape[1])
    return features * np.divide(np.arcsinh(size), size, out=np.ones_like(size), where=size > 0)


def harden(features: np.ndarray) -> np.ndarray:
    """The inverse of :func:`soften`: z ↦ z · sinh(r)/r."""
    features = checked("features", features, float)
    size = np.linalg.norm(features, axis=1, keepdims=True) / np.sqrt(features.shape[1])
    return features * np.divide(np.sinh(size), size, out=np.ones_like(size), where=size > 0)


@dataclass(frozen=True, eq=False)
class Compression:
    """Observations (n, m) complex -> k real features of zero mean, unit variance and no correlation.

    ::

        z = (realify(d) − mean) · directions / scale

    with orthonormal ``directions``: the leading right singular vectors of the centred training data, which
    are their principal components. Fitting costs matrix products of O(n m²) operations for few components that
    stand out of rounding, else one SVD, several times as long; memory beyond the data for ``BLOCK`` rows.

    Not for weights on data of very different noise: every component is scaled to unit variance, so those
    beyond the noise level are mostly noise; keep no more components than rise above it.
    """

    mean: np.ndarray  #: (2m,)
    directions: np.ndarray  #: (2m, k), orthonormal columns
    scale: np.ndarray  #: (k,), standard deviation of each component over the training samples
    total: np.ndarray  #: (), variance of the training data, all components together

    @classmethod
    def fit(cls, observations: np.ndarray, components: int) -> "Compression":
        """From training observations (n, m); ``components`` is k, at most the rank of the centred data."""
        observations = checked("observations", observations, complex)
        if components < 1:
            raise DataError(f"components: expected at least 1, given {components}.")
        count, mean = len(observations), realify(observations.mean(axis=0)[None])[0]
        singular, directions, total = _leading(observations, mean, components) or _all(
            observations, mean, components
        )
        peak = directions[np.abs(directions).argmax(axis=0), np.arange(components)]
        directions = directions * np.sign(peak)  # an SVD leaves the signs open
        return cls(mean, directions, singular[:components] / np.sqrt(count), np.asarray(total / count))

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """(n, m) complex -> (n, k) float64."""
        observations = checked("observations", observations, complex, len(self.mean) // 2)
        features = np.empty((len(observations), len(self.scale)))
        for rows in blocks(len(observations)):
            features[rows] = (realify(observations[rows]) - self.mean) @ self.directions / self.scale
        return features

    def inverse(self, features: np.ndarray) -> np.ndarray:
        """(n, k) -> (n, m) complex: the observations nearest to the originals that k components allow."""
        features = checked("features", features, float, len(self.scale))
        return complexify(features * self.scale @ self.directions.T + self.mean)

    @property
    def components(self) -> int:
        """Number k of features."""
        return len(self.scale)

    @property
    def explained(self) -> np.ndarray:
        """(k,), the share of the training variance in each component; the sum is what compression keeps."""
        return self.scale**2 / self.total

    def state(self) -> dict[str, np.ndarray]:
        """Plain arrays from which :meth:`from_state` rebuilds this object."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> "Compression":
        """The inverse of :meth:`state`."""
        return rebuilt(cls, state)


def _leading(
    observations: np.ndarray, mean: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, float] | None:
    """(singular values, directions (2m, k), Σ X²) of the centred data X, by XᵀX; None where that is too rough.

    Leading eigenvectors of XᵀX are the subspace, and the singular values of X restricted to it are as exact as
    those of X.  XᵀX squares the condition: singular values below `LEAST` of the largest are not trusted.  Dense,
    for a symmetric experiment has pairs of equal eigenvalues, of which an iteration from one vector may miss one.
    """
    from scipy.linalg import eigh

    if count > len(mean) // 4:
        return None
    gram, total = np.zeros((len(mean), len(mean))), 0.0
    for rows in blocks(len(observations)):
        part = realify(observations[rows]) - mean
        gram += part.T @ part
    total = float(np.trace(gram))
    values, space = eigh(gram, subset_by_index=[len(mean) - count, len(mean) - 1])
    if not values.min() > LEAST**2 * values.max():
        return None
    space = np.linalg.qr(space)[0]
    factor = np.zeros((0, count))
    for rows in blocks(len(observations)):
        part = (realify(observations[rows]) - mean) @ space
        factor = np.linalg.qr(np.concatenate([factor, part]), mode="r")
    _, singular, right = np.linalg.svd(factor, full_matrices=False)
    return (singular, space @ right.T, total) if len(singular) == count else None


def _all(observations: np.ndarray, mean: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The same by an SVD of a triangular factor of X; DataError where X has a smaller rank."""
    factor, total = _factor(observations, mean)
    _, singular, right = np.linalg.svd(factor, full_matrices=False)
    rank = int(np.sum(singular > max(len(observations), len(mean)) * np.finfo(float).eps * singular[0]))
    if count > rank:
        raise DataError(
            f"components: {len(observations)} observations span {rank} independent directions, given "
            f"{count}; ask for no more than there are."
        )
    return singular, right[:count].T, total


def _factor(observations: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, float]:
    """R with RᵀR = XᵀX for the centred data X (n, 2m), at most 2m + `BLOCK` rows of it, and Σ X²."""
    factor, total = np.zeros((0, len(mean))), 0.0
    for rows in blocks(len(observations)):
        part = realify(observations[rows]) - mean
        total += np.sum(part**2)
        factor = np.concatenate([factor, part]) if len(factor) else part
        if len(factor) > factor.shape[1]:
            factor = np.linalg.qr(factor, mode="r")  # the same singular values and directions
    return factor, total


@dataclass(frozen=True, eq=False)
class Normalise:
    """Observations (n, m) complex -> 2m real features that keep their places, for nets that use the order.

    ::

        z = (arranged(d) − mean) / scale

    with one ``scale`` for all entries, so that white noise stays white. ``steps`` divides the m columns into
    as many equal runs, such as the receivers of one source each; a row is arranged as ``steps`` blocks of
    [Re, Im] of one run. With one step that is :func:`realify`: all real parts, then all imaginary ones.

    Not for data whose useful part is hidden in few directions: that is what :class:`Compression` finds.
    """

    mean: np.ndarray  #: (2m,), in the arrangement of the features
    scale: np.ndarray  #: (), root mean square of the centred training data over all entries
    steps: np.ndarray  #: (), a whole number

    @classmethod
    def fit(cls, observations: np.ndarray, steps: int = 1) -> "Normalise":
        """From training observations (n, m); ``steps`` divides m."""
        observations = checked("observations", observations, complex)
        if steps < 1 or observations.shape[1] % steps:
            raise DataError(
                f"steps: expected a divisor of the {observations.shape[1]} observations of a sample, given "
                f"{steps}."
            )
        data = _arranged(observations, steps)
        mean = data.mean(axis=0)
        scale = np.sqrt(np.mean((data - mean) ** 2))
        if scale <= np.finfo(float).eps * np.abs(mean).max():
            raise DataError(f"observations: all {len(data)} samples are the same; fit on samples that vary.")
        return cls(mean, scale, np.asarray(float(steps)))

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """(n, m) complex -> (n, 2m) float64."""
        data = checked("observations", observations, complex, len(self.mean) // 2)
        return (_arranged(data, int(self.steps)) - self.mean) / self.scale

    def inverse(self, features: np.ndarray) -> np.ndarray:
        """(n, 2m) -> (n, m) complex."""
        data = checked("features", features, float, len(self.mean)) * self.scale + self.mean
        real, imaginary = np.moveaxis(data.reshape(len(data), int(self.steps), 2, -1), 2, 0)
        return (real + 1j * imaginary).reshape(len(data), -1)

    @property
    def components(self) -> int:
        """Number 2m of features."""
        return len(self.mean)

    def state(self) -> dict[str, np.ndarray]:
        """Plain arrays from which :meth:`from_state` rebuilds this object."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> "Normalise":
        """The inverse of :meth:`state`."""
        return rebuilt(cls, state)


@dataclass(frozen=True, eq=False)
class Standardise:
    """Parameters (n, p) -> (n, q) real, of zero mean and unit variance over the training samples.

    q = p for real parameters; complex ones become [Re, Im], q = 2p, and come back complex.

    With one ``common`` scale the mean of the variances is 1 instead of each: squared errors of the result are those
    of the parameters in their own unit, so that a network attends to what is large. For components of one field
    (modes, cells), of which many may be small and out of reach; not for parameters of different units.
    """

    mean: np.ndarray  #: (q,)
    scale: np.ndarray  #: (q,)
    pairs: np.ndarray = field(default_factory=lambda: np.zeros(()))  #: (), 1 where the parameters are complex

    @classmethod
    def fit(cls, parameters: np.ndarray, *, common: bool = False) -> "Standardise":
        """From training parameters (n, p)."""
        pairs = np.iscomplexobj(parameters)
        parameters = checked("parameters", parameters, complex if pairs else float)
        parameters = realify(parameters) if pairs else parameters
        mean, scale = parameters.mean(axis=0), parameters.std(axis=0)
        if common:
            scale = np.full_like(scale, np.sqrt(np.mean(scale**2)))
        constant = np.flatnonzero(scale <= np.finfo(float).eps * np.abs(mean))
        if constant.size:
            raise DataError(
                f"parameters: column {constant[0]} is the same in all {len(parameters)} samples; fit on "
                "samples that vary."
            )
        return cls(mean, scale, np.asarray(float(pairs)))

    def __call__(self, parameters: np.ndarray) -> np.ndarray:
        """(n, p) in their units -> (n, q) of unit scale."""
        parameters = checked("parameters", parameters, complex if self.pairs else float, self.parameters)
        return ((realify(parameters) if self.pairs else parameters) - self.mean) / self.scale

    def inverse(self, standardised: np.ndarray) -> np.ndarray:
        """(n, q) of unit scale -> (n, p) in their units."""
        values = checked("standardised parameters", standardised, float, len(self.mean))
        values = values * self.scale + self.mean
        return complexify(values) if self.pairs else values

    @property
    def components(self) -> int:
        """Number q of real numbers."""
        return len(self.mean)

    @property
    def parameters(self) -> int:
        """Number p of parameters."""
        return len(self.mean) // (2 if self.pairs else 1)

    def state(self) -> dict[str, np.ndarray]:
        """Plain arrays from which :meth:`from_state` rebuilds this object."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> "Standardise":
        """The inverse of :meth:`state`; one written before there were complex parameters is of real ones."""
        return rebuilt(cls, {"pairs": np.zeros(()), **state})


def _arranged(observations: np.ndarray, steps: int) -> np.ndarray:
    """(n, m) complex -> (n, 2m): ``steps`` blocks, each the real parts of a run, then its imaginary parts."""
    runs = observations.reshape(len(observations), steps, -1)
    return np.stack([runs.real, runs.imag], axis=2).reshape(len(observations), -1)


def checked(what: str, values: np.ndarray, dtype: type, width: int | None = None) -> np.ndarray:
    """A finite table of numbers, a row a sample, of the width expected; DataError says what it is not."""
    if dtype is float and np.iscomplexobj(values):
        raise DataError(
            f"{what}: are complex, expected real numbers; give realify(...) of them and complexify the results."
        )
    values = np.asarray(values, dtype=dtype)
    if values.ndim != 2 or not len(values):
        raise DataError(
            f"{what}: expected a table with a row a sample, given an array of shape {values.shape}."
        )
    if width is not None and values.shape[1] != width:
        raise DataError(
            f"{what}: expected {width} columns, as in the training data, given {values.shape[1]}."
        )
    finite = np.isfinite(values)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise DataError(
            f"{what}: the entry in row {row}, column {column} is {values[row, column]}, not a finite number; "
            "remove that sample or generate it again."
        )
    return values


def rebuilt(cls, state: Mapping[str, np.ndarray]):
    """A transform from its arrays; DataError if they are others."""
    names = list(cls.__dataclass_fields__)
    if sorted(state) != sorted(names):
        raise DataError(
            f"{cls.__name__}: expected the arrays {', '.join(names)}, given {', '.join(sorted(state))}."
        )
    return cls(**{name: np.array(state[name], dtype=float) for name in names})
