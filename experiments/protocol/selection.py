"""Which trained networks a study goes on with: those of least validation loss; the test split does not choose."""

from collections.abc import Callable, Sequence

from experiments.files import read_json
from experiments.protocol.folder import Folder
from experiments.protocol.plan import Plan, Variant, run_name


def best(plan: Plan, folder: Folder, key: str, noise: float) -> Variant:
    """The variant of least mean validation loss on a data set at a noise, of all training samples if there is one.

    Losses are compared in the unit of the standardised unknown.  The test split does not choose.
    """

    def loss(variant):
        return sum(_loss(folder, run_name(variant, seed)) for seed in range(variant.seeds)) / variant.seeds

    return min(_whole(plan, key, noise), key=loss)


def committee(plan: Plan, folder: Folder, key: str, noise: float) -> list[str]:
    """The runs of least validation loss on a data set at a noise, of any variant of those that `best` looks at."""
    runs = [run_name(v, seed) for v in _whole(plan, key, noise) for seed in range(v.seeds)]
    return sorted(runs, key=lambda name: _loss(folder, name))[: plan.spec.committee]


def of_all_samples[T](found: Sequence[T], variant: Callable[[T], Variant]) -> Sequence[T]:
    """Those whose variant has all training samples; all where none has."""
    return [one for one in found if variant(one).cell.samples is None] or found


def _whole(plan: Plan, key: str, noise: float) -> Sequence[Variant]:
    here = [v for v in plan.variants if (v.cell.data, v.cell.noise) == (key, noise)]
    return of_all_samples(here, lambda found: found)


def _loss(folder: Folder, name: str) -> float:
    """Validation loss of a run in the unit of the standardised unknown."""
    record = read_json(folder.runs / name / "run.json", "run", "run again")
    return record["best_loss"] * record["loss_unit"]
