"""The contract of a discretised forward map, whatever its physics."""

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.numbers import vector_of


class SlowPathWarning(UserWarning):
    """A sample lies outside what the prepared fast path covers, and was solved by refactorising."""


@dataclass(frozen=True)
class Response:
    """What one solve gives.

    observation (m,) : complex data in SI.
    info : how it was had. Keys: `dofs`, `residual` (relative, of the linear solves), `reciprocity`
        (max |D − Dᵀ| / max |D| of the data matrix), `solves` (right-hand sides), `iterations` (0 for exact
        factors), `seconds`, `memory` (MB that it took), `method` (solver and path), `why` (it was taken);
        `error` (estimated, of the data, relative), where the method stops short of rounding error.
    """

    observation: np.ndarray
    info: dict = field(default_factory=dict)


class ForwardMap(ABC):
    """A discretised map F from p real unknowns θ to m complex observations d.

        d = F(θ),    J = ∂F/∂θ  (m, p),    jvp: v ↦ J v,    vjp: w ↦ Re(Jᴴ w)

    The spaces carry the inner product Re⟨·,·⟩, so Re⟨J v, w⟩ = ⟨v, vjp(w)⟩: vjp is the gradient of
    Re⟨w, F(θ)⟩.  A problem whose unknowns are complex keeps the same law, with vjp(w) = Jᴴ w complex.
    Subclasses give `dofs`, `solve` and `linearise`; everything else follows.
    """

    @property
    @abstractmethod
    def dofs(self) -> int:
        """Unknowns of the discretised field: the size, and roughly the cost, of a solve."""

    @abstractmethod
    def solve(self, theta) -> Response:
        """F(θ) for one θ (p,), with its trace."""

    @property
    def discretisation(self) -> dict:
        """What a reader of the data may ask about the mesh, as plain data (JSON); `dofs` alone without one.

        With a mesh: `element`, `family`, `degree` and `functions` (basis functions a cell) of the element;
        `dofs`, `cells`, `vertices`; `cell`, their kind; `smallest_width` and `largest_width`, the least and the
        greatest extent in m of a cell along an axis; `grading`; `low` and `high`, corners in m of the domain.
        """
        return {"dofs": self.dofs}

    def fields_at(self, theta, x) -> np.ndarray:
        """The total field of each source at points x (n, 3) in m of the domain: (s, n, 3) in `problem.field_unit`.

        Slower than a sample of `solve`, which may never form the field.  Raises MaxwellError for points outside,
        on several ranks, and by a map that has no field.
        """
        raise MaxwellError(
            f"fields_at: {self!r} knows its data alone and no field; take a discretised problem."
        )

    @abstractmethod
    def linearise(self, theta) -> tuple[np.ndarray, np.ndarray]:
        """F(θ) (m,) and the exact Jacobian of the discrete map (m, p), from one factorisation."""

    def __call__(self, theta) -> np.ndarray:
        """F(θ): (p,) → (m,) complex128."""
        return self.solve(theta).observation

    @property
    def prepared(self) -> bool:
        """Whether a fast path is ready: never, for a map that has none."""
        return False

    def pays_to_prepare(self, samples: int) -> bool:
        """Whether so many samples are worth a call of `prepare`: never, for a map that has no faster path.

        Depends on the discretisation and on `samples` alone, so that it is answered alike everywhere.
        """
        return False

    def prepare(self, cache: Path | str | None = None) -> dict:
        """Compute once what makes every later sample cheap, and say how; nothing where there is no faster path.

        cache : a folder where the result is kept for other processes and runs; None for this process's memory.
        """
        return {}

    def prepare_for(self, samples: int) -> bool:
        """Prepare if so many samples are worth it; whether a fast path is now ready.

        Where memory has no room for it, says so with a SlowPathWarning: slower, and nothing else.
        """
        if self.prepared or not self.pays_to_prepare(samples):
            return self.prepared
        try:
            self.prepare()
        except MaxwellError as error:
            warnings.warn(f"No fast path: {error}", SlowPathWarning, stacklevel=3)
        return self.prepared

    def batch(self, thetas) -> np.ndarray:
        """F of each row: (n, p) → (n, m) complex128; of no row only where the map has m as `observations`."""
        if len(thetas):
            return np.stack([self(theta) for theta in thetas])
        if not hasattr(self, "observations"):
            raise MaxwellError(f"batch: {self!r} was given no theta; expected at least one.")
        return np.empty((0, self.observations), dtype=np.complex128)

    def jacobian(self, theta) -> np.ndarray:
        """J(θ), (m, p) complex128."""
        return self.linearise(theta)[1]

    def jvp(self, theta, direction) -> np.ndarray:
        """J(θ) v for v (p,): (m,) complex128."""
        jacobian = self.jacobian(theta)
        return jacobian @ vector_of(direction, jacobian.shape[1], "jvp: direction")

    def vjp(self, theta, covector) -> np.ndarray:
        """Re(J(θ)ᴴ w) for w (m,): (p,) float64; complex128 and no real part taken for complex unknowns."""
        jacobian = self.jacobian(theta)
        gradient = jacobian.conj().T @ vector_of(covector, jacobian.shape[0], "vjp: covector")
        return gradient if np.iscomplexobj(theta) else gradient.real


class LinearForwardMap(ForwardMap):
    """A forward map d = T θ with a constant matrix, had from one factorisation and then a product a sample.

    Subclasses give `dofs`, `matrix`, `trace` and `check`.
    """

    @property
    @abstractmethod
    def matrix(self) -> np.ndarray:
        """T (m, p)."""

    @property
    @abstractmethod
    def trace(self) -> dict:
        """How the matrix was had: the keys of `Response.info`, for the whole construction."""

    @abstractmethod
    def check(self, theta) -> np.ndarray:
        """Return θ as a finite array of shape (p,), or say in one sentence what is wrong with it."""

    def solve(self, theta) -> Response:
        """T θ for one θ (p,)."""
        return Response(self.matrix @ self.check(theta), dict(self.trace))

    def batch(self, thetas) -> np.ndarray:
        """T θ of each row: (n, p) → (n, m), one matrix product."""
        checked = np.array([self.check(theta) for theta in thetas]).reshape(len(thetas), self.matrix.shape[1])
        return checked @ self.matrix.T

    def linearise(self, theta) -> tuple[np.ndarray, np.ndarray]:
        """T θ (m,) and T (m, p) itself."""
        return self.matrix @ self.check(theta), self.matrix
