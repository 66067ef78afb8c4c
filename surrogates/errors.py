"""The one error type of this package that a user can cause and mend."""


class SurrogateError(ValueError):
    """A mistake in what was given: one sentence with what came, what was expected, and what to do.

    The command line prints the sentence and exits with code 2; any other exception is a fault of ours.
    """
