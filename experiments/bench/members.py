"""Ensembles: one update of S nets side by side against updates one by one, by processor time."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import nn

from experiments.bench import passes
from experiments.bench.passes import CASES, Size
from surrogates import ensemble


@dataclass(frozen=True)
class Group:
    """So many members of one size, each a net of the case ``net``."""

    members: int
    size: Size
    net: str


def measure(groups: list[Group], turns: int) -> list[dict]:
    """Seconds of an update (forward, backward, Adam) of `one` net and of the `ensemble`, each `best` and `median`.

    `cost` is the ensemble's time over that of one, and `throughput` = S/cost, member updates a second over
    those one by one. Members have weights of their own; the ensemble's loss is the sum of theirs, so that each is
    trained as it would be alone.
    """
    torch.set_num_threads(1)
    rows = []
    for group in groups:
        nets = [CASES[group.net](group.size) for _ in range(group.members)]
        with torch.no_grad():
            for net in nets[1:]:
                for parameter in net.parameters():
                    parameter += 0.01 * torch.randn_like(parameter)
        x, y = passes.samples(group.size)
        several = [tensor.repeat(group.members, 1, 1) for tensor in (x, y)]
        actions = {"one": _update(nets[0], x, y), "ensemble": _update(ensemble.stack(nets), *several)}
        clocks = passes.clocked(actions, turns)
        cost = {key: clocks["ensemble"][key] / clocks["one"][key] for key in ("best", "median")}
        throughput = {key: group.members / value for key, value in cost.items()}
        rows.append(
            {"net": group.net, "members": group.members}
            | asdict(group.size)
            | clocks
            | {"cost": cost, "throughput": throughput}
        )
    return rows


def _update(net: nn.Module, x, y) -> Callable[[], None]:
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-4)

    def update():
        optimiser.zero_grad()
        (net(x) - y).square().mean((-2, -1)).sum().backward()
        optimiser.step()

    return update
