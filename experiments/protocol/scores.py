"""How wrong an estimate is: per sample, per group of unknowns, per singular direction, and in the data."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from experiments.protocol.known import Known
from maxwell import AccuracyError, MaxwellError, inversion


@dataclass(frozen=True, eq=False)
class Ruler:
    """The norm in which errors of one problem are measured, from the training samples.

        e = Σ_k w_k |θ̂_k − θ_k|² / Σ_k w_k Var θ_k,

    so that √mean e is 1 for the prior mean under the prior of training, up to sampling.  w_k = 1 where all unknowns
    have one unit (components of a field: e is its relative squared error), else 1/Var θ_k.

    mean (p,), variance (p,) : of the unknown under the prior.  weights (p,).  groups (p,) : the group of each.
    """

    mean: np.ndarray
    variance: np.ndarray
    weights: np.ndarray
    groups: tuple[str, ...]

    @classmethod
    def of(cls, known: Known) -> "Ruler":
        """The ruler of a data set; the same for all its levels of noise."""
        theta = known.dataset.split("train").parameters
        variance = theta.var(axis=0)
        one_unit = len(set(known.train.units)) == 1
        weights = np.ones_like(variance) if one_unit else 1 / variance
        return cls(theta.mean(axis=0), variance, weights, tuple(p.group for p in known.problem.parameters))

    @cached_property
    def total(self) -> float:
        """Σ_k w_k Var θ_k."""
        return float(np.sum(self.weights * self.variance))

    @property
    def field(self) -> bool:
        """Whether the unknowns are components of one field."""
        return bool((self.weights == 1).all())

    def squared(self, estimates: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """e of each sample, (n,), from (n, p) and (n, p)."""
        return (np.abs(estimates - truth) ** 2) @ self.weights / self.total

    def by_group(self, estimates: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
        """Squared error of each group, (n,) each, in the square of its unit: Σ over the group of |θ̂ − θ|²."""
        squares = np.abs(estimates - truth) ** 2
        return {
            group: squares[:, [k for k, g in enumerate(self.groups) if g == group]].sum(axis=1)
            for group in dict.fromkeys(self.groups)
        }


@dataclass(frozen=True, eq=False)
class Directions:
    """Singular directions of the forward map, linearised at the prior mean, in whitened unknowns.

    With θ = θ_0 + Γ^{1/2} z and J Γ^{1/2} = U S Vᴴ the component of an error along direction i is
    ⟨v_i, Γ^{-1/2}(θ̂ − θ)⟩ in standard deviations of the prior: 1 in the mean square for the prior mean, and
    1/(1 + s_i²/σ²) at best under a Gaussian prior and a linear map.

    values (r,) : s_i for noise of unit deviation.  rows (r, p) : Vᴴ Γ^{-1/2}.
    """

    values: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, known: Known) -> "Directions":
        """Those of a problem: one linearisation and a singular value decomposition."""
        system = inversion.WhitenedSystem(known.forward, 1.0, known.gaussian)
        return cls(system.values, np.linalg.pinv(system.basis))

    def squared(self, estimates: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Squared component of each error along each direction, (n, r)."""
        return np.abs((estimates - truth) @ self.rows.T) ** 2

    def best(self, deviation: float) -> np.ndarray:
        """The mean square that linear theory allows at this noise, (r,)."""
        return 1 / (1 + (self.values / deviation) ** 2)


def misfit(forward: Any, estimates: np.ndarray, observations: np.ndarray, deviation: float) -> np.ndarray:
    """RMS of (d − F(θ̂))/σ, (n,), by solving for the estimates; NaN where the map refuses one."""
    found = np.full(len(estimates), np.nan)
    for row, (theta, observed) in enumerate(zip(estimates, observations, strict=True)):
        try:
            found[row] = np.sqrt(np.mean(np.abs(observed - forward(theta)) ** 2)) / deviation
        except (MaxwellError, AccuracyError):
            continue  # an estimate that is no unknown of the problem has no data
    return found
