"""Errors of estimates."""

import numpy as np


def squared_error(estimates: np.ndarray, truth: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Squared error of each sample in units of the prior: (…, n) from estimates (…, n, p) and truth (n, p).

    e_i = mean_k ((θ̂_ik − θ_ik)/s_k)² with s the standard deviation over the training split, so that √mean(e) is 1
    for the prior mean, up to sampling.
    """
    return np.mean(((estimates - truth) / scale) ** 2, axis=-1)


def group_errors(estimates: np.ndarray, truth: np.ndarray, groups: list[str]) -> dict[str, float]:
    """Root-mean-square error of each group of parameters, in the group's unit.

    groups (p,) : the group of each parameter, such as centre, centre, centre, radius, contrast.  Neighbours of
    one group form a vector (a centre), whose length counts; a group that returns later (a second ball) adds
    one more vector to the mean.
    """
    result = {}
    for group in dict.fromkeys(groups):
        columns = [k for k, g in enumerate(groups) if g == group]
        squares = np.sum((estimates[..., columns] - truth[:, columns]) ** 2, axis=-1)
        result[group] = float(np.sqrt(squares.mean() / _repeats(groups, group)))
    return result


def _repeats(groups, group):
    """How many separate stretches of a group there are."""
    return sum(g == group and (k == 0 or groups[k - 1] != group) for k, g in enumerate(groups))


def percent(value: float) -> str:
    """A fraction in whole per cent, zero without a sign."""
    return f"{round(100 * value) + 0:.0f} %".replace("-", "−")
