"""Networks that find their own depth: a layer is a step, so one of zero can come or go unseen.

``insert``, ``split`` and ``prune`` return a net of another depth, ``wake`` gives a new layer its step,
``sensitivities`` says where one would matter, and ``fit`` trains by a ``DepthSchedule``.
"""

from surrogates.baselines import Blocks
from surrogates.depth import plain
from surrogates.depth.adam import AdamByEntry
from surrogates.depth.constraint import Dependent
from surrogates.depth.insertion import insert, split, wake
from surrogates.depth.pruning import change_bound, least, prune, shares
from surrogates.depth.record import DepthResult, DepthState, DepthTrace, Event
from surrogates.depth.regularisers import Horizon, Magnitude, Regulariser, Squares
from surrogates.depth.run import fit
from surrogates.depth.schedule import DepthSchedule, Drawn, Growth, Largest, Pruning, Smallest, Splitting
from surrogates.depth.sensitivity import Sensitivities, sensitivities, steer
from surrogates.depth.surgery import Surgery

__all__ = [
    "AdamByEntry",
    "Blocks",
    "Dependent",
    "DepthResult",
    "DepthSchedule",
    "DepthState",
    "DepthTrace",
    "Drawn",
    "Event",
    "Growth",
    "Horizon",
    "Largest",
    "Magnitude",
    "Pruning",
    "Regulariser",
    "Sensitivities",
    "Smallest",
    "Splitting",
    "Squares",
    "Surgery",
    "change_bound",
    "fit",
    "insert",
    "least",
    "plain",
    "prune",
    "sensitivities",
    "shares",
    "split",
    "steer",
    "wake",
]
