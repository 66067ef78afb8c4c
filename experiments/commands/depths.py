"""What fixed and learned steps do to gradients and to training, from 4 to 512 layers.

Trains networks of every family, time rule, depth and scale of the initial weights from several seeds on one data
set, and measures each: gradients along depth and training beside their bounds, how many seeds train, how the
output depends on the steps, and which steps were learned.  Writes tables (CSV), pictures and summary.json.
The full study takes above an hour on two cores, --quick two or three minutes besides the data.  Killed anywhere,
the same command continues.
"""

import argparse

EXAMPLE = "maxinv depths --quick --out out/depths"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", metavar="FOLDER", default="out/depths", help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="fewer depths, seeds and epochs")
    parser.add_argument("--study", metavar="FILE", help="another study of this kind (TOML)")
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        help="a finished data set in place of the study's, which is made in FOLDER/data",
    )
    parser.add_argument("--workers", type=int, help="worker processes (default: one for each core)")


def run(options: argparse.Namespace) -> None:
    """Measure what is not measured yet, and write everything."""
    from pathlib import Path

    import data
    from data import recipe as recipes
    from experiments.commands import generate
    from experiments.depths.spec import load
    from experiments.errors import StudyError

    if options.workers is not None and options.workers < 1:
        raise StudyError(f"workers is {options.workers}; expected at least 1.")
    study, out = load(options.study, quick=options.quick), Path(options.out)
    if options.data is None:
        recipe = recipes.load(study.spec.recipe)
        dataset = generate.generate(recipe, out / "data", options.workers).path
    else:
        dataset = Path(options.data)
    digest = data.open(dataset).manifest.digest

    from experiments.depths.run import measure_all, results
    from experiments.depths.summary import write
    from experiments.done import sign
    from experiments.runs import locked

    with locked([out]):
        measure_all(study, dataset, out, options.workers)
        summary = write(study, results(study, dataset, out), digest, out)
        sign(out / "DONE", "depths", options.quick)
    for sentence in summary["reach"] + summary["verdicts"]:
        print(sentence)
    bounds = summary["bounds"]
    print(f"bounds: {bounds['checked']} values held against them, {bounds['outside']} outside")
    counts = f"{summary['cells']} cells, {summary['networks']} networks"
    print(f"{counts}: {out / 'summary.json'}, with tables and pictures beside it")
