"""The equation of one sample on the skeleton of a region, and the tables that all samples share."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from maxwell.errors import AccuracyError
from maxwell.paths.interiors import Interiors

SLANT = 0.1
"""|Im c / Re c| up to which H is taken real."""


@dataclass(frozen=True)
class Skeleton:
    """Tables of a skeleton with n unknowns and v potentials in G groups of B and V, in one precision.

    index (G, B) : a group's unknowns, 0 where it has fewer; all that goes with these is zero.
    pairs (G·V·V,) : where a group's pairs of potentials go in a matrix (v, v), raveled.
    scatter (n, G·B), scatter_nodes (v, G·V) : sums over groups.
    gradients (G, B, V), complex, and loads (G, V, B), real : T and Tᵀ of a group.
    gradient (n, v), transpose (v, n) : T and Tᵀ.
    potential (v, v) : L.  stiffness (v, v) : L⁻¹.
    """

    index: np.ndarray
    pairs: np.ndarray
    scatter: sp.csr_array
    scatter_nodes: sp.csr_array
    gradients: np.ndarray
    loads: np.ndarray
    gradient: sp.csr_array
    transpose: sp.csr_array
    potential: np.ndarray
    stiffness: np.ndarray

    @classmethod
    def of(cls, interiors: Interiors, gradient: sp.csr_array, potential: np.ndarray) -> "Skeleton":
        """The tables in double precision."""
        place = np.zeros(len(interiors.dofs), dtype=np.intp)
        place[interiors.skeleton] = np.arange(len(interiors.skeleton))
        members = interiors.members[:, : interiors.widths[0]]
        known = members >= 0
        index = np.where(known, place[members], 0)
        touched = [np.unique(gradient[rows[some]].indices) for rows, some in zip(index, known, strict=True)]
        nodes = np.zeros((len(index), max(map(len, touched))), dtype=np.intp)
        gradients = np.zeros((*index.shape, nodes.shape[1]), complex)
        for g, (rows, some, here) in enumerate(zip(index, known, touched, strict=True)):
            nodes[g, : len(here)] = here
            gradients[g][np.ix_(some, np.arange(len(here)))] = gradient[rows[some]][:, here].toarray()
        return cls(
            index,
            (nodes[:, :, None] * gradient.shape[1] + nodes[:, None, :]).ravel(),
            _sums(index, gradient.shape[0]),
            _sums(nodes, gradient.shape[1]),
            gradients,
            np.ascontiguousarray(gradients.real.transpose(0, 2, 1)),
            gradient,
            gradient.T.tocsr(),
            potential,
            scipy.linalg.inv(potential, assume_a="pos"),
        )

    def astype(self, real) -> "Skeleton":
        """The same in another precision."""
        return Skeleton(
            self.index,
            self.pairs,
            self.scatter.astype(real),
            self.scatter_nodes.astype(real),
            self.gradients.astype(np.result_type(real, np.complex64)),
            self.loads.astype(real),
            self.gradient.astype(real),
            self.transpose.astype(real),
            self.potential.astype(real),
            self.stiffness.astype(real),
        )

    def change(self, delta, x):
        """Δ_Sx for Δ_S (G, B, B) of the same precision."""
        product = np.matmul(delta, x.take(self.index, axis=0))
        return _complex(self.scatter @ _real(product.reshape(-1, x.shape[1])))

    def quasi_static(self, changed):
        """TLTᵀΔ_Sx, given Δ_Sx."""
        return _complex(self.gradient @ (self.potential @ (self.transpose @ _real(changed))))


class SkeletonEquation:
    """(I + iGΔ_S) x = x_0 of one sample, a `krylov.SampleEquation`; see `condensed_update`.

    exact, tables : the tables in double precision and in that of the Krylov method.
    delta (G, B, B) : Δ_S.  incident (n, K) : x_0.  green (n, n) : G_s.  factor : c = i/s_0.
    """

    def __init__(self, exact: Skeleton, tables: Skeleton, delta, incident, green, factor):
        self.dtype, self.incident = tables.gradients.dtype, incident
        self._exact, self._tables, self._green = exact, tables, green
        self._exact_delta, self._delta = delta, delta.astype(self.dtype)
        self._exact_factor, self._factor = factor, self.dtype.type(factor)
        self._load = _complex(np.matmul(tables.loads, _real(self._delta)))  # TᵀΔ_S group by group
        added = self._factor * np.matmul(self._load, tables.gradients)
        self._real = abs(factor.imag) <= SLANT * abs(factor.real)
        static = tables.stiffness.copy() if self._real else tables.stiffness.astype(self.dtype)
        np.add.at(static.ravel(), tables.pairs, (added.real if self._real else added).ravel())
        names, self._triangle, options = ("getrf", "getrs"), {}, {}
        if self._real:
            names, self._triangle, options = ("potrf", "potrs"), {"lower": True}, {"clean": False}
        factorise, self._substitute = scipy.linalg.get_lapack_funcs(names, (static,))
        # Symmetric, and its transpose is Fortran-ordered.
        *self._factors, fault = factorise(static.T, overwrite_a=True, **self._triangle, **options)
        if fault:
            raise AccuracyError("the static problem of the sample is singular to working precision")

    @property
    def precision(self) -> float:
        """Relative spacing of the numbers that G_s is kept in."""
        return float(np.finfo(self._green.dtype).eps)

    def change(self, x):
        """Δ_Sx in double precision."""
        return self._exact.change(self._exact_delta, x)

    def quasi_static(self, changed):
        """cTLTᵀΔ_Sx, given Δ_Sx, in double precision."""
        product = self._exact.quasi_static(changed)
        product *= self._exact_factor
        return product

    def weigh(self, refined, left):
        """(M⁻¹R)ᵀΔ_SR, given both residuals, in the precision of the Krylov space."""
        return refined.T @ self._tables.change(self._delta, left.astype(self.dtype))

    def apply(self, x):
        """iG_sΔ_Sx, with the product in the precision of G_s, and M⁻¹(I + iGΔ_S)x."""
        changed = self._tables.change(self._delta, x)
        static = self._tables.quasi_static(changed)
        induced = self.induce(changed).astype(self.dtype, copy=False)
        static *= self._factor
        static += induced
        static += x
        return induced, self.precondition(static)

    def induce(self, changed):
        """iG_sΔ_Sx, given Δ_Sx, in the precision of G_s."""
        rounded = changed.astype(self._green.dtype)
        rounded *= rounded.dtype.type(1j)
        return self._green @ rounded

    def precondition(self, x):
        """M⁻¹x = x − c T H⁻¹ TᵀΔ_Sx."""
        tables = self._tables
        product = np.matmul(self._load, x.take(tables.index, axis=0))
        load = tables.scatter_nodes @ _real(product.reshape(-1, x.shape[1]))
        load = load if self._real else _complex(load)
        potentials, _ = self._substitute(*self._factors, load, **self._triangle)
        static = _complex(tables.gradient @ _real(potentials))
        static *= -self._factor
        static += x
        return static

    def direct(self):
        """x and iG_sΔ_Sx by a dense factorisation of the equation: 8/3 n³ flops, for what iterations give up."""
        delta = self.change(np.eye(len(self.incident), dtype=complex))
        induced = 1j * (self._green @ delta)
        matrix = induced + self.quasi_static(delta)
        matrix.ravel()[:: len(matrix) + 1] += 1
        fields = scipy.linalg.solve(matrix, self.incident, overwrite_a=True)
        return fields, induced @ fields


def _sums(places, size):
    """The matrix (size, G·B) that adds up rows (G·B, ·) at their places (G, B)."""
    count = places.size
    return sp.csr_array((np.ones(count), (places.ravel(), np.arange(count))), shape=(size, count))


def _real(x):
    """Complex (n, k) as real (n, 2k)."""
    return np.ascontiguousarray(x).view(x.real.dtype)


def _complex(x):
    """Real (n, 2k) as complex (n, k)."""
    return x.view(np.result_type(x.dtype, np.complex64))
