"""Warnings as a command line says them: one readable line each, without a line of code."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOUD = ("InverseCrimeWarning",)  # by name: the class belongs to a package that takes long to import


@contextmanager
def told_in_a_line(program: str) -> Iterator[None]:
    """In this block a warning meant for users is a line on standard error that begins with the program's name.

    Other warnings (of deprecation, of arithmetic) are shown as ever: they are the programmer's.
    """
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message, category, filename, lineno, file=None, line=None):
            if not issubclass(category, UserWarning):
                shown(message, category, filename, lineno, file, line)
                return
            text = f"{program}: warning: {' '.join(str(message).split())}"
            if category.__name__ in LOUD:
                text = _loud(text)
            print(text, file=sys.stderr, flush=True)

        warnings.showwarning = show
        yield


def _loud(text: str) -> str:
    """Between rules, in bold red on a terminal."""
    rule = "!" * 78
    text = f"{rule}\n{text}\n{rule}"
    return f"\033[1;31m{text}\033[0m" if sys.stderr.isatty() else text
