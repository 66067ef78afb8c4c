"""Studies: a TOML file that names a data recipe and the variants of a network to train on it."""

from collections.abc import Mapping
from concurrent.futures import BrokenExecutor, as_completed
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from experiments.errors import StudyError
from experiments.files import read_toml, validated
from experiments.progress import Progress
from experiments.specs import RunSpec, StudySpec

SHIPPED = Path(__file__).parent / "studies"

MEMBERS_OWN = frozenset({"seed", "time", "horizon", "learning_rate", "weight_decay", "noise"})
"""Settings in which runs that train together may differ; each noise brings data and a compression of its own."""


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

    def groups(self) -> list[dict[str, RunSpec]]:
        """The runs in the groups that train together, in the order of the study.

        Runs of one `company` are cut into as few groups as `ensemble` allows, equal in size but for one run, so
        that worker processes have equal shares.  They follow from the study alone, not from the number of workers
        nor from what is complete, and so do the last digits of the weights.
        """
        companies: dict[tuple, list[str]] = {}
        found, runs = [], self.runs()
        for name, spec in runs.items():
            companies.setdefault(company(spec), []).append(name)
        for names in companies.values():
            count = -(-len(names) // self.ensemble)
            cuts = [len(names) * k // count for k in range(count + 1)]
            found += [names[start:end] for start, end in pairwise(cuts)]
        return [{name: runs[name] for name in names} for names in found]


def company(spec: RunSpec) -> tuple:
    """What runs must have in common to train as one program (`training.fit_ensemble`).

    The start of a learned order is a member's own; an order that is not trained is a constant of the network.
    """
    own = MEMBERS_OWN | {"order"} if spec.learn_order else MEMBERS_OWN
    return tuple((name, value) for name, value in spec.model_dump().items() if name not in own)


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
    """Train every run of a study that is not finished: groups in worker processes, from their checkpoints.

    Raises StudyError when a worker dies, and, after all others are trained, for runs that left the numbers.
    """
    from data import executors
    from experiments import ensembles
    from experiments.runs import finished

    total, done, todo, failures = len(study.runs()), 0, [], {}
    for group in study.groups():
        complete = sum(finished(out / name) for name in group)
        done += complete
        if complete < len(group):
            todo.append(group)
    with Progress("training", total, "networks") as progress:
        progress.start(done)
        if not todo:
            ensembles.tidy(out)
            return
        workers = min(executors.usable_cores() if workers is None else workers, len(todo))
        try:
            with executors.local(workers) as executor:
                waiting = [executor.submit(_train, str(dataset), str(out), group) for group in todo]
                for future in as_completed(waiting):
                    found = future.result()
                    losses = {name: loss for name, loss in found.items() if not isinstance(loss, str)}
                    failures |= {name: why for name, why in found.items() if name not in losses}
                    done += len(losses)
                    progress.update(
                        done,
                        ", ".join(f"{name}: validation loss {loss:.3f}" for name, loss in losses.items()),
                    )
        except BrokenExecutor:
            raise StudyError(
                f"{out}: a worker process died while training, often for want of memory; run the same "
                "command again to continue, perhaps with fewer workers."
            ) from None
    ensembles.tidy(out)
    if failures:
        raise StudyError(
            f"{out}: {done} of {total} networks are trained, but not {', '.join(failures)} "
            f"({next(iter(failures.values()))}); change their settings, or leave them out."
        )


def _train(dataset: str, out: str, group: Mapping[str, RunSpec]) -> dict[str, float | str]:
    """One group in a worker; see `ensembles.train`."""
    import torch

    from experiments import ensembles

    torch.set_num_threads(1)
    return ensembles.train(dataset, out, group)
