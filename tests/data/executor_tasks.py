"""What `test_executors` has workers do: functions that they import."""

import os
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import threadpoolctl

import maxwell
from data import DataError

THETA = [0.47, 0.55, 0.62, 0.11, 1.3]

_inside: list[int] = []


def observations(folder: Path) -> tuple[bytes, bytes]:
    """The bits of one sample, refactorised and by the prepared path."""
    forward = maxwell.Conductivity().discretise(cells=3, degree=1)
    plain = forward(THETA).tobytes()
    forward.prepare(folder)
    return plain, forward(THETA).tobytes()


def refuse(sentence: str) -> None:
    raise DataError(sentence)


def process() -> int:
    return os.getpid()


def threads() -> set[int]:
    """Numbers of threads of the numeric libraries in use, and what later ones are told."""
    return {library["num_threads"] for library in threadpoolctl.threadpool_info()} | {
        int(os.environ["OPENBLAS_NUM_THREADS"])
    }


def company() -> int:
    """How many such tasks this process has begun and not ended, this one included."""
    _inside.append(1)
    most = 1
    for _ in range(100_000):
        most = max(most, len(_inside))
    _inside.pop()
    return most


def hold(begun: Path, released: Path) -> None:
    """Say that it has begun, and end when told to."""
    begun.write_text(str(os.getpid()))
    while not released.exists():
        threading.Event().wait(0.02)


def die(times: int, folder: Path) -> int:
    """Kill its process the first few times; then say how often it died."""
    deaths = len(list(folder.iterdir()))
    if deaths < times:
        (folder / str(deaths)).touch()
        os._exit(1)
    return deaths


def die_in_mid_word() -> None:
    """End its process with its answer half sent, as a kill may at any moment."""

    def send(pipe: Connection, message: bytes) -> None:
        os.write(pipe.fileno(), bytes(message)[: len(message) // 2])
        os._exit(1)

    Connection._send = send
