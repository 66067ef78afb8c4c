"""Ensembles: an update of S nets side by side against an update of one, by processor time, bare and in training."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn

from experiments.bench import passes
from experiments.bench.passes import CASES, Size
from surrogates import LayeredNet, ensemble, training

EPOCHS, BATCHES = 3, 8


@dataclass(frozen=True)
class Group:
    """So many members of one size, each a net of the case ``net``."""

    members: int
    size: Size
    net: str


def measure(groups: list[Group], turns: int) -> list[dict]:
    """Seconds of an update of `one` net and of the `ensemble`, each `best` and `median`; two rows for each group.

    `cost` is the ensemble's time over that of one, and `throughput` = S/cost, member updates a second over
    those one by one. Members have weights of their own and all see the same data; each is trained as it would be
    alone. By `loop`:

    bare    : forward, backward, ``torch.optim.Adam`` on the sum of the members' losses, and nothing else
    training: ``training.fit`` against ``training.fit_ensemble``, EPOCHS of BATCHES updates with all that belongs to
              them (drawn batches, norms, validation on one batch, best weights, trace), over the number of updates
    """
    torch.set_num_threads(1)
    rows = []
    for group in groups:
        for loop, (prepare, updates) in LOOPS.items():
            clocks = passes.clocked(prepare(_nets(group), group.size), turns)
            clocks = {
                name: {key: value / updates for key, value in clock.items()} for name, clock in clocks.items()
            }
            cost = {key: clocks["ensemble"][key] / clocks["one"][key] for key in ("best", "median")}
            throughput = {key: group.members / value for key, value in cost.items()}
            rows.append(
                {"net": group.net, "loop": loop, "members": group.members}
                | asdict(group.size)
                | clocks
                | {"cost": cost, "throughput": throughput}
            )
    return rows


Actions = Mapping[str, Callable[[], object]]


def _bare(nets: list[LayeredNet], size: Size) -> Actions:
    x, y = passes.samples(size)
    several = [tensor.repeat(len(nets), 1, 1) for tensor in (x, y)]
    return {"one": _update(nets[0], x, y), "ensemble": _update(ensemble.stack(nets), *several)}


def _update(net: nn.Module, x: Tensor, y: Tensor) -> Callable[[], None]:
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-4)

    def update():
        optimiser.zero_grad()
        (net(x) - y).square().mean((-2, -1)).sum().backward()
        optimiser.step()

    return update


def _training(nets: list[LayeredNet], size: Size) -> Actions:
    train, valid = passes.samples(replace(size, batch=BATCHES * size.batch)), passes.samples(size)
    settings = training.Settings(epochs=EPOCHS, batch=size.batch, learning_rate=1e-4, schedule="constant")
    alone = copy.deepcopy(nets[0])
    return {
        "one": lambda: training.fit(alone, train, valid, settings),
        "ensemble": lambda: training.fit_ensemble(nets, train, valid, settings),
    }


LOOPS: Mapping[str, tuple[Callable[[list[LayeredNet], Size], Actions], int]] = {
    "bare": (_bare, 1),
    "training": (_training, EPOCHS * BATCHES),
}
"""What prepares the two actions, and how many updates one call of them is."""


def _nets(group: Group) -> list[LayeredNet]:
    """The members, apart from each other by a little."""
    draw = torch.Generator().manual_seed(2)
    nets = [CASES[group.net](group.size) for _ in range(group.members)]
    with torch.no_grad():
        for parameter in (parameter for net in nets[1:] for parameter in net.parameters()):
            parameter += 0.01 * torch.randn(parameter.shape, generator=draw).to(parameter)
    return nets
