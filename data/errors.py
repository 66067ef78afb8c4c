"""The one error of this package that is the user's to mend."""


class DataError(ValueError):
    """A mistake the user can mend, told in one sentence: what was given, what was expected, what to do.

    Programs show the message as it is, without a traceback. Anything else that this package raises is
    a fault of the package.
    """
