"""The tables of a study, from its score sheets: long form, one row a method and place."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np

from experiments import intervals
from experiments.files import read_json
from experiments.intervals import NONE_SHOWN, Interval
from experiments.protocol import depths_found, distances, starts, study
from experiments.protocol.entries import COMMITTEE, Entry, Row, best, cell, entries, who
from experiments.protocol.folder import Folder
from experiments.protocol.losses import losses
from experiments.protocol.plan import Plan, Variant, run_name

LEVEL = 0.05
"""Of the family-wise error of all comparisons of one study together, also where a folder holds a part of it."""

DIVISIBLE = 0.02
"""Least gain, relative to the error, of which a share is told."""

FEW = 200
"""Resamples for each of many directions, which make its standard error uncertain by a twentieth."""

FREE = ("positive", "free", "simplex-horizon")
"""Rules that learn the placement of the steps and their horizon."""


def write(plan: Plan, folder: Folder) -> dict[str, list[Row]]:
    """Write every table of a study as CSV into its folder; returns them by name."""
    found = entries(plan, folder)
    tables = {
        "errors": errors(found),
        "groups": groups(found),
        "directions": directions(found),
        "comparisons": comparisons(plan, found),
        "elsewhere": elsewhere(plan, found),
        "ablation": ablation(plan, found),
        "against": against(found),
        "bounds": distances.bounds(found),
        "hybrid": starts.hybrid(found),
        "depths": depths_found.found(plan, folder, found),
        "events": depths_found.events(plan, folder, found),
        "losses": losses(folder, found),
        "costs": costs(plan, folder, found),
    }
    for name, rows in tables.items():
        study.write_csv(folder.tables / f"{name}.csv", rows)
    return tables


def errors(found: list[Entry]) -> list[Row]:
    """Relative error of every method at every place, with its interval; what the noise and its worst case do."""
    rows = []
    for entry in found:
        for place in entry.places:
            squared = entry.array(place, "squared")
            about = intervals.root_mean(squared, f"{entry.name}|{place}")
            rows.append(
                {
                    **who(entry),
                    "split": place.split,
                    "level": place.level,
                    "samples": squared.shape[1],
                    "error": about.value,
                    "low": about.low,
                    "high": about.high,
                    "median": float(np.sqrt(np.median(squared))),
                    "misfit": _mean(entry.array(place, "misfit")),
                    "unsolved": _missing(entry.array(place, "misfit")),
                    "noise_gain": _mean(entry.array(place, "gain")),
                    "worst_case": _mean(entry.array(place, "worst")),
                    "iterations": _mean(entry.array(place, "iterations")),
                }
            )
    return rows


def groups(found: list[Entry]) -> list[Row]:
    """Root-mean-square error of each group of unknowns, in its unit."""
    rows = []
    for entry in found:
        for place in entry.places:
            names = [n for n in entry.sheets[0].arrays[place] if n.startswith("group:")]
            for name in names:
                about = intervals.root_mean(entry.array(place, name), f"{entry.name}|{place}|{name}")
                rows.append(
                    {
                        **who(entry),
                        "split": place.split,
                        "level": place.level,
                        "group": name.removeprefix("group:"),
                        "error": about.value,
                        "low": about.low,
                        "high": about.high,
                    }
                )
    return rows


def directions(found: list[Entry]) -> list[Row]:
    """Root-mean-square error along each singular direction of the forward map, in deviations of the prior."""
    rows = []
    for entry in found:
        squares = entry.array(entry.places[0], "directions")
        if squares is not None:
            allowed = entry.array(entry.places[0], "best")[0]
            for k, least in enumerate(allowed, 1):
                about = intervals.root_mean(squares[:, :, k - 1], f"{entry.name}|direction {k}", FEW)
                ends = {"error": about.value, "low": about.low, "high": about.high}
                rows.append({**who(entry), "direction": k, **ends, "best": float(np.sqrt(least))})
    return rows


def comparisons(plan: Plan, found: list[Entry]) -> list[Row]:
    """Every question of the study in every cell (`Plan.comparisons`), on the main split: paired change and p.

    p_holm : Holm's, over all comparisons of the study (`of` them), on whichever of its data sets this is.
    """
    rows = []
    for asked, pair, seeds in _questions(plan, found):
        change, samples = _change(pair, pair[0].places[0], seeds)
        ends = {"change": change.value, "low": change.low, "high": change.high, "p": change.p}
        rows.append({**asked, "seeds": seeds, "samples": samples, **ends})
    adjusted = intervals.holm(np.array([row["p"] for row in rows]), plan.family) if rows else ()
    for row, p in zip(rows, adjusted, strict=True):
        row["p_holm"] = float(p)
        row["of"] = plan.family
        row["verdict"] = NONE_SHOWN if p > LEVEL else "smaller error" if row["change"] < 0 else "larger error"
    return rows


def elsewhere(plan: Plan, found: list[Entry]) -> list[Row]:
    """Every question in every cell at other noise than that of training and out of distribution: paired change.

    Intervals are single ones of 95 %; what is corrected for many comparisons is `comparisons`.
    """
    rows = []
    for asked, pair, seeds in _questions(plan, found):
        for place in pair[0].places[1:]:
            change, _ = _change(pair, place, seeds)
            where = {"split": place.split, "level": place.level, "seeds": seeds}
            rows.append({**asked, **where, "change": change.value, "low": change.low, "high": change.high})
    return rows


def _questions(plan, found):
    """Each question in each cell: its columns, the two entries that answer it, and how many seeds both have."""
    by_name = {entry.name: entry for entry in found if entry.variant}
    for about, *variants in plan.comparisons:
        pair = [by_name[variant.name] for variant in variants]
        named = {"question": about.question, "baseline": about.baseline, "other": about.other}
        yield {**cell(variants[0]), **named}, pair, min(len(entry.sheets) for entry in pair)


def _change(pair, place, seeds):
    """The paired change from the first to the second at a place, and its number of samples."""
    squares = [entry.array(place, "squared")[:seeds] for entry in pair]
    return intervals.change(*squares, "|".join((pair[0].name, pair[1].name, str(place)))), squares[0].shape[1]


def ablation(plan: Plan, found: list[Entry]) -> list[Row]:
    """How much of what freely learned steps gain is their horizon, in every cell, on the main split.

    For arms that start where a fixed one does (`baseline`): the change that the learned one makes (`whole`), that
    of equal steps whose horizon is tuned or learned (`part`), its share in the former by the logarithms of the
    errors, and what the learned one changes beyond it.  Intervals are single ones, of 95 %.  A share is given of
    gains that are shown and at least `DIVISIBLE`: the logarithm of a ratio near 1 divides to anything.
    """
    arms, by_name = plan.spec.arms, {entry.name: entry for entry in found if entry.variant}
    triples = [
        (fixed, part, learned)
        for fixed, one in arms.items()
        for learned, other in arms.items()
        for part, between in arms.items()
        if one.time == "fixed" and other.time in FREE and one.horizon == other.horizon != "tuned"
        and (between.time, between.horizon) in (("fixed", "tuned"), ("uniform", one.horizon))
    ]  # fmt: skip
    rows = []
    for here in dict.fromkeys(variant.cell for variant in plan.variants):
        for triple in triples:
            trio = [by_name.get(f"{here.name}/{arm}") for arm in triple]
            if None in trio:
                continue
            place, seeds = trio[0].places[0], min(len(entry.sheets) for entry in trio)
            none, part, free = (entry.array(place, "squared")[:seeds] for entry in trio)
            names = [entry.name for entry in trio]
            whole = intervals.change(none, free, f"{names[0]}|{names[2]}|{place}")
            about = {
                "whole": whole,
                "part": intervals.change(none, part, f"{names[0]}|{names[1]}|{place}"),
                "share": intervals.share(none, part, free, f"{'|'.join(names)}|{place}")
                if gain(whole) == "shown"
                else None,
                "beyond": intervals.change(part, free, f"{names[1]}|{names[2]}|{place}"),
            }
            row = cell(trio[0].variant) | dict(
                zip(("baseline", "horizon_arm", "learned"), triple, strict=True)
            )
            row |= {"seeds": seeds, "samples": none.shape[1], "gain": gain(whole)}
            for key, found_here in about.items():
                for end in ("value", "low", "high"):
                    name = key if end == "value" else f"{key}_{end}"
                    row[name] = "" if found_here is None else getattr(found_here, end)
            rows.append(row)
    return rows


def gain(whole: Interval) -> str:
    """Whether a change is a gain of which shares can be told."""
    if whole.high >= 0:
        return "none shown"
    return "shown" if whole.value <= -DIVISIBLE else "too small to divide"


def against(found: list[Entry]) -> list[Row]:
    """The best network, and the mean of several, beside each yardstick, on the samples that both answered.

    The best is that of least mean validation loss among networks of all training samples: the test split does not
    choose.  The mean of several is a yardstick of the best, too.
    """
    rows = []
    for data, noise in dict.fromkeys((entry.data, entry.noise) for entry in found):
        here = [entry for entry in found if (entry.data, entry.noise) == (data, noise)]
        ours_are = [entry for entry in (best(here), *(e for e in here if e.kind == COMMITTEE)) if entry]
        for chosen, other in product(ours_are, (entry for entry in here if not entry.variant)):
            if chosen is other:
                continue
            place = other.places[0]
            theirs = other.array(place, "squared")
            ours = chosen.array(place, "squared")[:, : theirs.shape[1]]
            about = intervals.change(theirs, ours, f"{chosen.name}|{other.name}|{place}")
            rows.append(
                {
                    "data": data,
                    "noise": noise,
                    "network": chosen.name,
                    "yardstick": other.key,
                    "samples": theirs.shape[1],
                    "network_error": float(np.sqrt(ours.mean())),
                    "yardstick_error": float(np.sqrt(theirs.mean())),
                    "change": about.value,
                    "low": about.low,
                    "high": about.high,
                    "time_ratio": other.sheets[0].about["one"] / _mean_of(chosen, "one"),
                }
            )
    return rows


def costs(plan: Plan, folder: Folder, found: list[Entry]) -> list[Row]:
    """What each costs: trained numbers, budgets in layer evaluations, seconds (these alone do not repeat)."""
    rows = []
    for entry in found:
        row = {
            **who(entry),
            "parameters": "",
            "epochs": "",
            "layer_evaluations": "",
            "tuning_evaluations": "",
        }
        row |= {"training_seconds": "", "seconds_one": entry.sheets[0].about["one"], "horizon": ""}
        if entry.variant:
            record = read_json(folder.runs / run_name(entry.variant, 0) / "run.json", "run", "run again")
            given, tuning = plan.given(entry.variant), plan.spec.tuning
            spec = plan.run(entry.variant, given or plan.points[0], 0)
            budget = record.get("layer_evaluations", study.layer_evaluations(spec, record["samples"]))
            trials = 0 if given else len(plan.points) * tuning.seeds
            horizons = [s.about["horizon"] for s in entry.sheets if s.about["horizon"] is not None]
            row |= {
                "parameters": record["parameters"],
                "epochs": record.get("epochs", spec.epochs),
                "layer_evaluations": budget,
                "tuning_evaluations": budget * trials,
                **(_of_changing(plan, folder, entry.variant) if spec.depth else {}),
                "training_seconds": _mean_of(entry, "seconds"),
                "seconds_one": _mean_of(entry, "one"),
                "horizon": float(np.mean(horizons)) if horizons else "",
            }
        rows.append(row)
    return rows


def _of_changing(plan: Plan, folder: Folder, variant: Variant) -> dict[str, float]:
    """Means over the seeds of networks whose depth may change, and what their tuning took."""
    runs = [folder.runs / run_name(variant, number) for number in range(variant.seeds)]
    records = [read_json(run / "run.json", "run", "run again") for run in runs]
    facts = ("parameters", "epochs", "layer_evaluations")
    trials = [] if plan.given(variant) else [folder.tuning / name for name in plan.trials_of(variant)]
    tried = (read_json(trial / "run.json", "trial", "run again")["layer_evaluations"] for trial in trials)
    means = {fact: float(np.mean([record[fact] for record in records])) for fact in facts}
    return means | {"tuning_evaluations": float(sum(tried))}


def _mean_of(entry: Entry, fact: str) -> float:
    return float(np.mean([sheet.about[fact] for sheet in entry.sheets]))


def _mean(values: np.ndarray | None) -> float | str:
    if values is None or np.isnan(values).all():
        return ""
    return float(np.nanmean(values))


def _missing(values: np.ndarray | None) -> int | str:
    """Estimates that the forward map refuses."""
    return "" if values is None else int(np.isnan(values).sum())


def read(folder: Path) -> Mapping[str, list[dict[str, str]]]:
    """The tables of a finished study as text, by name."""
    import csv

    return {
        file.stem: list(csv.DictReader(file.open(encoding="utf-8"))) for file in sorted(folder.glob("*.csv"))
    }
