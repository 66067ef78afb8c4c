"""What a generation tells whoever watches it: a bar on a terminal, log lines elsewhere, or a test."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """The state of a running generation, in samples."""

    stage: str  #: ``"prepare"`` (meshes, kernels, what fast paths compute once) or ``"solve"``
    done: int  #: samples that are safe in the folder, those of earlier runs included
    total: int  #: samples that the recipe asks for
    kept: int  #: of ``done``, those that earlier runs had left in the folder
    seconds: float  #: since this run began to solve
    failed: int = 0  #: of the samples of this run, those that could not be solved

    @property
    def rate(self) -> float:
        """Samples per second of this run; 0 before the first shard is written."""
        return (self.done - self.kept) / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds left at this rate; ``None`` while the rate is unknown."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None


Watcher = Callable[
    [Progress], None
]  #: called in the generating process after each shard, and while it prepares
