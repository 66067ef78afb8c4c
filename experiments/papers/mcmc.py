"""The posterior of one ball, sampled with the true forward map, with a surrogate, and with both."""

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import data
import maxwell
from data.executors import limit_threads
from data.transforms import realify
from experiments.errors import StudyError
from experiments.papers.dipole_chart import ball, coordinates, log_volume, slope
from experiments.papers.forward_surrogate import DATA, NETWORK, Frozen
from maxwell.inversion import (
    Chain,
    Estimate,
    RandomWalk,
    delayed_acceptance,
    effective_samples,
    gauss_newton,
    metropolis,
    potential_scale,
)

BLOCKS = "blocks"
"""Of the fast path of the forward map, in the folder of a paper."""

EXACT, SURROGATE, DELAYED, ANCHORED, LINEARISED = (
    "finite elements",
    "surrogate",
    "delayed",
    "anchored",
    "linearised",
)
"""Metropolis with the true map, and with the surrogate alone; delayed acceptance behind the surrogate as it is,
behind the surrogate with an affine term that makes value and Jacobian at the most probable θ̂ exact, and behind the
linearisation at θ̂, which needs no network."""

CHAIN_SETTINGS = ("chains", "steps", "delayed_steps", "inner", "surrogate_steps", "warm_up", "seed")
"""Of a paper's settings, those that a specification of `sample` holds."""

DRAWS = 1000
"""Attempts to find a start inside the prior."""


class Posterior:
    """log π(θ | d) = −‖d − F(θ)‖²/σ² inside the prior's support, −inf outside, up to a constant.

    d = F(θ) + n with complex Gaussian noise, E|n_j|² = σ², and a uniform prior.  `solves` counts calls of F.
    """

    def __init__(self, forward, prior, observation: np.ndarray, noise: float):
        self.forward, self.prior = forward, prior
        self.observation, self.noise = observation, noise
        self.solves = 0
        self._low, self._high = np.transpose([prior.x, prior.y, prior.z, prior.radius, prior.contrast])

    def __call__(self, theta: np.ndarray) -> float:
        """The log-density at θ (5,)."""
        if not self.inside(theta):
            return -np.inf
        self.solves += 1
        return -float(np.linalg.norm(self.observation - self.forward(theta)) ** 2) / self.noise**2

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Bounds (5,), (5,) of θ, the contrast of either sign."""
        return np.array([*self._low[:4], -self._high[4]]), self._high

    def inside(self, theta: np.ndarray) -> bool:
        """Whether the prior of one ball is positive at θ: its `contains` for one θ, in a tenth of the time."""
        bounded = np.array([*theta[:4], abs(theta[4])])
        return bool((self._low <= bounded).all() and (bounded <= self._high).all())


def behind(posterior: Posterior, coefficients: Callable, observed: np.ndarray) -> Callable:
    """The posterior with ‖z − z*(θ)‖²/σ² in place of the misfit, z = `observed` (k,) and z* = `coefficients`.

    Only the part of the data in the range of the POD counts: what the surrogate cannot express, it cannot misfit.
    """

    def approximate(theta):
        if not posterior.inside(theta):
            return -np.inf
        return -float(np.sum((observed - coefficients(theta)) ** 2)) / posterior.noise**2

    return approximate


def sample(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """All chains of one observation at one level of noise, an experiment for `Work.map`.

    spec : `truth` (number in the test split), `noise` (relative), `network` (name of its experiment's folder),
    `chains`, `steps` (with the true map), `delayed_steps`, `inner`, `surrogate_steps`, `warm_up` (share of steps
    that are made before those that count), `seed`.

    All chains walk in the coordinates of `dipole_chart`, by the covariance of Laplace's approximation at θ̂, that of
    Gauss-Newton and the exact Jacobian, from the same starts, drawn from twice that covariance.

    Returns `misfit` of θ̂, `deviation` (Laplace's, (5,)) and for each way its `chains` (a list with `effective`,
    `seconds`, `solves`, `acceptance`, `mean`, `variance`, (5,) each where of θ) and `scale`, the largest R̂.
    """
    limit_threads()
    home = folder.parents[1]
    forward, dataset = _forward(str(home))
    view = dataset.split("test").take([spec["truth"]])
    noise = spec["noise"] * dataset.noise_reference
    posterior = Posterior(forward, dataset.problem.prior, view.observe(spec["noise"])[0], noise)
    with warnings.catch_warnings():
        # Trial steps end in corners of the box, which refactorising can solve too.
        warnings.simplefilter("ignore", maxwell.SlowPathWarning)
        found = gauss_newton(
            forward,
            posterior.observation,
            noise,
            posterior.prior,
            bounds=posterior.box,
            seed=spec["seed"],
        )
    surrogate = Frozen.load(home / "experiments" / spec["network"] / NETWORK)
    runs = ways(posterior, surrogate, found, spec)

    result, states = {"misfit": found.misfit, "deviation": found.deviation.tolist()}, {}
    for name, (steps, run) in runs.items():
        before = max(1, round(spec["warm_up"] * steps))
        chains = []
        for number in range(spec["chains"]):
            rng = np.random.default_rng([spec["seed"], spec["truth"], number])
            start = run(start_near(found, posterior, rng), before, rng).states[-1]
            posterior.solves = 0
            chain = run(start, steps, rng)
            chains.append((chain, posterior.solves))
        result[name] = {"chains": [_told(*each) for each in chains]}
        states[name] = np.stack([chain.states for chain, _ in chains])
        result[name]["scale"] = float(min(potential_scale(states[name]).max(), 1e6))
    np.savez_compressed(folder / "states.npz", **states)
    return result


def ways(
    posterior: Posterior, surrogate: Frozen, found: Estimate, spec: Mapping[str, Any]
) -> dict[str, tuple[int, Callable]]:
    """Each way of sampling: its steps, and (start θ, steps, generator) ↦ `Chain` of θ.

    found : θ̂ and the data it predicts.  spec : as of `sample`.
    """
    peak, unbend = coordinates(found.theta), np.linalg.inv(slope(found.theta))
    walk = RandomWalk.of(_covariance(found))
    jacobian = posterior.forward.jacobian(found.theta) @ unbend  # of η, as all that follows
    observed = realify(posterior.observation[None])[0] @ surrogate.directions
    shift = realify(found.predicted[None])[0] @ surrogate.directions - surrogate(found.theta)
    turn = (realify(jacobian.T) @ surrogate.directions).T - surrogate.jacobian(found.theta) @ unbend
    residual, weight = posterior.observation - found.predicted, 2 / posterior.noise**2
    gradient = weight * (jacobian.conj().T @ residual).real
    curvature = weight * (jacobian.conj().T @ jacobian).real

    def anchored(theta):
        return surrogate(theta) + shift + turn @ (coordinates(theta) - peak)

    def linearised(theta):
        if not posterior.inside(theta):
            return -np.inf
        step = coordinates(theta) - peak
        return float(gradient @ step - 0.5 * step @ curvature @ step)

    approximate = {
        DELAYED: behind(posterior, surrogate, observed),
        ANCHORED: behind(posterior, anchored, observed),
        LINEARISED: linearised,
    }

    def delayed(cheap):
        def run(start, steps, rng):
            densities = charted(posterior), charted(cheap)
            eta = coordinates(start)
            return _of_balls(delayed_acceptance(*densities, eta, walk, steps, rng, inner=spec["inner"]))

        return run

    def plain(density):
        return lambda start, steps, rng: _of_balls(
            metropolis(charted(density), coordinates(start), walk, steps, rng)
        )

    return {
        EXACT: (spec["steps"], plain(posterior)),
        SURROGATE: (spec["surrogate_steps"], plain(approximate[DELAYED])),
        **{name: (spec["delayed_steps"], delayed(cheap)) for name, cheap in approximate.items()},
    }


def charted(log_density: Callable) -> Callable:
    """A log-density over θ, as one over η of `dipole_chart`."""

    def density(eta):
        theta = ball(eta)
        value = log_density(theta)
        return value if value == -np.inf else value + log_volume(theta)

    return density


def start_near(found: Estimate, posterior: Posterior, rng: np.random.Generator) -> np.ndarray:
    """θ drawn by twice Laplace's covariance at θ̂, inside the prior; StudyError if there is none."""
    wide = RandomWalk.of(_covariance(found), np.sqrt(2))
    for _ in range(DRAWS):
        theta = ball(wide(coordinates(found.theta), rng))
        if posterior.inside(theta):
            return theta
    raise StudyError(
        f"none of {DRAWS} draws around the most probable ball {found.theta} lies in its prior; take other test "
        "samples."
    )


def _covariance(found):
    """Laplace's, of η."""
    return slope(found.theta) @ found.covariance @ slope(found.theta).T


def _of_balls(chain: Chain) -> Chain:
    return replace(chain, states=ball(chain.states))


def _told(chain: Chain, solves: int) -> dict[str, Any]:
    return {
        "effective": effective_samples(chain.states).tolist(),
        "seconds": chain.seconds,
        "solves": solves,
        "acceptance": chain.acceptance,
        "mean": chain.states.mean(axis=0).tolist(),
        "variance": chain.states.var(axis=0).tolist(),
    }


@functools.lru_cache(maxsize=1)
def _forward(home: str):
    """The prepared forward map of a paper's training mesh, and its data."""
    opened = data.open(Path(home) / DATA)
    forward = opened.problem.discretise(**opened.split("train").mesh)
    forward.prepare(Path(home) / BLOCKS)
    return forward, opened
