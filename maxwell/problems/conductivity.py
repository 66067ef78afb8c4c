"""Conductivity imaging in a box: find an anomaly of the conductivity from fields on the top face.

In Ω = (0, 1 m)³, time convention e^{+iωt}, lengths in metres (L0 = 1 m), κ = ωL0/c, σ̂ = σ Z0 L0:

    curl curl E − k_c² E = −iκ Z0 J  in Ω,     n × curl E = iκ (E_T + Z0 g̃ p)  on ∂Ω,
    k_c² = κ² ε_r − iκ σ̂,                      σ(x; θ) = σ0 exp(m(x; θ)).

Weak form, for all v in H(curl) with tangential trace in L2 (Silver-Müller impedance on every face):

    (curl E, curl v) − (k_c² E, v) + iκ ⟨E_T, v_T⟩_∂Ω = −iκ Z0 ∫_top g̃_s p_s·v.

Here g̃ p is the surface current of a patch, on the top face alone.  The functional on the right is also
what a receiver measures.  Data: the K×K matrix d_sr = ∫_top g̃_r p_r·E_s minus its value for the
background, in V/m, flattened source-major; of several frequencies one after another, f·K² + s·K + r.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.kinds import number_or_several
from maxwell.numbers import is_real
from maxwell.parametrisations import REGION_OF_INTEREST, Balls, LogContrast, Parameter, Parametrisation
from maxwell.priors import LogContrastPrior, Prior, default_prior
from maxwell.problems.points import points_in
from maxwell.survey import Column, GaussianPatches, Table
from maxwell.symmetry import TURNS, Rearrangement, Symmetry
from maxwell.units import Scaling

if TYPE_CHECKING:
    from mpi4py import MPI

    from maxwell.problems.conductivity_map import ConductivityMap
    from maxwell.solvers import BlockLowRank, Exact

__all__ = ["REGION_OF_INTEREST", "Conductivity"]

Frequency = number_or_several()

BOX = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
"""Lower and upper corner of Ω in m."""


@dataclass(frozen=True)
class Conductivity:
    """Specification of the conductivity problem; see the module for its equations.

    frequency : f in Hz, positive; or several distinct ones, whose data follow each other in the order given.
        The default is κ = 0.5.
    background : σ0 in S/m, positive.  The default is σ̂0 = 16, a skin depth of 0.5 m.
    parametrisation : how θ describes m = log σ/σ0: `Balls` or `Voxels`.
    prior : distribution of θ; the default suits the parametrisation (`BallPrior`, `GaussianField`).
    survey : the patches.
    permittivity : ε_r, dimensionless, at least 1.
    """

    frequency: Frequency = 23.9e6
    background: float = 0.0425
    parametrisation: LogContrast = field(default_factory=Balls)
    prior: LogContrastPrior | None = None
    survey: GaussianPatches = field(default_factory=GaussianPatches)
    permittivity: float = 1.0
    kind: Literal["conductivity"] = field(default="conductivity", kw_only=True, repr=False)

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    observation_unit: ClassVar = "V/m"
    field_unit: ClassVar = "V/m"
    image_name: ClassVar = "log-contrast of the conductivity"
    image_unit: ClassVar = ""

    def __post_init__(self):
        object.__setattr__(self, "frequency", _frequency(self.frequency))
        if not (is_real(self.background) and self.background > 0):
            raise MaxwellError(
                f"Conductivity: background is {self.background!r}; expected a positive number in S/m."
            )
        if not (is_real(self.permittivity) and self.permittivity >= 1):
            raise MaxwellError(
                f"Conductivity: permittivity is {self.permittivity!r}; expected a real number of at least 1; "
                "losses belong in the conductivity."
            )
        if not isinstance(self.survey, GaussianPatches):
            raise MaxwellError(
                f"Conductivity: survey is {self.survey!r}; expected one such as GaussianPatches()."
            )
        if not isinstance(self.parametrisation, Parametrisation):
            raise MaxwellError(
                f"Conductivity: parametrisation is {self.parametrisation!r}; expected one such as Balls(1)."
            )
        if self.prior is None:
            object.__setattr__(self, "prior", default_prior(self.parametrisation))
        if not isinstance(self.prior, Prior):
            raise MaxwellError(f"Conductivity: prior is {self.prior!r}; expected one such as BallPrior().")
        self.prior.check_fits(self.parametrisation)

    @property
    def frequencies(self) -> tuple[float, ...]:
        """Every f in Hz, in the order of the data."""
        return self.frequency if isinstance(self.frequency, tuple) else (self.frequency,)

    @property
    def scalings(self) -> tuple[Scaling, ...]:
        """Dimensionless numbers of every frequency."""
        return tuple(Scaling(frequency) for frequency in self.frequencies)

    @property
    def scaling(self) -> Scaling:
        """Dimensionless numbers of the first frequency."""
        return self.scalings[0]

    @property
    def region(self) -> np.ndarray:
        """Lower and upper corner (2, 3) in m of the box that a sample is expected to change."""
        return self.parametrisation.region

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Names and units of θ."""
        return self.parametrisation.parameters

    def observation_labels(self) -> dict[str, np.ndarray]:
        """Numbers of the source and the receiver of every observation, each (m,).

        Several frequencies add the number of the frequency, an index into `frequencies`.
        """
        labels, several = self.survey.labels(), len(self.frequencies)
        if several == 1:
            return labels
        size = self.survey.size**2
        repeated = {name: np.tile(numbers, several) for name, numbers in labels.items()}
        return {"frequency": np.repeat(np.arange(several), size), **repeated}

    def observation_tables(self) -> dict[str, Table]:
        """What the numbers of `observation_labels` stand for, label by label."""
        tables = self.survey.tables()
        if len(self.frequencies) == 1:
            return tables
        column = Column("Hz", tuple(map(float, self.frequencies)))
        return {"frequency": Table("Frequency f of the current in every source.", {"f": column}), **tables}

    @cached_property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The turns about the vertical axis that survey, parametrisation and prior have, the identity first."""
        found, several = [], len(self.frequencies)
        for turn in TURNS:
            data, unknowns = self.survey.moved(turn), self.parametrisation.moved(turn)
            if turn.is_identity or (data and unknowns and self.prior.keeps(turn)):
                unknowns = unknowns or Rearrangement.of(np.arange(len(self.parameters)))
                blocks = np.arange(several)[:, None] * len(data.places)
                places, signs = (blocks + data.places).ravel(), np.tile(data.signs, several)
                found.append(Symmetry(turn, unknowns, Rearrangement.of(places, signs)))
        return tuple(found)

    @property
    def image_region(self) -> np.ndarray:
        """Lower and upper corner (2, 3) in m of the box that a picture of the unknown shows: `region`."""
        return self.region

    def image(self, theta, x) -> np.ndarray:
        """m = log σ/σ0 of θ (p,) at points x (n, 3) in m of the box (0, 1 m)³: (n,) float64."""
        return self.parametrisation.evaluate(theta, points_in(BOX, x, "image"))

    def spec(self) -> dict:
        """This problem as a plain table, from which `maxwell.problem_from` rebuilds it."""
        return asdict(self)

    def discretise(
        self,
        *,
        cells: int = 8,
        degree: int = 2,
        grading: float = 0.0,
        cell: str = "tetrahedron",
        comm: MPI.Comm | None = None,
        recipe: Exact | BlockLowRank | None = None,
    ) -> ConductivityMap:
        """Discretise with `cells` bricks an edge and N1curl elements of a degree, 1 or 2.

        grading : 0 for a uniform mesh; g makes cells 1 + g times finer in the region of interest.
        cell : "tetrahedron" (6 to a brick) or "hexahedron" (the bricks themselves).

        comm : ranks that share every solve, all of them calling with the same arguments (MPI.COMM_WORLD
            under mpiexec); None for this process alone.  Samples are the better unit of parallelism: take
            ranks when one sample is too large or too slow for one process.
        recipe : `maxwell.solvers.Exact()`, `maxwell.solvers.BlockLowRank()`, or None for the first that fits.

        Faces lie on the planes where the parametrisation jumps, so `cells` must suffice for those.

        Assembles and factorises the background: seconds, and memory that grows like dofs^{4/3}.
        Raises MaxwellError for sizes that make no sense, that do not fit into memory, or whose cells are too
        large for the skin depth or the wavelength, or so small that a low frequency is lost to rounding.
        """
        from maxwell.problems.conductivity_map import ConductivityMap  # imports DOLFINx

        return ConductivityMap(
            self, cells=cells, degree=degree, grading=grading, cell=cell, comm=comm, recipe=recipe
        )


def _frequency(given) -> float | tuple[float, ...]:
    """One frequency as a float, several as a tuple, or a sentence on what is wrong with them."""
    try:
        values = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        values = np.array(np.nan)
    if values.ndim > 1 or not values.size or not (np.isfinite(values) & (values > 0)).all():
        raise MaxwellError(
            f"Conductivity: frequency is {given!r}; expected a positive number in Hz, or a list of them."
        )
    several = tuple(values.ravel().tolist())
    if len(set(several)) < len(several):
        raise MaxwellError(
            f"Conductivity: frequency is {given!r}; expected distinct ones, for equal ones give equal data."
        )
    return several if len(several) > 1 else several[0]
