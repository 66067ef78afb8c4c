"""What `test_executors` runs under mpiexec; rank 0 prints what it saw, as JSON."""

import json
import sys
import time
from pathlib import Path

import executor_tasks as tasks

from data import DataError, executors


def computed(executor, folder: Path) -> dict:
    """Results and exceptions of tasks on the other ranks."""
    count = executors.width(executor)
    asked = [executor.submit(tasks.observations, folder / str(k)) for k in range(count)]
    return {
        "ranks": executors.ranks(),
        "width": count,
        "observations": [[bits.hex() for bits in future.result()] for future in asked],
        "threads": sorted(executor.submit(tasks.threads).result()),
        "refused": repr(executor.submit(tasks.refuse, "a sentence").exception()),
    }


def held(executor, folder: Path) -> None:
    """Every rank busy for ever, and more in the queue."""
    for k in range(3 * executors.width(executor)):
        executor.submit(tasks.hold, folder / f"begun{k}", folder / "never")
    while len(list(folder.glob("begun*"))) < executors.width(executor):
        time.sleep(0.01)


def alone() -> None:
    """One rank: no executor over ranks, but local workers, which solve as ever."""
    try:
        with executors.mpi():
            pass
    except DataError as error:
        with executors.local(1) as executor:
            bits = executor.submit(tasks.observations, folder).result()
            print(json.dumps({"refused": str(error), "observations": [part.hex() for part in bits]}))


if __name__ == "__main__":
    what, folder = sys.argv[1], Path(sys.argv[2])
    if what == "alone":
        alone()
        sys.exit()
    with executors.mpi() as executor:
        if executor is None:
            print("computed", file=sys.stderr)
        elif what == "compute":
            print(json.dumps(computed(executor, folder)))
        else:
            held(executor, folder)
            print("held", flush=True)
            if what == "fail":
                sys.exit("a sentence")
            sys.stdin.read()  # until Ctrl-C
