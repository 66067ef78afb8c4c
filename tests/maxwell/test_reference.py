"""Closed forms checked against their own equations, and the elements against closed forms."""

import numpy as np
import pytest

import maxwell
from maxwell import meshes
from maxwell.fem import NedelecSpace
from maxwell.fenicsx import MPI
from maxwell.reference import cavity
from maxwell.reference.dipole import ElectricDipole, MagneticDipole
from maxwell.units import VACUUM_IMPEDANCE, VACUUM_PERMEABILITY

DIPOLES = {
    "electric, conductor": ElectricDipole(23.9e6, (0.1, 0.2, 0.3), (1.0, -0.4, 0.7), 0.0425),
    "magnetic, conductor": MagneticDipole(23.9e6, (0.1, 0.2, 0.3), (0.2, 1.0, 0.5j), 0.0425),
    "electric, dielectric": ElectricDipole(3e8, (0.1, 0.2, 0.3), (0.3, 1.0, 0.0), 0.0, 4.0),
    "magnetic, dielectric": MagneticDipole(3e8, (0.1, 0.2, 0.3), (1.0, 0.0, 0.2), 1e-3, 2.0),
}


def curl(field, x, step=0.01):
    """Central differences of order six at points x (n, 3)."""
    jacobian = np.empty((3, *x.shape), dtype=complex)  # ∂_j F_i at [j, :, i]
    for j, e in enumerate(np.eye(3) * step):
        terms = (c * (field(x + k * e) - field(x - k * e)) for k, c in ((1, 45), (2, -9), (3, 1)))
        jacobian[j] = sum(terms) / (60 * step)
    return np.stack([jacobian[i - 2, :, i - 1] - jacobian[i - 1, :, i - 2] for i in range(3)], axis=-1)


def near(values, expected, tolerance):
    assert np.linalg.norm(values - expected) < tolerance * np.linalg.norm(expected)


@pytest.mark.parametrize("dipole", DIPOLES.values(), ids=DIPOLES)
def test_dipole_fields_obey_maxwells_equations(dipole):
    """curl E = −iωμ0 H, curl H = (σ + iωε) E and curl curl E = k² E away from the source."""
    x = np.random.default_rng(0).uniform(0.6, 1.0, (50, 3))
    omega = 2 * np.pi * dipole.frequency
    epsilon = dipole.permittivity / (VACUUM_IMPEDANCE**2 / VACUUM_PERMEABILITY)
    near(curl(dipole.electric, x), -1j * omega * VACUUM_PERMEABILITY * dipole.magnetic(x), 1e-7)
    near(curl(dipole.electric, x), dipole.curl_electric(x), 1e-7)
    near(curl(dipole.magnetic, x), (dipole.conductivity + 1j * omega * epsilon) * dipole.electric(x), 1e-7)
    near(curl(dipole.curl_electric, x), dipole.wavenumber**2 * dipole.electric(x), 1e-7)


def test_dipole_fields_have_the_right_strength_and_decay():
    """At low frequency: direct current in a conductor, and the field of a magnet; far away: e^{Im k R} / R."""
    p, x = np.array([1.0, -0.4, 0.7]), np.array([[0.3, 0.5, -0.2], [-0.4, 0.1, 0.6]])
    distance = np.linalg.norm(x, axis=1, keepdims=True)
    r = x / distance
    static = (3 * (r @ p)[:, None] * r - p) / (4 * np.pi * distance**3)
    near(ElectricDipole(1.0, (0, 0, 0), tuple(p), 2.0).electric(x), static / 2.0, 1e-5)
    near(MagneticDipole(1.0, (0, 0, 0), tuple(p), 2.0).magnetic(x), static, 1e-5)
    dipole = ElectricDipole(23.9e6, (0, 0, 0), (1.0, 0, 0), 0.0425)
    assert dipole.wavenumber.imag < 0
    size = np.abs(dipole.electric(np.array([[0, 50.0, 0], [0, 51.0, 0]]))[:, 0])
    assert size[1] / size[0] == pytest.approx(50 / 51 * np.exp(dipole.wavenumber.imag), rel=1e-3)


def test_electric_and_magnetic_dipoles_are_reciprocal():
    """p·E_m = −iωμ0 m·H_p for an electric and a magnetic dipole, each measured by the other."""
    a, b = (0.1, 0.2, 0.3), (0.8, 0.3, 0.6)
    p, m = np.array([1.0, -0.4, 0.7]), np.array([0.2, 1.0, 0.5])
    electric = ElectricDipole(23.9e6, a, tuple(p), 0.0425)
    magnetic = MagneticDipole(23.9e6, b, tuple(m), 0.0425)
    factor = -2j * np.pi * 23.9e6 * VACUUM_PERMEABILITY
    assert p @ magnetic.electric(a) == pytest.approx(factor * m @ electric.magnetic(b), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"frequency": 0.0}, "frequency is 0.0; expected a positive number in Hz"),
        ({"conductivity": -1.0}, "conductivity is -1.0; expected at least 0 in S/m"),
        ({"permittivity": 0.5}, "permittivity is 0.5; expected at least 1"),
    ],
)
def test_wrong_dipoles_are_refused_in_a_sentence(arguments, expected):
    with pytest.raises(maxwell.MaxwellError, match=expected):
        ElectricDipole(**{"frequency": 1e6, "position": (0, 0, 0), "moment": (1, 0, 0), **arguments})


def test_a_field_at_its_source_is_refused():
    with pytest.raises(maxwell.MaxwellError, match=r"position .* of the source"):
        DIPOLES["electric, conductor"].electric([[0.5, 0.5, 0.5], [0.1, 0.2, 0.3]])


def test_cavity_multiplicities():
    values, multiplicities = np.unique((cavity.eigenvalues(100.0) / np.pi**2).round(9), return_counts=True)
    assert values.tolist() == [2, 3, 5, 6, 8, 9, 10]
    assert multiplicities.tolist() == [3, 2, 6, 6, 3, 6, 6]


@pytest.mark.parametrize(("cell", "degree", "cells"), [("tetrahedron", 2, 4), ("hexahedron", 2, 4)])
def test_cavity_has_no_spurious_modes(cell, degree, cells):
    """Every eigenvalue in (5, 60), zeros left out, within 1 % of closed form and as often as it should."""
    mesh = meshes.box(MPI.COMM_SELF, cells, 0.0, maxwell.REGION_OF_INTEREST, cell=cell)
    found = cavity.discrete_eigenvalues(NedelecSpace(mesh, degree), 5.0, 60.0)
    exact = cavity.eigenvalues(60.0)
    assert len(found) == len(exact) == 17
    assert found[:12] == pytest.approx(exact[:12], rel=0.01)
    levels = np.unique(exact.round(6))
    nearest = levels[np.abs(found[:, None] - levels).argmin(axis=1)]
    assert nearest == pytest.approx(exact, abs=1e-5)


def test_cavity_window_is_refused():
    with pytest.raises(maxwell.MaxwellError, match="expected 0 < low < high"):
        cavity.discrete_eigenvalues(None, -1.0, 60.0)
