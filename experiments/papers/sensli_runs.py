"""One network on the spirals: small, large, or small first and with a layer more from some epoch on."""

import math
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic
import torch
from torch import Tensor, nn

import surrogates
from experiments.papers.fitting import logistic
from experiments.papers.spirals import spirals
from surrogates import depth
from surrogates.training import Settings

Variant = Literal["small", "largest", "smallest", "drawn", "large"]
"""A net of fixed depth, or one that grows by a layer at the position of largest, smallest or any sensitivity."""

GRID = 61
EXTENT = 1.8
"""Points a side, and half the side, of the square on which decision regions are looked at."""


class Case(pydantic.BaseModel):
    """What the networks of a comparison share.

    layers : of the small net, after the map of the inputs; the large one has one more.
    batch : samples an update; None is all of them.
    insert : epoch after which the layer comes.  epochs : of all, the small net's go on to the work of the large.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    family: Literal["feed-forward", "blocks", "resnet"]
    layers: int
    width: int
    batch: int | None = None
    learning_rate: float
    insert: int
    epochs: int


class Data(pydantic.BaseModel):
    """Points of each class, as many for validation, more for the test; standard deviation of their noise."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    points: int
    test_points: int
    noise: float


class Run(pydantic.BaseModel):
    """All it takes to repeat a network: equal seeds give equal points, weights and order of the points.

    ratio : the layer comes only where the sensitivity exceeds this multiple of the mean of the layers there are.
    regions : whether its values on a grid are kept.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    case: Case
    variant: Variant
    seed: int
    data: Data
    ratio: float = 0.0
    regions: bool = False


def train(run: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train the network of a `Run`: an experiment for `Work.map`, so short that it begins anew after a kill.

    Returns, after each epoch, `loss` (training), `valid` (loss), `error` (share of test points on the wrong side)
    and `work` (`depth.DepthTrace`); `insertion`, None for none: its `epoch`, `position`, `sensitivities` of all
    positions, `mean` of those of the layers there were, `change` of the output and `loss` before and after; number
    of `parameters` at the end; `regions`, values on the grid at the insertion (or its epoch) and at the end.
    `seconds` are of the process, without the looking; all but these repeat.
    """
    torch.set_num_threads(1)
    run = Run.model_validate(run)
    case, watch = run.case, _Watch(run)
    net, epochs = build(case, case.layers + (run.variant == "large"), run.seed), case.epochs
    if run.variant == "small":
        epochs = math.ceil(epochs * _size(build(case, case.layers + 1, run.seed)) / _size(net))
    began = time.process_time()
    found = depth.fit(
        net,
        watch.train,
        points(run, "valid"),
        Settings(
            epochs=epochs,
            batch=case.batch,
            learning_rate=case.learning_rate,
            schedule="constant",
            seed=run.seed,
        ),
        depth.DepthSchedule(growth=growth(run)),
        loss=logistic,
        callbacks=[watch],
    )
    seconds = time.process_time() - began - watch.seconds
    events = [event for event in found.trace.events if event.kind == "insert"]
    return {
        "loss": watch.loss,
        "valid": found.trace.valid_loss,
        "error": watch.error,
        "work": found.trace.work,
        "insertion": _plain(events[0]) if events else None,
        "parameters": _size(found.last),
        "regions": watch.regions,
        "seconds": seconds,
    }


def build(case: Case, layers: int, seed: int) -> nn.Module:
    """The untrained network of so many layers, in float64, with ReLU; a ResNet learns its steps, at first 1."""
    common = {
        "inputs": 2,
        "outputs": 1,
        "width": case.width,
        "activation": torch.relu,
        "generator": torch.Generator().manual_seed(seed),
    }
    if case.family == "resnet":
        net = surrogates.ResNet(time=surrogates.TimeGrid.free(layers, float(layers)), **common)
    else:
        net = {"feed-forward": surrogates.FeedForward, "blocks": depth.Blocks}[case.family](
            layers=layers, **common
        )
    return net.double()


def growth(run: Run) -> depth.Growth | None:
    """One layer, unseen at first: identity, V = 0, or a step of 0 that the training moves."""
    choices = {
        "largest": depth.Largest(),
        "smallest": depth.Smallest(),
        "drawn": depth.Drawn(seed=run.seed),
    }
    if run.variant not in choices:
        return None
    return depth.Growth(
        every=run.case.insert, times=1, ratio=run.ratio, step=0.0, choice=choices[run.variant]
    )


def points(run: Run, part: Literal["train", "valid", "test"]) -> tuple[Tensor, Tensor]:
    """Points and classes of this part, from its own generator."""
    count = run.data.test_points if part == "test" else run.data.points
    rng = np.random.default_rng([run.seed, ("train", "valid", "test").index(part)])
    x, y = spirals(count, run.data.noise, rng)
    return torch.as_tensor(x), torch.as_tensor(y)


def grid() -> Tensor:
    """The grid of `regions`, row by row, (GRID², 2)."""
    axis = torch.linspace(-EXTENT, EXTENT, GRID, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


class _Watch:
    """Loss on all training points and error on the test points after each epoch."""

    def __init__(self, run: Run):
        self._run, self.train, self._test = run, points(run, "train"), points(run, "test")
        self.loss: list[float] = []
        self.error: list[float] = []
        self.regions: dict[str, list[float]] = {}
        self.seconds = 0.0

    @torch.no_grad()
    def on_epoch(self, state: depth.DepthState) -> None:
        began = time.process_time()
        net, (x, y) = state.net.eval(), self._test
        self.loss.append(logistic(net(self.train[0]), self.train[1]).item())
        self.error.append(((net(x) > 0) != (y > 0)).double().mean().item())
        if self._run.regions:
            for name, epoch in (("insertion", self._run.case.insert), ("end", self._run.case.epochs)):
                if state.epoch == epoch:
                    self.regions[name] = [round(value, 4) for value in net(grid()).flatten().tolist()]
        self.seconds += time.process_time() - began


def _plain(event: depth.Event) -> dict[str, Any]:
    return {
        "epoch": event.epoch,
        "position": event.layers[0] - 1,
        "sensitivities": event.sensitivities,
        "mean": event.mean,
        "change": event.change,
        "loss": event.train_loss,
    }


def _size(net: nn.Module) -> int:
    return sum(value.numel() for value in net.parameters())
