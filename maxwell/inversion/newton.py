"""Gauss-Newton with the exact Jacobian, in a box, to the accuracy that the noise allows."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from scipy.optimize import lsq_linear

from maxwell.errors import AccuracyError, MaxwellError
from maxwell.forward import ForwardMap, SlowPathWarning
from maxwell.inversion.result import Estimate, Record, Trace
from maxwell.inversion.rules import Discrepancy
from maxwell.inversion.whitening import DataSpace, Gaussian, Sampler, check_observation, draw, rms
from maxwell.numbers import array_of, is_real, is_whole

FIRST_DAMPING = 1e-3
"""μ at the start, relative to the diagonal of the Hessian."""
LARGEST_DAMPING = 1e8
"""A step this short that still does not descend ends the iteration."""
SUFFICIENT = 1e-3
"""Least part of the predicted decrease that a step must bring."""

BEND = 0.5
"""Largest correction of a step for curvature, relative to the step."""


@dataclass(frozen=True)
class _Point:
    theta: np.ndarray
    value: np.ndarray  # F(θ) (m,)
    residual: np.ndarray  # W (d − F(θ)) (N,)
    slope: np.ndarray  # W J diag(scale) (N, p)
    offset: np.ndarray  # (θ − θ_0) / scale (p,)


class _Posterior:
    """½‖W(d − F(θ))‖² + ½‖Γ^{-1/2}(θ − θ_0)‖² in x = (θ − θ_0) / scale, scale the prior deviations."""

    def __init__(self, forward, observation, noise, gaussian):
        self.forward, self.noise, self.gaussian = forward, noise, gaussian
        self.scale = np.sqrt(np.diag(gaussian.covariance))
        if not (self.scale > 0).all() or gaussian.root().shape[1] < gaussian.mean.size:
            raise MaxwellError(
                "gauss_newton: the prior covariance is singular; give one of full rank "
                "or more samples than unknowns."
            )
        self.precision = np.linalg.inv(gaussian.covariance / np.outer(self.scale, self.scale))
        self.observation, self.space = observation, None
        self.linearisations, self.slow, self.began = 0, 0, time.perf_counter()

    def at(self, theta) -> _Point:
        self.linearisations += 1
        with self._one_notice():
            value, jacobian = self.forward.linearise(theta)
        if self.space is None:
            self.space = DataSpace.of(self.noise, value, theta)
            self.observation = check_observation(self.observation, value)
        return _Point(
            theta,
            value,
            self.space.whiten(self.observation - value),
            self.space.whiten(jacobian.T).T * self.scale,
            (theta - self.gaussian.mean) / self.scale,
        )

    @contextmanager
    def _one_notice(self) -> Iterator[None]:
        """Hand on warnings, but of all SlowPathWarnings the first alone: every trial point may give one."""
        try:
            with warnings.catch_warnings(record=True) as caught:
                yield
        finally:
            for given in caught:
                slow = issubclass(given.category, SlowPathWarning)
                self.slow += slow
                if not slow or self.slow == 1:
                    warnings.warn_explicit(given.message, given.category, given.filename, given.lineno)

    def objective(self, point: _Point) -> float:
        x = point.offset
        return 0.5 * float(point.residual @ point.residual + x @ self.precision @ x)

    def model(self, point: _Point) -> tuple[np.ndarray, np.ndarray]:
        """Descent g = −∇ and the Gauss-Newton Hessian H = AᵀA + Γ⁻¹ in x."""
        descent = point.slope.T @ point.residual - self.precision @ point.offset
        return descent, point.slope.T @ point.slope + self.precision

    def record(self, point: _Point, damping: float, step: float) -> Record:
        norm = float(np.sqrt(point.offset @ self.precision @ point.offset))
        seconds = time.perf_counter() - self.began
        return Record(damping, rms(point.residual), norm, seconds, self.linearisations, step)


def gauss_newton(
    forward: ForwardMap,
    observation,
    noise,
    prior: Gaussian | Sampler,
    *,
    start=None,
    bounds: tuple[np.ndarray, np.ndarray] | None = None,
    stop: Discrepancy | None = None,
    tolerance: float = 0.1,
    iterations: int = 100,
    restarts: int = 4,
    samples: int = 1000,
    seed: int | np.random.Generator = 0,
) -> Estimate:
    """argmin ½‖W (d − F(θ))‖² + ½‖Γ^{-1/2}(θ − θ_0)‖² over a box, by Levenberg-Marquardt.

    With H = JᴴWᴴWJ + Γ⁻¹ each iteration minimises ½δᵀ(H + μ diag H)δ + ∇ᵀδ over the box.  The line search runs
    along the arc μ ↦ δ(μ): a step that brings too little is first aimed again with the curvature of F that the
    trial revealed (balls of equal R³q make a narrow bent valley); if that fails too, or the map refuses θ
    (MaxwellError) or cannot solve it well enough (AccuracyError), μ grows.

    Stopping is aware of the noise: at a full step (μ = 0) shorter than `tolerance` posterior standard
    deviations, since the noise does not tell such points apart.  A run that ends in more misfit than noise
    explains (‖r‖² > N + 5√(2N)) sits in a wrong basin, or the map is wrong; it starts again from a draw of the
    prior, and the smallest objective wins.

    forward : any map with real unknowns.  observation (m,) : d.
    noise : standard deviation of the data, as for `WhitenedSystem`.
    prior : a `Gaussian`, or an object with sample(rng, size) whose moments are estimated.
    start (p,) : first θ; the prior's first draw by default.
    bounds : (low, high), each (p,) in the unit of θ; those of the `Gaussian` by default, or the range of the
        draws, widened by a tenth.
    stop : stop as soon as misfit ≤ safety too (`Discrepancy(1.0)`): fewer solves, but for p unknowns the
        estimate may then lie √p deviations off; for problems where Γ is not trusted.
    tolerance : in posterior standard deviations.  iterations : at most, a start.  restarts : at most.
    samples, seed : of the prior's moments, range and restarts (take many times p); the seed may be a Generator.

    Source: Nocedal, Wright, Numerical Optimization (2006), chapter 10; damping: Nielsen, IMM-REP-1999-05; the
    second aim is the geodesic correction of Transtrum, Sethna, arXiv:1201.5885, with the trial as difference.

    Returns an `Estimate`; its covariance is (JᴴWᴴWJ + Γ⁻¹)⁻¹ at θ̂, of the posterior in Laplace's approximation
    without bounds; the records of its trace are the iterations of the start that won, its totals those of all.
    Cost: one linearisation a trial step, commonly 10 to 30 a start.
    Of 300 descents (30 balls, 10 starts each from the prior, 0.1 % noise, 4 cells of degree 1) 294 end at the truth
    within the covariance, the others at a bound of radius or contrast with a misfit of hundreds.
    Not for complex unknowns: a problem linear in them is solved by `tikhonov` at once.
    """
    if np.iscomplexobj(start):
        raise MaxwellError(
            "gauss_newton: the unknown is complex; expected real θ: use tikhonov for a linear map."
        )
    counts = is_whole(iterations) and is_whole(restarts)
    if not (counts and is_real(tolerance) and tolerance > 0 and iterations >= 1 and restarts >= 0):
        raise MaxwellError(
            f"gauss_newton: tolerance {tolerance!r}, iterations {iterations!r}, restarts {restarts!r}; expected "
            "a positive number and whole numbers of at least 1 and at least 0."
        )
    if not isinstance(stop, Discrepancy | None):
        raise MaxwellError(f"gauss_newton: stop is {stop!r}; expected Discrepancy(1.0) or None.")
    draws = draw(prior, samples, seed)
    gaussian = prior if isinstance(prior, Gaussian) else Gaussian.from_samples(draws)
    if np.iscomplexobj(gaussian.mean):
        raise MaxwellError(
            "gauss_newton: the unknown is complex; expected real θ: use tikhonov for a linear map."
        )
    low, high = _box(bounds, gaussian)
    first = array_of(draws[0] if start is None else start, "gauss_newton: start").astype(float)
    if first.shape != gaussian.mean.shape or not np.isfinite(first).all():
        raise MaxwellError(
            f"gauss_newton: start has shape {first.shape}; expected {gaussian.mean.shape} finite numbers."
        )
    posterior = _Posterior(forward, observation, noise, gaussian)

    runs = []
    for theta in (first, *draws[1 : 1 + restarts]):
        try:
            runs.append(
                _descend(posterior, np.clip(theta, low, high), low, high, stop, tolerance, iterations)
            )
        except (MaxwellError, AccuracyError):
            if not runs:
                raise
            continue  # a draw that the map refuses is no start
        size = posterior.space.size
        if np.sum(runs[-1][0].residual ** 2) <= size + 5 * np.sqrt(2 * size):
            break
    point, records, reason = min(runs, key=lambda run: posterior.objective(run[0]))
    misfits = [rms(run[0].residual) for run in runs]
    notes = []
    if len(runs) > 1:
        notes.append(f"{len(runs)} starts ended at misfits {', '.join(f'{m:.3g}' for m in misfits)}.")
    if rms(point.residual) ** 2 > 1 + 5 * np.sqrt(2 / size):
        notes.append(
            f"the best misfit, {min(misfits):.3g}, is more than noise explains: a wrong basin, a wrong map or "
            "understated noise; the covariance does not hold."
        )
    if ((point.theta <= low) | (point.theta >= high)).any():
        notes.append(
            f"unknowns {np.flatnonzero((point.theta <= low) | (point.theta >= high)).tolist()} at a bound."
        )
    if posterior.slow:
        notes.append(f"{posterior.slow} of {posterior.linearisations} points left the map's fast path.")
    _, hessian = posterior.model(point)
    covariance = np.linalg.inv(hessian) * np.outer(posterior.scale, posterior.scale)
    spent = (posterior.linearisations, time.perf_counter() - posterior.began)
    trace = Trace(tuple(records), len(records) - 1, reason, 0, *spent, tuple(notes))
    return Estimate(point.theta, point.value, rms(point.residual), covariance, trace)


def _descend(posterior, theta, low, high, stop, tolerance, iterations):
    """One run from θ: the last point, its records and why it stopped."""
    point, damping, records = posterior.at(theta), FIRST_DAMPING, []
    while True:
        descent, hessian = posterior.model(point)
        room = ((low - point.theta) / posterior.scale, (high - point.theta) / posterior.scale)
        full = _box_step(hessian, descent, *room)
        length = float(np.sqrt(full @ hessian @ full))
        records.append(posterior.record(point, damping, length))
        if stop is not None and records[-1].misfit <= stop.safety:
            return (
                point,
                records,
                f"misfit {records[-1].misfit:.4g} at most {stop.safety:g}: fits to the noise",
            )
        if length <= tolerance:
            return point, records, f"the full step is {length:.2g} posterior standard deviations"
        if len(records) > iterations:
            return (
                point,
                records,
                f"{iterations} iterations used; the full step is still {length:.3g} deviations",
            )
        while damping <= LARGEST_DAMPING:
            damped = hessian + damping * np.diag(np.diag(hessian))
            step = _box_step(damped, descent, *room)
            predicted = descent @ step - 0.5 * step @ hessian @ step
            trial, ratio = _try(posterior, point, step, predicted, low, high)
            if trial is not None and ratio < SUFFICIENT:
                # Where the valley bends, the step leaves it: aim again with the residual's curvature along it.
                bend = point.residual - point.slope @ step - trial.residual
                aimed = _box_step(damped, descent - point.slope.T @ bend, *room)
                if np.linalg.norm(aimed - step) <= BEND * np.linalg.norm(step):
                    trial, ratio = _try(posterior, point, aimed, predicted, low, high)
            if trial is not None and ratio >= SUFFICIENT:
                break
            damping *= 8
        else:
            return point, records, f"no step descends; the full step is {length:.3g} deviations"
        # Nielsen's rule: the better the model predicted the decrease, the less damping next.
        damping = max(damping * max(0.1, 1 - (2 * ratio - 1) ** 3), 1e-12)
        point = trial


def _try(posterior, point, step, predicted, low, high):
    """The point a step leads to and its decrease over the predicted one; no point if the map refuses it."""
    if not predicted > 0:
        return None, 0.0
    try:
        trial = posterior.at(np.clip(point.theta + step * posterior.scale, low, high))
    except (MaxwellError, AccuracyError):
        return None, 0.0
    return trial, (posterior.objective(point) - posterior.objective(trial)) / predicted


def _box_step(hessian, descent, low, high):
    """argmin ½δᵀHδ − gᵀδ in low ≤ δ ≤ high, as the least squares problem ‖Rδ − R⁻ᵀg‖² with RᵀR = H."""
    factor = np.linalg.cholesky(hessian).T
    target = np.linalg.solve(factor.T, descent)
    free = np.linalg.solve(factor, target)
    if ((free >= low) & (free <= high)).all():
        return free
    return np.clip(lsq_linear(factor, target, (low, high), method="bvls").x, low, high)


def _box(bounds, gaussian):
    given = (gaussian.low, gaussian.high) if bounds is None else bounds
    if not (np.iterable(given) and len(given) == 2):
        raise MaxwellError(f"gauss_newton: bounds is {given!r}; expected (low, high).")
    low, high = (
        np.full(gaussian.mean.shape, limit)
        if side is None
        else array_of(side, "gauss_newton: bounds").astype(float)
        for side, limit in zip(given, (-np.inf, np.inf), strict=True)
    )
    if low.shape != gaussian.mean.shape or high.shape != gaussian.mean.shape or not (low < high).all():
        raise MaxwellError(
            f"gauss_newton: bounds have shapes {low.shape} and {high.shape}; expected two of {gaussian.mean.shape} "
            "with low < high."
        )
    return low, high
