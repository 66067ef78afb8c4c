"""Bounds of errors: van Trees' for any estimate under a Gaussian prior, Cramér and Rao's for unbiased ones."""

import numpy as np

from experiments.protocol.known import Answers, Known
from experiments.protocol.scores import Ruler
from maxwell import inversion

CRAMER_RAO = "Cramér-Rao bound"
"""What the bound of unbiased estimates alone is called; all others hold for every estimate."""


def fisher(known: Known, theta: np.ndarray, deviation: float) -> np.ndarray:
    """Information of one observation about real unknowns θ (p,): JᵀJ in whitened data, (p, p).

    Complex data of deviation σ are two real ones of σ/√2 each.
    """
    value, jacobian = known.forward.linearise(theta)
    white = inversion.DataSpace.of(deviation, value, theta).whiten(jacobian.T).T
    return white.T @ white


def cramer_rao(known: Known, thetas: np.ndarray, deviation: float) -> np.ndarray:
    """Least variance of each unknown for an unbiased estimator at each θ: diag F⁻¹, (n, p).

    Where the noise is so strong that the prior tells more than the data, a biased estimator does better: read it
    with the prior's own variance.  Source: Kay, Fundamentals of Statistical Signal Processing I (1993), chapter 3.
    """
    return np.array([np.diag(np.linalg.pinv(fisher(known, theta, deviation))) for theta in thetas])


def van_trees(known: Known, thetas: np.ndarray, deviation: float) -> np.ndarray:
    """Least mean-square error of each unknown for any estimator under a Gaussian prior: diag (E F + Γ⁻¹)⁻¹, (p,).

    The mean is over `thetas`, draws of the prior.  Equality for a linear map.
    Source: van Trees, Detection, Estimation and Modulation Theory I (1968), section 2.4.3.
    """
    mean = np.mean([fisher(known, theta, deviation) for theta in thetas], axis=0)
    return np.diag(np.linalg.inv(mean + np.linalg.inv(known.gaussian.covariance)))


def bound(known: Known, ruler: Ruler, thetas: np.ndarray, deviation: float) -> tuple[str, np.ndarray] | None:
    """Name and (n, p) least squared errors at the truths (n, p); None where neither bound applies.

    A Gaussian prior has van Trees' bound, unknowns of several units (balls, told by few numbers) that of Cramér
    and Rao.  For other fields E[θ | d] is the bound: `maxwell.inversion.posterior_mean`.
    """
    if np.iscomplexobj(thetas):
        return None
    if hasattr(known.problem.prior, "covariance"):
        return "van Trees' bound", np.broadcast_to(van_trees(known, thetas, deviation), thetas.shape)
    if not ruler.field:
        return CRAMER_RAO, cramer_rao(known, thetas, deviation)
    return None


def as_answers(truth: np.ndarray, least: np.ndarray) -> Answers:
    """Estimates that err by just the bound, so that a bound is scored like a method."""
    return Answers(truth + np.sqrt(least), np.zeros(len(truth)), {})
