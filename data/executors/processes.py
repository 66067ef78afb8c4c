"""Local worker processes, spawned: nothing to install, nothing to start."""

import multiprocessing
import multiprocessing.connection
import multiprocessing.context
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker

from data.errors import DataError
from data.executors.ranks import LAUNCHERS
from data.executors.threads import ONE_THREAD, environment


@contextmanager
def local(workers: int) -> Iterator[Executor]:
    """An executor of spawned processes, one BLAS thread each.

    Processes start one by one as tasks are submitted, so a first task whose result is awaited has the
    first process to itself: that is how kernels are compiled once before the others need them.

    If the block is left by an exception, Ctrl-C included, unfinished tasks are dropped and the workers
    killed at once. Workers ignore Ctrl-C themselves, and end when this process ends however it ends.
    """
    if workers < 1:
        raise DataError(f"workers: expected at least 1, given {workers}.")
    context = _Context()
    pool = _Pool(workers, mp_context=context, initializer=_begin)
    try:
        yield pool
    except BaseException:
        _abandon(pool, context.started)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _abandon(pool: ProcessPoolExecutor, started: list["_Worker"]) -> None:
    """Kill the workers, so that the pool can be shut down without waiting for what they were doing.

    A worker may die half-way through sending a result. The pool would wait for the other half for ever, since
    this process itself still holds the sending end of the pipe (only ever used by workers): close it, and the
    pool sees the end of the pipe and gives up.
    """
    for process in started:
        process.kill()
    results = getattr(pool, "_result_queue", None)  # no public way: seen to hang one time in ten without
    if results is not None:
        results._writer.close()


class _Pool(ProcessPoolExecutor):
    @property
    def width(self) -> int:
        return self._max_workers


class _Worker(multiprocessing.context.SpawnProcess):
    def start(self) -> None:
        with _birth():
            super().start()


class _Context(multiprocessing.context.SpawnContext):
    """The spawn context, except that its processes are :class:`_Worker` and it remembers them."""

    def __init__(self):
        super().__init__()
        self.started: list[_Worker] = []

    def Process(self, *args, **kwargs) -> _Worker:
        worker = _Worker(*args, **kwargs)
        self.started.append(worker)
        return worker


@contextmanager
def _birth() -> Iterator[None]:
    """What a worker inherits at birth and this process must not keep.

    One thread, set before numpy is imported. Nothing of mpiexec, if that started us: a worker that took itself for
    our rank would fail. Ctrl-C blocked, so that it stops neither a worker nor the compiler that a worker may be
    running, but only us. And no main module: a worker runs functions of this package alone, so a caller's script
    need not be importable nor have a main guard.
    """
    resource_tracker.ensure_running()  # else the spawn starts it, and that unblocks Ctrl-C again
    launched = {name: None for name in os.environ if name.startswith(LAUNCHERS)}
    main = sys.modules["__main__"]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        sys.modules["__main__"] = types.ModuleType("__main__")
        with environment(ONE_THREAD | launched):
            yield
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _begin() -> None:
    """First thing in a worker: watch the parent."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
