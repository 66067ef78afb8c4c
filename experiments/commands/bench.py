"""Benchmarks of this laboratory: are the numbers right, and what do they cost?

forward   scattered data against NGSolve and under refinement; refactorising for every sample against the exact
          fast paths, side by side in one run: seconds, ratio, agreement, memory

`maxinv bench forward --help` explains it.  Every measurement runs alone in a process with one thread.
"""

import argparse

EXAMPLE = "maxinv bench forward --quick --out out/bench.json"

FORWARD = """Scattered data of the conductivity problem: how right and how fast.

convergence  errors against an independent code (NGSolve, elements of higher order, fitted mesh), orders, cost;
             the discretisation error of the recipes that come with the package
codes        the same sample here and in NGSolve, with equal elements
speed        refactorising against the fast paths on samples of the default priors

The default takes some minutes; --quick is a check that everything runs, on meshes too coarse to mean anything.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the benchmarks and the options of each."""
    kinds = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)
    forward = kinds.add_parser(
        "forward",
        description=FORWARD,
        epilog=f"example:\n  {EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    amount = forward.add_mutually_exclusive_group()
    amount.add_argument("--quick", action="store_const", const="quick", dest="plan", help="tiny meshes")
    amount.add_argument("--study", action="store_const", const="study", dest="plan", help="more and finer")
    forward.add_argument(
        "--part",
        action="append",
        choices=["convergence", "codes", "speed"],
        help="do this part only; may be repeated",
    )
    forward.add_argument("--out", metavar="FILE", help="write everything measured there, as JSON")


def run(options: argparse.Namespace) -> None:
    """Measure, print tables, write the file."""
    import sys
    from pathlib import Path

    from experiments.bench import environment, forward, tables
    from experiments.files import write_json

    plan = forward.PLANS[options.plan or "default"]

    def watch(line):
        print(f"... {line}", file=sys.stderr, flush=True)

    result = {"environment": environment()} | forward.run(plan, options.part or forward.PARTS, watch)
    tables.show(result)
    if options.out:
        write_json(Path(options.out), result)
        print(f"written to {options.out}")
