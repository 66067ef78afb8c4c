"""One thread a task: the bits of a result do not depend on the place, and no core has two to serve."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


def limit_threads() -> None:
    """Hold the numeric libraries loaded so far to one thread, whatever the environment said."""
    threadpoolctl.threadpool_limits(1)


@contextmanager
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
    the call loads, the limit to those already there. Cost: about a millisecond.
    """
    with _TURN, environment(ONE_THREAD), threadpoolctl.threadpool_limits(1):
        return function(*args, **kwargs)
