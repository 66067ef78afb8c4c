"""Networks that find their own depth: a layer is a step, so one of zero can come or go unseen.

``insert``, ``split`` and ``prune`` return a net of another depth, ``wake`` gives a new layer its step.
"""

from surrogates.depth.constraint import Dependent
from surrogates.depth.insertion import insert, split, wake
from surrogates.depth.pruning import change_bound, least, prune, shares
from surrogates.depth.regularisers import Horizon, Magnitude, Regulariser, Squares
from surrogates.depth.sensitivity import Sensitivities, sensitivities, steer
from surrogates.depth.surgery import Surgery

__all__ = [
    "Dependent",
    "Horizon",
    "Magnitude",
    "Regulariser",
    "Sensitivities",
    "Squares",
    "Surgery",
    "change_bound",
    "insert",
    "least",
    "prune",
    "sensitivities",
    "shares",
    "split",
    "steer",
    "wake",
]
