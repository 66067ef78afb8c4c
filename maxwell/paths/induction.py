"""Green's block of a region in two parts: the quasi-static one, known from potentials, and what induction adds."""

import numpy as np
import scipy.sparse as sp

from maxwell.paths.background import Background
from maxwell.solvers import SymmetricSolver

ROWS = 512
"""Rows of Green's block that are computed and written at once."""


def grounded_inverse(stiffness: sp.csr_array, nodes: np.ndarray) -> np.ndarray:
    """L = (K + ρK_∂)⁻¹ on some nodes (v, v), one node held at zero, outside them if there is one.

    stiffness : K + ρK_∂ (nodes, nodes), real.  Any grounded node serves: only differences of potentials matter, and
    loads that are gradients sum to zero.  Cost: a factorisation and v right-hand sides.
    """
    pinned = np.append(np.setdiff1d(np.arange(stiffness.shape[0]), nodes), nodes[0])[0]
    free = np.delete(np.arange(stiffness.shape[0]), pinned)
    inner = nodes != pinned
    place = np.searchsorted(free, nodes[inner])
    solver = SymmetricSolver(sp.csr_array(stiffness[free][:, free]).astype(complex))
    inverse = np.zeros((len(nodes), len(nodes)))
    inverse[np.ix_(inner, inner)] = solver.inverse(place, place).real
    solver.close()
    return inverse


def green(background: Background, dofs, gradient, potential, scale, out) -> None:
    """Write G_s = G − T L Tᵀ/s_0 on the unknowns `dofs` to out (n, n), row by row (it is symmetric).

    gradient : T (n, v).  potential : L (v, v).  scale : s_0.  Cost: n right-hand sides of the background, and
    memory for L Tᵀ (v, n).
    """
    smooth = np.ascontiguousarray((gradient @ potential).T)  # L Tᵀ
    solver = background.restore()
    for first in range(0, len(dofs), ROWS):
        rows = slice(first, first + ROWS)
        out[rows] = solver.inverse(dofs, dofs[rows]).T - (gradient[rows] @ smooth) / scale
