"""How much of an error in the data arrives in the answer: sampled, in the worst case, and at most."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from surrogates.analysis.jacobians import input_products
from surrogates.analysis.norm_bounds import lipschitz_bound
from surrogates.analysis.singular_values import Exact, Lanczos, Method
from surrogates.errors import SurrogateError
from surrogates.nets.base import LayeredNet


@dataclass(frozen=True)
class NoiseGain:
    """‖Φ(x+e) − Φ(x)‖/‖e‖ by noise level, each (levels,): mean and maximum over samples and draws.

    levels    standard deviation of e in units of the root mean square of all entries of x
    mean      mean
    largest   maximum
    """

    levels: Tensor
    mean: Tensor
    largest: Tensor


@dataclass(frozen=True)
class WorstCase:
    """The error that is amplified most, to first order, at each of n samples.

    gain        σ_1(∂Φ/∂x), (n,): for e → 0 along the direction ‖Φ(x+e) − Φ(x)‖/‖e‖ tends to it
    direction   of e, a unit vector, (n, inputs)
    residual    of gain in units of itself, (n,)
    """

    gain: Tensor
    direction: Tensor
    residual: Tensor


@dataclass(frozen=True)
class Lipschitz:
    """A Lipschitz constant of the net from above, and how much of it is seen. Scalars.

    bound    holds for all inputs (``lipschitz_bound``)
    slope    largest ‖∂Φ/∂x‖ at the samples
    ratio    largest ‖Φ(x) − Φ(x')‖/‖x − x'‖ between two samples
    """

    bound: Tensor
    slope: Tensor
    ratio: Tensor


@torch.no_grad()
def noise_gain(
    net: LayeredNet, x: Tensor, levels: Sequence[float], generator: torch.Generator, draws: int = 8
) -> NoiseGain:
    """Return how much normal noise e in x (n, inputs) is amplified, against its level.

    Each of ``draws`` noises is drawn once from ``generator`` and used at all levels, so that the curve is one of
    the net and not of the noise. For small levels the mean square tends to ‖∂Φ/∂x‖²_F/inputs. Costs
    1 + draws · levels passes. Raises ``SurrogateError`` for a level that is not positive and finite, for less than
    one draw, and for x = 0, which no level can refer to. Not the worst case, which noise misses where inputs are
    many: ``worst_case``.
    """
    if not levels or not all(0 < level < float("inf") for level in levels):
        raise SurrogateError(f"noise levels must be positive numbers, such as 0.01, but levels={levels!r}")
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise SurrogateError(f"the noise gain needs a whole number of draws, at least 1, but draws={draws!r}")
    answer, size = net(x), x.square().mean().sqrt()
    if not bool(size > 0):
        raise SurrogateError("noise levels are relative to the size of x, but x is 0 (or NaN): give samples")
    gains = []
    for _ in range(draws):
        noise = torch.randn(x.shape, generator=generator, device=generator.device, dtype=x.dtype).to(x.device)
        for level in levels:
            e = level * size * noise
            gains.append((net(x + e) - answer).norm(dim=-1) / e.norm(dim=-1))
    found = torch.stack(gains).unflatten(0, (draws, len(levels)))  # (draws, levels, n)
    return NoiseGain(x.new_tensor(levels), found.mean((0, 2)), found.amax((0, 2)))


def worst_case(net: LayeredNet, x: Tensor, method: Method | None = None) -> WorstCase:
    """Return the worst error at each of the samples x (n, inputs), and its gain σ_1(∂Φ/∂x).

    ``method`` is ``Exact()`` or ``Lanczos()``, by default the first up to 256 inputs or outputs. Lanczos needs the
    products of a power iteration on JᵀJ, and never more of them. Of the singular vectors of a multiple σ_1 one is
    returned. Raises what ``input_products`` and the method raise.
    """
    jvp, vjp = input_products(net, x)
    like = torch.zeros_like(x)
    method = method or (Exact() if min(net.inputs, net.outputs) <= 256 else Lanczos())
    found = method.find(jvp, vjp, like, net.outputs, smallest=False)
    return WorstCase(found.largest, found.right[0], found.residuals[0])


@torch.no_grad()
def lipschitz(net: LayeredNet, x: Tensor, method: Method | None = None) -> Lipschitz:
    """Return the Lipschitz bound of the net beside what is measured at and between the samples x (n, inputs).

    slope ≤ bound and ratio ≤ bound; a slope far below says that the bound, not the net, is large. Costs
    ``worst_case``, ``bounds`` and n² distances. Equal samples are passed over. Raises what these raise.
    """
    bound, slope = lipschitz_bound(net), worst_case(net, x, method).gain.max()
    # not by matrix products, which lose half of the digits of small distances
    plain = "donot_use_mm_for_euclid_dist"
    answers, apart = net(x), torch.cdist(x, x, compute_mode=plain)
    ratios = torch.where(apart > 0, torch.cdist(answers, answers, compute_mode=plain) / apart, 0)
    return Lipschitz(bound.to(x.dtype), slope, ratios.max())
