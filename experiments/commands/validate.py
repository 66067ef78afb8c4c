"""Check a data set: every byte, every number that can be known without solving, and some samples solved again.

Each finding names the file, the place in it, what was expected, what was found and the mend.  The exit code is 1
if there is damage; warnings (what misleads, or does not belong) and notes leave it 0.
"""

import argparse
from collections import Counter
from contextlib import ExitStack

EXAMPLE = "maxinv validate out/demo/data --deep 3"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", metavar="FOLDER", help="folder of the data set")
    parser.add_argument(
        "--deep",
        type=int,
        default=0,
        metavar="K",
        help="solve K random samples again from their seeds, by factorising, and compare",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="chooses these samples (default: 0)")


def run(options: argparse.Namespace) -> int:
    """Print the findings, one a line and the worst first, and a summary."""
    from data.findings import SEVERITIES

    findings, last = _watched(options)
    for finding in sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)):
        print(f"{finding.severity}: {finding}")
    kinds = Counter(finding.severity for finding in findings)
    asked = [
        f"{kinds[kind]} {kind}" for kind in ("damage", "warning") if kinds[kind]
    ]  # notes ask for nothing
    read = last["read"]
    print(
        f"{options.folder}: {read.files} files, {read.samples} samples ({read.failed} failed), "
        f"{read.bytes / 1e6:.3g} MB in {read.seconds:.3g} s, {read.bytes / 1e6 / read.seconds:.3g} MB/s; "
        f"{', '.join(asked) or 'nothing to mend'}"
    )
    return int(kinds["damage"] > 0)


def _watched(options):
    """The findings, and the last that was told of each stage, under one progress bar a stage."""
    import data
    from experiments.progress import Progress

    last, bars = {}, ExitStack()

    def watch(event):
        if event.stage not in last:
            bars.close()
            last["bar"] = bars.enter_context(
                Progress(event.stage, event.total, "files" if event.stage == "read" else "samples")
            )
            last["bar"].start(event.done)
        else:
            last["bar"].update(event.done)
        last[event.stage] = event

    with bars:
        return data.validate(options.folder, deep=options.deep, seed=options.seed, progress=watch), last
