"""What all layered families share: lift, readout, a time grid, and the checks at the door."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surrogates import activations
from surrogates.errors import SurrogateError
from surrogates.time_grid import TimeGrid


class LayeredNet(nn.Module, ABC):
    """x ↦ y_0 = σ(K_0 x + b_0) ↦ y_1 ↦ … ↦ y_L ↦ R y_L + r; a family says how the states follow each other.

    Shapes: x (batch, inputs), states (L+1, batch, state_width), result (batch, outputs). ``layers`` is L.

    With ``timed_lift`` the lift is a layer of the grid without a skip, as in the papers whose first layer
    changes the width: y_0 = τ_1 σ(K_0 x + b_0), and the L layers after it own the remaining steps of a grid of L+1.

    Parameters are drawn layer by layer, each entry uniform in ±1/√(columns), from ``generator`` in an order
    that knows neither the family nor the time rule: equal seeds give bit-identical weights wherever two nets have
    weights of the same shapes, so that variants can be compared in pairs.

    ``activation`` is a function of one tensor that acts entry by entry, or one of ``surrogates.activations``.

    An ensemble (``surrogates.ensemble``) is a net whose parameters have a member axis in front, of length
    ``members``; x and the result then have it too, states after their first axis.

    The net does not look for NaN; ``training.fit`` does, once per tensor. An x that is no tensor, or of a wrong
    shape, dtype or device, raises ``SurrogateError``, and so does a time grid or an order that does not agree with
    the weights in dtype and device. ``torch.compile`` and ``torch.export`` leave this door out. Compiling gives the
    same results but is of no use for speed: plain operations take the place of the sweeps written by hand, some ten
    seconds go before the first pass, and each takes several times as long.
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
        *,
        timed_lift: bool = False,
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
        if not isinstance(timed_lift, bool):
            raise SurrogateError(
                f"{self._name} needs True or False for timed_lift, but timed_lift={timed_lift!r}"
            )
        if timed_lift and time.layers < 2:
            raise SurrogateError(
                f"{self._name} with timed_lift needs a time grid of at least two steps, one of them for the "
                f"lift, but was given {time.layers}"
            )
        self.inputs, self.outputs, self.width = inputs, outputs, width
        self.activation = activations.of(activation)
        self.time = time
        self.timed_lift = timed_lift
        self.layers = time.layers - self.timed_lift
        self.members: int | None = None
        self.lift_weight = _drawn((width, inputs), inputs, generator)
        self.lift_bias = _drawn((width,), inputs, generator)
        self._draw_layers(generator)
        self.readout_weight = _drawn((outputs, self.state_width), self.state_width, generator)
        self.readout_bias = _drawn((outputs,), self.state_width, generator)

    @abstractmethod
    def _draw_layers(self, generator: torch.Generator | None) -> None:
        """Create the parameters of the layers."""

    @property
    def state_width(self) -> int:
        """Width of the states, which is that of the lift unless the family lets it grow."""
        return self.width

    @abstractmethod
    def integrate(self, start: Tensor, source: Tensor | None = None) -> Tensor:
        """Return all states (L+1, batch, state_width) from y_0 = ``start`` (batch, width) on.

        ``source`` e (L, batch, state_width) is added to y_l = … + e_l; the derivative of J in e_l at e = 0 is
        the costate ∂J/∂y_l of the discrete scheme.
        """

    def last(self, start: Tensor) -> Tensor:
        """Return y_L from y_0 = ``start``: as ``integrate``, without paying for what is not asked for."""
        return self.integrate(start)[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Return the prediction (batch, outputs) for x (batch, inputs)."""
        return self.readout(self.last(self.lift(x)))

    def states(self, x: Tensor) -> Tensor:
        """Return y_0 … y_L, shape (L+1, batch, state_width)."""
        return self.integrate(self.lift(x))

    def lift(self, x: Tensor) -> Tensor:
        """Return y_0 = σ(K_0 x + b_0), with a timed lift τ_1 σ(K_0 x + b_0), shape (batch, width)."""
        if not torch.compiler.is_compiling():  # a compiled or exported net does not pay for the door
            self._check(x)
        value = self.activation(self.affine(x, self.lift_weight, self.lift_bias))
        return value * self.time()[..., :1].unsqueeze(-1) if self.timed_lift else value

    def readout(self, state: Tensor) -> Tensor:
        """Return R y + r for a state (batch, state_width), or for all of them (L+1, batch, state_width)."""
        return self.affine(state, self.readout_weight, self.readout_bias)

    def steps(self) -> Tensor:
        """Return the steps of the layers, (L,): all of the grid's but that of a timed lift."""
        return self.time()[..., 1:] if self.timed_lift else self.time()

    def affine(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return x Kᵀ + b, member by member in an ensemble."""
        if self.members is None:
            return F.linear(x, weight, bias)
        return torch.matmul(x, weight.mT) + bias.unsqueeze(-2)

    def extra_repr(self) -> str:
        """Describe the architecture in one line."""
        parts = [f"inputs={self.inputs}", f"outputs={self.outputs}", f"width={self.width}"]
        parts.append(f"activation={_constants(self.activation)}")
        if self.timed_lift:
            parts.append("timed_lift=True")
        if self.members is not None:
            parts.append(f"members={self.members}")
        return ", ".join(parts + self._extra_parts())

    def _extra_parts(self) -> list[str]:
        """What a family adds to the description."""
        return []

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _check(self, x: Tensor) -> None:
        members = () if self.members is None else (self.members,)
        shape = f"({', '.join([*map(str, members), 'batch', str(self.inputs)])})"
        if not isinstance(x, Tensor):
            raise SurrogateError(
                f"{self._name} expects a tensor of inputs of shape {shape}, but was given {type(x).__name__}: make "
                "one with torch.as_tensor(...)"
            )
        fits = x.ndim == 2 or (members and x.ndim == 3 and x.shape[0] == self.members)
        if not fits or x.shape[-1] != self.inputs:
            raise SurrogateError(
                f"{self._name} expects inputs of shape {shape}, but was given {tuple(x.shape)}"
            )
        weight = self.lift_weight
        if x.dtype != weight.dtype or x.device != weight.device:
            raise SurrogateError(
                f"{self._name} holds {weight.dtype} on {weight.device}, but was given {x.dtype} on "
                f"{x.device}: convert one of them with .to(...)"
            )
        for (
            name,
            part,
        ) in self._modules.items():  # the time grid, and an order, whose table is made in float64
            for value in _values(part):
                if value.device != weight.device or (name == "time" and value.dtype != weight.dtype):
                    what = "time grid" if name == "time" else name
                    raise SurrogateError(
                        f"{self._name} holds {weight.dtype} on {weight.device}, but its {what} {value.dtype} on "
                        f"{value.device}: convert the whole net with .to(...), and give nets that differ in this "
                        "one each"
                    )


def _values(module: nn.Module) -> Iterator[Tensor]:
    """Yield the floating-point parameters and buffers; module.parameters() takes twice as long."""
    for values in (module._parameters, module._buffers):
        for value in values.values():
            if value is not None and value.is_floating_point():  # an index is no part of the arithmetic
                yield value
    for part in module._modules.values():
        yield from _values(part)


def _drawn(shape: tuple[int, ...], columns: int, generator: torch.Generator | None) -> nn.Parameter:
    # ±1/√columns keeps K y of the size of y at any width, so tanh starts in its linear range.
    return nn.Parameter((2 * torch.rand(shape, generator=generator) - 1) / columns**0.5)


def _constants(thing) -> str:
    """A frozen object by its name and constants, as "tanh" or "smoothed-relu(epsilon=0.1)"."""
    fields = getattr(thing, "__dataclass_fields__", {})
    values = {
        name: getattr(thing, name) for name in fields if name not in ("name", "function", "slope_bound")
    }
    inside = ", ".join(f"{name}={value!r}" for name, value in values.items())
    return f"{thing.name}({inside})" if inside else thing.name
