"""Symmetries of the box and its survey: maps of unknowns and of data that the forward map commutes with.

The square (0, 1 m)² on which the sources lie has the eight symmetries of the dihedral group D4, and the background
has them too, so a turn g of a whole experiment is another experiment of the same kind:

    F(P_g θ) = Q_g F(θ),     P_g a signed permutation of θ with a shift, Q_g one of the data.

So one solved sample gives as many training pairs as there are symmetries, for nothing, where the prior has them.
On a mesh the law holds to rounding if the mesh has the symmetry (hexahedra), else to the error of the mesh.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

TOLERANCE = 1e-9
"""In m, between a place and the one that it is moved to."""


@dataclass(frozen=True)
class Turn:
    """An element of D4: exchange x and y if `swap`, then x → 1 − x if `flip_x` and y → 1 − y if `flip_y`."""

    swap: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def is_identity(self) -> bool:
        """Whether nothing moves."""
        return not (self.swap or self.flip_x or self.flip_y)

    def points(self, x) -> np.ndarray:
        """Where points (n, 2 or 3) in m go; z stays."""
        moved = self.vectors(x)
        moved[:, :2] += [self.flip_x, self.flip_y]
        return moved

    def vectors(self, v) -> np.ndarray:
        """Where vectors (n, 2 or 3) go."""
        moved = np.array(v, dtype=float)
        if self.swap:
            moved[:, :2] = moved[:, 1::-1]
        moved[:, :2] *= [1 - 2 * self.flip_x, 1 - 2 * self.flip_y]
        return moved


TURNS = tuple(Turn(*bits) for bits in product((False, True), repeat=3))
"""All of D4, the identity first."""


@dataclass(frozen=True, eq=False)
class Rearrangement:
    """A signed permutation with a shift, of vectors of length n:  v'[places[k]] = signs[k] · v[k] + shifts[k]."""

    places: np.ndarray
    signs: np.ndarray
    shifts: np.ndarray

    @classmethod
    def of(cls, places, signs=1.0, shifts=0.0) -> "Rearrangement":
        """From places (n,), and signs and shifts that are broadcast to them."""
        places = np.asarray(places)
        signs, shifts = (np.broadcast_to(np.asarray(v, dtype=float), places.shape) for v in (signs, shifts))
        return cls(places, signs, shifts)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """v' of each row of (k, n), real or complex."""
        moved = np.empty_like(rows)
        moved[:, self.places] = rows * self.signs + self.shifts
        return moved


@dataclass(frozen=True, eq=False)
class Symmetry:
    """One g: `parameters` is P_g, (k, p) → (k, p), and `observations` is Q_g, (k, m) → (k, m)."""

    turn: Turn
    parameters: Rearrangement
    observations: Rearrangement


def places_of(before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
    """For each row of `after` (n, d) the row of `before` that it equals; None if that is no permutation."""
    distances = np.abs(after[:, None] - before[None]).max(axis=-1)
    places = distances.argmin(axis=1)
    fits = distances.min(axis=1).max() <= TOLERANCE and len(np.unique(places)) == len(before)
    return places if fits else None
