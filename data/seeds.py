"""Every random number of a data set, from the recipe's seed, the split's name and the sample's index alone.

The law, with ``S(e, k)`` for ``numpy.random.SeedSequence(entropy=e, spawn_key=k)``::

    seed of sample i of a split    s = first 64-bit word of S(recipe seed, (crc32(split), i))
    its parameters                 theta ~ prior, drawn by PCG64 on S(s, (0,))
    its noise, realisation ``d``   xi ~ N(0, 1), drawn by PCG64 on S(s, (1, d))

Hence a sample depends neither on how many samples are asked for, nor on the order, the process or the
shard in which it is computed (but a mesh of many samples is solved by a faster path, equal to far below the
error of the mesh and not to the bit), and its parameters and its noise are independent. A split that repeats
the parameters of another (``same_parameters_as``) takes the parameters from that split's seeds and the
noise from its own, so the pair differs in mesh and noise but not in truth.

The bit generator is named, not left to ``numpy.random.default_rng``, whose choice may change.
"""

import zlib

import numpy as np

_PARAMETERS, _NOISE = 0, 1  # spawn keys: new streams take new numbers, these two never change


def sample_seed(seed: int, split: str, index: int) -> int:
    """The 64-bit seed of one sample: a function of its three arguments and of nothing else."""
    sequence = np.random.SeedSequence(seed, spawn_key=(split_key(split), index))
    return int(sequence.generate_state(1, np.uint64)[0])


def split_key(split: str) -> int:
    """The number by which a split's name enters the seeds (CRC-32 of its UTF-8 bytes)."""
    return zlib.crc32(split.encode())


def parameter_stream(sample: int) -> np.random.Generator:
    """The stream from which the parameters of the sample with seed ``sample`` are drawn."""
    return _stream(sample, _PARAMETERS)


def noise_stream(sample: int, draw: int = 0) -> np.random.Generator:
    """The stream of noise realisation ``draw`` (0, 1, 2, ...) of the sample with seed ``sample``."""
    return _stream(sample, _NOISE, draw)


def _stream(sample: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(sample, spawn_key=key)))
