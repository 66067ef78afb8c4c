"""Yardsticks: classical inversion, and learned baselines that are no networks.

One method a file; `METHODS` lists them in the order of tables.  `Hybrid`, Gauss-Newton from an estimate, stands
beside the list, for its start is another method's answer.
"""

from experiments.protocol.methods.base import Method
from experiments.protocol.methods.boosted_trees import BoostedTrees
from experiments.protocol.methods.kernel_ridge import KernelRidge
from experiments.protocol.methods.linearised import LinearisedTikhonov
from experiments.protocol.methods.mmse import MMSE
from experiments.protocol.methods.newton import GaussNewton, Hybrid
from experiments.protocol.methods.posterior_mean import PosteriorMean
from experiments.protocol.methods.prior_mean import PriorMean
from experiments.protocol.methods.spectral import TSVD, Tikhonov

METHODS: tuple[type[Method], ...] = (
    PriorMean,
    TSVD,
    Tikhonov,
    LinearisedTikhonov,
    MMSE,
    PosteriorMean,
    GaussNewton,
    KernelRidge,
    BoostedTrees,
)

__all__ = [
    "METHODS",
    "MMSE",
    "TSVD",
    "BoostedTrees",
    "GaussNewton",
    "Hybrid",
    "KernelRidge",
    "LinearisedTikhonov",
    "Method",
    "PosteriorMean",
    "PriorMean",
    "Tikhonov",
]
