"""Gradient-boosted regression trees: the learned baseline of tables."""

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import threadpoolctl

from data.transforms import Standardise
from experiments.protocol.known import Answers, Known
from experiments.protocol.methods.base import Method, timed
from experiments.protocol.methods.features import COMPONENTS, Features, rows, softened, white
from experiments.protocol.scores import Ruler

if TYPE_CHECKING:
    from sklearn import ensemble, linear_model

MOST = 10_000
"""Rows to learn from."""

OUTPUTS = 16
"""Leading principal components of the unknown that get trees; the rest is linear."""

LEAVES = 16
"""Leaves of a tree, at most."""

ROUNDS, PATIENCE = 300, 10
"""At most so many trees; fewer where so many in a row do not lower the validation error."""

RIDGES = np.logspace(-1, 7, 9)
"""Penalties of the linear fit, in variances of a feature over one row; the last leaves the mean."""


@dataclass(frozen=True, eq=False)
class Stage:
    """Trees on the residual of a linear fit, or on the unknown itself, in `modes` (q, OUTPUTS) of the unknown.

    Called with features (n, k) it gives standardised unknowns (n, q).
    """

    linear: "linear_model.Ridge"
    modes: np.ndarray
    boosted: bool
    trees: list["ensemble.HistGradientBoostingRegressor"]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The linear fit, corrected along the modes or replaced there."""
        base = self.linear.predict(x).reshape(len(x), -1)
        grown = np.stack([tree.predict(x) for tree in self.trees], axis=1)
        if not self.boosted:
            grown = grown - base @ self.modes
        return base + grown @ self.modes.T


class BoostedTrees(Method):
    """Histogram gradient boosting of scikit-learn on principal components of the data, one ensemble an output.

    The outputs are the `OUTPUTS` leading principal components of the unknown, for an ensemble for each of some
    hundred unknowns costs hours and the trailing ones are out of reach.  All others come from ridge regression.
    The validation split chooses among four (`budget`): features softened or not, trees grown on the unknown or on
    what ridge regression leaves over; and for each the ridge, and the number of trees of each output.

    Learned at one level of noise, like a network: `deviation` changes nothing in the estimate.
    """

    key = "boosted-trees"
    label = f"boosted trees (at most {MOST:,} rows)"
    kind = "learned"

    def __init__(self, features: Features, stage: Stage, scale: Standardise, budget: int):
        self.features, self.stage, self.budget = features, stage, budget
        self._scale = scale

    @classmethod
    def fit(cls, known: Known) -> "BoostedTrees":
        """Four times `OUTPUTS` ensembles."""
        ruler, (observed, theta) = Ruler.of(known), rows(known, MOST)
        scale = Standardise.fit(theta, common=ruler.field)
        seen, truth = known.valid.observe(known.noise), known.valid.parameters
        targets, wanted = scale(theta), scale(truth)
        choices = Features.choices(known)
        most = max(each.components for each in choices if each.components <= COMPONENTS[3])
        choices = [f for f in choices if f.components == most and f.shape in (white, softened)]
        found = []
        with threadpoolctl.threadpool_limits(1):
            for features, boosted in product(choices, (True, False)):
                x, y = features(observed), features(seen)
                stage = _grown(x, targets, (y, wanted), boosted)
                error = ruler.squared(scale.inverse(stage(y)), truth).mean()
                found.append((error, features, stage))
        _, features, stage = min(found, key=lambda each: each[0])
        return cls(features, stage, scale, len(found))

    def estimate(self, observations: np.ndarray, deviation: float) -> Answers:
        """As in `Method`."""
        with threadpoolctl.threadpool_limits(1):
            return timed(
                lambda data: self._scale.inverse(self.stage(self.features(data))),
                observations,
            )


def _grown(x, targets, valid, boosted) -> Stage:
    from sklearn import ensemble, linear_model

    y, wanted = valid
    tried = [linear_model.Ridge(ridge).fit(x, targets) for ridge in RIDGES]
    linear = min(tried, key=lambda each: np.mean((each.predict(y).reshape(wanted.shape) - wanted) ** 2))
    _, _, right = np.linalg.svd(targets - targets.mean(axis=0), full_matrices=False)
    modes = right[:OUTPUTS].T
    learned, judged = targets, wanted
    if boosted:
        learned, judged = (
            truth - linear.predict(at).reshape(truth.shape) for at, truth in ((x, targets), (y, wanted))
        )
    trees = [
        ensemble.HistGradientBoostingRegressor(
            max_iter=ROUNDS,
            max_leaf_nodes=LEAVES,
            early_stopping=True,
            n_iter_no_change=PATIENCE,
            random_state=0,
        ).fit(x, column, X_val=y, y_val=judging)
        for column, judging in zip((learned @ modes).T, (judged @ modes).T, strict=True)
    ]
    return Stage(linear, modes, boosted, trees)
