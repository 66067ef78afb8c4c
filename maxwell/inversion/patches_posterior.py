"""Chains over the patches of a `BoundaryPatchPrior`: place, width and polarisation move, the strengths are drawn.

A patch is a shape (c_x, c_y, s, α) and a strength z = A e^{iφ}; its modes are products of integrals over x and y,

    θ = Σ_b z_b (cos α_b · a C_m(c_x, s) S_n(c_y, s) + sin α_b · b S_m(c_x, s) C_n(c_y, s)),

C_m and S_m those of exp(−(x − c)²/2s²) times cos mπx and sin mπx over (0, 1), tabulated over (c, s) and
interpolated by cubics.  Moves, each symmetric under the prior of the shapes: a step of one patch, its length
log-uniform over three decades; a patch drawn anew; one more, or one less.
"""

from dataclasses import dataclass

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.inversion.collapsed import compiled, weigh
from maxwell.priors.boundary_patches import BoundaryPatchPrior
from maxwell.reference.cauchy import FaceModes

PLACES, WIDTHS = 129, 33
"""Nodes of the table over the centre and over the deviation: its error is below 1e-6 of the largest integral."""

SHARES = np.array([0.6, 0.2, 0.2])
"""Of the moves: a step of one patch; one patch anew; one more or one less."""


@dataclass
class Patches:
    """prior : what is drawn from.  matrix (r, p) : whitened, from θ to data.

    moves : of a particle at each level.  rounds : of as many moves that are averaged at the last.
    """

    prior: BoundaryPatchPrior
    matrix: np.ndarray
    moves: int = 80
    rounds: int = 4

    def __post_init__(self):
        p, modes = self.prior, FaceModes(self.prior.modes)
        if p.amplitude[0] == p.amplitude[1]:
            raise MaxwellError(
                f"posterior_mean: the amplitude of the prior is {p.amplitude} V/m; expected two different bounds."
            )
        numbers = np.stack([modes.m, modes.n], axis=1).astype(np.int64)
        low = np.array([p.centre[0], p.centre[0], p.deviation[0], 0.0])
        high = np.array([p.centre[1], p.centre[1], p.deviation[1], np.pi])
        table = _table(p, int(numbers.max()))
        self._basis = numbers, np.ascontiguousarray(modes.amplitudes), table, low, high
        counts, strength = np.array(p.patches, dtype=np.int64), np.array(p.amplitude, dtype=float)
        self._model = np.array(self.matrix.T, dtype=np.complex128, order="C"), self._basis, counts, strength

    def draw(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, ...]:
        """`size` states from the prior: counts (size,), shapes (size, K, 4), strengths (size, K, 1)."""
        most = self.prior.patches[1]
        counts = rng.integers(*self.prior.patches, size, endpoint=True)
        shapes = rng.uniform(*self._basis[-2:], (size, most, 4))
        phase = np.exp(2j * np.pi * rng.random((size, most, 1)))
        return counts, shapes, rng.uniform(*self.prior.amplitude, phase.shape) * phase

    def move(self, state, data, power, moves, rng) -> tuple[np.ndarray, np.ndarray]:
        """`moves` proposals for every state, in place; misfits (size,) and (tried, accepted) by kind (3, 2)."""
        misfits, tally = np.empty(len(state[0])), np.zeros((3, 2))
        energy = float(np.sum(np.abs(data) ** 2))
        _move(state, data, energy, power, moves, self._model, SHARES, rng, misfits, tally)
        return misfits, tally

    def unknowns(self, state) -> np.ndarray:
        """θ of every state, (size, p)."""
        thetas = np.empty((len(state[0]), self.prior.modes), dtype=np.complex128)
        _synthesise(state, self._basis, thetas)
        return thetas


def _table(prior, top):
    """C_0 … C_top, S_0 … S_top over (c, s): (PLACES, WIDTHS, 2 (top + 1))."""
    centres, widths = np.linspace(*prior.centre, PLACES), np.linspace(*prior.deviation, WIDTHS)
    nodes, weights = np.polynomial.legendre.leggauss(int(6 / widths[0] + 4 * top) + 1)
    x, weights = (nodes + 1) / 2, weights / 2
    phase = np.pi * np.arange(top + 1) * x[:, None]
    waves = weights[:, None] * np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
    table = np.empty((PLACES, WIDTHS, waves.shape[1]))
    for j, s in enumerate(widths):
        table[:, j] = np.exp(-((x - centres[:, None]) ** 2) / (2 * s**2)) @ waves
    return table


@compiled
def _cubic(value, low, high, nodes, weights):
    """First of the four nodes about a value, and the weights (4,) of the cubic through them."""
    t = (value - low) / (high - low) * (nodes - 1) if high > low else 0.0
    first = min(max(int(t) - 1, 0), nodes - 4)
    t -= first
    weights[0] = -(t - 1) * (t - 2) * (t - 3) / 6
    weights[1] = t * (t - 2) * (t - 3) / 2
    weights[2] = -t * (t - 1) * (t - 3) / 2
    weights[3] = t * (t - 1) * (t - 2) / 6
    return first


@compiled
def _modes(shape, basis, out):
    """The modes (p,) of a patch of strength 1."""
    numbers, amplitudes, table, low, high = basis
    places, widths, length = table.shape
    u, w, along = np.empty(4), np.empty(4), np.zeros((2, length))
    j = _cubic(shape[2], low[2], high[2], widths, w)
    for axis in range(2):
        i = _cubic(shape[axis], low[axis], high[axis], places, u)
        for a in range(4):
            for b in range(4):
                weight = u[a] * w[b]
                for f in range(length):
                    along[axis, f] += weight * table[i + a, j + b, f]
    half = length // 2
    x, y = along
    cosine, sine = np.cos(shape[3]), np.sin(shape[3])
    for k in range(len(numbers)):
        m, n = numbers[k]
        out[k] = cosine * amplitudes[k, 0] * x[m] * y[half + n] + sine * amplitudes[k, 1] * x[half + m] * y[n]


@compiled
def _synthesise(state, basis, thetas):
    counts, shapes, strengths = state
    modes = np.empty(thetas.shape[1])
    for i in range(len(counts)):
        thetas[i] = 0
        for b in range(counts[i]):
            _modes(shapes[i, b], basis, modes)
            for k in range(len(modes)):
                thetas[i, k] += strengths[i, b, 0] * modes[k]


@compiled
def _column(shape, basis, matrix, modes, out):
    """The data (r,) of a patch of strength 1; matrix (p, r)."""
    _modes(shape, basis, modes)
    out[:] = 0
    for k in range(len(modes)):
        for r in range(len(out)):
            out[r] += modes[k] * matrix[k, r]


@compiled
def _move(state, data, energy, power, moves, model, shares, rng, misfits, tally):
    counts, shapes, strengths = state
    matrix, basis, bounds, strength = model
    low, high = basis[3], basis[4]
    most = bounds[1]
    modes = np.empty(len(matrix))
    columns, trial_columns = np.zeros((2, most, len(data)), data.dtype)
    work, trial = np.zeros((3, max(most, 2), max(most, 2)), data.dtype), np.zeros(most, data.dtype)
    moved = np.empty((most, 4))
    for i in range(len(counts)):
        size = counts[i]
        for b in range(size):
            _column(shapes[i, b], basis, matrix, modes, columns[b])
        trial[:] = strengths[i, :, 0]
        weight, misfits[i] = weigh(columns, data, energy, size, 1, power, strength, 1.0, work, trial, False)
        for _ in range(moves):
            moved[:], trial_columns[:] = shapes[i], columns
            changed, new, kind, inside = rng.integers(0, size), size, 0, True
            choice = rng.random()
            while choice > shares[kind] and kind < 2:
                choice -= shares[kind]
                kind += 1
            tally[kind, 0] += 1
            if kind == 0:
                scale = 10.0 ** (-3 * rng.random())
                for a in range(4):
                    value = moved[changed, a] + scale * (high[a] - low[a]) * rng.standard_normal()
                    moved[changed, a] = value % np.pi if a == 3 else value
                    inside = inside and low[a] <= moved[changed, a] <= high[a]
            elif kind == 2:
                new += 1 if rng.random() < 0.5 else -1
                inside = bounds[0] <= new <= most
                if new > size:
                    changed = size
                elif inside:  # the last takes the place of the one that goes
                    moved[changed], trial_columns[changed] = shapes[i, new], columns[new]
            if not inside:
                continue
            if kind == 1 or new > size:
                for a in range(4):
                    moved[changed, a] = low[a] + rng.random() * (high[a] - low[a])
            if new >= size:
                _column(moved[changed], basis, matrix, modes, trial_columns[changed])
            for b in range(new):
                trial[b] = complex(rng.standard_normal(), rng.standard_normal()) * np.sqrt(0.5)
            proposed, distance = weigh(
                trial_columns, data, energy, new, 1, power, strength, 1.0, work, trial, True
            )
            if np.log(rng.random()) < proposed - weight:
                tally[kind, 1] += 1
                size, weight, misfits[i] = new, proposed, distance
                shapes[i], columns[:] = moved, trial_columns
                strengths[i, :new, 0] = trial[:new]
        counts[i] = size
