"""Cauchy data completion: find the field on an inaccessible face from the field measured on the opposite one.

In Ω = (0, 1 m)² × (0, L), time convention e^{+iωt}, lengths in metres, k_c² = κ² − iκσ̂, σ̂ = σ Z0:

    curl curl E − k_c² E = 0  in Ω,          n × E = 0  on the four lateral walls (perfect conductors),
    E_T = g  on z = 0,                       n × curl E = iκ E_T  on z = L (impedance).

Green's formula (curl curl E, v) = (curl E, curl v) + ⟨n × curl E, v_T⟩_∂Ω with v_T = 0 on the walls and on z = 0
leaves: find E with E_T = g on z = 0, E_T = 0 on the walls, and

    (curl E, curl v) − (k_c² E, v) + iκ ⟨E_T, v_T⟩_{z=L} = 0    for all such v.

On z = L the tangential field itself is measured, so both Cauchy data are known there and none on z = 0: completing
them is the classical ill-posed problem.  With e_k the L2-orthonormal TE and TM modes of the face, g = Σ θ_k e_k and
d_k = ∫_{z=L} E·e_k.  The modes do not couple: `maxwell.reference.cauchy` derives d_k = t_k θ_k with

    t = y / (y cosh γL + iκ sinh γL) ~ e^{−γL},    γ = √(k_t² − k_c²),    y_TE = γ,  y_TM = −k_c²/γ.

So |t_k| are the singular values, and the depth L sets how ill-posed the problem is: with the other defaults the
condition is 2.9e3 at L = 0.5 m and 3.1e6 at L = 1 m.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.numbers import is_real
from maxwell.parametrisations import Parameter
from maxwell.priors.base import Prior
from maxwell.priors.boundary_patches import BoundaryPatchPrior
from maxwell.problems.points import points_in
from maxwell.reference.cauchy import FaceModes, Waveguide
from maxwell.survey import Table

if TYPE_CHECKING:
    from maxwell.problems.cauchy_map import CauchyMap


@dataclass(frozen=True)
class Cauchy:
    """Specification of the Cauchy problem; see the module for its equations.

    depth : L in m, positive.
    wavenumber : κ = ω/c in rad/m, positive.
    loss : σ̂ = σ Z0 in 1/m, not negative.
    modes : p, the number of complex coefficients θ in V, and of complex data in V; ordered as in `FaceModes`.
    prior : distribution of θ, of as many modes.
    """

    depth: float = 0.5
    wavenumber: float = 3.0
    loss: float = 0.5
    modes: int = 40
    prior: BoundaryPatchPrior | None = None
    kind: Literal["cauchy"] = field(default="cauchy", kw_only=True, repr=False)

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    observation_unit: ClassVar = "V"
    field_unit: ClassVar = "V/m"
    image_name: ClassVar = "magnitude of the tangential electric field on z = 0"
    image_unit: ClassVar = "V/m"

    def __post_init__(self):
        for name, unit in (("depth", "m"), ("wavenumber", "rad/m")):
            value = getattr(self, name)
            if not (is_real(value) and value > 0):
                raise MaxwellError(f"Cauchy: {name} is {value!r}; expected a positive number in {unit}.")
        if not (is_real(self.loss) and self.loss >= 0):
            raise MaxwellError(f"Cauchy: loss is {self.loss!r}; expected a number in 1/m, not negative.")
        if type(self.modes) is not int or not 1 <= self.modes <= 1000:
            raise MaxwellError(f"Cauchy: modes is {self.modes!r}; expected a whole number from 1 to 1000.")
        if self.prior is None:
            object.__setattr__(self, "prior", BoundaryPatchPrior(modes=self.modes))
        if not isinstance(self.prior, Prior):
            raise MaxwellError(f"Cauchy: prior is {self.prior!r}; expected one such as BoundaryPatchPrior().")
        self.prior.check_fits(self.reference.modes)

    @property
    def wavenumber_squared(self) -> complex:
        """k_c² = κ² − iκσ̂ in 1/m²."""
        return self.reference.wavenumber_squared

    @cached_property
    def reference(self) -> Waveguide:
        """The closed form: `reference.transfer` (modes,), and the fields themselves."""
        return Waveguide(FaceModes(self.modes), self.depth, self.wavenumber, self.loss)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Names, units and groups of θ, complex coefficients of g."""
        return self.reference.modes.parameters

    def observation_labels(self) -> dict[str, np.ndarray]:
        """Half-waves along x and y of the mode of every observation, and 1 where it is TM: each (modes,)."""
        modes = self.reference.modes
        return {"m": modes.m, "n": modes.n, "magnetic": modes.magnetic.astype(int)}

    def observation_tables(self) -> dict[str, Table]:
        """What the numbers of `observation_labels` stand for: themselves."""
        mode = (
            f"the mode whose coefficient, the integral of its product with the electric field over the face "
            f"z = {self.depth:g} m, is measured in V"
        )
        return {
            "m": Table(f"Half-waves along x of {mode}."),
            "n": Table(f"Half-waves along y of {mode}."),
            "magnetic": Table(
                f"1 where {mode}, is transverse magnetic (TM), 0 where transverse electric (TE)."
            ),
        }

    @property
    def region(self) -> np.ndarray:
        """Lower and upper corner (2, 3) in m of the box, all of which a sample changes."""
        return np.array([[0.0, 0.0, 0.0], [1.0, 1.0, self.depth]])

    @property
    def image_region(self) -> np.ndarray:
        """Lower and upper corner (2, 3) in m of what a picture of the unknown shows: the face z = 0."""
        return self.region * [1, 1, 0]

    def boundary_field(self, theta, x) -> np.ndarray:
        """The tangential field Σ θ_k e_k (or, for data in place of θ, E_T on z = L) at x (..., 2) in m.

        Returns (..., 2) in V/m.
        """
        return np.einsum("...ki,k->...i", self.reference.modes.evaluate(x), np.asarray(theta))

    def image(self, theta, x) -> np.ndarray:
        """|g| in V/m for θ (modes,) in V at points x (n, 3) in m of the face z = 0: (n,) float64."""
        points = points_in(self.image_region, x, "image")
        field = self.boundary_field(self.reference.modes.check(theta), points[:, :2])
        return np.linalg.norm(field, axis=-1)

    def spec(self) -> dict:
        """This problem as a plain table, from which `maxwell.problem_from` rebuilds it."""
        return asdict(self)

    def discretise(
        self, *, cells: int = 12, degree: int = 2, grading: float = 0.0, cell: str = "tetrahedron"
    ) -> CauchyMap:
        """Discretise with `cells` bricks along x and y, about cubes, and N1curl elements of a degree.

        grading : 0 for layers of equal height; g makes those next to z = 0 1 + g times finer than those far
            from it, as the field there has the steepest decay.  The transfer factors hardly gain from it:
            they add up the error of the decay rate over the whole depth.
        cell : "tetrahedron" (6 to a brick) or "hexahedron".

        One factorisation and 2·modes right-hand sides: 4 s at 35,772 unknowns.
        Raises MaxwellError for sizes that make no sense or do not fit into memory, and for a mesh that does
        not resolve the highest mode, the wavelength or the skin depth.
        """
        from maxwell.problems.cauchy_map import CauchyMap  # imports DOLFINx

        return CauchyMap(self, cells=cells, degree=degree, grading=grading, cell=cell)
