"""What an inversion found as a table of columns, and that table as CSV, JSON or HDF5."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import StudyError
from experiments.files import write_json, write_text
from experiments.inversion import Fit, Inversion

SUFFIXES = (".csv", ".json", ".h5", ".hdf5")
"""Kinds of files that results go to."""


def columns(inversion: Inversion, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What is known of each sample besides its unknowns, (n,) each.

    rows (n,) : the samples' rows in their file.  A key with `network_` is that of the estimate that Gauss-Newton
    started from.
    """
    best, verdict = inversion.best, inversion.verdict
    table = {"row": rows, "residual": best.residuals, "misfit": best.misfits}
    if best.iterations is not None:
        start = inversion.network
        table |= {
            "iterations": best.iterations,
            "network_residual": start.residuals,
            "network_misfit": start.misfits,
        }
    if best.inside is not None:
        table["in_prior"] = best.inside
    table |= {
        "chance": verdict.chances,
        "outside_training": verdict.outside,
        "reason": np.where(verdict.outside, verdict.reasons, ""),
    }
    table |= {"seconds": best.seconds, "solve_seconds": inversion.solving}
    refused = {**inversion.network.refused, **best.refused}
    table["refused"] = np.array([refused.get(k, "") for k in range(len(rows))])
    return table


def write(
    path: Path,
    inversion: Inversion,
    rows: np.ndarray,
    names: list[str],
    units: list[str],
    about: Mapping[str, Any],
) -> None:
    """Write the result; the suffix says how.

    CSV : a line a sample; unknowns as `x1 [m]`, complex ones as `re c0 [V]` and `im c0 [V]`; what is not known is
        empty.
    JSON : `about`, names, units and a list `samples`; complex numbers as [re, im], what is not known null.
    HDF5 : `estimates` (n, p), `network_estimates` with a refinement, `names`, `units` and each column as a dataset;
        `about` as attributes.
    """
    table = columns(inversion, rows)
    if path.suffix == ".csv":
        write_text(path, _csv(inversion.best, table, names, units))
    elif path.suffix == ".json":
        write_json(path, {**about, "names": names, "units": units, "samples": _samples(inversion, table)})
    else:
        from data import observations

        arrays = {"estimates": inversion.best.estimates, "names": np.array(names), "units": np.array(units)}
        if inversion.refined is not None:
            arrays["network_estimates"] = inversion.network.estimates
        plain = {key: str(value) if isinstance(value, dict) else value for key, value in about.items()}
        observations.write(path, {**arrays, **table}, {k: v for k, v in plain.items() if v is not None})


def check_suffix(path: Path) -> None:
    """Raise StudyError unless the file is of a kind that `write` knows."""
    if path.suffix not in SUFFIXES:
        raise StudyError(
            f"--out {path}: the suffix is {path.suffix or 'missing'}; expected one of {', '.join(SUFFIXES)}."
        )


def _csv(fit: Fit, table, names, units):
    told = [f"{name} [{unit}]" if unit else name for name, unit in zip(names, units, strict=True)]
    estimates = fit.estimates
    if np.iscomplexobj(estimates):
        told = [f"{part} {name}" for name in told for part in ("re", "im")]
        estimates = np.stack([estimates.real, estimates.imag], axis=2).reshape(len(estimates), -1)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    first, *others = table
    writer.writerow([first, *told, *others])
    for k, theta in enumerate(estimates.tolist()):
        rest = [_plain(table[name][k]) for name in others]
        writer.writerow([table[first][k], *theta, *("" if value is None else value for value in rest)])
    return text.getvalue()


def _samples(inversion, table):
    samples = []
    for k in range(len(table["row"])):
        sample = {"estimate": _numbers(inversion.best.estimates[k])}
        if inversion.refined is not None:
            sample["network_estimate"] = _numbers(inversion.network.estimates[k])
        samples.append({"row": int(table["row"][k])} | sample | {n: _plain(v[k]) for n, v in table.items()})
    return samples


def _numbers(theta):
    return [[z.real, z.imag] for z in theta.tolist()] if np.iscomplexobj(theta) else theta.tolist()


def _plain(value):
    """A NumPy scalar as JSON has it, NaN as null."""
    value = value.item()
    return None if value != value else value
