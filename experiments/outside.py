"""Is an observation like those that a network was trained on?

Scores, large for an observation d that is far from training, with P the projection onto the retained principal
components (`data.transforms.Compression`: k directions of variances s², of N) and δ = d − mean:

    size      Σ_k (Pδ)_k² / (k s_k²)       how far out along the retained directions (Hotelling's T², over k)
    outside   ‖δ − Pδ‖² / (a + b ‖Pδ‖²)     energy outside of them, over what noise (a) and an observation of this
                                            size (b) leave there
    weakness  1 / ‖d‖²                      how small the observation is

Features are not Gaussian: amplitudes spread over decades, and at the 95 % point of χ² the size alone would alarm
for 10 to 22 of 100 observations of training.  So no distribution is assumed: see `Calibrated` and `Bounded`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from data.transforms import Compression, Normalise, realify

REASONS = {
    "size": "larger along the retained directions",
    "outside": "more energy outside the retained directions",
    "weakness": "weaker",
}
"""What each score says of an observation, beside those of training."""

NEGLIGIBLE = 1e-12
"""Share of the variance below which nothing but rounding lies outside the retained directions."""

ROUNDING = 1e-9
"""Relative slack of a comparison of ranks, which are quotients of whole numbers."""

Scores = dict[str, np.ndarray]


def rms(encode: Compression | Normalise) -> float:
    """Root mean square of the noisy training data over samples and entries: what relative noise refers to."""
    if isinstance(encode, Compression):
        square = float(encode.total + encode.mean @ encode.mean)
    else:
        square = len(encode.mean) * float(encode.scale) ** 2 + float(encode.mean @ encode.mean)
    return float(np.sqrt(square / (len(encode.mean) // 2)))


def is_complex(encode: Compression | Normalise) -> bool:
    """Whether the training data were complex: real ones have no imaginary part, to the bit."""
    mean = encode.inverse(np.zeros((1, encode.components)))
    return bool(mean.imag.any())


@dataclass(frozen=True, eq=False)
class Verdict:
    """What was found of n observations.

    chances (n,) : bound of the probability that an observation like those of training is as far out.
    reasons (n,) : the score that says so, a key of `REASONS`.
    rate : chances at or below it count as outside; the share of false alarms is at most this.
    """

    chances: np.ndarray
    reasons: list[str]
    rate: float

    @property
    def outside(self) -> np.ndarray:
        """Which observations lie outside the training range, (n,) bool."""
        return self.chances <= self.rate * (1 + ROUNDING)


class TrainingRange(ABC):
    """The range of the training data, by some scores; the chance of the worst counts, times their number."""

    @abstractmethod
    def chances(self, observations: np.ndarray) -> Scores:
        """For each score P(score of an observation like those of training ≥ that of the one given), (n,)."""

    @property
    @abstractmethod
    def least(self) -> float:
        """The least rate of false alarms that can be asked for."""

    def judge(self, observations: np.ndarray, rate: float) -> Verdict:
        """Judge observations (n, m) at a rate of false alarms, raised to `least` if it is below."""
        chances = self.chances(observations)
        table = np.stack(list(chances.values()))
        worst = table.argmin(axis=0)
        names = list(chances)
        combined = np.minimum(1.0, len(names) * table.min(axis=0))
        return Verdict(combined, [names[k] for k in worst], max(rate, self.least))


@dataclass(frozen=True, eq=False)
class Calibrated(TrainingRange):
    """By the ranks of an observation's scores among those of the validation split (split conformal test).

    A chance is (1 + #{validation scores ≥ the score}) / (n + 1): for an observation exchangeable with the n of
    validation, whatever their distribution, it is at or below α with probability at most α.  Over draws of the
    validation split; for the split at hand the rate of false alarms scatters about that by √(α(1 − α)/n).

    noise : standard deviation of the noise in `calibration` (n, m) and in what is judged, in the data's unit.

    Measured with 12 components and 1 % noise at a rate of 5 % (7.3 % for the 40 validation samples of
    two_balls_small), as `maxinv invert RUN DATA --split SPLIT --noise 0.01 --no-residuals` prints it.  False alarms
    on the split test: cauchy_small 7.5 %, magnetisation_small 2.5 %, demo 2 %, two_balls_small 8.3 %.  Found:
    another unit (times or over 1000), zeros and shuffled columns 100 %; conjugated data 98 to 100 % for
    conductivity, 12 % for cauchy; patches too narrow (test_narrow) 72 %; contrasts too strong (test_strong) 17 %.
    Not found, since the data look alike: another depth or height of the sensors (test_deep 6 %, test_high 1 %),
    more blocks (test_many 2 %), two balls where the network knows one (7 to 12 %).  Silence is no promise.

    Source: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005), chapter 2.
    """

    encode: Compression | Normalise
    calibration: np.ndarray
    noise: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "_sorted", {k: np.sort(v) for k, v in self.scores(self.calibration).items()})

    @property
    def least(self) -> float:
        """One validation observation is the finest rank."""
        return len(self._sorted) / (len(self.calibration) + 1)

    def scores(self, observations: np.ndarray) -> Scores:
        """The scores of observations, (n,) each."""
        size, retained, outside = _parts(self.encode, observations)
        energy = np.sum(np.abs(observations) ** 2, axis=1)
        found = {
            "size": size,
            "weakness": np.divide(1, energy, out=np.full(len(energy), np.inf), where=energy > 0),
        }
        if outside is not None:
            entries = (2 if is_complex(self.encode) else 1) * observations.shape[1]
            a = self.noise**2 * observations.shape[1] * (1 - self.encode.components / entries)
            b = max(_left(self.encode) - a, 0.0) / np.sum(self.encode.scale**2)
            found["outside"] = outside / (a + b * retained + NEGLIGIBLE * self.encode.total)
        return found

    def chances(self, observations: np.ndarray) -> Scores:
        """The rank of each score, as a share."""
        found = {}
        for name, scores in self.scores(observations).items():
            known = self._sorted[name]
            found[name] = (1 + len(known) - np.searchsorted(known, scores)) / (1 + len(known))
        return found


@dataclass(frozen=True, eq=False)
class Bounded(TrainingRange):
    """By what a model alone knows: the mean over training of the size and of the energy outside.

    Markov's inequality, P(score ≥ c · mean) ≤ 1/c, holds for any distribution, so at most a share α of the
    training samples themselves lies outside at a rate α; data of another mesh may alarm more often (12 % of the
    split test of magnetisation_small with 40 components, beyond which there is nothing but noise).  It is very
    wide: what it finds is a wrong unit or another instrument, and no observation that is merely unusual.
    """

    encode: Compression | Normalise

    @property
    def least(self) -> float:
        """Any rate, at its price."""
        return 0.0

    def chances(self, observations: np.ndarray) -> Scores:
        """One over each score, in units of its mean."""
        size, _, outside = _parts(self.encode, observations)
        found = {"size": _at_most_one(size)}
        if outside is not None:
            found["outside"] = _at_most_one(outside / _left(self.encode))
        return found


def _parts(encode, observations):
    """Size, energy in the retained directions and energy outside, (n,) each; no energy where nothing is left."""
    features = encode(observations)
    size = np.mean(features**2, axis=1)
    if not isinstance(encode, Compression) or _left(encode) <= NEGLIGIBLE * encode.total:
        return size, None, None
    along = features * encode.scale
    rest = realify(observations) - encode.mean - along @ encode.directions.T
    return size, np.sum(along**2, axis=1), np.sum(rest**2, axis=1)


def _left(encode):
    """Variance of the training data outside the retained directions."""
    return float(encode.total - np.sum(encode.scale**2))


def _at_most_one(ratio):
    return np.divide(1, ratio, out=np.ones_like(ratio), where=ratio > 1)
