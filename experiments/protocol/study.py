"""A study from its plan to its score sheets, resumable at every step."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import data
from data import recipe as recipes
from data.schema import MESH_ERROR
from experiments import training
from experiments.done import sign
from experiments.errors import StudyError
from experiments.files import read_json, validated, write_json, write_text
from experiments.progress import Progress
from experiments.protocol.folder import Folder
from experiments.protocol.plan import Plan, Settings, Variant, run_name, trial_name
from experiments.protocol.selection import best, committee
from experiments.protocol.sheets import Sheet
from experiments.protocol.spec import ProtocolSpec
from experiments.specs import RunSpec

PIECE = 10
"""Observations of a task where a method takes them one by one."""


@dataclass(frozen=True)
class Workplace:
    """Where a study computes: an executor, or so many local processes (all cores by default)."""

    workers: int | None = None
    executor: Executor | None = None


def run(plan: Plan, out: str | Path, place: Workplace | None = None) -> Folder:
    """Generate, tune, train and score whatever a study lacks; returns its folder.

    Killed at any instant and run again, it ends with the same tables.  Raises StudyError if the folder holds
    another study, and what generation and training raise.
    """
    folder, place = Folder(Path(out)), place or Workplace()
    check(plan)
    _own(folder, plan)
    with _lost_worker_told(folder), training.placed(place.executor, place.workers) as executor:
        place = Workplace(place.workers, executor)  # one pool for all stages: to start a worker takes seconds
        datasets = generate(plan, folder, place)
        compare_meshes(datasets, place)
        train(plan, plan.trials(), folder.tuning, datasets, place, "tuning")
        chosen = choose(plan, folder)
        train(plan, plan.finals(chosen), folder.runs, datasets, place, "training")
        grade(plan, folder, datasets, place)
    return folder


@contextmanager
def _lost_worker_told(folder: Folder) -> Iterator[None]:
    try:
        yield
    except BrokenExecutor:
        raise StudyError(
            f"{folder.path}: a worker process died, often for want of memory; run the same command again to "
            "continue, perhaps with fewer workers."
        ) from None


def finish(plan: Plan, folder: Folder) -> None:
    """Write the sign that a study is complete, with its provenance; what is there already stays."""
    runs = (folder.sheet(variant, seed).parent for variant in plan.variants for seed in range(variant.seeds))
    sign(folder.done, plan.spec.title, plan.quick, (run / "run.json" for run in runs))


def check(plan: Plan) -> None:
    """Raise StudyError for what would only show after hours: a yardstick that does not exist."""
    from experiments.protocol.grading import methods

    for key in plan.spec.yardsticks:
        if key not in methods():
            raise StudyError(f"yardsticks names {key!r}; expected some of {', '.join(methods())}.")


def _own(folder: Folder, plan: Plan) -> None:
    """Take the folder for this study, or refuse one that holds another."""
    file, ours = folder.path / "study.json", plan.spec.model_dump(mode="json")
    if file.exists():
        stored = read_json(file, "study", "give another folder")
        if not isinstance(stored, dict):
            raise StudyError(f"{file}: is no study's; give another folder.")
        there = validated(ProtocolSpec, stored, str(file)).model_dump(
            mode="json"
        )  # an older file lacks defaults
        if there != ours:
            changed = [key for key in ours if there[key] != ours[key]]
            raise StudyError(
                f"{folder.path}: holds a study with another {', '.join(changed)}; give another folder, or remove "
                "this one."
            )
        return
    write_json(file, ours)


def generate(plan: Plan, folder: Folder, place: Workplace) -> dict[str, data.Dataset]:
    """The data sets of a study by their names, each made or continued."""
    from experiments.commands.generate import generate as make

    chosen = {
        key: _recipe(plan, key) for key in dict.fromkeys(variant.cell.data for variant in plan.variants)
    }
    return {
        key: make(recipe, folder.data(key), place.workers, place.executor) for key, recipe in chosen.items()
    }


def _recipe(plan: Plan, key: str) -> recipes.Recipe:
    """The recipe of a data set, whose splits are those that the study needs."""
    about = plan.spec.data[key]
    recipe = recipes.load(about.recipe, about.set)
    for needed in ("train", "valid"):
        if needed not in recipe.splits:
            raise StudyError(f"recipe {about.recipe}: has no split {needed}, which a study needs.")
    there = recipe.splits["train"].samples
    for variant in (variant for variant in plan.variants if variant.cell.data == key):
        spec = plan.run(variant, plan.given(variant) or plan.points[0], 0)
        if spec.samples is not None and spec.samples > there:
            raise StudyError(
                f"recipe {about.recipe}: has {there} training samples, and {variant.cell.name} asks for "
                f"{spec.samples}; ask for fewer, or set splits.train.samples of the data."
            )
        if spec.components > (spec.samples or there):
            raise StudyError(
                f"recipe {about.recipe}: {variant.cell.name} asks for {spec.components} principal components of "
                f"{spec.samples or there} training samples; expected no more than samples."
            )
    return recipe


def compare_meshes(datasets: Mapping[str, data.Dataset], place: Workplace) -> None:
    """Solve the validation samples on the mesh of training, once for all networks and methods that ask for it."""
    from experiments.protocol import grading

    tasks = [
        Task(found.path.absolute() / MESH_ERROR, grading.compare_meshes, (str(found.path.absolute()),))
        for found in datasets.values()
        if found.split("valid").mesh != found.split("train").mesh
    ]
    _do(tasks, place, "meshes")


def train(
    plan: Plan,
    runs: Mapping[str, RunSpec],
    out: Path,
    datasets: Mapping[str, data.Dataset],
    place: Workplace,
    what: str,
) -> None:
    """Train runs whose names begin with the name of their data set."""
    by_data: dict[str, dict[str, RunSpec]] = {}
    for name, spec in runs.items():
        by_data.setdefault(name.split("/")[0], {})[name] = spec
    work = [
        (datasets[key].path.absolute(), group)
        for key, own in by_data.items()
        for group in training.groups(own, plan.spec.ensemble)
    ]
    # The deepest and largest first: the last to end is then a short one.
    work.sort(key=lambda item: -_cost(item, datasets))
    training.train_all(work, out.absolute(), place.workers, place.executor, what)


def _cost(item, datasets) -> float:
    """Layer evaluations of a group."""
    path, group = item
    samples = next(len(d.split("train")) for d in datasets.values() if d.path.absolute() == path)
    return sum(layer_evaluations(spec, samples) for spec in group.values())


def layer_evaluations(spec: RunSpec, samples: int) -> int:
    """Forward-backward evaluations of a layer, one sample each, of a training: layers · samples · epochs.

    Of a budget of work, what it would buy if layers were all of a network.
    """
    if spec.budget is not None:
        return int(spec.budget / spec.width**2)
    return spec.layers * (spec.samples or samples) * spec.epochs


def choose(plan: Plan, folder: Folder) -> dict[str, Settings]:
    """The settings of least validation loss for each variant, mean over the seeds of a trial; writes the table.

    Variants whose settings are given are not in it.
    """
    chosen, rows = {}, []
    for variant in plan.variants:
        if plan.given(variant) is not None:
            continue
        losses = [
            _mean(
                read_json(folder.tuning / trial_name(variant, k, seed) / "run.json", "trial", "run again")[
                    "best_loss"
                ]
                for seed in range(plan.spec.tuning.seeds)
            )
            for k in range(len(plan.points))
        ]
        best = min(range(len(losses)), key=losses.__getitem__)
        chosen[variant.name] = plan.points[best]
        for k, (point, loss) in enumerate(zip(plan.points, losses, strict=True)):
            spec = plan.run(variant, point, 0)
            rows.append(
                {
                    "variant": variant.name,
                    "trial": k,
                    "learning_rate": spec.learning_rate,
                    "weight_decay": spec.weight_decay,
                    "horizon": spec.horizon,
                    "valid_loss": loss,
                    "chosen": k == best,
                }
            )
    write_csv(folder.tables / "tuning.csv", rows)
    return chosen


@dataclass(frozen=True)
class Task:
    """Work of one worker that ends in a file; done once the file is there."""

    file: Path
    function: Callable
    arguments: tuple


def grade(plan: Plan, folder: Folder, datasets: Mapping[str, data.Dataset], place: Workplace) -> None:
    """Score every run, every yardstick and every bound that has no sheet yet."""
    from experiments.protocol import grading

    spec, tasks, gathering = plan.spec, [], []
    for key, noise in problems(plan):
        path, about = str(datasets[key].path.absolute()), spec.data[key]
        for method in spec.yardsticks:
            sheet = folder.yardstick(method, key, noise).absolute()
            if grading.methods()[method].one_by_one:
                starts = {method: None}
                if method == "gauss-newton":
                    starts["hybrid"] = str(
                        (folder.runs / run_name(best(plan, folder, key, noise), 0)).absolute()
                    )
                for name, start in starts.items():
                    pieces, last = _pieces(folder, datasets[key], name, key, noise, spec, start)
                    tasks += pieces
                    gathering.append(last)
            else:
                what = (path, str(sheet), method, noise, spec.levels, spec.resimulate)
                tasks.append(Task(sheet, grading.yardstick, what))
        members = committee(plan, folder, key, noise)
        if len(members) > 1:
            sheet = folder.yardstick("committee", key, noise).absolute()
            what = (
                path,
                str(sheet),
                str(folder.runs.absolute()),
                members,
                noise,
                spec.levels,
                spec.resimulate,
            )
            tasks.append(Task(sheet, grading.committee, what))
        sheet = folder.yardstick("bound", key, noise).absolute()
        tasks.append(Task(sheet, grading.bound, (path, str(sheet), noise, spec.levels, about.iterated)))
    for variant in plan.variants:
        for seed in range(variant.seeds):
            sheet = folder.sheet(variant, seed)
            path = str(datasets[variant.cell.data].path.absolute())
            what = (path, str(sheet.parent.absolute()), variant.cell.noise, spec.levels, spec.resimulate)
            tasks.append(Task(sheet, grading.network, what))
    _do(tasks, place, "scores")
    _do(gathering, place, "gathering")


def _pieces(folder: Folder, dataset, name: str, key: str, noise: float, spec, start: str | None):
    """Tasks for the rows that a method takes one by one, and the task that gathers them."""
    from experiments.protocol import grading
    from experiments.protocol.sheets import places_of

    path, sheet = str(dataset.path.absolute()), folder.yardstick(name, key, noise).absolute()
    rows = min(spec.data[key].iterated, len(dataset.split(places_of(dataset, noise, spec.levels)[0].split)))
    pieces = []
    for begin in range(0, rows, PIECE):
        file = sheet.parent / "pieces" / f"{sheet.stem}-{begin}.npz"
        what = (path, str(file), name, noise, spec.levels, (begin, min(begin + PIECE, rows)), start)
        pieces.append(Task(file, grading.piece, what))
    files = [str(task.file) for task in pieces]
    return pieces, Task(
        sheet, grading.collected, (path, str(sheet), files, noise, spec.levels, spec.resimulate)
    )


def problems(plan: Plan) -> list[tuple[str, float]]:
    """Every data set of the grid with every noise of its networks."""
    return list(dict.fromkeys((variant.cell.data, variant.cell.noise) for variant in plan.variants))


def _do(tasks: Sequence[Task], place: Workplace, what: str) -> None:
    """Submit the tasks whose file is missing, and wait for all."""
    todo = [task for task in tasks if not task.file.exists()]
    with Progress(what, len(tasks), "sheets") as progress:
        progress.start(len(tasks) - len(todo))
        waiting = [place.executor.submit(_work, task.function, task.arguments) for task in todo]
        for done, future in enumerate(as_completed(waiting), len(tasks) - len(todo) + 1):
            future.result()
            progress.update(done)


def _work(function: Callable, what: tuple) -> None:
    """One task in a worker."""
    import torch

    torch.set_num_threads(1)
    function(*what)


def sheets(plan: Plan, folder: Folder) -> Iterator[tuple[Variant, list[Sheet]]]:
    """The score sheets of every variant, in order of the seeds."""
    for variant in plan.variants:
        yield variant, [Sheet.read(folder.sheet(variant, seed)) for seed in range(variant.seeds)]


def yardsticks(plan: Plan, folder: Folder) -> Iterator[tuple[str, str, float, Sheet]]:
    """Key, data set, noise and sheet of every yardstick that suits its data set."""
    names = [*plan.spec.yardsticks, "hybrid", "committee", "bound"]
    for key, noise in problems(plan):
        for name in names:
            file = folder.yardstick(name, key, noise)
            if name in ("hybrid", "committee") and not file.exists():  # no Gauss-Newton, or a single network
                continue
            sheet = Sheet.read(file)
            if sheet.arrays:
                yield name, key, noise, sheet


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys as CSV, whole or not at all; numbers to six digits."""
    buffer = io.StringIO()
    if rows:
        writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    write_text(path, buffer.getvalue())


def _mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)
