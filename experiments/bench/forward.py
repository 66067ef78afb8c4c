"""How fast exact data come: refactorising for every sample against the fast paths, and another code beside both."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from experiments.bench import convergence, independent
from experiments.bench.convergence import Mesh
from experiments.bench.process import alone, peak_megabytes
from maxwell import Balls, Conductivity, Voxels

TURN = 16
"""Samples that a method solves before the other's turn, as it would in use: with what it needs in the caches."""


@dataclass(frozen=True)
class Case:
    """A parametrisation on a mesh, and how many samples of its default prior are solved both ways."""

    parametrisation: Balls | Voxels
    mesh: Mesh
    samples: int

    @property
    def unknown(self) -> str:
        """The parametrisation by its sizes, as Balls(1)."""
        of = self.parametrisation
        sizes = [of.count] if isinstance(of, Balls) else [of.nx, of.ny, of.nz]
        return f"{type(of).__name__}({', '.join(map(str, sizes))})"


def speed(case: Case, seed: int = 0) -> dict:
    """Time a case in a process of its own, on one thread; the methods take turns, `TURN` samples each.

    Seconds are of processor time: on one thread of an idle machine those of the clock, and on a shared one
    without the time that others had.

    Keys: `dofs`, `samples`; `method` of the fast path; seconds a sample `slow`, `fast` (value) and
    `slow_jacobian`, `fast_jacobian` (value and Jacobian); `ratio`, `ratio_jacobian`; `jacobian_cost`
    (fast Jacobian with value, over value); largest relative differences `data_difference`, `jacobian_difference`
    (Frobenius norm); `setup` and `prepare` in seconds; `factors`, `blocks`, `peak` in MB;
    `break_even`, the samples after which the preparation has paid.
    """
    return alone(_speed, case, seed)


def _speed(case, seed):
    problem = Conductivity(parametrisation=case.parametrisation)
    thetas = problem.prior.sample(np.random.default_rng(seed), case.samples + 1)
    began = time.process_time()
    forward = problem.discretise(**asdict(case.mesh))
    setup = time.process_time() - began
    slow = forward.refactorising
    began = time.process_time()
    trace = forward.prepare()
    prepare = time.process_time() - began
    for each in (slow, forward):  # the first call loads what later ones find in memory
        each.solve(thetas[-1])
        each.linearise(thetas[-1])

    clocks: dict[str, list[float]] = {key: [] for key in ("slow", "fast", "slow_jacobian", "fast_jacobian")}

    def timed(name, method, theta):
        began = time.process_time()
        result = method(theta)
        clocks[name].append(time.process_time() - began)
        return result

    data_difference = jacobian_difference = 0.0
    methods = set()
    for first in range(0, case.samples, TURN):
        turn = thetas[first : min(first + TURN, case.samples)]
        twins, responses, twin_slopes, slopes = (
            [timed(name, method, theta) for theta in turn]
            for name, method in (
                ("slow", slow.solve),
                ("fast", forward.solve),
                ("slow_jacobian", slow.jacobian),
                ("fast_jacobian", forward.jacobian),
            )
        )
        methods.update(response.info["method"] for response in responses)
        for response, twin in zip(responses, twins, strict=True):
            data_difference = max(data_difference, _distance(response.observation, twin.observation))
        for slope, twin_slope in zip(slopes, twin_slopes, strict=True):
            jacobian_difference = max(jacobian_difference, _distance(slope, twin_slope))
    seconds = {name: float(np.mean(values)) for name, values in clocks.items()}
    saved = seconds["slow"] - seconds["fast"]
    return asdict(case.mesh) | {
        "unknown": case.unknown,
        "dofs": forward.dofs,
        "samples": case.samples,
        "method": ", ".join(sorted(methods)),
        **seconds,
        "ratio": seconds["slow"] / seconds["fast"],
        "ratio_jacobian": seconds["slow_jacobian"] / seconds["fast_jacobian"],
        "jacobian_cost": seconds["fast_jacobian"] / seconds["fast"],
        "data_difference": data_difference,
        "jacobian_difference": jacobian_difference,
        "setup": setup,
        "prepare": prepare,
        "columns": trace["columns"],
        "why": trace["why"],
        "factors": float(twins[-1].info["memory"]),
        "blocks": float(trace["megabytes"]),
        "peak": peak_megabytes(),
        "break_even": prepare / saved if saved > 0 else None,
    }


def _distance(a, b):
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def codes(mesh: Mesh, truth: convergence.Reference | None) -> list[dict]:
    """The same balls by refactorising here and by NGSolve, assembled, factorised and solved for all sources.

    NGSolve has tetrahedra of the same bricks and Nédélec's first kind of the same degree, so as many unknowns;
    the bricks are cut otherwise, so the data agree up to discretisation.  `seconds` a sample;
    `errors` against the reference, or None without one.
    """
    thetas = convergence.THETAS
    (ours,) = convergence.solve([mesh])
    theirs = independent.solve(
        Conductivity(),
        thetas,
        ours["lines"],
        order=mesh.degree,
        cell="tetrahedron",
        first_kind=True,
    )

    def row(code, data, dofs, seconds, megabytes):
        errors = None if truth is None else convergence.relative(data, truth.data[: len(data)])
        return {"code": code, "dofs": dofs, "seconds": seconds, "megabytes": megabytes, "errors": errors}

    return [
        row("maxwell, refactorising", ours["data"], ours["dofs"], ours["seconds"], ours["peak"]),
        row("NGSolve, sparsecholesky", theirs.data, theirs.dofs, theirs.seconds, theirs.megabytes),
        {"code": "difference of their data", "errors": convergence.relative(ours["data"], theirs.data)},
    ]


@dataclass(frozen=True)
class Plan:
    """What a run of the benchmark does: sizes of the convergence study, cases of speed, mesh of both codes."""

    convergence: convergence.Sizes
    cases: tuple[Case, ...]
    both: Mesh


def _plans() -> dict[str, Plan]:
    tets, bricks = "tetrahedron", "hexahedron"
    return {
        "quick": Plan(
            convergence.Sizes(((2, 1.0, tets, (2, 3, 4)), (2, 1.0, bricks, (2, 3, 4))), 2, 2, 0.4, False),
            (Case(Balls(1), Mesh(3, 2, 1.0), 2), Case(Voxels(2, 2, 2), Mesh(4, 1), 2)),
            Mesh(3, 2),
        ),
        "default": Plan(
            convergence.Sizes(
                (
                    (1, 1.0, tets, (6, 10, 14)),
                    (1, 1.0, bricks, (8, 12, 16)),
                    (2, 0.0, tets, (4, 6, 8)),
                    (2, 1.0, tets, (4, 6, 8, 10)),
                    (2, 0.0, bricks, (4, 6, 8)),
                    (2, 1.0, bricks, (4, 6, 8, 10)),
                    (2, 2.0, bricks, (5, 7, 9)),
                ),
                3,
                3,
                0.24,
                candidates=(Mesh(9, 2, 2.0, bricks),),
            ),
            (
                Case(Balls(1), Mesh(14, 1), 48),
                Case(Balls(1), Mesh(8, 2), 48),
                Case(Balls(1), Mesh(8, 2, 1.0), 16),
                Case(Voxels(4, 4, 4), Mesh(14, 1), 16),
                Case(Voxels(4, 4, 4), Mesh(8, 2), 16),
            ),
            Mesh(8, 2),
        ),
        "study": Plan(
            convergence.Sizes(
                (
                    (1, 0.0, tets, (6, 10, 14, 20)),
                    (1, 1.0, tets, (6, 10, 14, 20)),
                    (1, 0.0, bricks, (8, 12, 16, 24)),
                    (1, 1.0, bricks, (8, 12, 16, 24)),
                    (2, 0.0, tets, (4, 6, 8, 10, 12)),
                    (2, 1.0, tets, (4, 6, 8, 10, 12)),
                    (2, 0.0, bricks, (4, 6, 8, 10, 12)),
                    (2, 1.0, bricks, (4, 6, 8, 10, 12)),
                    (2, 2.0, bricks, (5, 7, 9, 11)),
                ),
                3,
                3,
                0.24,
                candidates=tuple(Mesh(n, 2, g, bricks) for n in (8, 9, 10) for g in (1.0, 2.0, 4.0)),
                centres=5,
            ),
            (
                Case(Balls(1), Mesh(10, 1), 20),
                Case(Balls(1), Mesh(14, 1), 20),
                Case(Balls(1), Mesh(20, 1), 10),
                Case(Balls(1), Mesh(6, 2), 20),
                Case(Balls(1), Mesh(8, 2), 20),
                Case(Balls(1), Mesh(8, 2, 1.0), 10),
                Case(Balls(1), Mesh(10, 2), 10),
                Case(Balls(2), Mesh(8, 2), 10),
                Case(Voxels(4, 4, 4), Mesh(8, 2), 10),
                Case(Voxels(4, 4, 4), Mesh(8, 2, cell=bricks), 10),
            ),
            Mesh(10, 2),
        ),
    }


PLANS = _plans()
"""How much to do, by name."""

PARTS = ("convergence", "codes", "speed")
"""What a run consists of, in order."""


def _said(meshes):
    cells = ", ".join(str(mesh.cells) for mesh in meshes)
    return f"{meshes[0].cell}, degree {meshes[0].degree}, {cells} cells"


def run(
    plan: Plan,
    parts=PARTS,
    watch: Callable[[str], None] = lambda line: None,
    result: dict | None = None,
    save: Callable[[dict], None] = lambda result: None,
) -> dict:
    """Do the chosen parts of a plan that the result lacks, and return it, plain data.

    watch : told in a line what comes next.  save : given the result after each part, and each case of speed.
    """
    result = {} if result is None else result
    for part in [part for part in parts if part in result]:
        watch(f"{part}: {len(result[part])} cases taken up" if part == "speed" else f"{part}: taken up")
    left = {part for part in parts if part not in result}
    truth = None
    if not independent.available():
        watch("NGSolve is not installed (extra `independent`): the finest of our own meshes is the reference")
    elif {"convergence", "codes"} & left:
        watch("NGSolve: the reference")
        truth = convergence.reference(plan.convergence)
    if "convergence" in left:
        result["convergence"] = convergence.study(
            plan.convergence, truth, lambda meshes: watch(f"convergence: {_said(meshes)}")
        )
        save(result)
    if "codes" in left and independent.available():
        watch(f"both codes: {plan.both}")
        result["codes"] = codes(plan.both, truth)
        save(result)
    if "speed" in parts:
        measured = result.setdefault("speed", [])
        for case in plan.cases[len(measured) :]:
            watch(f"speed: {case.unknown}, {case.mesh}")
            measured.append(speed(case))
            save(result)
    return result
