"""Small linear maps on which the sampled posterior is compared with brute force."""

import numpy as np

import maxwell


class Map(maxwell.LinearForwardMap):
    """θ ↦ A θ with a given matrix."""

    dofs, trace = 0, {}

    def __init__(self, matrix):
        self._matrix = matrix

    @property
    def matrix(self):
        return self._matrix

    def check(self, theta):
        return np.asarray(theta)


def observed(forward, prior, share, size, seed):
    """Truths of a prior (size, p), data with noise of a share of their root mean square, and its deviation."""
    rng = np.random.default_rng(seed)
    scale = np.sqrt(np.mean(np.abs(forward.batch(prior.sample(np.random.default_rng(0), 1000))) ** 2))
    truths = prior.sample(rng, size)
    data = forward.batch(truths)
    noise = share * scale
    xi = rng.standard_normal(data.shape)
    if np.iscomplexobj(data):
        xi = (xi + 1j * rng.standard_normal(data.shape)) / np.sqrt(2)
    return truths, data + noise * xi, noise


def bank(forward, prior, observations, noise, draws, seed=5):
    """The simple twin: draws of the prior weighted by their likelihood.

    Means (n, p), variances (n,), squared standard errors (n,) and effective sizes (n,).
    """
    thetas = prior.sample(np.random.default_rng(seed), draws)
    half = 1.0 if np.iscomplexobj(thetas) else 0.5
    means, variances, errors, sizes = [], [], [], []
    for row in observations:
        misfits = half * np.sum(np.abs(row - forward.batch(thetas)) ** 2, axis=1) / noise**2
        weights = np.exp(misfits.min() - misfits)
        weights /= weights.sum()
        mean = weights @ thetas
        squares = np.sum(np.abs(thetas - mean) ** 2, axis=1)
        means.append(mean)
        variances.append(weights @ squares)
        errors.append(weights**2 @ squares)
        sizes.append(1 / (weights @ weights))
    return np.array(means), np.array(variances), np.array(errors), np.array(sizes)
