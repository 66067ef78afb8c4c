"""Runs of a study that train together: one batched program, one checkpoint, and a run folder for each.

A group has a hidden folder beside its run folders while it trains: `members.json` (what trains together there) and
`checkpoint.pt` (see `surrogates.training.fit_ensemble`).  It is removed when all have their files: by `train`, or
by `tidy` where a kill came first or the study has other groups by now.
"""

import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import data
from experiments import courses, runs
from experiments.errors import StudyError
from experiments.files import read_json, write_json
from experiments.specs import RunSpec
from experiments.training_data import training_data
from surrogates import SurrogateError, files, training


def folder(out: Path, names: Sequence[str]) -> Path:
    """The folder that a group of runs has in `out` while it trains; its name follows from theirs."""
    return out / f".together-{hashlib.sha256('/'.join(names).encode()).hexdigest()[:16]}"


def train(dataset: str | Path, out: str | Path, group: Mapping[str, RunSpec]) -> dict[str, float | str]:
    """Train the runs of a group into the folders `out`/name, or continue; complete runs are never touched.

    group : name to specification, alike as `experiments.training.company` says; one alone trains by `runs.train`.
    Returns what was trained now: name to validation loss, or to the sentence that says why it came to nothing.
    Such a run has no files, and asking again gives the same sentence from the checkpoint.

    Killed at any instant and run again, each ends with the weights of the uninterrupted training bit for bit.
    Without a checkpoint, where some runs are complete (a study that got more seeds, a folder removed by hand),
    the others train without them: the same training to round-off, but its last digits depend on the company.

    Raises StudyError if a folder holds another run or another process trains in it, and if the group's folder
    holds the training of other specifications or other data.
    """
    dataset, out = Path(dataset), Path(out)
    if len(group) == 1:
        return _alone(dataset, out, *group.items())
    digest, home, found = data.open(dataset).manifest.digest, folder(out, list(group)), {}
    for name, spec in group.items():
        runs.refuse_another(out / name, spec, digest)
    with runs.locked(out / name for name in group):
        # More than once only if the folder of a complete run is removed while the others train without it.
        while todo := [name for name in group if not runs.finished(out / name)]:
            members = _members(home, group, todo, digest)
            found |= _together(dataset, out, {name: group[name] for name in members}, home, digest)
            if any(isinstance(what, str) for what in found.values()):
                return found
            shutil.rmtree(home)
    return found


def tidy(out: Path) -> None:
    """Remove the folders of groups in `out` that no training will go on from, whatever study they are of.

    These are the folders whose runs are all complete, and those without a list of runs.  What another process
    holds is left to it.
    """
    for home in sorted(out.glob(".together-*")):
        names = _listed(home)
        if names is None:  # it may be about to be written, by whoever holds its runs: any of those here
            folders = [file.parent for file in out.rglob(".lock")]
        elif all(runs.finished(out / name) for name in names):
            folders = [out / name for name in names]
        else:
            continue
        with suppress(StudyError), runs.locked(folders):
            if _listed(home) == names:
                shutil.rmtree(home, ignore_errors=True)


def _listed(home: Path) -> list[str] | None:
    """The runs that train together in a group's folder; `None` if it holds no list of them, or a damaged one."""
    try:
        return list(read_json(home / "members.json", "list of runs that train together", "")["runs"].keys())
    except (StudyError, TypeError, KeyError, AttributeError):
        return None


def _alone(dataset: Path, out: Path, run: tuple[str, RunSpec]) -> dict[str, float | str]:
    name, spec = run
    try:
        return {name: runs.train(dataset, out / name, spec).record["best_loss"]}
    except SurrogateError as error:
        return {name: str(error)}


def _members(home: Path, group: Mapping[str, RunSpec], todo: Sequence[str], digest: str) -> list[str]:
    """The runs that trained together before a kill; at the start all of `todo`, which is written down."""
    file = home / "members.json"
    asked = {"data set": digest, "runs": {name: spec.model_dump() for name, spec in group.items()}}
    if not file.exists():
        (home / "checkpoint.pt").unlink(missing_ok=True)  # left when a kill came while the folder was removed
        content = {"data set": digest, "runs": {name: asked["runs"][name] for name in todo}}
        write_json(file, content)
        return list(todo)
    mend = f"remove {home} to train its runs from the start"
    there = read_json(file, "list of runs that train together", mend)
    try:
        for name, spec in there["runs"].items():
            for field, value in asked["runs"][name].items():
                if spec[field] != value:
                    raise StudyError(
                        f"{home}: holds the unfinished training of {name} with {field} = {spec[field]!r}, and "
                        f"{value!r} was asked for; go on with that study, or {mend}."
                    )
        if there["data set"] != digest:
            raise StudyError(f"{home}: holds an unfinished training on another data set; {mend}.")
        return list(there["runs"])
    except (TypeError, KeyError, AttributeError):
        raise StudyError(f"{file}: is not a list of runs that train together; {mend}.") from None


def _together(dataset, out, members, home, digest) -> dict[str, float | str]:
    """Train all members as one program, and write those that are not complete."""
    began, device = time.perf_counter(), files.device("cpu")
    seen = {
        noise: training_data(dataset, digest, spec, device)
        for noise, spec in {spec.noise: spec for spec in members.values()}.items()
    }
    prepared = [runs.prepare(spec, seen[spec.noise]) for spec in members.values()]
    results = training.fit_ensemble(
        [run.net for run in prepared],
        [run.data for run in prepared],
        [run.data.valid for run in prepared],
        [run.settings for run in prepared],
        checkpoint=home / "checkpoint.pt",
        identity={"members": {name: spec.model_dump() for name, spec in members.items()}, "data set": digest},
    )
    share, found = (time.perf_counter() - began) / len(members), {}
    for name, run, result in zip(members, prepared, results, strict=True):
        if isinstance(result, SurrogateError):
            found[name] = str(result)
        elif not runs.finished(out / name):
            outcome = courses.same_depth(result, run.net, len(run.data))
            runs.write(out / name, run, outcome, share, len(members))
            found[name] = result.best_loss
    return found
