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

RADIUS = 0.12
"""In m."""

CONTRASTS = (2.0, -1.5)
THETAS = np.array([[*CENTRE, RADIUS, q] for q in CONTRASTS])
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
    """What errors are measured against.

    thetas (n, p), data (n, m) : balls of each of `CONTRASTS` at one centre after the other, `CENTRE` first.
    source : where the data come from.  error : their own relative error, the largest for each contrast.
    """

    thetas: np.ndarray
    data: np.ndarray
    source: str
    error: tuple[float, ...]


@dataclass(frozen=True)
class Sizes:
    """What a study solves: families of meshes, and the independent code's mesh and order.

    families : each a degree, a grading, a kind of cell, and cells an edge.
    order, across, outside : of the independent solution; see `independent.lines`.
    recipes : whether to judge the meshes of the recipes that come with the package too.
    candidates : meshes to judge as the recipes' are.
    centres : places of the ball on which these are judged; the families see `CENTRE` alone.
    """

    families: tuple[tuple[int, float, str, tuple[int, ...]], ...]
    order: int
    across: int
    outside: float
    recipes: bool = True
    candidates: tuple[Mesh, ...] = ()
    centres: int = 1

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


def solve(meshes: list[Mesh], thetas=THETAS) -> list[dict]:
    """Our scattered data on some meshes, all in one new process.

    Keys of each: `data` (n, m); `dofs`; `setup` and, per sample, `seconds`; `factors` and `peak` (of the
    process so far) in MB; `lines`, the coordinates of the mesh's faces along each axis.
    """
    return alone(_solve, meshes, np.asarray(thetas))


def _solve(meshes, thetas):
    results = []
    for mesh in meshes:
        began = time.process_time()
        forward = Conductivity().discretise(**asdict(mesh))
        ready = time.process_time()
        responses = [forward.solve(theta) for theta in thetas]
        x = forward.space.mesh.geometry.x
        results.append(
            {
                "data": np.stack([response.observation for response in responses]),
                "dofs": forward.dofs,
                "setup": ready - began,
                "seconds": (time.process_time() - ready) / len(thetas),
                "factors": float(responses[-1].info["memory"]),
                "peak": peak_megabytes(),
                "lines": [np.unique(np.round(x[:, axis], 12)).tolist() for axis in range(3)],
            }
        )
        del forward  # its factors, before those of a finer mesh
    return results


def balls(centres: int, seed: int = 7) -> np.ndarray:
    """A ball of each contrast at `CENTRE` and at further centres drawn from the default prior: (2·centres, 5)."""
    prior = Conductivity().prior
    low, high = np.array([prior.x, prior.y, prior.z]).T
    drawn = np.random.default_rng(seed).uniform(low, high, (centres - 1, 3))
    return np.concatenate([THETAS, *([[*c, RADIUS, q] for q in CONTRASTS] for c in drawn)])


def reference(sizes: Sizes) -> Reference:
    """The independent code's data, their error bounded by the change from elements of one order less."""
    problem = Conductivity()
    thetas = balls(sizes.centres)
    data, errors = [], []
    for pair in thetas.reshape(sizes.centres, len(CONTRASTS), -1):
        lines = independent.lines(
            pair, problem.parametrisation.width, across=sizes.across, outside=sizes.outside
        )
        fine = independent.solve(problem, pair, lines, order=sizes.order)
        coarse = independent.solve(problem, pair, lines, order=sizes.order - 1)
        data.append(fine.data)
        errors.append(relative(coarse.data, fine.data))
    cells = " × ".join(str(len(line) - 1) for line in lines)
    return Reference(
        thetas=thetas,
        data=np.concatenate(data),
        source=f"NGSolve, order {sizes.order}, {cells} bricks fitted to the ball, {fine.dofs} dofs",
        error=tuple(np.max(errors, axis=0).tolist()),
    )


def relative(data: np.ndarray, truth: np.ndarray) -> list[float]:
    """‖d − d_true‖ / ‖d_true‖ of each row of (n, m)."""
    return (np.linalg.norm(data - truth, axis=1) / np.linalg.norm(truth, axis=1)).tolist()


def order(cells, errors) -> float:
    """Slope of −log error against log cells by least squares: the order of convergence in h ∝ 1/cells."""
    return float(-np.polyfit(np.log(cells), np.log(errors), 1)[0])


def study(sizes: Sizes, truth: Reference | None, watch=lambda meshes: None) -> dict:
    """Errors of every mesh of the families and of the recipes, and the orders of each family.

    truth : the reference, or None to take the finest of our own meshes.  watch : called with the meshes
    that are solved next.
    """
    families = sizes.meshes()
    solved: dict[Mesh, dict] = {}
    for family in families:
        watch(family)
        solved.update(zip(family, solve(family), strict=True))
    if truth is None:
        finest = max(solved, key=lambda mesh: (mesh.degree, mesh.cells * (1 + mesh.grading), mesh.cell))
        source = f"our own {finest.cell} mesh of {finest.cells} cells, degree {finest.degree}"
        truth = Reference(THETAS, solved[finest]["data"], source, (0.0,) * len(CONTRASTS))
    first = truth.data[: len(CONTRASTS)]
    rows, orders = [], []
    for number, family in enumerate(families):
        errors = np.array([relative(solved[mesh]["data"], first) for mesh in family])
        cells = np.array([mesh.cells for mesh in family])
        kept = errors.all(axis=1)  # a mesh that is the reference itself has no error
        for k, mesh in enumerate(family):
            pair = slice(k - 1, k + 1)
            step = [order(cells[pair], e[pair]) for e in errors.T] if k and kept[pair].all() else None
            rows.append(_row(mesh, solved[mesh], errors[k]) | {"family": number, "order": step})
        orders.append([order(cells[kept], e) for e in errors[kept].T] if kept.sum() > 1 else None)
    return {
        "reference": truth.source,
        "reference_error": list(truth.error),
        "contrasts": list(CONTRASTS),
        "meshes": rows,
        "orders": orders,
        "centres": len(truth.thetas) // len(CONTRASTS),
        "recipes": _judged(sizes, truth, watch),
    }


def _judged(sizes, truth, watch):
    """Errors of the recipes' meshes and of the candidates over all centres: largest and mean."""
    owners = recipe_meshes() if sizes.recipes else {}
    owners |= {mesh: [] for mesh in sizes.candidates if mesh not in owners}
    if not owners:
        return []
    watch(list(owners))
    rows = []
    for mesh, solved in zip(owners, solve(list(owners), truth.thetas), strict=True):
        errors = np.reshape(relative(solved["data"], truth.data), (-1, len(CONTRASTS)))
        row = _row(mesh, solved, errors.max(axis=0)) | {"recipes": owners[mesh]}
        rows.append(row | {"mean": errors.mean(axis=0).tolist()})
    return rows


def _row(mesh, solved, errors):
    numbers = {key: solved[key] for key in ("dofs", "setup", "seconds", "factors")}
    return asdict(mesh) | numbers | {"errors": [float(e) for e in errors]}
