"""Groups of a region's cells, the unknowns inside them, and their elimination for every sample.

The law.  Group the cells of a region.  An unknown is interior when all cells of the mesh that hold it lie in one
group and no functional touches it; the others of the region are its skeleton.  With A(θ) = A_0 + iΔ the
interior unknowns x_i of a group obey a local equation without a source, A_ii x_i + A_ib x_b = 0, so

    x_i = X(θ) x_b,        X(θ) = −A_ii(θ)⁻¹ A_ib(θ),

and to the rest of the mesh the group is the matrix S(θ) = A_bb − A_bi A_ii⁻¹ A_ib on its b skeleton unknowns.  Its
change is complex symmetric, and formed without subtracting nearly equal numbers (X_0 = X(0)):

    S(θ) − S(0) = i [I; X_0]ᵀ Δ [I; X(θ)] =: iΔ_S.

Any grouping is exact, whatever a group holds; it pays where cells come in bricks that change as a whole.
Source: static condensation, Wilson, Int. J. Numer. Meth. Eng. 8 (1974) 198.
"""

import numpy as np


class Interiors:
    """A region's unknowns, parted into a skeleton and the interiors of groups of cells.

    cell_dofs (C, f) : unknowns of the region's cells.  region_cells (C,) : their numbers in the mesh.
    functionals (dofs, K) : what is measured; an unknown that it touches stays in the skeleton.
    planes : along each axis the coordinates in m that divide the cells into groups.

    dofs (N,) : unknowns of the region.  skeleton (n,), interior (N − n,) : places in `dofs`.
    cell_rows (C, f) : places in `dofs` of the cells' unknowns.
    extent : of the region in m, the largest along an axis.  size : G, the number of groups.
    groups (C,) : the group of each cell.
    widths : B and I, the most skeleton and interior unknowns of a group.
    members (G, B + I) : places in `dofs` of a group's skeleton unknowns and, from B on, of its interior
        ones, −1 where a group has fewer than the largest.
    """

    def __init__(self, space, functionals, region_cells, cell_dofs, planes):
        self.dofs, cell_rows = np.unique(cell_dofs, return_inverse=True)
        self.cell_rows = cell_rows.reshape(cell_dofs.shape)
        self.groups = groups = _groups(space.mesh.geometry, region_cells, planes)
        self.size = int(groups.max()) + 1
        corners = space.mesh.geometry.x[space.mesh.geometry.dofmaps[0][region_cells].ravel()]
        self.extent = float(np.ptp(corners, axis=0).max())
        inside = self._inside(space, functionals, region_cells, groups)
        self.skeleton, self.interior = np.flatnonzero(~inside), np.flatnonzero(inside)
        pairs = np.unique(np.repeat(groups, cell_dofs.shape[1]) * len(self.dofs) + self.cell_rows.ravel())
        group, row = np.divmod(pairs, len(self.dofs))
        place = np.empty(len(pairs), dtype=np.intp)
        self.widths = []
        for part in (~inside[row], inside[row]):
            counts = np.bincount(group[part], minlength=self.size)
            first = np.cumsum(counts) - counts
            place[part] = sum(self.widths) + np.arange(part.sum()) - first[group[part]]
            self.widths.append(int(counts.max()))
        self.members = np.full((self.size, sum(self.widths)), -1)
        self.members[group, place] = row
        wanted = groups[:, None] * len(self.dofs) + self.cell_rows
        self._cell_places = place[np.searchsorted(pairs, wanted)]

    @property
    def flops(self) -> float:
        """Operations of one elimination of all interiors."""
        b, i = self.widths
        return 8 * self.size * (i**3 / 3 + 2 * i**2 * b + 2 * i * b**2)

    def positions(self) -> np.ndarray:
        """Where the entries of the cells' matrices go, (C, f, f), in `[ii | ib | bb]` of all groups, raveled.

        Entries of bi, the transposes of ib, go to one place behind all others.
        """
        b, i = self.widths
        group = self.groups[:, None, None]
        row, column = self._cell_places[:, :, None], self._cell_places[:, None, :]
        ii = (group * i + row - b) * i + column - b
        ib = (group * i + row - b) * b + column + self.size * i * i
        bb = (group * b + row) * b + column + self.size * i * (i + b)
        dropped = self.size * (i * i + i * b + b * b)
        return np.select([(row >= b) & (column >= b), row >= b, column < b], [ii, ib, bb], dropped)

    def _inside(self, space, functionals, region_cells, groups):
        """Which unknowns of the region are interior, (N,)."""
        outside = self.size
        everywhere = np.full(len(space.cell_dofs), outside)
        everywhere[region_cells] = groups
        least, most = np.full(space.dofs, outside), np.full(space.dofs, -1)
        for dofs in space.cell_dofs.T:
            np.minimum.at(least, dofs, everywhere)
            np.maximum.at(most, dofs, everywhere)
        return ((least == most) & (most < outside) & ~functionals.any(axis=1))[self.dofs]


class Elimination:
    """Eliminates the interiors of a background's system that element matrices change.

    matrix (dofs, dofs) : A_0 in CSR.  Cost of a call: `Interiors.flops`.
    """

    def __init__(self, interiors: Interiors, matrix):
        b, i = interiors.widths
        self._shape, self._positions = (interiors.size, b, i), interiors.positions()
        self._inner = np.zeros((interiors.size, i, i), complex)
        self._coupling = np.zeros((interiors.size, i, b), complex)
        for group, members in enumerate(interiors.members):
            known = members >= 0
            dofs = interiors.dofs[members[known]]
            local = np.zeros((b + i, b + i), complex)
            local[np.ix_(known, known)] = matrix[dofs][:, dofs].toarray()
            local[~known, ~known] = 1
            self._inner[group], self._coupling[group] = local[b:, b:], local[b:, :b]
        start = np.linalg.solve(self._inner, -self._coupling)
        self._start = np.ascontiguousarray(start.transpose(0, 2, 1))  # X_0ᵀ

    def __call__(self, cells, blocks):
        """Δ_S (G, B, B) and X(θ) (G, I, B), zero where a group has fewer unknowns than the largest.

        cells (c,) : rows of the region's tables.  blocks (c, f, f) : Δ on them, real.
        """
        size, b, i = self._shape
        where = self._positions if len(cells) == len(self._positions) else self._positions[cells]
        added = np.bincount(where.ravel(), blocks.ravel(), size * (i * i + i * b + b * b) + 1)[:-1]
        ends = [size * i * i, size * i * (i + b)]
        inner, coupling, outer = (
            part.reshape(size, -1, width)
            for part, width in zip(np.split(added, ends), (i, b, b), strict=True)
        )
        matrix, load = self._inner.copy(), -self._coupling
        matrix.imag += inner
        load.imag -= coupling
        extension = np.linalg.solve(matrix, load)
        real = extension.view(np.float64)
        change = np.matmul(coupling.transpose(0, 2, 1), real).view(complex)
        change.real += outer
        below = np.matmul(inner, real).view(complex)
        below.real += coupling
        change += np.matmul(self._start, below)
        return change, extension


def _groups(geometry, cells, planes):
    """Numbers from 0 on, without gaps, of the bricks between planes that hold the cells' midpoints."""
    middle = geometry.x[geometry.dofmaps[0][cells]].mean(axis=1)
    brick = np.stack([np.searchsorted(plane, x) for plane, x in zip(planes, middle.T, strict=True)], axis=1)
    return np.unique(brick, axis=0, return_inverse=True)[1].ravel()
