"""A measurement in a process of its own: nothing before it warms a cache or counts in its peak of memory."""

import multiprocessing
import os
import resource
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def alone(function, *arguments, preload: tuple[str, ...] = ()):
    """function(*arguments), picklable, in a new process whose numeric libraries have one thread.

    ``preload`` names modules that take long to import: see ``serve``.
    """
    serve(*preload)
    with _one_thread():
        context = multiprocessing.get_context("forkserver" if preload else "spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(function, *arguments).result()


def serve(*modules: str) -> None:
    """Start, in the background, a process that imports these modules and does nothing else.

    Processes with the same ``preload`` are then copies of it. A second call does nothing: one server is enough.
    """
    if modules:
        multiprocessing.get_context("forkserver").set_forkserver_preload(list(modules))
        with _one_thread():
            forkserver.ensure_running()


def peak_megabytes() -> float:
    """Largest memory that this process has held so far, in MB (10⁶ bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


@contextmanager
def _one_thread():
    """Numeric libraries of processes that begin meanwhile have one thread: they read the environment then."""
    kept = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
