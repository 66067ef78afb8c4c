"""Learned time steps against fixed ones: error, the part of the horizon in it, gradients, bad starts.

Networks differ in their time rule alone: same weights, points and order of the points from the same seed, same
horizon at the start, same epochs.  A fixed net at the best horizon of a sweep (by validation) separates a better
horizon from better-placed steps.
"""

from collections.abc import Callable
from typing import Any

import pydantic

from experiments.papers import pictures
from experiments.papers.claims import Measured, over_seeds
from experiments.papers.fitting import Fit
from experiments.papers.outcomes import NAMES, Numbers, Outcomes, difference, members, ratio, share
from experiments.papers.work import Work

LEARNED = {
    "resnet": ("free", "positive"),
    "dense-additive": ("free", "positive"),
    "fractional": ("positive",),
}
"""Learned rules of each family, the one of the paper first; a Fractional takes none whose steps turn negative."""


class Size(pydantic.BaseModel):
    """What the networks of an experiment share."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    width: int
    points: int
    batch: int
    epochs: int
    learning_rate: float


class Start(pydantic.BaseModel):
    """A bad start: a factor on the weights of the layers, and an activation."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    scale: float
    activation: str


class Settings(pydantic.BaseModel):
    """Of the experiments: `[quick]` and `[full]`.

    seeds, and how many of them train as one program; order of the fractional nets.
    horizons : of the sweep; the first is where learned steps begin.
    depths : of each family, at unit steps (T = L).  bad_layers : depth of each family at a bad start.
    trains_below : error of a net that has trained; 1 is the error of the mean of the target.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    seeds: int
    together: int
    order: float
    targets: tuple[str, ...]
    layers: int
    horizons: tuple[float, ...]
    accuracy: Size
    depths: dict[str, tuple[int, ...]]
    gradients: Size
    bad_layers: dict[str, int]
    bad_starts: tuple[Start, ...]
    trains_below: float


Cases = dict[str, Measured]


def measure(settings: Settings, work: Work) -> dict[str, Cases]:
    """Every claim of `time-variable.toml`, case by case."""
    found = _accuracy(settings, work)
    return found | _gradients(settings, work)


def _accuracy(settings: Settings, work: Work) -> dict[str, Cases]:
    start, pairs = settings.horizons[0], [(f, t) for t in settings.targets for f in LEARNED]

    def fits(variants: Callable[[str, str], list[dict[str, Any]]]):
        return [
            Fit(
                target=target,
                family=family,
                layers=settings.layers,
                order=settings.order,
                members=group,
                **settings.accuracy.model_dump(),
            )
            for family, target in pairs
            for group in members(settings.seeds, settings.together, variants(family, target))
        ]

    def first(family, target):
        fixed = [{"time": "fixed", "horizon": horizon} for horizon in settings.horizons]
        return fixed + [{"time": rule, "horizon": start} for rule in LEARNED[family]]

    sweep = Outcomes.of(work, fits(first), "steps and horizons")
    best = {
        (family, target): sweep.where(family=family, target=target, time="fixed").best_horizon()
        for family, target in pairs
    }

    def second(family, target):
        rules = ("simplex", *LEARNED[family])
        return [{"time": rule, "horizon": best[family, target]} for rule in rules]

    again = Outcomes.of(work, fits(second), "steps from the best horizon")
    claims: dict[str, Cases] = {
        name: {}
        for name in (
            "every-family",
            "smaller-error",
            "better-than-best-horizon",
            "better-placed",
            "better-from-best-horizon",
        )
    }
    for family, target in pairs:
        horizon, place = best[family, target], {"family": family, "target": target}
        fixed = sweep.where(**place, time="fixed")
        at_start, at_best = (fixed.where(horizon=t).errors() for t in (start, horizon))
        name = f"{target}, {NAMES[family]}"
        best_t = f"T = {horizon:g}" + ", the longest tried" * (horizon == max(settings.horizons))
        for rule in LEARNED[family]:
            learned = sweep.where(**place, time=rule).errors()
            case, from_best = f"{name}, {rule} steps", again.where(**place, time=rule).errors()
            claims["smaller-error"][case] = ratio(learned, at_start)
            claims["better-than-best-horizon"][f"{case}, best {best_t}"] = ratio(learned, at_best)
            claims["better-from-best-horizon"][f"{case}, {best_t}"] = ratio(from_best, at_best)
            trained = share(learned, settings.trains_below)
            claims["every-family"][case] = over_seeds(list(trained.values()))
        placed = again.where(**place, time="simplex").errors()
        claims["better-placed"][f"{name}, {best_t}"] = ratio(placed, at_best)
    return claims


def _gradients(settings: Settings, work: Work) -> dict[str, Cases]:
    common = {"target": "peaks", "order": settings.order, **settings.gradients.model_dump()}

    def fits(family, layers, **start):
        variants = [{"time": rule, "horizon": float(layers)} for rule in ("fixed", LEARNED[family][0])]
        return [
            Fit(family=family, layers=layers, members=group, **common, **start)
            for group in members(settings.seeds, settings.together, variants)
        ]

    deep = [(family, layers) for family, depths in settings.depths.items() for layers in depths]
    deep.sort(key=lambda pair: -pair[1])
    bad = [(family, start) for start in settings.bad_starts for family in settings.bad_layers]
    outcomes = Outcomes.of(
        work,
        [fit for family, layers in deep for fit in fits(family, layers)]
        + [
            fit
            for family, start in bad
            for fit in fits(family, settings.bad_layers[family], **start.model_dump())
        ],
        "depths and bad starts",
    )
    _draw(settings, outcomes.where(scale=1.0, activation="tanh"), work)
    claims: dict[str, Cases] = {"gradients": {}, "gradients-bad-start": {}, "bad-start-trains": {}}
    for family, layers in sorted(deep, key=lambda pair: (list(NAMES).index(pair[0]), pair[1])):
        here = outcomes.where(family=family, layers=layers, scale=1.0, activation="tanh")
        fixed, learned = (here.where(time=rule) for rule in ("fixed", LEARNED[family][0]))
        claims["gradients"][f"{NAMES[family]}, L = {layers}"] = difference(_apart(learned), _apart(fixed))
    for family, start in bad:
        here = outcomes.where(family=family, layers=settings.bad_layers[family], **start.model_dump())
        fixed, learned = (here.where(time=rule) for rule in ("fixed", LEARNED[family][0]))
        case = f"{NAMES[family]}, L = {settings.bad_layers[family]}, weights × {start.scale:g}, {start.activation}"
        claims["gradients-bad-start"][case] = difference(_apart(learned), _apart(fixed))
        trained = [share(part.errors(), settings.trains_below) for part in (learned, fixed)]
        claims["bad-start-trains"][case] = difference(*trained)
    return claims


def _draw(settings: Settings, outcomes: Outcomes, work: Work) -> None:
    """Gradients over depth; at the start those of learned and fixed steps are the same."""
    panels = {}
    for family, depths in settings.depths.items():
        here = {layers: outcomes.where(family=family, layers=layers) for layers in depths}
        curves = {
            "at the start": ("fixed", "start"),
            "fixed steps, trained": ("fixed", "end"),
            f"{LEARNED[family][0]} steps, trained": (LEARNED[family][0], "end"),
        }
        panels[f"{NAMES[family]}, T = L at the start"] = {
            label: {layers: part.where(time=rule).decades(when) for layers, part in here.items()}
            for label, (rule, when) in curves.items()
        }
    pictures.write(work.folder / "gradients.png", pictures.gradients(panels))


def _apart(outcomes: Outcomes) -> Numbers:
    """|log10 ‖∂J/∂y_1‖/‖∂J/∂y_L‖| after training: decades between first and last layer."""

    def read(result):
        decades = result["end"]["states"]
        return None if decades is None else abs(decades)

    return outcomes.numbers(read)
