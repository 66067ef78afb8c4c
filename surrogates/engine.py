"""The one recursion behind every network family."""

from collections.abc import Callable

import torch
from torch import Tensor


def integrate(
    field: Callable[[int, Tensor], Tensor],
    start: Tensor,
    gains: Tensor,
    memory: Tensor | None = None,
    source: Tensor | None = None,
) -> Tensor:
    """Return all states y_0 … y_L, shape (L+1, …), of

        d_l = c_l f_l(y_{l−1}) − Σ_{j<l} a_{l,j} d_j + e_l,    y_l = y_{l−1} + d_l.

    ``field(i, y)`` is f_{i+1}(y), i = 0 … L−1; ``start`` y_0, any shape (…); ``gains`` c (L,); ``memory`` a
    (L, L), of which the strictly lower triangle is read, None for a scheme without memory; ``source`` e
    (L, …), None for zero. A source perturbs one state and everything after it, so the derivative of J in e_l
    at e = 0 is the costate ∂J/∂y_l of the discrete scheme.

    Cost: L fields, and with memory L²/2 multiply–adds per entry of a state, one product per layer. The
    history is read anew for each layer, and autograd keeps what was read when a is learned: L²/2 states.
    Shapes are the caller's business, nothing is checked here. Source: Antil, Díaz and Herberg (arXiv
    2204.08528) for the scheme without memory, Antil, Khatri, Löhner and Verma (arXiv 2004.00719) with it. Not
    for implicit schemes.
    """
    # unbind once: indexing inside the loop would make the backward pass fill one zero tensor per layer.
    rows = None if memory is None else memory.unbind(0)
    sources = None if source is None else source.unbind(0)
    states, increments = [start], []
    for layer, gain in enumerate(gains.unbind(0)):
        increment = gain * field(layer, states[-1])
        if rows is not None and layer > 0:
            increment = increment - torch.tensordot(rows[layer][:layer], torch.stack(increments), dims=1)
        if sources is not None:
            increment = increment + sources[layer]
        increments.append(increment)
        states.append(states[-1] + increment)
    return torch.stack(states)
