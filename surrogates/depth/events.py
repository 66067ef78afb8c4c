"""Changes of depth within a training: a net with its optimiser, and what an event does to both."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from surrogates.depth.grids import set_steps
from surrogates.depth.insertion import insert, split
from surrogates.depth.pruning import change_bound, least, prune, shares
from surrogates.depth.record import Event
from surrogates.depth.schedule import Growth, Pruning, Splitting
from surrogates.depth.sensitivity import MOVES, sensitivities, steer
from surrogates.depth.surgery import Surgery
from surrogates.errors import SurrogateError
from surrogates.nets.base import LayeredNet
from surrogates.nets.fractional import Fractional
from surrogates.order import Order

Pair = tuple[Tensor, Tensor]
_SHORTEST = 1e-5  # share of the mean step that a new layer is woken with at least
_ROUNDING = 16  # units in the last place by which means of losses may differ without being different


@dataclass
class Trained:
    """A net in training: its optimiser, the epoch in which each layer came, and the work done so far."""

    net: nn.Module
    optimiser: torch.optim.Optimizer
    born: list[int]
    loss: Callable[[Tensor, Tensor], Tensor]
    work: float = 0.0

    def size(self) -> int:
        """Number of parameters."""
        return _size(self.net)

    @torch.no_grad()
    def measure(self, train: Pair, valid: Pair) -> tuple[Tensor, float, float]:
        """Return the prediction on the training set, J there and J on the validation set; it decides nothing."""
        self.net.eval()
        prediction = self.net(train[0])
        return (
            prediction,
            self.loss(prediction, train[1]).item(),
            self.loss(self.net(valid[0]), valid[1]).item(),
        )

    def become(self, surgery: Surgery, epoch: int) -> None:
        """Go on with the net of a surgery, and the optimiser with it."""
        surgery.transplant(self.optimiser)
        self.born = [epoch if place.new else self.born[place.source] for place in surgery.plan]
        self.net = surgery.net


def grow(
    trained: Trained,
    growth: Growth,
    room: int | None,
    epoch: int,
    train: Pair,
    valid: Pair,
    budget: float = math.inf,
) -> Event:
    """Insert the layers that the rule allows, ``room`` at most, steer them and wake them.

    Steps are tried while the ``budget`` of work has room for that and for an epoch of the new net, at least once;
    if none is found that way, no layer comes.
    """
    seen = (train[0][: growth.samples], train[1][: growth.samples])
    tried = seen
    if growth.held is not None:
        held = slice(growth.samples, growth.samples + growth.held)
        tried = (train[0][held], train[1][held])
    net, before = trained.net, trained.measure(seen, valid)
    found = sensitivities(net, *seen, trained.loss)
    trained.work += _ranking(net) * len(seen[0])
    layered = isinstance(net, LayeredNet)
    upward = layered and net.time.always_positive
    radius = growth.radius if layered else 1.0
    scores = (found.descent(radius) if upward else found.norm(radius)).tolist()
    mean = found.mean_present(radius).item()
    count = growth.count if room is None else min(growth.count, room)
    order = [
        position for position in growth.choice.order(scores, epoch) if scores[position] > growth.ratio * mean
    ]
    chosen = sorted(order[:count])
    if not chosen:
        return _event(trained, epoch, "none", [], [], scores, mean, before, before)
    while True:
        surgery, slopes = insert(net, chosen), [found.at[position].item() for position in chosen]
        if layered and growth.radius > 0:
            for index, layer in enumerate(surgery.layers):
                sign = -1.0 if upward or slopes[index] < 0 else 1.0
                slopes[index] = steer(surgery.net, layer, *seen, trained.loss, radius=radius, sign=sign)
                trained.work += 2 * (MOVES + 1) * _size(surgery.net) * len(seen[0])
        good = [position for position, slope in zip(chosen, slopes, strict=True) if slope < 0 or not upward]
        if good == chosen:
            break
        chosen = good  # a ball that to first order had weights of descent need not have them
        if not chosen:
            return _event(trained, epoch, "none", [], [], scores, mean, before, before)
    layers = list(surgery.layers)
    if layered and growth.step > 0:
        most = budget - _size(surgery.net) * len(train[0])
        if not _wake(trained, surgery.net, growth, upward, layers, slopes, tried, most):
            return _event(trained, epoch, "none", [], [], scores, mean, before, before)
    trained.become(surgery, epoch)
    return _event(
        trained, epoch, "insert", layers, layers, scores, mean, before, trained.measure(seen, valid)
    )


@torch.no_grad()
def _wake(trained, net, growth, upward, layers, slopes, tried, most) -> bool:
    """Give new layers of a net their steps, less and less until J is right, and return whether they may stay.

    Each time the gain is halved, which is the step, with memory its power γ.  J is right when it is not above that
    of steps of 0 but for rounding, on held samples when it is below by more than rounding.  The least step may stay
    even so, but not on held samples; what the work has no room to try may not.
    """
    mean = net.time().abs().sum().item() / (net.time.layers - len(layers))
    size, shrink = growth.step * mean, 0.5
    if isinstance(net, Fractional):
        order = net.order().item() if isinstance(net.order, Order) else net.order
        shrink = 0.5 ** (1 / order)
    signs = [-1.0 if slope > 0 and not upward else 1.0 for slope in slopes]
    start = {name: value.clone() for name, value in net.time.state_dict().items()}
    value = trained.loss(net(tried[0]), tried[1])
    rounding = _ROUNDING * torch.finfo(value.dtype).eps * abs(value.item())
    limit = value.item() + (rounding if growth.held is None else -rounding)
    each = _size(net) * len(tried[0]) / 3
    trained.work += each
    places = [layer - 1 + net.timed_lift for layer in layers]
    while True:
        net.time.load_state_dict(start)
        try:
            set_steps(net.time, {place: sign * size for place, sign in zip(places, signs, strict=True)})
        except SurrogateError:  # more than a horizon that is kept has room for
            if size * shrink < _SHORTEST * mean:
                raise
            size *= shrink
            continue
        trained.work += each
        if trained.loss(net(tried[0]), tried[1]).item() <= limit:
            return True
        if size * shrink < _SHORTEST * mean:
            return growth.held is None
        if trained.work + each > most:
            return False
        size *= shrink


def cost(trained: Trained, growth: Growth | Splitting, count: int, samples: int) -> float:
    """Most work of inserting so many layers, up to the first trial of their steps; it is 0 for a splitting."""
    if isinstance(growth, Splitting):
        return 0.0
    layers = count * (count + 1) // 2  # all, and all over again without one that turned out not good
    steered = 2 * (MOVES + 1) * layers if isinstance(trained.net, LayeredNet) and growth.radius else 0
    woken = 2 / 3 if isinstance(trained.net, LayeredNet) and growth.step else 0
    size = grown_size(trained.net, count)
    seen = min(samples, growth.samples or samples)
    return (_ranking(trained.net) + steered * size) * seen + woken * size * (growth.held or seen)


def _ranking(net: nn.Module) -> int:
    """Work of the sensitivities of all positions, for each sample: two adjoints with a new layer at each of them.

    Layers of dense nets grow with their number, so that is more than twice the net.
    """
    return 2 * max(2 * _size(net), grown_size(net, net.layers + 1))


def grown_size(net: nn.Module, count: int) -> int:
    """Parameters of the net with so many layers more, wherever they come."""
    while count > 0:
        together = min(count, net.layers + 1)
        net, count = insert(net, range(together)).net, count - together
    return _size(net)


def _size(net: nn.Module) -> int:
    return sum(value.numel() for value in net.parameters())


def halve(
    trained: Trained, growth: Splitting, room: int | None, epoch: int, train: Pair, valid: Pair
) -> Event:
    """Split the longest step, and again the longest, ``room`` times at most."""
    seen = (train[0][: growth.samples], train[1][: growth.samples])
    before, halves = trained.measure(seen, valid), set()
    for _ in range(growth.count if room is None else min(growth.count, room)):
        layer = int(trained.net.steps().detach().abs().argmax()) + 1
        trained.become(split(trained.net, layer), epoch)
        halves = {number + (number > layer) for number in halves} | {layer, layer + 1}
    layers = sorted(halves)
    return _event(trained, epoch, "split", layers, layers, [], 0.0, before, trained.measure(seen, valid))


def cut(
    trained: Trained, pruning: Pruning, shallowest: int, epoch: int, train: Pair, valid: Pair
) -> list[Event]:
    """Remove the least layer while it is below the threshold and not too young, as many as the rule allows."""
    found, before, seen = [], None, (train[0][: pruning.samples], train[1][: pruning.samples])
    while len(found) < pruning.count and trained.net.layers > shallowest:
        net, ages = trained.net, enumerate(trained.born, 1)
        young = [number for number, born in ages if born > 0 and epoch - born < pruning.grace]
        layer = least(net, pruning.threshold, young) if len(young) < net.layers else None
        if layer is None:
            break
        before = before or trained.measure(seen, valid)
        step, share = net.steps()[layer - 1].item(), shares(net)[layer - 1].item()
        surgery = prune(net, layer)
        bound = None
        if net.activation.slope_bound is not None:
            bound = change_bound(surgery, seen[0]).square().mean().sqrt().item()
        trained.become(surgery, epoch)
        after = trained.measure(seen, valid)
        event = _event(trained, epoch, "prune", [layer], [], [], 0.0, before, after)
        found.append(Event(**{**vars(event), "steps": [step], "shares": [share], "bound": bound}))
        before = after
    return found


def _event(trained, epoch, kind, layers, present, scores, mean, before, after) -> Event:
    net, steps, part = trained.net, [], []
    if isinstance(net, LayeredNet):
        steps = [net.steps()[layer - 1].item() for layer in present]
        part = [shares(net)[layer - 1].item() for layer in present]
    change = (after[0] - before[0]).square().flatten(1).sum(1).mean().sqrt().item()
    return Event(
        epoch=epoch,
        kind=kind,
        layers=list(layers),
        depth=net.layers,
        steps=steps,
        shares=part,
        sensitivities=scores,
        mean=mean,
        change=change,
        bound=None,
        train_loss=[before[1], after[1]],
        valid_loss=[before[2], after[2]],
    )
