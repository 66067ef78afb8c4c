"""Tasks that a worker does: score one trained network, or one yardstick."""

import time
from pathlib import Path

import numpy as np

import surrogates
from experiments import runs
from experiments.protocol.known import Known
from experiments.protocol.methods import METHODS
from experiments.protocol.methods.base import Method, timed
from experiments.protocol.sheets import Exam, Place, Sheet, exam, score
from experiments.protocol.study import SHEET

WORST = 32
"""Samples at which the worst local perturbation is looked for."""

REPEATS = 20
"""Single estimates whose median is the time per inversion."""


def network(dataset: str, folder: str, noise: float, levels: tuple[float, ...], resimulate: int) -> None:
    """Score the trained network of a run folder, unless its sheet is there."""
    path = Path(folder)
    if (path / SHEET).exists():
        return
    asked, known = exam(Path(dataset), noise, levels, resimulate)
    run = runs.load(path)
    arrays, clean = {}, None
    for place in sorted(asked.places, key=lambda p: (p.split != asked.main.split, p.level)):
        view = asked.dataset.split(place.split)
        answers = timed(run.estimate, view.observe(place.level))
        arrays[place] = score(asked, known, place, answers)
        if place.split == asked.main.split:
            if place.level == 0:
                clean = answers.theta
            elif clean is not None:
                arrays[place]["gain"] = np.sqrt(asked.ruler.squared(answers.theta, clean)) / place.level
    main = asked.dataset.split(asked.main.split)
    observed = main.observe(asked.main.level)
    arrays[asked.main]["worst"] = worst(run.model, asked, known, observed[:WORST])
    record = run.record
    about = {
        "parameters": record["parameters"],
        "seconds": record["seconds"],
        "one": _latency(run.estimate, observed[:1]),
        "valid": record["best_loss"],
        "best_epoch": record["best_epoch"],
        "samples": record["samples"],
        "horizon": float(np.sum(record["gradients"]["end"]["steps"])) if record["gradients"]["end"] else None,
        "steps": record["gradients"]["end"]["steps"] if record["gradients"]["end"] else None,
    }
    Sheet({place: arrays[place] for place in asked.places}, about).write(path / SHEET)


def methods() -> dict[str, type[Method]]:
    """Every yardstick by its key."""
    return {method.key: method for method in METHODS}


def yardstick(
    dataset: str,
    out: str,
    key: str,
    noise: float,
    levels: tuple[float, ...],
    resimulate: int,
    iterated: int,
    draws: int = 1,
) -> None:
    """Score a method of `METHODS` into the file `out`, unless it is there.

    A method that does not suit the problem gets an empty sheet.  One that takes observations one by one answers the
    first `iterated` of the place that counts alone.
    """
    path = Path(out)
    if path.exists():
        return
    asked, _ = exam(Path(dataset), noise, levels, resimulate)
    known = Known(asked.dataset, noise, draws=draws)
    kind = methods()[key]
    if not kind.suits(known):
        Sheet({}, {"key": key, "suits": False}).write(path)
        return
    began = time.perf_counter()
    method = kind.fit(known)
    fitted = time.perf_counter() - began
    arrays = graded(method, asked, known, iterated)
    about = {
        "key": key,
        "label": method.label,
        "kind": method.kind,
        "fit": fitted,
        "one": float(np.median(arrays[asked.main]["seconds"])),
    }
    Sheet(arrays, about).write(path)


def graded(method, asked: Exam, known: Known, iterated: int) -> dict[Place, dict[str, np.ndarray]]:
    """Arrays of a fitted method at the places that it is asked."""
    arrays = {}
    for place in asked.places:
        if method.one_by_one and place != asked.main:
            continue
        if place.level == 0:  # a classical method needs to know a noise
            continue
        view = asked.dataset.split(place.split)
        if method.one_by_one:
            view = view.take(slice(0, iterated))
        answers = method.estimate(view.observe(place.level), known.deviation(place.level))
        arrays[place] = score(asked, known, place, answers)
    return arrays


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
        gains.append(np.linalg.norm(chain / model.encode.scale, 2))
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


def _latency(estimate, observed: np.ndarray) -> float:
    """Median seconds of one estimate."""
    estimate(observed)
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        estimate(observed)
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))
