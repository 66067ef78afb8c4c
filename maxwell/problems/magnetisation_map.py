"""The discretised magnetisation problem: linear for uniform cells, nonlinear for dipoles; no solve a sample."""

import time
from abc import abstractmethod
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from maxwell.errors import MaxwellError
from maxwell.forward import ForwardMap, LinearForwardMap, Response
from maxwell.parametrisations.magnetisation import MAGNETISED_REGION, Dipoles
from maxwell.problems.magnetisation import BOX, Magnetisation
from maxwell.problems.on_mesh import describe
from maxwell.problems.points import points_in
from maxwell.problems.sensor_fields import SensorFields
from maxwell.units import VACUUM_PERMEABILITY


def discretise(problem: Magnetisation, *, cells, degree, grading, cell):
    """The forward map of a problem: linear for cells, nonlinear for dipoles."""
    fields = SensorFields(problem, cells=cells, degree=degree, grading=grading, cell=cell)
    kind = DipoleMap if isinstance(problem.parametrisation, Dipoles) else MagneticCellsMap
    return kind(fields)


class _MagneticMap(ForwardMap):
    """What both forward maps share: the adjoint fields and their description."""

    def __init__(self, fields: SensorFields):
        self.fields = fields
        self.problem = fields.problem

    def __repr__(self):
        f = self.fields
        return (
            f"{type(self).__name__}({self.problem!r}, cells={f.cells}, degree={f.degree}, grading={f.grading}, "
            f"cell={f.cell!r}: {self.dofs} dofs, {self.unknowns} unknowns, {self.observations} data)"
        )

    @property
    def dofs(self) -> int:
        """Unknowns of the field."""
        return self.fields.dofs

    @property
    def discretisation(self) -> dict:
        """As in `ForwardMap`."""
        return describe(self.fields.space, self.fields.grading)

    @property
    def unknowns(self) -> int:
        """p, the length of θ."""
        return len(self.problem.parameters)

    @property
    def observations(self) -> int:
        """m, the number of data."""
        return 3 * self.problem.sensors**2

    def observe(self, magnetisation) -> np.ndarray:
        """Data (m,) in T of any magnetisation supported in D, a function (n, 3) in m → (n, 3) in A/m."""
        return self.fields.observe(magnetisation)

    def fields_at(self, theta, x) -> np.ndarray:
        """B = curl A in T at points x (n, 3) in m of Ω, magnetised or not: (1, n, 3) float64.

            (curl A, curl v) + ε(A, v) = μ0 ∫_D M·curl v,        d_ri = ∫ g_r e_i·B

        Where B jumps (its tangential component does on faces between cells, in truth only where M does), the value
        of one side.  Cost: the first call factorises and keeps the factors; later ones take one right-hand side.
        Raises MaxwellError for points outside Ω.
        """
        return self.fields.flux_at(self._load(theta), points_in(BOX, x, "fields_at"))[None]

    @abstractmethod
    def _load(self, theta) -> np.ndarray:
        """∫_D M·curl v of every basis function v: (dofs,)."""


class MagneticCellsMap(_MagneticMap, LinearForwardMap):
    """θ ↦ data of `Magnetisation` for uniform cells: d = T θ with T = μ0 Zᵀ R, R = ∫_cell e_j·curl v.

    The rule integrates curls of the basis exactly, so T is that of the discrete problem to round-off.
    """

    def __init__(self, fields: SensorFields):
        super().__init__(fields)
        self._matrix = VACUUM_PERMEABILITY * (self.loads.T @ fields.adjoints).T

    @cached_property
    def loads(self) -> sp.csr_array:
        """R (dofs, p): the right-hand side ∫_D M·curl v of each unknown."""
        fields = self.fields
        tables = fields.tabulate(fields.cells_within(*MAGNETISED_REGION), fields.degree)
        cell = self.problem.parametrisation.locate(tables.points.mean(axis=1))
        axes = np.broadcast_to(np.eye(3), (*tables.points.shape, 3))
        element = tables.element_loads(axes)  # (c, f, 3)
        rows = np.broadcast_to(tables.dofs[..., None], element.shape)
        columns = np.broadcast_to(3 * cell[:, None, None] + np.arange(3), element.shape)
        return sp.csr_array(
            (element.ravel(), (rows.ravel(), columns.ravel())), shape=(fields.dofs, self.unknowns)
        )

    @property
    def matrix(self) -> np.ndarray:
        """T (m, p) float64, in T per A/m."""
        return self._matrix

    @property
    def trace(self) -> dict:
        """How the matrix was had; `shift` is ε in 1/m²."""
        return self.fields.trace

    def check(self, theta) -> np.ndarray:
        """Return θ as a finite array of shape (p,), or say in one sentence what is wrong with it."""
        return self.problem.parametrisation.check(theta)

    def _load(self, theta):
        return self.loads @ self.check(theta)


class DipoleMap(_MagneticMap):
    """θ ↦ data of `Magnetisation` for smooth compact dipoles, by quadrature against the adjoint fields.

        d = μ0 Zᵀ ∫ M(θ)·curl v,     ∂d/∂θ_k = μ0 Zᵀ ∫ ∂M/∂θ_k·curl v

    on fixed points, so the Jacobian is that of the discrete map.  Cost: the cells that a blob touches, and one
    product with Z; no solve.
    """

    def __init__(self, fields: SensorFields):
        super().__init__(fields)
        radius, size = self.problem.parametrisation.radius, fields.brick_edge
        if size > radius * (1 + 1e-9):
            raise MaxwellError(
                f"discretise: bricks of {size:.3g} m in the magnetised region do not resolve dipoles of radius "
                f"{radius} m; expected bricks no larger than the radius: raise cells or grading, or the radius."
            )

    def solve(self, theta) -> Response:
        """Data (m,) in T for θ (p,), with the trace of the adjoint fields and `seconds` of this product."""
        began = time.perf_counter()
        parametrisation = self.problem.parametrisation
        data = self._data(theta, lambda x: parametrisation.evaluate(theta, x)[..., None])[:, 0]
        return Response(data, {**self.fields.trace, "seconds": time.perf_counter() - began})

    def linearise(self, theta) -> tuple[np.ndarray, np.ndarray]:
        """Data (m,) in T and Jacobian (m, p) in T per unit of θ."""

        def value_and_slopes(x):
            value, slopes = self.problem.parametrisation.linearise(theta, x)
            return np.stack([value, *slopes], axis=-1)

        data = self._data(theta, value_and_slopes)
        return data[:, 0], data[:, 1:]

    def _load(self, theta):
        parametrisation = self.problem.parametrisation
        return self.fields.load(lambda x: parametrisation.evaluate(theta, x))

    def _data(self, theta, field):
        """μ0 Zᵀ ∫ F·curl v of k fields, x (c, q, 3) ↦ (c, q, 3, k), that vanish outside the blobs: (m, k)."""
        low, high = self.problem.parametrisation.support(theta)
        below, above = self._extent
        near = ((below[:, None] <= high) & (above[:, None] >= low)).all(axis=-1).any(axis=1)
        tables = self.fields.magnetised[near]
        loads = tables.element_loads(field(tables.points))  # (c, f, k)
        adjoints = self.fields.adjoints[tables.dofs]  # (c, f, m)
        return VACUUM_PERMEABILITY * np.tensordot(adjoints, loads, axes=((0, 1), (0, 1)))

    @cached_property
    def _extent(self):
        """Least and largest coordinates of the quadrature points of each cell in D, (c, 3) each."""
        points = self.fields.magnetised.points
        return points.min(axis=1), points.max(axis=1)
