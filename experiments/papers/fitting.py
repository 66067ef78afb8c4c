"""Networks of equal size fitted to one target, a group of seeds and time rules as one program."""

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from torch import Tensor

import surrogates
from experiments.papers.targets import TARGETS, Target
from surrogates import SurrogateError, analysis, training
from surrogates.activations import ACTIVATIONS
from surrogates.losses import mse
from surrogates.training import Settings

BUILD: dict[str, Callable[..., surrogates.LayeredNet]] = {
    "resnet": lambda fit, **common: surrogates.ResNet(**common),
    "dense-additive": lambda fit, **common: surrogates.AdditiveDenseNet(**common),
    "fractional": lambda fit, **common: surrogates.Fractional(order=fit.order, **common),
}
"""How a family's name becomes a network."""


class Member(pydantic.BaseModel):
    """A network of a group: its seed (weights, points, order of the points), time rule and horizon at the start."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    seed: int
    time: Literal["fixed", "free", "positive", "simplex", "simplex-horizon"] = "fixed"
    horizon: float = 1.0


class Fit(pydantic.BaseModel):
    """A group of networks that train together; all it takes to repeat them."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    target: str
    family: Literal["resnet", "dense-additive", "fractional", "feed-forward"]
    layers: int
    width: int
    order: float = pydantic.Field(0.5, description="of the fractional family")
    activation: str = "tanh"
    scale: float = pydantic.Field(1.0, description="factor on the weights that the layers start with")
    points: int = pydantic.Field(description="for training; as many more for validation")
    batch: int
    epochs: int
    learning_rate: float
    members: tuple[Member, ...]


def train(fit: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train the networks of a `Fit`, or go on from the checkpoint in the folder: an experiment for `Work.map`.

    Returns for each member, in order: `valid` (loss), `error` on the target's grid (for classes the share of it on
    the wrong side, else ‖u − û‖/‖u‖), `horizon` and `steps` after training, `parameters`, and `start` and `end`:
    log10 of ‖∂J/∂y_1‖/‖∂J/∂y_L‖ (`states`) and of ‖∂J/∂K_1‖/‖∂J/∂K_L‖ (`weights`), over the validation points,
    J the validation loss.  What has no number is None: `error` where training left the numbers (`failed` says so),
    a ratio where a gradient vanishes altogether.
    """
    torch.set_num_threads(1)
    fit = Fit.model_validate(fit)
    target = TARGETS[fit.target]
    loss = logistic if target.classes else mse
    nets = [build(fit, member, target.inputs) for member in fit.members]
    samples = [_samples(target, fit.points, member.seed) for member in fit.members]
    starts = [_decades(net, *valid, loss) for net, (_, valid) in zip(nets, samples, strict=True)]
    settings = [
        Settings(epochs=fit.epochs, batch=fit.batch, learning_rate=fit.learning_rate, seed=member.seed)
        for member in fit.members
    ]
    results = _trained(fit, nets, samples, settings, loss, folder)
    grid = target.grid()
    seen, truth = _tensor(grid), target.values(grid)
    found = []
    for net, (_, valid), start, result in zip(nets, samples, starts, results, strict=True):
        failed = isinstance(result, SurrogateError)
        steps = [] if fit.family == "feed-forward" or failed else net.time().tolist()
        found.append(
            {
                "failed": str(result) if failed else "",
                "valid": None if failed else result.best_loss,
                "error": None if failed else _error(net, seen, truth, target),
                "steps": steps,
                "horizon": sum(steps),
                "parameters": sum(p.numel() for p in net.parameters() if p.requires_grad),
                "start": start,
                "end": {"states": None, "weights": None} if failed else _decades(net, *valid, loss),
            }
        )
    for checkpoint in folder.glob("*.pt"):
        checkpoint.unlink()  # many, and large where there are many matrices
    return {"members": found}


def build(
    fit: Fit, member: Member, inputs: int, outputs: int = 1
) -> surrogates.LayeredNet | surrogates.FeedForward:
    """The untrained network of a member; equal seeds give equal weights in every family and rule."""
    common = {
        "inputs": inputs,
        "outputs": outputs,
        "width": fit.width,
        "activation": ACTIVATIONS[fit.activation],
        "generator": torch.Generator().manual_seed(member.seed),
    }
    if fit.family == "feed-forward":
        net = surrogates.FeedForward(layers=fit.layers, **common)
        layers = [layer.weight for layer in net.hidden[1:]]
    else:
        net = BUILD[fit.family](fit, time=surrogates.RULES[member.time](fit.layers, member.horizon), **common)
        layers = [net.layer_weight]
    with torch.no_grad():
        for weight in layers:
            weight.mul_(fit.scale)
    return net


def logistic(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of log(1 + e^{−y f}) over predictions f and classes y = ±1, both (n, 1)."""
    return F.softplus(-target * prediction).mean()


def _samples(target: Target, points: int, seed: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(training, validation), uniform in the domain; the test grid is another thing altogether."""
    drawn = np.random.default_rng([seed, points]).uniform(-1, 1, (2, points, target.inputs))
    training_points, valid_points = ((_tensor(part), _tensor(target.values(part))) for part in drawn)
    return training_points, valid_points


def _tensor(values: np.ndarray) -> Tensor:
    return torch.as_tensor(values, dtype=torch.get_default_dtype())


def _trained(fit, nets, samples, settings, loss, folder) -> list[training.Result | SurrogateError]:
    train, valid = ([pair[part] for pair in samples] for part in (0, 1))
    if fit.family != "feed-forward":
        return training.fit_ensemble(
            nets, train, valid, settings, loss=loss, checkpoint=folder / "checkpoint.pt"
        )
    found = []
    for k, net in enumerate(nets):
        try:
            checkpoint = folder / f"checkpoint-{k}.pt"
            found.append(training.fit(net, train[k], valid[k], settings[k], loss=loss, checkpoint=checkpoint))
        except SurrogateError as error:
            found.append(error)
    return found


@torch.no_grad()
def _error(net, points, truth, target) -> float:
    estimates = net(points).double().numpy()
    if target.classes:
        return float(np.mean((estimates > 0) != (truth > 0)))
    return float(np.linalg.norm(estimates - truth) / np.linalg.norm(truth))


def _decades(net, x, y, loss) -> dict[str, float | None]:
    """log10 of the first layer's gradient over the last's: 0 is none lost and none gained on the way.

    In float64, for what 256 plain layers leave of a gradient is no number of float32.
    """
    norms = _plain_norms if isinstance(net, surrogates.FeedForward) else _norms
    states, weights = norms(copy.deepcopy(net).double(), x.double(), y.double(), loss)
    return {"states": _decade(states[0], states[-1]), "weights": _decade(weights[0], weights[-1])}


def _norms(net, x, y, loss):
    found = analysis.profile(net, x, y, loss)
    return found.states[1:].tolist(), found.weights.tolist()


def _plain_norms(net, x, y, loss) -> tuple[Sequence[float], Sequence[float]]:
    """‖∂J/∂y_l‖ and ‖∂J/∂K_l‖, l = 1 … L, of a net without memory, by autograd."""
    states, state = [], net.activation(net.hidden[0](x))
    for layer in net.hidden[1:]:
        states.append(state := net.activation(layer(state)))
    layers = [layer.weight for layer in net.hidden[1:]]
    found = torch.autograd.grad(loss(net.readout(state), y), [*states, *layers])
    norms = [part.norm().item() for part in found]
    return norms[: len(states)], norms[len(states) :]


def _decade(first: float, last: float) -> float | None:
    if not (math.isfinite(first) and math.isfinite(last)) or min(first, last) <= 0:
        return None
    return math.log10(first / last)
