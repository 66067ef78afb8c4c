"""Make a data set from a recipe, or continue one that was interrupted.

A recipe is a TOML file, or the name of one that comes with the package.  Samples are solved by workers and
written to files that are never changed afterwards; running the same command again does what is missing.  Workers
are processes of this machine, the ranks of `mpiexec -n 9 maxinv generate ...` (one of which writes), or a Dask
cluster; on a batch system `--shard i/N` does one of N parts.  The bits of the samples are the same in every way.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path

from experiments.errors import StudyError

EXAMPLE = (
    "maxinv generate demo out/small --workers 2 --set splits.train.samples=20 --set splits.test.samples=10"
)
TOLD = 5  # failed samples that are listed one by one
PARTS_TOLD = 10  # parts that lack something, likewise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("recipe", metavar="RECIPE", help=f"a TOML file, or {', '.join(shipped())}")
    parser.add_argument("out", metavar="OUT", help="folder of the data set")
    add_places(parser)
    parser.add_argument(
        "--shard",
        metavar="i/N",
        help="do the i-th of N parts only; others may do the others at the same time",
    )
    parser.add_argument("--retry", action="store_true", help="try the samples again that have failed before")
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
        help="override a field of the recipe, as in splits.train.samples=20; may be repeated",
    )


def add_places(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say where to compute."""
    parser.add_argument(
        "--workers", type=int, help="tasks at once (default: one for each core, rank, worker)"
    )
    parser.add_argument(
        "--executor",
        choices=["local", "mpi", "dask"],
        help="who computes (default: mpi under mpiexec, dask with --scheduler, else local)",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of a Dask cluster, as in tcp://host:8786, whose workers see the folder",
    )


def shipped() -> list[str]:
    """Names of the recipes that come with the package, found without importing it: help is to be quick."""
    (package,) = find_spec("data").submodule_search_locations
    return sorted(file.stem for file in Path(package, "recipes").glob("*.toml"))


def run(options: argparse.Namespace) -> None:
    """Generate with progress, then say what there is."""
    with executor_of(options) as (executor, writes):
        if not writes:
            return
        import warnings

        import data

        part = None if options.shard is None else data.Part.of(options.shard)
        recipe = data.recipe.load(options.recipe, data.recipe.assignments(options.set))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", data.FailedSamplesWarning)  # told below, at more length
            dataset = generate(
                recipe, options.out, options.workers, executor, part, options.retry, options.refactorise
            )
        for line in _ending(dataset, part):
            print(line)


@contextmanager
def executor_of(options) -> Iterator[tuple]:
    """The executor that was asked for, ``None`` for local processes; and whether this process is the one that
    writes."""
    from data import executors

    kind = options.executor
    if kind is None:
        kind = "dask" if options.scheduler else "mpi" if executors.ranks() > 1 else "local"
    if (kind == "dask") != (options.scheduler is not None):
        raise StudyError(
            f"--executor {kind} {'without' if kind == 'dask' else 'with'} --scheduler: these two go together; give "
            "--scheduler ADDRESS for a Dask cluster, and leave it out otherwise."
        )
    opened = {"local": nullcontext, "mpi": executors.mpi, "dask": lambda: executors.dask(options.scheduler)}
    with opened[kind]() as executor:
        yield executor, kind != "mpi" or executor is not None


def generate(recipe, out, workers, executor=None, part=None, retry=False, refactorise=False):
    """`data.generate` of a loaded recipe under a progress bar; returns the data set."""
    import data
    from experiments.progress import Progress

    total = sum(split.samples for split in recipe.splits.values())
    with Progress("data", total, "samples") as progress:

        def watch(event):
            progress.total = event.total  # of the part
            failed = f"{event.failed} failed" if event.failed else ""
            if event.stage == "prepare":
                progress.start(event.done, "building meshes, compiling kernels and preparing fast paths")
            elif event.seconds == 0.0:
                progress.start(event.done)
            else:
                progress.update(event.done, failed)

        return data.generate(
            recipe,
            out,
            workers,
            progress=watch,
            executor=executor,
            part=part,
            retry=retry,
            refactorise=refactorise,
        )


def describe(dataset) -> str:
    """Splits with their sizes, and the digest by which two data sets are compared."""
    splits = ", ".join(f"{name} {len(dataset.split(name))}" for name in dataset.splits)
    return f"{len(dataset)} samples ({splits}), content {dataset.digest()[:16]}"


def _ending(dataset, part) -> Iterator[str]:
    """What is there, what other parts lack, and which samples failed."""
    lacking = {} if part is None else _lacking(dataset, part.parts)
    if part is None:
        yield f"{dataset.path}: complete, {describe(dataset)}"
    elif lacking:
        yield f"{dataset.path}: part {part} is complete; there are {describe(dataset)}"
        told = sorted(lacking.items())[:PARTS_TOLD]
        others = ", ".join(f"{number}/{part.parts} lacks {count}" for number, count in told)
        more = f", and {len(lacking) - len(told):,} more lack some" if len(lacking) > len(told) else ""
        yield f"of the other parts {others} samples{more}"
    else:
        yield f"{dataset.path}: part {part} and all others are complete, {describe(dataset)}"
    if dataset.failed:
        yield f"{dataset.failed} samples could not be solved and are left out; --retry tries them again:"
        yield from (f"  {failure}" for failure in dataset.failures[:TOLD])
        if dataset.failed > TOLD:
            yield f"  and {dataset.failed - TOLD} more"


def _lacking(dataset, parts: int) -> Counter[int]:
    """Samples that are not there, by the number of the part that has to make them; no part that lacks none."""
    from data.plan import Plan
    from data.store import Folder, shard_count

    recipe, lacking = dataset.manifest.recipe, Counter()
    counts = [shard_count(recipe, name) for name in recipe.splits]
    first = dict(
        zip(recipe.splits, accumulate(counts, initial=0), strict=False)
    )  # place of a split's first shard
    for shard in Plan(recipe, Folder(dataset.path).listing()):
        lacking[(first[shard.split] + shard.number) % parts + 1] += len(shard)
    return lacking
