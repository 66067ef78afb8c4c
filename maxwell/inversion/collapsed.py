"""A few features with vectors of uniform strength: what compiled chains over them share.

    y = Σ_b Φ_b v_b + n,    v_b in Cᵗ (t = 1) or Rᵗ (t = 3), direction uniform, |v_b| uniform in (low, high)

for whitened data y (r,) and noise n of unit variance.  Put a Gaussian of the same E|v|² = tς² in place of the
vectors' prior; then at the power β of the likelihood v given Φ is Gaussian, and integrates out:

    P = βΦᴴΦ + I/ς²,    v | Φ ~ N(P⁻¹βΦᴴy, P⁻¹),    log Z = h (|L⁻¹βΦᴴy|² − log det P − log det ς²I),    P = LLᴴ

up to a constant, with h = 1 for complex data and ½ for real ones.  What is left of the true prior is a factor
ρ(v) = Π_b π(v_b) / N(v_b; 0, ς²I) that does not see the data.  So a chain on (Φ, v) that draws v from this Gaussian
accepts by Z ρ alone, exactly, and its features move as if no vector held them.
"""

import numba
import numpy as np


def compiled(function):
    """A loop as machine code, kept between processes where there is a place for it.

    What is kept belongs to the file of the loop that Python calls: after a change here, touch those that use it.
    """
    options = {"nogil": True, "fastmath": {"contract", "reassoc", "nsz"}}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba finds no folder to write to
        return numba.njit(**options)(function)


@compiled
def collapse(columns, data, size, power, variance, half, gram, factor, slope, mean):
    """log Z of columns (≥ size, r) at a power of the likelihood; fills the rest.

    gram (size, size) ΦᴴΦ, factor its L, slope Φᴴy, mean P⁻¹βΦᴴy: the leading parts of arrays.
    """
    for i in range(size):
        for j in range(i + 1):
            product = columns[i, 0] * 0
            for k in range(data.size):
                product += np.conj(columns[i, k]) * columns[j, k]
            gram[i, j] = product
            gram[j, i] = np.conj(product)
        product = columns[i, 0] * 0
        for k in range(data.size):
            product += np.conj(columns[i, k]) * data[k]
        slope[i] = product
    value = 0.0
    for i in range(size):
        for j in range(i + 1):
            entry = power * gram[i, j]
            if i == j:
                entry += 1 / variance
            for k in range(j):
                entry -= factor[i, k] * np.conj(factor[j, k])
            factor[i, j] = np.sqrt(entry.real) if i == j else entry * (1 / factor[j, j].real)
        entry = power * slope[i]
        for k in range(i):
            entry -= factor[i, k] * mean[k]
        mean[i] = entry * (1 / factor[i, i].real)
        value += (mean[i] * np.conj(mean[i])).real - 2 * np.log(factor[i, i].real) - np.log(variance)
    backward(factor, mean, size)
    return half * value


@compiled
def backward(factor, vector, size):
    """Lᴴ x = vector, in place."""
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            vector[i] -= np.conj(factor[k, i]) * vector[k]
        vector[i] *= 1 / factor[i, i].real


@compiled
def excess(vectors, components, size, variance, half, low, high):
    """log ρ of `size` numbers, `components` a vector; −∞ outside the support of the prior."""
    value = 0.0
    dimension = 2 * half * components  # real numbers in a vector
    sphere = 2 * np.pi if dimension == 2 else 4 * np.pi
    constant = 0.5 * dimension * np.log(np.pi * variance / half) - np.log(sphere * (high - low))
    for b in range(0, size, components):
        square = 0.0
        for i in range(components):
            square += (vectors[b + i] * np.conj(vectors[b + i])).real
        if not low * low <= square <= high * high:
            return -np.inf
        # π(v) = |v|^(1 − D) / S_D (high − low), against (πς²/h)^(−D/2) exp(−h|v|²/ς²).
        value += constant + half * square / variance - 0.5 * (dimension - 1) * np.log(square)
    return value


@compiled
def misfit(gram, slope, vectors, size, energy, half):
    """h |y − Φv|² with energy = |y|²."""
    value = energy
    for i in range(size):
        along = slope[i] * 0
        for j in range(size):
            along += gram[i, j] * vectors[j]
        value += (np.conj(vectors[i]) * (along - 2 * slope[i])).real
    return half * value


@compiled
def weigh(columns, data, energy, size, components, power, strength, half, work, vectors, drawn):
    """log Zρ and the misfit of `size` columns with their vectors; energy = |y|².

    drawn : the vectors hold unit normal numbers, and are drawn anew from them.  work (3, ≥ size, ≥ size).
    """
    variance = (strength[0] ** 2 + strength[0] * strength[1] + strength[1] ** 2) / (3 * components)
    gram, factor, slope, mean = work[0], work[1], work[2, 0], work[2, 1]
    value = collapse(columns, data, size, power, variance, half, gram, factor, slope, mean)
    if drawn:
        backward(factor, vectors, size)
        for i in range(size):
            vectors[i] += mean[i]
    value += excess(vectors, components, size, variance, half, strength[0], strength[1])
    return value, misfit(gram, slope, vectors, size, energy, half)
