"""In a worker: the samples of one shard, from plain data to arrays.

A sample that the physics or the prior refuses is recorded with the reason and blocks nothing. What the machine
refuses (memory, a file) is no sample's fault: it ends the run, and the finished shards stay.
"""

import functools
import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import maxwell
from data import schema, seeds
from data.errors import DataError
from data.executors import threads
from data.recipe import Recipe, Store, canonical
from data.store import Shard


@dataclass(frozen=True, order=True)
class Mesh:
    """One discretisation to make, as plain data."""

    problem: str  #: canonical JSON
    mesh: str  #: canonical JSON
    samples: int  #: that the recipe asks of it, in all splits; 0 once it could not be prepared
    blocks: Path  #: where what it prepares is kept, absolute

    @classmethod
    def of(cls, blocks: Path, recipe: Recipe, split: str) -> "Mesh":
        """The discretisation of a split."""
        mine = recipe.splits[split]
        samples = sum(
            s.samples for s in recipe.splits.values() if (s.mesh, s.problem) == (mine.mesh, mine.problem)
        )
        return cls(canonical(recipe.problem_of(split)), canonical(mine.mesh), samples, blocks.absolute())


@dataclass(frozen=True)
class Task:
    """One shard to compute, as plain data."""

    mesh: Mesh
    seed: int
    split: str
    parameters_of: str
    start: int
    stop: int
    store: Store

    @classmethod
    def of(cls, mesh: Mesh, recipe: Recipe, shard: Shard) -> "Task":
        """The samples of a shard."""
        source = recipe.parameters_of(shard.split)
        return cls(mesh, recipe.seed, shard.split, source, shard.start, shard.stop, recipe.store)


@dataclass(frozen=True)
class Computed:
    """What comes of a task."""

    arrays: Mapping[str, np.ndarray]
    discretisation: Mapping[str, Any]
    note: str  #: what the user should know of the mesh, or ""
    kernels: str  #: the processor for which the worker's BLAS multiplies: the last digits depend on it


def solve(task: Task) -> Computed:
    """The arrays of one shard.  One call at a time in a process: forward maps keep working memory."""
    forward, note = _forward_map(task.mesh)
    problem = _problem(task.mesh.problem)
    rows = [_row(task, forward, problem, index) for index in range(task.start, task.stop)]
    try:
        arrays = {
            array.name: _stacked(array, [row.get(array.name) for row in rows], problem)
            for array in schema.arrays_of(task.store)
        }
    except MemoryError:
        raise DataError(
            f"samples {task.start} to {task.stop - 1} of split {task.split} do not fit in memory together; ask "
            "for a smaller store.shard or fewer extras in [store]."
        ) from None
    return Computed(arrays, forward.discretisation, note, threads.kernels())


def prepare(mesh: Mesh) -> tuple[int, str]:
    """Build a forward map and keep it; its number of dofs, and what the user should know."""
    forward, note = _forward_map(mesh)
    if note:  # it will be asked for as one that is not prepared, and two would take the memory of two
        _forward_map.cache_clear()
    return forward.dofs, note


def _row(task: Task, forward: Any, problem: Any, index: int) -> dict[str, Any]:
    """One sample: its arrays by name; those that could not be computed are left out."""
    seed = seeds.sample_seed(task.seed, task.split, index)
    parameter_seed = seeds.sample_seed(task.seed, task.parameters_of, index)
    row = {"seed": seed, "parameter_seed": parameter_seed, "dofs": forward.dofs, "status": schema.SOLVED}
    began = time.perf_counter()
    try:
        row["parameters"] = theta = problem.prior.sample(seeds.parameter_stream(parameter_seed), 1)[0]
        with warnings.catch_warnings():  # the sample's `method` says it, without a line for each
            warnings.simplefilter("ignore", maxwell.SlowPathWarning)
            began = time.perf_counter()
            response = forward.solve(theta)
            seconds = time.perf_counter() - began  # a linear map's own trace has those of its construction
            found = _extras(task.store, forward, problem, theta)
        for name, values in {"observations": response.observation, **found}.items():
            if not np.isfinite(values).all():
                raise ArithmeticError(f"{name} holds a number that is not finite")
    except (OSError, MemoryError) as error:
        raise DataError(
            f"sample {index} of split {task.split}: the machine refused ({reason(error)}); finished shards are "
            "kept: mend that, then run the same command again."
        ) from None
    except Exception as error:
        told = reason(error).encode()[: schema.FAILURE_LENGTH].decode(errors="ignore")
        return {
            **row,
            "status": schema.FAILED,
            "failure": told.encode(),
            "seconds": time.perf_counter() - began,
        }
    return {
        **row,
        **found,
        **{name: response.info[name] for name in ("residual", "reciprocity", "dofs")},
        "observations": response.observation,
        "error": response.info.get("error", 0.0),
        "seconds": seconds,
        "method": response.info["method"].encode(),
    }


def _extras(store: Store, forward: Any, problem: Any, theta: np.ndarray) -> dict[str, np.ndarray]:
    """What the recipe asks for besides, by name."""
    found = {}
    if store.jacobian:
        found["jacobian"] = forward.linearise(theta)[1]
    if store.slices:
        found["slices"] = slices(problem, theta, store.slices)
    if store.fields:
        axes = [inside(low, high, store.fields) for low, high in problem.region.T]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        fields = forward.fields_at(theta, grid.reshape(-1, 3))
        found["fields"] = fields.reshape(len(fields), *grid.shape)
    return found


def slices(problem: Any, theta: np.ndarray, points: int) -> np.ndarray:
    """The unknown on the middle planes of its region, or on the region if that is flat.

    (planes, points, points, components), see :data:`data.schema.EXTRAS`.
    """
    low, high = problem.image_region
    flat = np.flatnonzero(low == high)
    planes = []
    for axis in flat if flat.size else range(3):
        cut = [inside(low[a], high[a], 1 if a == axis else points) for a in range(3)]
        grid = np.stack(np.meshgrid(*cut, indexing="ij"), axis=-1)
        planes.append(problem.image(theta, grid.reshape(-1, 3)).reshape(points, points, -1))
    return np.stack(planes)


def inside(low: float, high: float, points: int) -> np.ndarray:
    """The middles of equal intervals: no point on a face, where a discretised field is not unique."""
    return low + (high - low) * (np.arange(points) + 0.5) / points


def _stacked(array: schema.Array, values: list[Any], problem: Any) -> np.ndarray:
    """The rows of an array, with NaN, 0 or nothing in place of those that are missing."""
    known = [np.asarray(v) for v in values if v is not None]
    if known:
        missing = np.zeros(known[0].shape, known[0].dtype)
    else:  # every sample of the shard failed
        lengths = {"p": len(problem.parameters), "m": _data_of(problem)}
        shape = tuple(int(c) if c.isdigit() else lengths.get(c, 0) for c in array.shape[1:])
        missing = np.zeros(shape, array.dtypes[0])
    if missing.dtype.kind in "fc":
        missing[...] = np.nan
    return array.cast([missing if v is None else v for v in values])


def _data_of(problem: Any) -> int:
    return len(next(iter(problem.observation_labels().values())))


@functools.lru_cache(maxsize=2)
def _problem(problem: str) -> Any:
    return maxwell.problem_from(json.loads(problem))


@functools.lru_cache(maxsize=2)  # shards come mesh by mesh; a third discretisation would only hold memory
def _forward_map(mesh: Mesh) -> tuple[Any, str]:
    """The forward map of a mesh, prepared if that pays and can be; else the note says why it is not."""
    try:
        forward = _problem(mesh.problem).discretise(**json.loads(mesh.mesh))
        threads.limit_threads()
    except Exception as error:
        raise DataError(f"mesh {mesh.mesh} cannot be discretised: {reason(error)}.") from None
    if not mesh.samples:
        return forward, ""
    try:
        if forward.pays_to_prepare(mesh.samples):
            forward.prepare(mesh.blocks)
    except (maxwell.MaxwellError, maxwell.AccuracyError, MemoryError) as error:
        return forward, f"mesh {mesh.mesh} cannot be prepared: {reason(error)}"
    return forward, ""


def reason(error: BaseException) -> str:
    """What an error says, on one line."""
    text = " ".join(str(error).split()).rstrip(".")
    return text if isinstance(error, maxwell.MaxwellError) else f"{type(error).__name__}: {text}".rstrip(": ")
