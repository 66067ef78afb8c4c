"""Linearised Tikhonov inversion: one step from an expansion point, no iteration."""

from dataclasses import dataclass

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.forward import ForwardMap
from maxwell.numbers import array_of, is_real


@dataclass(frozen=True)
class _Expansion:
    point: np.ndarray  # θ_0 (p,)
    value: np.ndarray  # F(θ_0), real and imaginary parts stacked (2m,)
    low: np.ndarray  # smallest and largest value of each unknown in the branch (p,)
    high: np.ndarray
    deviation: np.ndarray  # standard deviation of each unknown about θ_0 (p,)
    left: np.ndarray  # U (2m, r) of J Γ^{1/2} = U S Vᵀ
    values: np.ndarray  # S (r,)
    right: np.ndarray  # Vᵀ (r, p)


class LinearisedTikhonov:
    """Tikhonov inversion of the forward map linearised about the mean of each branch of the unknown.

    With θ = θ_0 + Γ^{1/2} z, Γ the diagonal of variances about θ_0, and λ = α s_1² (s_1 the largest singular
    value of J Γ^{1/2} over the branches), each branch gives

        z = argmin ‖d − F(θ_0) − J Γ^{1/2} z‖² + λ ‖z‖²,

    and the estimate is that of the branch with the smallest objective.  A branch is a part of the unknown's
    space in which one expansion point makes sense (for balls: a pattern of signs of the contrasts).

    Source: Hansen, Rank-Deficient and Discrete Ill-Posed Problems (1998), chapter 5.
    Not for strongly nonlinear problems: the linearisation error, not the noise, is then what remains.

    forward : the map, discretised as for training.
    samples (n, p) : draws of the unknown, from which θ_0 and Γ are taken.
    branches (n,) : number of the branch of each sample.
    bounded : move an estimate into the box that the branch's samples span; a linearised map sends large data
        far outside it.
    Cost: one linearisation and one SVD of (2m, p) a branch; an estimate is a few products.
    """

    def __init__(
        self, forward: ForwardMap, samples: np.ndarray, branches: np.ndarray, *, bounded: bool = True
    ):
        self._bounded = bounded
        self._expansions = []
        for branch in np.unique(branches):
            members = samples[branches == branch]
            if len(members) < 2:
                raise MaxwellError(
                    f"LinearisedTikhonov: branch {branch} has {len(members)} sample; expected at least 2 "
                    "to estimate a mean and a variance: give more samples."
                )
            point, deviation = members.mean(axis=0), members.std(axis=0)
            value, jacobian = forward.linearise(point)
            scaled = _real(jacobian.T).T * deviation
            left, values, right = np.linalg.svd(scaled, full_matrices=False)
            low, high = members.min(axis=0), members.max(axis=0)
            self._expansions.append(
                _Expansion(point, _real(value), low, high, deviation, left, values, right)
            )
        self._scale = max(expansion.values[0] for expansion in self._expansions)

    def estimate(self, observations: np.ndarray, strength: float) -> np.ndarray:
        """θ for observations (n, m) complex and a dimensionless regularisation α > 0: (n, p)."""
        if not (is_real(strength) and strength > 0):
            raise MaxwellError(f"LinearisedTikhonov: strength is {strength!r}; expected a positive number.")
        data = _real(array_of(observations, "observations"))
        size = len(self._expansions[0].value)
        if data.ndim != 2 or data.shape[1] != size:
            raise MaxwellError(
                f"observations have shape {np.shape(observations)}; expected (n, {size // 2}), a row a sample."
            )
        weight = strength * self._scale**2
        estimates, objectives = [], []
        for e in self._expansions:
            misfit = data - e.value
            along = misfit @ e.left  # (n, r)
            z = along * (e.values / (e.values**2 + weight))
            objectives.append(
                np.sum(misfit**2, axis=1) - np.sum(along**2 * (e.values**2 / (e.values**2 + weight)), axis=1)
            )
            estimate = e.point + (z @ e.right) * e.deviation
            estimates.append(np.clip(estimate, e.low, e.high) if self._bounded else estimate)
        best = np.argmin(objectives, axis=0)
        return np.stack(estimates)[best, np.arange(len(data))]


def _real(values):
    """Real and imaginary parts side by side along the last axis."""
    return np.concatenate([values.real, values.imag], axis=-1)
