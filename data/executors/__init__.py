"""Where samples are computed: local processes, MPI ranks or a Dask cluster, behind one ``Executor`` interface.

>>> with executors.local(2) as executor: ...        # spawned processes
>>> with executors.mpi() as executor: ...           # under mpiexec; None on the ranks that computed
>>> with executors.dask("tcp://host:8786") as executor: ...

Laws, the same for all three: a task is a function that workers can import, and its arguments; a process
computes one task at a time, its numeric libraries held to one thread, so that no bit of a result depends on the
place; an exception of a task comes out of its future as it was raised; a worker that is lost comes out as
``concurrent.futures.BrokenExecutor`` (a lost rank ends the whole job); leaving the block by an exception, Ctrl-C
included, drops what is queued and does not wait for what is running.
"""

from concurrent.futures import Executor

from data.errors import DataError
from data.executors.cluster import dask
from data.executors.processes import local
from data.executors.ranks import mpi, ranks
from data.executors.threads import limit_threads, serially, usable_cores

__all__ = ["dask", "limit_threads", "local", "mpi", "ranks", "serially", "usable_cores", "width"]


def width(executor: Executor) -> int:
    """How many tasks an executor of this package runs at once (of a Dask cluster, now: it may grow)."""
    count = getattr(executor, "width", None)
    if count is None:
        raise DataError(
            f"executor: expected one from executors.local, mpi or dask, given {type(executor).__name__}."
        )
    return count
