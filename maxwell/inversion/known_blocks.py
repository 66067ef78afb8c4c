"""What no estimator can undercut under `MagnetisedBlocks`: the error of one that is told where the blocks are."""

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.forward import LinearForwardMap
from maxwell.inversion.posterior_mean import PosteriorMean, whitened
from maxwell.numbers import array_of, is_whole
from maxwell.priors import MagnetisedBlocks


def known_blocks(
    forward: LinearForwardMap,
    thetas,
    observations,
    noise,
    prior: MagnetisedBlocks,
    *,
    samples: int = 2000,
    seed: int | np.random.Generator = 0,
) -> PosteriorMean:
    """E[θ | d, S], S the parts into which the blocks of θ divide the cells: a bound from below of every error.

    Conditional expectations are projections, and those who know (d, S) project onto more than those who know d:

        E|θ − θ̂(d)|² ≥ E|θ − E[θ | d]|² = E|θ − E[θ | d, S]|² + E|E[θ | d, S] − E[θ | d]|² ≥ E|θ − E[θ | d, S]|².

    S is a function of the boxes and, with probability one, of θ: cells of equal vectors are one part.  Boxes and
    vectors are independent, so given S the vectors of the parts keep their prior, and θ is linear in them.  Their
    posterior is sampled from the Gaussian one under a prior of the same covariance, weighted by true over
    Gaussian prior; the weights are far from even only where the data say little of a vector.

    thetas (n, p) : the truths of observations (n, m).  samples : of each posterior.
    The result's `acceptance` (1,) is the share of the samples that the true prior allows, its `evidence` that of S.
    Cost: a product with A and `samples` Gaussian draws a row; a millisecond.
    Raises MaxwellError for another prior, for truths outside it and for data that do not fit.
    """
    if not isinstance(prior, MagnetisedBlocks):
        raise MaxwellError(f"known_blocks: the prior is {prior!r}; expected a MagnetisedBlocks.")
    if not (is_whole(samples) and samples >= 2):
        raise MaxwellError(f"known_blocks: samples is {samples!r}; expected a whole number of at least 2.")
    thetas = array_of(thetas, "known_blocks: thetas")
    if not prior.contains(thetas).all():
        raise MaxwellError("known_blocks: thetas has rows that the prior does not hold; expected its draws.")
    matrix, data = whitened(forward, observations, noise, thetas)
    if len(data) != len(thetas):
        raise MaxwellError(
            f"known_blocks: {len(thetas)} thetas and {len(data)} observations; expected as many."
        )
    streams = np.random.default_rng(seed).spawn(len(data))
    rows = zip(data, thetas, streams, strict=True)
    found = [
        _known(matrix, row, theta.reshape(-1, 3), prior.strength, samples, rng) for row, theta, rng in rows
    ]
    mean, variance, error, evidence, allowed = (np.array(column) for column in zip(*found, strict=True))
    return PosteriorMean(mean, np.sqrt(variance), np.sqrt(error), evidence, np.array([allowed.mean()]))


def _known(matrix, data, cells, strength, samples, rng):
    """Mean (p,), variance, that of the sampling, evidence and share allowed: data (N,), vectors (cells, 3)."""
    shown = np.flatnonzero(cells.any(axis=1))
    _, part = np.unique(cells[shown], axis=0, return_inverse=True)
    member = np.zeros((part.max() + 1, len(cells)))
    member[part.ravel(), shown] = 1
    columns = np.einsum("kci,bc->kbi", matrix.reshape(len(matrix), -1, 3), member).reshape(len(matrix), -1)
    low, high = strength
    variance = (low**2 + low * high + high**2) / 9  # of a component
    root = np.linalg.cholesky(columns.T @ columns + np.eye(columns.shape[1]) / variance)
    centre = np.linalg.solve(root.T, np.linalg.solve(root, columns.T @ data))
    draws = centre[:, None] + np.linalg.solve(root.T, rng.standard_normal((len(centre), samples)))
    vectors = draws.T.reshape(samples, -1, 3)
    squares = np.sum(vectors**2, axis=2)
    inside = ((squares >= low**2) & (squares <= high**2)).all(axis=1)
    if not inside.any():
        raise MaxwellError(
            f"known_blocks: none of {samples} samples has strengths in {strength}; take more samples, and check "
            "that the noise is that of the observations."
        )
    logs = np.where(inside, np.sum(0.5 * squares / variance - np.log(squares), axis=1), -np.inf)
    weights = np.exp(logs - logs.max())
    constant = len(member) * (1.5 * np.log(2 * np.pi * variance) - np.log(4 * np.pi * (high - low)))
    evidence = logs.max() + np.log(weights.mean()) + constant - np.sum(np.log(np.diag(root)))
    evidence += 0.5 * (np.sum((root.T @ centre) ** 2) - len(centre) * np.log(variance))
    weights /= weights.sum()
    mean = np.einsum("s,sbi->bi", weights, vectors)
    distances = np.sum((vectors - mean) ** 2, axis=2) @ member.sum(axis=1)
    theta = (member.T @ mean).ravel()
    return theta, weights @ distances, weights**2 @ distances, evidence, inside.mean()
