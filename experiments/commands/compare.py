"""Set trained networks beside each other, beside predicting the prior mean, and beside linearised Tikhonov.

All are given the same noisy data of every test split.  Networks that differ in their time steps alone are
compared in pairs (same data, same initial weights) with a 95 % interval.  Prints the tables and writes
everything to a JSON file, from which `maxinv report` makes a page.
"""

import argparse

EXAMPLE = "maxinv compare out/demo/data out/demo/runs --out out/demo/comparison.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("dataset", metavar="DATA", help="folder of the data set")
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders, or folders that hold some")
    parser.add_argument("--out", metavar="FILE", default="comparison.json", help="default: %(default)s")


def run(options: argparse.Namespace) -> None:
    """Compare and print."""
    from data.executors import limit_threads
    from experiments.compare import compare

    limit_threads()
    show(compare(options.dataset, options.runs, options.out))
    print(f"written to {options.out}")


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
