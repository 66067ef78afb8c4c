"""Families that are a table of the one recursion: lift and readout around ``engine`` and ``sweeps``."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from surrogates import sweeps
from surrogates.errors import SurrogateError
from surrogates.fields import Dense, Field
from surrogates.histories import Blocked, History
from surrogates.nets.base import LayeredNet, _constants, _drawn
from surrogates.time_grid import TimeGrid


class RecursiveNet(LayeredNet):
    """d_l = c_l σ(K_l y_{l−1} + b_l) − Σ_{j<l} a_{l,j} d_j, y_l = y_{l−1} + d_l, with (a, c) from the family.

    A family is a subclass that defines ``memory``; nothing else differs. ``field`` says what kind of map K_l is.
    Parameters of a depth are stacked in one tensor, ``layer_weight`` (L, …) and ``layer_bias`` (L, …).

    ``segment`` is activation checkpointing: training keeps one state in so many layers and computes the others a
    second time, for one more forward pass. None keeps all.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        time: TimeGrid,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        generator: torch.Generator | None = None,
        *,
        field: Field | None = None,
        timed_lift: bool = False,
        segment: int | None = None,
    ):
        if field is not None and not isinstance(field, Field):
            raise SurrogateError(
                f"{self._name} needs a layer field such as surrogates.fields.Dense(), but field={field!r}"
            )
        if segment is not None and (isinstance(segment, bool) or not isinstance(segment, int) or segment < 1):
            raise SurrogateError(
                f"{self._name} needs a whole number of layers >= 1 for segment, or None, but segment={segment!r}"
            )
        # before the module exists, so not by attribute assignment: neither is a parameter or a module
        object.__setattr__(self, "field", field or Dense())
        object.__setattr__(self, "segment", segment)
        super().__init__(inputs, outputs, width, time, activation, generator, timed_lift=timed_lift)

    def _draw_layers(self, generator):
        weight, bias, columns = self.field.shapes(self.width)
        self.layer_weight = _drawn((self.layers, *weight), columns, generator)
        self.layer_bias = _drawn((self.layers, *bias), columns, generator)

    @abstractmethod
    def memory(self) -> tuple[Tensor | None, Tensor]:
        """Return (a, c) at the present steps: a (L, L) strictly lower triangular or None, c (L,)."""

    def history(self) -> tuple[History | None, Tensor]:
        """Return the memory as the sweeps compute it, and c (L,), in an ensemble (S, L)."""
        memory, gains = self.memory()
        return None if memory is None else Blocked(memory), gains

    def layer_weights(self) -> Tensor:
        """Return K_1 … K_L as they are applied, shape (L, …)."""
        return self.field.weights(self.layer_weight)

    def layer_biases(self) -> Tensor:
        """Return b_1 … b_L, shape (L, …)."""
        return self.layer_bias

    def last(self, start):
        """Return y_L from y_0 = ``start``."""
        found = sweeps.last(self._at_present(), start if self.members else start.unsqueeze(0))
        return found if self.members else found[0]

    def integrate(self, start, source=None):
        """Return all states from y_0 = ``start`` on."""
        if source is None:
            found = sweeps.states(self._at_present(), start if self.members else start.unsqueeze(0))
            return found if self.members else found[:, 0]
        layers = self._at_present()
        memory = layers.history.dense(*layers.history.tables) if layers.history else None
        if self.members:
            return sweeps.plainly(layers, memory, start, source)
        return sweeps.plainly(layers, memory, start.unsqueeze(0), source.unsqueeze(1))[:, 0]

    def _at_present(self) -> sweeps.Layers:
        history, gains = self.history()
        weights, biases = self.layer_weights(), self.layer_biases()
        if self.members:
            weights, biases, gains = weights.transpose(0, 1), biases.transpose(0, 1), gains.mT
        else:
            weights, biases, gains = weights.unsqueeze(1), biases.unsqueeze(1), gains.unsqueeze(1)
        return sweeps.Layers(self.field, self.activation, weights, biases, gains, history, self.segment)

    def _extra_parts(self):
        parts = [] if self.field == Dense() else [f"field={_constants(self.field)}"]
        return parts if self.segment is None else [*parts, f"segment={self.segment}"]
