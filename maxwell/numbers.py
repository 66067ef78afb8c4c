"""Whether a value given by a user is a number of the kind that is asked for."""

import math
from numbers import Integral, Real

import numpy as np

from maxwell.errors import MaxwellError


def is_real(value) -> bool:
    """Whether it is one finite real number; neither a truth value, nor a string, nor an array."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value) -> bool:
    """Whether it is one integer; 2.0 is none, for a count is no measurement."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def array_of(values, what: str) -> np.ndarray:
    """values as an array of numbers of any kind and shape, or one sentence that begins with `what`."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        raise MaxwellError(f"{what} is {values!r}; expected numbers in rows of equal length.") from None
    if not np.issubdtype(array.dtype, np.number):
        raise MaxwellError(f"{what} has dtype {array.dtype}; expected numbers.")
    return array


def vector_of(values, size: int, what: str) -> np.ndarray:
    """values as an array of numbers of shape (size,), or one sentence that begins with `what`."""
    array = array_of(values, what)
    if array.shape != (size,):
        raise MaxwellError(f"{what} has shape {array.shape}; expected ({size},).")
    return array
