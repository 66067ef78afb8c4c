"""Laws that a forward map obeys, as numbers that a user can ask for.

Each function takes any `ForwardMap` and returns what it measured; what is good enough is the caller's word.
"""

import numpy as np

from maxwell.forward import ForwardMap
from maxwell.units import VACUUM_IMPEDANCE


def reciprocity(matrix: np.ndarray) -> float:
    """max |D − Dᵀ| / max |D| of a source × receiver matrix whose sources and receivers are the same; 0 of D = 0."""
    size = np.abs(matrix).max()
    return float(np.abs(matrix - matrix.T).max() / size) if size else 0.0


def energy_balance(forward, theta) -> float:
    """Largest relative mismatch of the power balance over the sources of `Conductivity`, time average.

    The weak form tested with E itself, divided by 2iκZ0 (L0 = 1 m), is Poynting's theorem.  Its real part says
    that the power a source gives is dissipated inside or leaves through the impedance boundary,

        −½ Re ∫ J·E* = ½ ∫ σ|E|² + ½ ∫_∂Ω |E_T|²/Z0,

    its imaginary part that what it lends is the difference of the stored energies, 2ω(W_m − W_e):

        ½ Im ∫ J·E* = ½ ∫ |curl E|²/(κZ0) − ½ ∫ κε_r|E|²/Z0.

    Both hold exactly for the discrete field as long as σ is taken at the same quadrature points.  The right
    sides are integrated here cell by cell and facet by facet, past the matrix that was solved.  Mismatches are
    relative to the power given and to the larger of the stored energies.
    Cost: one solve and three quadratures a source.
    """
    from maxwell.fenicsx import compiled, fem, ufl  # a leaf's import: this module stays light
    from maxwell.solvers import summed

    problem, space, scaling = forward.problem, forward.space, forward.problem.scaling
    comm, impedance, kappa = space.mesh.comm, VACUUM_IMPEDANCE, scaling.wavenumber
    fields = forward.fields(theta)
    work = space.patch_functionals(problem.survey) * fields[: space.owned].conj()
    given = -0.5 * summed(comm, work.sum(axis=0))  # −½ ∫ J·E*, (K,)

    joule = np.zeros(len(given))
    for cells in np.array_split(np.arange(space.mesh.topology.index_map(3).size_local), forward.cells):
        tables = space.tabulate(cells)
        log_contrast = problem.parametrisation.evaluate(theta, tables.points)
        weights = 0.5 * problem.background * np.exp(log_contrast) * tables.weights
        joule += np.einsum("cq,cqik->k", weights, np.abs(tables.field(fields)) ** 2)

    field, n = fem.Function(space.space), ufl.FacetNormal(space.mesh)
    tangential, curl = ufl.cross(n, field), ufl.curl(field)
    integrals = [
        compiled(integrand, comm)
        for integrand in (
            ufl.inner(tangential, tangential) * ufl.ds,
            ufl.inner(curl, curl) * ufl.dx,
            ufl.inner(field, field) * ufl.dx,
        )
    ]
    squares = np.empty((3, len(given)))
    for k, column in enumerate(fields.T):
        field.x.array[:] = column
        squares[:, k] = [fem.assemble_scalar(form).real for form in integrals]
    joule, squares = summed(comm, joule), summed(comm, squares)
    lost = joule + 0.5 * squares[0] / impedance
    magnetic = 0.5 * squares[1] / (kappa * impedance)
    electric = 0.5 * kappa * problem.permittivity * squares[2] / impedance
    active = np.abs(given.real - lost) / given.real
    reactive = np.abs(-given.imag - (magnetic - electric)) / np.maximum(magnetic, electric)
    return float(max(active.max(), reactive.max()))


def jacobian_differences(forward: ForwardMap, theta, step: float = 1e-4) -> np.ndarray:
    """Relative distance of each column of J(θ) from a fourth-order central difference: (p,).

    The quotient itself is wrong by O(step⁴) plus round-off over step, and by the kinks of higher
    derivatives (a ball's edge is C²): about 1e-6 is as good as it gets.
    Complex unknowns are stepped along the real axis alone: F is holomorphic in them (for `Cauchy` linear), and
    its derivative along i is i times the one along 1.
    Cost: one linearisation and 4p solves.
    """
    theta = _numbers(theta)
    jacobian = forward.jacobian(theta)
    errors = np.empty(len(theta))
    for k, e in enumerate(np.eye(len(theta)) * step):
        near = forward(theta + e) - forward(theta - e)
        far = forward(theta + 2 * e) - forward(theta - 2 * e)
        difference = (8 * near - far) / (12 * step)
        size = np.linalg.norm(difference) or 1.0  # a column of zeros is compared as it is
        errors[k] = np.linalg.norm(difference - jacobian[:, k]) / size
    return errors


def taylor_remainders(forward: ForwardMap, theta, direction, steps) -> np.ndarray:
    """‖F(θ + h v) − F(θ) − h J(θ)v‖ for each h in steps: (len(steps),); falls like h² when J is right.

    θ and v (p,) are complex if the unknowns are.  Of a linear map it is round-off, whatever h.
    """
    theta, direction = _numbers(theta), _numbers(direction)
    value, jacobian = forward.linearise(theta)
    slope = jacobian @ direction
    return np.array([np.linalg.norm(forward(theta + h * direction) - value - h * slope) for h in steps])


def adjoint_mismatch(forward: ForwardMap, theta, direction, covector) -> float:
    """|Re⟨J v, w⟩ − Re⟨v, vjp(w)⟩| / (‖J v‖ ‖w‖) for v (p,), complex if the unknowns are, and w (m,)."""
    image = forward.jvp(theta, direction)
    left = np.vdot(covector, image).real
    right = np.vdot(direction, forward.vjp(theta, covector)).real
    return float(abs(left - right) / (np.linalg.norm(image) * np.linalg.norm(covector)))


def solvability(gradient, loads) -> float:
    """max |Gᵀb| / max |G|ᵀ|b| over right-hand sides b: round-off when curl-curl systems have solutions.

    gradient (dofs, nodes) : discrete gradients G, sparse.  loads (dofs, k) : right-hand sides, dense or sparse.
    """
    return float(abs(gradient.T @ loads).max() / (abs(gradient).T @ abs(loads)).max())


def _numbers(values) -> np.ndarray:
    """values as float64, or as complex128 if they are complex."""
    values = np.asarray(values)
    return values.astype(np.complex128 if np.iscomplexobj(values) else np.float64)
