"""Studies: a TOML file that names a data recipe and the variants of a network to train on it."""

from dataclasses import dataclass
from pathlib import Path

from experiments import training
from experiments.errors import StudyError
from experiments.files import read_toml, validated
from experiments.specs import RunSpec, StudySpec
from experiments.training import Group, groups

SHIPPED = Path(__file__).parent / "studies"


@dataclass(frozen=True)
class Study:
    """A checked study.  `recipe` is the data recipe; `variants` are the specifications with seed 0.

    At most `ensemble` runs train together.
    """

    recipe: str
    seeds: int
    variants: dict[str, RunSpec]
    ensemble: int

    def runs(self) -> dict[str, RunSpec]:
        """Every run of the study: name of its folder to specification."""
        return {
            f"{name}-seed{seed}": spec.model_copy(update={"seed": seed})
            for name, spec in self.variants.items()
            for seed in range(self.seeds)
        }

    def groups(self) -> list[Group]:
        """The runs in the groups that train together, in the order of the study; see `training.groups`."""
        return groups(self.runs(), self.ensemble)


def load(path: str | Path) -> Study:
    """Read a study: a TOML file, or the name of one that comes with the package (`demo`)."""
    file = Path(path)
    shipped = {f.stem: f for f in sorted(SHIPPED.glob("*.toml"))}
    if not file.exists() and str(path) in shipped:
        file = shipped[str(path)]
    spec = validated(StudySpec, read_toml(file), str(file))
    variants = {
        name: validated(RunSpec, {**spec.network, **settings}, f"{file}: variants.{name}")
        for name, settings in spec.variants.items()
    }
    if any(variant.seed for variant in variants.values()):
        raise StudyError(f"{file}: a variant names a seed; leave it out, `seeds` says how many are run.")
    return Study(spec.recipe, spec.seeds, variants, spec.ensemble)


def check(study: Study, recipe, workers: int | None) -> None:
    """Raise StudyError for what would only show after hours: a data recipe that the study cannot use."""
    names = list(recipe.splits)
    if "valid" not in names or not set(names) - {"train", "valid"}:
        raise StudyError(
            f"recipe {study.recipe}: has the splits {', '.join(names)}; a study needs train, valid and at least "
            "one for testing."
        )
    most, samples = max(v.components for v in study.variants.values()), recipe.splits["train"].samples
    if most >= samples:
        raise StudyError(
            f"recipe {study.recipe}: has {samples} training samples, too few for {most} principal components; "
            "ask for more samples or fewer components."
        )
    if workers is not None and workers < 1:
        raise StudyError(f"workers is {workers}; expected at least 1.")


def refuse_others(study: Study, out: Path, digest: str) -> None:
    """Raise StudyError if a finished run in the folder is not the study's: a result would mix two studies."""
    from experiments.runs import refuse_another

    for name, spec in study.runs().items():
        refuse_another(out / name, spec, digest)


def train_all(study: Study, dataset: Path, out: Path, workers: int | None = None) -> None:
    """Train every run of a study that is not finished; see `training.train_all`."""
    training.train_all([(dataset, group) for group in study.groups()], out, workers)
