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
    forward.add_argument(
        "--out",
        metavar="FILE",
        help="write everything measured there, as JSON, part by part; a run that was stopped is taken up",
    )


def run(options: argparse.Namespace) -> None:
    """Measure, print tables, write the file."""
    import sys
    from pathlib import Path

    from experiments.bench import environment, forward, tables, unfinished

    plan, parts = forward.PLANS[options.plan or "default"], options.part or list(forward.PARTS)
    out = Path(options.out) if options.out else None

    def watch(line):
        print(f"... {line}", file=sys.stderr, flush=True)

    result = unfinished.take_up(out, {"environment": environment(), "plan": repr(plan), "parts": parts})
    forward.run(plan, parts, watch, result, lambda found: unfinished.save(out, found))
    tables.show(result)
    if out:
        unfinished.end(out, result)
        print(f"written to {out}")
