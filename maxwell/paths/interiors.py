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

from maxwell.paths.kernels import compiled


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
    cell_places (C, f) : columns of `members` of the cells' unknowns.
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
        self.cell_places = place[np.searchsorted(pairs, wanted)]

    @property
    def flops(self) -> float:
        """Operations of one elimination of all interiors."""
        b, i = self.widths
        return 8 * self.size * (i**3 + 1.5 * i**2 * b + 1.5 * i * b**2)

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
        self._places = interiors.cell_places
        self._order = np.argsort(interiors.groups, kind="stable")
        self._first = np.searchsorted(interiors.groups[self._order], np.arange(interiors.size + 1))
        inner = np.zeros((interiors.size, i, i), complex)
        coupling = np.zeros((interiors.size, i, b), complex)
        for group, members in enumerate(interiors.members):
            known = members >= 0
            dofs = interiors.dofs[members[known]]
            local = np.zeros((b + i, b + i), complex)
            local[np.ix_(known, known)] = matrix[dofs][:, dofs].toarray()
            local[~known, ~known] = 1
            inner[group], coupling[group] = local[b:, b:], local[b:, :b]
        start = np.linalg.solve(inner, -coupling).transpose(0, 2, 1)
        # Every call writes over these: fresh pages would cost as much as what fills them.
        self._change, self._extension = np.empty((interiors.size, b, b), complex), np.empty_like(coupling)
        self._background = tuple(np.concatenate([a.real, a.imag], axis=2) for a in (inner, -coupling, start))

    def __call__(self, cells, blocks):
        """Δ_S (G, B, B) and X(θ) (G, I, B), zero where a group has fewer unknowns than the largest.

        Both are lent until the next call.

        cells (c,) : rows of the region's tables.  blocks (c, f, f) : Δ on them, real.
        """
        row = np.full(len(self._order), -1)
        row[cells] = np.arange(len(cells))
        change, extension = self._change, self._extension
        _eliminate(self._order, self._first, row, self._places, blocks, *self._background, change, extension)
        return change, extension


@compiled
def _eliminate(order, first, row, places, blocks, inner, minus_coupling, start, change, extension):
    """Group after group, what one needs in the nearest caches; complex rows as real ones, [Re | Im].

    inner (G, I, 2I), minus_coupling (G, I, 2B), start (G, B, 2I) : A_ii, −A_ib and X_0ᵀ of the background.

    A complex product in real ones: [Re AB | Im AB] = [Re A | Im A] [Re B | Im B; −Im B | Re B].
    """
    size, i, b = extension.shape
    added = np.empty((b + i, b + i))
    square = np.empty((i, i))
    inverse = np.empty((i, 2 * i))
    load, x = np.empty((2 * i, 2 * b)), np.empty((i, 2 * b))
    left, right = np.empty((b, 3 * i)), np.empty((3 * i, 2 * b))
    product = np.empty((b, 2 * b))
    for g in range(size):
        added[:] = 0
        for place in range(first[g], first[g + 1]):
            cell = order[place]
            if row[cell] >= 0:
                block, rows = blocks[row[cell]], places[cell]
                for m in range(len(rows)):
                    for n in range(len(rows)):
                        added[rows[m], rows[n]] += block[m, n]
        square[:] = added[b:, b:]
        inverse[:] = inner[g]
        inverse[:, i:] += square
        _invert(inverse)
        load[:i] = minus_coupling[g]
        load[:i, b:] -= added[b:, :b]
        load[i:, :b], load[i:, b:] = -load[:i, b:], load[:i, :b]
        np.dot(inverse, load, x)
        extension[g] = x[:, :b] + 1j * x[:, b:]
        # Δ_S = Δ_bb + Δ_bi X + X_0ᵀ Y with Y = Δ_ib + Δ_ii X, as one product.
        right[:i] = x
        right[i : 2 * i] = np.dot(square, x)
        right[i : 2 * i, :b] += added[b:, :b]
        right[2 * i :, :b], right[2 * i :, b:] = -right[i : 2 * i, b:], right[i : 2 * i, :b]
        left[:, :i] = added[:b, b:]
        left[:, i:] = start[g]
        np.dot(left, right, product)
        product[:, :b] += added[:b, :b]
        change[g] = product[:, :b] + 1j * product[:, b:]


@compiled
def _invert(matrix):
    """The inverse in place of a complex matrix (i, i) kept as [Re | Im], by Gauss and Jordan.

    Pivots are taken as they come: A_ii, turned in the complex plane, has a positive definite real part.
    """
    i = len(matrix)
    turned = np.empty(2 * i)
    for k in range(i):
        pivot = 1 / (matrix[k, k] + 1j * matrix[k, i + k])
        matrix[k, k], matrix[k, i + k] = 1, 0
        for n in range(i):
            value = (matrix[k, n] + 1j * matrix[k, i + n]) * pivot
            matrix[k, n], matrix[k, i + n] = value.real, value.imag
            turned[n], turned[i + n] = -value.imag, value.real
        pivoted = matrix[k]
        for m in range(i):
            if m != k:
                other = matrix[m]
                real, imaginary = other[k], other[i + k]
                other[k] = other[i + k] = 0
                for n in range(2 * i):
                    other[n] -= real * pivoted[n] + imaginary * turned[n]


def _groups(geometry, cells, planes):
    """Numbers from 0 on, without gaps, of the bricks between planes that hold the cells' midpoints."""
    middle = geometry.x[geometry.dofmaps[0][cells]].mean(axis=1)
    brick = np.stack([np.searchsorted(plane, x) for plane, x in zip(planes, middle.T, strict=True)], axis=1)
    return np.unique(brick, axis=0, return_inverse=True)[1].ravel()
