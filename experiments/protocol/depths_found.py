"""Networks that find their own depth beside those of fixed depth, at what each costs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments import intervals
from experiments.files import read_json
from experiments.intervals import Interval
from experiments.protocol.entries import Entry, Row, loss, who
from experiments.protocol.folder import Folder
from experiments.protocol.plan import Cell, Plan, run_name

FACTS = ("layers", "horizon", "parameters", "work")
"""Of each run: layers, sum of the steps and weights in the end; samples × weights that met them."""


def found(plan: Plan, folder: Folder, entries: Sequence[Entry]) -> list[Row]:
    """One row an arm of every cell in which some arm changes its depth; none in other studies.

    `best_fixed` is the arm of least mean validation loss among those whose depth stays and that have no
    regulariser.  Changes are relative to it and paired: of the root of the validation loss over seeds, of the error
    over seeds and samples of the place that counts.  Means over seeds; for the layers the least and the most, too.
    """
    rows = []
    for cell in dict.fromkeys(variant.cell for variant in plan.variants):
        here = [entry for entry in entries if entry.variant and entry.variant.cell == cell]
        arms = {entry.key: plan.spec.arms[entry.key] for entry in here}
        fixed = [entry for entry in here if not (arms[entry.key].depth or arms[entry.key].regularisers)]
        if fixed and any(arm.depth for arm in arms.values()):
            best = min(fixed, key=loss)
            rows += [_row(plan, folder, entry, best) for entry in here]
    return rows


def events(plan: Plan, folder: Folder, entries: Sequence[Entry]) -> list[Row]:
    """One row a change of depth, or attempt at one, of every network whose depth may change.

    `places` are the layers that came (numbers in the new network) or went (in the old one), `depth` those it has
    then, `sensitivity` the largest of those that came over the mean of the layers there were, `largest` the same of
    all places.  Losses are as in the training: `train` on the samples of the event, before and after; `ends` is the
    least validation loss of the run, `seed` its own.
    """
    rows = []
    for entry in entries:
        if entry.variant is None or plan.spec.arms[entry.key].depth is None:
            continue
        for number in range(len(entry.sheets)):
            file = folder.runs / run_name(entry.variant, number) / "run.json"
            record = read_json(file, "run", "run again")
            about = who(entry) | {"seed": record["spec"]["seed"], "ends": record["best_loss"]}
            rows += [about | _event(event) for event in record["trace"]["events"]]
    return rows


def _event(event: dict[str, Any]) -> Row:
    layers, scores, mean = event["layers"], event["sensitivities"], event["mean"]
    places = [layer - 1 - number for number, layer in enumerate(layers)]  # before those that came in front
    return {
        "epoch": event["epoch"],
        "event": event["kind"],
        "places": " ".join(map(str, layers)),
        "depth": event["depth"],
        "change": event["change"],
        "sensitivity": max(scores[place] for place in places) / mean if scores and layers else None,
        "largest": max(scores) / mean if scores else None,
        **{
            f"{part}_{end}": value
            for part in ("train", "valid")
            for end, value in zip(("before", "after"), event[f"{part}_loss"], strict=True)
        },
    }


def _row(plan: Plan, folder: Folder, entry: Entry, best: Entry) -> Row:
    facts = {name: [] for name in FACTS}
    for seed, sheet in enumerate(entry.sheets):
        file = folder.runs / run_name(entry.variant, seed) / "run.json"
        record = {**read_json(file, "run", "run again"), "horizon": sheet.about["horizon"]}
        for name in FACTS:
            facts[name].append(record[name])
    losses = valid(entry)
    about = intervals.root_mean(losses, f"{entry.name}|valid")
    row = {
        **who(entry),
        "starts": starts(plan, entry.variant.cell, entry.key),
        "changes": plan.spec.arms[entry.key].depth is not None,
        "layers_end": float(np.mean(facts["layers"])),
        **{name: float(np.mean(facts[name])) for name in FACTS[1:]},
        "least": min(facts["layers"]),
        "most": max(facts["layers"]),
        "seconds_one": float(np.mean([sheet.about["one"] for sheet in entry.sheets])),
        "valid": about.value,
        "valid_low": about.low,
        "valid_high": about.high,
        "best_fixed": best.key,
    }
    place, seeds = entry.places[0], min(len(entry.sheets), len(best.sheets))
    squares = [each.array(place, "squared")[:seeds] for each in (best, entry)]
    changes = {
        "valid": intervals.change(valid(best)[:seeds], losses[:seeds], f"{best.name}|{entry.name}|valid"),
        "error": intervals.change(*squares, f"{best.name}|{entry.name}|{place}"),
    }
    for name, change in changes.items():
        own = change if entry is not best else Interval(0.0, 0.0, 0.0)
        row |= {f"{name}_change": own.value, f"{name}_change_low": own.low, f"{name}_change_high": own.high}
    return row


def starts(plan: Plan, cell: Cell, arm: str) -> int:
    """Layers with which the networks of an arm begin."""
    return plan.spec.arms[arm].layers or cell.layers


def valid(entry: Entry) -> np.ndarray:
    """Validation losses (seeds, 1)."""
    return np.array([[sheet.about["valid"]] for sheet in entry.sheets])
