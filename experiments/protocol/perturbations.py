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
    weights = asked.ruler.weights
    scaled = np.sqrt(np.tile(weights, 1 + bool(model.decode.pairs)))[:, None]
    gains = np.array([np.linalg.norm(scaled * jacobian, 2) for jacobian in jacobians(model, observed)])
    size = known.deviation(asked.main.level) * np.sqrt(observed.shape[1])
    return gains * size / np.sqrt(asked.ruler.total)


def jacobians(model: surrogates.Model, observed: np.ndarray) -> np.ndarray:
    """∂θ̂/∂d at each of (n, m): (n, q, 2m), of real and imaginary parts one after another in θ̂ and in d."""
    if model.turns is None:
        return _jacobians(model, observed)
    total, turns = 0.0, model.turns
    for g in range(len(turns)):
        found = _jacobians(model, turns.forth(g, observed))
        places, count = turns.data_places[g].astype(int), observed.shape[1]
        columns = np.concatenate([places, places + count])
        total = total + found[:, turns.places[g].astype(int)][:, :, columns] * (
            turns.signs[g][:, None] * np.tile(turns.data_signs[g], 2)
        )
    return total / len(turns)


def _jacobians(model, observed):
    import torch

    from data.transforms import soften

    entered = model.encode(observed)
    features = soften(entered) if model.softened else entered
    home = next(model.net.parameters())
    x = torch.as_tensor(features, dtype=home.dtype, device=home.device)
    of_net = torch.func.vmap(torch.func.jacrev(lambda row: model.net(row[None])[0]))(x)
    found = []
    for jacobian, z in zip(of_net.detach().double().cpu().numpy(), entered, strict=True):
        chain = jacobian @ _soften_slope(z) if model.softened else jacobian
        chain = chain / model.encode.scale @ model.encode.directions.T
        if model.remainder is not None:
            chain = chain * model.remainder.scale + model.remainder.gain.T
        found.append(model.decode.scale[:, None] * chain)
    return np.array(found)


def _soften_slope(z: np.ndarray) -> np.ndarray:
    """Derivative of `data.transforms.soften` at z (k,): gI + g'(r) z zᵀ/(r k) with r = ‖z‖/√k, g = asinh(r)/r."""
    r = np.linalg.norm(z) / np.sqrt(len(z))
    if r == 0:
        return np.eye(len(z))
    g = np.arcsinh(r) / r
    slope = (1 / np.sqrt(1 + r**2) - g) / r
    return g * np.eye(len(z)) + slope * np.outer(z, z) / (r * len(z))
