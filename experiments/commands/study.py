"""Run a study: generate its data, tune, train, score, and write tables and the report.

A study is a TOML file, or the name of one that comes with the package.  It names data sets, ways to choose the
time steps, a grid of settings and yardsticks; every way has the same budget, seeds and noise.  Killed anywhere,
the same command continues and ends with the same tables.  Workers are processes of this machine, the ranks of
`mpiexec -n 9 maxinv study ...`, or a Dask cluster.

A study too long for one sitting can be run one data set at a time (`--data`), each into a folder and a report of
its own: its networks are those of the whole study, and Holm's correction is over the comparisons of the whole.
"""

import argparse

EXAMPLE = "maxinv study learned_steps --quick --out out/quick"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from experiments.commands.generate import add_places

    parser.add_argument(
        "study", metavar="STUDY", nargs="?", default="learned_steps", help="default: %(default)s"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="default: out/STUDY, with -NAME for --data and -quick for --quick"
    )
    parser.add_argument(
        "--data",
        metavar="NAME",
        nargs="+",
        default=(),
        help="restrict the study to these of its data sets (default: all)",
    )
    parser.add_argument("--quick", action="store_true", help="the small version that the file describes")
    add_places(parser)


def run(options: argparse.Namespace) -> None:
    """Run every step that is not done yet."""
    from pathlib import Path

    from experiments.commands.generate import executor_of
    from experiments.protocol import plan, study, tables
    from experiments.protocol.report import page

    chosen = plan.load(options.study, options.quick, options.data)
    some = "".join(f"-{name}" for name in chosen.spec.data) if options.data else ""
    out = options.out or f"out/{Path(options.study).stem}{some}{'-quick' if options.quick else ''}"
    with executor_of(options) as (executor, writes):
        if not writes:
            return
        folder = study.run(chosen, out, study.Workplace(options.workers, executor))
    tables.write(chosen, folder)
    print(f"tables: {folder.tables}")
    print(f"report: {page.write(folder.path)}")
    study.finish(chosen, folder)
