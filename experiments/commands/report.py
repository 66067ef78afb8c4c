"""Write a study or a comparison as one HTML file that opens offline: pictures inside, nothing fetched.

Of a study, its folder: findings in sentences with intervals, every comparison, and for each problem all methods in
a table, errors against noise, along singular directions and on other splits, true and recovered unknowns, the
steps learned.  Written from the tables and score sheets that `maxinv study` left; nothing is computed anew.

Of a comparison, its file: the set-up, true and recovered balls, loss curves, time steps and gradients layer by
layer, error against noise level, and a table of every method on every test split.
"""

import argparse

EXAMPLE = "maxinv report out/demo/comparison.json --out out/demo/report.html\n  maxinv report out/quick"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "comparison",
        metavar="PLACE",
        help="folder of a finished study, or the file that `maxinv compare` wrote",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="default: report.html, in the folder of the study or here for a comparison",
    )
    parser.add_argument(
        "--pictures",
        metavar="FOLDER",
        help="write the pictures there too, as PNG files; of a study as PDF as well, in its folder by default",
    )


def run(options: argparse.Namespace) -> None:
    """Write the page."""
    from pathlib import Path

    if Path(options.comparison).is_dir():
        from experiments.protocol.report.page import write as write_study

        print(f"report: {write_study(options.comparison, options.out, options.pictures)}")
        return
    from experiments.report import write

    print(f"report: {write(options.comparison, options.out or 'report.html', options.pictures)}")
