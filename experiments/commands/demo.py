"""Run the whole story on real finite-element data, and say where its report is.

Generates the data set of the recipe `demo` (one ball in a conducting box), trains ResNet and Fractional
networks with fixed and with learned time steps from three paired seeds each, compares them with each other
and with classical inversion, and writes the report.  Networks that differ only in seed, time rule, noise or
learning rate train as one program.  Killed anywhere, the same command continues.
"""

import argparse

EXAMPLE = "maxinv demo --out out/demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", metavar="FOLDER", default="out/demo", help="default: %(default)s")
    parser.add_argument("--workers", type=int, help="worker processes (default: one for each core)")
    parser.add_argument("--study", metavar="FILE", default="demo", help="a study file (default: %(default)s)")
    parser.add_argument(
        "--refactorise",
        action="store_true",
        help="where the fast path of a mesh cannot be prepared, go on by the slow one instead of stopping",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a field of the data recipe, as in splits.train.samples=20; may be repeated",
    )


def run(options: argparse.Namespace) -> None:
    """Run every step that is not done yet."""
    from pathlib import Path

    from data import recipe as recipes
    from experiments.commands import compare, generate
    from experiments.study import check, load, refuse_others, train_all

    out = Path(options.out)
    study = load(options.study)
    recipe = recipes.load(study.recipe, recipes.assignments(options.set))
    check(study, recipe, options.workers)
    refuse_others(study, out / "runs", recipe.digest)
    dataset = generate.generate(recipe, out / "data", options.workers, refactorise=options.refactorise)
    print(f"data: {dataset.path}, {generate.describe(dataset)}")
    train_all(study, dataset.path, out / "runs", options.workers)

    from data.executors import limit_threads
    from experiments.compare import compare as compare_runs
    from experiments.report import write

    limit_threads()
    comparison = compare_runs(
        dataset.path, [out / "runs" / name for name in study.runs()], out / "comparison.json"
    )
    compare.show(comparison)
    print(f"report: {write(out / 'comparison.json', out / 'report.html')}")
