"""Regularisers of a time grid: functions of its steps that training adds to the data loss and reports apart."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, override

import torch
from torch import Tensor

from surrogates.errors import SurrogateError
from surrogates.training.door import real


class Regulariser(ABC):
    """R(τ_1 … τ_L) ≥ 0, a scalar, differentiable in the steps (..., L) of the whole grid; a sum is one, too.

    ``training.fit(..., regulariser=...)`` minimises J + R and reports R in ``Trace.regulariser``: train and
    validation losses are J alone. A frozen dataclass of numbers, so that its ``repr`` names it in a checkpoint and
    ``plain`` in a file.
    """

    @abstractmethod
    def __call__(self, steps: Tensor) -> Tensor:
        """Return R(τ) for steps (..., L), of shape (...)."""

    def __add__(self, other: "Regulariser") -> "Regulariser":
        """Return the sum of both."""
        if not isinstance(other, Regulariser):
            return NotImplemented
        return Total((*_parts(self), *_parts(other)))

    def plain(self) -> list[dict[str, Any]]:
        """Return the terms as names and numbers, which ``from_plain`` reads."""
        return [{"term": type(part).__name__, **vars(part)} for part in _parts(self)]


@dataclass(frozen=True)
class Horizon(Regulariser):
    """R = α (Σ τ_l − T)²: the horizon is drawn to T = ``target`` > 0, the placement of steps left alone.

    ∂R/∂τ_l = 2α(Σ τ − T) is the same for all layers. Where J is flat, the horizon of a ``free`` grid of L trained
    steps relaxes under gradient flow as

        Σ τ(t) − T = e^{−2αLt} (Σ τ(0) − T),    by gradient descent of rate η in n updates  (1 − 2αLη)ⁿ,

    hence stably for αη < 1/L alone: halve the rate or α when depth doubles. Against a loss with derivative g in the
    horizon it comes to rest where Σ τ − T = −g/(2α): near T, and at T only in the limit α → ∞ or under a constraint
    (``Dependent``, ``TimeGrid.simplex``), where this term is zero. α = ``weight`` ≥ 0. Source: Herberg, Herzog
    and Köhne (arXiv 2306.16111).
    """

    weight: float
    target: float

    def __post_init__(self):
        _demand(self, "weight", 0)
        _demand(self, "target", math.ulp(0.0))

    @override
    def __call__(self, steps):
        return self.weight * (steps.sum(-1) - self.target).square()


@dataclass(frozen=True)
class Magnitude(Regulariser):
    """R = λ Σ |τ_l|: steps that the loss does not hold go to zero, where ``prune`` takes them.

    A step of a ``free`` grid rests at 0 as long as |∂J/∂τ_l| < λ; descent with a fixed rate η only comes within ηλ
    of it. The derivative at 0 is taken as 0. For positive grids it is λ times the horizon. λ = ``weight`` ≥ 0.
    """

    weight: float

    def __post_init__(self):
        _demand(self, "weight", 0)

    @override
    def __call__(self, steps):
        return self.weight * steps.abs().sum(-1)


@dataclass(frozen=True)
class Squares(Regulariser):
    """R = ρ Σ τ_l²: large steps cost more than small ones; at a given horizon T least, ρT²/L, for equal steps.

    Against ``Magnitude`` it spreads rather than empties: nothing is pruned for it. ρ = ``weight`` ≥ 0.
    """

    weight: float

    def __post_init__(self):
        _demand(self, "weight", 0)

    @override
    def __call__(self, steps):
        return self.weight * steps.square().sum(-1)


@dataclass(frozen=True)
class Total(Regulariser):
    """The sum of its terms, as ``+`` makes it."""

    terms: tuple[Regulariser, ...]

    @override
    def __call__(self, steps):
        return torch.stack([term(steps) for term in self.terms]).sum(0)


TERMS: dict[str, type[Regulariser]] = {kind.__name__: kind for kind in (Horizon, Magnitude, Squares)}
"""Every regulariser that is no sum, under the name that files use."""


def from_plain(terms: list[dict[str, Any]]) -> Regulariser:
    """Return the regulariser that ``Regulariser.plain`` describes; ``SurrogateError`` for anything else."""
    try:
        made = [TERMS[term["term"]](**{k: v for k, v in term.items() if k != "term"}) for term in terms]
    except (KeyError, TypeError) as error:
        raise SurrogateError(
            f"regularisers are a list of tables with a term of {', '.join(TERMS)} and its numbers, but were given "
            f"{terms!r} ({type(error).__name__}: {error})"
        ) from None
    if not made:
        raise SurrogateError(
            "a regulariser needs at least one term, but the list is empty: give None instead"
        )
    return made[0] if len(made) == 1 else Total(tuple(made))


def _parts(regulariser: Regulariser) -> tuple[Regulariser, ...]:
    return regulariser.terms if isinstance(regulariser, Total) else (regulariser,)


def _demand(owner: Regulariser, name: str, least: float) -> None:
    value = getattr(owner, name)
    if not real(value) or value < least:
        raise SurrogateError(
            f"{type(owner).__name__}: {name} must be a number {'>= 0' if least == 0 else '> 0'}, but is {value!r}"
        )
