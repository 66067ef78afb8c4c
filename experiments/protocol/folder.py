"""Where the parts of a study lie."""

from dataclasses import dataclass
from pathlib import Path

from experiments.protocol.plan import Variant, run_name

SHEET = "scores.npz"
"""Name of the score sheet in a run folder."""


@dataclass(frozen=True)
class Folder:
    """What lies where in the folder of a study."""

    path: Path

    def data(self, key: str) -> Path:
        """A data set."""
        return self.path / "data" / key

    @property
    def tuning(self) -> Path:
        """Run folders of the tuning."""
        return self.path / "tuning"

    @property
    def runs(self) -> Path:
        """Run folders that are evaluated."""
        return self.path / "runs"

    def sheet(self, variant: Variant, seed: int) -> Path:
        """The score sheet of a run."""
        return self.runs / run_name(variant, seed) / SHEET

    def yardstick(self, key: str, data_key: str, noise: float) -> Path:
        """The score sheet of a yardstick."""
        return self.path / "yardsticks" / data_key / f"{key}-noise{noise:g}.npz"

    @property
    def tables(self) -> Path:
        """Tables as CSV."""
        return self.path / "tables"

    @property
    def done(self) -> Path:
        """Written last: with which versions, on which machine and from which commit the study was ended."""
        return self.path / "DONE"
