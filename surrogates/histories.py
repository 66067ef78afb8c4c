"""The memory Σ_{j<l} a_{l,j} d_j as the engine's sweeps compute it: by blocks of layers, never pair by pair.

A history is made of the tables of one evaluation, each with a member axis S in front. The sweeps tell it
when an increment is ready and it adds what that increment owes to later layers (``spread``), and the same with
the transposed table on the way back (``gather``). Increments d and costates q are (L, S, N), N the entries of
a state.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

_ROWS = 32
"""Rows of the table whose gradient is one matrix product: few products, little wasted above the diagonal."""


class History(ABC):
    """A lower triangular table a, and products with it in the order in which a recursion can have them."""

    tables: tuple[Tensor, ...]

    @abstractmethod
    def dense(self, *tables: Tensor) -> Tensor:
        """Return a (S, L, L), differentiable in the tables: for the slow way, and for tests."""

    @abstractmethod
    def spread(self, layer: int, d: Tensor) -> None:
        """d_0 … d_layer are ready (from 0): subtract their part of the memory from later rows of d.

        Row l holds minus its whole memory when ``spread(l−1)`` has returned; what rows held before is lost.
        """

    @abstractmethod
    def gather(self, layer: int, q: Tensor, d: Tensor) -> None:
        """q_layer … q_{L−1} are ready: subtract their part of aᵀq from earlier rows of q.

        Row l holds minus the whole of its part when ``gather(l+1)`` has returned; what rows held before is
        lost. The last row has none and is left alone, as the first one is by ``spread``.
        """

    @abstractmethod
    def gradients(self, q: Tensor, d: Tensor) -> tuple[Tensor, ...]:
        """Return the derivatives of −Σ q_l·a_{l,j} d_j in the tables, when all of q is ready."""


class Blocked(History):
    """The whole table a (S, L, L), in blocks that double: after layer l, one product of 2^k × 2^k entries.

    2^k is the largest power of two that divides l. Each pair j < l is met exactly once, in time; each
    increment is read log₂ L times instead of L times, and the products grow so large that they run at the
    speed of the machine. L²/2 multiply–adds per entry of a state. This order is that of Hairer, Lubich and
    Schlichte, SIAM J. Sci. Stat. Comput. 6 (1985), for convolutions; only the products are plain ones here.
    """

    def __init__(self, a: Tensor):
        self.tables = (a,)
        self._a = a.detach()

    def dense(self, *tables):
        return tables[0].tril(-1)

    def spread(self, layer, d):
        done = layer + 1
        size = done & -done
        end = min(done + size, len(d))
        if done < end:
            # a row first meets the increments before it as the right half of all so far: 0 … l−1 with l = 2^k
            _subtract(d, done, end, self._a[:, done:end, done - size : done], done - size, fresh=size == done)

    def gather(self, layer, q, d):
        if layer > 0:
            size = layer & -layer
            end = min(layer + size, len(q))
            block = self._a[:, layer:end, layer - size : layer].mT
            # the next larger block with these rows on its left begins at layer + size, if there is one
            _subtract(q, layer - size, layer, block, layer, fresh=layer + size >= len(q))

    def gradients(self, q, d):
        found = torch.zeros_like(self._a)
        q, d = q.transpose(0, 1), d.transpose(0, 1)
        for row in range(0, found.shape[-1], _ROWS):
            end = row + _ROWS
            torch.bmm(q[:, row:end], d[:, :end].mT, out=found[:, row:end, :end])
        return (found.tril_(-1).neg_(),)


def _subtract(rows: Tensor, first: int, end: int, block: Tensor, source: int, fresh: bool = False) -> None:
    """rows[first:end] −= block · rows[source:…], member by member; ``fresh`` rows held nothing before."""
    if not fresh and block.shape[-2:] == (1, 1):  # half of all products, and faster without a matrix
        rows[first].addcmul_(rows[source], block[:, 0], value=-1)
        return
    rows[first:end].transpose(0, 1).baddbmm_(
        block,
        rows[source : source + block.shape[-1]].transpose(0, 1),
        beta=0 if fresh else 1,
        alpha=-1,
    )
