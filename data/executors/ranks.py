"""The ranks of an ``mpiexec`` as workers: rank 0 asks and writes, the others compute, each with its own solver."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager

import threadpoolctl

from data.errors import DataError
from data.executors.threads import ONE_THREAD, environment, kernels, tell_of_kinds

LAUNCHERS = ("PMI_", "PMIX_", "OMPI_", "HYDI_", "HYDRA_", "MPI_LOCAL", "MV2_", "PALS_")
"""How the variables begin by which a launcher tells a process that it is a rank."""

_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")  # MPICH and its kin, Open MPI, MVAPICH
_PATIENCE = 5.0  # seconds that the end of a job may take
_GRACE = 0.5  # seconds for ranks to come to an end by themselves, once this process ends


def ranks() -> int:
    """Ranks that ``mpiexec`` or ``srun`` started together with this process; 1 in an ordinary run.

    Read from the environment, so that an ordinary run imports no MPI.
    """
    sizes = [os.environ.get(name, "") for name in _SIZES]
    if "PMIX_RANK" in os.environ:  # PMIx has no variable for the size; srun has one
        sizes.append(os.environ.get("SLURM_STEP_NUM_TASKS", ""))
    return max([1, *(int(size) for size in sizes if size.isdecimal())])


@contextmanager
def mpi() -> Iterator[Executor | None]:
    """On rank 0 an executor over the other ranks; they compute until it is done with, and then get None.

    Every rank must come here: enter before anything that may fail on one rank alone. The ranks that compute ignore
    Ctrl-C. If rank 0 leaves the block by an exception, what is queued is dropped, and if the others are still
    computing when rank 0 ends, the whole job is ended (``MPI_Abort``, with 130 for Ctrl-C, 2 for the user's mistake
    and else 1). A rank that is killed ends the job; that is mpiexec's rule.

    Raises :class:`DataError` if there are not at least two ranks.
    """
    # Also on rank 0, which solves nothing: to start PETSc is an act of all ranks together.
    from maxwell.fenicsx import MPI

    world = MPI.COMM_WORLD
    if world.size < 2:
        raise DataError(_alone())
    from mpi4py.futures import MPICommExecutor

    kinds = world.gather(kernels(), root=0)
    pool = MPICommExecutor(world, root=0)
    if world.rank > 0:
        with _deaf(), environment(ONE_THREAD), threadpoolctl.threadpool_limits(1), pool:
            pass  # entering is what serves
        yield None
        return
    executor = pool.__enter__()
    end = _End(executor, world)
    try:
        tell_of_kinds(
            kinds[1:]
        )  # once the others are met, lest a warning that is an error leaves them waiting
        yield _Ranks(executor, world.size - 1)
        executor.shutdown(wait=True)
        end.orderly = True
    except BaseException as error:
        end.status = _status(error)
        raise


class _Ranks(Executor):
    """The executor of ``mpi4py.futures``, and how many ranks it has."""

    def __init__(self, executor: Executor, width: int):
        self._executor, self.width = executor, width

    def submit(self, function, /, *args, **kwargs) -> Future:
        return self._executor.submit(function, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait=wait, cancel_futures=cancel_futures)


def _status(error: BaseException) -> int:
    return 130 if isinstance(error, KeyboardInterrupt) else 2 if isinstance(error, DataError) else 1


class _End:
    """At the end of the process: unless it was `orderly`, see to it that what is running does not outlive it.

    In place before the work begins, so that a second Ctrl-C cannot come between.  It acts only at the end, after
    the exception has been shown, since the end of a job silences all of it.
    """

    def __init__(self, executor: Executor, world):
        self.orderly, self.status, self._executor, self._world = False, 1, executor, world
        self._begin, self._dropped = threading.Event(), threading.Event()
        threading.Thread(
            target=self._drop, daemon=True
        ).start()  # at the end of a process none can be started
        threading._register_atexit(
            self
        )  # no public way: what `atexit` has comes after the executor's own waiting

    def __call__(self) -> None:
        if self.orderly:
            return
        # PETSc's own end is an act of all ranks together, and MPI_Abort has been seen to spin: if either waits for
        # ranks that do not come, the alarm ends this process, and so mpiexec the job.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
        self._begin.set()
        if not self._dropped.wait(_GRACE):
            sys.stdout.flush()
            sys.stderr.flush()
            self._world.Abort(self.status)

    def _drop(self) -> None:
        """Drop what is queued, and wait for what is running."""
        self._begin.wait()
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._dropped.set()


@contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C ignored, by what is started in between as well; rank 0 alone answers it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _alone() -> str:
    if ranks() > 1:
        return (
            f"mpi: the launcher started {ranks()} ranks, but to this MPI each is alone; expected the mpiexec of "
            f"the same MPI: use the one beside {sys.executable}, if there is one."
        )
    return (
        "mpi: given 1 rank, expected at least 2 (rank 0 writes, the others compute); start with "
        "mpiexec -n 3, or leave MPI and use local workers."
    )
