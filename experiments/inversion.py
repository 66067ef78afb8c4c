"""A trained network on observations of a user: recovered unknowns, and what to think of them.

Three questions are asked of each estimate θ̂ = Φ(d).  Does it explain the data: ‖F(θ̂) − d‖/‖d‖ with F solved again
by finite elements?  Is d like the data that the network was trained on (`experiments.outside`)?  Is θ̂ an unknown
that the prior could have drawn?  On request Gauss-Newton goes on from θ̂.
"""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import maxwell
from experiments.errors import StudyError
from experiments.files import read_json
from experiments.outside import TrainingRange, Verdict
from experiments.seen import Seen
from maxwell import AccuracyError, ForwardMap, MaxwellError, SlowPathWarning
from maxwell.inversion import Gaussian, gauss_newton
from surrogates.model import Model, load

DRAWS = 1000
"""Draws of the prior behind the mean and covariance that Gauss-Newton takes."""

DESCENT = 10
"""Linearisations that a descent takes, about: whether it pays to prepare the map for them."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A model, and what its run folder says besides.

    noise : relative level of the training noise; None where no run.json stands beside the model.
    mesh : keyword arguments of `problem.discretise` for the training samples; empty where the run does not say.
    """

    path: Path
    model: Model
    noise: float | None = None
    mesh: Mapping[str, Any] = field(default_factory=dict)


def trained(path: str | Path) -> Trained:
    """Load a run folder or its model.pt; SurrogateError or StudyError when it is missing or damaged."""
    path = Path(path)
    file = path / "model.pt" if path.is_dir() else path
    model, record = load(file), file.with_name("run.json")
    if not record.exists():
        return Trained(file, model)
    content = read_json(record, "record of a training run", "train again, or give a copy of model.pt alone")
    try:
        return Trained(file, model, float(content["spec"]["noise"]), dict(content.get("mesh", {})))
    except (KeyError, TypeError, ValueError):
        raise StudyError(
            f"{record}: is not the record of a run; train again, or give a copy of model.pt alone."
        ) from None


@dataclass(frozen=True, eq=False)
class Fit:
    """Unknowns of n observations and how well they explain them.

    estimates (n, p) : θ̂ in the unknowns' units, real or complex.
    residuals (n,) : ‖F(θ̂) − d‖/‖d‖; NaN where F was not solved.
    misfits (n,) : ‖F(θ̂) − d‖/(σ√m), which is 1 at the noise level; NaN without σ, too.
    inside (n,) bool : whether θ̂ lies in the support of the prior; None where the problem is not known, or where
        the support has no interior (blocks of exact zeros), so that no continuous estimate lies in it.
    seconds (n,) : of the estimate.   refused : for rows that F refused, or where Gauss-Newton failed, why.
    iterations (n,) : of Gauss-Newton; None for a network's own.
    """

    estimates: np.ndarray
    residuals: np.ndarray
    misfits: np.ndarray
    inside: np.ndarray | None
    seconds: np.ndarray
    refused: dict[int, str]
    iterations: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Inversion:
    """What a network made of n observations.

    network : its own estimates.   refined : those of Gauss-Newton, if that was asked for.
    verdict : which observations lie outside the training range.
    solving : seconds of each forward solve (n,), NaN where there was none.
    slow : solves that left the forward map's fast path.
    expected : misfit that noise and the known error of the mesh explain, √(1 + E|ε|²/σ²); 1 for noise alone.
    """

    network: Fit
    refined: Fit | None
    verdict: Verdict
    solving: np.ndarray
    slow: int = 0
    expected: float = 1.0

    @property
    def best(self) -> Fit:
        """The refined estimates, or else the network's."""
        return self.refined or self.network


def invert(
    model: Model,
    observations: np.ndarray,
    training: TrainingRange,
    *,
    rate: float = 0.05,
    problem: Any = None,
    forward: ForwardMap | None = None,
    noise: float | None = None,
    refine: bool = False,
    mesh_errors: np.ndarray | None = None,
    progress: Callable[[int], None] | None = None,
) -> Inversion:
    """Recover the unknowns of observations (n, m), and judge them.

    rate : of false alarms among observations like those of training, for `training.judge`.
    problem : for the support of its prior.   forward : F; without it nothing is solved again.
    noise : standard deviation σ of the data's noise, in their unit.   refine : go on with Gauss-Newton, with the
        prior's mean and covariance; needs problem, forward and σ > 0.   mesh_errors (k, m) : ε = d − F(θ) for the
        mesh of `forward` at some unknowns, which then count as noise there.
    progress : called with the samples done.

    Cost: one product with the network, one solve a sample, and with `refine` 3 to 30 linearisations a sample.
    Raises StudyError for a refinement that has not what it needs, and for complex unknowns there.
    """
    began = time.perf_counter()
    estimates = model.estimate(observations)
    seconds = np.full(len(estimates), (time.perf_counter() - began) / len(estimates))
    if refine:
        _check_refinable(estimates, problem, forward, noise)
    verdict = training.judge(observations, rate)
    count, solving = len(observations), np.full(len(observations), np.nan)
    nothing = np.full(count, np.nan)
    network = Fit(estimates, nothing, nothing.copy(), _inside(problem, estimates), seconds, {})
    if forward is None:
        return Inversion(network, None, verdict, solving)
    network = replace(network, residuals=nothing.copy())
    refined, expected = None, 1.0
    if refine:
        if mesh_errors is None:
            mesh_errors = np.zeros((0, observations.shape[1]), observations.dtype)
        gaussian = Gaussian.of(problem.prior, DRAWS)
        seen = Seen.of(forward, mesh_errors, noise, real=True)
        size = np.mean(np.abs(mesh_errors) ** 2) if len(mesh_errors) else 0.0
        expected = float(np.sqrt(1 + size / noise**2))
        refined = replace(
            network,
            estimates=estimates.copy(),
            residuals=nothing.copy(),
            misfits=nothing.copy(),
            refused={},
            iterations=np.zeros(count, dtype=int),
            seconds=seconds.copy(),
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SlowPathWarning)
        forward.prepare_for(count * (1 if refined is None else DESCENT))
        for row, (theta, d) in enumerate(zip(estimates, observations, strict=True)):
            began = time.perf_counter()
            try:
                _explain(network, row, forward(theta), d, noise)
            except (MaxwellError, AccuracyError) as error:
                network.refused[row] = str(error)
            solving[row] = time.perf_counter() - began
            if refined is not None:
                _refine(refined, row, forward, d, noise, gaussian, seen)
            if progress:
                progress(row + 1)
    slow = sum(issubclass(warning.category, SlowPathWarning) for warning in caught)
    for warning in caught:
        if not issubclass(warning.category, SlowPathWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if refined is not None:
        refined = replace(refined, inside=_inside(problem, refined.estimates))
    return Inversion(network, refined, verdict, solving, slow, expected)


def problem_of(model: Model) -> Any:
    """The problem that a model was trained on, or None where it does not say."""
    return maxwell.problem_from(model.spec, "problem of the model") if model.spec else None


def _check_refinable(estimates, problem, forward, noise):
    if np.iscomplexobj(estimates):
        raise StudyError(
            "--refine: the unknowns are complex and Gauss-Newton is for real ones; a problem linear in them is "
            "solved at once by maxwell.inversion.tikhonov."
        )
    for what, there, mend in (
        ("problem", problem is not None, "give a model that holds its problem"),
        ("mesh", forward is not None, "give --data, the data set of training, or --cells and --degree"),
        ("level of the noise", noise is not None and noise > 0, "give --noise or --noise-sd, greater than 0"),
    ):
        if not there:
            raise StudyError(f"--refine: Gauss-Newton needs a {what}, which is not known here; {mend}.")


def _inside(problem, estimates):
    """Which estimates the prior's support contains; None if a draw moved by 1e-9 never lies in it."""
    if problem is None:
        return None
    rng = np.random.default_rng(0)
    draws = problem.prior.sample(rng, 8)
    moved = draws * (1 + 1e-9 * rng.standard_normal(draws.shape))
    moved += 1e-9 * np.abs(draws).mean() * rng.standard_normal(draws.shape)
    return problem.prior.contains(estimates) if problem.prior.contains(moved).any() else None


def _explain(fit, row, predicted, d, noise):
    """Enter how well the predicted data explain d."""
    distance, size = np.linalg.norm(predicted - d), np.linalg.norm(d)
    fit.residuals[row] = distance / size if size else np.nan
    if noise:
        fit.misfits[row] = distance / (noise * np.sqrt(d.size))


def _refine(fit, row, forward, d, noise, gaussian, seen):
    """Go on from the estimate of a row, which stays where Gauss-Newton fails."""
    began = time.perf_counter()
    try:
        data, start = seen.data(d[None])[0], fit.estimates[row]
        found = gauss_newton(seen.map, data, 1.0, gaussian, start=start, restarts=0)
        predicted = forward(found.theta)
    except (MaxwellError, AccuracyError) as error:
        fit.refused[row] = str(error)
    else:
        fit.estimates[row] = found.theta
        fit.iterations[row] = found.trace.chosen
        _explain(fit, row, predicted, d, noise)
    fit.seconds[row] += time.perf_counter() - began
