"""Compiled loops of the fast paths: what a sample takes out of the region's arrays, and small sparse products.

Compiled on first use and kept beside the module, or in numba's folder of the user (NUMBA_CACHE_DIR names another);
where none can be written, compiled anew in every process.
"""

from dataclasses import dataclass

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

AHEAD = 2
"""Rows by which `cut` is ahead in asking for what it reads."""

LINE = 8
"""Complex numbers of single precision in a cache line."""

TILE = 16
"""Rows that `cut` mirrors at once: two cache lines of them, and the tile stays in the nearest cache."""


def compiled(function):
    """A loop as machine code, kept between processes where there is a place for it."""
    options = {"nogil": True, "fastmath": {"contract", "reassoc", "nsz"}}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba finds no folder to write to
        return numba.njit(**options)(function)


@intrinsic
def _prefetch(typing, array, i, j):
    """Ask for the cache line of array[i, j], which a later iteration reads; no effect but on time."""

    def generate(context, builder, signature, arguments):
        kind = signature.args[0]
        there = context.make_array(kind)(context, builder, arguments[0])
        entry = cgutils.get_item_pointer(context, builder, kind, there, arguments[1:], wraparound=False)
        number, address = ir.IntType(32), ir.IntType(8).as_pointer()
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [address, number, number, number]),
            "llvm.prefetch.p0",
        )
        to_read, into_second_level, data = (ir.Constant(number, value) for value in (0, 2, 1))
        builder.call(function, [builder.bitcast(entry, address), to_read, into_second_level, data])
        return context.get_dummy_value()

    return types.void(array, i, j), generate


@compiled
def cut(matrix, rows, out):
    """Fill out (n, n) with matrix[rows][:, rows] of a symmetric matrix; half of it is mirrored, not read.

    What is read lies scattered over a matrix far larger than the caches, so it is asked for two rows ahead.
    """
    n = len(rows)
    lines, count = np.empty(n, np.int64), 0  # a column for each cache line of a row
    for j in range(n):
        if j == 0 or rows[j] // LINE != rows[j - 1] // LINE:
            lines[count] = rows[j]
            count += 1
    for first in range(0, n, TILE):
        last = min(n, first + TILE)
        for i in range(first, last):
            later = rows[min(i + AHEAD, n - 1)]
            for k in range(count):
                if lines[k] > later:
                    break
                _prefetch(matrix, later, lines[k])
            taken = matrix[rows[i]]
            for j in range(last):
                out[i, j] = taken[rows[j]]
        for j in range(first):
            for i in range(first, last):
                out[j, i] = out[i, j]


@compiled
def summed_products(cells, coefficient, products, out):
    """out[c] = Σ_q coefficient[c, q] products[cells[c], q]: (c, q) and (C, q, k) give (c, k)."""
    for c in range(len(cells)):
        out[c] = 0
        for q in range(coefficient.shape[1]):
            weight, row = coefficient[c, q], products[cells[c], q]
            if weight != 0:
                for k in range(len(row)):
                    out[c, k] += weight * row[k]


@dataclass(frozen=True)
class Sparse:
    """A small real matrix in compressed rows; it multiplies real (·, k), and complex (·, k) viewed as real (·, 2k).

    starts (n + 1,), columns (nnz,) and values (nnz,); `width` columns.
    """

    starts: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    width: int

    @classmethod
    def of_blocks(cls, rows, columns, blocks, shape) -> "Sparse":
        """Σ_c P_c B_c Q_cᵀ for rows (c, a), columns (c, b) of the whole and blocks (c, a, b)."""
        return cls(*_assembled(rows, columns, blocks, *shape), shape[1])

    @classmethod
    def rows_of(cls, matrix, rows, place, width) -> "Sparse":
        """The rows of a CSR matrix, whose column j becomes place[j]."""
        starts, columns, values = _taken(matrix.indptr, matrix.indices, matrix.data, rows, place)
        return cls(starts, columns, values, width)

    def astype(self, real) -> "Sparse":
        """The same in another precision."""
        return Sparse(self.starts, self.columns, self.values.astype(real), self.width)

    def __matmul__(self, x):
        """The product with x (width, k), contiguous, in the matrix's precision: (n, k)."""
        real = x.view(x.real.dtype)
        out = np.empty((len(self.starts) - 1, real.shape[1]), self.values.dtype)
        _multiply(self.starts, self.columns, self.values, real, out)
        return out.view(np.result_type(out.dtype, x.dtype)) if np.iscomplexobj(x) else out

    def transposed_times(self, x):
        """The product of the transpose with x (n, k), contiguous, in the matrix's precision: (width, k)."""
        real = x.view(x.real.dtype)
        out = np.zeros((self.width, real.shape[1]), self.values.dtype)
        _multiply_transposed(self.starts, self.columns, self.values, real, out)
        return out.view(np.result_type(out.dtype, x.dtype)) if np.iscomplexobj(x) else out

    def toarray(self):
        """All entries, (n, width)."""
        out = np.zeros((len(self.starts) - 1, self.width), self.values.dtype)
        out[np.repeat(np.arange(len(out)), np.diff(self.starts)), self.columns] = self.values
        return out


@compiled
def _multiply(starts, columns, values, x, out):
    for i in range(len(starts) - 1):
        row = out[i]
        row[:] = 0
        for p in range(starts[i], starts[i + 1]):
            value, other = values[p], x[columns[p]]
            for j in range(x.shape[1]):
                row[j] += value * other[j]


@compiled
def _multiply_transposed(starts, columns, values, x, out):
    for i in range(len(starts) - 1):
        row = x[i]
        for p in range(starts[i], starts[i + 1]):
            value, other = values[p], out[columns[p]]
            for j in range(x.shape[1]):
                other[j] += value * row[j]


@compiled
def _assembled(rows, columns, blocks, height, width):
    """Compressed rows of a sum of blocks: the blocks that meet a row are listed first, then added up."""
    cells, a = rows.shape
    b = columns.shape[1]
    met = np.zeros(height + 1, np.int64)
    for c in range(cells):
        for i in range(a):
            met[rows[c, i] + 1] += 1
    met = np.cumsum(met)
    slot, which = met.copy(), np.empty(cells * a, np.int64)
    for c in range(cells):
        for i in range(a):
            which[slot[rows[c, i]]] = c * a + i
            slot[rows[c, i]] += 1
    starts = np.zeros(height + 1, np.int64)
    indices, values = np.empty(cells * a * b, np.int32), np.empty(cells * a * b, blocks.dtype)
    place, filled = np.full(width, -1, np.int64), 0
    for r in range(height):
        for k in range(met[r], met[r + 1]):
            c, i = which[k] // a, which[k] % a
            for j in range(b):
                column = columns[c, j]
                p = place[column]
                if p < starts[r]:
                    place[column] = filled
                    indices[filled], values[filled] = column, blocks[c, i, j]
                    filled += 1
                else:
                    values[p] += blocks[c, i, j]
        starts[r + 1] = filled
    return starts, indices[:filled].copy(), values[:filled].copy()


@compiled
def _taken(starts, columns, values, rows, place):
    begins = np.zeros(len(rows) + 1, np.int64)
    for i in range(len(rows)):
        begins[i + 1] = begins[i] + starts[rows[i] + 1] - starts[rows[i]]
    indices, taken = np.empty(begins[-1], np.int32), np.empty(begins[-1], values.dtype)
    for i in range(len(rows)):
        for p in range(starts[rows[i]], starts[rows[i] + 1]):
            q = begins[i] + p - starts[rows[i]]
            if place[columns[p]] < 0:
                raise ValueError("a row has an entry in a column that has no place")
            indices[q], taken[q] = place[columns[p]], values[p]
    return begins, indices, taken
