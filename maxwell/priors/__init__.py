"""Prior distributions of the unknowns, sampled from a Generator that the caller passes in."""

from maxwell.priors.balls import BallPrior

__all__ = ["BallPrior"]
