"""How much a Markov chain says: effective samples, and agreement of chains from different starts."""

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.numbers import array_of


def effective_samples(states) -> np.ndarray:
    """Independent draws that would estimate each mean as well as the chain does, (p,), for states (n, p).

        n / (1 + 2 Σ_{t≥1} ρ_t)

    with the autocorrelations ρ summed by Geyer's initial monotone sequence: pairs Γ_k = γ_{2k} + γ_{2k+1} of
    autocovariances are positive and fall for a reversible chain; where the estimate breaks that, noise begins.
    1 for a component that never moved.  Cost O(n log n).

    Source: Geyer, Statist. Sci. 7 (1992) 473, section 3.3.  Not for a chain that has not left its start: what it
    has not seen it does not miss; `potential_scale` of several chains tells.
    """
    states = _chains(states, 2, "effective_samples", "(n, p)")
    return np.array([len(column) / _time(column) for column in states.T])


def _time(column):
    """1 + 2 Σ ρ_t of one component (n,)."""
    size = len(column)
    centred = column - column.mean()
    if not np.any(centred):
        return size
    transform = np.fft.rfft(centred, 2 * size)
    covariance = np.fft.irfft(np.abs(transform) ** 2)[:size] / size
    pairs = covariance[: size - size % 2].reshape(-1, 2).sum(axis=1)
    if (pairs <= 0).any():
        pairs = pairs[: np.argmax(pairs <= 0)]
    total = 2 * np.minimum.accumulate(pairs).sum() / covariance[0] - 1 if len(pairs) else 1.0
    # At least 1/log10 n: alternating chains may beat independent draws, but not by what noise makes of it.
    return max(total, 1 / max(np.log10(size), 1.0))


def potential_scale(chains) -> np.ndarray:
    """R̂ of each component, (p,), for chains (c, n, p): near 1 if all halves of all chains tell the same.

    With W the mean variance within the 2c halves and B/n the variance of their means, each half of n states,

        R̂² = ((n − 1)/n · W + B/n) / W.

    1 where nothing moves, inf where the halves stand still in different places.
    Source: Gelman et al., Bayesian Data Analysis (2013), section 11.4 (split chains).
    """
    chains = _chains(chains, 3, "potential_scale", "(c, n, p)")
    half = chains.shape[1] // 2
    halves = np.concatenate([chains[:, :half], chains[:, -half:]])
    within = halves.var(axis=1, ddof=1).mean(axis=0)
    between = halves.mean(axis=1).var(axis=0, ddof=1)
    total = (half - 1) / half * within + between
    still = np.where(total > 0, np.inf, 1.0)
    return np.sqrt(np.divide(total, within, out=still, where=within > 0))


def _chains(states, dimensions, what, shape):
    states = array_of(states, f"{what}: states").astype(float)
    if states.ndim != dimensions or states.shape[-2] < 4 or not np.isfinite(states).all():
        raise MaxwellError(
            f"{what}: states have shape {states.shape}; expected {shape} of finite numbers, n at least 4."
        )
    return states
