"""What every yardstick is: fitted once on what is known, then asked for estimates."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from experiments.protocol.known import Answers, Known


class Method(ABC):
    """An inversion beside which networks are judged.

    key : in files and configuration.  label : for a reader.  kind : "classical", or "learned" from the pairs that
    networks have.  one_by_one : whether each observation costs an iteration of its own: a study asks for few.

    Laws that every member is tested for: equal input gives equal bits; the answer to an observation depends on
    no other; estimates are finite and have the type of the unknown; and the mean error on validation data is below
    that of the prior mean (the prior mean itself excepted).
    """

    key: ClassVar[str]
    label: ClassVar[str]
    kind: ClassVar[str] = "classical"
    one_by_one: ClassVar[bool] = False

    @classmethod
    def suits(cls, known: Known) -> bool:
        """Whether the method makes sense for this problem."""
        return True

    @classmethod
    @abstractmethod
    def fit(cls, known: Known) -> "Method":
        """Prepare for one problem and level of noise; what is tuned is tuned on the validation split."""

    @abstractmethod
    def estimate(self, observations: np.ndarray, deviation: float) -> Answers:
        """Estimates for observations (n, m) whose noise has this standard deviation (> 0)."""


def timed(estimate: Callable[[np.ndarray], np.ndarray], observations: np.ndarray) -> Answers:
    """The answers of a method that takes all observations at once, each with its share of the time."""
    began = time.process_time()
    theta = estimate(observations)
    return Answers(theta, np.full(len(theta), (time.process_time() - began) / len(theta)), {})
