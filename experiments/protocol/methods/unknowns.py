"""What is known of the unknown and of the map: branches, mean and covariance; linearity, and the mesh's error."""

import functools
import json
from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np

import maxwell
from data.mesh_error import mesh_error
from experiments.protocol.known import Known
from experiments.seen import Seen
from maxwell import inversion
from maxwell.forward import ForwardMap, LinearForwardMap

DRAWS = 20_000
"""Draws of a prior that does not state its covariance: they cost no solve, and are more than training samples."""

SOLVES = 200
"""Solves that a method makes at least in a study if it solves again and again: some twenty for each observation."""

REACH = 6.0
"""Bounds of an unknown under a Gaussian prior, in its standard deviations."""


def once[T](function: Callable[[Known], T]) -> Callable[[Known], T]:
    """The same function, computed once for each object and forgotten with it."""
    results: WeakKeyDictionary[Known, T] = WeakKeyDictionary()

    @functools.wraps(function)
    def found(known: Known) -> T:
        if known not in results:
            results[known] = function(known)
        return results[known]

    return found


def branches(known: Known) -> Callable[[np.ndarray], np.ndarray] | None:
    """Number of the branch of each unknown, (n, p) ↦ (n,), where there are several (balls); else None."""
    branch = getattr(getattr(known.problem, "parametrisation", None), "branch", None)
    theta = known.train.parameters
    return branch if branch and len(np.unique(branch(theta))) > 1 else None


def is_linear(known: Known) -> bool:
    """Whether the data are linear in the unknown."""
    return isinstance(known.forward, LinearForwardMap)


def seen_through(known: Known, deviation: float, forward: ForwardMap | None = None) -> Seen:
    """Map and data over noise and mesh error; a solve for each validation sample, once a data set.

    forward : the map on the mesh of training, if it is at hand in a form of its own (`prepared`).
    """
    real = not np.iscomplexobj(known.valid.parameters)
    return Seen.of(forward or known.forward, _mesh_error(known), deviation, real)


def prepared(known: Known) -> ForwardMap:
    """The map on the mesh of training with its fast path, if `SOLVES` samples pay for it; the last one is kept.

    For methods that solve again and again: their time is that of the fastest path there is, and what was prepared
    is not in it, as the training of a network is not in that network's.
    """
    return _prepared(json.dumps(known.train.spec), json.dumps(dict(known.train.mesh)))


@functools.lru_cache(maxsize=1)  # a prepared map takes up to some GiB
def _prepared(spec: str, mesh: str) -> ForwardMap:
    forward = maxwell.problem_from(json.loads(spec)).discretise(**json.loads(mesh))
    forward.prepare_for(SOLVES)
    return forward


@once
def _mesh_error(known: Known) -> np.ndarray:
    return mesh_error(known.dataset)


@once
def gaussian(known: Known) -> inversion.Gaussian:
    """Mean, covariance and range under the prior: its own, or of `DRAWS` draws.

    The range of a Gaussian prior is `REACH` deviations, for samples would set bounds that some unknowns exceed.
    That of others is what draws span and no more: a ball beyond it leaves the region that is solved fast.
    """
    prior = known.problem.prior
    if hasattr(prior, "covariance"):
        reach = REACH * np.sqrt(np.diag(prior.covariance))
        return inversion.Gaussian(prior.mean, prior.covariance, prior.mean - reach, prior.mean + reach)
    draws = prior.sample(np.random.default_rng(0), DRAWS)
    found = inversion.Gaussian.from_samples(draws)
    if np.iscomplexobj(draws):
        return found
    return inversion.Gaussian(found.mean, found.covariance, draws.min(axis=0), draws.max(axis=0))
