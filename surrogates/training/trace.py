"""What a training run leaves behind: its trace, its result, and what callbacks see."""

from dataclasses import dataclass, field

from torch import nn


@dataclass
class Trace:
    """One entry per finished epoch, plain numbers throughout (JSON can hold it).

    train_loss      mean over the epoch's mini-batches, each at the weights it was met with
    valid_loss      on the whole validation set, after the epoch
    learning_rate   of the first parameter group
    gradient_norm   mean over the epoch's updates of the norm of the whole gradient, before clipping
    clipped         share of updates that were clipped, 0 while clipping is off
    evaluations     of loss and gradient: one per update, more where the optimiser searches along a line
    steps           τ_1 … τ_L before training and after each epoch, hence one row more; empty without a grid
    order           γ, one entry a row of ``steps``; empty unless the net has an ``Order.learned``
    regulariser     R(τ) after the epoch, which no loss above contains; empty without one
    """

    train_loss: list[float] = field(default_factory=list)
    valid_loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    clipped: list[float] = field(default_factory=list)
    evaluations: list[int] = field(default_factory=list)
    steps: list[list[float]] = field(default_factory=list)
    order: list[float] = field(default_factory=list)
    regulariser: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """Outcome of ``fit``; the net itself holds the weights of ``best_epoch``.

    best_epoch      counted from 1
    best_loss       validation loss after that epoch
    epochs          finished in all, over every resumption
    ended           "epochs" when all that were asked for are done, "patience" when the validation loss had
                    not improved for as many epochs as the settings' patience
    trace           see ``Trace``
    seconds         wall time of this call alone
    """

    best_epoch: int
    best_loss: float
    epochs: int
    ended: str
    trace: Trace
    seconds: float = field(compare=False)


@dataclass(frozen=True)
class EpochState:
    """What a callback's ``on_epoch`` and ``progress`` are given after each epoch: to look at, not to change.

    net             with the weights as they stand (not the best ones)
    epoch, epochs   finished, and asked for
    best_epoch      counted from 1
    best_loss       validation loss after that epoch
    trace           so far; the last entries belong to this epoch
    """

    net: nn.Module
    epoch: int
    epochs: int
    best_epoch: int
    best_loss: float
    trace: Trace
