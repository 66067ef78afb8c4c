"""The memory Σ_{j<l} a_{l,j} d_j as the engine's sweeps compute it: by blocks of layers, never pair by pair.

A history is made of the tables of one evaluation, which get a member axis S in front if they have none. The
sweeps tell it when an increment is ready and it adds what that increment owes to later layers (``spread``), and
the same with the transposed table on the way back (``gather``). Increments d and costates q are (L, S, N), N the
entries of a state.
"""

from abc import ABC, abstractmethod
from typing import override

import torch
from torch import Tensor

from surrogates import exponentials
from surrogates.exponentials import Exponentials

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
        self.tables = (a if a.ndim == 3 else a.unsqueeze(0),)
        self._a = self.tables[0].detach()

    @override
    def dense(self, *tables):
        return tables[0].tril(-1)

    @override
    def spread(self, layer, d):
        done = layer + 1
        size = done & -done
        end = min(done + size, len(d))
        if done < end:
            # a row first meets the increments before it as the right half of all so far: 0 … l−1 with l = 2^k
            _subtract(d, done, end, self._a[:, done:end, done - size : done], done - size, fresh=size == done)

    @override
    def gather(self, layer, q, d):
        if layer > 0:
            size = layer & -layer
            end = min(layer + size, len(q))
            block = self._a[:, layer:end, layer - size : layer].mT
            # the next larger block with these rows on its left begins at layer + size, if there is one
            _subtract(q, layer - size, layer, block, layer, fresh=layer + size >= len(q))

    @override
    def gradients(self, q, d):
        found = torch.zeros_like(self._a)
        q, d = q.transpose(0, 1), d.transpose(0, 1)
        for row in range(0, found.shape[-1], _ROWS):
            end = row + _ROWS
            torch.bmm(q[:, row:end], d[:, :end].mT, out=found[:, row:end, :end])
        return (found.tril_(-1).neg_(),)


class Exponential(History):
    """The table as a sum of exponentials (``exponentials.table``): P numbers carry what lies before a block.

    Inside a block of B layers the doubling blocks of ``Blocked``, on exact entries; between blocks
    m_{b+1} = D_b m_b + V_bᵀ d_b, of which layer l of the next block reads U_l · m. Per entry of a state and layer
    2P + B/2 multiply–adds and 1 + P/B numbers to keep, whatever the depth. B is a power of two.
    """

    def __init__(self, table: Exponentials):
        tables = (table.near, table.recall, table.intake, table.decay)
        self.tables = tables if table.near.ndim == 3 else tuple(part.unsqueeze(0) for part in tables)
        self._near, self._recall, self._intake, self._decay = (part.detach() for part in self.tables)
        self._learned = any(part.requires_grad for part in self.tables)
        self._block = table.near.shape[-1]
        self._carried: list[Tensor] = []  # m_1, m_2, …, each (S, P, N)
        self._later: Tensor | None = None  # the derivative in m_{b+1} on the way back
        self._by_far: list[tuple[Tensor, Tensor, Tensor]] = []

    @override
    def dense(self, *tables):
        return exponentials.dense(Exponentials(*tables, gains=tables[0]))

    @override
    def spread(self, layer, d):
        done, block = layer + 1, self._block
        if layer == 0:
            self._carried = []
        if done % block:
            size, base = done & -done, layer // block * block
            end = min(done + size, len(d))
            if done < end:
                part = self._near[:, done:end, done - size - base : done - base]
                _subtract(d, done, end, part, done - size, fresh=size == done)
        elif done < len(d):
            here, nearby = slice(done - block, done), slice(done, done + block)
            intake = self._intake[:, here].mT
            if self._carried:
                kept = self._carried[-1] * self._decay[:, layer // block, :, None]
                self._carried.append(kept.baddbmm_(intake, d[here].transpose(0, 1)))
            else:
                self._carried.append(torch.bmm(intake, d[here].transpose(0, 1)))
            d[nearby].transpose(0, 1).baddbmm_(self._recall[:, nearby], self._carried[-1], beta=0, alpha=-1)

    @override
    def gather(self, layer, q, d):
        block = self._block
        if layer == len(q) - 1:
            self._later, self._by_far = None, []
        if layer % block:
            size, base = layer & -layer, layer // block * block
            end = min(layer + size, len(q))
            part = self._near[:, layer:end, layer - size - base : layer - base].mT
            _subtract(q, layer - size, layer, part, layer, fresh=layer + size >= len(q))
        elif layer > 0:
            here, before = slice(layer, layer + block), slice(layer - block, layer)
            carried, index = self._carried[layer // block - 1], layer // block
            through = torch.bmm(self._recall[:, here].mT, q[here].transpose(0, 1)).neg_()
            if self._later is not None:
                if self._learned:
                    by_decay = torch.linalg.vecdot(self._later, carried)
                through += self._later * self._decay[:, index, :, None]
            if self._learned:
                by_recall = torch.bmm(q[here].transpose(0, 1), carried.mT).neg_()
                by_intake = torch.bmm(d[before].transpose(0, 1), through.mT)
                by_decay = torch.zeros_like(self._decay[:, 0]) if self._later is None else by_decay
                self._by_far.append((by_recall, by_intake, by_decay))
            self._later = through
            q[before].transpose(0, 1).baddbmm_(self._intake[:, before], through, beta=0)

    @override
    def gradients(self, q, d):
        near, recall, intake, decay = (torch.zeros_like(part) for part in self.tables)
        block, depth = self._block, len(q)
        q, d = q.transpose(0, 1), d.transpose(0, 1)
        for row in range(0, depth, block):
            end = min(row + block, depth)
            torch.bmm(q[:, row:end], d[:, row:end].mT, out=near[:, row:end, : end - row])
            near[:, row:end].tril_(-1).neg_()
        for index, (by_recall, by_intake, by_decay) in enumerate(reversed(self._by_far), 1):
            start = index * block
            recall[:, start : start + block] = by_recall
            intake[:, start - block : start] = by_intake
            decay[:, index] = by_decay
        return near, recall, intake, decay


def _subtract(rows: Tensor, first: int, end: int, block: Tensor, source: int, fresh: bool = False) -> None:
    """rows[first:end] −= block · rows[source:…], member by member; ``fresh`` rows held nothing before."""
    rows[first:end].transpose(0, 1).baddbmm_(
        block,
        rows[source : source + block.shape[-1]].transpose(0, 1),
        beta=0 if fresh else 1,
        alpha=-1,
    )
