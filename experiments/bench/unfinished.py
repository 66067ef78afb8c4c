"""A long run of a benchmark in a file that grows part by part, so that a run that was stopped is taken up."""

from pathlib import Path

from experiments.errors import StudyError
from experiments.files import read_json, write_json


def take_up(path: Path | None, heading: dict) -> dict:
    """What the file holds of a stopped run with this heading; else the heading alone.

    heading : plain data that the numbers depend on: environment, commit, what was asked.  A run that ended
    (`end`), and one with another heading, is measured anew, for code and machine may have changed.
    """
    fresh = heading | {"finished": False}
    if path is None or not path.exists():
        return fresh
    try:
        found = read_json(path, "benchmark", "choose another file")
    except StudyError:
        return fresh
    same = isinstance(found, dict) and all(found.get(key) == value for key, value in fresh.items())
    return found if same else fresh


def save(path: Path | None, result: dict) -> None:
    """Write what is measured so far, whole or not at all; nothing without a path."""
    if path is not None:
        write_json(path, result)


def end(path: Path | None, result: dict) -> None:
    """Write the result as that of a run that ended."""
    save(path, result | {"finished": True})
