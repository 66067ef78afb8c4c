"""The discretised conductivity problem: exact fields by whichever path is cheapest, the Jacobian by reciprocity."""

import copy
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from maxwell import memory, meshes, resolution
from maxwell.errors import AccuracyError, MaxwellError
from maxwell.fem import NedelecSpace
from maxwell.fenicsx import MPI
from maxwell.forward import ForwardMap, Response, SlowPathWarning
from maxwell.paths import (
    Answer,
    Background,
    Change,
    CondensedExterior,
    CondensedUpdate,
    Interiors,
    LowRankUpdate,
    Refactorise,
)
from maxwell.paths.blocks import Blocks
from maxwell.paths.products import MassProducts
from maxwell.problems.anomaly import Anomalies, Anomaly
from maxwell.problems.conductivity import BOX, Conductivity
from maxwell.problems.on_mesh import describe, values
from maxwell.problems.points import points_in
from maxwell.solvers import BlockLowRank, Exact, refuse_hopeless, summed

PRODUCTS = 2**30
"""Largest size in bytes of the tabulated products of a prepared map; above it they are formed for each sample."""

LEAST_SAMPLES, SAMPLES_PER_COLUMN = 32, 0.005
"""`batch` prepares a fast path for this many samples, and this many for each right-hand side it takes."""


@dataclass(frozen=True)
class _Solved:
    anomaly: Anomaly
    answers: list[Answer]  # one a frequency
    observation: np.ndarray
    info: dict


class ConductivityMap(ForwardMap):
    """θ ↦ scattered data of `Conductivity` on one mesh.

    With A(θ) = A_0 + iκ ΔM(θ), where ΔM is the mass matrix weighted by σ̂(θ) − σ̂_0, X = A⁻¹C and X_0 = A_0⁻¹C
    for the patch functionals C, and s = −iκZ0, the data minus the background response are

        D = s Cᵀ(X − X_0) = −s X_0ᵀ (iκ ΔM) X,

    and the second form is used: it touches changed cells only and does not subtract nearly equal numbers.
    Jacobian by reciprocity (A symmetric, total fields E = sX, no conjugate), on the changed cells:

        ∂d_sr/∂θ_k = ∫ ∂σ/∂θ_k E_s·E_r dx,    ∂σ/∂θ_k = σ ∂m/∂θ_k.

    Paths to X.  Without preparation every θ costs a factorisation.  `prepare` computes once what makes it
    cheap, and chooses by operations a sample: the low-rank update of the changed unknowns, the same on the
    skeleton of groups of cells (voxels), or the exterior condensed onto the region's boundary (large regions that
    change as a whole).  `batch` prepares by itself when that pays.  `refactorising` is the same map on the slow
    path, the oracle.  A sample that leaves the region takes the slow path, with a SlowPathWarning.

    The Jacobian adds p products over the changed cells and no factorisation.

    On several ranks each holds a part of the mesh, its rows of the matrix and of the fields; every rank must
    call with the same θ, and every rank gets all data and the whole Jacobian.  Only the slow path works there.
    """

    def __init__(
        self,
        problem: Conductivity,
        cells: int,
        degree: int,
        grading: float,
        cell: str,
        comm: MPI.Comm | None = None,
        recipe: Exact | BlockLowRank | None = None,
    ):
        if isinstance(cells, bool) or not isinstance(cells, int | np.integer) or cells < 2:
            raise MaxwellError(f"discretise: cells is {cells!r}; expected a whole number of at least 2.")
        if type(degree) is not int or degree not in (1, 2):
            raise MaxwellError(f"discretise: degree is {degree!r}; expected 1 or 2.")
        if not isinstance(grading, int | float | np.number) or not 0 <= grading <= 4:
            raise MaxwellError(
                f"discretise: grading is {grading!r}; expected a number from 0 (uniform) to 4."
            )
        self.problem = problem
        self.cells, self.degree, self.grading, self.cell = int(cells), degree, grading, cell
        planes = problem.parametrisation.planes
        self.comm = MPI.COMM_SELF if comm is None else comm
        refuse_hopeless(memory.nedelec_unknowns(self.cells, degree, cell), self.comm)
        mesh = meshes.box(self.comm, self.cells, grading, problem.region, cell=cell, planes=planes)
        self.space = NedelecSpace(mesh, degree)
        widest = self.comm.allreduce(self.space.cell_widths.max(initial=0.0), MPI.MAX)
        narrowest = self.comm.allreduce(self.space.cell_widths.min(initial=1.0), MPI.MIN)
        for scaling in problem.scalings:
            medium = (scaling, problem.background, problem.permittivity)
            resolution.check_background(*medium, widest, degree)
            resolution.check_rounding(*medium, narrowest, degree)
        functionals = self.space.patch_functionals(problem.survey)  # (owned, K)
        self._backgrounds = [
            Background(self.space, functionals, scaling, problem.background, problem.permittivity, recipe)
            for scaling in problem.scalings
        ]
        self._slow = [Refactorise(background) for background in self._backgrounds]
        self._fast = None
        self._products = None
        self._anomalies = Anomalies(problem, self.space, self.comm)
        self._region = self._anomalies.region

    def __repr__(self):
        return (
            f"ConductivityMap({self.problem!r}, cells={self.cells}, degree={self.degree}, "
            f"grading={self.grading}, cell={self.cell!r}: "
            f"{self.dofs} dofs, {self.unknowns} unknowns, {self.observations} data)"
        )

    @property
    def dofs(self) -> int:
        """Unknowns of the field."""
        return self.space.dofs

    @property
    def discretisation(self) -> dict:
        """As in `ForwardMap`."""
        return describe(self.space.space, self.grading)

    @property
    def unknowns(self) -> int:
        """p, the length of θ."""
        return len(self.problem.parameters)

    @property
    def observations(self) -> int:
        """m, the number of data."""
        return len(self._backgrounds) * self.problem.survey.size**2

    @property
    def background_response(self) -> np.ndarray:
        """Data of the background alone, Cᵀ s X_0, flattened as the data are: (m,) complex128, V/m."""
        parts = []
        for background in self._backgrounds:
            response = summed(self.comm, background.functionals.T @ background.fields[: self.space.owned])
            parts.append(background.scaling.current * response.T.ravel())
        return np.concatenate(parts)

    @property
    def refactorising(self) -> "ConductivityMap":
        """The same map without the prepared path: every solve factorises.  Nothing is computed again."""
        slow = copy.copy(self)
        slow._fast = slow._products = None
        return slow

    @property
    def prepared(self) -> bool:
        """Whether a fast path is ready."""
        return self._fast is not None

    def prepare(self, cache: Path | str | None = None) -> dict:
        """Compute once what makes every later sample of the region cheap; exact to far below discretisation error.

        cache : a folder where the blocks are kept for other processes and runs, keyed by all that they depend
            on; None for this process's memory.

        A prepared map keeps working memory between samples: use it from one thread at a time.

        Returns `method`, `why`, `columns` (right-hand sides it takes), `megabytes`, `seconds`.
        Raises MaxwellError on several ranks, and when memory or the disk has no room for the blocks.
        """
        began = time.perf_counter()
        if self.comm.size > 1:
            raise MaxwellError(
                f"prepare: the map lives on {self.comm.size} ranks; fast paths need the mesh on one: discretise "
                "without comm, and spread samples over processes instead."
            )
        changed, region = self._anomalies.changed(), self._region
        planes = self.problem.parametrisation.planes
        interiors = Interiors(self.space, self._backgrounds[0].functionals, region.cells, region.dofs, planes)
        work = {
            LowRankUpdate: np.mean([LowRankUpdate.flops(n) for n in changed]),
            CondensedUpdate: CondensedUpdate.flops(interiors),
            CondensedExterior: CondensedExterior.flops(self.space, region.cells),
        }
        path = min(work, key=work.get)
        if path is CondensedUpdate:
            where, key = (interiors,), (interiors.members.tobytes(),)
        else:
            where, key = (region.cells, region.dofs), ()
        self._fast = [
            path(background, *where, Blocks(cache, *self._key(background), *key))
            for background in self._backgrounds
        ]
        if MassProducts.size(self._region) <= PRODUCTS:
            self._products = MassProducts(self._region)
        return {
            "method": path.__name__,
            "why": (
                f"samples change {np.mean(changed):.0f} of the region's "
                f"{LowRankUpdate.columns_of(self._region.dofs)} unknowns, "
                f"{len(interiors.interior)} of these lie inside a group of cells, and "
                f"{', '.join(f'{p.__name__} takes about {w / 1e9:.2g} Gflop' for p, w in work.items())}"
            ),
            "columns": sum(fast.columns for fast in self._fast),
            "megabytes": sum(fast.memory for fast in self._fast),
            "seconds": time.perf_counter() - began,
        }

    def pays_to_prepare(self, samples: int) -> bool:
        """Whether so many samples are worth a preparation; depends on the discretisation alone, not on timings."""
        if self.comm.size > 1:
            return False
        columns = LowRankUpdate.columns_of(self._region.dofs)
        enough = samples >= max(LEAST_SAMPLES, SAMPLES_PER_COLUMN * columns)
        return enough and self._anomalies.mostly_inside()

    def batch(self, thetas) -> np.ndarray:
        """F of each row: (n, p) → (n, m) complex128; prepares a fast path in memory when n makes it worth while."""
        self.prepare_for(len(thetas))
        return super().batch(thetas)

    def solve(self, theta) -> Response:
        """Scattered data (m,) in V/m for θ (p,), with the trace described in `Response`."""
        solved = self._solve(theta, accurate=False)
        return Response(solved.observation, solved.info)

    def linearise(self, theta) -> tuple[np.ndarray, np.ndarray]:
        """Scattered data (m,) and Jacobian (m, p) in V/m per unit of θ."""
        solved = self._solve(theta, accurate=True)
        anomaly = solved.anomaly
        points = anomaly.points
        per_cell = points.shape[1]
        density = self.problem.background * np.exp(anomaly.log_contrast)
        size = self.problem.survey.size
        fields = [answer.fields[answer.index] for answer in solved.answers]  # (c, f, K) a frequency
        jacobian = np.zeros((len(fields), size, size, self.unknowns), dtype=complex)
        for k, (where, slope) in enumerate(self.problem.parametrisation.slopes(theta, points)):
            touched = np.unique(where // per_cell)
            weight = np.zeros_like(density)
            weight.ravel()[where] = slope
            blocks = self._mass(anomaly, (density * weight)[touched], touched)
            for f, (background, field) in enumerate(zip(self._backgrounds, fields, strict=True)):
                here = field[touched].reshape(-1, size)
                image = np.matmul(blocks, field[touched].view(np.float64)).view(complex).reshape(-1, size)
                jacobian[f, :, :, k] = background.scaling.current**2 * (here.T @ image)
        return solved.observation, summed(self.comm, jacobian.reshape(-1, self.unknowns))

    def fields(self, theta) -> np.ndarray:
        """Unknowns of the total fields E of all sources in V/m, (dofs, K) complex128, refactorised.

        Of the first frequency.  Column s belongs in a `Function` of `space.space`.  On several ranks the rows that
        the rank's cells use: those that it owns, then ghosts.
        """
        return (
            self.problem.scaling.current * self.refactorising._solve(theta, accurate=True).answers[0].fields
        )

    def fields_at(self, theta, x) -> np.ndarray:
        """E in V/m at points x (n, 3) in m of the box, of all sources frequency by frequency: (F·K, n, 3) complex.

            ∫_top g̃_r p_r·E_fs = d_fsr + its value for the background

        with the rule of the receivers.  Where E jumps (its normal component does on faces between cells), the value
        of one side.  Cost: a factorisation and K right-hand sides a frequency, whatever is prepared.
        Raises MaxwellError for points outside the box, and on several ranks.
        """
        if self.comm.size > 1:
            raise MaxwellError(
                f"fields_at: the map lives on {self.comm.size} ranks, and points are sought on one; discretise "
                "without comm."
            )
        x = points_in(BOX, x, "fields_at")
        answers = self.refactorising._solve(theta, accurate=True).answers
        currents = [scaling.current for scaling in self.problem.scalings]
        parts = zip(currents, answers, strict=True)
        return np.concatenate([current * values(self.space.space, a.fields, x) for current, a in parts])

    def matrix(self, theta) -> sp.csr_array:
        """The system matrix A(θ) of the first frequency, (dofs, dofs) complex symmetric CSR; on one process."""
        anomaly = self._anomalies.of(self.problem.parametrisation.check(theta), wide=False)
        self._slow[0].load(self._change(self._backgrounds[0], anomaly, self._update(anomaly)))
        return self._backgrounds[0].solver.matrix

    def _solve(self, theta, *, accurate: bool) -> _Solved:
        began = time.perf_counter()
        theta = self.problem.parametrisation.check(theta)
        anomaly = self._anomalies.of(theta, wide=accurate)
        blocks = self._update(anomaly)
        changes = [self._change(background, anomaly, blocks) for background in self._backgrounds]
        answers = self._answers(theta, changes, accurate)
        parts = [
            -1j * background.scaling.current * answer.contracted  # (receiver, source)
            for background, answer in zip(self._backgrounds, answers, strict=True)
        ]
        sizes = [np.abs(part).max() for part in parts]
        mismatch = [
            np.abs(part - part.T).max() / size for part, size in zip(parts, sizes, strict=True) if size
        ]
        info = {
            **answers[0].info,
            "dofs": self.dofs,
            "residual": max(answer.residual for answer in answers),
            "reciprocity": float(max(mismatch, default=0.0)),
            "solves": len(parts) * self.problem.survey.size,
            "iterations": sum(answer.info["iterations"] for answer in answers),
            "memory": sum(answer.info["memory"] for answer in answers),
            "seconds": time.perf_counter() - began,
        }
        errors = [answer.info["error"] for answer in answers if "error" in answer.info]
        if errors:
            info["error"] = max(errors)
        return _Solved(anomaly, answers, np.concatenate([part.T.ravel() for part in parts]), info)

    def _answers(self, theta, changes, accurate) -> list[Answer]:
        """Fields by the prepared path where it serves, else by refactorising."""

        def along(paths):
            return [
                path.solve(change, accurate=accurate) for path, change in zip(paths, changes, strict=True)
            ]

        if not self._fast:
            return along(self._slow)
        region = self.problem.region.tolist()
        reason = f"reaches outside the region of interest {region} m"
        if changes[0].cells is not None:
            try:
                return along(self._fast)
            except AccuracyError as error:
                reason = f"is beyond the prepared path ({error})"
        warnings.warn(
            f"theta {theta.tolist()} {reason}: solved by refactorising.", SlowPathWarning, stacklevel=5
        )
        return along(self._slow)

    def _update(self, anomaly: Anomaly) -> np.ndarray:
        """∫ (σ̂ − σ̂_0) φ_i·φ_j on each changed cell: (c, f, f) real."""
        change = self.problem.scaling.conductivity(self.problem.background) * np.expm1(anomaly.log_contrast)
        return self._mass(anomaly, change, slice(None))

    def _mass(self, anomaly, coefficient, some) -> np.ndarray:
        """Element mass matrices on some of the changed cells, from tabulated products where there are any."""
        rows = anomaly.rows[some]
        if self._products is None or not anomaly.inside:
            return anomaly.tables[rows].mass(coefficient)
        return self._products(rows, coefficient)

    @staticmethod
    def _change(background, anomaly, blocks) -> Change:
        cells = anomaly.rows if anomaly.inside else None
        return Change(anomaly.dofs, background.scaling.wavenumber * blocks, cells)

    def _key(self, background):
        """All that precomputed blocks depend on: the mesh, the unknowns' numbering, the system, the region."""
        scaling, problem = background.scaling, self.problem
        numbers = (scaling.frequency, problem.background, problem.permittivity, self.degree, self.cell)
        mesh = self.space.mesh
        return (
            repr(numbers),
            repr(problem.survey),
            np.ascontiguousarray(mesh.geometry.x).tobytes(),
            np.ascontiguousarray(mesh.geometry.dofmaps[0]).tobytes(),
            np.ascontiguousarray(self.space.cell_dofs).tobytes(),
            self._region.cells.tobytes(),
        )
