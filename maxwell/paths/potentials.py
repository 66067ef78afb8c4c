"""Scalar potentials on the mesh of a Nédélec space: their gradients and their stiffness."""

import numpy as np
import scipy.sparse as sp

from maxwell.fem import NedelecSpace
from maxwell.fenicsx import PETSc, fem, ufl

ROUND_OFF = 1e-10
"""Entries of the discrete gradient below this are interpolation noise; the others are of order one."""


def potentials(space: NedelecSpace, surface: float) -> tuple[sp.csr_array, sp.csr_array, np.ndarray]:
    """Discrete gradient T (dofs, nodes), stiffness K + ρK_∂ (nodes, nodes), nodes of the cells (cells, g).

    Potentials are the Lagrange elements of the space's degree, whose gradients the space contains exactly:
    Tφ are the unknowns of grad φ.  K = ∫ grad φ·grad ψ, K_∂ the same of the tangential parts over the boundary.
    surface : ρ in m, real.  On one process.
    """
    scalar = fem.functionspace(space.mesh, ("Lagrange", space.degree))
    gradient = sp.csr_array(fem.discrete_gradient(scalar, space.space).to_scipy()).copy()
    gradient.data[np.abs(gradient.data) < ROUND_OFF * np.abs(gradient.data).max()] = 0
    gradient.eliminate_zeros()
    phi, psi = ufl.grad(ufl.TrialFunction(scalar)), ufl.grad(ufl.TestFunction(scalar))
    n = ufl.FacetNormal(space.mesh)
    rho = fem.Constant(space.mesh, PETSc.ScalarType(surface))
    rule = {"quadrature_degree": 2 * space.degree}
    form = ufl.inner(phi, psi) * ufl.dx(metadata=rule)
    form += rho * ufl.inner(ufl.cross(n, phi), ufl.cross(n, psi)) * ufl.ds(metadata=rule)
    return gradient, space.assemble(form).real.tocsr(), scalar.dofmap.list
