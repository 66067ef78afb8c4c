"""The lowest frequency that a mesh carries: the law of rounding, and the refusal that follows from it."""

import re

import numpy as np
import pytest

import maxwell
from maxwell import resolution, solvers
from maxwell.units import Scaling

BALLS = ([0.5, 0.5, 0.64, 0.12, 2.0], [0.5, 0.5, 0.64, 0.12, -2.0])
MESHES = (
    {"cells": 4, "degree": 1},
    {"cells": 5, "degree": 1, "cell": "hexahedron", "grading": 4.0},
    {"cells": 3, "degree": 2, "grading": 1.0},
    {"cells": 3, "degree": 2, "cell": "hexahedron", "grading": 2.0},
)


@pytest.fixture
def unchecked(monkeypatch):
    """Neither frequency nor residual is refused."""
    monkeypatch.setattr(resolution, "check_rounding", lambda *_: None)
    monkeypatch.setattr(solvers, "TOLERANCE", np.inf)


def rounding(frequency, background, mesh):
    """Largest error seen (reciprocity of the data, or residual), and what the law says of it."""
    problem = maxwell.Conductivity(frequency=frequency, background=background)
    forward = problem.discretise(**mesh)
    seen = [forward.solve(theta).info for theta in BALLS]
    squared = problem.scaling.wavenumber_squared(background)
    bound = resolution.rounding(squared, forward.space.cell_widths.min(), forward.degree)
    return max(max(info["reciprocity"], info["residual"]) for info in seen), bound


@pytest.mark.parametrize("mesh", MESHES, ids=str)
@pytest.mark.parametrize("background", [1e-6, 0.0425])
@pytest.mark.parametrize("frequency", [1e3, 1e6])
def test_rounding_grows_like_one_over_wavenumber_and_cell_squared(frequency, background, mesh, unchecked):
    """In a resistive box as in a conductor; the constant is a bound, not more than 20 times too large."""
    error, bound = rounding(frequency, background, mesh)
    assert bound / 20 < error < bound


@pytest.mark.parametrize(("mesh", "lowest"), [(MESHES[0], 130), (MESHES[3], 1500)], ids=str)
def test_a_frequency_too_low_for_the_cells_is_refused_and_the_named_one_is_taken(mesh, lowest):
    with pytest.raises(maxwell.MaxwellError, match=r"gradient part .* is lost to rounding") as refusal:
        maxwell.Conductivity(frequency=0.01).discretise(**mesh)
    said = str(refusal.value)
    assert said.startswith("At 0.01 Hz |k_c²|h² is ")
    assert "\n" not in said
    assert ("degree 1" in said.split("take")[1]) == (mesh["degree"] == 2)
    named = float(re.search(r"take ([\d.e+]+) Hz or more", said).group(1))
    assert named == lowest
    forward = maxwell.Conductivity(frequency=named).discretise(**mesh)
    info = forward.solve(BALLS[0]).info
    assert max(info["residual"], info["reciprocity"]) < resolution.ACCURACY
    with pytest.raises(maxwell.MaxwellError, match="lost to rounding"):
        maxwell.Conductivity(frequency=0.9 * named).discretise(**mesh)


@pytest.mark.parametrize("background", [1e-8, 1e-3, 10.0])
@pytest.mark.parametrize("permittivity", [1.0, 80.0])
def test_the_named_frequency_is_where_displacement_or_conduction_currents_suffice(background, permittivity):
    with pytest.raises(maxwell.MaxwellError, match="lost to rounding") as refusal:
        resolution.check_rounding(Scaling(1e-3), background, permittivity, 0.1, 2)
    named = float(re.search(r"take ([\d.e+]+) Hz or more", str(refusal.value)).group(1))
    squared = Scaling(named).wavenumber_squared(background, permittivity)
    assert 0.8 * resolution.ACCURACY < resolution.rounding(squared, 0.1, 2) <= resolution.ACCURACY


def test_what_rounding_may_do_is_what_a_solver_may_leave():
    assert resolution.ACCURACY == solvers.TOLERANCE
