"""How the runs of a comparison are named, coloured and paired."""

from dataclasses import dataclass, replace

from experiments.runs import Run
from experiments.specs import RunSpec

FAMILY_NAMES = {
    "resnet": "ResNet",
    "fractional": "Fractional",
    "dense-additive": "additive DenseNet",
    "dense-concatenating": "concatenating DenseNet",
    "feed-forward": "feed-forward",
}

# Okabe and Ito's colour-blind safe palette: a family is a hue, learned steps its dark shade.
_COLOURS = {
    ("resnet", False): "#56B4E9",
    ("resnet", True): "#0072B2",
    ("fractional", False): "#E69F00",
    ("fractional", True): "#D55E00",
    ("dense-additive", False): "#F0E442",
    ("dense-additive", True): "#998F00",
    ("dense-concatenating", False): "#CC79A7",
    ("dense-concatenating", True): "#8A3F6A",
    ("feed-forward", False): "#000000",
}
CLASSICAL_COLOURS = {"prior mean": "#777777", "linearised Tikhonov": "#009E73"}


@dataclass(frozen=True)
class Variant:
    """Runs that differ in their seed alone.

    spec : what they share (with seed 0).  runs : in order of their seeds.  label : unique in the comparison.
    """

    spec: RunSpec
    runs: tuple[Run, ...]
    label: str
    kin: int = 0
    """Number of this variant among those of the same family that also learn, or also fix, their steps."""

    @property
    def marker(self) -> str:
        """Tells apart variants of one colour."""
        return "osD^vPX*"[self.kin % 8]

    @property
    def learned(self) -> bool:
        """Whether the time steps train."""
        return self.spec.time != "fixed"

    @property
    def family(self) -> str:
        """Name of the family for a reader."""
        return FAMILY_NAMES[self.spec.family]

    @property
    def colour(self) -> str:
        """The colour of this kind of variant in every picture."""
        return _COLOURS[self.spec.family, self.learned]

    @property
    def style(self) -> str:
        """Line style: fixed steps are dashed, learned ones solid, so that colour is not needed."""
        return "-" if self.learned else "--"

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the runs."""
        return tuple(run.spec.seed for run in self.runs)


def variants_of(runs: list[Run]) -> list[Variant]:
    """Group runs by all of their specification but the seed; labels name what tells the groups apart.

    In one order whatever the order of the runs: by family, fixed steps first.
    """
    groups: dict[RunSpec, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.spec.model_copy(update={"seed": 0}), []).append(run)
    varying = [
        name
        for name in RunSpec.model_fields
        if name not in ("family", "time", "seed") and len({getattr(spec, name) for spec in groups}) > 1
    ]
    found = [
        Variant(spec, tuple(sorted(members, key=lambda run: run.spec.seed)), _label(spec, varying))
        for spec, members in groups.items()
    ]
    found.sort(key=lambda v: (list(FAMILY_NAMES).index(v.spec.family), v.learned, v.label))
    kinds = [(v.spec.family, v.learned) for v in found]
    return [replace(v, kin=kinds[:k].count(kinds[k])) for k, v in enumerate(found)]


def _label(spec, varying):
    steps = "fixed steps" if spec.time == "fixed" else f"learned steps ({spec.time})"
    extra = "".join(f", {name} {getattr(spec, name)}" for name in varying)
    return f"{FAMILY_NAMES[spec.family]}, {steps}{extra}"


def pairs_of(variants: list[Variant]) -> list[tuple[Variant, Variant]]:
    """(fixed, learned) for every two variants that differ in the rule of the steps alone and share seeds."""
    return [
        (fixed, learned)
        for fixed in variants
        for learned in variants
        if not fixed.learned
        and learned.learned
        and fixed.spec.model_copy(update={"time": learned.spec.time}) == learned.spec
        and fixed.seeds == learned.seeds
    ]
