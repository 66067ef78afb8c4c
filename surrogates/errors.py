"""The one error type of this package that a user can cause and mend."""

from pathlib import Path


class SurrogateError(ValueError):
    """A mistake in what was given: one sentence with what came, what was expected, and what to do.

    The command line prints the sentence and exits with code 2; any other exception is a fault of ours.
    """


class StoppedError(SurrogateError):
    """A training whose loss or gradient was not finite.

    epoch       in which, from 1
    reason      what was not finite, and where it began
    checkpoint  the last good one, None where none was written
    """

    def __init__(self, epoch: int, reason: str, checkpoint: Path | None):
        self.epoch, self.reason, self.checkpoint = epoch, reason, checkpoint
        known = "no checkpoint was written" if checkpoint is None else f"last good: {checkpoint}"
        super().__init__(f"training stopped in epoch {epoch}: {reason}; {known}")
