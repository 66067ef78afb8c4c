"""What a training of changing depth leaves behind: its events, its trace, its result."""

from dataclasses import dataclass, field

from torch import nn


@dataclass(frozen=True)
class Event:
    """A change of depth, or the decision against one, in plain numbers.

    epoch           after which it came, from 1
    kind            "insert", "split" or "prune"; "none" where no position was sensitive enough, or no step helped
    layers          numbers of the layers, from 1: the new ones in the new net, the one that went in the old one
    depth           layers after it
    steps           τ of these layers, after an insertion as they were woken
    shares          |τ|/Σ|τ| of these layers
    sensitivities   of all positions, as they were ranked; empty unless by sensitivity
    mean            the mean of the layers that there were, with which they were compared; 0 else
    change          root mean square over these inputs of the change of the output
    bound           ``change_bound`` of a pruning in the same mean; None where no bound is known
    train_loss      J on the training set, or on so many ``samples`` of it, before and after
    valid_loss      J on the validation set before and after
    """

    epoch: int
    kind: str
    layers: list[int]
    depth: int
    steps: list[float]
    shares: list[float]
    sensitivities: list[float]
    mean: float
    change: float
    bound: float | None
    train_loss: list[float]
    valid_loss: list[float]


@dataclass
class DepthTrace:
    """One entry per finished epoch, plain numbers throughout (JSON can hold ``asdict`` of it), and the events.

    train_loss, valid_loss, learning_rate, gradient_norm, regulariser
                    as in ``training.Trace``: of the net of that epoch, no loss with the regulariser in it
    depth           layers in that epoch
    steps           τ_1 … τ_L of its grid after the epoch, empty without a grid; rows differ in length
    horizon         Σ τ_l after the epoch, 0 without a grid
    parameters      numbers that the net had
    work            Σ over updates so far of samples × parameters of the net that met them, and for events as much
                    as the passes cost that decide something (forward a third of an update, sensitivities four): no
                    clock disturbs it. What is measured only to be told, as losses before and after, is not in it,
                    nor is the validation after every epoch
    events          ``Event`` objects
    """

    train_loss: list[float] = field(default_factory=list)
    valid_loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    regulariser: list[float] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    steps: list[list[float]] = field(default_factory=list)
    horizon: list[float] = field(default_factory=list)
    parameters: list[int] = field(default_factory=list)
    work: list[float] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


@dataclass(frozen=True)
class DepthResult:
    """Outcome of ``depth.fit``.

    net             the net of least validation loss, in the depth that it had then
    last            the net as it was at the end, after the last event
    best_epoch      counted from 1
    best_loss       validation loss after that epoch
    epochs          finished in all, over every resumption
    ended           "epochs" or "patience", as in ``training.Result``, or "budget"
    work            as in the trace, with the events after the last epoch
    trace           see ``DepthTrace``
    seconds         wall time of this call alone
    """

    net: nn.Module = field(compare=False)
    last: nn.Module = field(compare=False)
    best_epoch: int
    best_loss: float
    epochs: int
    ended: str
    work: float
    trace: DepthTrace
    seconds: float = field(compare=False)


@dataclass(frozen=True)
class DepthState:
    """What callbacks and ``progress`` are given after each epoch and its events: to look at, not to change."""

    net: nn.Module
    epoch: int
    epochs: int
    best_epoch: int
    best_loss: float
    trace: DepthTrace
