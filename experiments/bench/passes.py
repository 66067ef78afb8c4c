"""Forward and backward passes of nets: processor time in turns, and peak memory in a process of each's own."""

import ctypes
import functools
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from experiments.bench.pairwise import PairwiseLoop
from experiments.bench.process import peak_megabytes
from experiments.errors import StudyError
from surrogates import FAMILIES, Fractional, TimeGrid

INPUTS, OUTPUTS = 20, 5

LOOP, CONSTANT = "pairwise loop", "pairwise loop, constant a and c"


@dataclass(frozen=True)
class Size:
    """Depth L, width w, samples in a batch, and the dtype's name."""

    depth: int
    width: int = 32
    batch: int = 500
    precision: str = "float32"


def _net(size, family, **options):
    draw = torch.Generator().manual_seed(0)
    made = family(INPUTS, OUTPUTS, size.width, TimeGrid.simplex(size.depth), generator=draw, **options)
    return made.to(getattr(torch, size.precision))


CASES: Mapping[str, Callable[[Size], nn.Module]] = {
    **{family.__name__: lambda size, family=family: _net(size, family) for family in FAMILIES},
    "Fractional, exponentials 1e-6": lambda size: _net(size, Fractional, exponentials=1e-6),
    LOOP: lambda size: PairwiseLoop(_net(size, Fractional)),
    CONSTANT: lambda size: PairwiseLoop(_net(size, Fractional), constant=True),
}
"""Every net that is measured, all with learned steps (simplex) from one seed; order γ = 0.5 where there is one."""


def samples(size: Size) -> tuple[Tensor, Tensor]:
    """Inputs (batch, INPUTS) and targets (batch, OUTPUTS), the same at every call."""
    draw = torch.Generator().manual_seed(1)
    x, y = (torch.randn(size.batch, count, generator=draw) for count in (INPUTS, OUTPUTS))
    return x.to(getattr(torch, size.precision)), y.to(getattr(torch, size.precision))


def passes(net: nn.Module, size: Size) -> Callable[[], None]:
    """A forward and a backward pass of the mean squared error, gradients in all parameters allocated anew."""
    x, y = samples(size)

    def both():
        net.zero_grad()
        (net(x) - y).square().mean().backward()

    return both


@functools.cache
def parameters(name: str, depth: int, width: int = 32) -> int:
    """How many parameters a case has, without building it: the number is quadratic in the depth, so three do."""
    counts = [sum(p.numel() for p in CASES[name](Size(small, width)).parameters()) for small in (2, 3, 4)]
    slope, curvature = counts[1] - counts[0], counts[2] - 2 * counts[1] + counts[0]
    k = depth - 2
    return counts[0] + k * slope + k * (k - 1) // 2 * curvature


def clocked(
    actions: Mapping[str, Callable[[], object]], turns: int, least: float = 0.02, most: float = 4.0
) -> dict[str, dict[str, float]]:
    """Seconds of processor time a call, `best` and `median` over the turns, by name.

    The actions take turns, each called anew until about ``least`` seconds have gone, as in use: with what it needs
    in the caches. An action that has had three turns and ``most`` seconds sits out the others. Processor time is
    that of the clock on one thread of an idle machine, and on a shared one without the time that others had.
    """
    calls, seconds = {}, {name: [] for name in actions}
    for name, action in actions.items():
        spent = _spent(action, 1)  # the first call loads what later ones find in memory
        calls[name] = max(1, math.ceil(least / (spent if spent > least else _spent(action, 1))))
    for _ in range(turns):
        for name, action in actions.items():
            if len(seconds[name]) < 3 or calls[name] * sum(seconds[name]) < most:
                seconds[name].append(_spent(action, calls[name]) / calls[name])
    return {name: {"best": min(all_), "median": statistics.median(all_)} for name, all_ in seconds.items()}


def _spent(action, calls):
    began = time.process_time()
    for _ in range(calls):
        action()
    return max(time.process_time() - began, 1e-9)


def measure(names: tuple[str, ...], size: Size, turns: int) -> dict[str, dict[str, float]]:
    """`best` and `median` seconds, `peak` MB and `parameters` of each case; for a process that did nothing yet.

    The peak is that of forward and backward pass above what the process held before, net and data: states, all
    that the way back needs, and gradients. Each is taken in a process of its own, by `peak`.
    """
    torch.set_num_threads(1)
    peaks = {name: _forked(_peak, name, size) for name in names}
    nets = {name: CASES[name](size) for name in names}
    found = clocked({name: passes(net, size) for name, net in nets.items()}, turns)
    return {
        name: found[name]
        | {"peak": peaks[name], "parameters": sum(p.numel() for p in nets[name].parameters())}
        for name in names
    }


def _peak(name, size):
    """MB above what is held, in a process that inherits the net: what building it took is no longer counted.

    glibc would keep freed memory of any size up to 32 MB and lend it out again unseen; with a fixed threshold
    each tensor of a page or more is mapped by itself and returned at once.
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(-3, 4096)  # M_MMAP_THRESHOLD
    net = CASES[name](size)
    few = replace(size, depth=2, batch=2)
    warm = passes(CASES[name](few), few)

    def above():
        warm()  # code that is run for the first time is memory too
        both, before = passes(net, size), peak_megabytes()
        both()
        return peak_megabytes() - before

    return _forked(above)


def _forked(function, *arguments):
    """function(*arguments) in a copy of this process: it inherits what this one holds, its peak begins there."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(function(*arguments)))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise StudyError(
            "a process that measured memory ended before it answered, most likely for want of memory: choose a "
            "smaller plan (--quick), or close other programs"
        ) from None
    finally:
        process.join()
