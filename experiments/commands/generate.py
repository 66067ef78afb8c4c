"""Make a data set from a recipe, or continue one that was interrupted.

A recipe is a TOML file, or the name of one that comes with the package.  Samples are solved by worker
processes and written to files that are never changed afterwards; running the same command again does what
is missing.
"""

import argparse
import tomllib

from experiments.errors import StudyError

EXAMPLE = (
    "maxinv generate demo out/small --workers 2 --set splits.train.samples=20 --set splits.test.samples=10"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        help="a TOML file, or demo, conductivity, two_balls, voxels, cauchy, magnetisation",
    )
    parser.add_argument("out", metavar="OUT", help="folder of the data set")
    parser.add_argument("--workers", type=int, help="worker processes (default: one for each core)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a field of the recipe, as in splits.train.samples=20; may be repeated",
    )


def run(options: argparse.Namespace) -> None:
    """Generate with progress, then say what there is."""
    from data import recipe as recipes

    recipe = recipes.load(options.recipe, overrides(options.set))
    dataset = generate(recipe, options.out, options.workers)
    print(f"{dataset.path}: complete, {describe(dataset)}")


def overrides(assignments: list[str]) -> dict:
    """Turn KEY=VALUE texts into a mapping; values are TOML, and what is not TOML is text."""
    result = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not (key and equals):
            raise StudyError(f"--set {assignment}: expected KEY=VALUE, as in splits.train.samples=20.")
        try:
            result[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            result[key] = value
    return result


def generate(recipe, out, workers):
    """`data.generate` of a loaded recipe under a progress bar; returns the data set."""
    import data
    from experiments.progress import Progress

    total = sum(split.samples for split in recipe.splits.values())
    with Progress("data", total, "samples") as progress:

        def watch(event):
            if event.stage == "prepare":
                progress.start(event.done, "building meshes, compiling kernels and preparing fast paths")
            elif event.seconds == 0.0:
                progress.start(event.done)
            else:
                progress.update(event.done)

        return data.generate(recipe, out, workers, progress=watch)


def describe(dataset) -> str:
    """Splits with their sizes, and the digest by which two data sets are compared."""
    splits = ", ".join(f"{name} {len(dataset.split(name))}" for name in dataset.splits)
    return f"{len(dataset)} samples ({splits}), content {dataset.digest()[:16]}"
