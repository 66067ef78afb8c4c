"""What training demands of settings and data before its first step."""

import math
from typing import Any

from torch import Tensor

from surrogates.errors import SurrogateError


def whole(value: object) -> bool:
    """Whether the value is a whole number, which True is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def real(value: object) -> bool:
    """Whether the value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def demand(owner: object, name: str, expected: str, met: bool) -> None:
    """Raise ``SurrogateError`` on behalf of an object whose attribute is not as expected."""
    if not met:
        raise SurrogateError(
            f"{type(owner).__name__}: {name} must be {expected}, but is {getattr(owner, name)!r}"
        )


def check_pair(name: str, pair: Any) -> None:
    """Raise ``SurrogateError`` unless the pair is (x, y), as many of each, at least one, all finite."""
    if (
        not isinstance(pair, tuple | list)
        or len(pair) != 2
        or not all(isinstance(part, Tensor) for part in pair)
    ):
        raise SurrogateError(f"{name} must be a pair of tensors (x, y), but is {type(pair).__name__}")
    x, y = pair
    if x.ndim < 1 or y.ndim < 1 or len(x) != len(y) or len(x) == 0:
        raise SurrogateError(
            f"{name} must hold as many inputs as targets, at least one, but has shapes {tuple(x.shape)} and "
            f"{tuple(y.shape)}"
        )
    for part, values in (("inputs", x), ("targets", y)):
        bad = (~values.isfinite().flatten(1).all(1)) if values.ndim > 1 else ~values.isfinite()
        if bad.any():
            raise SurrogateError(
                f"{name}: NaN or infinity in the {part} of {int(bad.sum())} of {len(bad)} samples, first in "
                f"sample {int(bad.nonzero()[0])}: repair or leave out those samples"
            )
