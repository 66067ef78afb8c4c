"""Gauss-Newton with the exact Jacobian: from a cold start, and from an estimate."""

from collections.abc import Callable

import numpy as np

from experiments.protocol.known import Answers, Known
from experiments.protocol.methods.base import Method
from experiments.protocol.methods.seen import Seen
from experiments.protocol.methods.unknowns import branches, gaussian, is_linear
from maxwell import AccuracyError, MaxwellError, inversion


class GaussNewton(Method):
    """argmin ½‖C^{-1/2}(d − F(θ))‖² + ½‖Γ^{-1/2}(θ − θ_0)‖² by `maxwell.inversion.gauss_newton`, with its restarts.

    A cold start is the prior mean.  Where the unknown has branches it is the mean of the branch whose data come
    nearest: at the mean of all, balls have no contrast and the data do not depend on where they are.

    The error of the mesh counts as noise (`Seen`): a wrong basin is told from it, and it is not fitted.

    Extras: iterations (linearisations, those of restarts too), misfit (1 is noise and mesh error), starts.
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
        self._data = known.forward.batch(self._means) if branch else None

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
        return self._descend(observations, deviation, self._cold(observations))

    def _cold(self, observations):
        if len(self._means) == 1:
            return np.repeat(self._means, len(observations), axis=0)
        gaps = np.linalg.norm(observations[:, None] - self._data, axis=-1)
        return self._means[np.argmin(gaps, axis=1)]

    def _descend(self, observations, deviation, starts):
        seen, prior, found = Seen.of(self._known, deviation), gaussian(self._known), []
        forward, data = seen.map, seen.data(observations)
        for row, start, cold in zip(data, starts, self._cold(observations), strict=True):
            try:
                estimate = inversion.gauss_newton(forward, row, 1.0, prior, start=start)
            except (MaxwellError, AccuracyError):  # a start that the map refuses
                estimate = inversion.gauss_newton(forward, row, 1.0, prior, start=cold)
            found.append(estimate)
        return Answers(
            np.array([each.theta for each in found]),
            np.array([each.trace.seconds for each in found]),
            {
                "iterations": np.array([each.trace.linearisations for each in found]),
                "misfit": np.array([each.misfit for each in found]),
                "starts": np.array([_starts(each.trace.notes) for each in found]),
            },
        )


class Hybrid(GaussNewton):
    """Gauss-Newton that starts from an estimate, such as a network's, moved into the bounds of the unknown.

    start : observations (n, m) ↦ unknowns (n, p).  Its time is not in the seconds of the answers.
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

    def estimate(self, observations: np.ndarray, deviation: float) -> Answers:
        """As in `Method`."""
        prior = gaussian(self._known)
        starts = np.clip(self._start(observations), prior.low, prior.high)
        return self._descend(observations, deviation, starts)


def _starts(notes):
    """How many starts a trace tells of: one, unless a note counts them."""
    counted = [int(note.split()[0]) for note in notes if note.split()[1:2] == ["starts"]]
    return counted[0] if counted else 1
