"""Extreme singular values of many linear maps at once: from the whole matrix, or by Lanczos from products alone."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import override

import torch
from torch import Tensor

from surrogates.errors import SurrogateError

Product = Callable[[Tensor], Tensor]

_EVERY = 8  # Lanczos steps between two looks at convergence: each is a small SVD, and a wait for the device


class AccuracyError(ArithmeticError):
    """A computed singular value failed its own check: a numerical fault, not the user's."""


@dataclass(frozen=True)
class SingularValues:
    """Largest and smallest singular value of n maps J (rows, columns) each, with vectors: J v = σ u, Jᵀ u = σ v.

    largest, smallest    σ_1 and σ_min(rows, columns), (n,)
    left, right          u (2, n, rows), v (2, n, columns), those of the largest first
    residuals            the larger of ‖J v − σ u‖ and ‖Jᵀ u − σ v‖ in units of σ_1, (2, n), from products with the
                         vectors returned; so close to σ, in units of σ_1, there is a singular value of J
    steps                products with J and Jᵀ for each map
    method               how they were found
    """

    largest: Tensor
    smallest: Tensor
    left: Tensor
    right: Tensor
    residuals: Tensor
    steps: int
    method: "Method"


class Method(ABC):
    """A way to find extreme singular values."""

    @abstractmethod
    def find(
        self, jvp: Product, vjp: Product, like: Tensor, rows: int, *, smallest: bool = True
    ) -> SingularValues:
        """Return those of the maps behind jvp: v (…, n, columns) ↦ J v (…, n, rows) and vjp: p ↦ Jᵀ p.

        ``like`` (n, columns) gives number, columns, dtype and device. Without ``smallest`` that end is
        returned as it happens to be, with its residual.
        """


@dataclass(frozen=True)
class Exact(Method):
    """All entries of J by min(rows, columns) products, done as one; then its singular value decomposition.

    Storage n · rows · columns, time n · min(rows, columns) · (one product + rows · columns). To round-off of σ_1.
    """

    @override
    def find(self, jvp, vjp, like, rows, *, smallest=True):
        wide = rows < like.shape[-1]
        dense = matrix(vjp, like.new_zeros(len(like), rows)).mT if wide else matrix(jvp, like)
        u, values, v = torch.linalg.svd(dense, full_matrices=False)
        ends = torch.stack((u[..., 0], u[..., -1])), torch.stack((v[:, 0], v[:, -1]))
        return _checked(self, jvp, vjp, *ends, values[:, [0, -1]].mT, min(rows, like.shape[-1]))


@dataclass(frozen=True)
class Lanczos(Method):
    """Golub–Kahan bidiagonalisation with full reorthogonalisation, all maps side by side.

    Stops when both residuals are below ``tolerance`` · σ_1, or after ``steps`` (None: as many as it takes; after
    min(rows, columns) it is exact). The largest value comes as fast as by Lanczos, which is never slower than power
    iteration, from the same products. The smallest found is never below the true one but for round-off, and it is a
    singular value to within its residual; that there is no smaller one is as sure as that a random start is not
    orthogonal to its vector, unless all steps were made. Clustered small values take many steps. Not where σ_min
    matters relative to itself: accuracy is in units of σ_1.

    The start is drawn from ``generator``, by default from one of its own, so that results repeat. Storage
    n · steps · (rows + columns). Raises ``AccuracyError`` when ``steps`` do not suffice. Source: Golub and Kahan,
    SIAM J. Numer. Anal. B 2 (1965), doi 10.1137/0702016.
    """

    tolerance: float = 1e-8
    steps: int | None = None
    generator: torch.Generator | None = None

    def __post_init__(self):
        real = isinstance(self.tolerance, int | float) and not isinstance(self.tolerance, bool)
        if not real or not 0 < self.tolerance < 1:
            raise SurrogateError(
                f"Lanczos needs a tolerance between 0 and 1, but tolerance={self.tolerance!r}"
            )
        whole = isinstance(self.steps, int) and not isinstance(self.steps, bool) and self.steps >= 1
        if self.steps is not None and not whole:
            raise SurrogateError(
                f"Lanczos needs a whole number of steps >= 1, or None, but steps={self.steps!r}"
            )

    @override
    def find(self, jvp, vjp, like, rows, *, smallest=True):
        if rows < like.shape[-1]:  # the process ends exactly only from the shorter side
            like, rows = like.new_zeros(len(like), rows), like.shape[-1]
            turned = self.find(vjp, jvp, like, rows, smallest=smallest)
            return replace(turned, left=turned.right, right=turned.left)
        generator = self.generator or torch.Generator(like.device).manual_seed(0)
        columns, ends = like.shape[-1], 2 if smallest else 1
        limit = min(self.steps or columns, columns)
        right, left = [_unit(_drawn(like, generator), [], like.new_zeros(len(like)), generator)[0]], []
        diagonal, beside = [], []  # of B with J V = U B: upper bidiagonal
        scale = like.new_zeros(len(like))
        for step in range(1, limit + 1):
            u, length = _unit(jvp(right[-1]), left, scale, generator)
            left.append(u)
            diagonal.append(length)
            scale = torch.maximum(scale, length)
            if step == columns:  # the whole space: nothing is left over
                beside.append(torch.zeros_like(length))
            else:
                v, length = _unit(vjp(u), right, scale, generator)
                right.append(v)
                beside.append(length)
            if step % _EVERY == 0 or step == limit:
                small = torch.diag_embed(torch.stack(diagonal, -1))
                if step > 1:
                    small = small + torch.diag_embed(torch.stack(beside[:-1], -1), offset=1)
                p, values, q = torch.linalg.svd(small)
                rest = beside[-1].unsqueeze(-1) * p[:, -1, [0, -1]][:, :ends].abs()
                if bool((rest <= self.tolerance / 2 * values[:, :1]).all()):
                    break
        u = torch.einsum("knr,nke->enr", torch.stack(left), p[..., [0, -1]])
        v = torch.einsum("knc,nek->enc", torch.stack(right[:step]), q[:, [0, -1]])
        found = _checked(self, jvp, vjp, u, v, values[:, [0, -1]].mT, step)
        worst = found.residuals[:ends].max()
        if not bool(worst <= self.tolerance):
            raise AccuracyError(
                f"after {step} of at most {columns} Lanczos steps a singular value has a residual "
                f"of {worst.item():.2g} of the largest, and {self.tolerance:.2g} was asked for: allow more "
                "steps or use Exact()"
            )
        return found


def matrix(jvp: Product, like: Tensor) -> Tensor:
    """Return the matrices J (n, rows, columns) behind jvp; ``like`` (n, columns)."""
    unit = torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)
    return jvp(unit.unsqueeze(1).expand(-1, *like.shape)).permute(1, 2, 0)


def _checked(method, jvp, vjp, left, right, values, steps) -> SingularValues:
    """The result with residuals from products of its own; values (2, n)."""
    forth = (jvp(right) - values.unsqueeze(-1) * left).norm(dim=-1)
    back = (vjp(left) - values.unsqueeze(-1) * right).norm(dim=-1)
    tiny = torch.finfo(values.dtype).tiny
    residuals = torch.maximum(forth, back) / values[:1].clamp_min(tiny)
    return SingularValues(values[0], values[1], left, right, residuals, steps, method)


def _drawn(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype).to(
        like.device
    )


def _unit(vector: Tensor, basis: list[Tensor], scale: Tensor, generator: torch.Generator):
    """The part of a vector (n, …) orthogonal to the basis, as a unit vector, and its length.

    Where nothing but round-off is left, the space found so far is invariant: a random direction goes on from there,
    and the length is 0.
    """
    rest = _orthogonal(vector, basis)
    length = rest.norm(dim=-1)
    over = length <= 100 * torch.finfo(length.dtype).eps * scale
    fresh = _orthogonal(_drawn(vector, generator), basis)
    direction = torch.where(over.unsqueeze(-1), fresh, rest)
    return direction / direction.norm(dim=-1, keepdim=True), torch.where(over, 0, length)


def _orthogonal(vector: Tensor, basis: list[Tensor]) -> Tensor:
    if basis:
        space = torch.stack(basis, 1)  # (n, k, …)
        for _ in range(2):  # once leaves what the projection itself rounds off
            vector = vector - ((space @ vector.unsqueeze(-1)).mT @ space).squeeze(-2)
    return vector
