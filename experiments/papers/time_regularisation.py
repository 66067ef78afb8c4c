"""Learned time steps that are held to a horizon, or to zero, where their layers go: accuracy, horizon, depth.

All networks of a seed have the same weights, split and order of the samples, and differ in one thing at a time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pydantic

from experiments.errors import StudyError
from experiments.papers import images, pictures, step_pictures
from experiments.papers.claims import Measured, over_seeds
from experiments.papers.classifying import Classifier, Variant, train
from experiments.papers.images import Images
from experiments.papers.outcomes import Numbers, difference, ratio
from experiments.papers.work import Work

LABELS = {
    "fixed": "ResNet, fixed",
    "held": "ResNet, five of six learned",
    "learned": "ResNet, learned",
    "horizon": "ResNet, learned, α",
    "magnitude": "ResNet, learned, λ",
    "pruned": "ResNet, learned, pruned",
    "magnitude-pruned": "ResNet, learned, λ, pruned",
    "fractional-fixed": "Fractional, fixed",
    "fractional-learned": "Fractional, learned",
    "fractional-after-lift": "Fractional after the lift, fixed",
}
"""Every variant, and how it is called; α is the weight of (Σ τ − T)², λ that of Σ|τ|."""

FIGURE = {
    "learned": {"learned": ""},
    "fractional": {"fractional-fixed": ""},
    "resnet": {"fixed": ", fixed", "held": ", five of six learned"},
}
"""What the figure shows: the variants that may be meant, and what tells them apart."""


class Budget(pydantic.BaseModel):
    """Networks of each variant, passes over the training images, and the rate of descent."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    seeds: int = pydantic.Field(ge=1)
    epochs: int = pydantic.Field(ge=1)
    learning_rate: float = pydantic.Field(gt=0)


class Settings(pydantic.BaseModel):
    """Of the experiments: `[quick]` and `[full]`.

    images : folder with MNIST/raw and FashionMNIST/raw (IDX files); None for the digits of scikit-learn.
    layers after the lift; order of the fractional nets; horizons at the start, Σ τ = T in equal steps.
    horizon_weight α, magnitude_weight λ; threshold of pruning, a share of Σ|τ|; budgets by data set.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    images: str | None = None
    layers: int
    width: int
    batch: int
    order: float
    horizons: tuple[float, ...]
    horizon_weight: float
    magnitude_weight: float
    threshold: float
    budgets: dict[Literal["digits", "mnist", "fashion-mnist"], Budget]

    def variants(self) -> dict[str, Variant]:
        """Every variant of `LABELS`."""
        alpha, size, cut = (
            {"horizon_weight": self.horizon_weight},
            {"magnitude_weight": self.magnitude_weight},
            {"threshold": self.threshold},
        )
        return {
            "fixed": Variant(),
            "held": Variant(steps="held"),
            "learned": Variant(steps="free"),
            "horizon": Variant(steps="free", **alpha),
            "magnitude": Variant(steps="free", **size),
            "pruned": Variant(steps="free", **cut),
            "magnitude-pruned": Variant(steps="free", **size, **cut),
            "fractional-fixed": Variant(family="fractional"),
            "fractional-learned": Variant(family="fractional", steps="bounded"),
            "fractional-after-lift": Variant(family="fractional-after-lift"),
        }


Cases = dict[str, Measured]


@dataclass(frozen=True)
class Trained:
    """What came out on one data set at one T: variant to seed to the outcome of `classifying.train`."""

    horizon: float
    found: Mapping[str, Mapping[int, dict[str, Any]]]

    def numbers(self, variant: str, read: str | Callable[[dict[str, Any]], float]) -> Numbers:
        """A number of the outcome of each seed, None where training left the numbers."""
        reader = (lambda one: one[read]) if isinstance(read, str) else read
        return {s: None if one["failed"] else reader(one) for s, one in self.found[variant].items()}

    def accuracy(self, variant: str, baseline: str | None = None) -> Measured:
        """Test accuracy, or its difference to that of a baseline, in pairs."""
        own = self.numbers(variant, "accuracy")
        return difference(own, self.numbers(baseline, "accuracy")) if baseline else mean(own)


def measure(settings: Settings, work: Work) -> dict[str, Cases]:
    """Every claim of `time-regularisation.toml`, case by case."""
    sources = images.found(settings.images)
    runs = {source: _trained(settings, source, work) for source in sources}
    _draw(settings, runs, work)
    claims: dict[str, Cases] = {}
    for source, trained in runs.items():
        for each in trained:
            for name, cases in _claims(each, f"{source.name}, T = {each.horizon:g}").items():
                claims.setdefault(name, {}).update(cases)
    for key, short in (("mnist", "mnist"), ("fashion-mnist", "fashion")):
        here = next((source for source in sources if source.key == key), None)
        for shown, variants in FIGURE.items():
            claims[f"{short}-{shown}"] = _values(key, here, runs.get(here, ()), variants)
    return claims


def _trained(settings: Settings, source: Images, work: Work) -> list[Trained]:
    if source.key not in settings.budgets:
        raise StudyError(f"budgets has no {source.key}; give its seeds and epochs.")
    budget, digest = settings.budgets[source.key], source.digest
    chosen = [
        (horizon, name, variant, seed)
        for seed in range(budget.seeds)
        for horizon in settings.horizons
        for name, variant in settings.variants().items()
    ]
    specs = [
        Classifier(
            data=source.key,
            digest=digest,
            folder=settings.images,
            seed=seed,
            horizon=horizon,
            variant=variant,
            epochs=budget.epochs,
            learning_rate=budget.learning_rate,
            **settings.model_dump(include={"layers", "width", "order", "batch"}),
        ).model_dump(mode="json")
        for horizon, _, variant, seed in chosen
    ]
    outcomes = dict(
        zip(
            ((T, name, seed) for T, name, _, seed in chosen), work.map(train, specs, source.name), strict=True
        )
    )
    return [
        Trained(T, {name: {seed: outcomes[T, name, seed] for seed in range(budget.seeds)} for name in LABELS})
        for T in settings.horizons
    ]


def _claims(here: Trained, place: str) -> dict[str, Cases]:
    """The orderings, on one data set at one T."""

    def off(one):
        return max(abs(one["horizon"] - here.horizon), 1e-12)

    with_alpha, without = here.numbers("horizon", off), here.numbers("learned", off)
    relative = {seed: None if gap is None else gap / here.horizon for seed, gap in with_alpha.items()}
    pruned = {"": ("pruned", "learned"), ", λ": ("magnitude-pruned", "magnitude")}
    return {
        "learned-more-accurate": {
            f"{place}, ResNet": here.accuracy("learned", "fixed"),
            f"{place}, Fractional": here.accuracy("fractional-learned", "fractional-fixed"),
        },
        "learned-against-half-fixed": {place: here.accuracy("learned", "held")},
        "half-fixed-like-fixed": {place: here.accuracy("held", "fixed")},
        "fractional-more-accurate": {
            f"{place}, ResNet fixed": here.accuracy("fractional-fixed", "fixed"),
            f"{place}, ResNet with five of six learned": here.accuracy("fractional-fixed", "held"),
        },
        "memory-more-accurate": {place: here.accuracy("fractional-after-lift", "fixed")},
        "horizon-nearer": {place: ratio(with_alpha, without)},
        "horizon-reached": {place: mean(relative)},
        "regularised-as-accurate": {
            f"{place}, α": here.accuracy("horizon", "learned"),
            f"{place}, λ": here.accuracy("magnitude", "learned"),
        },
        "pruning-removes": {
            f"{place}{said}": mean(here.numbers(one, "removed")) for said, (one, _) in pruned.items()
        },
        "pruning-keeps-accuracy": {
            f"{place}{said}": where_pruned(here, *pair, "accuracy", difference)
            for said, pair in pruned.items()
        },
        "pruning-saves-work": {
            f"{place}{said}": where_pruned(here, *pair, "work", ratio) for said, pair in pruned.items()
        },
    }


def _values(
    key: str, source: Images | None, trained: tuple[Trained, ...] | list[Trained], variants: dict[str, str]
) -> Cases:
    """Accuracies as they are, which say something about the figure on its own images alone."""
    if source is None:
        return {f"{images.NAMES[key]} not found (--images FOLDER)": Measured(None, None, None, 0)}
    if source.unlike_standard:
        return {source.name: Measured(None, None, None, 0, source.unlike_standard)}
    return {
        f"T = {each.horizon:g}{said}": each.accuracy(variant)
        for each in trained
        for variant, said in variants.items()
    }


def mean(numbers: Numbers) -> Measured:
    """Mean over the seeds that have a number."""
    have = [value for value in numbers.values() if value is not None]
    left = len(numbers) - len(have)
    note = f"{left} of {len(numbers)} seeds without a number left out" if left else ""
    return over_seeds(have, note) if have else Measured(None, None, None, 0, note)


def where_pruned(
    here: Trained, variant: str, baseline: str, read: str, compare: Callable[[Numbers, Numbers], Measured]
) -> Measured:
    """A comparison over the seeds in which a layer went; in the others both are one network."""
    removed = here.numbers(variant, "removed")
    went = [seed for seed, count in removed.items() if count]
    if not went:
        return Measured(None, None, None, 0, "no layer went in any seed")
    one, two = ({seed: here.numbers(name, read)[seed] for seed in went} for name in (variant, baseline))
    found = compare(one, two)
    notes = [note for note in (f"a layer went in {len(went)} of {len(removed)} seeds", found.note) if note]
    return Measured(found.value, found.low, found.high, found.count, "; ".join(notes))


def _draw(settings: Settings, runs: Mapping[Images, list[Trained]], work: Work) -> None:
    """Accuracy and loss on the test set, and the steps after training."""
    for quantity, said in (("accuracy", "test accuracy"), ("loss", "test cross entropy")):
        panels = {
            f"{source.name}, T = {each.horizon:g}": {
                label: mean(each.numbers(name, quantity)) for name, label in LABELS.items()
            }
            for source, trained in runs.items()
            for each in trained
        }
        pictures.write(work.folder / f"{quantity}.png", step_pictures.levels(panels, said))
    for source, trained in runs.items():
        steps = {
            label: {
                each.horizon: [one["steps"] for one in each.found[name].values() if not one["failed"]]
                for each in trained
            }
            for name, label in LABELS.items()
            if settings.variants()[name].steps != "fixed"
        }
        pictures.write(work.folder / f"steps-{source.key}.png", step_pictures.steps(steps, source.name))
