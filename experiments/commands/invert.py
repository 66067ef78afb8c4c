"""Recover the unknowns of your own observations with a trained network, and say what to think of them.

OBSERVATIONS is an HDF5 file (dataset `observations`, (n, m) complex), a NumPy file (.npy, .npz), a CSV file with a
header (columns re_0, im_0, re_1, ..., or entries such as 1e-3+2e-4j), or the folder of a data set with --split.
A row is a sample, its columns in the order of the data set of training and in its unit (`maxinv info DATA`).

Each estimate is solved again by finite elements where the mesh is known (--data, or --cells and --degree): its data
residual is |F(estimate) - d| / |d|, its misfit the same over what noise explains, so that 1 fits to the noise.
Observations outside the training range and estimates outside the prior's support are told.
"""

import argparse

EXAMPLE = (
    "maxinv invert out/demo/runs/resnet-learned-seed0 out/demo/data --split test --rows 0:10 --noise 0.01 "
    "--out out/demo/recovered.csv"
)
SHOWN = 20
"""Samples that are printed; --out has all of them."""
FEW = {"f": 5, "c": 3}
"""Real and complex unknowns that are printed, likewise."""
UNEXPLAINED = 1.5
"""Median misfit after Gauss-Newton, over that expected, from which on it is not explained."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", metavar="MODEL", help="folder of a run, or its model.pt")
    parser.add_argument("observations", metavar="OBSERVATIONS", help=".h5, .npy, .npz or .csv, or a data set")
    parser.add_argument(
        "--dataset", metavar="NAME", help="dataset or group of an HDF5 file, array of an .npz"
    )
    parser.add_argument("--split", metavar="NAME", help="of a data set (default: test)")
    parser.add_argument("--rows", metavar="ROWS", help="which samples: 3 or 0,4,7 or 0:10 (default: all)")
    level = parser.add_mutually_exclusive_group()
    level.add_argument(
        "--noise",
        type=float,
        metavar="X",
        help="noise of the observations, relative to the RMS of training data",
    )
    level.add_argument(
        "--noise-sd", type=float, metavar="X", help="the same as standard deviation in their unit"
    )
    parser.add_argument("--data", metavar="DATA", help="data set of training: its mesh, its validation split")
    parser.add_argument(
        "--cells", type=int, metavar="N", help="of the mesh that estimates are solved on again"
    )
    parser.add_argument("--degree", type=int, metavar="N", help="of its elements")
    parser.add_argument("--grading", type=float, metavar="X", help="of its cells")
    parser.add_argument("--cell", choices=("tetrahedron", "hexahedron"), help="kind of its cells")
    parser.add_argument("--no-residuals", action="store_true", help="solve nothing again")
    parser.add_argument(
        "--refine",
        action="store_true",
        help="go on with Gauss-Newton from each estimate; with --data, the error of its mesh counts as noise",
    )
    parser.add_argument(
        "--false-alarms",
        type=float,
        default=0.05,
        metavar="X",
        help="rate of the range test (default: %(default)s)",
    )
    parser.add_argument("--out", metavar="FILE", help="write all of it there: .csv, .json, .h5")


def run(options: argparse.Namespace) -> None:
    """Read, invert, print and write."""
    from pathlib import Path

    import torch

    from data.executors import limit_threads
    from experiments import inversion, inversion_files
    from experiments import inversion_inputs as inputs
    from experiments.progress import Progress

    out = Path(options.out) if options.out else None
    if out:
        inversion_files.check_suffix(out)
    inputs.check(options)
    torch.set_num_threads(1)
    limit_threads()
    trained = inversion.trained(options.model)
    model, problem = trained.model, inversion.problem_of(trained.model)
    known = inputs.training_data(options, model)
    noise = inputs.noise_of(options, trained, known)
    observations, rows, truth = inputs.observations_of(options, model, problem, noise)
    training = inputs.training_range(trained, known, noise)
    mesh = inputs.mesh_of(options, trained, known, problem)
    forward = problem.discretise(**mesh) if mesh else None
    errors = inputs.mesh_errors(known, mesh) if options.refine else None
    with Progress("invert", len(observations), "samples") as progress:
        found = inversion.invert(
            model,
            observations,
            training,
            rate=options.false_alarms,
            problem=problem,
            forward=forward,
            noise=noise.deviation,
            refine=options.refine,
            mesh_errors=errors,
            progress=progress.update if forward else None,
        )
    names, units = _names(model, found.best.estimates)
    show(found, rows, names, units, truth, model)
    warn(found, rows)
    if out:
        about = {
            "model": str(trained.path),
            "observations": options.observations,
            "trained_on": model.digest,
            "mesh": mesh,
            "noise": noise.deviation,
            "false_alarm_rate": found.verdict.rate,
        }
        inversion_files.write(out, found, rows, names, units, about)
        print(f"written to {out}")


def show(found, rows, names, units, truth, model) -> None:
    """Print the table and what it comes to."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    best, verdict = found.best, found.verdict
    few, digits = FEW[best.estimates.dtype.kind], ".4g" if best.estimates.dtype.kind == "f" else ".2g"
    headings = [f"{name}\n{unit or '1'}" for name, unit in zip(names[:few], units[:few], strict=True)]
    optional = {
        "network's\nresidual": found.refined and [_percent(x) for x in found.network.residuals],
        "residual": None if np.isnan(best.residuals).all() else [_percent(x) for x in best.residuals],
        "misfit": None if np.isnan(best.misfits).all() else [_figure(x) for x in best.misfits],
        "steps": None if best.iterations is None else [str(k) for k in best.iterations],
        "in prior": None if best.inside is None else [("no", "yes")[int(x)] for x in best.inside],
        "in range": [("yes", "NO")[int(x)] for x in verdict.outside],
    }
    chosen = {heading: cells for heading, cells in optional.items() if cells is not None}
    table = Table(title="Recovered unknowns", title_justify="left", title_style="bold", show_edge=False)
    for heading in ("row", *headings, *(["…"] if len(names) > few else []), *chosen):
        table.add_column(heading, justify="right")
    for k, row in enumerate(rows[:SHOWN]):
        told = [f"{value:{digits}}" for value in best.estimates[k, :few]]
        table.add_row(
            str(row), *told, *(["…"] if len(names) > few else []), *(cells[k] for cells in chosen.values())
        )
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    console.print(table)
    for sentence in _sentences(found, max(len(names) - few, 0), truth, model):
        console.print(sentence, markup=False)


def warn(found, rows) -> None:
    """Say on standard error what must not be overlooked."""
    import warnings

    import numpy as np

    from experiments.outside import REASONS

    best, verdict = found.best, found.verdict
    outside = np.flatnonzero(verdict.outside)
    if len(outside):
        reasons = dict.fromkeys(REASONS[verdict.reasons[k]] for k in outside)
        warnings.warn(
            f"{_of(outside, rows)} outside the training range ({'; '.join(reasons)} than in training; false-alarm "
            f"rate {verdict.rate:.2g}): the network extrapolates there. Check unit, columns and survey.",
            stacklevel=2,
        )
    if best.inside is not None and not best.inside.all():
        warnings.warn(
            f"{_of(np.flatnonzero(~best.inside), rows)} recovered outside the support of the prior.",
            stacklevel=2,
        )
    for k, why in {**found.network.refused, **best.refused}.items():
        warnings.warn(f"row {rows[k]}: {why}", stacklevel=2)
    misfit = np.nanmedian(best.misfits) if found.refined and np.isfinite(best.misfits).any() else 0.0
    if misfit > UNEXPLAINED * found.expected:
        warnings.warn(
            f"Gauss-Newton ends at a median misfit of {misfit:.3g}, more than noise and what is known of the "
            "mesh's error explain: it has fitted that error too, or sits in a wrong minimum; give --data, the data "
            "set of training, or a finer mesh, as in --cells 10.",
            stacklevel=2,
        )
    if found.slow:
        warnings.warn(f"{found.slow} solves left the forward map's fast path.", stacklevel=2)


def _names(model, estimates):
    """Names and units of the columns of the estimates."""
    units = model.units or ("",) * len(model.names)
    return list(model.names[: estimates.shape[1]]), list(units[: estimates.shape[1]])


def _sentences(found, unseen, truth, model):
    """What the table comes to."""
    import numpy as np

    count = len(found.verdict.chances)
    hidden = [f"{count - SHOWN} more samples"] * (count > SHOWN)
    hidden += [f"{unseen} more unknowns"] * (unseen > 0)
    if hidden:
        yield f"Not shown: {' and '.join(hidden)}; --out FILE writes all."
    seconds = f"{1e3 * found.network.seconds.mean():.2g} ms a sample"
    yield f"{count} samples; the network took {seconds}" + (
        "." if np.isnan(found.solving).all() else f", a forward solve {np.nanmean(found.solving):.2g} s."
    )
    for what, fit in (("the network's estimates", found.network), ("Gauss-Newton's", found.refined)):
        if fit is None or np.isnan(fit.residuals).all():
            continue
        said = f"Data residual of {what}: median {_percent(np.nanmedian(fit.residuals))}"
        said += f", largest {_percent(np.nanmax(fit.residuals))}"
        if not np.isnan(fit.misfits).all():
            said += f"; misfit: median {_figure(np.nanmedian(fit.misfits))} (1 is the noise level)"
        yield said + (f"; {np.median(fit.iterations):g} iterations." if fit.iterations is not None else ".")
    for what, fit in (("the network's estimates", found.network), ("Gauss-Newton's", found.refined)):
        if fit is not None and truth is not None:
            error = np.abs(model.decode(fit.estimates) - model.decode(truth))
            yield f"RMS error of {what} against the truth: {np.sqrt(np.mean(error**2)):.3g} prior deviations."


def _of(numbers, rows):
    """As in `2 of 10 observations (rows 3, 5) are`."""
    told = ", ".join(str(rows[k]) for k in numbers[:8]) + (", …" if len(numbers) > 8 else "")
    several = "s" if len(numbers) > 1 else ""
    return f"{len(numbers)} of {len(rows)} observations (row{several} {told}) {'are' if several else 'is'}"


def _percent(value):
    return "" if value != value else f"{100 * value:.3g} %"


def _figure(value):
    return "" if value != value else f"{value:.3g}"
