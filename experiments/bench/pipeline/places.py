"""One recipe in every way that it can be computed: are the data the same, bit for bit?"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from experiments.bench.pipeline import runs
from experiments.bench.pipeline.runs import Run, generate

RECIPE = """
seed = 11
[problem]
kind = "conductivity"
[mesh]
cells = 4
degree = 1
[store]
shard = 5
[splits.train]
samples = 40
[splits.valid]
samples = 6
[splits.test]
samples = 12
mesh = { cells = 5, degree = 1 }
[splits.test_inverse_crime]
samples = 10
same_parameters_as = "test"
inverse_crime = true
"""
"""Two meshes: one of 56 samples, whose fast path is prepared, and one of 12, which are refactorised."""

WAYS = {
    "1 local worker": [[["--workers", "1"]]],
    "2 local workers": [[["--workers", "2"]]],
    "3 local workers": [[["--workers", "3"]]],
    "mpiexec -n 3": [[["mpiexec"]]],
    "Dask cluster of 2": [[["dask"]]],
    "two parts, one after the other": [[["--shard", "1/2"]], [["--shard", "2/2"]], [[]]],
    "two parts at once": [[["--shard", "1/2"], ["--shard", "2/2"]], [[]]],
}
"""Of each way its rounds, and of each round the flags of the commands that run at once."""


def measure(ways: list[str], folder: Path, watch: Callable[[str], None]) -> list[dict]:
    """A row for each way: `seconds`, `digest`, `methods` with counts, and for each array its `digits` that agree
    with those of the first way: ``None`` if all bits do."""
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE)
    rows, first = [], None
    for number, name in enumerate(ways):
        watch(f"executors: {name}")
        out = folder / str(number)
        seconds = sum(_round(recipe, out, round_) for round_ in WAYS[name])
        dataset = runs.opened(out)
        arrays = {key: getattr(dataset, key) for key in ("parameters", "observations")}
        first = first or arrays
        rows.append(
            {
                "way": name,
                "seconds": seconds,
                "digest": dataset.digest(),
                "samples": len(dataset),
                "methods": dict(Counter(dataset.records["method"].tolist())),
                "digits": {key: digits(arrays[key], first[key]) for key in arrays},
            }
        )
    return rows


def digits(values: np.ndarray, others: np.ndarray) -> float | None:
    """Decimal digits of the largest that agree, −log₁₀(max|v − o| / max|o|); ``None`` if every bit does."""
    if values.dtype == others.dtype and values.tobytes() == others.tobytes():
        return None
    if values.shape != others.shape:
        return 0.0
    return float(-np.log10(np.abs(values - others).max() / np.abs(others).max()))


def _round(recipe, out, commands) -> float:
    """Run the commands at once; seconds until the last has ended."""
    with _cluster(any(flags == ["dask"] for flags in commands)) as address:
        started = [Run(_command(recipe, out, flags, address)) for flags in commands]
        for run in started:
            if run.end().code:
                raise runs.StudyError(f"{' '.join(run.command)}: ended with {run.code} ({run.said}).")
    return max(run.seconds for run in started)


def _command(recipe, out, flags, address):
    if flags == ["mpiexec"]:
        return [str(Path(sys.executable).with_name("mpiexec")), "-n", "3", *generate(recipe, out)]
    return generate(recipe, out, *(["--scheduler", address] if flags == ["dask"] else flags))


@contextmanager
def _cluster(wanted: bool) -> Iterator[str]:
    """The scheduler's address of two Dask workers."""
    if not wanted:
        yield ""
        return
    try:
        import distributed
    except ModuleNotFoundError:
        raise runs.StudyError(
            'executors: the Dask cluster needs the package distributed; pip install "maxwell-inverse[dask]".'
        ) from None
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster.scheduler_address
