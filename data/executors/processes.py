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
from concurrent.futures.process import BrokenProcessPool
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
    pool = _Pool(workers)
    try:
        yield pool
    except BaseException:
        pool.abandon()
        raise
    finally:
        pool.leave()


class _Pool(ProcessPoolExecutor):
    """A pool that a worker's death breaks at any moment, also half-way through sending a result.

    The pool alone would wait for the other half for ever: this process itself still holds the sending end of the
    pipe, only ever used by workers, and so does every other worker. So each worker is watched, and when one ends
    too early all are killed and that end is closed here: the pool sees the end of the pipe and gives up.
    """

    def __init__(self, workers: int):
        self._context = _Context()
        super().__init__(workers, mp_context=self._context, initializer=_begin)
        self._watched: list[_Worker] = []
        self._results = self._result_queue  # the pool forgets it when shut down
        self._changing = threading.RLock()
        self._abandoned = self._leaving = False

    @property
    def width(self) -> int:
        return self._max_workers

    def submit(self, *task, **options):
        with self._changing:  # a worker may be started: not while the pipe is closed
            if self._abandoned:
                raise BrokenProcessPool("a worker process died")
            future = super().submit(*task, **options)
            self._watch()
        return future

    def abandon(self) -> None:
        """Kill the workers, and have the pool drop what they were doing."""
        with self._changing:
            self._abandoned = True
            for worker in self._watched:
                worker.kill()
            self._results._writer.close()  # no public way: a second time does nothing

    def leave(self) -> None:
        """Wait for what is running, and end the workers."""
        self._leaving = True
        self.shutdown(wait=True, cancel_futures=True)

    def _watch(self) -> None:
        for worker in self._context.made:
            if worker.pid is not None and worker not in self._watched:
                self._watched.append(worker)
                threading.Thread(target=self._end_with, args=[worker], daemon=True).start()

    def _end_with(self, worker: "_Worker") -> None:
        multiprocessing.connection.wait([worker.sentinel])
        if not self._leaving:
            self.abandon()


class _Worker(multiprocessing.context.SpawnProcess):
    def start(self) -> None:
        with _birth():
            super().start()


class _Context(multiprocessing.context.SpawnContext):
    """The spawn context, except that its processes are :class:`_Worker` and it remembers them."""

    def __init__(self):
        super().__init__()
        self.made: list[_Worker] = []

    def Process(self, *args, **kwargs) -> _Worker:
        worker = _Worker(*args, **kwargs)
        self.made.append(worker)
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
