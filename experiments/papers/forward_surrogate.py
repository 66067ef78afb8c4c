"""A network in place of the forward map: θ of one ball ↦ POD coefficients of its observations."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic
import torch

import data
import surrogates
from experiments.papers.dipole_chart import moment
from experiments.papers.pod import Pod
from surrogates import training

DATA, NETWORK = "data", "network.npz"
"""Of the data set, in the folder of a paper; of a trained network, in that of its experiment."""

FAMILIES = {
    "fractional": lambda spec, **common: surrogates.Fractional(
        time=_grid(spec), order=spec.order, width=spec.width, **common
    ),
    "resnet": lambda spec, **common: surrogates.ResNet(time=_grid(spec), width=spec.width, **common),
    "feed-forward": lambda spec, **common: surrogates.FeedForward(
        width=spec.width, layers=spec.layers, **common
    ),
}
"""How a family's name becomes a network; all of equal width and depth have as many parameters."""


class NetworkSpec(pydantic.BaseModel):
    """All it takes to train a forward surrogate, but the data."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    family: Literal["fractional", "resnet", "feed-forward"]
    seed: int
    components: pydantic.PositiveInt
    layers: pydantic.PositiveInt
    width: pydantic.PositiveInt
    horizon: float = pydantic.Field(gt=0)
    order: float = pydantic.Field(gt=0, lt=1)
    epochs: pydantic.PositiveInt
    batch: pydantic.PositiveInt
    learning_rate: float = pydantic.Field(gt=0)


def _grid(spec):
    return surrogates.TimeGrid.fixed(layers=spec.layers, horizon=spec.horizon)


def build(spec: NetworkSpec) -> torch.nn.Module:
    """The untrained network; equal seeds give equal weights to the families with time steps."""
    generator = torch.Generator().manual_seed(spec.seed)
    return FAMILIES[spec.family](spec, inputs=5, outputs=spec.components, generator=generator)


@dataclass(frozen=True, eq=False)
class Scaling:
    """Between θ, z and what the network sees: x = (θ − θ_0)/s, y = (z/moment − y_0)/t.

    The moment is that of `dipole_chart`, most of what the size of the data depends on: the network learns the rest.
    θ_0, s, y_0 entry by entry, and one t for all entries: mean squares over y are those of the data's misfit.
    """

    theta_mean: np.ndarray
    theta_scale: np.ndarray
    shape_mean: np.ndarray
    shape_scale: np.ndarray

    @classmethod
    def fit(cls, thetas: np.ndarray, coefficients: np.ndarray) -> "Scaling":
        """Moments of training samples (n, 5), (n, k)."""
        shapes = coefficients / moment(thetas)[:, None]
        mean = shapes.mean(axis=0)
        return cls(thetas.mean(axis=0), thetas.std(axis=0), mean, np.sqrt(np.mean((shapes - mean) ** 2)))

    def inputs(self, thetas: np.ndarray) -> np.ndarray:
        """x (n, 5)."""
        return (thetas - self.theta_mean) / self.theta_scale

    def targets(self, thetas: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """y (n, k)."""
        return (coefficients / moment(thetas)[:, None] - self.shape_mean) / self.shape_scale

    def coefficients(self, thetas: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """z (n, k): the inverse of `targets`."""
        return (outputs * self.shape_scale + self.shape_mean) * moment(thetas)[:, None]


@dataclass(frozen=True, eq=False)
class Frozen:
    """A trained network with time steps, tanh and dense layers, in numpy: one θ at a time in tens of microseconds.

    That is what a Markov chain asks for, and less than the calls of a tensor library cost.

    lift (w, 5), lift_bias (w,), weights (L, w, w), biases (L, w), gains c (L,), memory a (L, L), readout (k, w),
    readout_bias (k,) : of the recursion of `surrogates.engine`, scaling included in lift and readout.
    directions (2m, k) : of the `Pod`.
    """

    lift: np.ndarray
    lift_bias: np.ndarray
    weights: np.ndarray
    biases: np.ndarray
    gains: np.ndarray
    memory: np.ndarray
    readout: np.ndarray
    readout_bias: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(cls, net: surrogates.LayeredNet, scaling: Scaling, pod: Pod) -> "Frozen":
        """From a network and what stands before and behind it."""
        with torch.no_grad():
            a, c = net.memory()
            a = torch.zeros(net.layers, net.layers) if a is None else a
            given = net.lift_weight, net.lift_bias, net.layer_weights(), net.layer_biases(), c, a
            arrays = [each.numpy().astype(float) for each in (*given, net.readout_weight, net.readout_bias)]
        lift, lift_bias, *layers, readout, readout_bias = arrays
        lift = lift / scaling.theta_scale
        return cls(
            lift,
            lift_bias - lift @ scaling.theta_mean,
            *layers,
            readout * scaling.shape_scale,
            readout_bias * scaling.shape_scale + scaling.shape_mean,
            pod.directions,
        )

    @classmethod
    def load(cls, file: Path) -> "Frozen":
        """What `train` left."""
        with np.load(file) as arrays:
            return cls(**arrays)

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        """z*(θ): (5,) → (k,)."""
        state = np.tanh(self.lift @ theta + self.lift_bias)
        increments = np.empty((len(self.gains), len(state)))
        for layer, gain in enumerate(self.gains):
            increment = gain * np.tanh(self.weights[layer] @ state + self.biases[layer])
            increment -= self.memory[layer, :layer] @ increments[:layer]
            increments[layer] = increment
            state = state + increment
        return (self.readout @ state + self.readout_bias) * moment(theta)

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        """∂z*/∂θ (k, 5), by central differences of a millionth of the prior's spread."""
        steps = 1e-6 * np.array([0.28, 0.28, 0.28, 0.06, 1.5])
        return np.stack(
            [
                (self(theta + step) - self(theta - step)) / (2 * size)
                for size, step in zip(steps, np.diag(steps), strict=True)
            ],
            axis=1,
        )


def train(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train a forward surrogate on the paper's data, an experiment for `Work.map`.

    Leaves a network with time steps as `NETWORK` in the folder, for `Frozen.load`, whose name is the `folder` that
    it returns.  Returns besides `error`, the relative
    RMS error of the coefficients ‖z* − z‖/‖z‖ over the test split; `truncation`, that of the POD itself;
    `parameters`; `seconds` of this process's time.
    """
    torch.set_num_threads(1)
    known = NetworkSpec.model_validate({name: spec[name] for name in NetworkSpec.model_fields})
    opened = data.open(folder.parents[1] / DATA)
    fitted, valid, test = (opened.split(name) for name in ("train", "valid", "test"))
    pod = Pod.fit(fitted.observations, known.components)
    scaling = Scaling.fit(fitted.parameters, pod(fitted.observations))

    def pair(view):
        inputs = scaling.inputs(view.parameters)
        targets = scaling.targets(view.parameters, pod(view.observations))
        return torch.as_tensor(inputs, dtype=torch.float32), torch.as_tensor(targets, dtype=torch.float32)

    net = build(known)
    settings = training.Settings(
        epochs=known.epochs, batch=known.batch, learning_rate=known.learning_rate, seed=known.seed
    )
    began = time.process_time()
    result = training.fit(net, pair(fitted), pair(valid), settings)
    seconds = time.process_time() - began
    with torch.no_grad():
        outputs = net.eval()(pair(test)[0]).numpy().astype(float)
    exact = pod(test.observations)
    difference = scaling.coefficients(test.parameters, outputs) - exact
    if isinstance(net, surrogates.LayeredNet):
        frozen = Frozen.of(net, scaling, pod)
        np.savez(folder / NETWORK, **vars(frozen))
    size = np.linalg.norm(test.observations)
    return {
        "folder": folder.name,
        "error": float(np.linalg.norm(difference) / np.linalg.norm(exact)),
        "truncation": float(np.linalg.norm(pod.inverse(exact) - test.observations) / size),
        "parameters": sum(p.numel() for p in net.parameters()),
        "best_epoch": result.best_epoch,
        "seconds": seconds,
    }
