"""Samples as tensors, read when they are asked for: what ``torch.utils.data.DataLoader`` takes.

Imported by :meth:`data.reader.Dataset.to_torch` alone, for it imports torch.
"""

import operator
from collections.abc import Callable, Sequence

import numpy as np
import torch

from data import noise as noises
from data.errors import DataError
from data.reader import Dataset
from data.transforms import realify

Transform = Callable[[np.ndarray], np.ndarray]


class TorchSamples(torch.utils.data.Dataset):
    """The pairs x_i = encode(d_i + σξ_i) of shape (k,), y_i = decode(θ_i) of shape (q,), on the CPU.

    samples: any view of a data set; its order is kept, its arrays are not.
    noise, kind: as in :meth:`data.reader.Dataset.observe`.
    draw, draws: in epoch e (:meth:`set_epoch`; 0 until then) the noise is realisation ``draw + e mod draws``.
    encode: from observations (n, m) to features (n, k), such as a fitted ``Compression``; ``None``: the real
        and imaginary parts ``[Re, Im]``, or real data as they are.
    decode: from parameters (n, p) to targets (n, q), such as a fitted ``Standardise``, which is what a
        ``surrogates.Model`` undoes; ``None``: the parameters in their units, complex ones as ``[Re, Im]``.
    dtype: of both tensors; transforms compute in float64.

    With several workers, forked or spawned, persistent or not, every item is the same: it depends on the
    sample's seed and the epoch alone. A batch costs the read of its rows, 40 microseconds of noise a sample
    of 1,024 data, and the transforms. A data set that fits in memory is faster in two tensors:
    ``observe`` and ``parameters``.

    Raises :class:`DataError` for a noise or an epoch that makes no sense, a transform that does not give a row a
    sample, a dtype that holds no real numbers, and whatever reading raises.
    """

    def __init__(
        self,
        samples: Dataset,
        noise: float = 0.0,
        draw: int = 0,
        draws: int = 1,
        kind: str = "white",
        encode: Transform | None = None,
        decode: Transform | None = None,
        dtype: torch.dtype | None = None,
    ):
        noises.check(noise, draw, kind)
        if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1:
            raise DataError(f"draws: expected a number of realisations, at least 1, given {draws!r}.")
        self.dtype = torch.get_default_dtype() if dtype is None else dtype
        if not (isinstance(self.dtype, torch.dtype) and self.dtype.is_floating_point):
            raise DataError(f"dtype: expected one of real numbers, such as torch.float32, given {dtype!r}.")
        self.samples = samples.take(slice(None))
        self.noise, self.kind, self.encode, self.decode = noise, kind, encode, decode
        self.draw, self.draws = int(draw), int(draws)
        if noise:  # what noise needs of the whole data set is read here, once, and not by every worker
            _ = self.samples.seeds
            if kind == "white":
                _ = self.samples.noise_reference
        # In memory that workers share, for those that persist are not told of a new epoch otherwise.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._epoch.share_memory_()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        row = operator.index(row)
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} samples")  # which ends a loop over them
        features, targets = self.batch([row])
        return features[0], targets[0]

    def __getitems__(self, rows: Sequence[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The items of a batch, read together: what a ``DataLoader`` asks for."""
        return list(zip(*self.batch(rows), strict=True))

    def batch(self, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (b, k) and targets (b, q) of some rows, in their order."""
        view = self.samples.take(rows)
        observed = view.observe(self.noise, self.realisation, self.kind)
        return self._tensor("encode", self.encode, observed), self._tensor(
            "decode", self.decode, view.parameters
        )

    @property
    def realisation(self) -> int:
        """The number of the realisation of noise in this epoch."""
        return self.draw + int(self._epoch) % self.draws

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch, 0 or greater; call it before the ``DataLoader`` is iterated."""
        if isinstance(epoch, bool) or not isinstance(epoch, int | np.integer) or epoch < 0:
            raise DataError(f"epoch: expected a whole number, 0 or greater, given {epoch!r}.")
        self._epoch.fill_(int(epoch))

    def _tensor(self, name: str, transform: Transform | None, values: np.ndarray) -> torch.Tensor:
        if transform is None:
            made = realify(values) if np.iscomplexobj(values) else values
        else:
            made = np.asarray(transform(values))
        if made.ndim != 2 or len(made) != len(values) or made.dtype.kind not in "fiu":
            raise DataError(
                f"{name}: expected a table of {len(values)} rows of real numbers for an array of shape "
                f"{values.shape}, given shape {made.shape} of {made.dtype}; let it transform row by row."
            )
        return torch.from_numpy(np.ascontiguousarray(made)).to(self.dtype)
