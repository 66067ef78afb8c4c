"""Orders of the elements on both kinds of cells, against fields that are known.

First-kind Nédélec elements of degree k: order k in L2, of the field and of its curl.
"""

import numpy as np
import pytest

import maxwell
from maxwell import meshes
from maxwell.fem import NedelecSpace, curl_curl_matrix
from maxwell.fenicsx import MPI, ufl
from maxwell.reference import manufactured
from maxwell.reference.dipole import ElectricDipole, MagneticDipole
from maxwell.solvers import SymmetricSolver

PROBLEM = maxwell.Conductivity(parametrisation=maxwell.Balls(1, width=0.16))
BALL = [0.47, 0.55, 0.62, 0.16, 0.8]  # wide and soft, so that coarse meshes show their order
PLACE = {"frequency": 23.9e6, "position": (0.4, 0.6, 2.0), "moment": (1.0, 0.5, 0.3), "conductivity": 0.0425}


def solved(matrix, load):
    solver = SymmetricSolver(matrix)
    unknowns = solver.solve(load[:, None])[0][:, 0]
    solver.close()
    return unknowns


def manufactured_errors(cells, degree, cell, grading):
    """Errors in L2 of the field solved for the load of a known one, with a ball present, and of its curl."""
    forward = PROBLEM.discretise(cells=cells, degree=degree, cell=cell, grading=grading)
    mesh, scaling = forward.space.mesh, PROBLEM.scaling
    exact = manufactured.field(mesh)
    sigma = PROBLEM.background * ufl.exp(manufactured.balls(mesh, BALL, width=0.16))
    k2 = scaling.wavenumber_squared(sigma)
    load = manufactured.load(forward.space, exact, k2, 1j * scaling.wavenumber)
    return manufactured.errors(forward.space, solved(forward.matrix(BALL), load), exact)


def dipole_errors(dipole, cells, degree, cell):
    """The same in a homogeneous medium, for the closed-form field of a source above the box."""
    mesh = meshes.box(MPI.COMM_SELF, cells, 0.0, maxwell.REGION_OF_INTEREST, cell=cell)
    space = NedelecSpace(mesh, degree)
    impedance = 1j * PROBLEM.scaling.wavenumber
    exact = manufactured.interpolated(space, dipole.electric)
    curl = manufactured.interpolated(space, dipole.curl_electric)
    load = manufactured.boundary_load(space, exact, curl, impedance)
    matrix = curl_curl_matrix(space, dipole.wavenumber**2, impedance)
    errors = manufactured.errors(space, solved(matrix, load), exact, curl)
    return errors / [manufactured.norm(space, exact), manufactured.norm(space, curl)]


@pytest.mark.parametrize(
    ("degree", "cells", "grading"), [(1, (4, 8), 0.0), (1, (4, 8), 1.0), (2, (3, 6), 0.0)]
)
@pytest.mark.parametrize("cell", meshes.CELLS)
def test_manufactured_field_with_a_ball(cell, degree, cells, grading):
    coarse, fine = (manufactured_errors(n, degree, cell, grading) for n in cells)
    assert np.log2(coarse / fine) == pytest.approx([degree, degree], abs=0.3)


@pytest.mark.parametrize(
    ("cell", "degree", "cells", "kind"),
    [
        ("tetrahedron", 1, (4, 8), ElectricDipole),
        ("tetrahedron", 2, (3, 6), MagneticDipole),
        ("hexahedron", 1, (4, 8), MagneticDipole),
        ("hexahedron", 2, (3, 6), ElectricDipole),
    ],
)
def test_field_of_a_dipole_outside_the_box(cell, degree, cells, kind):
    """The field of an impedance problem whose boundary data come from the closed form is the closed form."""
    coarse, fine = (dipole_errors(kind(**PLACE), n, degree, cell) for n in cells)
    assert np.log2(coarse / fine) == pytest.approx([degree, degree], abs=0.15)
    assert fine.max() < {1: 0.2, 2: 0.02}[degree]
