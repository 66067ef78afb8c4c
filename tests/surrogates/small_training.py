"""Small training runs that the tests of the loop and of its checkpoints share."""

import torch

from surrogates.training import Constant, Cosine, Exponential, Plateau, Settings, Step, WarmUp

SETTINGS = Settings(epochs=6, batch=8, learning_rate=0.02, seed=3)

SCHEDULES = [
    Constant(),
    Cosine(),
    Exponential(end=0.01),
    Step(every=3, ratio=0.5),
    Plateau(patience=2),
    WarmUp(epochs=3, then=Cosine()),
    WarmUp(epochs=3, then=Plateau(patience=2, ratio=0.2)),
]
"""Every schedule, for tests that run over all."""

OPTIMISERS = {
    "adam": {},
    "adamw": {"weight_decay": 0.1},
    "adam-full-batch": {"batch": None},
    "lbfgs": {"optimiser": "lbfgs", "batch": None, "learning_rate": 1.0, "schedule": "constant"},
}
"""Every optimiser, as changes of the settings."""


def data(count, seed):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 3, generator=draw, dtype=torch.float64)
    return x, torch.stack((x[:, 0] * x[:, 1], torch.sin(x[:, 2])), dim=1)


TRAIN, VALID = data(30, 0), data(20, 1)


def noisy(epoch):
    """Fresh noise for each epoch, a function of the epoch alone."""
    x, y = TRAIN
    return x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(epoch)), y


class StopAfter(Exception):
    """Raised by a callback: the stand-in for Ctrl-C or a kill between two epochs."""

    def __init__(self, epoch):
        super().__init__(epoch)
        self.epoch = epoch

    def on_epoch(self, state):
        if state.epoch == self.epoch:
            raise self


class Recorder:
    def __init__(self):
        self.weights, self.states = [], []

    def on_epoch(self, state):
        self.states.append(state)
        self.weights.append({name: value.clone() for name, value in state.net.state_dict().items()})


def same(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


def receding(net):
    """A validation set that the untrained net meets exactly: training can only move away from it."""
    return VALID[0], net(VALID[0]).detach()


def dropout_net():
    """A net whose updates draw random numbers of their own."""
    draw = torch.Generator().manual_seed(11)
    net = torch.nn.Sequential(
        torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Dropout(0.3), torch.nn.Linear(16, 2)
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=draw))
    return net
