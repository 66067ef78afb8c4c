"""Conductivity imaging in a box: find an anomaly of the conductivity from fields on the top face.

In Ω = (0, 1 m)³, time convention e^{+iωt}, lengths in metres (L0 = 1 m), κ = ωL0/c, σ̂ = σ Z0 L0:

    curl curl E − k_c² E = −iκ Z0 J  in Ω,     n × curl E = iκ (E_T + Z0 g̃ p)  on ∂Ω,
    k_c² = κ² ε_r − iκ σ̂,                      σ(x; θ) = σ0 exp(m(x; θ)).

Weak form, for all v in H(curl) with tangential trace in L2 (Silver-Müller impedance on every face):

    (curl E, curl v) − (k_c² E, v) + iκ ⟨E_T, v_T⟩_∂Ω = −iκ Z0 ∫_top g̃_s p_s·v.

Here g̃ p is the surface current of a patch, on the top face alone.  The functional on the right is also
what a receiver measures.  Data: the K×K matrix d_sr = ∫_top g̃_r p_r·E_s minus its value for the
background, in V/m, flattened source-major.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.parametrisations import Balls, Parameter
from maxwell.priors import BallPrior
from maxwell.survey import GaussianPatches
from maxwell.units import Scaling

if TYPE_CHECKING:
    from maxwell.problems.conductivity_map import ConductivityMap

REGION_OF_INTEREST = np.array([[0.18, 0.18, 0.32], [0.82, 0.82, 0.96]])
"""Lower and upper corner in m; holds every sample of the default prior, transition included."""


@dataclass(frozen=True)
class Conductivity:
    """Specification of the conductivity problem; see the module for its equations.

    frequency : f in Hz, positive.  The default is κ = 0.5.
    background : σ0 in S/m, positive.  The default is σ̂0 = 16, a skin depth of 0.5 m.
    parametrisation : how θ describes m = log σ/σ0.
    prior : distribution of θ; the default suits the parametrisation.
    survey : the patches.
    permittivity : ε_r, dimensionless, at least 1.
    """

    frequency: float = 23.9e6
    background: float = 0.0425
    parametrisation: Balls = field(default_factory=Balls)
    prior: BallPrior | None = None
    survey: GaussianPatches = field(default_factory=GaussianPatches)
    permittivity: float = 1.0
    kind: Literal["conductivity"] = field(default="conductivity", kw_only=True, repr=False)

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    observation_unit: ClassVar = "V/m"

    def __post_init__(self):
        for name, unit in (("frequency", "Hz"), ("background", "S/m")):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise MaxwellError(
                    f"Conductivity: {name} is {value!r}; expected a positive number in {unit}."
                )
        if not (np.isfinite(self.permittivity) and self.permittivity >= 1):
            raise MaxwellError(f"Conductivity: permittivity is {self.permittivity!r}; expected at least 1.")
        count = self.parametrisation.count
        if self.prior is None:
            object.__setattr__(self, "prior", BallPrior(count=count))
        elif self.prior.count != count:
            raise MaxwellError(
                f"Conductivity: the prior draws {self.prior.count} balls and the parametrisation {count}; "
                "give both the same."
            )

        reach = self.prior.radius[1] + self.parametrisation.width / 2
        for axis in "xyz":
            low, high = getattr(self.prior, axis)
            if low - reach < 0 or high + reach > 1:
                raise MaxwellError(
                    f"Conductivity: prior.{axis} is ({low}, {high}) m, and balls of radius up to "
                    f"{self.prior.radius[1]} m and a transition of {self.parametrisation.width} m would leave the "
                    "box (0, 1 m); give a smaller interval or smaller balls."
                )

    @property
    def scaling(self) -> Scaling:
        """Dimensionless numbers of this frequency."""
        return Scaling(self.frequency)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Names and units of θ."""
        return self.parametrisation.parameters

    def observation_labels(self) -> dict[str, np.ndarray]:
        """Source and receiver number of every observation, each (m,)."""
        return self.survey.labels()

    def spec(self) -> dict:
        """This problem as a plain table, from which `maxwell.problem_from` rebuilds it."""
        return asdict(self)

    def discretise(
        self, *, cells: int = 8, degree: int = 2, grading: float = 0.0, cell: str = "tetrahedron"
    ) -> ConductivityMap:
        """Discretise with `cells` bricks an edge and N1curl elements of a degree, 1 or 2.

        grading : 0 for a uniform mesh; g makes cells 1 + g times finer in the region of interest.
        cell : "tetrahedron" (6 to a brick) or "hexahedron" (the bricks themselves).

        Faces lie on the planes where the parametrisation jumps, so `cells` must suffice for those.

        Assembles and factorises the background: seconds, and memory that grows like dofs^{4/3}.
        Raises MaxwellError for sizes that make no sense.
        """
        from maxwell.problems.conductivity_map import ConductivityMap  # imports DOLFINx

        return ConductivityMap(self, cells=cells, degree=degree, grading=grading, cell=cell)
