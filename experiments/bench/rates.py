"""What the machine allows: rates of products, memory and activation, and the time they need for a net's counts."""

from collections.abc import Callable
from dataclasses import asdict

import torch

from experiments.bench import passes
from experiments.bench.passes import CASES, Size

STORED = {"ResNet": 1, "Fractional": 3}
"""Tensors of a state's size that a layer stores for later: σ(z); with memory d and the costate q as well."""


def bounds(sizes: list[Size], turns: int) -> dict:
    """Rates, and for each size and each net of `STORED` the time that its counts need at these rates.

    Keys: `rates` (see `rates`); `rows` with the size's, `net`, `flops` of the fields and of the memory, `bytes`,
    `activations`; `predicted` seconds of `products`, `bytes`, `activation` and their `sum`; `best` and `median`
    measured; `distance`, measured best over the sum, and `distance_products`, over the products alone.
    All in turns in one process, by processor time. Sizes are of one width, batch and precision.
    """
    torch.set_num_threads(1)
    kernels, amounts = _kernels(sizes)
    nets = {(name, size): passes.passes(CASES[name](size), size) for size in sizes for name in STORED}
    clocks = passes.clocked(kernels | nets, turns)
    rates = _rates({name: amounts[name] / clocks[name]["best"] for name in kernels})
    return {"rates": rates, "rows": [_row(name, size, rates, clocks[name, size]) for name, size in nets]}


def counts(name: str, size: Size) -> dict[str, int]:
    """What a forward and a backward pass must do at least; lift and readout, two of L+2 maps, are left out.

    fields       6·L·n·w² flops: K y, Kᵀ p and p yᵀ, each 2 n w² a layer
    memory       6·(L²/2)·n·w flops: Σ a d, Σ aᵀ q and ∂J/∂a, each 2 n w a pair
    bytes        each stored tensor written once and read once, weights read twice and their gradient written
    activations  L·n·w values of σ; σ' follows from them
    """
    depth, entries, item = size.depth, size.batch * size.width, _item(size)
    return {
        "fields": 6 * depth * entries * size.width,
        "memory": 3 * depth**2 * entries if name == "Fractional" else 0,
        "bytes": item * depth * (2 * STORED[name] * entries + 3 * size.width**2),
        "activations": depth * entries,
    }


def _row(name, size, rates, clock):
    count = counts(name, size)
    flops = count["fields"] + count["memory"]
    predicted = {
        "products": flops / rates["products"],
        "bytes": count["bytes"] / rates["copy"],
        "activation": count["activations"] / rates["activation"],
    }
    total = sum(predicted.values())
    return (
        asdict(size)
        | {"net": name}
        | count
        | clock
        | {
            "predicted": predicted | {"sum": total},
            "distance": clock["best"] / total,
            "distance_products": clock["best"] / predicted["products"],
        }
    )


def _rates(found):
    """Of all kernels, in units a second; `products` is the best of the matrix products, flops a second."""
    products = {name: rate for name, rate in found.items() if name not in ("copy", "activation")}
    return {
        "products": max(products.values()),
        "copy": found["copy"],
        "activation": found["activation"],
        "by_size": products,
    }


def _kernels(sizes) -> tuple[dict[str, Callable], dict[str, int]]:
    """The operations that nets of these sizes are made of, and how much each does: flops, bytes, values."""
    size = sizes[0]
    n, w, dtype = size.batch, size.width, getattr(torch, size.precision)
    draw = torch.Generator().manual_seed(2)

    def matrix(*shape):
        return torch.randn(*shape, generator=draw).to(dtype)

    y, z, k, g = matrix(n, w), matrix(n, w), matrix(w, w), matrix(w, w)
    kernels = {
        f"fields: ({n}, {w}) × ({w}, {w})": lambda: torch.mm(y, k.T, out=z),
        f"gradient: ({w}, {n}) × ({n}, {w})": lambda: torch.mm(z.T, y, out=g),
    }
    amounts = dict.fromkeys(kernels, 2 * n * w * w)
    block = 8
    while block <= max(size.depth for size in sizes) // 2:
        a, d, m = matrix(block, block), matrix(block, n * w), matrix(block, n * w)
        name = f"memory: ({block}, {block}) × ({block}, {n * w})"
        kernels[name] = lambda a=a, d=d, m=m: torch.mm(a, d, out=m)
        amounts[name] = 2 * block * block * n * w
        block *= 4
    large = torch.ones(2**24 if n * w > 1000 else 2**20, dtype=dtype)  # far beyond the caches
    other, values = torch.zeros_like(large), y.clone()
    kernels["copy"] = lambda: other.copy_(large)
    amounts["copy"] = 2 * large.numel() * large.element_size()
    kernels["activation"] = lambda: torch.tanh(y, out=values)
    amounts["activation"] = values.numel()
    return kernels, amounts


def _item(size):
    return getattr(torch, size.precision).itemsize
