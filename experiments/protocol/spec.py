"""The specification of a study, checked before any work begins (light to import)."""

from typing import Annotated, Any, Literal

import pydantic

from experiments.specs import Count, Positive, RunSpec

Name = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Family = RunSpec.model_fields["family"].annotation
Rule = RunSpec.model_fields["time"].annotation
Level = Annotated[pydantic.FiniteFloat, pydantic.Field(ge=0)]


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class DataSpec(_Table):
    """One data set of a study."""

    recipe: str = pydantic.Field(description="recipe: a shipped name or a TOML file")
    title: str = pydantic.Field(description="what the reader calls it")
    set: dict[str, Any] = pydantic.Field(default={}, description="overrides of the recipe's fields")
    network: dict[str, Any] = pydantic.Field(default={}, description="settings of its networks")
    iterated: Count = pydantic.Field(100, description="test samples for methods that take them one by one")


class ArmSpec(_Table):
    """One way to choose the time steps; all arms share everything else."""

    label: str = pydantic.Field(description="what the reader calls it")
    time: Rule = pydantic.Field(description="rule of the time steps")
    horizon: Positive | Literal["tuned"] = pydantic.Field(1.0, description="sum of the steps at the start")


class Range(_Table):
    """An interval searched by its logarithm."""

    low: Positive
    high: Positive

    @pydantic.model_validator(mode="after")
    def _is_ordered(self):
        if not self.low < self.high:
            raise ValueError(f"low is {self.low!r} and high {self.high!r}; expected low < high.")
        return self


class TuningSpec(_Table):
    """The search on validation data: the same trials for every arm, so the same budget."""

    trials: Count = pydantic.Field(8, description="points of a Sobol sequence in the ranges below")
    seeds: Count = pydantic.Field(1, description="networks a trial, of seeds that the study does not use")
    learning_rate: Range = Range(low=3e-4, high=1e-2)
    weight_decay: Range = Range(low=1e-3, high=1.0)
    horizon: Range = Range(low=0.5, high=16.0)


class GridSpec(_Table):
    """A product of settings, each cell of it run with every arm."""

    data: tuple[Name, ...] = pydantic.Field(min_length=1)
    families: tuple[Family, ...] = pydantic.Field(min_length=1)
    arms: tuple[Name, ...] = pydantic.Field(min_length=1)
    layers: tuple[Count, ...] = pydantic.Field(min_length=1)
    noise: tuple[Level, ...] = pydantic.Field(min_length=1)
    samples: tuple[Count, ...] = pydantic.Field((), description="training samples (default: all)")
    seeds: Count | None = pydantic.Field(None, description="instead of the study's")


class ComparisonSpec(_Table):
    """Two arms whose difference answers a question."""

    baseline: Name
    other: Name
    question: str


class ProtocolSpec(_Table):
    """A study: data sets, arms, a grid, the same tuning for all, and yardsticks."""

    title: str
    seeds: Count = pydantic.Field(10, description="paired seeds of every arm")
    ensemble: Count = pydantic.Field(8, description="runs that train as one program, at most")
    levels: tuple[Level, ...] = pydantic.Field(
        (0.0, 0.001, 0.01, 0.05, 0.2), description="noise of the test data"
    )
    resimulate: Count = pydantic.Field(20, description="estimates whose data are solved for, of a run")
    network: dict[str, Any] = pydantic.Field(default={}, description="settings that all networks share")
    data: dict[Name, DataSpec] = pydantic.Field(min_length=1)
    arms: dict[Name, ArmSpec] = pydantic.Field(min_length=1)
    tuning: TuningSpec = TuningSpec()
    grid: tuple[GridSpec, ...] = pydantic.Field(min_length=1)
    comparisons: tuple[ComparisonSpec, ...] = ()
    yardsticks: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _names_are_known(self):
        for block in self.grid:
            for what, names, known in (("data", block.data, self.data), ("arms", block.arms, self.arms)):
                for name in names:
                    if name not in known:
                        raise ValueError(f"grid.{what} names {name!r}; expected one of {', '.join(known)}.")
        for comparison in self.comparisons:
            for name in (comparison.baseline, comparison.other):
                if name not in self.arms:
                    raise ValueError(f"comparisons name {name!r}; expected one of {', '.join(self.arms)}.")
        return self
