"""Magnetisations: uniform cells, linear in θ, and smooth compact dipoles, nonlinear in their positions."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import ClassVar, Literal

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.parametrisations.base import Parameter, Parametrisation

MAGNETISED_REGION = np.array([[-0.5, -0.5, -0.5], [0.5, 0.5, 0.5]])
"""Lower and upper corner in m of D, outside which nothing is magnetised."""


class Magnetised(Parametrisation):
    """How p real numbers θ describe the magnetisation M(x; θ) in A/m, a vector field supported in D.

    The laws of `Parametrisation` hold with a last axis for the components of M.
    """

    @abstractmethod
    def evaluate(self, theta, x) -> np.ndarray:
        """M in A/m at points x (..., 3) in m; returns (..., 3)."""

    @abstractmethod
    def linearise(self, theta, x) -> tuple[np.ndarray, np.ndarray]:
        """M (..., 3) and ∂M/∂θ (p, ..., 3) at points x (..., 3) in m."""

    @property
    def region(self) -> np.ndarray:
        """Lower and upper corner (2, 3) of D in m."""
        return MAGNETISED_REGION.copy()

    def slopes(self, theta, x) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """As in `Parametrisation`, with values (n, 3)."""
        for slope in self.linearise(theta, x)[1]:
            flat = slope.reshape(-1, 3)
            where = np.flatnonzero(flat.any(axis=1))
            yield where, flat[where]


@dataclass(frozen=True)
class MagneticCells(Magnetised):
    """Uniform magnetisation in each of nx × ny × nz equal cells of D = (−0.5, 0.5 m)³.

        M(x; θ) = Σ_c 1_c(x) Σ_j θ_{3c+j} e_j,    c = (i_x ny + i_y) nz + i_z

    θ in A/m, cell by cell (z fastest) and within a cell by component.  A cell holds its lower faces but
    not its upper ones, so every point belongs to one cell at most.

    Cost: O(points) a value; `linearise` fills an array of 3·nx·ny·nz · points · 3 numbers.
    """

    nx: int = 4
    ny: int = 4
    nz: int = 4
    kind: Literal["magnetic_cells"] = field(default="magnetic_cells", kw_only=True, repr=False)

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self):
        for name in ("nx", "ny", "nz"):
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise MaxwellError(
                    f"MagneticCells: {name} is {count!r}; expected a whole number of at least 1."
                )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(nx, ny, nz)."""
        return self.nx, self.ny, self.nz

    @property
    def volume(self) -> float:
        """Volume of a cell in m³."""
        return float(np.prod(np.diff(MAGNETISED_REGION, axis=0)) / np.prod(self.shape))

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Mx, My, Mz of each cell, named by its indices."""
        cells = product(*map(range, self.shape))
        return tuple(
            Parameter(f"M{axis}[{i},{j},{k}]", "A/m", "magnetisation") for i, j, k in cells for axis in "xyz"
        )

    @property
    def planes(self) -> tuple[tuple[float, ...], ...]:
        """Faces of the cells along each axis, those of D among them."""
        low, high = MAGNETISED_REGION
        return tuple(tuple(np.linspace(low[a], high[a], n + 1).tolist()) for a, n in enumerate(self.shape))

    def support(self, theta) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corners of D, each (1, 3) in m."""
        self.check(theta)
        return MAGNETISED_REGION[:1].copy(), MAGNETISED_REGION[1:].copy()

    def locate(self, x) -> np.ndarray:
        """Number c of the cell of each point x (..., 3) in m, −1 outside D: (...)."""
        low, high = MAGNETISED_REGION
        index = np.floor((np.asarray(x) - low) / (high - low) * self.shape).astype(int)
        inside = ((index >= 0) & (index < self.shape)).all(axis=-1)
        _, ny, nz = self.shape
        number = (index[..., 0] * ny + index[..., 1]) * nz + index[..., 2]
        return np.where(inside, number, -1)

    def evaluate(self, theta, x) -> np.ndarray:
        """M in A/m at points x (..., 3) in m; returns (..., 3)."""
        cells = np.append(self.check(theta).reshape(-1, 3), np.zeros((1, 3)), axis=0)
        return cells[self.locate(x)]

    def linearise(self, theta, x) -> tuple[np.ndarray, np.ndarray]:
        """M (..., 3) and ∂M/∂θ (p, ..., 3) at points x (..., 3) in m."""
        inside = self.locate(x) == np.arange(np.prod(self.shape)).reshape(-1, *[1] * (np.ndim(x) - 1))
        slopes = inside[:, None, ..., None] * np.eye(3).reshape(1, 3, *[1] * (np.ndim(x) - 1), 3)
        return self.evaluate(theta, x), slopes.reshape(-1, *np.shape(x))


@dataclass(frozen=True)
class Dipoles(Magnetised):
    """Smooth compact dipoles: balls of radius R with total moment m.

        M(x; θ) = Σ_b m_b β(|x − x_b|),    β(r) = 315/(64π R³) (1 − r²/R²)³ for r < R, else 0,    ∫β = 1

    θ = (x, y, z, mx, my, mz) for each dipole in turn: centre (m) and moment (A m²).  β is C², so M has a C¹
    derivative in θ.  Being spherically symmetric, a blob has the field of the point dipole m_b outside itself.

    count : number of dipoles, at least 1.  radius : R in m, positive; every blob must lie in D.
    Cost: O(points · count).
    """

    count: int = 1
    radius: float = 0.2
    kind: Literal["dipoles"] = field(default="dipoles", kw_only=True, repr=False)

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self):
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise MaxwellError(f"Dipoles: count is {self.count!r}; expected a whole number of at least 1.")
        if not 0 < self.radius <= 0.5:
            raise MaxwellError(
                f"Dipoles: radius is {self.radius!r} m; expected it positive and at most 0.5, to fit into "
                "(-0.5, 0.5 m)^3."
            )

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Names, units and groups (position, moment) of θ, in order."""
        dipole = {"x": ("m", "position"), "y": ("m", "position"), "z": ("m", "position")}
        dipole |= {f"m{axis}": ("A m^2", "moment") for axis in "xyz"}
        return tuple(
            Parameter(f"{n}{b + 1}", *about) for b in range(self.count) for n, about in dipole.items()
        )

    def check(self, theta) -> np.ndarray:
        """As in `Parametrisation`; every blob must lie in D too."""
        theta = super().check(theta)
        centres = theta.reshape(self.count, 6)[:, :3]
        low, high = MAGNETISED_REGION
        outside = ((centres - self.radius < low) | (centres + self.radius > high)).any(axis=1)
        if outside.any():
            b = int(np.flatnonzero(outside)[0])
            raise MaxwellError(
                f"{self!r}: dipole {b + 1} of radius {self.radius} m at {centres[b].round(3).tolist()} m leaves "
                "the magnetised region (-0.5, 0.5 m)^3; move it inside or make it smaller."
            )
        return theta

    @property
    def planes(self) -> tuple[tuple[float, ...], ...]:
        """Faces of D along each axis."""
        return (tuple(MAGNETISED_REGION[:, 0].tolist()),) * 3

    def support(self, theta) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corners, each (count, 3) in m, of boxes around the blobs."""
        centres = self.check(theta).reshape(self.count, 6)[:, :3]
        return centres - self.radius, centres + self.radius

    def evaluate(self, theta, x) -> np.ndarray:
        """M in A/m at points x (..., 3) in m; returns (..., 3)."""
        dipoles = self.check(theta).reshape(self.count, 6)
        return sum(self._blob(x - d[:3])[0][..., None] * d[3:] for d in dipoles)

    def linearise(self, theta, x) -> tuple[np.ndarray, np.ndarray]:
        """M (..., 3) and ∂M/∂θ (6·count, ..., 3) at points x (..., 3) in m."""
        dipoles = self.check(theta).reshape(self.count, 6)
        value = np.zeros(np.shape(x))
        slopes = np.zeros((self.count, 6, *np.shape(x)))
        for b, dipole in enumerate(dipoles):
            centre, moment = dipole[:3], dipole[3:]
            blob, slope = self._blob(x - centre)
            value += blob[..., None] * moment
            for j in range(3):
                slopes[b, j] = slope[..., j, None] * moment
                slopes[b, 3 + j, ..., j] = blob
        return value, slopes.reshape(-1, *np.shape(x))

    def _blob(self, offset):
        """β (...) in 1/m³ and ∂β/∂x_b (..., 3), at offsets x − x_b."""
        scale = 315 / (64 * np.pi * self.radius**3)
        t = np.clip(1 - np.sum(offset**2, axis=-1) / self.radius**2, 0.0, None)
        return scale * t**3, (6 * scale / self.radius**2 * t**2)[..., None] * offset
