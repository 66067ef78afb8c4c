"""Voxels: the unknown of many numbers and no shape."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.parametrisations.base import Parameter, Parametrisation
from maxwell.symmetry import Rearrangement, Turn, places_of

Point = tuple[float, float, float]

NEAR = 1e-9
"""Distance to a plane, as a share of a voxel, within which its side is found by comparison."""


@dataclass(frozen=True)
class Voxels(Parametrisation):
    """Piecewise constant m on a regular grid of half-open voxels in a box, and m = 0 outside.

        m(x) = Σ_v θ_v 1_v(x),      v = (i, j, k),      1_v = indicator of Π_a [plane_a,v, plane_a,v+1)

    θ (nx·ny·nz,) : log-contrasts, dimensionless, in C order of (nx, ny, nz): z runs fastest.  Every point
    of the box belongs to exactly one voxel, so m is linear in θ and the derivative is exact.

    nx, ny, nz : voxels along each axis, at least 1.
    low, high : corners of the box in m, inside (0, 1 m)³.

    m jumps across `planes`: a mesh whose faces lie there integrates it exactly, another one does not.
    Cost: O(points · log n); `linearise` is dense, O(points · p), so take `slopes` for large p.
    Not for one compact body: its few numbers (`Balls`) are far better determined than its voxels.
    """

    nx: int = 4
    ny: int = 4
    nz: int = 4
    low: Point = (0.2, 0.2, 0.4)
    high: Point = (0.8, 0.8, 0.9)
    kind: Literal["voxels"] = field(default="voxels", kw_only=True, repr=False)

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self):
        for name in ("nx", "ny", "nz"):
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise MaxwellError(f"Voxels: {name} is {count!r}; expected a whole number of at least 1.")
        for name in ("low", "high"):
            object.__setattr__(self, name, tuple(float(c) for c in getattr(self, name)))
        corners = [self.low, self.high]
        if {len(corner) for corner in corners} != {3} or not all(
            0 < a < b < 1 for a, b in zip(*corners, strict=True)
        ):
            raise MaxwellError(
                f"Voxels: the box runs from {self.low} to {self.high} m; expected two corners (x, y, z) with "
                "0 < low < high < 1 along each axis."
            )

    def moved(self, turn: Turn) -> Rearrangement | None:
        """Voxels change places, if the grid comes to lie on itself."""
        edges = [np.linspace(a, b, n + 1) for a, b, n in zip(self.low, self.high, self.shape, strict=True)]
        centres, sizes = (
            np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, 3)
            for along in ([(e[1:] + e[:-1]) / 2 for e in edges], [np.diff(e) for e in edges])
        )
        turned = np.hstack([turn.points(centres), np.abs(turn.vectors(sizes))])
        places = places_of(np.hstack([centres, sizes]), turned)
        return None if places is None else Rearrangement.of(places)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(nx, ny, nz): θ.reshape(shape)[i, j, k] is the voxel i along x, j along y, k along z."""
        return self.nx, self.ny, self.nz

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Names m_i_j_k, counted from 1, of θ in order."""
        return tuple(
            Parameter("m_" + "_".join(str(n + 1) for n in voxel), "", "log-contrast")
            for voxel in np.ndindex(self.shape)
        )

    @property
    def region(self) -> np.ndarray:
        """Lower and upper corner of the voxels' box, (2, 3) in m."""
        return np.array([self.low, self.high])

    @property
    def planes(self) -> tuple[tuple[float, ...], ...]:
        """The n + 1 boundaries of the voxels along each axis, in m."""
        return tuple(tuple(plane.tolist()) for plane in self._planes())

    @property
    def centres(self) -> np.ndarray:
        """Centres of the voxels in the order of θ: (p, 3) in m."""
        middle = [(plane[1:] + plane[:-1]) / 2 for plane in self._planes()]
        return np.stack(np.meshgrid(*middle, indexing="ij"), axis=-1).reshape(-1, 3)

    def support(self, theta) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner, each (1, 3) in m, of the box of all voxels, whatever θ."""
        self.check(theta)
        return self.region[:1], self.region[1:]

    def evaluate(self, theta, x) -> np.ndarray:
        """m at points x (..., 3) in m; returns (...)."""
        return self.at(x)(theta)

    def at(self, x) -> Callable[[np.ndarray], np.ndarray]:
        """As in `Parametrisation`: the voxel of each point is found once."""
        voxel = self.voxel(x)
        return lambda theta: np.append(self.check(theta), 0.0)[voxel]  # the last one stands for −1, outside

    def linearise(self, theta, x) -> tuple[np.ndarray, np.ndarray]:
        """m (...) and ∂m/∂θ (p, ...), the indicators of the voxels, at points x (..., 3) in m."""
        indicators = self.voxel(x) == np.arange(np.prod(self.shape)).reshape(-1, *[1] * (np.ndim(x) - 1))
        return self.evaluate(theta, x), indicators.astype(np.float64)

    def slopes(self, theta, x) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """As in `Parametrisation`: the points of each voxel, and ones.  O(points · log points) in all."""
        self.check(theta)
        voxel = self.voxel(x).ravel()
        order = np.argsort(voxel, kind="stable")
        ends = np.searchsorted(voxel[order], np.arange(np.prod(self.shape) + 1))
        for begin, end in pairwise(ends):
            yield order[begin:end], np.ones(end - begin)

    def reaches(self, theta, x) -> np.ndarray:
        """As in `Parametrisation`: every point of the box."""
        self.check(theta)
        return self.voxel(x) >= 0

    def voxel(self, x) -> np.ndarray:
        """Index into θ of the voxel that holds each point of x (..., 3) in m, −1 outside: (...) int64."""
        index, outside = 0, False
        for a, (planes, n) in enumerate(zip(self._planes(), self.shape, strict=True)):
            along = _interval(planes, x[..., a])
            outside = outside | (along < 0) | (along >= n)
            index = index * n + along
        return np.where(outside, -1, index)

    def _planes(self):
        return [np.linspace(*ends, n + 1) for *ends, n in zip(self.low, self.high, self.shape, strict=True)]


def _interval(planes, x):
    """searchsorted(planes, x, "right") − 1 for equidistant planes: by arithmetic but for points near a plane."""
    position = (x - planes[0]) * ((len(planes) - 1) / (planes[-1] - planes[0]))
    with np.errstate(invalid="ignore"):  # NaN and infinity are "close", and left to searchsorted
        close = ~(np.abs(position - np.rint(position)) >= NEAR)
        index = np.asarray(np.floor(position), dtype=np.int64)
    if close.any():
        index[close] = np.searchsorted(planes, x[close], side="right") - 1
    return index
