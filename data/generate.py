"""From a recipe to a data set: plan what is missing, compute it in workers, write it here.

Workers compute and this process alone writes, so nothing writes to the folder once it is dead. The plan
is "wanted minus done", so a run that was stopped, however roughly, is continued by running it again.
Sample i depends on the recipe and i alone, so the workers' number and order change no bit. Whether the
fast path of a mesh is prepared depends on how many samples the recipe asks of that mesh, done or not: what
is prepared lies beside the shards for all workers and later runs, and comes out the same if it is deleted. Where
it cannot be prepared, for want of room say, the samples are refactorised and the user is told: that changes their
bits, by some 1e-9 of their size.
"""

import functools
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import maxwell
from data import executors, provenance, reader, schema, seeds
from data import recipe as recipes
from data.errors import DataError
from data.progress import Progress, Watcher
from data.recipe import Recipe, canonical
from data.store import Folder, Shard, shards_of

_LOOK_AHEAD = 2  # shards a worker that are submitted and not yet written: bounds the memory
_HEARTBEAT = 10.0  # seconds between signs of life while a mesh is prepared


def generate(
    recipe: str | Path | Recipe,
    out: str | Path,
    workers: int | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    progress: Watcher | None = None,
) -> reader.Dataset:
    """Generate the data set of a recipe into the folder ``out``, or what is still missing of it.

    recipe: a TOML file, the name of a recipe that comes with the package, or a :class:`Recipe`.
    workers: processes; by default one for each core that may be used.
    overrides: config path -> value, such as ``{"splits.train.samples": 20}``; for a file or name only.
    progress: called with a :class:`Progress` at the start and every ten seconds of preparation, after each
        shard and at the end.

    Cost: a mesh of enough samples (32 or more) is prepared once, at the cost of some samples, and its blocks are
    kept in ``out/blocks``, shared by the workers: 8 N² bytes a frequency with N the unknowns of the region of
    interest (16 N² up to N = 2,500 and where induction is strong). Of the recipes that come with the package,
    training and finer mesh: demo N = 5,246 and 10,332 (0.2 and 0.8 GiB), conductivity 10,740 and 19,494 (0.9 and
    2.8), two_balls 10,332 and 20,344 (0.8 and 3.1), voxels 2,936 and 9,324 (0.06 and 0.6); the linear ones none.
    Then one solve a sample. In each worker the memory of one or two discretisations; here that of a few shards.
    Finished shards survive Ctrl-C, a kill, a full disk and a failed sample.

    Warns with :class:`maxwell.SlowPathWarning` of a mesh that could not be prepared (no room, a folder that
    refuses): its samples are refactorised, as ``method`` of each tells, and differ by some 1e-9 from the others.

    Raises :class:`DataError` for a faulty recipe, a folder that holds another data set or is being
    written by another process, a sample that cannot be solved, a worker that died, a disk that refuses.
    """
    if not isinstance(recipe, Recipe):
        recipe = recipes.load(recipe, overrides)
    elif overrides:
        raise DataError(
            "overrides: go with a recipe's file or name, not with a Recipe; give them to recipe.load."
        )
    else:
        recipe = recipes.parse(recipe.model_dump())  # one made by hand may lack its defaults
    folder = Folder(out)
    try:
        if not _finished(folder, recipe):
            with folder.writing():
                manifest = _start(folder, recipe)
                _fill(folder, manifest, workers, progress or (lambda event: None))
    except OSError as error:
        raise DataError(
            f"{folder.path}: cannot be written ({error.strerror or error}); make room or give another "
            "folder, then run the same command again: finished shards are kept."
        ) from error
    return reader.open(folder.path)


# -- the plan -------------------------------------------------------------------------------------------


def _finished(folder: Folder, recipe: Recipe) -> bool:
    """Whether nothing is left to write, so that even a read-only folder will do."""
    if not folder.begun():
        return False
    manifest = _agreed(folder, recipe)
    return manifest == folder.read_manifest() and not _missing(folder, manifest.recipe)


def _start(folder: Folder, recipe: Recipe) -> schema.Manifest:
    """The folder's manifest, written now if the folder or a label of the recipe is new."""
    if folder.begun():  # without a shard there is nothing that another recipe could spoil
        manifest = _agreed(folder, recipe)
        if manifest != folder.read_manifest():
            folder.write_manifest(manifest)
        return manifest
    problem = maxwell.problem_from(recipe.problem)
    labels = {name: [int(v) for v in values] for name, values in problem.observation_labels().items()}
    manifest = schema.Manifest(
        digest=recipe.digest,
        recipe=recipe,
        parameters=[{"name": p.name, "unit": p.unit} for p in problem.parameters],
        observations={"unit": problem.observation_unit, "labels": labels},
        provenance=provenance.collect(),
    )
    folder.write_manifest(manifest)
    return manifest


def _agreed(folder: Folder, recipe: Recipe) -> schema.Manifest:
    """The manifest of a folder that was started from this recipe; :class:`DataError` if it was not.

    Of what changes no sample, the folder keeps its own shard size, and takes the recipe's labels (a
    declared inverse crime).
    """
    manifest = folder.read_manifest()
    if manifest.digest != recipe.digest:
        difference = next(_differences(manifest.recipe.numbers, recipe.numbers, ""))
        raise DataError(
            f"{folder.path}: holds the data set of another recipe ({difference}); give another folder, or "
            "that recipe."
        )
    return manifest.model_copy(update={"recipe": recipe.model_copy(update={"store": manifest.recipe.store})})


def _differences(there: Any, here: Any, path: str) -> Iterator[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        for key in [*there, *(k for k in here if k not in there)]:
            yield from _differences(there.get(key), here.get(key), f"{path}.{key}".removeprefix("."))
    elif there != here:
        yield f"{path} is {_told(there)} there and {_told(here)} here"


def _told(value: Any) -> str:
    return "absent" if value is None else canonical(value)


def _missing(folder: Folder, recipe: Recipe) -> list[Shard]:
    """The shards to compute, in the order of the recipe."""
    return [shard for name in recipe.splits for shard in shards_of(recipe, name) if not folder.has(shard)]


# -- the run --------------------------------------------------------------------------------------------


def _fill(folder: Folder, manifest: schema.Manifest, workers: int | None, watch: Watcher) -> None:
    recipe, todo = manifest.recipe, _missing(folder, manifest.recipe)
    if not todo:
        return
    if workers is None:
        workers = executors.usable_cores()
    total = sum(split.samples for split in recipe.splits.values())
    kept = done = total - sum(map(len, todo))
    origin = provenance.collect()
    try:
        with executors.local(min(workers, len(todo))) as executor:
            plan = _prepare(
                executor, folder, recipe, todo, lambda: watch(Progress("prepare", done, total, kept, 0.0))
            )
            began = time.perf_counter()
            watch(Progress("solve", done, total, kept, 0.0))
            for shard, arrays in _results(executor, recipe, plan, _LOOK_AHEAD * workers):
                folder.write_shard(manifest, shard, arrays, origin)
                done += len(shard)
                watch(Progress("solve", done, total, kept, time.perf_counter() - began))
    except BrokenExecutor:
        raise DataError(
            f"{folder.path}: a worker process died, often for want of memory; {done} of {total} samples are "
            "kept: run the same command again to continue, perhaps with fewer workers."
        ) from None


def _prepare(
    executor: Executor, folder: Folder, recipe: Recipe, todo: list[Shard], alive: Callable[[], None]
) -> list[tuple[Shard, "_Mesh"]]:
    """Build each mesh's forward map once in the first worker: kernels are compiled and blocks computed for all.

    (Several processes that compile at once run into the short patience of the kernel cache's lock.)
    ``alive`` is called at the start and then every ten seconds. Returns the shards with their meshes in the order
    to compute them: mesh by mesh, the finest first, so that workers keep their forward maps and no long task is
    left for the end. A mesh that cannot be prepared here is prepared by no worker.
    """
    alive()
    meshes = {shard.split: _Mesh.of(folder, recipe, shard.split) for shard in todo}
    dofs, used = {}, {}
    for mesh in sorted(set(meshes.values())):
        building = executor.submit(_discretise, mesh)
        while not wait([building], _HEARTBEAT).done:
            alive()
        dofs[mesh], note = building.result()
        used[mesh] = replace(mesh, samples=0) if note else mesh
        _tell(note)
    todo = sorted(todo, key=lambda shard: (-dofs[meshes[shard.split]], meshes[shard.split]))
    return [(shard, used[meshes[shard.split]]) for shard in todo]


def _tell(note: str) -> None:
    if note:
        warnings.warn(note, maxwell.SlowPathWarning, stacklevel=5)  # whoever called `generate`


def _results(
    executor: Executor, recipe: Recipe, plan: list[tuple[Shard, "_Mesh"]], look_ahead: int
) -> Iterator[tuple[Shard, dict[str, np.ndarray]]]:
    """Each shard with its arrays, as they finish; never more than ``look_ahead`` under way."""
    waiting = iter(plan)
    under_way: dict[Future, Shard] = {}
    told = set()
    while True:
        for shard, mesh in islice(waiting, look_ahead - len(under_way)):
            under_way[executor.submit(_solve, _Task.of(mesh, recipe, shard))] = shard
        if not under_way:
            return
        for future in wait(under_way, return_when=FIRST_COMPLETED).done:
            arrays, note = future.result()
            if note not in told:  # several workers may have met the same
                told.add(note)
                _tell(note)
            yield under_way.pop(future), arrays


# -- in the workers -------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class _Mesh:
    """One discretisation to make, as plain data."""

    problem: str  # canonical JSON
    mesh: str  # canonical JSON
    samples: int  # that the recipe asks of it, in all splits; 0 once it could not be prepared
    blocks: Path  # where what it prepares is kept

    @classmethod
    def of(cls, folder: Folder, recipe: Recipe, split: str) -> "_Mesh":
        mesh = recipe.splits[split].mesh
        samples = sum(s.samples for s in recipe.splits.values() if s.mesh == mesh)
        return cls(canonical(recipe.problem), canonical(mesh), samples, folder.blocks)


@dataclass(frozen=True)
class _Task:
    """One shard to compute, as plain data."""

    mesh: _Mesh
    seed: int
    split: str
    parameters_of: str
    start: int
    stop: int

    @classmethod
    def of(cls, mesh: _Mesh, recipe: Recipe, shard: Shard) -> "_Task":
        source = recipe.parameters_of(shard.split)
        return cls(mesh, recipe.seed, shard.split, source, shard.start, shard.stop)


def _solve(task: _Task) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of one shard, and what the user should know of its mesh."""
    forward, note = _forward_map(task.mesh)
    prior = _problem(task.mesh.problem).prior
    rows = []
    for index in range(task.start, task.stop):
        seed = seeds.sample_seed(task.seed, task.split, index)
        parameter_seed = seeds.sample_seed(task.seed, task.parameters_of, index)
        try:
            theta = prior.sample(seeds.parameter_stream(parameter_seed), 1)[0]
            began = time.perf_counter()
            with warnings.catch_warnings():  # the sample's `method` says it, without a line for each
                warnings.simplefilter("ignore", maxwell.SlowPathWarning)
                response = forward.solve(theta)
            seconds = time.perf_counter() - began  # a linear map's own trace has those of its construction
            if not np.isfinite(response.observation).all():
                raise ArithmeticError("an observation is not finite")
        except Exception as error:
            raise DataError(
                f"sample {index} of split {task.split} (seed {parameter_seed}) cannot be solved: {_reason(error)}; "
                "finished shards are kept."
            ) from None
        rows.append(
            {
                "parameters": theta,
                "observations": response.observation,
                "seed": seed,
                "parameter_seed": parameter_seed,
                "error": response.info.get("error", 0.0),
                "seconds": seconds,
                "method": response.info["method"].encode(),
            }
            | {name: response.info[name] for name in ("residual", "reciprocity", "dofs")}
        )
    return {array.name: array.cast([row[array.name] for row in rows]) for array in schema.ARRAYS}, note


@functools.lru_cache(maxsize=1)
def _problem(problem: str) -> Any:
    return maxwell.problem_from(json.loads(problem))


@functools.lru_cache(maxsize=2)  # shards come mesh by mesh; a third discretisation would only hold memory
def _forward_map(mesh: _Mesh) -> tuple[Any, str]:
    """The forward map of a mesh, prepared if that pays and can be; else the note says why it is not."""
    try:
        forward = _problem(mesh.problem).discretise(**json.loads(mesh.mesh))
        executors.limit_threads()
    except Exception as error:
        raise DataError(f"mesh {mesh.mesh} cannot be discretised: {_reason(error)}.") from None
    if not mesh.samples:
        return forward, ""
    try:
        if forward.pays_to_prepare(mesh.samples):
            forward.prepare(mesh.blocks)
    except (maxwell.MaxwellError, maxwell.AccuracyError, MemoryError) as error:
        return forward, (
            f"mesh {mesh.mesh} cannot be prepared: {_reason(error)}. Its samples are refactorised instead: slower, "
            "and the bits depend on it (below 1e-8 of the data, mostly 1e-9); `method` of each sample tells."
        )
    return forward, ""


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text if isinstance(error, maxwell.MaxwellError) else f"{type(error).__name__}: {text}"


def _discretise(mesh: _Mesh) -> tuple[int, str]:
    """Build a forward map and keep it; its number of dofs, and what the user should know."""
    forward, note = _forward_map(mesh)
    if note:  # it will be asked for as one that is not prepared, and two would take the memory of two
        _forward_map.cache_clear()
    return forward.dofs, note
