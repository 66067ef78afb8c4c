"""Training many runs: those that may train together in groups, the groups spread over workers."""

import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, as_completed
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from experiments.errors import StudyError
from experiments.progress import Progress
from experiments.specs import RunSpec

MEMBERS_OWN = frozenset({"seed", "time", "horizon", "learning_rate", "weight_decay", "noise"})
"""Settings in which runs that train together may differ; each noise brings data and a compression of its own."""

Group = dict[str, RunSpec]
"""Runs that train together: name of the folder to specification."""


def company(spec: RunSpec) -> tuple:
    """What runs must have in common to train as one program (`training.fit_ensemble`).

    The start of a learned order is a member's own; an order that is not trained is a constant of the network.
    Networks that train alone: feed-forward ones, and those whose depth changes or whose steps are regularised.
    """
    own = MEMBERS_OWN | {"order"} if spec.learn_order else MEMBERS_OWN
    if alone(spec):
        own = frozenset()
    return tuple((name, getattr(spec, name)) for name in RunSpec.model_fields if name not in own)


def alone(spec: RunSpec) -> bool:
    """Whether a run trains by itself, however many may train as one program."""
    return spec.family == "feed-forward" or spec.depth is not None or spec.regularisers is not None


def groups(runs: Mapping[str, RunSpec], ensemble: int) -> list[Group]:
    """The runs on one data set in the groups that train together, in their order.

    Runs of one `company` are cut into as few groups as `ensemble` allows, equal in size but for one run, so that
    workers have equal shares.  They follow from the runs alone, not from the number of workers nor from what is
    complete, and so do the last digits of the weights.
    """
    companies: dict[tuple, list[str]] = {}
    found = []
    for name, spec in runs.items():
        companies.setdefault(company(spec), []).append(name)
    for names in companies.values():
        count = -(-len(names) // ensemble)
        cuts = [len(names) * k // count for k in range(count + 1)]
        found += [names[start:end] for start, end in pairwise(cuts)]
    return [{name: runs[name] for name in names} for names in found]


def train_all(
    work: list[tuple[Path, Group]],
    out: Path,
    workers: int | None = None,
    executor: Executor | None = None,
    what: str = "training",
) -> None:
    """Train every run that is not finished into `out`/name: groups in workers, from their checkpoints.

    work : data set and group.  executor : where to train instead of in `workers` local processes.
    Raises StudyError for a finished run of another specification or another data set, when a worker dies, and,
    after all others are trained, for runs that left the numbers.
    """
    import data
    from experiments import ensembles
    from experiments.runs import finished, refuse_another

    total, done, todo, failures = sum(len(group) for _, group in work), 0, [], {}
    digests = {dataset: data.open(dataset).manifest.digest for dataset in dict.fromkeys(d for d, _ in work)}
    for dataset, group in work:
        for name, spec in group.items():
            refuse_another(out / name, spec, digests[dataset])
        complete = sum(finished(out / name) for name in group)
        done += complete
        if complete < len(group):
            todo.append((dataset, group))
    _tell_of_single_ones([spec for _, group in todo for spec in group.values()])
    with Progress(what, total, "networks") as progress:
        progress.start(done)
        if not todo:
            ensembles.tidy(out)
            return
        with _lost_worker_told(out), placed(executor, workers, len(todo)) as place:
            waiting = [place.submit(_train, str(dataset), str(out), group) for dataset, group in todo]
            for future in as_completed(waiting):
                found = future.result()
                losses = {name: loss for name, loss in found.items() if not isinstance(loss, str)}
                failures |= {name: why for name, why in found.items() if name not in losses}
                done += len(losses)
                progress.update(
                    done, ", ".join(f"{name}: validation loss {loss:.3f}" for name, loss in losses.items())
                )
    ensembles.tidy(out)
    if failures:
        raise StudyError(
            f"{out}: {done} of {total} networks are trained, but not {', '.join(failures)} "
            f"({next(iter(failures.values()))}); change their settings, or leave them out."
        )


def _tell_of_single_ones(specs: list[RunSpec]) -> None:
    """Say so where a changing depth keeps networks from training together, which takes longer."""
    changing = sum(spec.depth is not None for spec in specs)
    if changing:
        warnings.warn(
            f"{changing} of {len(specs)} networks change their depth, so they train one by one and not as one "
            "program.",
            stacklevel=2,
        )


@contextmanager
def placed(executor: Executor | None, workers: int | None, tasks: int | None = None) -> Iterator[Executor]:
    """The executor that is given, or local processes: as many as asked for or cores, and no more than tasks."""
    from data import executors

    if executor is not None:
        yield executor
        return
    width = executors.usable_cores() if workers is None else workers
    with executors.local(width if tasks is None else min(width, tasks)) as local:
        yield local


@contextmanager
def _lost_worker_told(out: Path) -> Iterator[None]:
    try:
        yield
    except BrokenExecutor:
        raise StudyError(
            f"{out}: a worker process died while training, often for want of memory; run the same command again to "
            "continue, perhaps with fewer workers."
        ) from None


def _train(dataset: str, out: str, group: Group) -> dict[str, float | str]:
    """One group in a worker; see `ensembles.train`."""
    import torch

    from experiments import ensembles

    torch.set_num_threads(1)
    return ensembles.train(dataset, out, group)
