"""Chains over the boxes of `MagnetisedBlocks`: boxes are redrawn and reordered, their magnetisations are drawn.

A state is a list of boxes in the order of painting, low and high cell along each axis, and a vector in A/m each;
the unknown is linear in the vectors, with the cells that a box still shows after the later ones.  Moves, each
symmetric under the prior of the boxes: one edge of a box (its place with it) drawn anew; a whole box; two boxes
exchanged in the order; one more at any place of the order, or one less.
"""

from dataclasses import dataclass

import numpy as np

from maxwell.inversion.collapsed import compiled, weigh
from maxwell.priors.magnetisation import MagnetisedBlocks

SHARES = np.array([0.5, 0.2, 0.1, 0.2])
"""Of the moves: one edge anew; one box anew; two exchanged; one more or one less."""


@dataclass
class Blocks:
    """prior : what is drawn from.  matrix (r, p) : whitened, from θ to data.

    moves : of a particle at each level.  rounds : of as many moves that are averaged at the last.
    """

    prior: MagnetisedBlocks
    matrix: np.ndarray
    moves: int = 40
    rounds: int = 4

    def __post_init__(self):
        p = self.prior
        limits = (np.array(x, dtype=np.int64) for x in (p.shape, p.edge, p.blocks))
        self._model = (
            np.array(self.matrix.T, dtype=float, order="C"),
            *limits,
            np.array(p.strength, dtype=float),
        )

    def draw(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, ...]:
        """`size` states from the prior: counts (size,), boxes (size, K, 6), vectors (size, K, 3)."""
        p, most = self.prior, self.prior.blocks[1]
        counts = rng.integers(*p.blocks, size, endpoint=True)
        edges = rng.integers(*p.edge, (size, most, 3), endpoint=True)
        low = rng.integers(0, np.array(p.shape) - edges, endpoint=True)
        vectors = rng.standard_normal((size, most, 3))
        vectors *= rng.uniform(*p.strength, (size, most, 1)) / np.linalg.norm(vectors, axis=2, keepdims=True)
        return counts, np.concatenate([low, low + edges], axis=2), vectors

    def move(self, state, data, power, moves, rng) -> tuple[np.ndarray, np.ndarray]:
        """`moves` proposals for every state, in place; misfits (size,) and (tried, accepted) by kind (4, 2)."""
        misfits, tally = np.empty(len(state[0])), np.zeros((4, 2))
        energy = float(np.sum(np.abs(data) ** 2))
        _move(state, data, energy, power, moves, self._model, SHARES, rng, misfits, tally)
        return misfits, tally

    def unknowns(self, state) -> np.ndarray:
        """θ of every state, (size, p)."""
        thetas = np.zeros((len(state[0]), *self.prior.shape, 3))
        for theta, count, boxes, vectors in zip(thetas, *state, strict=True):
            for (a, b, c, d, e, f), vector in zip(boxes[:count], vectors, strict=False):
                theta[a:d, b:e, c:f] = vector
        return thetas.reshape(len(thetas), -1)


@compiled
def _paint(boxes, size, shape, matrix, columns):
    """Data (3·size, r) of each component of each box of strength 1, later boxes over earlier ones."""
    columns[: 3 * size] = 0
    for x in range(shape[0]):
        for y in range(shape[1]):
            for z in range(shape[2]):
                for b in range(size - 1, -1, -1):
                    box = boxes[b]
                    if box[0] <= x < box[3] and box[1] <= y < box[4] and box[2] <= z < box[5]:
                        cell = (x * shape[1] + y) * shape[2] + z
                        for i in range(3):
                            for r in range(columns.shape[1]):
                                columns[3 * b + i, r] += matrix[3 * cell + i, r]
                        break


@compiled
def _edge(box, axis, shape, edge, rng):
    """Length and place along an axis, from the prior."""
    length = rng.integers(edge[0], edge[1] + 1)
    box[axis] = rng.integers(0, shape[axis] - length + 1)
    box[3 + axis] = box[axis] + length


@compiled
def _move(state, data, energy, power, moves, model, shares, rng, misfits, tally):
    counts, boxes, vectors = state
    matrix, shape, edge, bounds, strength = model
    most = bounds[1]
    columns = np.zeros((3 * most, len(data)))
    work, trial = np.zeros((3, 3 * most, 3 * most)), np.zeros(3 * most)
    moved = np.empty((most, 6), np.int64)
    for i in range(len(counts)):
        size = counts[i]
        _paint(boxes[i], size, shape, matrix, columns)
        for b in range(size):
            trial[3 * b : 3 * b + 3] = vectors[i, b]
        weight, misfits[i] = weigh(
            columns, data, energy, 3 * size, 3, power, strength, 0.5, work, trial, False
        )
        for _ in range(moves):
            moved[:] = boxes[i]
            new, kind, choice = size, 0, rng.random()
            while choice > shares[kind] and kind < 3:
                choice -= shares[kind]
                kind += 1
            tally[kind, 0] += 1
            changed = rng.integers(0, size)
            if kind == 2:
                other = rng.integers(0, size)
                if other == changed:
                    continue
                moved[changed], moved[other] = boxes[i, other], boxes[i, changed]
            elif kind == 3:
                new += 1 if rng.random() < 0.5 else -1
                if not bounds[0] <= new <= most:
                    continue
                if new < size:
                    moved[changed:new] = boxes[i, changed + 1 : size]
                else:
                    changed = rng.integers(0, new)
                    moved[changed + 1 : new] = boxes[i, changed:size]
            if kind == 0:
                _edge(moved[changed], rng.integers(0, 3), shape, edge, rng)
            elif kind == 1 or new > size:
                for axis in range(3):
                    _edge(moved[changed], axis, shape, edge, rng)
            _paint(moved, new, shape, matrix, columns)
            for j in range(3 * new):
                trial[j] = rng.standard_normal()
            proposed, distance = weigh(
                columns, data, energy, 3 * new, 3, power, strength, 0.5, work, trial, True
            )
            if np.log(rng.random()) < proposed - weight:
                tally[kind, 1] += 1
                size, weight, misfits[i] = new, proposed, distance
                boxes[i] = moved
                for b in range(new):
                    vectors[i, b] = trial[3 * b : 3 * b + 3]
        counts[i] = size
