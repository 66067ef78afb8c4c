"""What classical methods invert: map and data over the noise and over the error of the training mesh."""

from dataclasses import dataclass

import numpy as np

from data.mesh_error import ObservationError
from data.transforms import realify
from maxwell.forward import ForwardMap, LinearForwardMap, Response


@dataclass(frozen=True, eq=False)
class Seen:
    """Data of unit variance, uncorrelated, in which the training mesh's error counts as noise.

        y = C^{-1/2} d,    C = σ² I + E ε εᴴ,    ε = d − F(θ) over the validation samples, without noise

    Without ε the map of a coarse mesh is believed to the noise, and what the mesh does is blown up like data: in
    the recipe magnetisation_small it is eight times as large as noise of 1 %, and the error of linear MMSE 1.4
    times that of the prior mean instead of 0.57 times.  ε is taken for independent of θ.
    On data of the training mesh itself C is too large and estimates are a little worse than they could be (there
    0.56 instead of 0.53).

    stacked : data are complex and unknowns real, so y are real and imaginary parts.  error : has the covariance C.
    """

    forward: ForwardMap
    stacked: bool
    error: ObservationError

    def data(self, observations: np.ndarray) -> np.ndarray:
        """y (n, N) of observations (n, m)."""
        return self.error.whiten(realify(observations) if self.stacked else observations)

    @property
    def map(self) -> ForwardMap:
        """θ ↦ y(F(θ)), linear if F is."""
        return _SeenLinear(self) if isinstance(self.forward, LinearForwardMap) else _SeenMap(self)

    @classmethod
    def of(cls, forward: ForwardMap, errors: np.ndarray, deviation: float, real: bool) -> "Seen":
        """At a level of noise σ, √E|n|² of complex data, for a map whose mesh makes errors (k, m) at some unknowns.

        k = 0 : the mesh is not known to err.  real : whether unknowns are real.
        """
        stacked = real and np.iscomplexobj(errors)
        errors, each = (realify(errors), deviation / np.sqrt(2)) if stacked else (errors, deviation)
        return cls(forward, stacked, ObservationError.of(errors, each))


class _SeenMap(ForwardMap):
    def __init__(self, seen: Seen):
        self._seen = seen

    @property
    def dofs(self) -> int:
        return self._seen.forward.dofs

    def solve(self, theta) -> Response:
        response = self._seen.forward.solve(theta)
        return Response(self._seen.data(response.observation[None])[0], response.info)

    def linearise(self, theta) -> tuple[np.ndarray, np.ndarray]:
        value, jacobian = self._seen.forward.linearise(theta)
        return self._seen.data(value[None])[0], self._seen.data(jacobian.T).T


class _SeenLinear(LinearForwardMap):
    def __init__(self, seen: Seen):
        self._inner, self._matrix = seen.forward, seen.data(seen.forward.matrix.T).T

    @property
    def dofs(self) -> int:
        return self._inner.dofs

    @property
    def matrix(self) -> np.ndarray:
        return self._matrix

    @property
    def trace(self) -> dict:
        return self._inner.trace

    def check(self, theta) -> np.ndarray:
        return self._inner.check(theta)
