"""Set trained networks beside each other, or beside classical inversion, on the same noisy data.

DATA and runs: networks beside predicting the prior mean and beside linearised Tikhonov, on every test split.
Networks that differ in their time steps alone are compared in pairs (same data, same initial weights) with a 95 %
interval.  Prints the tables and writes everything to a JSON file, from which `maxinv report` makes a page.

Two variants of a study (folders runs/DATA/CELL/ARM): the change of every error from the first to the second, at
every split and level of noise, paired by seed and sample, with a 95 % interval.
"""

import argparse

EXAMPLE = (
    "maxinv compare out/demo/data out/demo/runs --out out/demo/comparison.json\n"
    "  maxinv compare out/quick/runs/cauchy/resnet-L8-noise0.01/fixed-unit "
    "out/quick/runs/cauchy/resnet-L8-noise0.01/positive"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("dataset", metavar="DATA", help="folder of the data set, or of a variant of a study")
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="run folders, or folders that hold some; or the other variant"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="default: comparison.json; of two variants, no file unless given"
    )


def run(options: argparse.Namespace) -> None:
    """Compare and print."""
    from pathlib import Path

    from experiments.protocol.pairs import seeds_in

    first = Path(options.dataset)
    of_data = (first / "dataset.json").exists()
    if seeds_in(first) or (not of_data and seeds_in(Path(options.runs[0]))):
        pair(options.dataset, options.runs, options.out)
        return
    from data.executors import limit_threads
    from experiments.compare import compare

    limit_threads()
    out = options.out or "comparison.json"
    show(compare(options.dataset, options.runs, out))
    print(f"written to {out}")


def pair(baseline: str, others: list[str], out: str | None) -> None:
    """Print the change from one variant of a study to another, at every place; write it to a JSON file if asked."""
    from pathlib import Path

    from experiments.errors import StudyError
    from experiments.files import write_json
    from experiments.protocol import pairs

    if len(others) > 1:
        raise StudyError(
            f"{baseline}: a variant of a study is set beside one other, given {len(others)}; name one."
        )
    first, second = pairs.Side.read(baseline), pairs.Side.read(others[0])
    rows = pairs.compare(first, second)
    settings = pairs.differences(first, second)
    _show_pair(first.name, second.name, rows, settings)
    if out:
        about = {"baseline": first.name, "other": second.name, "dataset": first.data}
        write_json(Path(out), {**about, "settings": settings, "rows": rows})
        print(f"written to {out}")


def _show_pair(baseline: str, other: str, rows: list[dict], settings: dict) -> None:
    """Print the rows of a pair, and what else sets the two apart."""
    from rich.console import Console
    from rich.table import Table

    from experiments.protocol.report.findings import decided, signed

    console = Console(width=None if Console().is_terminal else 120)
    title = f"from A = {baseline}\n  to B = {other}, {rows[0]['seeds']} seeds"
    shown = Table(title=title, title_justify="left")
    for heading in ("split", "noise", "root mean square of", "A", "B", "change", "95 % interval", "shown"):
        numeric = heading in ("noise", "A", "B", "change", "95 % interval")
        shown.add_column(heading, justify="right" if numeric else "left")
    for row in rows:
        shown.add_row(
            row["split"],
            f"{100 * row['level']:g} %",
            row["metric"],
            f"{row['baseline']:.4g}",
            f"{row['other']:.4g}",
            signed(row["change"]),
            f"{signed(row['low'])} to {signed(row['high'])}",
            _VERDICTS.get(decided(row["low"], row["high"]), "no difference"),
        )
    console.print(shown)
    apart = (
        ", ".join(f"{key} {one} → {two}" for key, (one, two) in settings.items()) or "nothing but their place"
    )
    console.print(f"They differ in: {apart}.", highlight=False)
    console.print(
        "Each interval is a single one; across many rows some would miss 0 by chance.", highlight=False
    )


_VERDICTS = {"smaller error": "B smaller", "larger error": "B larger"}


def show(comparison: dict) -> None:
    """Print the table and the verdicts of every split."""
    from rich.console import Console
    from rich.table import Table

    from experiments.compare import table, title, verdicts
    from experiments.metrics import percent

    console = Console(width=None if Console().is_terminal else 120)
    for split in comparison["splits"]:
        shown = Table(title=title(comparison, split), title_justify="left")
        shown.add_column("method")
        for heading in (
            "error / prior sd",
            "median",
            "centre mm",
            "radius mm",
            "log-contrast",
            "image",
            "below prior mean",
        ):
            shown.add_column(heading, justify="right")
        for row in table(comparison, split):
            below = row["below_prior"]
            shown.add_row(
                row["method"],
                f"{row['relative']:.3f}",
                f"{row['median']:.3f}",
                f"{1e3 * row['centre']:.1f}",
                f"{1e3 * row['radius']:.1f}",
                f"{row['log-contrast']:.3f}",
                percent(row["image"]),
                ""
                if below is None
                else f"{percent(-below['value'])} ({percent(-below['high'])} to {percent(-below['low'])})",
            )
        console.print(shown)
        for sentence in verdicts(comparison, split):
            console.print(sentence, highlight=False)
        console.print()
    for sentence in comparison["left_out"].values():
        console.print(sentence, highlight=False)
