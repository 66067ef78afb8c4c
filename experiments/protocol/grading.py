"""Tasks that a worker does: score one trained network, one yardstick or a piece of it, one bound."""

import time
from pathlib import Path

import numpy as np

import data
from data.mesh_error import mesh_error
from experiments import runs
from experiments.protocol import bounds
from experiments.protocol.entries import COMMITTEE
from experiments.protocol.folder import SHEET
from experiments.protocol.known import Answers
from experiments.protocol.methods import METHODS, Hybrid
from experiments.protocol.methods.base import Method, timed
from experiments.protocol.perturbations import worst
from experiments.protocol.sheets import Sheet, exam, score

WORST = 32
"""Samples at which the worst local perturbation is looked for."""

REPEATS = 20
"""Single estimates whose median is the time per inversion."""

Levels = tuple[float, ...]


def network(dataset: str, folder: str, noise: float, levels: Levels, resimulate: int) -> None:
    """Score the trained network of a run folder, unless its sheet is there."""
    path = Path(folder)
    if (path / SHEET).exists():
        return
    asked, known = exam(Path(dataset), noise, levels, resimulate)
    run = runs.load(path)
    arrays = _everywhere(asked, known, run.estimate)
    main = asked.dataset.split(asked.main.split)
    observed = main.observe(asked.main.level)
    arrays[asked.main]["worst"] = worst(run.model, asked, known, observed[:WORST])
    record = run.record
    about = {
        "parameters": record["parameters"],
        "seconds": record["seconds"],
        "one": _latency(run.estimate, observed[:1]),
        "valid": record["best_loss"] * record["loss_unit"],
        "best_epoch": record["best_epoch"],
        "samples": record["samples"],
        "horizon": float(np.sum(record["gradients"]["end"]["steps"])) if record["gradients"]["end"] else None,
        "steps": record["gradients"]["end"]["steps"] if record["gradients"]["end"] else None,
    }
    Sheet(arrays, about).write(path / SHEET)


def committee(
    dataset: str, out: str, folder: str, names: list[str], noise: float, levels: Levels, resimulate: int
) -> None:
    """Score the mean of the estimates of several runs, by their names in a folder, into the file `out`."""
    path = Path(out)
    if path.exists():
        return
    asked, known = exam(Path(dataset), noise, levels, resimulate)
    members = [runs.load(Path(folder) / name).estimate for name in names]

    def estimate(observed):
        return np.mean([member(observed) for member in members], axis=0)

    about = {
        "key": COMMITTEE,
        "label": f"mean of {len(members)} networks",
        "kind": COMMITTEE,
        "fit": 0.0,
        "one": _latency(estimate, asked.dataset.split(asked.main.split).observe(asked.main.level)[:1]),
        "members": list(names),
    }
    Sheet(_everywhere(asked, known, estimate), about).write(path)


def _everywhere(asked, known, estimate) -> dict:
    """Scores of a function of observations at every place; the noise gain where there are data without noise."""
    arrays, clean = {}, None
    for place in sorted(asked.places, key=lambda p: (p.split != asked.main.split, p.level)):
        view = asked.dataset.split(place.split)
        answers = timed(estimate, view.observe(place.level))
        arrays[place] = score(asked, known, place, answers)
        if place.split == asked.main.split:
            if place.level == 0:
                clean = answers.theta
            elif clean is not None:
                arrays[place]["gain"] = np.sqrt(asked.ruler.squared(answers.theta, clean)) / place.level
    return {place: arrays[place] for place in asked.places}


def compare_meshes(dataset: str) -> None:
    """See `data.mesh_error`, whose file this leaves in the folder of the data set."""
    mesh_error(data.open(dataset))


def methods() -> dict[str, type[Method]]:
    """Every yardstick by its key."""
    return {method.key: method for method in METHODS}


def yardstick(dataset: str, out: str, key: str, noise: float, levels: Levels, resimulate: int) -> None:
    """Score a method of `METHODS` into the file `out`, at every place but those without noise.

    A method that does not suit the problem gets an empty sheet.
    """
    path = Path(out)
    if path.exists():
        return
    asked, known = exam(Path(dataset), noise, levels, resimulate)
    kind = methods()[key]
    if not kind.suits(known):
        Sheet({}, {"key": key, "suits": False}).write(path)
        return
    began = time.process_time()
    method = kind.fit(known)
    fitted = time.process_time() - began
    arrays = {}
    for place in asked.places:
        if place.level > 0:  # a classical method needs to know its noise
            view = asked.dataset.split(place.split)
            answers = method.estimate(view.observe(place.level), known.deviation(place.level))
            arrays[place] = score(asked, known, place, answers)
    place = next(iter(arrays))
    observed, deviation = asked.dataset.split(place.split).observe(place.level), known.deviation(place.level)
    one = _latency(lambda observation: method.estimate(observation, deviation), observed[:1])
    about = {"key": key, "label": method.label, "kind": method.kind, "fit": fitted, "one": one}
    Sheet(arrays, about).write(path)


def piece(
    dataset: str, out: str, key: str, noise: float, levels: Levels, rows: tuple[int, int], start: str | None
) -> None:
    """Answers of a method that takes observations one by one, to some rows at the place that counts.

    start : the run folder of the network from which `hybrid` starts.
    """
    path = Path(out)
    if path.exists():
        return
    asked, known = exam(Path(dataset), noise, levels, 0)
    if not _kind(key).suits(known):
        Sheet({}, {"key": key, "suits": False}).write(path)
        return
    view = asked.dataset.split(asked.main.split).take(slice(*rows))
    method = Hybrid(known, runs.load(start).estimate) if start else _kind(key).fit(known)
    answers = method.estimate(view.observe(noise), known.deviation(noise))
    found = {"theta": answers.theta, "seconds": answers.seconds, **answers.extras}
    if answers.settled is not None:
        found["settled"] = answers.settled
    about = {"key": key, "label": method.label, "kind": method.kind, "extras": list(answers.extras)}
    Sheet({asked.main: found}, about).write(path)


def collected(
    dataset: str, out: str, pieces: list[str], noise: float, levels: Levels, resimulate: int
) -> None:
    """Score the answers of all pieces of a method together into the file `out`."""
    path = Path(out)
    if path.exists():
        return
    parts = [Sheet.read(Path(part)) for part in pieces]
    if not parts[0].arrays:
        Sheet({}, parts[0].about).write(path)
        return
    asked, known = exam(Path(dataset), noise, levels, resimulate)
    arrays = {
        name: np.concatenate([part.arrays[asked.main][name] for part in parts])
        for name in parts[0].arrays[asked.main]
    }
    extras = {name: arrays[name] for name in parts[0].about["extras"]}
    answers = Answers(arrays["theta"], arrays["seconds"], extras, arrays.get("settled"))
    scored = score(asked, known, asked.main, answers)
    about = {name: parts[0].about[name] for name in ("key", "label", "kind")}
    Sheet({asked.main: scored}, {**about, "fit": 0.0, "one": float(np.median(arrays["seconds"]))}).write(path)


def bound(dataset: str, out: str, noise: float, levels: Levels, samples: int) -> None:
    """Score the bound below which no error can lie, where there is one, on the first samples of the main split."""
    path = Path(out)
    if path.exists():
        return
    asked, known = exam(Path(dataset), noise, levels, 0)
    truth = asked.dataset.split(asked.main.split).take(slice(0, samples)).parameters
    found = bounds.bound(known, asked.ruler, truth, known.deviation(noise)) if noise > 0 else None
    if found is None:
        Sheet({}, {"key": "bound", "suits": False}).write(path)
        return
    label, least = found
    scored = score(asked, known, asked.main, bounds.as_answers(truth, least))
    kept = {k: v for k, v in scored.items() if k == "squared" or k.startswith("group:")}
    about = {"key": "bound", "label": label, "kind": "bound", "fit": 0.0, "one": 0.0}
    Sheet({asked.main: kept}, about).write(path)


def _kind(key: str) -> type[Method]:
    return Hybrid if key == Hybrid.key else methods()[key]


def _latency(estimate, observed: np.ndarray) -> float:
    """Median seconds of the processor for the whole answer to one observation, by itself."""
    estimate(observed)
    taken = []
    for _ in range(REPEATS):
        began = time.process_time()
        estimate(observed)
        taken.append(time.process_time() - began)
    return float(np.median(taken))
