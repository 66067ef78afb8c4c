"""How far scattered data are from those of the continuous problem: errors, orders and cost, mesh by mesh."""

import time
from dataclasses import asdict, dataclass, fields

import numpy as np

from data import recipe as recipes
from experiments.bench import independent
from experiments.bench.process import alone, peak_megabytes
from maxwell import Conductivity

CENTRE = (0.5, 0.5, 0.64)
"""The middle of the default prior, in m."""

CONTRASTS = (2.0, -1.5)
THETAS = np.array([[*CENTRE, 0.12, q] for q in CONTRASTS])
"""The balls whose data are judged: as conductive as the prior allows, and resistive."""


@dataclass(frozen=True)
class Mesh:
    """Arguments of `Conductivity.discretise`."""

    cells: int
    degree: int = 2
    grading: float = 0.0
    cell: str = "tetrahedron"


@dataclass(frozen=True)
class Reference:
    """Data (n, m) that errors are measured against, where they come from, and their own error (n,), relative."""

    data: np.ndarray
    source: str
    error: tuple[float, ...]


@dataclass(frozen=True)
class Sizes:
    """What a study solves: families of meshes, and the independent code's mesh and order.

    families : each a degree, a grading, a kind of cell, and cells an edge.
    order, across, outside : of the independent solution; see `independent.lines`.
    recipes : whether to judge the meshes of the recipes that come with the package too.
    """

    families: tuple[tuple[int, float, str, tuple[int, ...]], ...]
    order: int
    across: int
    outside: float
    recipes: bool = True

    def meshes(self) -> list[list[Mesh]]:
        """The meshes of each family, coarse to fine."""
        return [[Mesh(n, d, g, cell) for n in cells] for d, g, cell, cells in self.families]


def recipe_meshes(names=("conductivity", "demo")) -> dict[Mesh, list[str]]:
    """Meshes of the recipes that come with the package, each with the splits that are solved on it."""
    known = {field.name for field in fields(Mesh)}
    found: dict[Mesh, list[str]] = {}
    for name in names:
        for split, about in recipes.load(name).splits.items():
            if split in ("train", "test"):
                mesh = Mesh(**{key: value for key, value in about.mesh.items() if key in known})
                found.setdefault(mesh, []).append(f"{name}, {split}")
    return found


def solve(mesh: Mesh, thetas=THETAS) -> dict:
    """Our scattered data (n, m) on a mesh with dofs, seconds a sample and megabytes; in a process of its own."""
    return alone(_solve, mesh, np.asarray(thetas))


def _solve(mesh, thetas):
    problem = Conductivity()
    began = time.perf_counter()
    forward = problem.discretise(**asdict(mesh))
    ready = time.perf_counter()
    data = np.stack([forward.solve(theta).observation for theta in thetas])
    return {
        "data": data,
        "dofs": forward.dofs,
        "setup": ready - began,
        "seconds": (time.perf_counter() - ready) / len(thetas),
        "megabytes": peak_megabytes(),
    }


def reference(sizes: Sizes, thetas=THETAS) -> Reference:
    """The independent code's data, their error bounded by the change from elements of one order less."""
    problem = Conductivity()
    lines = independent.lines(
        thetas, problem.parametrisation.width, across=sizes.across, outside=sizes.outside
    )
    fine = independent.solve(problem, thetas, lines, order=sizes.order)
    coarse = independent.solve(problem, thetas, lines, order=sizes.order - 1)
    cells = " × ".join(str(len(line) - 1) for line in lines)
    return Reference(
        data=fine.data,
        source=f"NGSolve, order {sizes.order}, {cells} bricks, {fine.dofs} dofs",
        error=tuple(relative(coarse.data, fine.data)),
    )


def relative(data: np.ndarray, truth: np.ndarray) -> list[float]:
    """‖d − d_true‖ / ‖d_true‖ of each row of (n, m)."""
    return (np.linalg.norm(data - truth, axis=1) / np.linalg.norm(truth, axis=1)).tolist()


def order(cells, errors) -> float:
    """Slope of −log error against log cells by least squares: the order of convergence in h ∝ 1/cells."""
    return float(-np.polyfit(np.log(cells), np.log(errors), 1)[0])


def study(sizes: Sizes, truth: Reference | None, watch=lambda mesh: None) -> dict:
    """Errors of every mesh of the families and of the recipes, and the orders of each family.

    truth : the reference, or None to take the finest of our own meshes.  watch : called before each mesh.
    """
    solved: dict[Mesh, dict] = {}
    owners = recipe_meshes() if sizes.recipes else {}
    for mesh in [mesh for family in sizes.meshes() for mesh in family] + list(owners):
        if mesh not in solved:
            watch(mesh)
            solved[mesh] = solve(mesh)
    if truth is None:
        finest = max(solved, key=lambda mesh: (mesh.degree, mesh.cells * (1 + mesh.grading), mesh.cell))
        truth = Reference(solved[finest]["data"], f"our own mesh {finest}", (0.0,) * len(CONTRASTS))
    rows, orders = [], []
    for number, family in enumerate(sizes.meshes()):
        errors = np.array([relative(solved[mesh]["data"], truth.data) for mesh in family])
        for k, mesh in enumerate(family):
            step = (
                [order([family[k - 1].cells, mesh.cells], pair) for pair in errors[k - 1 : k + 1].T]
                if k and errors[k].all()
                else None
            )
            rows.append(_row(mesh, solved[mesh], errors[k]) | {"family": number, "order": step})
        cells = [mesh.cells for mesh in family]
        kept = errors.all(axis=1)  # the finest mesh has no error against itself
        orders.append([order(np.array(cells)[kept], e) for e in errors[kept].T] if kept.sum() > 1 else None)
    recipe_rows = [
        _row(mesh, solved[mesh], relative(solved[mesh]["data"], truth.data)) | {"recipes": splits}
        for mesh, splits in owners.items()
    ]
    return {
        "reference": truth.source,
        "reference_error": list(truth.error),
        "contrasts": list(CONTRASTS),
        "meshes": rows,
        "orders": orders,
        "recipes": recipe_rows,
    }


def _row(mesh, solved, errors):
    numbers = {key: solved[key] for key in ("dofs", "setup", "seconds", "megabytes")}
    return asdict(mesh) | numbers | {"errors": [float(e) for e in errors]}
