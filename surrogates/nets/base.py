"""What all network families share: lift, layers on a time grid, readout, and the checks at the door."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surrogates import engine
from surrogates.errors import SurrogateError
from surrogates.time_grid import TimeGrid


class LayeredNet(nn.Module, ABC):
    """x ↦ y_0 = σ(K_0 x + b_0) ↦ y_1 ↦ … ↦ y_L ↦ R y_L + r with layer fields f_l(y) = σ(K_l y + b_l).

    A family is a subclass that defines ``memory``, the table (a, c) of ``engine.integrate``; nothing else
    differs between families. Shapes: x (batch, inputs), states (L+1, batch, width), result (batch, outputs).

    Parameters are drawn layer by layer, each entry uniform in ±1/√(columns), from ``generator`` in an order
    that knows neither the family nor the time rule: equal seeds give bit-identical weights, so that variants
    can be compared in pairs. Weights of a depth are stacked in one tensor, K_l = ``layer_weights()[l−1]``.

    The net does not look for NaN; ``training.fit`` does, once per tensor. A wrong shape, dtype or device of x
    raises ``SurrogateError``.
    """

    positive_steps_only: ClassVar[bool] = False

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        time: TimeGrid,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        for name, size in {"inputs": inputs, "outputs": outputs, "width": width}.items():
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise SurrogateError(
                    f"{self._name} needs a whole number >= 1 for {name}, but {name}={size!r}"
                )
        if not isinstance(time, TimeGrid):
            raise SurrogateError(
                f"{self._name} needs a time grid, such as TimeGrid.fixed(layers=16), but time={time!r}"
            )
        if self.positive_steps_only and not time.always_positive:
            raise SurrogateError(
                f"{self._name} cannot use a {time.rule!r} time grid: its steps may turn negative in "
                "training, and a power of a negative step is NaN; use TimeGrid.positive, TimeGrid.simplex or "
                "TimeGrid.fixed"
            )
        self.inputs, self.outputs, self.width = inputs, outputs, width
        self.activation = activation
        self.time = time
        layers = time.layers
        self.lift_weight = _drawn((width, inputs), inputs, generator)
        self.lift_bias = _drawn((width,), inputs, generator)
        self.layer_weight = _drawn((layers, width, width), width, generator)
        self.layer_bias = _drawn((layers, width), width, generator)
        self.readout_weight = _drawn((outputs, width), width, generator)
        self.readout_bias = _drawn((outputs,), width, generator)

    @abstractmethod
    def memory(self) -> tuple[Tensor | None, Tensor]:
        """Return (a, c) at the present steps: a (L, L) strictly lower triangular or None, c (L,)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the prediction (batch, outputs) for x (batch, inputs)."""
        return self.readout(self.states(x)[-1])

    def states(self, x: Tensor) -> Tensor:
        """Return y_0 … y_L, shape (L+1, batch, width)."""
        return self.integrate(self.lift(x))

    def lift(self, x: Tensor) -> Tensor:
        """Return y_0 = σ(K_0 x + b_0), shape (batch, width)."""
        if not torch.compiler.is_compiling():  # a compiled or exported net does not pay for the door
            self._check(x)
        return self.activation(F.linear(x, self.lift_weight, self.lift_bias))

    def integrate(self, start: Tensor, source: Tensor | None = None) -> Tensor:
        """Return all states from y_0 = ``start`` on; ``source`` (L, batch, width) as in the engine."""
        memory, gains = self.memory()
        weights, biases = self.layer_weights().unbind(0), self.layer_biases().unbind(0)

        def field(layer: int, state: Tensor) -> Tensor:
            return self.activation(F.linear(state, weights[layer], biases[layer]))

        return engine.integrate(field, start, gains, memory, source)

    def readout(self, state: Tensor) -> Tensor:
        """Return R y + r for a state (batch, width), or for all of them (L+1, batch, width)."""
        return F.linear(state, self.readout_weight, self.readout_bias)

    def layer_weights(self) -> Tensor:
        """Return K_1 … K_L, shape (L, width, width); a subclass may compute them from fewer numbers."""
        return self.layer_weight

    def layer_biases(self) -> Tensor:
        """Return b_1 … b_L, shape (L, width)."""
        return self.layer_bias

    def extra_repr(self) -> str:
        """Describe the architecture in one line."""
        activation = getattr(self.activation, "__name__", repr(self.activation))
        return f"inputs={self.inputs}, outputs={self.outputs}, width={self.width}, activation={activation}"

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _check(self, x: Tensor) -> None:
        if x.ndim != 2 or x.shape[1] != self.inputs:
            raise SurrogateError(
                f"{self._name} expects inputs of shape (batch, {self.inputs}), but was given {tuple(x.shape)}"
            )
        weight = self.lift_weight
        if x.dtype != weight.dtype or x.device != weight.device:
            raise SurrogateError(
                f"{self._name} holds {weight.dtype} on {weight.device}, but was given {x.dtype} on "
                f"{x.device}: convert one of them with .to(...)"
            )


def _drawn(shape: tuple[int, ...], columns: int, generator: torch.Generator | None) -> nn.Parameter:
    # ±1/√columns keeps K y of the size of y at any width, so tanh starts in its linear range.
    return nn.Parameter((2 * torch.rand(shape, generator=generator) - 1) / columns**0.5)
