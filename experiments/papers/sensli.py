"""Layers inserted where the loss is most sensitive: against not inserting, the large net, and other positions.

Networks of a case and a seed have the same points, the same weights at the start (the large net as far as the small
one has them) and the same order of the points.  What they cost is counted as work, samples × weights over updates,
with the analysis of sensitivities counted (`depth.DepthTrace`): seconds of a process
that shares its machine are no measure, and stand in the notes.
"""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
import pydantic

from experiments.papers import pictures, sensli_pictures
from experiments.papers.claims import Measured, over_seeds
from experiments.papers.outcomes import Numbers, difference, ratio
from experiments.papers.sensli_runs import Case, Data, Run, points, train
from experiments.papers.work import Work

VARIANTS = ("small", "largest", "smallest", "large")
GROWN = "largest"

Results = Mapping[str, Mapping[int, dict[str, Any]]]
"""Variant to seed to what `sensli_runs.train` returns."""

Cases = dict[str, Measured]


class Settings(pydantic.BaseModel):
    """Of the experiments: `[quick]` and `[full]`.

    soon : epochs after the insertion at which positions are compared a first time.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    seeds: int
    data: Data
    soon: int
    cases: tuple[Case, ...]


def measure(settings: Settings, work: Work) -> dict[str, Cases]:
    """Every claim of `sensli.toml`, case by case."""
    runs = [
        Run(case=_of(case, variant), variant=variant, seed=seed, data=settings.data, regions=seed == 0)
        for case in settings.cases
        for variant, seed in product(variants(case), range(settings.seeds))
    ]
    specs = [run.model_dump(mode="json") for run in runs]
    found: dict[str, dict[str, dict[int, dict[str, Any]]]] = {}
    results = iter(work.map(train, specs, "insertions"))
    for case in settings.cases:
        found[case.name] = {
            variant: {seed: next(results) for seed in range(settings.seeds)} for variant in variants(case)
        }
    _draw(settings, found, work)
    claims: dict[str, Cases] = {}
    for case in settings.cases:
        for name, cases in _judge(case, found[case.name], settings.soon).items():
            claims.setdefault(name, {}).update(cases)
    return claims


def variants(case: Case) -> tuple[str, ...]:
    """Between two positions a drawn one is the largest or the smallest; of more it is another choice."""
    return VARIANTS if case.layers == 1 else (*VARIANTS, "drawn")


def _of(case: Case, variant: str) -> Case:
    """The case as its networks see it: of fixed depth they are the same ones, whenever others grow."""
    fixed = {"insert": case.epochs} if variant in ("small", "large") else {}
    return case.model_copy(update={"name": "", **fixed})


def _judge(case: Case, found: Results, soon: int) -> dict[str, Cases]:
    end = case.epochs
    grown, small, large = found[GROWN], found["small"], found["large"]
    budget = {seed: result["work"][end - 1] for seed, result in grown.items()}

    def at(variant: str, key: str, epoch: int = end) -> Numbers:
        return {seed: result[key][epoch - 1] for seed, result in found[variant].items()}

    def affordable(variant: str, key: str) -> Numbers:
        return _each(found[variant], lambda seed, result: within(result, key, budget[seed]))

    level = {seed: max(grown[seed]["loss"][end - 1], large[seed]["loss"][end - 1]) for seed in grown}
    reached = [
        _each(results, lambda seed, result: work_to(result, level[seed])) for results in (grown, large)
    ]
    inserted = {seed: result["insertion"] for seed, result in grown.items() if result["insertion"]}
    where = _positions(case, grown)
    claims = {
        "unchanged": {case.name: _mean([abs(event["change"]) for event in inserted.values()], len(grown))},
        "faster-than-small": {case.name: ratio(at(GROWN, "loss"), at("small", "loss"))},
        "smaller-test-error": {case.name: difference(at(GROWN, "error"), at("small", "error"))},
        "faster-than-small-by-work": {case.name: ratio(at(GROWN, "loss"), affordable("small", "loss"))},
        "less-effort": {
            case.name: _noted(
                ratio(at(GROWN, "work"), at("large", "work")),
                f"process seconds {_seconds(grown)} against {_seconds(large)}, of the small one's longer course "
                f"{_seconds(small)}",
            )
        },
        "less-effort-to-a-loss": {case.name: ratio(*reached)},
        "better-than-large-by-work": {case.name: ratio(at(GROWN, "loss"), affordable("large", "loss"))},
        "close-to-large": {case.name: difference(at(GROWN, "error"), at("large", "error"))},
        "position-soon": {},
        "position-late": {},
    }
    for other in ("smallest", "drawn"):
        if other not in found:
            continue
        name = f"{case.name}, largest against {other}"
        for claim, epoch in (("position-soon", min(case.insert + soon, end)), ("position-late", end)):
            both = ratio(at(GROWN, "loss", epoch), at(other, "loss", epoch))
            claims[claim][name] = _noted(both, where if other == "smallest" else "")
    return claims


def within(result: Mapping[str, Any], key: str, work: float) -> float | None:
    """Return what a network had after its last epoch that ended within so much work; None before the first."""
    epochs = int(np.searchsorted(result["work"], work, side="right"))
    return result[key][epochs - 1] if epochs else None


def work_to(result: Mapping[str, Any], level: float) -> float | None:
    """Return the work after the first epoch that ended with a training loss of `level` at most; None for none."""
    return next(
        (work for work, loss in zip(result["work"], result["loss"], strict=True) if loss <= level), None
    )


def _each(results: Mapping[int, dict[str, Any]], read: Callable[[int, dict[str, Any]], Any]) -> Numbers:
    return {seed: read(seed, result) for seed, result in results.items()}


def _mean(values: list[float], seeds: int) -> Measured:
    note = "" if len(values) == seeds else f"no insertion in {seeds - len(values)} of {seeds} seeds"
    return over_seeds(values, note) if values else Measured(None, None, None, 0, note)


def _noted(measured: Measured, note: str) -> Measured:
    notes = "; ".join(part for part in (measured.note, note) if part)
    return Measured(measured.value, measured.low, measured.high, measured.count, notes)


def _positions(case: Case, grown: Mapping[int, dict[str, Any]]) -> str:
    """How often each position was the most sensitive one, and how much more than the least."""
    events = [result["insertion"] for result in grown.values() if result["insertion"]]
    chosen = [event["position"] for event in events]
    counts = "/".join(str(chosen.count(position)) for position in range(case.layers + 1))
    apart = [max(event["sensitivities"]) / max(min(event["sensitivities"]), 1e-300) for event in events]
    much = f", largest/smallest sensitivity {np.median(apart):.2g}" if apart else ""
    return f"positions 0 … {case.layers} chosen {counts} times{much}"


def _seconds(results: Mapping[int, dict[str, Any]]) -> str:
    return f"{np.median([result['seconds'] for result in results.values()]):.2g}"


def _draw(settings: Settings, found: Mapping[str, Results], work: Work) -> None:
    """Curves and places of all seeds, regions of the first."""
    curves = {
        name: {variant: list(results.values()) for variant, results in case.items()}
        for name, case in found.items()
    }
    pictures.write(work.folder / "loss.png", sensli_pictures.losses(curves))
    pictures.write(work.folder / "places.png", sensli_pictures.places(curves))
    shown = {}
    for case in settings.cases:
        grown, large = (found[case.name][variant][0]["regions"] for variant in (GROWN, "large"))
        shown[case.name] = {
            f"insertion, epoch {case.insert}": grown["insertion"],
            f"grown, epoch {case.epochs}": grown["end"],
            f"large, epoch {case.epochs}": large["end"],
        }
    run = Run(case=settings.cases[0], variant=GROWN, seed=0, data=settings.data)
    x, y = points(run, "train")  # the same in all cases
    pictures.write(work.folder / "regions.png", sensli_pictures.regions(shown, x.numpy(), y.numpy()))
