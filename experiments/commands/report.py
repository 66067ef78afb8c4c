"""Write a comparison as one HTML file that opens offline: pictures inside, nothing fetched.

It shows the set-up, true and recovered balls, loss curves, time steps and gradients layer by layer, error
against noise level, and a table of every method on every test split.
"""

import argparse

EXAMPLE = "maxinv report out/demo/comparison.json --out out/demo/report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("comparison", metavar="FILE", help="what `maxinv compare` wrote")
    parser.add_argument("--out", metavar="FILE", default="report.html", help="default: %(default)s")
    parser.add_argument("--pictures", metavar="FOLDER", help="write the pictures there too, as PNG files")


def run(options: argparse.Namespace) -> None:
    """Write the page."""
    from experiments.report import write

    print(f"report: {write(options.comparison, options.out, options.pictures)}")
