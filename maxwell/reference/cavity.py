"""Resonances of the perfectly conducting unit cube: closed form, and the same from Nédélec elements.

    curl curl E = λ E  in (0, 1)³,     n × E = 0  on ∂Ω.

λ = π²(l² + m² + n²) for whole l, m, n ≥ 0 of which at most one is zero: two modes when none is, one when one is.
Every gradient of a potential that vanishes on ∂Ω has λ = 0, so the discrete spectrum starts with a large
cluster of zeros; elements that are not curl-conforming spread it over the spectrum (spurious modes).
"""

from itertools import product

import numpy as np
import scipy.sparse as sp

from maxwell.errors import AccuracyError, MaxwellError


def eigenvalues(below: float) -> np.ndarray:
    """All positive λ < below, ascending, each as often as its multiplicity: (modes,) dimensionless (L0 = 1 m)."""
    top = int(np.sqrt(max(below, 0.0)) / np.pi) + 1
    found = []
    for indices in product(range(top + 1), repeat=3):
        value = np.pi**2 * sum(i * i for i in indices)
        if value < below:
            found += [value] * max(0, 2 - indices.count(0))
    return np.sort(found)


def discrete_eigenvalues(space, low: float = 5.0, high: float = 60.0) -> np.ndarray:
    """All eigenvalues of a `NedelecSpace` on the unit cube in (low, high), ascending: (modes,) real.

    Shift-and-invert Krylov-Schur (SLEPc, factors by MUMPS) about the middle of the window, to which all of
    its eigenvalues are nearer than the zeros are.  More are asked for until one outside the window turns up.

    low, high : 0 < low < high.
    Cost: one factorisation and some tens of solves; for coarse meshes.
    Raises MaxwellError for another window, AccuracyError when the iteration does not converge.
    """
    if not 0 < low < high:
        raise MaxwellError(f"The window of eigenvalues is ({low}, {high}); expected 0 < low < high.")
    from slepc4py import SLEPc

    curl, mass = _matrices(space)
    eps = SLEPc.EPS().create(curl.comm)
    eps.setOperators(curl, mass)
    eps.setProblemType(SLEPc.EPS.ProblemType.GHEP)
    eps.setWhichEigenpairs(SLEPc.EPS.Which.TARGET_MAGNITUDE)
    eps.setTarget((low + high) / 2)
    eps.setTolerances(tol=1e-9, max_it=200)
    transform = eps.getST()
    transform.setType(SLEPc.ST.Type.SINVERT)
    transform.getKSP().setType("preonly")
    factor = transform.getKSP().getPC()
    factor.setType("lu")
    factor.setFactorSolverType("mumps")
    wanted = 16
    while True:
        wanted = min(2 * wanted, curl.size[0])
        eps.setDimensions(nev=wanted)
        eps.solve()
        count = eps.getConverged()
        values = np.array([eps.getEigenvalue(i).real for i in range(count)])
        inside = (values > low) & (values < high)
        if count < wanted:
            raise AccuracyError(
                f"The eigenvalue iteration converged for {count} of {wanted} modes; expected all; "
                "take a narrower window or a finer mesh."
            )
        if not inside.all() or wanted == curl.size[0]:
            break
    for thing in (eps, curl, mass):
        thing.destroy()
    return np.sort(values[inside])


def _matrices(space):
    """(curl u, curl v) and (u, v) on the unknowns that are not on the wall, as PETSc matrices."""
    from maxwell.fenicsx import PETSc, fem, ufl
    from maxwell.fenicsx import mesh as meshes

    u, v = ufl.TrialFunction(space.space), ufl.TestFunction(space.space)
    mesh = space.mesh
    mesh.topology.create_connectivity(2, 3)
    wall = fem.locate_dofs_topological(space.space, 2, meshes.exterior_facet_indices(mesh.topology))
    free = np.setdiff1d(np.arange(space.dofs), wall)

    def petsc(form):
        matrix = sp.csr_array(space.assemble(form)[free][:, free])
        rows = (matrix.indptr.astype(PETSc.IntType), matrix.indices.astype(PETSc.IntType))
        return PETSc.Mat().createAIJ(matrix.shape, csr=(*rows, matrix.data), comm=PETSc.COMM_SELF)

    return petsc(ufl.inner(ufl.curl(u), ufl.curl(v)) * ufl.dx), petsc(ufl.inner(u, v) * ufl.dx)
