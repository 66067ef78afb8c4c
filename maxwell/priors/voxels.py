"""Priors of voxels: blocks of constant contrast, and Gaussian fields of Matérn covariance."""

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt
from typing import ClassVar, Literal

import numpy as np
from scipy.spatial.distance import cdist

from maxwell.errors import MaxwellError
from maxwell.parametrisations import Voxels
from maxwell.priors.base import Prior, within
from maxwell.priors.blocks import are_blocks
from maxwell.symmetry import Turn

MATERN = {
    0.5: lambda r: np.exp(-r),
    1.5: lambda r: (1 + sqrt(3) * r) * np.exp(-sqrt(3) * r),
    2.5: lambda r: (1 + sqrt(5) * r + 5 * r**2 / 3) * np.exp(-sqrt(5) * r),
}
"""Matérn correlation of each smoothness ν as a function of distance over correlation length."""


class VoxelPrior(Prior):
    """A prior of the log-contrasts of `voxels`, in their order."""

    voxels: Voxels

    @property
    def unknowns(self) -> int:
        """The number of voxels."""
        return len(self.voxels.parameters)

    def check_fits(self, parametrisation) -> None:
        """As in `Prior`: the same voxels."""
        if parametrisation != self.voxels:
            raise MaxwellError(
                f"The prior draws {self.voxels!r} and the parametrisation is {parametrisation!r}; "
                "give both the same."
            )

    def keeps(self, turn: Turn) -> bool:
        """As in `Prior`: neither distance nor block knows a direction."""
        return True

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw `size` unknowns θ; returns (size, p) float64."""
        draws = [self._draw(rng) for _ in range(size)]
        return np.array(draws).reshape(size, self.unknowns)

    @abstractmethod
    def _draw(self, rng) -> np.ndarray:
        """One θ (p,)."""


@dataclass(frozen=True)
class BlockyPrior(VoxelPrior):
    """A few blocks of constant log-contrast in a background without contrast: sharp edges, far from Gaussian.

    The number of blocks is uniform.  Along each axis independently, a block is 1 to max(1, ⌊extent·n⌋) of
    the n voxels long and lies anywhere inside the box, both uniform.  The size |q| of its log-contrast is
    uniform and its sign is random.  Where blocks overlap, the later one counts.  `contains` takes voxels of equal
    contrast for one block: two blocks have the same with probability zero.

    voxels : what is drawn.
    blocks : least and greatest number of blocks, at least 1.
    extent : longest edge of a block relative to that of the box, in (0, 1].
    contrast : interval of |q|, positive.
    """

    voxels: Voxels = field(default_factory=Voxels)
    blocks: tuple[int, int] = (1, 3)
    extent: float = 0.5
    contrast: tuple[float, float] = (0.5, 2.0)
    kind: Literal["blocky_prior"] = field(default="blocky_prior", kw_only=True, repr=False)

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self):
        for name in ("blocks", "contrast"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        whole = all(isinstance(n, int) and not isinstance(n, bool) for n in self.blocks)
        if len(self.blocks) != 2 or not whole or not 1 <= self.blocks[0] <= self.blocks[1]:
            raise MaxwellError(
                f"BlockyPrior: blocks is {self.blocks}; expected (least, most) whole numbers, 1 <= least <= most."
            )
        if not 0 < self.extent <= 1:
            raise MaxwellError(f"BlockyPrior: extent is {self.extent!r}; expected a number in (0, 1].")
        finite = len(self.contrast) == 2 and np.isfinite(self.contrast).all()
        if not finite or not 0 < self.contrast[0] < self.contrast[1]:
            raise MaxwellError(
                f"BlockyPrior: contrast is {self.contrast}; expected (low, high) with 0 < low < high."
            )

    @property
    def longest(self) -> np.ndarray:
        """Longest edge of a block along each axis, (3,) in voxels."""
        return np.maximum(1, np.floor(self.extent * np.array(self.voxels.shape)).astype(int))

    def _holds(self, thetas):
        fields = thetas.reshape(-1, *self.voxels.shape, 1)
        contrasts = within(np.abs(thetas), self.contrast) | (thetas == 0)
        blocks = [are_blocks(field, self.blocks[1], np.ones(3, dtype=int), self.longest) for field in fields]
        return contrasts.all(axis=1) & np.array(blocks, dtype=bool)

    def _draw(self, rng):
        shape, longest = np.array(self.voxels.shape), self.longest
        theta = np.zeros(shape)
        for _ in range(rng.integers(*self.blocks, endpoint=True)):
            edges = rng.integers(1, longest, endpoint=True)
            corner = rng.integers(0, shape - edges, endpoint=True)
            block = tuple(slice(c, c + e) for c, e in zip(corner, edges, strict=True))
            theta[block] = rng.choice([-1.0, 1.0]) * rng.uniform(*self.contrast)
        return theta.ravel()


@dataclass(frozen=True)
class GaussianField(VoxelPrior):
    """A Gaussian field of Matérn covariance, taken at the centres of the voxels.

        θ ~ N(μ, C),    C_vw = s² k_ν(|x_v − x_w| / ℓ),
        k_½(r) = e^{−r},  k_{3/2}(r) = (1 + √3 r) e^{−√3 r},  k_{5/2}(r) = (1 + √5 r + 5r²/3) e^{−√5 r}

    voxels : what is drawn.
    smoothness : ν, one of 0.5, 1.5, 2.5; the field has ⌈ν⌉ − 1 mean-square derivatives.
    length : ℓ in m, positive.
    deviation : s, standard deviation of the log-contrast of a voxel, positive.
    level : μ, mean log-contrast, the same in every voxel.

    Exact sampling, θ = μ + L z with C = L Lᵀ and z standard normal.  Cost: p³/3 flops and 16 p² bytes once,
    then p² a draw; beyond p of some thousands a spectral method would be better.
    Raises MaxwellError when C is numerically singular (ℓ much longer than a voxel and ν = 2.5).
    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), section 4.2.1.
    """

    voxels: Voxels = field(default_factory=Voxels)
    smoothness: float = 1.5
    length: float = 0.2
    deviation: float = 0.7
    level: float = 0.0
    kind: Literal["gaussian_field"] = field(default="gaussian_field", kw_only=True, repr=False)

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self):
        if self.smoothness not in MATERN:
            raise MaxwellError(
                f"GaussianField: smoothness is {self.smoothness!r}; expected one of {', '.join(map(str, MATERN))}."
            )
        for name, unit in (("length", " in metres"), ("deviation", "")):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise MaxwellError(f"GaussianField: {name} is {value!r}; expected a positive number{unit}.")
        if not np.isfinite(self.level):
            raise MaxwellError(f"GaussianField: level is {self.level!r}; expected a finite number.")

    @property
    def mean(self) -> np.ndarray:
        """μ in every voxel: (p,)."""
        return np.full(len(self.voxels.parameters), float(self.level))

    @property
    def covariance(self) -> np.ndarray:
        """C (p, p), symmetric positive definite."""
        centres = self.voxels.centres
        return self.deviation**2 * MATERN[self.smoothness](cdist(centres, centres) / self.length)

    @cached_property
    def _factor(self) -> np.ndarray:
        try:
            return np.linalg.cholesky(self.covariance)
        except np.linalg.LinAlgError:
            raise MaxwellError(
                f"GaussianField: a field of length {self.length} m and smoothness {self.smoothness} is so smooth "
                f"on {self.voxels!r} that its covariance is singular in double precision; take a shorter length, "
                "a lower smoothness or larger voxels."
            ) from None

    def _holds(self, thetas):
        return np.ones(len(thetas), dtype=bool)  # every finite field has a density

    def _draw(self, rng):
        return self.level + self._factor @ rng.standard_normal(len(self._factor))
