"""A mesh of affine cells in words and numbers, and the fields on it at points."""

import numpy as np

from maxwell.fem import EDGES
from maxwell.fenicsx import MPI, dolfinx, fem

NEAR = 1e-9
"""How far outside a cell, in its own coordinates, a point still counts as in it."""


def describe(space, grading: float) -> dict:
    """What a reader of the data may ask about a discretisation, as plain data: `ForwardMap.discretisation`.

    space : DOLFINx function space.  Collective: on several ranks every one gets the whole.
    """
    mesh, element = space.mesh, space.element.basix_element
    corners = _corners(mesh, np.arange(mesh.topology.index_map(3).size_local))
    extents = np.ptp(corners, axis=1)  # (cells, 3)

    def least(numbers):
        return float(mesh.comm.allreduce(float(np.min(numbers, initial=np.inf)), MPI.MIN))

    def largest(numbers):
        return -least(-numbers)

    nodes = mesh.geometry.x.T
    return {
        "element": "N1curl",
        "family": "Nedelec, first kind, H(curl)-conforming",
        "degree": int(element.degree),
        "functions": int(element.dim),
        "dofs": int(space.dofmap.index_map.size_global),
        "cell": mesh.topology.cell_name(),
        "cells": int(mesh.topology.index_map(3).size_global),
        "vertices": int(mesh.topology.index_map(0).size_global),
        "smallest_width": least(extents),
        "largest_width": largest(extents),
        "grading": float(grading),
        "low": [least(along) for along in nodes],
        "high": [largest(along) for along in nodes],
    }


class Locator:
    """Finds the cells of a mesh that hold given points; on one process.

    Cost: a tree of the cells' boxes once; then the few cells near each point.
    """

    def __init__(self, mesh):
        self._mesh = mesh
        self._tree = dolfinx.geometry.bb_tree(mesh, 3, padding=NEAR)

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A cell (n,) that holds each point of x (n, 3) in m of the mesh, and its reference coordinates (n, 3).

        Of the several cells of a point on a face or an edge, that of the lowest number.
        """
        if not len(x):
            return np.empty(0, dtype=np.int32), np.empty((0, 3))
        near = dolfinx.geometry.compute_collisions_points(self._tree, x)
        point = np.repeat(np.arange(len(x)), np.diff(near.offsets))
        corners = _corners(self._mesh, near.array)
        edges = corners[:, EDGES[self._mesh.topology.cell_name()]] - corners[:, :1]
        local = np.linalg.solve(np.swapaxes(edges, 1, 2), (x[point] - corners[:, 0])[..., None])[..., 0]
        simplex = self._mesh.topology.cell_name() == "tetrahedron"
        outside = np.maximum(-local.min(axis=1), (local.sum(axis=1) if simplex else local.max(axis=1)) - 1)
        best = np.lexsort((near.array, np.maximum(outside, NEAR), point))
        first = best[np.searchsorted(point[best], np.arange(len(x)))]
        return near.array[first], local[first]


def values(space, unknowns: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Fields with unknowns (dofs, k) at points x (n, 3) in m of the mesh: (k, n, 3) complex128; on one process.

    Where a field jumps, its value on the side that `Locator` takes.
    """
    cells, _ = Locator(space.mesh)(x)
    made, fields = fem.Function(space), np.empty((unknowns.shape[1], len(x), 3), dtype=np.complex128)
    for field, column in zip(fields, unknowns.T, strict=True):
        made.x.array[:] = column
        field[:] = made.eval(x, cells).reshape(-1, 3)
    return fields


def _corners(mesh, cells):
    return mesh.geometry.x[mesh.geometry.dofmaps[0][cells]]  # (cells, 4 or 8, 3)
