"""Snapshots: the weights and steps of a net along its training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from surrogates.errors import SurrogateError
from surrogates.nets.base import LayeredNet
from surrogates.training import checkpoint as checkpoints
from surrogates.training.door import whole
from surrogates.training.trace import EpochState


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A net after an epoch: its ``state_dict``, copied, and the steps τ_1 … τ_L, None without a time grid."""

    epoch: int
    weights: dict[str, Tensor]
    steps: Tensor | None


class Snapshots(Mapping[int, Snapshot]):
    """A callback of ``fit`` that takes a snapshot after every ``every``-th epoch: a mapping epoch -> Snapshot.

    They are kept in memory on the net's device, or with a ``folder`` in files there, one each, atomic: these
    outlive the process, and a resumed run goes on with them. ``take(net, 0)`` adds the start. For the spectral
    analysis of the training dynamics: ``trajectory("layer_weight")`` is a matrix of snapshots in the usual
    sense once flattened. Costs a copy of the weights each; ``SurrogateError`` for a file that is damaged.
    """

    def __init__(self, every: int = 1, folder: str | Path | None = None):
        if not whole(every) or every < 1:
            raise SurrogateError(f"Snapshots: every must be a whole number >= 1, but is {every!r}")
        self.every = every
        self.folder = None if folder is None else Path(folder)
        self._kept: dict[int, Snapshot] = {}

    def on_epoch(self, state: EpochState) -> None:
        """Take a snapshot if this epoch's turn has come."""
        if state.epoch % self.every == 0:
            self.take(state.net, state.epoch)

    @torch.no_grad()
    def take(self, net: nn.Module, epoch: int) -> None:
        """Take a snapshot now, as that of an epoch; an earlier one of the same epoch is replaced."""
        weights = {name: value.detach().clone() for name, value in net.state_dict().items()}
        steps = net.time().detach().clone() if isinstance(net, LayeredNet) else None
        if self.folder is None:
            self._kept[epoch] = Snapshot(epoch, weights, steps)
        else:
            checkpoints.save(self._path(epoch), {"epoch": epoch, "weights": weights, "steps": steps})

    def trajectory(self, name: str) -> Tensor:
        """Return one entry of the ``state_dict``, or "steps", at all snapshots, shape (count, …)."""
        found = [shot.steps if name == "steps" else shot.weights.get(name) for shot in self.values()]
        if not found or any(value is None for value in found):
            known = ", ".join(next(iter(self.values())).weights) if found else "none, as there is no snapshot"
            raise SurrogateError(f"Snapshots: there is no {name!r} to follow; known are {known}")
        return torch.stack(found)

    def __getitem__(self, epoch: int) -> Snapshot:
        if self.folder is None:
            return self._kept[epoch]
        if not self._path(epoch).exists():
            raise KeyError(epoch)
        content = checkpoints.load(self._path(epoch), torch.device("cpu"))
        return Snapshot(content["epoch"], content["weights"], content["steps"])

    def __iter__(self) -> Iterator[int]:
        if self.folder is None:
            return iter(sorted(self._kept))
        return iter(sorted(int(path.stem.removeprefix("epoch-")) for path in self.folder.glob("epoch-*.pt")))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:06d}.pt"
