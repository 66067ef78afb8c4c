"""The random numbers that modules draw unasked, dropout above all: a training run has its own.

torch keeps them in one global generator per device, of which a library must not move the caller's.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def private(seed: int, device: torch.device) -> Iterator[None]:
    """Within the context the global generators of the CPU and the device start from the seed; then as before."""
    # Another stream than that of a generator of the same seed, which orders the samples.
    seed ^= 1 << 31
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def state(device: torch.device) -> dict[str, Tensor]:
    """Return the states of these generators, byte tensors for a checkpoint."""
    found = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    return found


def restore(found: dict[str, Tensor], device: torch.device) -> None:
    """Set the generators to such states."""
    torch.set_rng_state(found["cpu"].cpu())  # a checkpoint is read onto the net's device
    if device.type == "cuda" and "cuda" in found:
        torch.cuda.set_rng_state(found["cuda"].cpu(), device)
