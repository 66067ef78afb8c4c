"""What training leaves on samples that networks learn from and on those they do not: over- or underfitting."""

import numpy as np

from experiments.files import read_json
from experiments.protocol.entries import Entry, Row, who
from experiments.protocol.folder import Folder
from experiments.protocol.plan import run_name


def losses(folder: Folder, found: list[Entry]) -> list[Row]:
    """Losses of every network at its best epoch, means over the seeds, in mean squares of the standardised unknown.

    training : mean over the updates of that epoch, its weights still moving.  validation : after it; noise and
    the error of the mesh are those of the validation data, so that it may lie on either side.  linear : for
    networks that learn what a linear estimate leaves, the mean square that it leaves on the training samples.
    """
    rows = []
    for entry in (entry for entry in found if entry.variant):
        names = [run_name(entry.variant, seed) for seed in range(len(entry.sheets))]
        records = [read_json(folder.runs / name / "run.json", "run", "run again") for name in names]
        units = [record["loss_unit"] for record in records]
        best = [record["best_epoch"] for record in records]
        seen = [record["trace"]["train_loss"][at - 1] for record, at in zip(records, best, strict=True)]
        remainder = records[0]["spec"]["remainder"]
        rows.append(
            {
                **who(entry),
                "best_epoch": float(np.mean(best)),
                "training": float(np.mean(np.multiply(seen, units))),
                "validation": float(
                    np.mean([record["best_loss"] * record["loss_unit"] for record in records])
                ),
                "linear": float(np.mean(units)) if remainder else "",
            }
        )
    return rows
