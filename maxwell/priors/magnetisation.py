"""Magnetised bodies: uniform blocks, and a few dipoles."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.parametrisations.magnetisation import Dipoles, MagneticCells
from maxwell.priors.base import ROUNDING, Prior, within
from maxwell.priors.blocks import are_blocks

Interval = tuple[float, float]


@dataclass(frozen=True)
class MagnetisedBlocks(Prior):
    """A few boxes of cells, each uniformly magnetised: the unknowns of `MagneticCells`, not Gaussian.

    The number of blocks, the edges of each in cells and its place are uniform among the whole numbers that fit;
    the direction of its magnetisation is uniform on the sphere and the strength uniform.  Where blocks
    overlap, the later one holds.  `contains` takes cells of equal magnetisation for one block: two blocks have the
    same with probability zero.

    blocks : smallest and largest number of blocks.  edge : smallest and largest edge of a block in cells.
    strength : interval of |M| in A/m.  shape : (nx, ny, nz) of the cells.
    """

    blocks: tuple[int, int] = (1, 3)
    edge: tuple[int, int] = (1, 3)
    strength: Interval = (0.5, 2.0)
    shape: tuple[int, int, int] = field(default=(4, 4, 4), kw_only=True)
    kind: Literal["magnetised_blocks"] = field(default="magnetised_blocks", kw_only=True, repr=False)

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self):
        for name in ("blocks", "edge"):
            interval = tuple(getattr(self, name))
            object.__setattr__(self, name, interval)
            if len(interval) != 2 or not 1 <= interval[0] <= interval[1]:
                raise MaxwellError(
                    f"MagnetisedBlocks: {name} is {interval}; expected (low, high) with 1 <= low <= high."
                )
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "strength", _interval("MagnetisedBlocks", "strength", self.strength))
        if self.edge[1] > min(self.shape):
            raise MaxwellError(
                f"MagnetisedBlocks: edge is {self.edge} cells; expected at most {min(self.shape)}, the smallest "
                f"number of cells along an axis of {self.shape}."
            )

    @property
    def unknowns(self) -> int:
        """3·nx·ny·nz."""
        return 3 * int(np.prod(self.shape))

    def check_fits(self, parametrisation) -> None:
        """As in `Prior`: the same cells."""
        if getattr(parametrisation, "shape", None) != self.shape:
            raise MaxwellError(
                f"Magnetisation: the prior draws blocks of {self.shape} cells and the parametrisation is "
                f"{parametrisation!r}; give both the same."
            )

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw `size` unknowns θ in A/m; returns (size, 3·nx·ny·nz) float64."""
        thetas = np.zeros((size, *self.shape, 3))
        for theta in thetas:
            for _ in range(rng.integers(*self.blocks, endpoint=True)):
                edges = rng.integers(*self.edge, size=3, endpoint=True)
                low = rng.integers(0, np.array(self.shape) - edges, endpoint=True)
                box = tuple(slice(a, a + n) for a, n in zip(low, edges, strict=True))
                theta[box] = _vector(rng, self.strength)
        return thetas.reshape(size, -1)

    def _holds(self, thetas):
        fields = thetas.reshape(-1, *self.shape, 3)
        strengths = np.linalg.norm(fields, axis=-1)
        strong = within(strengths, self.strength, ROUNDING) | (strengths == 0)
        shortest, longest = (np.full(3, edge) for edge in self.edge)
        blocks = [are_blocks(field, self.blocks[1], shortest, longest) for field in fields]
        return strong.all(axis=(1, 2, 3)) & np.array(blocks, dtype=bool)


@dataclass(frozen=True)
class MagneticDipoles(Prior):
    """A few dipoles of uniform direction and strength, at places drawn uniformly.

    For `Dipoles` (the default, shape None) the centres lie in |x|, |y|, |z| ≤ reach and the dipoles are sorted by
    x, for otherwise exchanging two would give the same data.  For `MagneticCells` (shape given) `count`
    different cells carry a moment each, M = m / cell volume, and the others none.

    count : number of dipoles, at least 1.  moment : interval of |m| in A m².
    reach : in m, for `Dipoles`: at most 0.5 minus their radius.
    """

    count: int = 1
    moment: Interval = (0.5, 2.0)
    reach: float = 0.3
    shape: tuple[int, int, int] | None = field(default=None, kw_only=True)
    kind: Literal["magnetic_dipoles"] = field(default="magnetic_dipoles", kw_only=True, repr=False)

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self):
        object.__setattr__(self, "moment", _interval("MagneticDipoles", "moment", self.moment))
        if self.shape is not None:
            object.__setattr__(self, "shape", tuple(self.shape))
        most = np.inf if self.shape is None else np.prod(self.shape)
        if isinstance(self.count, bool) or not isinstance(self.count, int) or not 1 <= self.count <= most:
            limit = "" if self.shape is None else f" and at most {most}, the number of cells"
            raise MaxwellError(
                f"MagneticDipoles: count is {self.count!r}; expected a whole number of at least 1{limit}."
            )
        if not 0 <= self.reach < 0.5:
            raise MaxwellError(
                f"MagneticDipoles: reach is {self.reach!r} m; expected it from 0 to below 0.5, half the edge of "
                "the magnetised region."
            )

    @property
    def unknowns(self) -> int:
        """6·count, or 3·nx·ny·nz for cells."""
        return 6 * self.count if self.shape is None else 3 * int(np.prod(self.shape))

    def check_fits(self, parametrisation) -> None:
        """As in `Prior`: the same cells, or the same count of dipoles that stay in D."""
        if isinstance(parametrisation, MagneticCells):
            if self.shape != parametrisation.shape:
                raise MaxwellError(
                    f"Magnetisation: the prior's shape is {self.shape} and the parametrisation "
                    f"{parametrisation!r}; give the prior shape={parametrisation.shape}."
                )
            return
        if (
            not isinstance(parametrisation, Dipoles)
            or self.shape is not None
            or self.count != parametrisation.count
        ):
            raise MaxwellError(
                f"Magnetisation: the prior draws {self.count} dipoles with shape {self.shape} and the "
                f"parametrisation is {parametrisation!r}; expected the same count and no shape."
            )
        if self.reach + parametrisation.radius > 0.5 + 1e-12:
            raise MaxwellError(
                f"Magnetisation: prior.reach is {self.reach} m, and dipoles of radius {parametrisation.radius} m "
                f"would leave the magnetised region; expected at most {0.5 - parametrisation.radius:g}."
            )

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw `size` unknowns θ: (size, 6·count), or (size, 3·nx·ny·nz) in A/m for cells; float64."""
        if self.shape is not None:
            cells = int(np.prod(self.shape))
            thetas = np.zeros((size, cells, 3))
            for theta in thetas:
                # A cell of D, whose volume is 1 m³, has the volume 1/cells.
                for cell in rng.choice(cells, self.count, replace=False):
                    theta[cell] = _vector(rng, self.moment) * cells
            return thetas.reshape(size, -1)
        thetas = np.empty((size, self.count, 6))
        for theta in thetas:
            centres = rng.uniform(-self.reach, self.reach, (self.count, 3))
            theta[:, :3] = centres[np.argsort(centres[:, 0])]
            for dipole in theta:
                dipole[3:] = _vector(rng, self.moment)
        return thetas.reshape(size, -1)

    def _holds(self, thetas):
        if self.shape is not None:
            cells = np.prod(self.shape)
            moments = np.linalg.norm(thetas.reshape(-1, cells, 3), axis=-1) / cells
            rest = moments == 0
            return (within(moments, self.moment, ROUNDING) | rest).all(axis=1) & (
                (~rest).sum(axis=1) == self.count
            )
        dipoles = thetas.reshape(-1, self.count, 6)
        near = within(dipoles[..., :3], (-self.reach, self.reach)).all(axis=(1, 2))
        strong = within(np.linalg.norm(dipoles[..., 3:], axis=-1), self.moment, ROUNDING).all(axis=1)
        return near & strong & (np.diff(dipoles[..., 0], axis=1) >= 0).all(axis=1)


def _interval(owner, name, value):
    interval = tuple(value)
    if len(interval) != 2 or not np.isfinite(interval).all() or not 0 < interval[0] < interval[1]:
        raise MaxwellError(f"{owner}: {name} is {interval}; expected (low, high) with 0 < low < high.")
    return interval


def _vector(rng, strength):
    """A vector of uniform direction, its length uniform in an interval: (3,)."""
    direction = rng.standard_normal(3)
    return direction / np.linalg.norm(direction) * rng.uniform(*strength)
