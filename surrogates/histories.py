"""The memory Σ_{j<l} a_{l,j} d_j as the engine's sweeps compute it: by blocks of layers, never pair by pair.

A history is made of the tables of one evaluation, which get a member axis S in front if they have none. The
sweeps tell it when an increment is ready and it adds what that increment owes to later layers (``spread``), and
the same with the transposed table on the way back (``gather``). Increments d and costates q are (L, S, N), N the
entries of a state.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
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

    def costates(self, layers: int) -> int:
        """Return how many costates the way back needs at one time: costate l lives in row l mod that number."""
        return layers

    @abstractmethod
    def dense(self, *tables: Tensor) -> Tensor:
        """Return a (S, L, L), differentiable in the tables: for the slow way, and for tests."""

    @abstractmethod
    def spread(self, layer: int, d: Tensor) -> None:
        """d_0 … d_layer are ready (from 0): subtract their part of the memory from later rows of d.

        Row l holds minus its whole memory when ``spread(l−1)`` has returned; what rows held before is lost.
        """

    def kept(self) -> tuple[Tensor, ...]:
        """Hand over what the way back needs beside the increments, when ``spread`` has seen every layer."""
        return ()

    def back(self, kept: Sequence[Tensor]) -> None:
        """Begin the way back, with what ``kept`` had handed over."""
        return

    def end(self) -> None:
        """End the way back: nothing of it is held any longer."""
        return

    @abstractmethod
    def gather(self, layer: int, q: Tensor, d: Tensor) -> None:
        """q_layer … q_{L−1} are ready: subtract their part of aᵀq from earlier rows of q (``costates``).

        Row l holds minus the whole of its part when ``gather(l+1)`` has returned; what rows held before is
        lost. The last row has none and is left alone, as the first one is by ``spread``.
        """

    @abstractmethod
    def gradients(self, q: Tensor, d: Tensor) -> tuple[Tensor, ...]:
        """Return the derivatives of −Σ q_l·a_{l,j} d_j in the tables, when ``gather`` has seen every layer."""


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
    2P + B/2 multiply–adds and 1 + P/B numbers to keep, whatever the depth. On the way back the costates of two
    blocks are all that is needed at one time. B is a power of two.
    """

    def __init__(self, table: Exponentials):
        tables = (table.near, table.recall, table.intake, table.decay)
        self.tables = tables if table.near.ndim == 3 else tuple(part.unsqueeze(0) for part in tables)
        self._near, self._recall, self._intake, self._decay = (part.detach() for part in self.tables)
        self._learned = any(part.requires_grad for part in self.tables)
        self._block = table.near.shape[-1]
        self._carried: Sequence[Tensor] = []  # m_1, m_2, …, each (S, P, N)
        self._later: Tensor | None = None  # the derivative in m_{b+1} on the way back
        self._found: tuple[Tensor, ...] = ()

    @override
    def costates(self, layers):
        return min(2 * self._block, layers)

    @override
    def dense(self, *tables):
        return exponentials.dense(Exponentials(*tables, gains=tables[0]))

    @override
    def spread(self, layer, d):
        done, block = layer + 1, self._block
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
    def kept(self):
        kept, self._carried = tuple(self._carried), []
        return kept

    @override
    def back(self, kept):
        self._carried, self._later = kept, None
        self._found = tuple(torch.zeros_like(part) for part in self.tables)

    @override
    def gather(self, layer, q, d):
        depth, block = len(d), self._block
        index, base = layer // block, layer // block * block
        row = base % len(q)  # of the first layer of this block, in q
        if layer > base:
            size, inside = layer & -layer, layer - base
            end = min(inside + size, depth - base)
            part = self._near[:, layer : base + end, inside - size : inside].mT
            fresh = layer + size >= depth
            _subtract(q, row + inside - size, row + inside, part, row + inside, fresh=fresh)
            return
        count = min(block, depth - base)
        here, costates = slice(base, base + count), q[row : row + count].transpose(0, 1)
        if self._learned:
            near = self._found[0][:, here, :count]
            near.copy_(torch.bmm(costates, d[here].transpose(0, 1).mT)).tril_(-1).neg_()
        if base > 0:
            self._gather_far(index, here, costates, q, d)

    def _gather_far(self, index, here, costates, q, d):
        """From all costates of a block to the memory at its start, and on to the block before."""
        before = slice(here.start - self._block, here.start)
        row = before.start % len(q)
        carried, later = self._carried[index - 1], self._later
        through = torch.bmm(self._recall[:, here].mT, costates).neg_()
        if later is not None:
            through.addcmul_(later, self._decay[:, index, :, None])
        if self._learned:
            _, recall, intake, decay = self._found
            recall[:, here] = torch.bmm(costates, carried.mT).neg_()
            intake[:, before] = torch.bmm(d[before].transpose(0, 1), through.mT)
            if later is not None:
                decay[:, index] = torch.linalg.vecdot(later, carried)
        self._later = through
        q[row : row + self._block].transpose(0, 1).baddbmm_(self._intake[:, before], through, beta=0)

    @override
    def gradients(self, q, d):
        return self._found

    @override
    def end(self):
        self._carried, self._later, self._found = [], None, ()


def _subtract(rows: Tensor, first: int, end: int, block: Tensor, source: int, fresh: bool = False) -> None:
    """rows[first:end] −= block · rows[source:…], member by member; ``fresh`` rows held nothing before."""
    rows[first:end].transpose(0, 1).baddbmm_(
        block,
        rows[source : source + block.shape[-1]].transpose(0, 1),
        beta=0 if fresh else 1,
        alpha=-1,
    )
