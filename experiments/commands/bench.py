"""Benchmarks of this laboratory: are the numbers right, and what do they cost?

forward   scattered data against NGSolve and under refinement; refactorising for every sample against the exact
          fast paths, side by side in one run: seconds, ratio, agreement, memory
networks  forward and backward pass of every network family against depth, beside a loop over pairs of layers;
          what the machine allows; ensembles: seconds, memory, growth exponents
data      the data pipeline: equal bits from every kind of worker, kills and full disks, speed of reading, layouts

`maxinv bench forward --help` explains one.  Every measurement runs alone in a process with one thread.
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


NETWORKS = """Networks as time discretisations: what a training step costs.

depth      forward and backward pass and its peak memory against depth, each family, learned steps; beside them
           the fractional net as public codes write it, a Python loop over pairs of layers; growth exponents
bounds     rates of matrix products, memory and tanh on this machine, the time that a net's counts of flops and
           bytes need at these rates, and how far the nets are from it
ensemble   an update of 16 nets side by side over that of one, and throughput against one by one

The default takes some minutes; --quick is a check that everything runs, on nets too small to mean anything.
"""

DATA = """The data pipeline on trial: a table for each part, and a sentence for whatever does not hold.

executors  one recipe by 1, 2 and 3 local workers, mpiexec -n 3, a Dask cluster, and in parts: the same bits?
layout     real observations contiguous, chunked and compressed: size, speed of writing and reading
reading    seconds to open a data set; random batches, checked, beside plain h5py reading the same bytes in order
flips      single bits of a data set flipped: does `maxinv validate` notice each, is a number read wrong?
kills      SIGKILL of a generation at random instants, of one worker, of a part; a full disk, a read-only folder,
           two generators on one folder: what is kept, and what the same command makes of it

The default takes some minutes; --quick is a check that everything runs.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the benchmarks and the options of each."""
    kinds = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)
    _add(kinds, "forward", FORWARD, ("convergence", "codes", "speed"), "tiny meshes", "more and finer")
    networks = _add(
        kinds, "networks", NETWORKS, ("depth", "bounds", "ensemble"), "tiny nets", "deeper, more turns"
    )
    networks.add_argument(
        "--precision", choices=["float32", "float64"], default="float32", help="of all numbers (float32)"
    )
    data = _add(
        kinds,
        "data",
        DATA,
        ("executors", "layout", "reading", "flips", "kills"),
        "tiny sets",
        "50 kills, 100,000 samples",
    )
    data.add_argument("--flips", type=_count, metavar="N", help="bits that are flipped (400)")
    data.add_argument("--kills", type=_count, metavar="N", help="kills of a whole generation (4)")
    data.add_argument(
        "--samples",
        type=_count,
        metavar="N",
        help="samples of the set that is read (2000); made once, and kept",
    )
    data.add_argument("--data", metavar="FOLDER", help="a finished data set to read instead")


def _count(text: str) -> int:
    """A number of things: at least one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, given {text!r}")
    return int(text)


def _add(kinds, name, description, parts, quick, study):
    parser = kinds.add_parser(
        name,
        description=description,
        epilog=f"example:\n  maxinv bench {name} --quick --out out/bench.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quick", action="store_const", const="quick", dest="plan", help=quick)
    amount.add_argument("--study", action="store_const", const="study", dest="plan", help=study)
    parser.add_argument("--part", action="append", choices=parts, help="do this part only; may be repeated")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="write everything measured there, as JSON, part by part; a run that was stopped is taken up",
    )
    return parser


def run(options: argparse.Namespace) -> None:
    """Measure, print tables, write the file."""
    import sys
    from dataclasses import replace
    from pathlib import Path

    from experiments.bench import environment, process, unfinished

    if options.benchmark == "forward":
        from experiments.bench import forward as bench
        from experiments.bench import tables
    elif options.benchmark == "data":
        from experiments.bench import data as bench
        from experiments.bench import data_tables as tables
    else:
        process.serve(
            "experiments.bench.members", "experiments.bench.rates"
        )  # imports while this process does
        from experiments.bench import network_tables as tables
        from experiments.bench import networks as bench

    plan, parts = bench.PLANS[options.plan or "default"], options.part or list(bench.PARTS)
    if options.benchmark == "networks":
        plan = replace(plan, size=replace(plan.size, precision=options.precision))
    if options.benchmark == "data":
        asked = {
            "flips": options.flips,
            "kills": options.kills,
            "samples": options.samples,
            "folder": options.data,
        }
        plan = replace(plan, **{key: value for key, value in asked.items() if value is not None})
    out = Path(options.out) if options.out else None

    def watch(line):
        print(f"... {line}", file=sys.stderr, flush=True)

    result = unfinished.take_up(out, {"environment": environment(), "plan": repr(plan), "parts": parts})
    bench.run(plan, parts, watch, result, lambda found: unfinished.save(out, found))
    tables.show(result)
    if out:
        unfinished.end(out, result)
        print(f"written to {out}")
