"""How strong a penalty: rules that choose among candidates, shared by every filter.

A rule sees, for each candidate from the strongest penalty to the weakest, ‖r‖², ‖z‖ and the effective number
of parameters Σφ_i, in whitened variables, where the noise has unit variance.

Source: Hansen, Rank-Deficient and Discrete Ill-Posed Problems (1998), chapter 7.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.numbers import is_real


@dataclass(frozen=True, eq=False)
class Candidates:
    """penalties, squares ‖r‖², norms ‖z‖, parameters Σφ_i, each (k,); size N of the data, unknowns: that of z."""

    penalties: np.ndarray
    squares: np.ndarray
    norms: np.ndarray
    parameters: np.ndarray
    size: int
    unknowns: int


@dataclass(frozen=True)
class Choice:
    """Number of the chosen candidate, why, and a warning where the rule found nothing."""

    index: int
    reason: str
    note: str | None = None


class Rule(ABC):
    """A rule of choice: candidates in, choice out."""

    def penalties(self, grid: np.ndarray) -> np.ndarray:
        """Penalties to try, given the grid that suits the problem."""
        return grid

    @abstractmethod
    def choose(self, candidates: Candidates) -> Choice:
        """The candidate to take."""


@dataclass(frozen=True)
class Fixed(Rule):
    """A penalty that the caller knows: λ ≥ 0, or the number of components kept."""

    value: float

    def __post_init__(self):
        if not (is_real(self.value) and self.value >= 0):
            raise MaxwellError(f"Fixed: value is {self.value!r}; expected a finite penalty of at least 0.")

    def penalties(self, grid: np.ndarray) -> np.ndarray:
        """The value alone."""
        return np.array([self.value])

    def choose(self, candidates: Candidates) -> Choice:
        """The only candidate."""
        return Choice(0, f"penalty {self.value:g} given by the caller")


@dataclass(frozen=True)
class Discrepancy(Rule):
    """Morozov's principle: the strongest penalty with ‖r‖² ≤ safety² N, so that the noise is not fitted.

    Expects the noise level to be right.  Where no candidate gets there (model error, or noise understated)
    it says so and takes GCV's penalty, which needs no noise level, or a stronger one until the estimate is one
    that the prior expects, ‖z‖² ≤ E‖z‖² = r: model error is no white noise, and GCV alone would fit it.
    """

    safety: float = 1.0

    def __post_init__(self):
        if not (is_real(self.safety) and self.safety > 0):
            raise MaxwellError(
                f"Discrepancy: safety is {self.safety!r}; expected a positive number, about 1."
            )

    def choose(self, candidates: Candidates) -> Choice:
        """First candidate that fits to the noise level."""
        misfits = np.sqrt(candidates.squares / candidates.size)
        fits = misfits <= self.safety
        if fits.any():
            index = int(np.argmax(fits))
            return Choice(
                index, f"strongest penalty with misfit at most {self.safety:g}: {misfits[index]:.4g}"
            )
        note = (
            f"no penalty reaches misfit {self.safety:g}: the smallest is {misfits.min():.4g}, so the noise is "
            "understated or the map is wrong."
        )
        other, plausible = GCV().choose(candidates), candidates.norms <= np.sqrt(candidates.unknowns)
        if plausible[other.index] or not plausible.any():
            return Choice(other.index, other.reason, note)
        index = int(np.flatnonzero(plausible)[-1])
        return Choice(
            index,
            f"weakest penalty that the prior finds plausible, |z| = {candidates.norms[index]:.3g}",
            note,
        )


@dataclass(frozen=True)
class GCV(Rule):
    """Generalised cross-validation: the minimum of N ‖r‖² / (N − ρ Σφ_i)²; needs no noise level.

    ρ = 1 is the original, which for N of some tens now and then fits the noise (its score is then small by
    chance where hardly any data are left over); ρ = 1.4 prevents that and costs little elsewhere.
    Not for correlated noise.

    Sources: Golub, Heath, Wahba, Technometrics 21 (1979) 215; ρ: Kim, Gu, J. R. Stat. Soc. B 66 (2004) 337.
    """

    inflation: float = 1.4

    def __post_init__(self):
        if not (is_real(self.inflation) and self.inflation >= 1):
            raise MaxwellError(f"GCV: inflation is {self.inflation!r}; expected a number from 1 to about 2.")

    def choose(self, candidates: Candidates) -> Choice:
        """Minimum of the score over candidates that leave data over."""
        left = candidates.size - self.inflation * candidates.parameters
        usable = left > 1e-6 * candidates.size
        if not usable.any():
            return Choice(0, "strongest penalty", "GCV: every candidate uses up all data.")
        score = np.full(left.shape, np.inf)
        score[usable] = candidates.size * candidates.squares[usable] / left[usable] ** 2
        index = int(np.argmin(score))
        return Choice(index, f"minimum of GCV: {score[index]:.4g}")


@dataclass(frozen=True)
class LCurve(Rule):
    """The corner of (log ‖r‖, log ‖z‖), by the triangle of each two candidates with the weakest one.

    Needs no noise level; a heuristic without a limit theorem: with vanishing noise it regularises too much.

    Source: Castellanos, Gómez, Guerra, Appl. Numer. Math. 43 (2002) 359.
    """

    def choose(self, candidates: Candidates) -> Choice:
        """The sharpest convex corner."""
        usable = np.flatnonzero((candidates.norms > 0) & (candidates.squares > 0))
        x = 0.5 * np.log(candidates.squares[usable])
        y = np.log(candidates.norms[usable])
        if len(x) >= 3:
            # Triangle P_j P_k P_n with j < k < n: P_k counts if the curve turns right, from left to up.
            back = np.stack([x[:, None] - x[None, :], y[:, None] - y[None, :]])  # P_j − P_k at [:, j, k]
            on = np.stack([x[-1] - x, y[-1] - y])[:, None, :]  # P_n − P_k
            lengths = np.linalg.norm(back, axis=0) * np.linalg.norm(on, axis=0)
            cosine = np.sum(back * on, axis=0) / np.maximum(lengths, np.finfo(float).tiny)
            convex = on[0] * back[1] - on[1] * back[0] < 0
            order = np.triu(np.ones_like(cosine, dtype=bool), 1)
            order[:, -1] = False
            cosine = np.where(convex & order & (lengths > 0), cosine, -1.0)
            best = int(np.argmax(cosine.max(axis=0)))
            if cosine[:, best].max() > np.cos(7 * np.pi / 8):
                return Choice(int(usable[best]), "corner of the L-curve")
        other = GCV().choose(candidates)
        return Choice(other.index, other.reason, "the L-curve has no corner; GCV chose instead.")
