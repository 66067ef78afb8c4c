"""One thread a task: the bits of a result do not depend on the place, and no core has two to serve."""

import contextlib
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import threadpoolctl

# The unit of parallelism is the sample: a threaded BLAS in each of several workers only costs time, and
# its sums would depend on the number of threads.
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)

_TURN = (
    threading.Lock()
)  # of the process: what it guards, the working memory of forward maps, is the process's


def usable_cores() -> int:
    """Cores this process may use; the default number of workers."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def kernels() -> str:
    """The processor for which this process's BLAS multiplies, as OpenBLAS names it; empty for another BLAS.

    With one thread a result has the same bits wherever this agrees; where it does not, they differ by some 1e-14
    (1e-13 at degree 2) of its size. OPENBLAS_CORETYPE, set before a worker starts, chooses it.
    """
    libraries = threadpoolctl.threadpool_info()
    return next((lib.get("architecture", "") for lib in libraries if "numpy" in lib["filepath"]), "")


def tell_of_kinds(kinds: Iterable[str]) -> None:
    """Warn if the :func:`kernels` of the workers differ: then a sample's last digits depend on who had it."""
    if len(kinds := sorted(set(kinds))) > 1:
        warnings.warn(
            f"the workers' processors are of different kinds ({', '.join(kinds)}): samples will agree to some 13 "
            "digits, not bit for bit, with another run; set OPENBLAS_CORETYPE=Haswell before all workers start, or "
            "use machines of one kind.",
            skip_file_prefixes=(
                os.path.dirname(__file__),
                contextlib.__file__,
            ),  # whoever opened the executor
        )


def limit_threads() -> None:
    """Hold the numeric libraries loaded so far to one thread, whatever the environment said."""
    threadpoolctl.threadpool_limits(1)


@contextlib.contextmanager
def environment(changes: dict[str, str | None]) -> Iterator[None]:
    """Environment variables set, or removed where None, and put back as they were."""
    before = {name: os.environ.get(name) for name in changes}
    try:
        _put(changes)
        yield
    finally:
        _put(before)


def _put(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def serially(function: Callable, *args: Any, **kwargs: Any) -> Any:
    """``function(*args, **kwargs)`` with this process to itself: one such call at a time, one thread in it.

    For workers that may run several tasks in threads of one process. The environment speaks to the libraries that
    the call loads, the limit to those already there. Cost: a few milliseconds.
    """
    with _TURN, environment(ONE_THREAD), threadpoolctl.threadpool_limits(1):
        return function(*args, **kwargs)
