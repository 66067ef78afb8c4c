"""From the options of `maxinv invert` to observations, noise, mesh and the test of the training range."""

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import data
from data import noise as noises
from data.observations import Expected, checked, read
from data.selection import rows_of
from experiments.errors import StudyError
from experiments.inversion import Trained
from experiments.outside import Bounded, Calibrated, TrainingRange, is_complex, rms
from surrogates.model import Model

MESH = ("cells", "degree", "grading", "cell")
"""Options that are keyword arguments of `problem.discretise`."""


@dataclass(frozen=True)
class Noise:
    """Noise of the observations, in the unit of the data.

    deviation : standard deviation; None where nothing was said of it.   reference : RMS of the training data.
    """

    deviation: float | None
    reference: float

    @property
    def level(self) -> float | None:
        """The deviation over the reference."""
        return None if self.deviation is None else self.deviation / self.reference


def check(options: argparse.Namespace) -> None:
    """Raise StudyError for figures that make no sense."""
    for name in ("noise", "noise_sd"):
        value = getattr(options, name)
        if value is not None and not 0 <= value < float("inf"):
            raise StudyError(f"--{name.replace('_', '-')} {value}: expected a finite number of at least 0.")
    if not 0 < options.false_alarms < 1:
        raise StudyError(
            f"--false-alarms {options.false_alarms}: expected a rate between 0 and 1, such as 0.05."
        )
    if options.no_residuals and options.refine:
        raise StudyError(
            "--no-residuals: Gauss-Newton solves the forward problem; leave out this or --refine."
        )


def training_data(options: argparse.Namespace, model: Model) -> data.Dataset | None:
    """The data set that the model was trained on: that of --data, or OBSERVATIONS itself; None if neither."""
    if options.data is None:
        opened = data.open(options.observations) if _is_data_set(options) else None
        return opened if opened is not None and opened.manifest.digest == model.digest else None
    opened = data.open(options.data)
    if opened.manifest.digest != model.digest:
        raise StudyError(
            f"--data {opened.path}: is not the data set that the model was trained on; give that one, or leave "
            "it out."
        )
    return opened


def noise_of(options: argparse.Namespace, trained: Trained, known: data.Dataset | None) -> Noise:
    """What --noise or --noise-sd says; for a refinement without either the noise of training, with a notice."""
    reference = rms(trained.model.encode) if known is None else known.noise_reference
    if options.noise_sd is not None:
        return Noise(options.noise_sd, reference)
    level = options.noise
    if level is None and options.refine and trained.noise:
        level = trained.noise
        _notice(f"--noise is not given; Gauss-Newton takes that of training, {level:g} of the RMS.")
    return Noise(None if level is None else level * reference, reference)


def observations_of(
    options: argparse.Namespace, model: Model, problem: Any, noise: Noise
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Observations (n, m), their rows (n,), and the true unknowns (n, p) where a data set knows them.

    To those of a data set the noise is added.  Raises StudyError or DataError for what cannot be read or does not
    fit the model.
    """
    unit = problem.observation_unit if problem is not None else ""
    expected = Expected(len(model.encode.mean) // 2, is_complex(model.encode), unit)
    where = options.observations
    if not _is_data_set(options):
        if options.split is not None:
            raise StudyError(f"--split {options.split}: {where} is no data set; leave it out.")
        values = read(where, expected, options.dataset)
        rows = _chosen(len(values), options)
        return values[rows], rows, None
    if options.dataset is not None:
        raise StudyError(f"--dataset {options.dataset}: {where} is a data set; give --split.")
    view = data.open(where).split(options.split or "test")
    rows = _chosen(len(view), options)
    view = view.take(rows)
    values = noises.add(view.observations, view.seeds, noise.level or 0.0, noise.reference)
    truth = view.parameters if view.names == tuple(model.names) else None
    return checked(values, expected, f"{where}: split {view.splits[0]}"), rows, truth


def training_range(trained: Trained, known: data.Dataset | None, noise: Noise) -> TrainingRange:
    """The test of the training range: calibrated on the validation split where that is at hand."""
    level, why = trained.noise if noise.level is None else noise.level, ""
    if known is None:
        why = "give --data, the data set of training"
    elif "valid" not in known.splits or not len(known.split("valid")):
        why = "the data set has no validation split"
    elif level is None:
        why = "the noise of training is not known here: give --noise"
    if why:
        _notice(
            f"the training range is judged by the model alone, which finds gross errors only; {why} for a "
            "calibrated test."
        )
        return Bounded(trained.model.encode)
    return Calibrated(trained.model.encode, known.split("valid").observe(level), level * noise.reference)


def mesh_of(
    options: argparse.Namespace, trained: Trained, known: data.Dataset | None, problem: Any
) -> dict[str, Any] | None:
    """Keyword arguments of `problem.discretise`; None, with a notice, where nothing can be solved again."""
    if options.no_residuals:
        return None
    flags = {name: value for name in MESH if (value := getattr(options, name)) is not None}
    there = known.manifest.recipe.training_mesh if known is not None else trained.mesh
    if problem is None or not (flags or there):
        what = "problem" if problem is None else "mesh of training"
        _notice(
            f"no data residuals: the {what} is not known here; give --data, the data set of training, or --cells "
            "and --degree."
        )
        return None
    return {**there, **flags}


def mesh_errors(known: data.Dataset | None, mesh: dict[str, Any] | None) -> np.ndarray | None:
    """What the mesh of training does to the data of `known`, where that is the mesh; None where it is not known.

    Solves the validation samples once a data set (`data.mesh_error`), with a notice before.
    """
    from data import mesh_error

    if known is None or mesh != known.manifest.recipe.training_mesh or "valid" not in known.splits:
        return None
    if known.split("valid").mesh != mesh and mesh_error.kept(known) is None:
        _notice(
            f"the error of the mesh counts as noise: {len(known.split('valid'))} validation samples are solved "
            "on it."
        )
    return mesh_error.mesh_error(known)


def _is_data_set(options):
    return (Path(options.observations) / "dataset.json").is_file()


def _chosen(count, options):
    """The rows that --rows means, (n,)."""
    rows = np.arange(count)[rows_of(count, _rows(options.rows), options.observations)]
    if not len(rows):
        raise StudyError(
            f"{options.observations}: no sample is left; expected at least one of {count} (--rows, --split)."
        )
    return rows


def _rows(text):
    """What --rows says: a slice or a list of whole numbers."""
    if text is None:
        return slice(None)
    try:
        if ":" in text:
            return slice(*(int(part) if part.strip() else None for part in text.split(":")))
        return [int(part) for part in text.split(",")]
    except (ValueError, TypeError):
        raise StudyError(
            f"--rows {text}: expected a row, rows such as 0,4,7 or a range such as 0:10."
        ) from None


def _notice(sentence):
    warnings.warn(sentence, stacklevel=3)
