"""A generation that writes down what it does, line by line, so that its killer can tell what it had done.

python -m experiments.bench.pipeline.victim RECIPE OUT LOG: with two local workers; the lines are ``asked`` for each
shard that is given to a worker, and ``done N`` for N samples in the folder.
"""

import os
import sys
from concurrent.futures import Executor, Future

import data
from data import executors, samples

WORKERS = 2


class _Counting(Executor):
    def __init__(self, inner: Executor, note):
        self.inner, self.note, self.width = inner, note, executors.width(inner)

    def submit(self, function, /, *args, **kwargs) -> Future:
        if function is samples.solve:
            self.note("asked")
        return self.inner.submit(function, *args, **kwargs)


def main(recipe: str, out: str, log: str) -> None:
    """Generate."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(line):
        os.write(descriptor, f"{line}\n".encode())  # no buffer that a kill could empty

    with executors.local(WORKERS) as inner:
        data.generate(
            recipe,
            out,
            executor=_Counting(inner, note),
            progress=lambda event: note(f"done {event.done}"),
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
