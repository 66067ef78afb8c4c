"""Ways to the fields of one sample: refactorise, update the background's inverse, or condense the exterior.

The update is of all unknowns that change, or of the skeleton of groups of cells that change as a whole.

All solve the same discrete system A_0 + iΔ and give the same numbers to far below discretisation error; they
differ in what is computed once and what for every sample.
"""

from maxwell.paths.background import Answer, Background, Change
from maxwell.paths.condensed import CondensedExterior
from maxwell.paths.condensed_update import CondensedUpdate
from maxwell.paths.interiors import Interiors
from maxwell.paths.low_rank import LowRankUpdate
from maxwell.paths.refactorise import Refactorise

__all__ = [
    "Answer",
    "Background",
    "Change",
    "CondensedExterior",
    "CondensedUpdate",
    "Interiors",
    "LowRankUpdate",
    "Refactorise",
]
