"""Turns of an experiment as arrays that a model file can hold: what an estimate is averaged over.

A turn g acts on the data as Q_g and on the unknown as P_g (`maxwell.symmetry`), and F(P_g θ) = Q_g F(θ). The mean

    θ̄(d) = 1/G Σ_g P_g⁻¹ θ̂(Q_g d)

of any estimate θ̂ over a group of turns has the symmetry exactly, θ̄(Q_g d) = P_g θ̄(d), and no larger mean-square
error than θ̂ where the prior has it too (Jensen's inequality).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data.transforms import checked, rebuilt
from maxwell.symmetry import Symmetry

ROWS = 4096
"""Turned observations that an estimate gets at once, at most, unless there are more turns."""


@dataclass(frozen=True, eq=False)
class Turns:
    """G turns: Q_g takes entry k to `data_places[g, k]` with a sign, P_g likewise, with a shift added."""

    data_places: np.ndarray  #: (G, m)
    data_signs: np.ndarray  #: (G, m)
    places: np.ndarray  #: (G, p)
    signs: np.ndarray  #: (G, p)
    shifts: np.ndarray  #: (G, p)

    @classmethod
    def of(cls, symmetries: Sequence[Symmetry]) -> "Turns":
        """Those of a problem, such as ``dataset.problem.symmetries``."""
        data, unknowns = [s.observations for s in symmetries], [s.parameters for s in symmetries]
        every = [(data, "places"), (data, "signs")]
        every += [(unknowns, name) for name in ("places", "signs", "shifts")]
        return cls(*(np.array([getattr(r, name) for r in of], dtype=float) for of, name in every))

    def __len__(self) -> int:
        return len(self.signs)

    def forth(self, turn: int, observations: np.ndarray) -> np.ndarray:
        """Q_g d of each row of (n, m)."""
        moved = np.empty_like(observations)
        moved[:, self.data_places[turn].astype(int)] = observations * self.data_signs[turn]
        return moved

    def back(self, turn: int, parameters: np.ndarray) -> np.ndarray:
        """P_g⁻¹ θ of each row of (n, p)."""
        return (parameters[:, self.places[turn].astype(int)] - self.shifts[turn]) * self.signs[turn]

    def mean(self, estimate: Callable[[np.ndarray], np.ndarray], observations: np.ndarray) -> np.ndarray:
        """θ̄ of each row of (n, m): (n, p).  Costs G estimates, those of all turns of a row at once.

        So a network reads its weights once for an observation and not once a turn, which is most of its time.
        """
        values = checked("observations", observations, complex, self.data_places.shape[1])
        step = max(1, ROWS // len(self))
        blocks = (values[begin : begin + step] for begin in range(0, len(values), step))
        return np.concatenate([self._mean(estimate, block) for block in blocks])

    def _mean(self, estimate, values):
        turns = range(len(self))
        found = estimate(np.concatenate([self.forth(g, values) for g in turns]))
        each = np.split(found, len(self))
        return sum(self.back(g, of_turn) for g, of_turn in zip(turns, each, strict=True)) / len(self)

    def state(self) -> dict[str, Any]:
        """Plain arrays from which :meth:`from_state` rebuilds this object."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> "Turns":
        """The inverse of :meth:`state`."""
        return rebuilt(cls, state)
