"""Score sheets: what one method did on the test splits of one data set, as a file that is whole or absent."""

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

import data
from experiments.errors import StudyError
from experiments.protocol.known import Answers, Known
from experiments.protocol.scores import Directions, Ruler, misfit

KEPT = 12
"""Estimates of the main split that are kept for pictures."""


@dataclass(frozen=True, order=True)
class Place:
    """A test split at a level of noise."""

    split: str
    level: float


@dataclass(frozen=True, eq=False)
class Sheet:
    """Arrays of one method, for each place by name (see `score`).  about : plain facts of the method."""

    arrays: Mapping[Place, Mapping[str, np.ndarray]]
    about: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Write the file; equal sheets give equal bytes."""
        content = {
            f"{place.split}|{place.level!r}|{name}": values
            for place, named in self.arrays.items()
            for name, values in named.items()
        }
        buffer = io.BytesIO()
        np.savez(buffer, about=np.array(json.dumps(dict(self.about), allow_nan=False)), **content)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        try:
            with temporary.open("wb") as file:
                file.write(buffer.getvalue())
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> "Sheet":
        """Read a file that `write` made; StudyError if it is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                arrays: dict[Place, dict[str, np.ndarray]] = {}
                for key in file.files:
                    if key != "about":
                        split, level, name = key.split("|")
                        arrays.setdefault(Place(split, float(level)), {})[name] = file[key]
        except FileNotFoundError:
            raise StudyError(f"{path}: there is no score sheet; run `maxinv study` again.") from None
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise StudyError(
                f"{path}: cannot be read as a score sheet ({error}); remove it and run `maxinv study` again."
            ) from None
        return cls(arrays, about)


@dataclass(frozen=True, eq=False)
class Exam:
    """What all methods are asked on one data set.

    places : test splits and levels of noise, the first the one that counts.
    ruler, directions : the norm of errors; the singular directions, `None` where the unknowns are of several units.
    resimulate : estimates, from the first, whose data are solved for at the place that counts.
    """

    dataset: data.Dataset
    places: tuple[Place, ...]
    ruler: Ruler
    directions: Directions | None
    resimulate: int

    @property
    def main(self) -> Place:
        """The place that counts."""
        return self.places[0]


def places_of(dataset: data.Dataset, noise: float, levels: tuple[float, ...]) -> tuple[Place, ...]:
    """The main split at the noise of training and at all levels, every other test split at that of training.

    The main split is the first test split without an inverse crime, else the first.  Splits that no network of this
    data set could answer (other parameters or observations, or no solved sample) are left out.
    """
    from experiments.compare import unanswerable

    tests = [name for name in dataset.splits if name not in ("train", "valid")]
    tests = [name for name in tests if not unanswerable(dataset, name)]
    if not tests:
        raise StudyError(
            f"{dataset.path}: has no test split that its networks could answer; add [splits.test]."
        )
    main = next((name for name in tests if not dataset.split(name).inverse_crime), tests[0])
    found = [Place(main, noise), *(Place(main, level) for level in levels if level != noise)]
    return (*found, *(Place(name, noise) for name in tests if name != main))


@lru_cache(maxsize=2)
def exam(path: Path, noise: float, levels: tuple[float, ...], resimulate: int) -> tuple[Exam, Known]:
    """The exam of a data set at a level of noise, and what may be known before it; kept, for one solves for it."""
    dataset = data.open(path)
    known = Known(dataset, noise)
    ruler = Ruler.of(known)
    directions = Directions.of(known) if ruler.field else None
    return Exam(dataset, places_of(dataset, noise, levels), ruler, directions, resimulate), known


def score(exam: Exam, known: Known, place: Place, answers: Answers) -> dict[str, np.ndarray]:
    """The arrays of a sheet at one place, for answers to the first n samples of the split.

    squared (n,) : squared error (`Ruler.squared`) relative to the mean over the split of that of the prior mean.
    group:NAME (n,) : squared error of a group, in the square of its unit.
    directions (n, r) : squared error along each singular direction, in the prior's variance (place that counts).
    best (r,) : the mean that linear theory allows there (`Directions.best`).
    settled (n,) : squared error where a descent comes to rest (`Answers.settled`).
    misfit (k,) : RMS of (d − F(θ̂))/σ, F on the mesh of training (the place that counts; noise > 0).
    seconds (n,), and whatever else the method counts.  estimates (k, p) : the first ones (the place that counts).
    """
    view = exam.dataset.split(place.split)
    n = len(answers.theta)
    truth = view.parameters[:n]
    prior = exam.ruler.squared(exam.ruler.mean, view.parameters).mean()
    found = {
        "squared": exam.ruler.squared(answers.theta, truth) / prior,
        "seconds": answers.seconds,
        **answers.extras,
    }
    if answers.settled is not None:
        found["settled"] = exam.ruler.squared(answers.settled, truth) / prior
    found |= {f"group:{name}": values for name, values in exam.ruler.by_group(answers.theta, truth).items()}
    if exam.directions is not None and place == exam.main:
        found["directions"] = exam.directions.squared(answers.theta, truth)
        found["best"] = exam.directions.best(known.deviation(place.level)) if place.level else np.zeros(0)
    if place == exam.main:
        found["estimates"] = answers.theta[:KEPT]
        if place.level > 0:
            few = answers.theta[: exam.resimulate]
            observed = view.take(slice(0, len(few))).observe(place.level)
            found["misfit"] = misfit(known.forward, few, observed, known.deviation(place.level))
    return found
