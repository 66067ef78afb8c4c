"""Element mass matrices of a varying coefficient from tabulated products: one small product a cell."""

import numpy as np

from maxwell.fem import CellTables
from maxwell.paths import kernels


class MassProducts:
    """Products φ_i·φ_j of the basis at the quadrature points of a region's cells, weights included.

    tables : on C cells with q points and f functions.  Memory: C·q·f(f+1)/2·8 bytes (`size` tells it beforehand).
    Called with the rows of some cells and a coefficient (c, q): ∫ s φ_i·φ_j, (c, f, f), as `CellTables.mass`
    gives it and several times faster.
    """

    def __init__(self, tables: CellTables):
        _, _, functions, _ = tables.basis.shape
        upper = np.triu_indices(functions)
        self._products = np.empty((*tables.weights.shape, len(upper[0])))
        for c, (basis, weights) in enumerate(zip(tables.basis, tables.weights, strict=True)):
            self._products[c] = np.matmul(basis, basis.transpose(0, 2, 1))[:, *upper] * weights[:, None]
        places = np.empty((functions, functions), dtype=np.intp)
        places[upper] = places.T[upper] = np.arange(len(upper[0]))
        self._places = places.ravel()

    @staticmethod
    def size(tables: CellTables) -> int:
        """Bytes that the products would take."""
        c, q, f, _ = tables.basis.shape
        return 4 * c * q * f * (f + 1)

    def __call__(self, cells: np.ndarray, coefficient: np.ndarray) -> np.ndarray:
        """∫ s φ_i·φ_j on the cells (c,) of the region for s (c, q): (c, f, f)."""
        packed = np.empty((len(cells), self._products.shape[2]))
        kernels.summed_products(cells, coefficient, self._products, packed)
        functions = round(len(self._places) ** 0.5)
        return packed.take(self._places, axis=1).reshape(-1, functions, functions)
