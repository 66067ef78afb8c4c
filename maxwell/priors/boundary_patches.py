"""Localised patches of a tangential field on a face: a prior that is not Gaussian."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.priors.base import ROUNDING, Prior
from maxwell.reference.cauchy import FaceModes

Interval = tuple[float, float]


@dataclass(frozen=True)
class BoundaryPatchPrior(Prior):
    """Coefficients θ_k = ∫ g·e_k of a few Gaussian patches on the face (0, 1 m)², in its TE and TM modes.

        g(x) = Σ_b A_b e^{iφ_b} (cos α_b, sin α_b) exp(−|x − c_b|² / 2s_b²),    b = 1 … count

    Independent and uniform: the count over patches[0] … patches[1], the centre c over centre² (m), the
    deviation s (m), the amplitude A (V/m), the phase φ and the direction α of polarisation.  A uniform phase
    makes θ circular (E θ = 0, E θθᵀ = 0); a random place makes it far from Gaussian: given the place, the
    modes interfere to a spot, which no covariance knows.

    modes : p.  The modes beyond are cut off: with the defaults 40 modes hold 92 % of E‖g‖².

    `contains` knows what θ must obey, not what suffices, for the support is a curved set of few dimensions:

        Σ_k |θ_k|² ≤ ∫|g|² ≤ π (n A s)²    at the largest count n, amplitude A and deviation s  (Bessel).

    Cost of a sample: two integrals a patch and wavenumber, by Gauss-Legendre with enough nodes for rounding
    error (the patch and the modes are products of functions of x and of y).
    """

    patches: tuple[int, int] = (1, 3)
    centre: Interval = (0.25, 0.75)
    deviation: Interval = (0.06, 0.14)
    amplitude: Interval = (0.5, 2.0)
    modes: int = field(default=40, kw_only=True)
    kind: Literal["boundary_patch_prior"] = field(default="boundary_patch_prior", kw_only=True, repr=False)

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    _complex: ClassVar = True

    def __post_init__(self):
        for name in ("patches", "centre", "deviation", "amplitude"):
            interval = tuple(getattr(self, name))
            object.__setattr__(self, name, interval)
            if len(interval) != 2 or not np.isfinite(interval).all() or interval[0] > interval[1]:
                raise MaxwellError(
                    f"BoundaryPatchPrior: {name} is {interval}; expected (low, high) with low <= high."
                )
        if not all(type(count) is int and count >= 1 for count in self.patches):
            raise MaxwellError(
                f"BoundaryPatchPrior: patches is {self.patches}; expected whole numbers of at least 1."
            )
        if self.centre[0] < 0 or self.centre[1] > 1:
            raise MaxwellError(
                f"BoundaryPatchPrior: centre is {self.centre} m; expected it in the face (0, 1 m)."
            )
        if self.deviation[0] < 0.005:
            raise MaxwellError(
                f"BoundaryPatchPrior: deviation is {self.deviation} m; expected at least 0.005 m, below which "
                "the modes see a point."
            )
        if self.amplitude[0] <= 0:
            raise MaxwellError(
                f"BoundaryPatchPrior: amplitude is {self.amplitude} V/m; expected positive bounds."
            )
        if type(self.modes) is not int or not 1 <= self.modes <= 1000:
            raise MaxwellError(
                f"BoundaryPatchPrior: modes is {self.modes!r}; expected a whole number from 1 to 1000."
            )

    @property
    def unknowns(self) -> int:
        """`modes`."""
        return self.modes

    def check_fits(self, parametrisation) -> None:
        """As in `Prior`: as many modes of the face."""
        if parametrisation != FaceModes(self.modes):
            raise MaxwellError(
                f"The prior draws {FaceModes(self.modes)!r} and the parametrisation is {parametrisation!r}; "
                "give both the same."
            )

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw `size` unknowns θ in V; returns (size, modes) complex128."""
        drawn = [self.draw(rng) for _ in range(size)]
        thetas = [self.coefficients(*patches) for patches in drawn]
        return np.array(thetas, dtype=np.complex128).reshape(size, self.modes)

    def _holds(self, thetas):
        largest = np.sqrt(np.pi) * self.patches[1] * self.amplitude[1] * self.deviation[1]
        return np.linalg.norm(thetas, axis=1) <= largest * (1 + ROUNDING)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The patches of one sample: centres (k, 2) in m, deviations (k,) in m, vectors (k, 2) in V/m."""
        count = rng.integers(self.patches[0], self.patches[1], endpoint=True)
        centres = rng.uniform(*self.centre, (count, 2))
        deviations = rng.uniform(*self.deviation, count)
        amplitude, phase = rng.uniform(*self.amplitude, count), rng.uniform(0, 2 * np.pi, count)
        angle = rng.uniform(0, np.pi, count)
        vectors = amplitude * np.exp(1j * phase) * np.stack([np.cos(angle), np.sin(angle)])
        return centres, deviations, vectors.T

    def coefficients(self, centres, deviations, vectors) -> np.ndarray:
        """θ_k = ∫ g·e_k in V over the face, (modes,) complex128, of the patches that `draw` describes."""
        basis = FaceModes(self.modes)
        top = int(max(basis.m.max(), basis.n.max()))
        # A rule of q nodes has gaps of at most π/2q: four to a deviation and two to a half-wave suffice by far.
        x, weights, cosines, sines = _rule(int(np.log2(6 / np.min(deviations) + 4 * top)) + 1, top)
        bumps = np.exp(-((x - centres[..., None]) ** 2) / (2 * deviations[:, None, None] ** 2)) * weights
        cosine, sine = bumps @ cosines, bumps @ sines  # (k, 2, top + 1)
        a, b = basis.amplitudes.T
        along_x = a * cosine[:, 0, basis.m] * sine[:, 1, basis.n]
        along_y = b * sine[:, 0, basis.m] * cosine[:, 1, basis.n]
        return np.einsum("ki,ikm->m", vectors, np.stack([along_x, along_y]))


@lru_cache(maxsize=8)
def _rule(level: int, top: int) -> tuple[np.ndarray, ...]:
    """Gauss-Legendre points and weights of 2^level nodes on (0, 1), and cos mπx and sin mπx (nodes, top + 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(2**level)
    x = (nodes + 1) / 2
    phase = np.pi * np.arange(top + 1) * x[:, None]
    return x, weights / 2, np.cos(phase), np.sin(phase)
