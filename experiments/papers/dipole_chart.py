"""Coordinates of one ball in which its posterior is hardly bent: centre, radius, dipole moment.

    η = (c, R, M),    M = R³ g(q),    g(q) = (e^q − 1)/(e^q + 2)

Data tell M well and R and q apart badly, so over (R, q) the posterior lies along a curve of equal M; over (R, M)
it is straight, and a random walk with one covariance suits all of it.
"""

import numpy as np


def polarisability(contrast: np.ndarray) -> np.ndarray:
    """g(q), between −1/2 and 1."""
    return np.expm1(contrast) / (np.exp(contrast) + 2)


def moment(thetas: np.ndarray) -> np.ndarray:
    """M of one ball, (…, 5) → (…): its dipole moment in a static field, up to a factor.

    Scattered data are proportional to it for small balls, and it spans two decades over the prior.
    """
    return thetas[..., 3] ** 3 * polarisability(thetas[..., 4])


def coordinates(thetas: np.ndarray) -> np.ndarray:
    """η of θ, (…, 5) → (…, 5)."""
    return np.concatenate([thetas[..., :4], moment(thetas)[..., None]], axis=-1)


def ball(etas: np.ndarray) -> np.ndarray:
    """θ of η, (…, 5) → (…, 5): q = log((1 + 2g)/(1 − g)), g = M/R³; NaN where no contrast gives such a moment."""
    share = etas[..., 4] / etas[..., 3] ** 3
    possible = (share > -0.5) & (share < 1)
    safe = np.where(possible, share, 0.0)
    contrast = np.where(possible, np.log((1 + 2 * safe) / (1 - safe)), np.nan)
    return np.concatenate([etas[..., :4], contrast[..., None]], axis=-1)


def slope(theta: np.ndarray) -> np.ndarray:
    """∂η/∂θ at θ (5,): (5, 5)."""
    matrix, radius, exponential = np.eye(5), theta[3], np.exp(theta[4])
    matrix[4, 3] = 3 * radius**2 * polarisability(theta[4])
    matrix[4, 4] = radius**3 * 3 * exponential / (exponential + 2) ** 2
    return matrix


def log_volume(theta: np.ndarray) -> float:
    """log |det ∂θ/∂η| at θ: what a log-density over θ gains as one over η."""
    exponential = np.exp(theta[4])
    return float(-np.log(3 * theta[3] ** 3 * exponential / (exponential + 2) ** 2))
