"""What the worst perturbation of the data does to a trained network."""

import numpy as np

import surrogates
from experiments.protocol.known import Known
from experiments.protocol.sheets import Exam


def worst(model: surrogates.Model, asked: Exam, known: Known, observed: np.ndarray) -> np.ndarray:
    """Error that the worst perturbation of the size of the noise makes, to first order: (n,), relative as any.

        σ_1(W^{1/2} ∂θ̂/∂d) · ‖e‖ / √Σ w Var θ,    ‖e‖ = σ √m,

    with W of the ruler and σ the deviation of the noise at the place that counts, m data of one sample.
    """
    import torch

    from data.transforms import soften

    entered = model.encode(observed)
    features = soften(entered) if model.softened else entered
    home = next(model.net.parameters())
    x = torch.as_tensor(features, dtype=home.dtype, device=home.device)
    jacobians = (
        torch.func.vmap(torch.func.jacrev(lambda row: model.net(row[None])[0]))(x)
        .detach()
        .double()
        .cpu()
        .numpy()
    )
    weights = asked.ruler.weights
    pairs = 2 if len(model.decode.mean) == 2 * len(weights) else 1
    left = np.sqrt(np.tile(weights, pairs)) * model.decode.scale
    gains = []
    for jacobian, z in zip(jacobians, entered, strict=True):
        chain = left[:, None] * jacobian
        if model.softened:
            chain = chain @ _soften_slope(z)
        chain = chain / model.encode.scale @ model.encode.directions.T
        if model.remainder is not None:
            chain = chain * model.remainder.scale + left[:, None] * model.remainder.gain.T
        gains.append(np.linalg.norm(chain, 2))
    size = known.deviation(asked.main.level) * np.sqrt(observed.shape[1])
    return np.array(gains) * size / np.sqrt(asked.ruler.total)


def _soften_slope(z: np.ndarray) -> np.ndarray:
    """Derivative of `data.transforms.soften` at z (k,): gI + g'(r) z zᵀ/(r k) with r = ‖z‖/√k, g = asinh(r)/r."""
    r = np.linalg.norm(z) / np.sqrt(len(z))
    if r == 0:
        return np.eye(len(z))
    g = np.arcsinh(r) / r
    slope = (1 / np.sqrt(1 + r**2) - g) / r
    return g * np.eye(len(z)) + slope * np.outer(z, z) / (r * len(z))
