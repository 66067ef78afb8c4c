"""Memory against none: gradients over depth, and targets that are not smooth.

Fractional nets, ResNets and plain feed-forward nets of equal width and depth have equally many weights; from one
seed they have the same points and, the plain ones apart, the same weights at the start.  Steps are fixed and equal.
"""

import pydantic

from experiments.papers import pictures
from experiments.papers.claims import Measured
from experiments.papers.fitting import Fit
from experiments.papers.outcomes import NAMES, Numbers, Outcomes, difference, members, ratio, share
from experiments.papers.targets import TARGETS
from experiments.papers.time_variable import Size
from experiments.papers.work import Work

FAMILIES = ("resnet", "fractional")
WHEN = {"start": "at the start", "end": "after training"}


class Settings(pydantic.BaseModel):
    """Of the experiments: `[quick]` and `[full]`.

    seeds, and how many of them train as one program; order of the fractional nets.
    depths : at which gradients are looked at, at unit steps (T = L) and at T = 1.
    bad_layers, bad_scale : depth and factor on the weights of the layers of a bad start.
    trains_below : error of a net that has trained; 1 is the error of the mean of the target.
    targets, activations, horizons : of the fits, the best horizon chosen for each family on validation.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    seeds: int
    together: int
    order: float
    depths: tuple[int, ...]
    gradients: Size
    bad_layers: int
    bad_scale: float
    trains_below: float
    targets: tuple[str, ...]
    activations: tuple[str, ...]
    horizons: tuple[float, ...]
    layers: int
    fits: Size


Cases = dict[str, Measured]


def measure(settings: Settings, work: Work) -> dict[str, Cases]:
    """Every claim of `fractional.toml`, case by case."""
    return _gradients(settings, work) | _targets(settings, work)


def _gradients(settings: Settings, work: Work) -> dict[str, Cases]:
    common = {"target": "peaks", "order": settings.order, **settings.gradients.model_dump()}
    plain = "feed-forward"

    def fits(family, layers, horizons, scale=1.0):
        variants = [{"horizon": horizon} for horizon in horizons]
        # Plain nets train one by one, so that each is an experiment of its own.
        together = 1 if family == plain else settings.together
        for group in members(settings.seeds, together, variants):
            yield Fit(family=family, layers=layers, members=group, scale=scale, **common)

    wanted = [
        fit
        for layers in sorted(settings.depths, reverse=True)
        for family in (plain, *FAMILIES)
        for fit in fits(family, layers, [1.0] if family == plain else [float(layers), 1.0])
    ]
    bad = [
        fit
        for family in FAMILIES
        for fit in fits(family, settings.bad_layers, [float(settings.bad_layers)], settings.bad_scale)
    ]
    found = Outcomes.of(work, wanted + bad, "memory over depth")
    _draw(settings, found.where(scale=1.0), work)
    claims: dict[str, Cases] = {
        name: {}
        for name in (
            "vanishing-plain",
            "trains-deep",
            "vanishing-resnet",
            "nearer-one-resnet",
            "bad-start-resnet",
        )
    }
    for layers in settings.depths:
        here = found.where(layers=layers, scale=1.0)
        without = here.where(family=plain)
        unit, short = ([here.where(family=f, horizon=t) for f in FAMILIES] for t in (float(layers), 1.0))
        for when, said in WHEN.items():
            claims["vanishing-plain"][f"L = T = {layers}, {said}"] = difference(
                _lost(unit[1], when), _lost(without, when)
            )
            for (resnet, memory), steps in ((unit, f"L = T = {layers}"), (short, f"L = {layers}, T = 1")):
                claims["vanishing-resnet"][f"{steps}, {said}"] = difference(
                    _lost(memory, when), _lost(resnet, when)
                )
                claims["nearer-one-resnet"][f"{steps}, {said}"] = difference(
                    _apart(memory, when), _apart(resnet, when)
                )
        trained = [share(part.errors(), settings.trains_below) for part in (unit[1], without)]
        claims["trains-deep"][f"L = T = {layers}"] = difference(*trained)
    resnet, memory = (found.where(scale=settings.bad_scale, family=family) for family in FAMILIES)
    for when, said in WHEN.items():
        case = f"L = T = {settings.bad_layers}, weights × {settings.bad_scale:g}, {said}"
        claims["bad-start-resnet"][case] = difference(_apart(memory, when), _apart(resnet, when))
    return claims


def _draw(settings: Settings, found: Outcomes, work: Work) -> None:
    """Gradients over depth, with memory, with an identity, and without either."""
    panels = {}
    for when, said in WHEN.items():
        panels[f"T = L, {said}"] = {
            NAMES[family]: {
                layers: found.where(
                    layers=layers,
                    family=family,
                    horizon=1.0 if family == "feed-forward" else float(layers),
                ).decades(when)
                for layers in settings.depths
            }
            for family in ("feed-forward", *FAMILIES)
        }
    pictures.write(work.folder / "gradients.png", pictures.gradients(panels))


def _targets(settings: Settings, work: Work) -> dict[str, Cases]:
    variants = [{"horizon": horizon} for horizon in settings.horizons]
    found = Outcomes.of(
        work,
        [
            Fit(
                target=target,
                family=family,
                layers=settings.layers,
                order=settings.order,
                activation=activation,
                members=group,
                **settings.fits.model_dump(),
            )
            for target in settings.targets
            for activation in settings.activations
            for family in FAMILIES
            for group in members(settings.seeds, settings.together, variants)
        ],
        "targets",
    )
    claims: dict[str, Cases] = {
        name: {} for name in ("nonsmooth-classes", "nonsmooth-functions", "nonsmooth-more")
    }
    for activation in settings.activations:
        smooth = _at_best(found.where(activation=activation, target="peaks"))
        for target in settings.targets:
            if TARGETS[target].smooth:
                continue
            here = found.where(activation=activation, target=target)
            errors, horizons = _at_best(here)
            claim = claims["nonsmooth-classes" if TARGETS[target].classes else "nonsmooth-functions"]
            case = f"{target}, {activation}"
            longest = max(settings.horizons)
            best = ", ".join(
                f"{NAMES[f]} {t:g}" + " (the longest tried)" * (t == longest) for f, t in horizons.items()
            )
            claim[f"{case}, each at its best T: {best}"] = ratio(errors["fractional"], errors["resnet"])
            one = here.where(horizon=horizons["resnet"])
            same = {family: one.where(family=family).errors() for family in FAMILIES}
            claim[f"{case}, both at T = {horizons['resnet']:g}, the best of the ResNet"] = ratio(
                same["fractional"], same["resnet"]
            )
            claims["nonsmooth-more"][case] = ratio(_quotient(errors), _quotient(smooth[0]))
    return claims


def _at_best(found: Outcomes) -> tuple[dict[str, Numbers], dict[str, float]]:
    """Errors of each family at the horizon that is best for it, and the horizons."""
    parts = {family: found.where(family=family) for family in FAMILIES}
    horizons = {family: part.best_horizon() for family, part in parts.items()}
    return {family: part.where(horizon=horizons[family]).errors() for family, part in parts.items()}, horizons


def _quotient(errors: dict[str, Numbers]) -> Numbers:
    """Error of the fractional net over that of the ResNet, seed by seed."""
    return {
        seed: None if None in (one, errors["resnet"][seed]) else one / errors["resnet"][seed]
        for seed, one in errors["fractional"].items()
    }


def _apart(found: Outcomes, when: str) -> Numbers:
    """Decades between the gradients at first and last layer, |log10 ‖∂J/∂y_1‖/‖∂J/∂y_L‖|."""
    return found.numbers(lambda result: _read(result, when, abs))


def _lost(found: Outcomes, when: str) -> Numbers:
    """Decades that the gradient loses on its way from the last layer to the first; 0 where it grows."""
    return found.numbers(lambda result: _read(result, when, lambda decades: max(0.0, -decades)))


def _read(result, when, read):
    decades = result[when]["states"]
    return None if decades is None else read(decades)
