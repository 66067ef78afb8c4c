"""Gauss-Newton with the exact Jacobian: from a cold start, and from an estimate."""

import time
import warnings
from collections.abc import Callable

import numpy as np

from experiments.protocol.known import Answers, Known
from experiments.protocol.methods.base import Method
from experiments.protocol.methods.unknowns import branches, gaussian, is_linear, prepared, seen_through
from maxwell import AccuracyError, MaxwellError, SlowPathWarning, inversion

SETTLED = 0.01
"""Full step, in posterior standard deviations, below which a descent has come to rest.

Estimates stop at a tenth, for noise does not tell such points apart; but errors of two descents into one minimum
then differ by some percent, and a start could not be judged by where it leads."""


class GaussNewton(Method):
    """argmin ½‖C^{-1/2}(d − F(θ))‖² + ½‖Γ^{-1/2}(θ − θ_0)‖² by `maxwell.inversion.gauss_newton`, with its restarts.

    A cold start is the prior mean.  Where the unknown has branches it is the mean of the branch whose data come
    nearest: at the mean of all, balls have no contrast and the data do not depend on where they are.

    The error of the mesh counts as noise (`Seen`): a wrong basin is told from it, and it is not fitted.  The map's
    fast path is prepared beforehand, where it has one.

    Answers tell besides where the descent comes to rest (`SETTLED`) if it goes on, which is in no time or count.

    Extras: iterations (linearisations, those of restarts too), own_misfit (1 is noise and mesh error), starts.
    Not for linear maps, where `MMSE` with the same prior is the minimum in closed form.
    """

    key = "gauss-newton"
    label = "Gauss-Newton"
    one_by_one = True

    def __init__(self, known: Known):
        self._known = known
        theta, branch = known.train.parameters, branches(known)
        numbers = branch(theta) if branch else np.zeros(len(theta))
        means = [theta[numbers == number].mean(axis=0) for number in np.unique(numbers)]
        self._means = np.array(means) if branch else gaussian(known).mean[None]
        self._forward = prepared(known)
        self._data = self._forward.batch(self._means) if branch else None

    @classmethod
    def suits(cls, known: Known) -> bool:
        """Real unknowns of a map that is not linear."""
        return not np.iscomplexobj(known.train.parameters) and not is_linear(known)

    @classmethod
    def fit(cls, known: Known) -> "GaussNewton":
        """One solve a branch."""
        return cls(known)

    def estimate(self, observations: np.ndarray, deviation: float) -> Answers:
        """As in `Method`; about the cost of ten to thirty linearisations a row."""
        seen, prior = seen_through(self._known, deviation, self._forward), gaussian(self._known)
        found, seconds, settled = [], [], []
        for row in observations:
            began = time.process_time()
            found.append(self._descend(row[None], seen, prior))
            seconds.append(time.process_time() - began)
            rest = {"tolerance": SETTLED, "restarts": 0}
            settled.append(_minimum(seen.map, seen.data(row[None])[0], prior, found[-1].theta, **rest).theta)
        return Answers(
            np.array([each.theta for each in found]),
            np.array(seconds),
            {
                "iterations": np.array([each.trace.linearisations for each in found]),
                "own_misfit": np.array([each.misfit for each in found]),
                "starts": np.array([_starts(each.trace.notes) for each in found]),
            },
            np.array(settled),
        )

    def _descend(self, observation, seen, prior):
        """The estimate for one observation (1, m)."""
        data, cold = seen.data(observation)[0], self._cold(observation)
        try:
            return _minimum(seen.map, data, prior, self._first(observation, cold))
        except (MaxwellError, AccuracyError):  # a start that the map refuses
            return _minimum(seen.map, data, prior, cold)

    def _first(self, observation, cold):
        """Where the descent begins, (p,)."""
        return cold

    def _cold(self, observation):
        if len(self._means) == 1:
            return self._means[0]
        return self._means[np.argmin(np.linalg.norm(observation - self._data, axis=-1))]


class Hybrid(GaussNewton):
    """Gauss-Newton that starts from an estimate, such as a network's, moved into the bounds of the unknown.

    start : observations (n, m) ↦ unknowns (n, p).  Its time for each is in the seconds of the answers.
    """

    key = "hybrid"
    label = "Gauss-Newton from an estimate"

    def __init__(self, known: Known, start: Callable[[np.ndarray], np.ndarray]):
        super().__init__(known)
        self._start = start

    @classmethod
    def fit(cls, known: Known) -> "Hybrid":
        """From kernel ridge regression; for another start, construct the method with it."""
        from experiments.protocol.methods.kernel_ridge import KernelRidge

        ridge, deviation = KernelRidge.fit(known), known.deviation(known.noise)
        return cls(known, lambda observations: ridge.estimate(observations, deviation).theta)

    def _first(self, observation, cold):
        prior = gaussian(self._known)
        return np.clip(self._start(observation)[0], prior.low, prior.high)


def _minimum(seen, data, prior, start, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SlowPathWarning)  # no news of a trial point
        return inversion.gauss_newton(seen, data, 1.0, prior, start=start, **how)


def _starts(notes):
    """How many starts a trace tells of: one, unless a note counts them."""
    counted = [int(note.split()[0]) for note in notes if note.split()[1:2] == ["starts"]]
    return counted[0] if counted else 1
