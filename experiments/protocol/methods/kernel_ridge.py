"""Kernel ridge regression: the learned baseline with a closed form."""

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import threadpoolctl

from data.transforms import Standardise
from experiments.protocol.known import Answers, Known
from experiments.protocol.methods.base import Method, timed
from experiments.protocol.methods.features import Features, rows
from experiments.protocol.scores import Ruler

if TYPE_CHECKING:
    from sklearn import kernel_ridge

MOST = 4000
"""Rows to learn from: the fit costs n³/3 operations and the kernel 8 n² bytes."""

COARSE = 500
"""Rows for the coarse choice."""

LENGTHS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Length scale of the kernel, in root mean squares of the training features' norm."""

PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Ridge, relative to the diagonal of the kernel."""

FINALISTS = 4
"""How many of the coarse choices meet again on all rows, with a penalty ten times smaller and larger too."""


@dataclass(frozen=True, eq=False)
class Setting:
    """One choice: features, length scale (as `LENGTHS`) and ridge (as `PENALTIES`)."""

    features: Features
    length: float
    penalty: float

    def fit(self, observations: np.ndarray, targets: np.ndarray) -> "kernel_ridge.KernelRidge":
        """α = (K + λ)⁻¹ y with K_ij = exp(−|x_i − x_j|²/2ℓ²), from (n, m) and (n, q)."""
        from sklearn import kernel_ridge

        x = self.features(observations)
        squared = self.length**2 * np.mean(np.sum(x**2, axis=1))
        return kernel_ridge.KernelRidge(alpha=self.penalty, kernel="rbf", gamma=0.5 / squared).fit(x, targets)


class KernelRidge(Method):
    """θ̂(d) = Σ_i α_i exp(−|x(d) − x_i|²/2ℓ²) on principal components x of the data.

    Features (number and shape of the components), ℓ and λ have the least validation error of a grid over `COARSE`
    rows; the best `FINALISTS` are compared again on up to `MOST` rows.  The number of settings tried is `budget`,
    the one taken is `setting`.

    Learned at one level of noise, like a network: `deviation` changes nothing in the estimate.
    """

    key = "kernel-ridge"
    label = f"kernel ridge (at most {MOST:,} rows)"
    kind = "learned"

    def __init__(self, setting: Setting, fitted: "kernel_ridge.KernelRidge", scale: Standardise, budget: int):
        self.setting, self.budget = setting, budget
        self._fitted, self._scale = fitted, scale

    @classmethod
    def fit(cls, known: Known) -> "KernelRidge":
        """Some hundred small fits and a dozen large ones."""
        ruler, (observed, theta) = Ruler.of(known), rows(known, MOST)
        scale = Standardise.fit(theta, common=ruler.field)
        targets = scale(theta)
        seen, truth = known.valid.observe(known.noise), known.valid.parameters

        def tried(setting, count):
            fitted = setting.fit(observed[:count], targets[:count])
            estimates = scale.inverse(fitted.predict(setting.features(seen)))
            return ruler.squared(estimates, truth).mean(), fitted, setting

        def ranked(settings, count):
            return sorted((tried(setting, count) for setting in settings), key=lambda found: found[0])

        grid = [Setting(*each) for each in product(Features.choices(known), LENGTHS, PENALTIES)]
        with threadpoolctl.threadpool_limits(1):
            coarse = [setting for _, _, setting in ranked(grid, COARSE)]
            finals = [
                Setting(setting.features, setting.length, factor * setting.penalty)
                for setting in coarse[:FINALISTS]
                for factor in (0.1, 1.0, 10.0)
            ]
            _, fitted, setting = ranked(finals, MOST)[0]
        return cls(setting, fitted, scale, len(grid) + len(finals))

    def estimate(self, observations: np.ndarray, deviation: float) -> Answers:
        """As in `Method`."""
        with threadpoolctl.threadpool_limits(1):
            return timed(
                lambda data: self._scale.inverse(self._fitted.predict(self.setting.features(data))),
                observations,
            )
