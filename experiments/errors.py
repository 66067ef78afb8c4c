"""What the command line turns into one sentence instead of a traceback."""

import sys


class StudyError(ValueError):
    """The user's mistake in a study, a run or an option, in one sentence."""


_USER_ERRORS = {
    "maxwell.errors": "MaxwellError",
    "data.errors": "DataError",
    "surrogates.errors": "SurrogateError",
    "experiments.errors": "StudyError",
}


def user_errors() -> tuple[type[Exception], ...]:
    """The classes of user's mistakes of the packages imported so far (others cannot have been raised)."""
    return tuple(getattr(sys.modules[m], name) for m, name in _USER_ERRORS.items() if m in sys.modules)
