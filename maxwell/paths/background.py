"""The system of one frequency without anomaly, and what a path is asked and answers."""

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from maxwell.fem import NedelecSpace, curl_curl_form
from maxwell.fenicsx import PETSc
from maxwell.solvers import SymmetricSolver
from maxwell.units import Scaling


@dataclass(frozen=True)
class Change:
    """A(θ) − A_0 = i Σ_c blocks_c on some cells.

    dofs (c, f) : unknowns of the cells that this rank owns.  blocks (c, f, f) : real, symmetric.
    cells (c,) : rows of the region's tables that the cells are, or None when some lie outside the region.
    """

    dofs: np.ndarray
    blocks: np.ndarray
    cells: np.ndarray | None = None


@dataclass(frozen=True)
class Answer:
    """Fields on the changed cells, and what the data are made of.

    fields (n, K) : X = A(θ)⁻¹C on some unknowns.  index (c, f) : row of `fields` of each unknown of the cells.
    contracted (K, K) : X_0ᵀ Δ X with Δ the real blocks summed, so that Cᵀ(X − X_0) = −i X_0ᵀ Δ X.
    residual : relative residual of the system that was solved.
    info : `method`, `why`, `iterations` and `memory` as `Response` explains them.
    """

    fields: np.ndarray
    index: np.ndarray
    contracted: np.ndarray
    residual: float
    info: dict = field(default_factory=dict)


class Background:
    """A_0 of one frequency, factorised, and the fields X_0 = A_0⁻¹C of the functionals C.

    space : the elements.  functionals (owned, K) : C.  scaling : the frequency.
    conductivity : σ0 in S/m.  permittivity : ε_r.  recipe : see `SymmetricSolver`.
    """

    def __init__(
        self, space: NedelecSpace, functionals, scaling: Scaling, conductivity, permittivity, recipe
    ):
        self.space, self.functionals, self.scaling = space, functionals, scaling
        self.conductivity, self.permittivity = conductivity, permittivity
        self.wavenumber_squared = scaling.wavenumber_squared(conductivity, permittivity)
        form = curl_curl_form(space, self.wavenumber_squared, 1j * scaling.wavenumber)
        self.matrix = space.distributed(form)
        self.solver = SymmetricSolver(self.matrix, recipe)
        fields, self.residual = self.solver.solve(functionals)
        self.fields = space.with_ghosts(fields)

    @property
    def rows(self) -> sp.csr_array:
        """A copy of A_0 as CSR (dofs, dofs) with sorted columns, on one process."""
        starts, columns, values = self.matrix.getValuesCSR()
        matrix = sp.csr_array((values, columns, starts), shape=self.matrix.getSize())
        matrix.sort_indices()
        return matrix

    def restore(self) -> SymmetricSolver:
        """The solver with the background's own factors, whatever sample it held."""
        self.matrix.copy(self.solver.mat, structure=PETSc.Mat.Structure.SAME_NONZERO_PATTERN)
        self.solver.factorise()
        return self.solver
