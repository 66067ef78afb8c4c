"""Consistent loads for known fields, and how far a discrete field is from a known one.

A field E solves the impedance problem of `fem.curl_curl_matrix` in the unit box when its load is

    ℓ(v) = (curl curl E − k_c² E, v) + ⟨Z E_T − n × curl E, v_T⟩_∂Ω,

whatever k_c²(x) and Z are; Nédélec elements of the first kind and degree k then give E and curl E in L2 with
order k, on tetrahedra and on bricks.
Expressions are UFL, on the mesh of a `NedelecSpace` held by one process; arrays of unknowns are its degrees of
freedom.
"""

import numpy as np

from maxwell.fenicsx import PETSc, compiled, fem, ufl

QUADRATURE_DEGREE = 8
"""Degree of the rule for loads and errors; smooth fields need a few more than twice the element's."""


def field(mesh):
    """A smooth complex field with neither zero divergence nor zero tangential trace, as a UFL vector.

    Each component varies along its own axis too: there a brick's functions have one degree less, and a field
    without that variation would show an order too many.
    """
    x = ufl.SpatialCoordinate(mesh)
    return ufl.as_vector(
        [
            ufl.sin(2 * x[1]) * ufl.exp(0.3 * x[2]) + 1j * ufl.cos(x[2] + x[0]),
            ufl.cos(x[0] + 2 * x[2]) + 1j * ufl.sin(x[0] + x[1]) * x[2],
            ufl.sin(x[0] * x[1] + x[2]) + 0.5j * ufl.cos(2 * x[1] + x[2]),
        ]
    )


def balls(mesh, theta, width: float = 0.10):
    """m(x; θ) of `maxwell.Balls` as a UFL scalar, for θ = (x, y, z, R, q) of each ball and the same width in m."""
    x = ufl.SpatialCoordinate(mesh)
    total = 0
    for ball in np.reshape(theta, (-1, 5)):
        ball = fem.Constant(mesh, ball.astype(PETSc.ScalarType))  # else compiled in, once for every θ
        distance = ufl.sqrt(sum((x[i] - ball[i]) ** 2 for i in range(3)))
        t = ufl.max_value(0.0, ufl.min_value(1.0, ufl.real((ball[3] + width / 2 - distance) / width)))
        total += ball[4] * t**3 * (t * (6 * t - 15) + 10)
    return total


def load(space, exact, wavenumber_squared, impedance) -> np.ndarray:
    """ℓ(v) for a UFL field and UFL or constant k_c² and Z, (dofs,) complex128."""
    v = ufl.TestFunction(space.space)
    k2 = _coefficient(space, wavenumber_squared)
    volume = ufl.inner(ufl.curl(ufl.curl(exact)) - k2 * exact, v) * _measure(ufl.dx)
    return _vector(space, volume + _boundary_form(space, exact, ufl.curl(exact), impedance))


def boundary_load(space, exact, curl, impedance) -> np.ndarray:
    """The part ⟨Z E_T − n × curl E, v_T⟩ on the boundary alone, all there is when the source lies outside the box.

    exact, curl : E and curl E as UFL vectors, for example both from `interpolated`.
    """
    return _vector(space, _boundary_form(space, exact, curl, impedance))


def interpolated(space, values):
    """A field known at points, x (n, 3) in m ↦ (n, 3), as a Lagrange function two degrees above the space's."""
    lagrange = fem.functionspace(space.mesh, ("Lagrange", space.degree + 2, (3,)))
    result = fem.Function(lagrange, dtype=PETSc.ScalarType)
    result.interpolate(lambda x: values(x.T).T)
    return result


def errors(space, unknowns, exact, curl=None) -> np.ndarray:
    """‖E_h − E‖ and ‖curl E_h − curl E‖ in L2 for unknowns (dofs,) of E_h: (2,), in the units of E (lengths in m).

    exact, curl : E and curl E as UFL vectors; the curl of `exact` where none is given.
    """
    found = fem.Function(space.space)
    found.x.array[:] = unknowns
    curl = ufl.curl(exact) if curl is None else curl
    return np.array([norm(space, found - exact), norm(space, ufl.curl(found) - curl)])


def norm(space, vector) -> float:
    """‖F‖ in L2 of a UFL vector on the mesh of a space."""
    form = compiled(ufl.inner(vector, vector) * _measure(ufl.dx), space.mesh.comm)
    return float(np.sqrt(fem.assemble_scalar(form).real))


def _boundary_form(space, exact, curl, impedance):
    v, n = ufl.TestFunction(space.space), ufl.FacetNormal(space.mesh)
    density = _coefficient(space, impedance) * ufl.cross(ufl.cross(n, exact), n) - ufl.cross(n, curl)
    return ufl.inner(density, v) * _measure(ufl.ds)


def _coefficient(space, value):
    """A number as a constant that is not compiled in; anything else as it is."""
    return fem.Constant(space.mesh, PETSc.ScalarType(value)) if np.isscalar(value) else value


def _measure(measure):
    return measure(metadata={"quadrature_degree": QUADRATURE_DEGREE})


def _vector(space, form):
    return fem.assemble_vector(compiled(form, space.mesh.comm)).array.copy()
