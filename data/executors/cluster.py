"""The workers of a Dask cluster, found by the address of its scheduler."""

import asyncio
import logging
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from data.errors import DataError
from data.executors.threads import kernels, serially, tell_of_kinds

_CHATTY = ("distributed", "distributed.client")  # loggers that have a level of their own
_FAREWELL = 5.0  # seconds for the scheduler to hear that we leave
_GLANCE = 1.0  # seconds between looks whether we have left


@contextmanager
def dask(address: str, patience: float = 30.0) -> Iterator[Executor]:
    """An executor over the workers of a Dask cluster.

    address: of the scheduler, such as ``tcp://host:8786``.
    patience: seconds to wait for the scheduler, and then for the first worker.

    A worker process computes one task at a time, also if it has several threads (start workers with
    ``--nthreads 1``: more are not faster). Workers may come and go: the task of one that dies is computed
    elsewhere, until Dask gives it up. Leaving by an exception drops what is queued; what is running comes to its
    end on its worker, and nobody waits for it.

    Raises :class:`DataError` if ``distributed`` is not installed, the scheduler does not answer, has no worker, or
    its workers lack this package.
    """
    try:
        import distributed
    except ModuleNotFoundError:
        raise DataError(
            "dask: needs the package distributed, which is not installed; "
            'pip install "maxwell-inverse[dask]" here and where the workers run.'
        ) from None
    with _quiet():
        client = _connect(distributed, address, patience)
        try:
            _meet_workers(client, address, patience)
            yield _Cluster(client)
        finally:
            with suppress(Exception):  # a scheduler that has gone needs no goodbye
                client.close(timeout=_FAREWELL)


def _connect(distributed: Any, address: str, patience: float) -> Any:
    try:
        # A client that fails to connect leaves a thread behind that troubles later ones: knock first, without one.
        with ThreadPoolExecutor(1) as aside:  # a notebook's thread has an event loop of its own
            aside.submit(asyncio.run, _knock(distributed, address, patience)).result()
        return distributed.Client(address, timeout=patience, set_as_default=False, name="maxwell-inverse")
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"dask: no scheduler answers at {address} ({_reason(error)}); expected the address that "
            "`dask scheduler` printed at its start, such as tcp://host:8786."
        ) from None


def _meet_workers(client: Any, address: str, patience: float) -> None:
    """Wait until the cluster has a worker, and see that all it has can run our functions."""
    try:
        client.wait_for_workers(1, timeout=patience)
        tell_of_kinds(client.run(kernels).values())
    except TimeoutError:
        sentence = f"has no worker; start one with `dask worker {address} --nthreads 1`, then run this again."
    except OSError as error:
        sentence = f"or a worker went away ({_reason(error)}); look there, then run this again."
    except Exception as error:  # of whatever type: Dask gives what a worker raised here as text
        sentence = f"has workers that cannot run this package ({_reason(error)}); install there what is here."
    else:
        return
    raise DataError(f"dask: the scheduler at {address} {sentence}")


async def _knock(distributed: Any, address: str, patience: float) -> None:
    arguments = distributed.Security().get_connection_args("client")
    comm = await distributed.comm.connect(address, timeout=patience, **arguments)
    await comm.close()


class _Cluster(Executor):
    """Tasks as the client's own futures, their outcomes as ``concurrent.futures`` has them.

    The executor that Dask offers gives the tasks of a lost scheduler as cancelled and those of lost workers as
    errors like any other, and so leaves open whether the task or the cluster failed.
    """

    def __init__(self, client: Any):
        self._client = client

    @property
    def width(self) -> int:
        self._demand_connection()
        try:
            return max(1, len(self._client.nthreads()))
        except OSError as error:
            raise BrokenExecutor(f"the Dask scheduler does not answer: {_reason(error)}") from None

    def submit(self, function: Callable, /, *args: Any, **kwargs: Any) -> Future:
        self._demand_connection()
        task = self._client.submit(_attempt, function, args, kwargs, pure=False)
        outcome = Future()
        outcome.add_done_callback(partial(_drop, task))
        task.add_done_callback(partial(_pass_on, outcome))
        return outcome

    def _demand_connection(self) -> None:
        if self._client.status != "running":
            raise BrokenExecutor("the connection to the Dask scheduler is lost")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing: the block that made the client closes it."""


def _attempt(function: Callable, args: tuple, kwargs: dict) -> tuple[Any, Exception | None, str]:
    """In a worker: the result, or what the function itself raised. What Dask raises, then, is the cluster's."""
    try:
        return serially(function, *args, **kwargs), None, ""
    except Exception as error:
        return None, error, traceback.format_exc()


def _pass_on(outcome: Future, task: Any) -> None:
    if not outcome.set_running_or_notify_cancel():
        return
    try:
        result, error, trace = _brought(task)
    except BaseException as lost:
        outcome.set_exception(BrokenExecutor(f"a task is lost to the Dask cluster: {_reason(lost)}"))
        return
    if error is None:
        outcome.set_result(result)
    else:
        error.add_note(f"in a Dask worker:\n{trace}")
        outcome.set_exception(error)


def _brought(task: Any) -> tuple[Any, Exception | None, str]:
    """What a task that is done has come to, fetched from its worker.

    Not waited for without end: a client that is closed meanwhile never answers, and all outcomes of this process
    come by one thread.
    """
    while True:
        try:
            return task.result(timeout=_GLANCE)
        except TimeoutError:
            if task.client.status != "running":
                raise


def _drop(task: Any, outcome: Future) -> None:
    if outcome.cancelled():
        task.cancel()


@contextmanager
def _quiet() -> Iterator[None]:
    """The client's tales of lost connections kept down: what matters of them is raised."""
    levels = {name: logging.getLogger(name).level for name in _CHATTY}
    try:
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
