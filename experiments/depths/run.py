"""Cells of the study of depth: trained together, measured, and kept in a file each."""

import zlib
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch

import data
import surrogates
from data import executors
from experiments import runs
from experiments.depths import measure
from experiments.depths.plain import Plain
from experiments.depths.spec import Cell, Depths
from experiments.errors import StudyError
from experiments.files import read_json, write_json
from experiments.progress import Progress
from experiments.training_data import TrainingData, training_data
from surrogates import SurrogateError, files, training
from surrogates.activations import ACTIVATIONS


def measure_all(study: Depths, dataset: str | Path, out: str | Path, workers: int | None = None) -> None:
    """Train and measure every cell that has no file in `out`/cells yet, groups in worker processes.

    Killed at any instant and run again, the files are those of the uninterrupted study bit for bit: a group that
    is not complete trains again as a whole, in the same company.  Raises StudyError when a worker dies.
    """
    dataset, home = Path(dataset), Path(out) / "cells"
    digest = data.open(dataset).manifest.digest
    missing = {cell.label for cell in study.cells if not _file(study, cell, digest, home).exists()}
    todo = [group for group in study.groups() if any(cell.label in missing for cell in group)]
    done, total = len(study.cells) - len(missing), len(study.cells)
    with Progress("depths", total, "cells") as progress:
        progress.start(done)
        if not todo:
            return
        workers = min(executors.usable_cores() if workers is None else workers, len(todo))
        try:
            with executors.local(workers) as executor:
                waiting = {
                    executor.submit(_measure, study, group, str(dataset), str(home)): group for group in todo
                }
                for future in as_completed(waiting):
                    future.result()
                    group = waiting[future]
                    done += sum(cell.label in missing for cell in group)
                    progress.update(done, f"{group[0].family}, {group[0].depth} layers")
        except BrokenExecutor:
            raise StudyError(
                f"{out}: a worker process died while training, often for want of memory; run the same "
                "command again to continue, perhaps with fewer workers."
            ) from None


def results(study: Depths, dataset: str | Path, out: str | Path) -> list[dict[str, Any]]:
    """What `measure_all` found, in the order of the cells."""
    digest = data.open(dataset).manifest.digest
    found = []
    for cell in study.cells:
        file = _file(study, cell, digest, Path(out) / "cells")
        mend = (
            "run `maxinv depths` again" if not file.exists() else "remove it and run the same command again"
        )
        found.append(read_json(file, "measured cell", mend))
    return found


def network(cell: Cell, seed: int, inputs: int, outputs: int) -> surrogates.LayeredNet:
    """The untrained network of a cell: that of its specification, the matrices K_1 … K_L times the scale."""
    spec = cell.run.model_copy(update={"seed": seed})
    if cell.family == "plain":
        net = Plain(
            inputs=inputs,
            outputs=outputs,
            width=spec.width,
            time=surrogates.TimeGrid.fixed(spec.layers),
            activation=ACTIVATIONS[spec.activation],
            generator=torch.Generator().manual_seed(seed),
        )
    else:
        net = runs.build(spec, inputs, outputs)
    with torch.no_grad():
        net.layer_weight.mul_(cell.scale)
    return net


class Watch:
    """A callback of one network: its gradients after the epochs asked for, and a copy of it after the last."""

    def __init__(self, epochs: Sequence[int], known: TrainingData):
        self.epochs, self.gradients, self.last = epochs, {}, None
        self._valid = tuple(part.double() for part in known.valid)

    def on_epoch(self, state: training.EpochState) -> None:
        """Look at the network if this epoch's turn has come."""
        self.look(state.net, state.epoch)

    def look(self, net: surrogates.LayeredNet, epoch: int) -> None:
        """Look at a network now, as that after an epoch."""
        if epoch in self.epochs:
            self.last = measure.double(net)
            self.gradients[epoch] = measure.gradients(self.last, *self._valid)


def train_and_measure(study: Depths, group: Sequence[Cell], known: TrainingData) -> list[dict[str, Any]]:
    """The content of the files of a group's cells; see `measure` for the figures.

    All networks of the group train as one program (`training.fit_ensemble`), on one thread with equal bits.  A
    network's loss is that on the validation split after its last epoch, over that of the prior mean; None if it
    left the numbers, and then its figures end with the last snapshot before.
    """
    extent, inputs, outputs = study.extent, known.compression.components, len(known.names)
    members = [(cell, seed) for cell in group for seed in range(extent.seeds)]
    nets = [network(cell, seed, inputs, outputs) for cell, seed in members]
    watches = [Watch(extent.snapshots, known) for _ in members]
    first = []
    for (_, seed), net, watch in zip(members, nets, watches, strict=True):
        watch.look(net, 0)
        first.append(_spectra(study, seed, watch, known))
    settings = [
        training.Settings(
            epochs=extent.epochs,
            batch=extent.batch,
            learning_rate=cell.run.learning_rate,
            weight_decay=cell.run.weight_decay,
            seed=seed,
        )
        for cell, seed in members
    ]
    trained = training.fit_ensemble(nets, known, known.valid, settings, callbacks=[[w] for w in watches])
    prior = float(known.valid[1].double().square().mean())  # the targets are standardised: the mean is zero
    found: dict[tuple, list[dict[str, Any]]] = {cell.label: [] for cell in group}
    for (cell, seed), watch, start, result in zip(members, watches, first, trained, strict=True):
        failed = isinstance(result, SurrogateError)
        member = {
            "seed": seed,
            "loss": None if failed else result.trace.valid_loss[-1] / prior,
            "gradients": [watch.gradients.get(epoch) for epoch in extent.snapshots],
            "spectra": [start, None if failed else _spectra(study, seed, watch, known)],
            "sensitivity": None,
            "steps": None,
        }
        if not failed and cell.family != "plain":
            steps = watch.last.time()
            member["steps"] = [float(value) for value in (steps.min(), steps.max(), steps.sum())]
            rng = np.random.default_rng([seed, zlib.crc32(f"{cell.family}|{cell.depth}".encode())])
            x = known.valid[0].double()
            member["sensitivity"] = measure.sensitivity(watch.last, x, study.spec.perturbations, rng)
        found[cell.label].append(member)
    return [
        {"family": c.family, "rule": c.rule, "depth": c.depth, "scale": c.scale, "members": found[c.label]}
        for c in group
    ]


def _spectra(study: Depths, seed: int, watch: Watch, known: TrainingData) -> dict[str, float | None] | None:
    if seed >= study.extent.spectra:
        return None
    return measure.spectra(watch.last, known.valid[0].double())


def _file(study: Depths, cell: Cell, digest: str, home: Path) -> Path:
    return home / f"{study.key(cell, digest)}.json"


def _measure(study: Depths, group: Sequence[Cell], dataset: str, home: str) -> None:
    """One group in a worker."""
    torch.set_num_threads(1)
    digest = data.open(dataset).manifest.digest
    known = training_data(Path(dataset), digest, group[0].run, files.device("cpu"))
    for cell, content in zip(group, train_and_measure(study, group, known), strict=True):
        file = _file(study, cell, digest, Path(home))
        if not file.exists():
            write_json(file, content)
