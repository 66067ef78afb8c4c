"""Magnetic anomaly inversion: find the magnetisation of a body from the magnetic flux density above it.

In Ω = (−1, 1 m)³ with superconducting walls, M in A/m supported in D = (−0.5, 0.5 m)³, B = curl A in T:

    curl(μ0⁻¹ curl A) = curl M  in Ω,     n × A = 0  on ∂Ω.

Weak form, for all v in H_0(curl):

    (curl A, curl v) = μ0 ∫_D M·curl v.

The right-hand side vanishes for every gradient v, discrete ones too (curl ∇q = 0 in the element), so the
singular system is consistent; A is unique up to a gradient, B is unique.  A mass shift, ε(A, v) added on the
left with ε in 1/m² far below the smallest eigenvalue π²/2 of curl curl in this box, picks the A that is
orthogonal to gradients and changes B by ε relative to that eigenvalue.

Data: B averaged over balls of radius w about the sensors x_r, along each axis e_i, in T,

    d_ri = ∫ g_r e_i·curl A,     g_r ∝ exp(−2ρ²) − exp(−2),  ρ = |x − x_r|/w < 1,    ∫ g_r = 1,

a Gaussian of standard deviation w/2 cut where it has fallen to e⁻².  The balls lie outside D, where B is
harmonic, so by the mean-value property d_ri is B_i at the sensor whatever the width.

With the adjoint fields (curl Z_ri, curl v) + ε(Z_ri, v) = ∫ g_r e_i·curl v, symmetry gives

    d_ri = μ0 ∫_D M·curl Z_ri,

so one factorisation and one block of solves, one for each datum, serve every M.
Two M with equal data differ by a silent magnetisation (`maxwell.reference.silent`), and these fill a space of
infinite dimension: the unknown is not unique, only the data it predicts are.

Source: Blakely, Potential Theory in Gravity and Magnetic Applications (1995), chapters 5 and 12.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.kinds import one_of
from maxwell.parametrisations import Dipoles, MagneticCells, Parameter
from maxwell.priors import MagneticDipoles, MagnetisedBlocks, default_prior
from maxwell.problems.points import points_in
from maxwell.survey import Column, Table

if TYPE_CHECKING:
    from maxwell.problems.magnetisation_map import DipoleMap, MagneticCellsMap

HALF_EDGE = 1.0
"""Half the edge of Ω in m."""

BOX = HALF_EDGE * np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])
"""Lower and upper corner of Ω in m."""


@dataclass(frozen=True)
class Magnetisation:
    """Specification of the magnetisation problem; see the module for its equations.

    sensor_height : z in m of the plane of sensors; at least w above D and below the wall: 0.5 + w to 1 − w.
    parametrisation : how θ describes M: `MagneticCells` (linear) or `Dipoles`.
    prior : distribution of θ; the default suits the parametrisation.
    sensors : sensors along one edge of their square array, at least 1.
    sensor_extent : the array reaches from −extent to extent in x and y, in m.
    sensor_width : w in m, radius of the ball over which B is averaged.

    Data: 3·sensors² real numbers in T, sensor-major: entry 3r + i is component i of sensor
    r = i_x·sensors + i_y.
    """

    sensor_height: float = 0.7
    parametrisation: one_of(MagneticCells, Dipoles) = field(default_factory=MagneticCells)
    prior: one_of(MagnetisedBlocks, MagneticDipoles) | None = None
    sensors: int = 6
    sensor_extent: float = 0.75
    sensor_width: float = 0.1
    kind: Literal["magnetisation"] = field(default="magnetisation", kw_only=True, repr=False)

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    observation_unit: ClassVar = "T"
    field_unit: ClassVar = "T"
    image_name: ClassVar = "magnetisation"
    image_unit: ClassVar = "A/m"

    def __post_init__(self):
        width = self.sensor_width
        if not 0 < width <= 0.25:
            raise MaxwellError(
                f"Magnetisation: sensor_width is {width!r} m; expected it positive and at most 0.25, half the gap "
                "between the magnetised region and the wall."
            )
        slack = 1e-12  # 0.9 + 0.1 must pass, whatever its last bit
        if not 0.5 + width - slack <= self.sensor_height <= HALF_EDGE - width + slack:
            raise MaxwellError(
                f"Magnetisation: sensor_height is {self.sensor_height!r} m; expected it from {0.5 + width:g} to "
                f"{HALF_EDGE - width:g}, so that sensors of radius {width} m lie between the magnetised region "
                "(z <= 0.5 m) and the wall of the box (z = 1 m)."
            )
        if isinstance(self.sensors, bool) or not isinstance(self.sensors, int) or self.sensors < 1:
            raise MaxwellError(
                f"Magnetisation: sensors is {self.sensors!r}; expected a whole number of at least 1."
            )
        if not 0 <= self.sensor_extent <= HALF_EDGE - width + slack:
            raise MaxwellError(
                f"Magnetisation: sensor_extent is {self.sensor_extent!r} m; expected it from 0 to "
                f"{HALF_EDGE - width:g}, so that sensors of radius {width} m lie in the box."
            )
        if self.prior is None:
            object.__setattr__(self, "prior", default_prior(self.parametrisation))
        self.prior.check_fits(self.parametrisation)

    @property
    def sensor_positions(self) -> np.ndarray:
        """Centres of the sensors (sensors², 3) in m."""
        line = np.linspace(-self.sensor_extent, self.sensor_extent, self.sensors)
        x, y = np.meshgrid(line, line, indexing="ij")
        return np.stack([x, y, np.full_like(x, self.sensor_height)], axis=-1).reshape(-1, 3)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Names and units of θ."""
        return self.parametrisation.parameters

    def observation_labels(self) -> dict[str, np.ndarray]:
        """Sensor number and component (0, 1, 2 for x, y, z) of every observation, each (m,)."""
        sensor, component = np.divmod(np.arange(3 * self.sensors**2), 3)
        return {"sensor": sensor, "component": component}

    def observation_tables(self) -> dict[str, Table]:
        """What the numbers of `observation_labels` stand for; the number of a component is its meaning."""
        places = {
            axis: Column("m", tuple(values))
            for axis, values in zip("xyz", self.sensor_positions.T.tolist(), strict=True)
        }
        sensor = (
            "Sensor that averages the magnetic flux density, in T, over a ball about (x, y, z) of the given radius "
            "w, with weight exp(-2r^2/w^2) - exp(-2) at the distance r from its centre."
        )
        radius = Column("m", (float(self.sensor_width),) * self.sensors**2)
        return {
            "sensor": Table(sensor, {**places, "radius": radius}),
            "component": Table("Component of the magnetic flux density: 0, 1, 2 along x, y, z."),
        }

    @property
    def region(self) -> np.ndarray:
        """Lower and upper corner (2, 3) in m of D, where the unknown lives."""
        return self.parametrisation.region

    @property
    def image_region(self) -> np.ndarray:
        """Lower and upper corner (2, 3) in m of the box that a picture of the unknown shows: `region`."""
        return self.region

    def image(self, theta, x) -> np.ndarray:
        """M in A/m of θ (p,) at points x (n, 3) in m of Ω: (n, 3) float64, zero outside D."""
        return self.parametrisation.evaluate(theta, points_in(BOX, x, "image"))

    def spec(self) -> dict:
        """This problem as a plain table, from which `maxwell.problem_from` rebuilds it."""
        return asdict(self)

    def discretise(
        self, *, cells: int = 12, degree: int = 2, grading: float = 1.0, cell: str = "tetrahedron"
    ) -> MagneticCellsMap | DipoleMap:
        """Discretise with `cells` bricks along each edge of Ω and N1curl elements of a degree.

        cells : the faces of D and of its magnetised cells become faces of the mesh, whatever the number.
        grading : 0 for bricks as equal as that allows; g makes them 1 + g times finer in D and up to the sensors.
        cell : "tetrahedron" (six to a brick) or "hexahedron" (the brick itself).

        Assembles, factorises once and solves for every datum.  With the defaults, 70,056 unknowns and 0.5 GB of
        factors, the matrix of `MagneticCells` is off by 3.1 % (Frobenius) for sensors at 0.7 m, 0.6 % at 0.9 m.
        Raises MaxwellError for sizes that make no sense.
        """
        from maxwell.problems import magnetisation_map  # imports DOLFINx

        return magnetisation_map.discretise(self, cells=cells, degree=degree, grading=grading, cell=cell)
