"""Where currents are injected and fields are measured."""

from dataclasses import dataclass, field
from math import erf, sqrt
from typing import ClassVar, Literal

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.numbers import is_real, is_whole
from maxwell.symmetry import Rearrangement, Turn, places_of


@dataclass(frozen=True)
class Column:
    """One quantity of every entry of a `Table`: its SI unit ("" when dimensionless) and its values."""

    unit: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Table:
    """What the numbers of one label of the data stand for.

    description : what an entry is, as a sentence for who reads the data without this package.
    columns : for each quantity one value an entry, entry k being what a label of k means; without columns the
        number is the meaning.

    Plain data: `dataclasses.asdict` of it is JSON.
    """

    description: str
    columns: dict[str, Column] = field(default_factory=dict)


@dataclass(frozen=True)
class GaussianPatches:
    """A square array of tangential Gaussian patches on the top face z = 1 m; sources and receivers alike.

    Patch k has the density g̃ = g/∫_top g, g = exp(−|x − x_k|²/2s²), and a direction p along x or y.
    As a source it is a surface current g̃ p of unit moment (1 A·m); as a receiver it measures
    ∫_top g̃ p·E in V/m.  Every source is recorded at every receiver, so the data are a square matrix,
    flattened source-major: entry s·K + r is source s at receiver r, with K = 2·side².  Patch i·side + j lies
    at (x_i, y_j) and points along x; patch side² + i·side + j lies there too and points along y.
    Reciprocity makes that matrix symmetric.

    side : patches along one edge.  first, last : coordinates of the outermost centres in m.
    deviation : s in m.
    """

    side: int = 4
    first: float = 0.2
    last: float = 0.8
    deviation: float = 0.08
    kind: Literal["gaussian_patches"] = field(default="gaussian_patches", kw_only=True, repr=False)

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self):
        if not (is_whole(self.side) and self.side >= 1):
            raise MaxwellError(
                f"GaussianPatches: side is {self.side!r}; expected a whole number of at least 1."
            )
        if not (is_real(self.first) and is_real(self.last) and 0 <= self.first <= self.last <= 1):
            raise MaxwellError(
                f"GaussianPatches: centres run from {self.first!r} to {self.last!r} m; "
                "expected 0 <= first <= last <= 1."
            )
        if not (is_real(self.deviation) and self.deviation > 0):
            raise MaxwellError(
                f"GaussianPatches: deviation is {self.deviation!r} m; expected a positive number."
            )

    @property
    def size(self) -> int:
        """K, the number of patches counted with their directions."""
        return 2 * self.side**2

    @property
    def centres(self) -> np.ndarray:
        """Centres in the top plane (K, 2) in m; patches k and k + K/2 share a centre."""
        line = np.linspace(self.first, self.last, self.side)
        grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
        return np.concatenate([grid, grid])

    @property
    def directions(self) -> np.ndarray:
        """Unit vectors p (K, 3): the first half along x, the second along y."""
        return np.repeat(np.eye(3)[:2], self.side**2, axis=0)

    def moved(self, turn: Turn) -> Rearrangement | None:
        """The matrix of data, flattened, of the turned experiment; None if its patches are not those of this one.

        Patch k goes to patch n with sign s = ±1, so d'[n_k, n_l] = s_k s_l d[k, l].
        """
        centres, directions = self.centres, self.directions
        turned = turn.vectors(directions)
        places = places_of(
            np.hstack([centres, directions]), np.hstack([turn.points(centres), np.abs(turned)])
        )
        if places is None:
            return None
        signs, pairs = turned.sum(axis=1), places[:, None] * self.size + places
        return Rearrangement.of(pairs.ravel(), np.outer(signs, signs).ravel())

    def mass(self, centre) -> float:
        """∫_top g in m², exactly (a product of two error functions)."""
        s = self.deviation * sqrt(2)
        edge = [erf((1 - c) / s) + erf(c / s) for c in centre]
        return float(np.prod(edge) * (sqrt(np.pi) / 2 * s) ** 2)

    def labels(self) -> dict[str, np.ndarray]:
        """Source and receiver number of every observation, each (K²,)."""
        source, receiver = np.divmod(np.arange(self.size**2), self.size)
        return {"source": source, "receiver": receiver}

    def tables(self) -> dict[str, Table]:
        """What a source and a receiver number stand for: centre in m and direction of each patch."""
        places = np.column_stack([self.centres, np.ones(self.size), self.directions]).T
        units = {"x": "m", "y": "m", "z": "m", "px": "", "py": "", "pz": ""}
        columns = {
            name: Column(unit, tuple(values))
            for (name, unit), values in zip(units.items(), places.tolist(), strict=True)
        }
        patch = (
            f"Gaussian patch of standard deviation {self.deviation:g} m on the top face z = 1 m, centred at "
            "(x, y, z) and tangential along (px, py, pz), of unit integral over that face"
        )
        return {
            "source": Table(f"{patch}: a surface current of moment 1 A m is injected there.", columns),
            "receiver": Table(f"{patch}: the electric field along it is averaged there, in V/m.", columns),
        }
