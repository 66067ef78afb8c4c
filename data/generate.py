"""From a recipe to a data set: plan what is missing, compute it in workers, write it here.

Workers compute and this process alone writes, so nothing writes to the folder once it is dead. The plan
is "wanted minus done", so a run that was stopped, however roughly, is continued by running it again.
Sample i depends on the recipe and i alone, so the workers' kind, number and order change no bit. Whether the
fast path of a mesh is prepared depends on how many samples the recipe asks of that mesh, done or not: what
is prepared lies beside the shards for all workers and later runs, and comes out the same if it is deleted. Where
it cannot be prepared, for want of room say, the run stops; only if it is asked to are the samples refactorised
then, which changes their last digits.

The plan is never written out: memory here is that of a few shards, and of one number for each shard that is done.
"""

import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import nullcontext, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import maxwell
from data import executors, locks, provenance, reader, schema
from data import recipe as recipes
from data.errors import DataError
from data.locks import Part
from data.plan import Plan
from data.progress import Progress, Watcher
from data.recipe import Recipe, canonical
from data.samples import Mesh, Task, prepare, solve
from data.store import Folder, Shard, shard_of

_LOOK_AHEAD = 2  # shards a worker that are submitted and not yet written: bounds the memory
_MOST_WORKERS = 100_000
_HEARTBEAT = 10.0  # seconds between signs of life while nothing else happens


class FailedSamplesWarning(UserWarning):
    """Samples could not be solved: they are recorded with the reason, and readers leave them out."""


def generate(
    recipe: str | Path | Recipe,
    out: str | Path,
    workers: int | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    progress: Watcher | None = None,
    executor: Executor | None = None,
    part: Part | None = None,
    retry: bool = False,
    refactorise: bool = False,
) -> reader.Dataset:
    """Generate the data set of a recipe into the folder ``out``, or what is still missing of it.

    recipe: a TOML file, the name of a recipe that comes with the package, or a :class:`Recipe`.
    workers: local processes; by default one for each core that may be used. With an ``executor``: how
        many tasks it runs at once.
    overrides: config path -> value, such as ``{"splits.train.samples": 20}``; for a file or name only.
    progress: called with a :class:`Progress` at the start and every ten seconds of preparation, after each
        shard, every ten seconds without one, and at the end.
    executor: where to compute instead, such as ``executors.mpi()`` or ``executors.dask(address)`` give;
        any that runs functions of this package by reference in processes that see the folder.
    part: this process does one part of the shards alone, others may do the others at the same time; the data set
        that is returned holds what is there.
    retry: try the samples again that have failed before.
    refactorise: where a mesh of many samples cannot be prepared (no room, a folder that refuses), refactorise for
        each sample instead of stopping: slower, and the data differ by some 1e-9 from what they would have been.

    Cost: a mesh of enough samples (32 or more) is prepared once, at the cost of some samples, and its blocks are
    kept in ``out/blocks`` until the data set is complete, shared by the workers: 8 N² bytes a frequency with N
    the unknowns of the region of interest (16 N² up to N = 2,500 and where induction is strong). Of the
    recipes that come with the package, training and finer mesh: demo N = 5,246 and 10,332 (0.2 and 0.8 GiB),
    conductivity 10,740 and 19,494 (0.9 and 2.8), two_balls 10,332 and 20,344 (0.8 and 3.1), voxels 2,936 and
    9,324 (0.06 and 0.6); the linear ones none. Then one solve a sample. In each worker the memory of one or
    two discretisations; here that of a few shards. Finished shards survive Ctrl-C, a kill, a full disk and a
    failed sample.

    Warns with :class:`FailedSamplesWarning` of samples that failed, and with :class:`maxwell.SlowPathWarning`
    of a mesh whose samples are refactorised for want of a preparation, as ``method`` of each tells.

    Raises :class:`DataError` for a faulty recipe, a folder that holds another data set or is being written by
    another process, a mesh that cannot be built or prepared, a worker that died, a disk that refuses.
    """
    if not isinstance(recipe, Recipe):
        recipe = recipes.load(recipe, overrides)
    elif overrides:
        raise DataError(
            "overrides: go with a recipe's file or name, not with a Recipe; give them to recipe.load."
        )
    else:
        recipe = recipes.parse(recipe.model_dump())  # one made by hand may lack its defaults
    if workers is not None and not (type(workers) is int and 1 <= workers <= _MOST_WORKERS):
        raise DataError(f"workers: expected a whole number from 1 to {_MOST_WORKERS:,}, given {workers!r}.")
    if part is not None and not isinstance(part, Part):
        raise DataError(f"part: expected a Part such as data.Part(1, 4), given {part!r}.")
    if not str(out):
        raise DataError("out: expected a folder for the data set, given an empty path; name one.")
    folder = Folder(out)
    try:
        if not _finished(folder, recipe, retry):
            with folder.writing(part):
                with locks.alone(folder.path) if part else nullcontext():
                    manifest = _start(folder, recipe, part)
                plan = Plan(manifest.recipe, folder.listing(), part, retry)
                _fill(
                    folder, manifest, plan, executor, workers, progress or (lambda event: None), refactorise
                )
    except OSError as error:
        raise DataError(
            f"{folder.path}: cannot be written ({error.strerror or error}); make room or give another "
            "folder, then run the same command again: finished shards are kept."
        ) from error
    _tidy(folder)
    dataset = reader.open(folder.path, partial=part is not None)
    if dataset.failed:
        first = dataset.failures[0]
        warnings.warn(
            f"{folder.path}: {dataset.failed} samples could not be solved and are left out (the first: {first}); "
            "generate with retry to try them again.",
            FailedSamplesWarning,
            stacklevel=2,
        )
    return dataset


# -- the plan -------------------------------------------------------------------------------------------


def _finished(folder: Folder, recipe: Recipe, retry: bool) -> bool:
    """Whether nothing is left to write, so that even a read-only folder will do."""
    if not folder.begun():
        return False
    manifest = _agreed(folder, recipe)
    if manifest != folder.read_manifest():
        return False
    return not any(True for _ in Plan(manifest.recipe, folder.listing(), retry=retry))


def _start(folder: Folder, recipe: Recipe, part: Part | None) -> schema.Manifest:
    """The folder's manifest, written now if the folder or a label of the recipe is new."""
    beside = part is not None and folder.has_manifest() and locks.others(folder.path, part)
    if beside or folder.begun():  # else there is nothing that another recipe could spoil
        manifest = _agreed(folder, recipe)
        if manifest != folder.read_manifest():
            folder.write_manifest(manifest)
        return manifest
    specs = {canonical(spec): spec for spec in (recipe.problem, *map(recipe.problem_of, recipe.splits))}
    numbers = {text: number for number, text in enumerate(specs)}
    manifest = schema.Manifest(
        digest=recipe.digest,
        recipe=recipe,
        problems=[_described(spec) for spec in specs.values()],
        splits={name: numbers[canonical(recipe.problem_of(name))] for name in recipe.splits},
        provenance=provenance.collect(),
    )
    _own(folder, manifest)
    folder.write_manifest(manifest)
    return manifest


def _own(folder: Folder, manifest: schema.Manifest) -> None:
    """Raise :class:`DataError` if a folder whose manifest was lost holds shards that are not of this one."""
    for (split, number), failed in folder.listing().items():
        try:
            if split in manifest.splits:
                folder.opened(manifest, shard_of(manifest.recipe, split, number), failed)
        except DataError as error:
            raise DataError(
                f"{folder.path}: holds shards and no {schema.MANIFEST}, and they are not of this recipe "
                f"({str(error).partition(';')[0]}); give another folder, or the recipe that they were made from."
            ) from None


def _described(spec: dict[str, Any]) -> schema.Problem:
    """A problem as the manifest tells it."""
    problem = maxwell.problem_from(spec)
    labels = {name: [int(v) for v in values] for name, values in problem.observation_labels().items()}
    tables = {
        name: {
            "description": table.description,
            "columns": {
                key: {"unit": column.unit, "values": [float(v) for v in column.values]}
                for key, column in table.columns.items()
            },
        }
        for name, table in problem.observation_tables().items()
    }
    return schema.Problem(
        spec=spec,
        parameters=[{"name": p.name, "unit": p.unit, "group": p.group} for p in problem.parameters],
        observations={"unit": problem.observation_unit, "labels": labels, "tables": tables},
        image={"name": problem.image_name, "unit": problem.image_unit},
        field={"name": "total field", "unit": problem.field_unit},
    )


def _agreed(folder: Folder, recipe: Recipe) -> schema.Manifest:
    """The manifest of a folder that was started from this recipe; :class:`DataError` if it was not.

    Of what changes no sample, the folder keeps its own shard size, and takes the recipe's labels (a
    declared inverse crime).
    """
    manifest = folder.read_manifest()
    there, here = manifest.recipe, recipe
    extras = {key: (getattr(there.store, key), getattr(here.store, key)) for key in schema.EXTRAS}
    differences = [
        f"store.{key} is {old} there and {new} here" for key, (old, new) in extras.items() if old != new
    ]
    if manifest.digest != recipe.digest or differences:
        difference = next(_differences(there.numbers, here.numbers, ""), None) or differences[0]
        raise DataError(
            f"{folder.path}: holds the data set of another recipe ({difference}); give another folder, or "
            "that recipe."
        )
    return manifest.model_copy(update={"recipe": recipe.model_copy(update={"store": there.store})})


def _differences(there: Any, here: Any, path: str) -> Iterator[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        for key in [*there, *(k for k in here if k not in there)]:
            yield from _differences(there.get(key), here.get(key), f"{path}.{key}".removeprefix("."))
    elif there != here:
        yield f"{path} is {_told(there)} there and {_told(here)} here"


def _told(value: Any) -> str:
    return "absent" if value is None else canonical(value)


# -- the run --------------------------------------------------------------------------------------------


def _fill(
    folder: Folder,
    manifest: schema.Manifest,
    plan: Plan,
    executor: Executor | None,
    workers: int | None,
    watch: Watcher,
    refactorise: bool,
) -> None:
    """Compute and write the shards of a plan."""
    shards = sum(1 for _ in islice(plan, workers or executors.usable_cores()))
    if not shards:
        return
    total, todo, origin = plan.total, plan.todo, provenance.collect()
    state = Progress("prepare", done=total - todo, total=total, kept=total - todo, seconds=0.0)
    with executors.local(shards) if executor is None else nullcontext(executor) as running:
        at_once = shards if executor is None else workers or executors.width(executor)
        try:
            meshes = _prepare(running, folder, plan, lambda: watch(state), refactorise)
            tasks = ((shard, mesh) for mesh, splits in meshes.items() for shard in plan.of(splits))
            began = time.perf_counter()
            state = replace(state, stage="solve")
            watch(state)
            for shard, computed in _results(
                running, manifest.recipe, tasks, _LOOK_AHEAD * at_once, refactorise
            ):
                if computed is not None:
                    about = origin | {"kernels": computed.kernels}
                    failed = folder.write_shard(
                        manifest, shard, computed.arrays, computed.discretisation, about
                    )
                    state = replace(state, done=state.done + len(shard), failed=state.failed + failed)
                state = replace(state, seconds=time.perf_counter() - began)
                watch(state)
        except BrokenExecutor:
            raise DataError(
                f"{folder.path}: a worker process died, often for want of memory; {state.done} of {total} samples "
                "are kept: run the same command again to continue, perhaps with fewer workers."
            ) from None


def _prepare(
    executor: Executor, folder: Folder, plan: Plan, alive: Callable[[], None], refactorise: bool
) -> dict[Mesh, list[str]]:
    """Build each mesh's forward map once in one worker: kernels are compiled and blocks computed for all.

    Returns the meshes with their splits in the order to compute them: mesh by mesh, the finest first, so that
    workers keep their forward maps and no long task is left for the end. A mesh that cannot be prepared here is
    prepared by no worker.
    """
    alive()
    meshes: dict[Mesh, list[str]] = {}
    for name in plan.splits:
        meshes.setdefault(Mesh.of(folder.blocks, plan.recipe, name), []).append(name)
    dofs, used = {}, {}
    for mesh in sorted(meshes):
        building = executor.submit(prepare, mesh)
        while not wait([building], _HEARTBEAT).done:
            alive()
        dofs[mesh], note = building.result()
        used[mesh] = replace(mesh, samples=0) if note else mesh
        _tell(note, refactorise)
    return {used[mesh]: meshes[mesh] for mesh in sorted(meshes, key=lambda mesh: (-dofs[mesh], mesh))}


def _tell(note: str, refactorise: bool) -> None:
    """Say that the samples of a mesh are refactorised, or stop because nobody asked for that."""
    if note and not refactorise:
        raise DataError(
            f"{note}: mend that, then run the same command again, or let its samples be refactorised "
            "(refactorise=True, --refactorise), which is slower and changes their last digits; finished shards "
            "are kept."
        )
    if note:
        warnings.warn(
            f"{note}. Its samples are refactorised instead: slower, and the bits depend on it (below 1e-8 of the "
            "data, mostly 1e-9); `method` of each sample tells.",
            maxwell.SlowPathWarning,
            stacklevel=5,  # whoever called `generate`
        )


def _results(
    executor: Executor,
    recipe: Recipe,
    plan: Iterator[tuple[Shard, Mesh]],
    look_ahead: int,
    refactorise: bool,
) -> Iterator[tuple[Shard | None, Any]]:
    """Each shard with what came of it, as they finish; and nothing when nothing does, now and then.

    At most ``look_ahead`` are under way.
    """
    under_way: dict[Future, Shard] = {}
    told = set()
    while True:
        for shard, mesh in islice(plan, look_ahead - len(under_way)):
            under_way[executor.submit(solve, Task.of(mesh, recipe, shard))] = shard
        if not under_way:
            return
        finished = wait(under_way, _HEARTBEAT, return_when=FIRST_COMPLETED).done
        if not finished:
            yield None, None
        for future in finished:
            computed = future.result()
            if computed.note not in told:  # several workers may have met the same
                told.add(computed.note)
                _tell(computed.note, refactorise)
            yield under_way.pop(future), computed


def _tidy(folder: Folder) -> None:
    """Remove what only the generation needed, once it is done, nobody else is at it and the folder lets us."""
    if not folder.blocks.exists() and not list(folder.path.glob(".lock-*")):
        return
    if not any(True for _ in Plan(folder.read_manifest().recipe, folder.listing())):
        with suppress(OSError, DataError), folder.writing():
            shutil.rmtree(folder.blocks, ignore_errors=True)
            (folder.path / ".lock-start").unlink(missing_ok=True)
