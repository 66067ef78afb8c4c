"""Experiments of a paper: computed in worker processes, each kept in a folder named by its specification."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, as_completed
from pathlib import Path
from typing import Any

from experiments.errors import StudyError
from experiments.files import read_json, write_json
from experiments.progress import Progress

Experiment = Callable[[dict[str, Any], Path], dict[str, Any]]
"""(specification, folder of its own) ↦ result; plain data both, and the function one that workers can import."""


class Work:
    """What a paper's experiments are given: a folder, and workers.

    folder : of the paper; `folder/experiments/NAME-…/result.json` is an experiment that has been computed, its
    other files what it needs to go on after a kill.  The key is the specification, not the code: after a change
    of the code that computes, remove the folder.
    """

    def __init__(self, folder: Path, executor: Executor):
        self.folder = folder
        self._executor = executor

    def map(
        self, experiment: Experiment, specs: Sequence[Mapping[str, Any]], label: str = ""
    ) -> list[dict[str, Any]]:
        """The results of an experiment under several specifications, in their order; equal ones count once.

        What is there already is read, whatever computed it: fresh and kept results are the same file.  Long ones
        first, for the workers take them in this order.  Raises StudyError when a worker dies; an exception of an
        experiment comes out as it was raised, the others' results are kept.
        """
        homes = [self._home(experiment, spec) for spec in specs]
        jobs = dict(zip(homes, map(dict, specs), strict=True))
        todo = {home: spec for home, spec in jobs.items() if not (home / "result.json").exists()}
        with Progress(label or experiment.__name__, len(jobs), "experiments") as progress:
            progress.start(done := len(jobs) - len(todo))
            try:
                waiting = [
                    self._executor.submit(_perform, experiment, spec, home) for home, spec in todo.items()
                ]
                for future in as_completed(waiting):
                    future.result()
                    progress.update(done := done + 1)
            except BrokenExecutor:
                raise StudyError(
                    f"{self.folder}: a worker process died, often for want of memory; run the same command again "
                    "to continue, perhaps with fewer workers."
                ) from None
        return [self._result(home) for home in homes]

    def _home(self, experiment, spec):
        name = f"{experiment.__module__}.{experiment.__qualname__}"
        known = json.dumps([name, dict(spec)], sort_keys=True, allow_nan=False)
        digest = hashlib.sha256(known.encode()).hexdigest()[:16]
        return self.folder / "experiments" / f"{experiment.__name__.strip('_')}-{digest}"

    @staticmethod
    def _result(home):
        file = home / "result.json"
        found = read_json(file, "finished experiment", f"remove {home} and run again")
        if not isinstance(found, dict) or "result" not in found:
            raise StudyError(f"{file}: is not the result of an experiment; remove {home} and run again.")
        return found["result"]


def _perform(experiment: Experiment, spec: dict[str, Any], home: Path) -> None:
    """One experiment in a worker; its result is written last."""
    home.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    result = experiment(spec, home)
    seconds = time.perf_counter() - began
    write_json(home / "result.json", {"spec": spec, "seconds": seconds, "result": result})
