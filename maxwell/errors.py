"""Errors of the physics package."""


class MaxwellError(ValueError):
    """The user's mistake, in one sentence: what was given, what was expected, what to do."""


class AccuracyError(ArithmeticError):
    """A computed result failed its own check (residual, reciprocity): a numerical fault, not the user's."""
