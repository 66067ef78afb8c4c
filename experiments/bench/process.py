"""A measurement in a process of its own: nothing before it warms a cache or counts in its peak of memory."""

import multiprocessing
import os
import resource
from concurrent.futures import ProcessPoolExecutor

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def alone(function, *arguments, preload: tuple[str, ...] = ()):
    """function(*arguments), picklable, in a new process whose numeric libraries have one thread.

    ``preload`` names modules that take long to import: a server imports those of the first call once, does nothing
    else, and each new process is a copy of it.
    """
    kept = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))  # read when the new process loads its libraries
    try:
        context = multiprocessing.get_context("forkserver" if preload else "spawn")
        if preload:
            context.set_forkserver_preload(list(preload))
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(function, *arguments).result()
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def peak_megabytes() -> float:
    """Largest memory that this process has held so far, in MB (10⁶ bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
