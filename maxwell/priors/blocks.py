"""Whether a picture of cells can have been painted, block over block."""

from itertools import product

import numpy as np


def are_blocks(field: np.ndarray, most: int, shortest: np.ndarray, longest: np.ndarray) -> bool:
    """Whether at most `most` blocks, later ones over earlier, give the field (nx, ny, nz, k) on a ground of zeros.

    Blocks are boxes of cells with edges from `shortest` to `longest` (3,), each of one value in R^k, none zero
    and no two of one value.  At least one block: the field of zeros alone is none.

    The last block lies open, so it is a value whose box holds nothing else.  Lift it, count its cells as anything,
    and go on: what is lifted never stands in the way of another, so any order finds the blocks.
    Cost: O(blocks² · cells · boxes tried), with more than one box only for a block that others hide in part.
    """
    values = np.unique(field[field.any(axis=-1)], axis=0)
    if not 1 <= len(values) <= most:
        return False
    hidden = [(field == value).all(axis=-1) for value in values]
    lifted = np.zeros(field.shape[:3], dtype=bool)
    while hidden:
        open_blocks = [k for k, cells in enumerate(hidden) if _fits(cells, cells | lifted, shortest, longest)]
        if not open_blocks:
            return False
        lifted |= hidden.pop(open_blocks[0])
    return True


def _fits(cells, allowed, shortest, longest) -> bool:
    """Whether a box of admissible edges contains all of `cells` and nothing but `allowed`, each (nx, ny, nz)."""
    where = np.argwhere(cells)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    sides = [
        [
            slice(begin, begin + edge)
            for edge in range(max(least, b - a), most + 1)
            for begin in range(max(0, b - edge), min(a, size - edge) + 1)
        ]
        for a, b, least, most, size in zip(low, high, shortest, longest, cells.shape, strict=True)
    ]
    return any(allowed[box].all() for box in product(*sides))
