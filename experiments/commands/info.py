"""What a data set holds: problem, unknowns, data, splits, how they were solved, and where they come from.

A data set whose generation is not finished is told as far as it goes.  With --plot a picture shows a few samples,
those of training and of each other split in turn: the unknown beside its data.
"""

import argparse

from experiments.errors import StudyError

EXAMPLE = "maxinv info out/demo/data --plot out/demo/samples.png"
FEW = 12
"""Unknowns that are listed one by one; more are told by groups."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("dataset", metavar="DATA", help="folder of the data set")
    parser.add_argument("--plot", metavar="FILE", help="draw a few samples there: .png, .pdf or .svg")
    parser.add_argument("--samples", type=int, default=4, help="how many to draw (default: %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Print the tables and draw the picture."""
    import warnings

    import data

    if options.samples < 1:
        raise StudyError(f"--samples {options.samples}: expected at least 1.")
    if options.plot:
        _drawable(options.plot)
    with warnings.catch_warnings():  # the table of splits says it
        warnings.simplefilter("ignore", data.InverseCrimeWarning)
        dataset = data.open(options.dataset, partial=True)
    show(dataset)
    if options.plot:
        draw(dataset, options.plot, options.samples)


def show(dataset) -> None:
    """Print what there is to know."""
    from rich.console import Console

    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    console.print(_folder(dataset), markup=False)
    console.print(f"\n{dataset.problem!r}\n", markup=False)
    for table in (_unknowns(dataset), _observations(dataset), _splits(dataset), _solutions(dataset)):
        console.print(table)
        console.print()
    for sentence in _remarks(dataset):
        console.print(sentence, markup=False)
    console.print(_origin(dataset), markup=False)


def draw(dataset, file, count) -> None:
    """Write the picture of some samples."""
    from pathlib import Path

    from experiments.plots.samples import samples
    from experiments.plots.style import picture

    suffix = _drawable(file)
    views = chosen(dataset, count)
    if not views:
        raise StudyError(
            f"{dataset.path}: holds no sample yet, so there is nothing to draw; continue its generation."
        )
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_bytes(picture(samples(views), suffix))
    print(f"picture: {file}")


def _drawable(file) -> str:
    """The suffix of a picture's file; StudyError for one that no picture is written as."""
    from pathlib import Path

    from experiments.plots.style import UNDATED

    suffix = Path(file).suffix.lower()
    if suffix not in UNDATED:
        raise StudyError(f"--plot {file}: expected a name that ends in {', '.join(UNDATED)}.")
    return suffix


def chosen(dataset, count) -> list:
    """Views of one sample each: the first of every split with parameters of its own, then the second ones."""
    recipe = dataset.manifest.recipe
    splits = [
        dataset.split(name)
        for name in dataset.splits
        if recipe.parameters_of(name) == name and name != "valid"
    ]
    longest = max((len(split) for split in splits), default=0)
    places = ((split, row) for row in range(min(longest, count)) for split in splits if row < len(split))
    return [split.take([row]) for split, row in list(places)[:count]]


# -- the parts of the text ------------------------------------------------------------------------------


def _folder(dataset) -> str:
    from data.schema import FORMAT, VERSION
    from data.store import shard_count

    recipe = dataset.manifest.recipe
    wanted = sum(split.samples for split in recipe.splits.values())
    files = [f for f in dataset.path.rglob("*") if f.is_file()]
    shards = sum(f.suffix == ".h5" for f in files)
    planned = sum(shard_count(recipe, name) for name in recipe.splits)
    state = "complete" if shards >= planned else "NOT FINISHED"
    failed = f", {dataset.failed} failed" if dataset.failed else ""
    extras = f"; kept besides: {', '.join(dataset.extras)}" if dataset.extras else ""
    size = _bytes(sum(f.stat().st_size for f in files))
    return (
        f"{dataset.path}: {FORMAT}, version {VERSION}, {state}\n"
        f"{len(dataset):,} of {wanted:,} samples{failed}, {shards:,} of {planned:,} shards of "
        f"{recipe.store.shard}, {size}{extras}\n"
        f"recipe {dataset.manifest.digest}\n"
        f"seed {recipe.seed}, time convention {dataset.manifest.time_convention}"
    )


def _unknowns(dataset):
    """Names, units and ranges over the first split that has samples."""
    import numpy as np

    view = _first(dataset)
    table = _table(
        f"Unknowns: {len(view.names)} {'complex' if np.iscomplexobj(view.parameters) else 'real'} numbers"
    )
    for heading in ("name", "group", "unit"):
        table.add_column(heading)
    of = "modulus" if np.iscomplexobj(view.parameters) else "value"
    for heading in (f"smallest {of}", f"largest {of}"):
        table.add_column(heading, justify="right")
    about = view.manifest.problem(view.splits[0]).parameters
    groups: dict = {}
    for k, parameter in enumerate(about):
        key = k if len(about) <= FEW else (parameter.group, parameter.unit)
        groups.setdefault(key, []).append(k)
    for columns in groups.values():
        first, last = about[columns[0]], about[columns[-1]]
        name = first.name if len(columns) == 1 else f"{first.name} … {last.name} ({len(columns)})"
        values = view.parameters[:, columns]
        values = np.abs(values) if np.iscomplexobj(values) else values
        ends = (f"{values.min():.4g}", f"{values.max():.4g}") if len(view) else ("", "")
        table.add_row(name, first.group, first.unit or "1", *ends)
    return table


def _observations(dataset):
    """What the observations of a sample are, label by label."""
    import numpy as np

    view = _first(dataset)
    about = view.manifest.problem(view.splits[0]).observations
    one = view.take([0] if len(view) else []).observations
    kind = "complex" if np.iscomplexobj(one) else "real"
    title = f"Data: {one.shape[1]} {kind} numbers a sample in {about.unit}"
    if view.splits == ("train",) and len(view):
        title += f"; RMS of train, which noise is relative to, {dataset.noise_reference:.4g} {about.unit}"
    table = _table(title)
    table.add_column("label")
    table.add_column("numbers", justify="right")
    table.add_column("what they stand for")
    for label, numbers in about.labels.items():
        columns = ", ".join(
            f"{name} in {column.unit}" if column.unit else name
            for name, column in about.tables[label].columns.items()
        )
        table.add_row(
            label,
            str(len(set(numbers))),
            about.tables[label].description + (f" ({columns})" if columns else ""),
        )
    return table


def _splits(dataset):
    from experiments.differences import changes

    recipe = dataset.manifest.recipe
    table = _table("Splits")
    for heading in ("split", "samples", "failed", "mesh", "unknowns", "what is its own"):
        right = heading in ("samples", "failed", "unknowns")
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading == "mesh")
    for name, split in recipe.splits.items():
        view = dataset.split(name)
        found = view.discretisation
        own = changes(recipe.problem, recipe.problem_of(name))
        if recipe.parameters_of(name) != name:
            own.insert(0, f"parameters of {recipe.parameters_of(name)}")
        if view.inverse_crime and name not in ("train", "valid"):
            own.insert(
                0, "INVERSE CRIME (declared)" if split.inverse_crime else "INVERSE CRIME, not declared"
            )
        size = f"{len(view):,}" + (
            "" if len(view) + view.failed == split.samples else f" of {split.samples:,}"
        )
        mesh = ", ".join(
            f"{key} {value:g}" for key, value in split.mesh.items() if not isinstance(value, str)
        )
        dofs = f"{found['dofs']:,}" if found else ""
        table.add_row(name, size, str(view.failed), mesh, dofs, "\n".join(own))
    return table


def _solutions(dataset):
    """Figures of the solver, for each split by its methods."""
    import numpy as np

    table = _table("How they were solved (largest of a split, or median; error: estimated, relative)")
    table.add_column("split")
    table.add_column("method")
    for heading in ("samples", "residual", "median", "error of data", "reciprocity", "median s"):
        table.add_column(heading, justify="right")
    for name in dataset.splits:
        records = dataset.split(name).records
        for method in np.unique(records["method"]):
            mine = {key: values[records["method"] == method] for key, values in records.items()}
            residual = mine["residual"]
            figures = residual.max(), np.median(residual), mine["error"].max(), mine["reciprocity"].max()
            seconds = f"{np.median(mine['seconds']):.2g}"
            told = (f"{value:.1e}" if value else "0" for value in figures)
            table.add_row(name, method, f"{len(residual):,}", *told, seconds)
    return table


def _remarks(dataset) -> list[str]:
    """Sentences on what a user must not overlook."""
    from data import mesh_error

    said = [str(failure) for failure in dataset.failures[:3]]
    if dataset.failed > 3:
        said.append(f"and {dataset.failed - 3} more failed samples")
    if said:
        said = ["Failed, and left out by the reader:", *(f"  {line}" for line in said)]
    errors = mesh_error.kept(dataset) if "valid" in dataset.splits else None
    if errors is not None:
        size = (abs(errors) ** 2).mean() ** 0.5 / dataset.noise_reference
        said.append(
            f"The training mesh changes the data of the validation samples by {100 * size:.2g} % of the RMS of the "
            "training data."
        )
    crimes = dataset.manifest.recipe.undeclared_inverse_crimes()
    if crimes:
        said.append(
            f"INVERSE CRIME: {', '.join(crimes)} lie on the training mesh, so errors measured there flatter every "
            "method; evaluate on a split with a finer mesh."
        )
    return said


def _origin(dataset) -> str:
    about = dataset.manifest.provenance
    versions = ", ".join(f"{name} {version}" for name, version in about.get("versions", {}).items())
    host = about.get("host", {})
    return (
        f"Begun {about.get('date', 'at an unknown time')} by `{' '.join(about.get('command', []))}`\n"
        f"commit {about.get('commit') or 'unknown (installed)'}\n"
        f"on {host.get('cores')} cores of {host.get('cpu')}, {host.get('system')} {host.get('machine')}\n"
        f"with {versions}"
    )


def _first(dataset):
    """The first split that has samples, else the first."""
    views = [dataset.split(name) for name in dataset.splits]
    return next((view for view in views if len(view)), views[0])


def _table(title):
    from rich.table import Table

    return Table(title=title, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)


def _bytes(count) -> str:
    power = min(max(len(str(count)) - 1, 0) // 3, 4)
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"
