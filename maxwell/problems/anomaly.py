"""What a sample of the conductivity changes on a mesh, and whether the mesh can carry it."""

from dataclasses import dataclass

import numpy as np

from maxwell import resolution
from maxwell.errors import MaxwellError
from maxwell.fem import CellTables, NedelecSpace
from maxwell.fenicsx import MPI
from maxwell.problems.conductivity import Conductivity

FEW_CELLS = 8
"""Changed cells for an inclusion, below which it is asked whether the mesh meets it at all."""


@dataclass(frozen=True)
class Anomaly:
    """What a sample changes: some cells that this rank owns, and m at their points.

    tables : of the region's cells when `inside`, else of the cells about the inclusions.
    rows (c,) : those of them that change.  log_contrast (c, q).
    """

    tables: CellTables
    rows: np.ndarray
    log_contrast: np.ndarray
    inside: bool

    @property
    def points(self) -> np.ndarray:
        """Quadrature points of the changed cells in m, (c, q, 3)."""
        return self.tables.points[self.rows]

    @property
    def dofs(self) -> np.ndarray:
        """Their unknowns, (c, f)."""
        return self.tables.dofs[self.rows]


class Anomalies:
    """Finds the `Anomaly` of θ; holds the tables of the cells that samples are expected to change, `region`."""

    def __init__(self, problem: Conductivity, space: NedelecSpace, comm: MPI.Comm):
        self._problem, self._space, self._comm = problem, space, comm
        self.region = self._tabulate(*problem.region)
        points = self.region.points
        self._everywhere = problem.parametrisation.at(points)
        self._extent = points.min(axis=1, initial=np.inf), points.max(axis=1, initial=-np.inf)

    def of(self, theta, *, wide: bool) -> Anomaly:
        """The cells where m differs from zero; `wide`: or its derivative, which a Jacobian integrates.

        Raises MaxwellError for what leaves the box, what no quadrature point meets, and a contrast whose skin
        depth the cells do not resolve.
        """
        parametrisation, region = self._problem.parametrisation, self._problem.region
        low, high = parametrisation.support(theta)
        if (low < 0).any() or (high > 1).any():
            ball = int(np.flatnonzero((low < 0).any(axis=1) | (high > 1).any(axis=1))[0])
            raise MaxwellError(
                f"Ball {ball + 1} of theta {theta.tolist()} reaches from {low[ball].round(3).tolist()} to "
                f"{high[ball].round(3).tolist()} m, transition included; expected it inside the "
                "box (0, 1 m)^3; move it or make it smaller."
            )
        inside = (low >= region[0]).all() and (high <= region[1]).all()
        tables = self.region if inside else self._tabulate(low.min(axis=0), high.max(axis=0))
        near = self._near(low, high) if inside else np.arange(len(tables.cells))
        if inside and len(near) == len(tables.points):
            points, log_contrast = tables.points, self._everywhere(theta)
        else:
            points = tables.points[near]
            log_contrast = parametrisation.evaluate(theta, points)
        reached = parametrisation.reaches(theta, points) if wide else log_contrast != 0
        changed = np.flatnonzero(reached.any(axis=1))
        if self._comm.allreduce(len(changed)) < FEW_CELLS * len(low):
            self._check_met(theta, low, high, points[changed])
        anomaly = Anomaly(tables, near[changed], log_contrast[changed], inside)
        depth = min(s.skin_depth(self._problem.background) for s in self._problem.scalings)
        strongest = np.clip(anomaly.log_contrast.max(axis=1, initial=-np.inf), -50, 50)
        depths = depth * np.exp(-strongest / 2)
        cells_per_depth = (depths / self._space.cell_widths[tables.cells[anomaly.rows]]).min(initial=np.inf)
        resolution.check_anomaly(self._comm.allreduce(float(cells_per_depth), MPI.MIN), self._space.degree)
        return anomaly

    def few(self) -> list[np.ndarray]:
        """A fixed few samples of the prior, to judge paths by."""
        return list(self._problem.prior.sample(np.random.default_rng(0), 8))

    def changed(self) -> list[int]:
        """Unknowns of the field that each of the few samples changes."""
        return [len(np.unique(self.of(theta, wide=True).dofs)) for theta in self.few()]

    def mostly_inside(self) -> bool:
        """Whether at least half of the few samples lie in the region."""
        low, high = self._problem.region
        supports = [self._problem.parametrisation.support(theta) for theta in self.few()]
        return 2 * sum((a >= low).all() and (b <= high).all() for a, b in supports) >= len(supports)

    def _check_met(self, theta, low, high, points):
        """Raise MaxwellError when an inclusion is so small that no quadrature point of any rank lies in it."""
        contrast = self._problem.parametrisation.evaluate(theta, (low + high) / 2)
        boxes = zip(low, high, strict=True)
        met = np.array([((points >= a) & (points <= b)).all(axis=-1).any() for a, b in boxes])
        missed = np.flatnonzero((contrast != 0) & (self._comm.allreduce(met.astype(int)) == 0))
        if len(missed):
            a, b = low[missed[0]], high[missed[0]]
            raise MaxwellError(
                f"theta {theta.tolist()}: no quadrature point of the mesh lies in the inclusion from "
                f"{a.round(3).tolist()} to {b.round(3).tolist()} m, whose data would be zero; take more "
                "cells, or a larger one."
            )

    def _near(self, low, high):
        """Rows of the region's tables whose points may lie in one of the boxes."""
        below, above = self._extent
        meets = (below[:, None] <= high).all(axis=2) & (above[:, None] >= low).all(axis=2)
        return np.flatnonzero(meets.any(axis=1))

    def _tabulate(self, low, high) -> CellTables:
        cells = self._space.cells_in(low, high)
        tables = self._space.tabulate(cells[cells < self._space.mesh.topology.index_map(3).size_local])
        inside = ((tables.points >= low) & (tables.points <= high)).all(axis=2).any(axis=1)
        return tables[inside]
