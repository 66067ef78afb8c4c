"""Spectral filters: truncated singular values and Tikhonov's, on one engine, with the error they must make.

With θ = θ_0 + L z (L Lᴴ = Γ the prior covariance), data whitened to unit noise and A = W J L = U S Vᴴ,

    ẑ = Σ_i φ_i ⟨u_i, y⟩ / s_i · v_i,    y = W (d − F(θ_0)).

φ_i = s_i² / (s_i² + λ) minimises ‖y − A z‖² + λ ‖z‖² (Tikhonov), φ_i = 1 for i < k and 0 beyond is the
truncated decomposition.  Averaged over prior and noise each direction errs by (1 − φ_i)² + (φ_i / s_i)², which
λ = 1 makes smallest: 1 / (1 + s_i²).  Directions that no datum sees keep the variance 1 of the prior.

Source: Hansen, Rank-Deficient and Discrete Ill-Posed Problems (1998), chapters 4 and 5.
"""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from maxwell.errors import MaxwellError
from maxwell.forward import ForwardMap, LinearForwardMap
from maxwell.inversion.result import Estimate, Record, Trace
from maxwell.inversion.rules import Candidates, Discrepancy, Rule
from maxwell.inversion.whitening import DataSpace, Gaussian, Sampler, check_observation, rms

PER_DECADE = 10
"""Candidates of λ in a decade: neighbours differ by a quarter, and by less in error."""


class Filter(ABC):
    """Filter factors φ_i of singular values and a penalty."""

    @abstractmethod
    def penalties(self, values: np.ndarray) -> np.ndarray:
        """Candidates from the strongest to the weakest for singular values (r,)."""

    @abstractmethod
    def factors(self, values: np.ndarray, penalties: np.ndarray) -> np.ndarray:
        """φ (k, r) for penalties (k,)."""


@dataclass(frozen=True)
class Tikhonov(Filter):
    """φ = s² / (s² + λ)."""

    def penalties(self, values: np.ndarray) -> np.ndarray:
        """λ from 10³ s_1² to 10⁻³ or a tenth of the smallest s², not below 10⁻²⁴ s_1²."""
        high, low = 1e3 * values[0] ** 2, max(min(0.1 * values[-1] ** 2, 1e-3), 1e-24 * values[0] ** 2)
        return np.geomspace(high, low, int(np.ceil(PER_DECADE * np.log10(high / low))) + 1)

    def factors(self, values: np.ndarray, penalties: np.ndarray) -> np.ndarray:
        """As above."""
        return values**2 / (values**2 + penalties[:, None])


@dataclass(frozen=True)
class Truncation(Filter):
    """φ = 1 for the k largest singular values, else 0; the penalty is k."""

    def penalties(self, values: np.ndarray) -> np.ndarray:
        """k from 0 to the number of singular values above 10⁻¹² s_1."""
        return np.arange(np.count_nonzero(values > 1e-12 * values[0]) + 1.0)

    def factors(self, values: np.ndarray, penalties: np.ndarray) -> np.ndarray:
        """As above; a k that is no whole number up to r is refused."""
        if ((penalties != np.round(penalties)) | (penalties > len(values))).any():
            raise MaxwellError(
                f"tsvd: keeps {penalties.max():g} components; expected a whole number from 0 to {len(values)}."
            )
        return (np.arange(len(values)) < penalties[:, None]).astype(float)


@dataclass(frozen=True)
class PredictedError:
    """Error that theory predicts, over all unknowns, in the unknown's unit.

    bias : √E‖E θ̂ − θ‖², the mean outside over the prior (or none, for a given truth).
    deviation : √E‖θ̂ − E θ̂‖² of the noise that gets through.
    """

    bias: float
    deviation: float

    @property
    def total(self) -> float:
        """√E‖θ̂ − θ‖²."""
        return float(np.hypot(self.bias, self.deviation))


class WhitenedSystem:
    """A forward map in whitened variables, decomposed once; then an inversion is a few products.

    forward : any map; a nonlinear one is linearised at the prior mean.
    noise : standard deviation of the data, one number or (m,): √E|n|² of complex data, √E n² of real data.
    prior : a `Gaussian`, or an object with sample(rng, size) whose mean and covariance are estimated.
    samples, seed : of that estimate; the seed may be a Generator.

    Cost: one linearisation and an SVD of (N, r), N real (or complex, for complex unknowns) data.
    Raises MaxwellError for noise that is not positive and for a map that is zero under the prior.
    """

    def __init__(
        self,
        forward: ForwardMap,
        noise,
        prior: Gaussian | Sampler,
        *,
        samples: int = 2000,
        seed: int | np.random.Generator = 0,
    ):
        self.gaussian = Gaussian.of(prior, samples, seed)
        self.value, self.jacobian = forward.linearise(self.gaussian.mean)
        self.space = DataSpace.of(noise, self.value, self.gaussian.mean)
        self._root = self.gaussian.root()
        self.left, self.values, right = np.linalg.svd(
            self.space.whiten((self.jacobian @ self._root).T).T, full_matrices=False
        )
        if not self.values[0] > 0:
            raise MaxwellError(
                "the forward map is zero on every unknown that the prior allows; nothing to invert."
            )
        self._basis = self._root @ right.conj().T  # L V (p, r): the unknown that each singular value sees
        self.linear = isinstance(forward, LinearForwardMap)

    @property
    def basis(self) -> np.ndarray:
        """L V (p, r): the unknown that each singular value of `values` sees, in units of θ."""
        return self._basis

    def invert(self, observation, method: Filter, rule: Rule) -> Estimate:
        """θ̂ for one observation (m,), its penalty chosen by the rule."""
        if not isinstance(rule, Rule):
            raise MaxwellError(
                f"rule is {rule!r}; expected an object such as Discrepancy(), GCV() or Fixed(1.0)."
            )
        start = time.perf_counter()
        observation = check_observation(observation, self.value)
        data = self.space.whiten(observation - self.value)
        along = self.left.conj().T @ data
        penalties = rule.penalties(method.penalties(self.values))
        factors = method.factors(self.values, penalties)
        unseen = max(np.linalg.norm(data) ** 2 - np.linalg.norm(along) ** 2, 0.0)
        squares = unseen + ((1 - factors) ** 2) @ np.abs(along) ** 2
        coefficients = self._over(factors) * along
        norms = np.linalg.norm(coefficients, axis=1)
        size, unknowns = self.space.size, self._root.shape[1]
        choice = rule.choose(Candidates(penalties, squares, norms, factors.sum(axis=1), size, unknowns))
        seconds = time.perf_counter() - start
        misfits = np.sqrt(squares / self.space.size)
        records = tuple(
            Record(float(p), float(r), float(n), seconds, 1)
            for p, r, n in zip(penalties, misfits, norms, strict=True)
        )
        notes = [] if self.linear else ["nonlinear map: linearised at the prior mean."]
        if choice.note:
            notes.append(choice.note)
        step = self._basis @ coefficients[choice.index]
        predicted = self.value + self.jacobian @ step
        return Estimate(
            theta=self.gaussian.mean + step,
            predicted=predicted,
            misfit=rms(self.space.whiten(observation - predicted)),
            covariance=self._covariance(factors[choice.index]),
            trace=Trace(records, choice.index, choice.reason, 0, 1, seconds, tuple(notes)),
        )

    def predicted_error(self, method: Filter, penalty: float, truth=None) -> PredictedError:
        """What the singular values say that the estimate errs by, for truths of the prior or for one truth (p,)."""
        factors = method.factors(self.values, np.array([float(penalty)]))[0]
        weights = np.sum(np.abs(self._basis) ** 2, axis=0)
        deviation = np.sqrt(np.sum(weights * self._over(factors) ** 2))
        if truth is None:
            unseen = np.trace(self.gaussian.covariance).real - weights.sum()
            bias = np.sqrt(max(unseen, 0.0) + np.sum(weights * (1 - factors) ** 2))
        else:
            offset = np.asarray(truth) - self.gaussian.mean
            along = self.left.conj().T @ self.space.whiten(self.jacobian @ offset)
            bias = np.linalg.norm(offset - self._basis @ (self._over(factors) * along))
        return PredictedError(float(bias), float(deviation))

    def gain(self, method: Filter, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """K (p, N) of θ̂ = θ_0 + K y, and the covariance (p, p) of its error over noise and prior."""
        factors = method.factors(self.values, np.array([float(penalty)]))[0]
        return (self._basis * self._over(factors)) @ self.left.conj().T, self._covariance(factors)

    def _over(self, factors):
        """φ / s, zero where φ is, so that a vanishing s that is filtered out divides nothing."""
        return np.divide(factors, self.values, out=np.zeros_like(factors), where=factors > 0)

    def _covariance(self, factors):
        """Γ with the variance of each seen direction replaced by (1 − φ)² + (φ/s)²."""
        change = (1 - factors) ** 2 + self._over(factors) ** 2 - 1
        return self.gaussian.covariance + (self._basis * change) @ self._basis.conj().T


def tsvd(
    forward: ForwardMap,
    observation,
    noise,
    prior: Gaussian | Sampler,
    *,
    rule: Rule | None = None,
    samples: int = 2000,
    seed: int | np.random.Generator = 0,
) -> Estimate:
    """Truncated singular value decomposition of the whitened map.

    observation (m,) : d.  rule : how many components are kept, `Discrepancy()` by default.
    forward, noise, prior, samples, seed : as for `WhitenedSystem`, which to use for many observations.
    Returns an `Estimate`; its covariance is the mean over noise and prior for the filter chosen, as if it had
    been fixed beforehand.  Raises MaxwellError in one sentence for bad input.
    Not for strongly nonlinear maps: the error of the linearisation, not the noise, is then what remains.
    """
    system = WhitenedSystem(forward, noise, prior, samples=samples, seed=seed)
    return system.invert(observation, Truncation(), rule or Discrepancy())


def tikhonov(
    forward: ForwardMap,
    observation,
    noise,
    prior: Gaussian | Sampler,
    *,
    rule: Rule | None = None,
    samples: int = 2000,
    seed: int | np.random.Generator = 0,
) -> Estimate:
    """argmin ‖W (d − F(θ))‖² + λ ‖Γ^{-1/2}(θ − θ_0)‖² with F linear, or linearised at θ_0.

    rule : how λ is chosen, `Discrepancy()` by default; `Fixed(1.0)` is the Bayesian weight.
    Everything else as for `tsvd`.
    """
    system = WhitenedSystem(forward, noise, prior, samples=samples, seed=seed)
    return system.invert(observation, Tikhonov(), rule or Discrepancy())
