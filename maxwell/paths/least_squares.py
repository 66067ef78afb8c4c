"""Least squares over a space that grows by blocks: the small dense part of a block Krylov method."""

import numpy as np
import scipy.linalg

from maxwell.errors import AccuracyError

WIDTH = 8
"""Columns by which products with a dense complex matrix are fastest: four vector registers of them."""


class BlockLeastSquares:
    """Least squares ‖start − Σ_j W_j y_j‖ over blocks W_j (n, k_j), by normal equations.

    The W_j are nearly orthonormal, so these are well conditioned.  With every W_j come a block of directions
    V_j, and iG_sΔV_j, whose combinations are wanted.
    """

    def __init__(self, start):
        self._start, self._directions, self._induced, self._images = start, [], [], []
        self._normal = np.empty((0, 0), complex)
        self._right = np.empty((0, start.shape[1]), complex)
        self.residual = start

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return len(self._images)

    def add(self, direction, induced, image):
        """Take one more block and solve again."""
        self._directions.append(direction)
        self._induced.append(induced)
        self._images.append(image)
        adjoint = image.conj().T
        lower = np.concatenate([adjoint @ other for other in self._images], axis=1)
        known, new = len(self._normal), len(lower)
        normal = np.empty((known + new, known + new), complex)
        normal[:known, :known] = self._normal
        normal[known:] = lower
        normal[:known, known:] = lower[:, :known].conj().T
        self._normal = normal
        self._right = np.concatenate([self._right, adjoint @ self._start])
        _, weights, fault = scipy.linalg.lapack.zposv(normal, self._right)
        if fault:
            raise AccuracyError("the directions of the least squares have become dependent")
        self._weights = weights.astype(self._start.dtype)
        fitted = self._combined(self._images)
        self.residual = np.subtract(self._start, fitted, out=fitted)

    def solution(self):
        """Combinations of the directions and of iG_sΔV."""
        return [self._combined(part) for part in (self._directions, self._induced)]

    def _combined(self, part):
        ends = np.cumsum([0] + [block.shape[1] for block in part])
        out = part[0] @ self._weights[: ends[1]]
        for block, a, b in zip(part[1:], ends[1:-1], ends[2:], strict=True):
            out += block @ self._weights[a:b]
        return out


def leading(residual, tolerance):
    """Orthonormal basis of the columns of (n, k), less the directions that together are below the tolerance.

    Further directions that stand out from rounding fill it up to a multiple of `WIDTH`.
    """
    gram = residual.conj().T @ residual
    (eigen,) = scipy.linalg.get_lapack_funcs(("heevd",), (gram,))
    squares, mixing, _ = eigen(gram.T)  # of the conjugate, in Fortran's order
    mixing = mixing.conj()
    squares = np.maximum(squares, np.finfo(squares.dtype).tiny)
    needed = max(1, np.count_nonzero(np.cumsum(squares) > tolerance**2))
    sound = np.count_nonzero(squares > 10 * np.finfo(residual.dtype).eps * squares[-1])
    count = max(needed, min(WIDTH * -(-needed // WIDTH), sound))
    kept = mixing[:, -count:] / np.sqrt(squares[-count:])
    return residual @ np.ascontiguousarray(kept).astype(residual.dtype, copy=False)


def norm(x) -> float:
    """Frobenius norm, by BLAS: numpy's own squares entry by entry, several times slower."""
    return float(np.sqrt(np.vdot(x, x).real))
