"""Scattered data of the conductivity problem from an independent code, NGSolve, run in a process of its own."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.errors import StudyError
from maxwell import Conductivity, MaxwellError

PROGRAM = Path(__file__).with_name("ngsolve_conductivity.py")


@dataclass(frozen=True)
class Answer:
    """What the independent code says of some samples.

    data (n, m) : scattered data in V/m, ordered as a forward map's.  dofs : unknowns of its field.
    assemble, factorise, solve : seconds a sample, mean over the samples.  megabytes : peak of its process.
    """

    data: np.ndarray
    dofs: int
    assemble: float
    factorise: float
    solve: float
    megabytes: float

    @property
    def seconds(self) -> float:
        """Seconds a sample in all."""
        return self.assemble + self.factorise + self.solve


def available() -> bool:
    """Whether NGSolve is installed."""
    return importlib.util.find_spec("ngsolve") is not None


def lines(balls: np.ndarray, width: float, *, across: int, outside: float) -> list[list[float]]:
    """Faces of a mesh fitted to the box around some balls, three lists of coordinates in m.

    across : cells across that box.  outside : largest cell elsewhere in m.
    """
    reach = balls[:, 3:4] + width / 2
    low, high = (balls[:, :3] - reach).min(axis=0), (balls[:, :3] + reach).max(axis=0)
    found = []
    for a, b in zip(low, high, strict=True):
        below, above = (max(1, round(length / outside)) for length in (a, 1 - b))
        pieces = [(0, a, below), (a, b, across), (b, 1, above)]
        found.append([float(t) for p, q, n in pieces for t in np.linspace(p, q, n + 1)[:-1]] + [1.0])
    return found


def solve(
    problem: Conductivity,
    thetas,
    lines,
    *,
    order: int = 3,
    cell: str = "hexahedron",
    first_kind: bool = False,
) -> Answer:
    """Scattered data of balls θ (n, p) on a mesh with faces on three lines, elements of any order.

    Order p holds all polynomials of degree p; with `first_kind` (tetrahedra alone) gradients of polynomials of
    degree p + 1 are left out, and what remains is Nédélec's first kind of degree p.

    Raises StudyError when NGSolve is missing or fails, MaxwellError for unknowns that are no balls.
    """
    if not available():
        raise StudyError(
            "The independent code NGSolve is not installed; install it with `uv sync --extra independent`, "
            "or `pip install ngsolve`."
        )
    if problem.parametrisation.kind != "balls" or len(problem.frequencies) != 1:
        raise MaxwellError(
            f"The independent code is given {problem.parametrisation!r} at {len(problem.frequencies)} "
            "frequencies; expected Balls at one frequency."
        )
    thetas = np.stack([problem.parametrisation.check(theta) for theta in thetas])
    survey = problem.survey
    request = {
        "frequency": problem.frequencies[0],
        "background": problem.background,
        "permittivity": problem.permittivity,
        "width": problem.parametrisation.width,
        "side": survey.side,
        "first": survey.first,
        "last": survey.last,
        "deviation": survey.deviation,
        "balls": thetas.reshape(len(thetas), -1, 5).tolist(),
        "lines": [[float(t) for t in line] for line in lines],
        "cell": cell,
        "order": order,
        "first_kind": first_kind,
    }
    with tempfile.TemporaryDirectory() as folder:
        asked, told = Path(folder) / "request.json", Path(folder) / "result.npz"
        asked.write_text(json.dumps(request), "utf-8")
        done = subprocess.run(
            [sys.executable, str(PROGRAM), str(asked), str(told)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise StudyError(f"NGSolve ended with exit code {done.returncode} ({last}); take a smaller mesh.")
        with np.load(told) as result:
            assemble, factorise, each = result["seconds"][1:].mean(axis=0)
            return Answer(
                data=result["data"].reshape(len(thetas), -1),
                dofs=int(result["dofs"]),
                assemble=float(assemble),
                factorise=float(factorise),
                solve=float(each),
                megabytes=float(result["megabytes"]),
            )
