"""What decides a training run, apart from net and data."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from surrogates.errors import SurrogateError
from surrogates.training.door import demand, real, whole
from surrogates.training.schedules import SCHEDULES, Schedule, stagnation


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A training budget and its course.

    epochs           passes over the training set, >= 1
    batch            samples per update, >= 1, the last update of an epoch taking what is left; None for the
                     whole set at once, in its own order
    learning_rate    > 0, before the schedule
    weight_decay     >= 0; decoupled (AdamW) and on matrices alone: a decayed time step or bias would be drawn
                     to a value that nobody chose
    optimiser        "adam" (AdamW with weight decay) or "lbfgs": quasi-Newton with a line search, for batch
                     None, without decay or clip and at a constant rate, usually 1 (``optimisers.lbfgs``)
    schedule         any ``Schedule``, or the name of one: "cosine" (from 1 towards 0, per epoch), "constant"
    clip             None, or the largest norm of the whole gradient, > 0; off by default, since clipping
                     hides the gradient behaviour that a study of time steps looks at; recorded in the trace
    patience         None, or the epochs in a row without improvement of the validation loss that end the run
    min_improvement  >= 0, the part of the validation loss by which it must fall to count as improvement
    seed             order of the samples, dropout; equal seeds give equal mini-batches to every net of a
                     comparison

    Anything else raises ``SurrogateError``.
    """

    epochs: int
    batch: int | None
    learning_rate: float
    weight_decay: float = 0.0
    optimiser: str = "adam"
    schedule: Schedule | str = "cosine"
    clip: float | None = None
    patience: int | None = None
    min_improvement: float = 0.0
    seed: int = 0

    def __post_init__(self):
        def check(name, expected, met):
            demand(self, name, expected, met)

        check("epochs", "a whole number >= 1", whole(self.epochs) and self.epochs >= 1)
        check(
            "batch",
            "None or a whole number >= 1",
            self.batch is None or (whole(self.batch) and self.batch >= 1),
        )
        check("learning_rate", "a number > 0", real(self.learning_rate) and self.learning_rate > 0)
        check("optimiser", "'adam' or 'lbfgs'", self.optimiser in ("adam", "lbfgs"))
        check("weight_decay", "a number >= 0", real(self.weight_decay) and self.weight_decay >= 0)
        known = isinstance(self.schedule, Schedule) or (
            isinstance(self.schedule, str) and self.schedule in SCHEDULES
        )
        check("schedule", "a Schedule or one of " + ", ".join(map(repr, SCHEDULES)), known)
        check("clip", "None or a number > 0", self.clip is None or (real(self.clip) and self.clip > 0))
        check(
            "patience",
            "None or a whole number >= 1",
            self.patience is None or (whole(self.patience) and self.patience >= 1),
        )
        check("min_improvement", "a number >= 0", real(self.min_improvement) and self.min_improvement >= 0)
        check("seed", "a whole number from 0 to 2^63−1", whole(self.seed) and 0 <= self.seed < 2**63)
        self.rate(0)  # a schedule that does not fit these epochs says so now
        if self.optimiser == "lbfgs":
            check(
                "batch", "None with optimiser 'lbfgs', whose line search needs one loss", self.batch is None
            )
            check(
                "weight_decay",
                "0 with optimiser 'lbfgs', which has none: put a penalty into the loss",
                self.weight_decay == 0,
            )
            check(
                "clip",
                "None with optimiser 'lbfgs': its line search needs the gradient as it is",
                self.clip is None,
            )
            check(
                "schedule",
                "'constant' with optimiser 'lbfgs', whose line search finds the step",
                self.course == SCHEDULES["constant"],
            )

    @property
    def course(self) -> Schedule:
        """The schedule as an object."""
        return SCHEDULES[self.schedule] if isinstance(self.schedule, str) else self.schedule

    def rate(self, epoch: int, valid_losses: Sequence[float] = ()) -> float:
        """Factor on the learning rate in this epoch, counted from 0, after these validation losses."""
        return self.course.factor(epoch, self.epochs, valid_losses)

    def out_of_patience(self, valid_losses: Sequence[float]) -> bool:
        """Whether the run ends after these validation losses, for want of improvement."""
        if self.patience is None or not valid_losses:
            return False
        return stagnation(valid_losses, self.min_improvement)[-1] >= self.patience

    def plain(self) -> dict[str, Any]:
        """The settings as numbers and strings, equal for equal settings; a schedule by its name or repr."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        names = [name for name, schedule in SCHEDULES.items() if schedule == self.course]
        return {**values, "schedule": names[0] if names else repr(self.schedule)}


def check_settings(name: str, settings: Settings) -> None:
    """Raise ``SurrogateError`` for what is no ``Settings``; ``name`` is that of the caller."""
    if not isinstance(settings, Settings):
        raise SurrogateError(
            f"{name} needs Settings, but settings is a {type(settings).__name__}: give "
            "surrogates.training.Settings(epochs=…, batch=…, learning_rate=…)"
        )
