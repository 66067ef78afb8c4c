"""Instruments of the study of depth on one network: gradients, spectra, bounds, and what its steps do.

All in float64 on a copy, so that products over 512 layers neither overflow nor vanish where single precision
would; figures are decimal logarithms, cut at ±`LIMIT`.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from experiments.depths.plain import Plain
from surrogates import LayeredNet, analysis, caputo

LIMIT = 300.0
"""Largest |log10| that is told apart."""

SPECTRAL_SAMPLES = 4
PROBES = 4
CURVE = 33  # layers of a profile that are kept, evenly


def double(net: LayeredNet) -> LayeredNet:
    """A frozen copy in float64."""
    return copy.deepcopy(net).double().requires_grad_(False)


def gradients(net: LayeredNet, x: Tensor, y: Tensor) -> dict[str, float | list[float | None] | None]:
    """Gradient profile of a network in float64 on x (n, inputs), y (n, outputs).

    state_ratio, weight_ratio : log10 of ‖∂J/∂y_0‖/‖∂J/∂y_L‖ and ‖∂J/∂K_1‖/‖∂J/∂K_L‖.
    states, weights : log10 of the norms at `CURVE` layers, evenly spread, first and last included.
    """
    found = analysis.profile(net, x, y)
    states, weights = ([log10(v) for v in part.tolist()] for part in (found.states, found.weights))
    return {
        "state_ratio": _difference(states[0], states[-1]),
        "weight_ratio": _difference(weights[0], weights[-1]),
        "states": [states[k] for k in kept(len(states))],
        "weights": [weights[k] for k in kept(len(weights))],
    }


def kept(length: int) -> list[int]:
    """The indices of a profile that are kept."""
    return sorted(set(np.linspace(0, length - 1, min(length, CURVE)).round().astype(int).tolist()))


def spectra(net: LayeredNet, x: Tensor) -> dict[str, float | None]:
    """log10 of bounds, direct path and extreme singular values of ∂y_L/∂y_0, of a network in float64.

    lower ≤ smallest ≤ largest ≤ upper; `exponential` is exp(βΣτ‖K‖) where it is a bound, None elsewhere, and
    `direct` the weight w_{L,0} that a fractional network gives y_0 in y_L, of others that of the skips. The
    singular values are those of the first `SPECTRAL_SAMPLES` samples; the smallest is known to round-off of the
    largest, and both are None beyond the range of float64.
    """
    bounds = analysis.bounds(net)
    try:
        values = analysis.extreme_singular_values(net, x[:SPECTRAL_SAMPLES])
        ends = float(values.smallest.min()), float(values.largest.max())
    except (analysis.AccuracyError, RuntimeError):  # of a matrix of zeros, or of infinities
        ends = math.nan, math.nan
    exponential = None if bounds.exponential is None else log10(float(bounds.exponential[0]))
    return {
        "lower": log10(float(bounds.lower[0])),
        "smallest": log10(ends[0]),
        "largest": log10(ends[1]),
        "upper": log10(float(bounds.upper[0])),
        "exponential": exponential,
        "direct": log10(_direct(net)),
    }


def _direct(net: LayeredNet) -> float:
    memory = getattr(net, "memory", None)
    table = memory()[0] if memory is not None else None
    if table is not None:
        return float(caputo.convex_weights(table)[-1, 0])
    return 0.0 if isinstance(net, Plain) else 1.0


def sensitivity(
    net: LayeredNet, x: Tensor, sizes: Sequence[float], rng: np.random.Generator
) -> dict[str, float | None]:
    """Relative change of the output Φ(x) of a network in float64 under changed steps.

    "first" : √(Σ_l τ_l² ‖∂Φ/∂τ_l‖²)/‖Φ‖, what changes τ_l (1 + ε s_l) with random signs s_l bring in quadratic
    mean for each unit of a small ε; estimated by `PROBES` products with random signs (Hutchinson), without bias in
    its square.
    "0.01" and the like, for each size : ‖Φ(τ(1 + εs)) − Φ(τ)‖/‖Φ(τ)‖ in quadratic mean over `PROBES` random s.
    """
    steps = net.time().detach()
    output = net(x)
    size, squares = float(output.norm()), []
    signs = rng.choice([-1.0, 1.0], (PROBES, *output.shape))
    for sign in torch.as_tensor(signs):
        moving = steps.clone().requires_grad_()
        with torch.enable_grad(), stepped(net, moving):
            (slope,) = torch.autograd.grad(net(x), moving, sign)
        squares.append(float((steps * slope).square().sum()))
    found = {"first": _finite(math.sqrt(np.mean(squares)) / size)}
    draws = torch.as_tensor(rng.choice([-1.0, 1.0], (PROBES, len(steps))))
    for epsilon in sizes:
        changes = []
        for sign in draws:
            with torch.no_grad(), stepped(net, steps * (1 + epsilon * sign)):
                changes.append(float((net(x) - output).norm()) / size)
        found[f"{epsilon:g}"] = _finite(math.sqrt(np.mean(np.square(changes))))
    return found


@contextmanager
def stepped(net: LayeredNet, steps: Tensor) -> Iterator[None]:
    """Within, the network computes with these steps, whatever its rule."""
    handle = net.time.register_forward_hook(lambda *_: steps)
    try:
        yield
    finally:
        handle.remove()


def log10(value: float) -> float | None:
    """log10 of a norm, cut at ±`LIMIT`; None for NaN."""
    if math.isnan(value):
        return None
    return (
        min(max(math.log10(value), -LIMIT), LIMIT)
        if 0 < value < math.inf
        else math.copysign(LIMIT, value - 1)
    )


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
