"""Metropolis-Hastings on a density known up to a factor, and delayed acceptance behind an approximation of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.numbers import array_of, is_real, is_whole

LogDensity = Callable[[np.ndarray], float]
"""θ (p,) ↦ log π(θ) up to a constant; −inf where π is zero."""

Proposal = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""(θ, generator) ↦ ψ, symmetric: ψ is as likely from θ as θ from ψ."""


@dataclass(frozen=True, eq=False)
class RandomWalk:
    """ψ = θ + L z with z standard normal.

    root (p, r) : L.
    """

    root: np.ndarray

    @classmethod
    def of(cls, covariance, scale: float | None = None) -> "RandomWalk":
        """L Lᵀ = scale² · covariance (p, p), of full rank.

        scale : 2.38/√p by default, best for a Gaussian of this covariance (Roberts, Gelman, Gilks, Ann. Appl.
            Probab. 7 (1997) 110: about a quarter of the proposals is accepted).
        """
        covariance = array_of(covariance, "RandomWalk: covariance")
        if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
            raise MaxwellError(f"RandomWalk: covariance has shape {covariance.shape}; expected (p, p).")
        if scale is not None and not (is_real(scale) and scale > 0):
            raise MaxwellError(f"RandomWalk: scale is {scale!r}; expected a positive number.")
        deviation = np.sqrt(np.abs(np.diag(covariance)))
        try:  # on correlations, since unknowns of different units differ by orders of magnitude
            factor = np.linalg.cholesky(covariance / np.outer(deviation, deviation))
        except (np.linalg.LinAlgError, FloatingPointError):
            factor = np.full_like(covariance, np.nan, dtype=float)
        if not np.isfinite(factor).all():
            raise MaxwellError("RandomWalk: covariance is not positive definite; give one of full rank.")
        size = 2.38 / np.sqrt(len(covariance)) if scale is None else scale
        return cls(size * deviation[:, None] * factor)

    def __call__(self, theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw ψ."""
        return theta + self.root @ rng.standard_normal(self.root.shape[1])


@dataclass(frozen=True, eq=False)
class Chain:
    """States of a Markov chain, and what they cost.

    states (n, p) : after each step.
    proposed : candidates that were put to the exact density.  accepted : of these.
    exact, approximate : evaluations of either density, the start included.
    seconds : of this process's time (all threads), which other processes do not lengthen.
    """

    states: np.ndarray
    proposed: int
    accepted: int
    exact: int
    approximate: int
    seconds: float

    @property
    def acceptance(self) -> float:
        """Share of the candidates that the exact density accepts; 0 without any."""
        return self.accepted / max(self.proposed, 1)


def metropolis(
    log_density: LogDensity, start, proposal: Proposal, steps: int, rng: np.random.Generator
) -> Chain:
    """A chain that leaves π invariant: from θ to ψ with probability min(1, π(ψ)/π(θ)), or stay.

    Cost: one evaluation a step.  Source: Metropolis et al., J. Chem. Phys. 21 (1953) 1087.
    Raises MaxwellError for a start where π is zero, and where the log-density is NaN.
    """
    theta, began = _start(start, steps), time.process_time()
    value = _value(log_density, theta, "log-density", start=True)
    states, accepted = np.empty((steps, theta.size)), 0
    for step in range(steps):
        theta, value, moved = _metropolis_step(log_density, theta, value, proposal, rng)
        accepted += moved
        states[step] = theta
    return Chain(states, steps, accepted, steps + 1, 0, time.process_time() - began)


def delayed_acceptance(
    log_density: LogDensity,
    approximate: LogDensity,
    start,
    proposal: Proposal,
    steps: int,
    rng: np.random.Generator,
    *,
    inner: int = 1,
) -> Chain:
    """A chain that leaves π invariant, whatever the approximation π*: a bad one costs time and no exactness.

    From θ, `inner` Metropolis steps on π* lead to ψ, which is then accepted with probability

        min(1, π(ψ) π*(θ) / (π(θ) π*(ψ))).

    These steps are reversible for π*, K(θ, ψ) π*(θ) = K(ψ, θ) π*(ψ), so this is Metropolis-Hastings with K as the
    proposal.  One inner step is delayed acceptance (Christen, Fox, J. Comput. Graph. Statist. 14 (2005) 795),
    more are the surrogate transition method (Liu, Monte Carlo Strategies in Scientific Computing (2001), 9.4.3):
    candidates far away, at one exact evaluation.  Where no inner step moves, none is spent.

    π* must not vanish where π does not, or the chain misses those places.  Not for a π* whose log differs from
    log π by much more than 1 over the bulk of π: few candidates pass.

    inner : steps on π* for one on π, at least 1.  Raises MaxwellError as `metropolis` does, for either density.
    """
    if not (is_whole(inner) and inner >= 1):
        raise MaxwellError(f"delayed_acceptance: inner is {inner!r}; expected a whole number of at least 1.")
    theta, began = _start(start, steps), time.process_time()
    value = _value(log_density, theta, "log-density", start=True)
    cheap = _value(approximate, theta, "approximate log-density", start=True)
    states, proposed, accepted = np.empty((steps, theta.size)), 0, 0
    for step in range(steps):
        psi, cheap_there, moved = theta, cheap, False
        for _ in range(inner):
            psi, cheap_there, by = _metropolis_step(approximate, psi, cheap_there, proposal, rng)
            moved |= by
        if moved:
            there, proposed = _value(log_density, psi, "log-density"), proposed + 1
            if np.log(rng.random()) < (there - value) + (cheap - cheap_there):
                theta, value, cheap, accepted = psi, there, cheap_there, accepted + 1
        states[step] = theta
    seconds = time.process_time() - began
    return Chain(states, proposed, accepted, proposed + 1, steps * inner + 1, seconds)


def _metropolis_step(log_density, theta, value, proposal, rng):
    """The next state, its log-density, and whether it is another one."""
    psi = proposal(theta, rng)
    there = _value(log_density, psi, "log-density")
    if np.log(rng.random()) < there - value:
        return psi, there, True
    return theta, value, False


def _start(start, steps):
    theta = array_of(start, "start").astype(float)
    if theta.ndim != 1 or not np.isfinite(theta).all():
        raise MaxwellError(f"start has shape {theta.shape}; expected (p,), finite numbers.")
    if not (is_whole(steps) and steps >= 1):
        raise MaxwellError(f"steps is {steps!r}; expected a whole number of at least 1.")
    return theta


def _value(log_density, theta, what, start=False):
    value = float(log_density(theta))
    if np.isnan(value) or value == np.inf:
        raise MaxwellError(f"the {what} is {value} at {theta}; expected a finite number, or −inf.")
    if start and value == -np.inf:
        raise MaxwellError(f"the {what} is −inf at the start {theta}; start where the density is positive.")
    return value
