"""The specification of a study, checked before any work begins (light to import)."""

import re
from typing import Annotated, Any, Literal

import pydantic

from experiments.specs import Count, DepthSpec, Positive, RegularisersSpec, RunSpec

Name = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Family = RunSpec.model_fields["family"].annotation
Rule = RunSpec.model_fields["time"].annotation
Level = Annotated[pydantic.FiniteFloat, pydantic.Field(ge=0)]


ELSEWHERE = {
    **dict.fromkeys(("family", "layers", "noise", "samples"), "the grid"),
    **dict.fromkeys(("time", "horizon", "depth", "regularisers"), "an arm"),
    **dict.fromkeys(("learning_rate", "weight_decay"), "the tuning or a block's settings"),
    "seed": "the study",
}
"""Settings of a network that are not told with it, and who tells them."""


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
    """One way to choose the time steps, or the depth; all arms share everything else."""

    label: str = pydantic.Field(description="what the reader calls it")
    time: Rule = pydantic.Field(description="rule of the time steps")
    horizon: Positive | Literal["tuned"] = pydantic.Field(1.0, description="sum of the steps at the start")
    layers: Count | None = pydantic.Field(None, description="at the start, instead of the grid's")
    depth: DepthSpec | None = pydantic.Field(None, description="growing and pruning while it trains")
    regularisers: RegularisersSpec | None = pydantic.Field(None, description="of the time steps")


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


class SettingsSpec(_Table):
    """Settings given beforehand, in place of those that the tuning would choose."""

    learning_rate: Positive
    weight_decay: Level
    horizon: Positive | None = pydantic.Field(None, description="of arms whose horizon is tuned elsewhere")


class GridSpec(_Table):
    """A product of settings, each cell of it run with every arm."""

    data: tuple[Name, ...] = pydantic.Field(min_length=1)
    families: tuple[Family, ...] = pydantic.Field(min_length=1)
    arms: tuple[Name, ...] = pydantic.Field(min_length=1)
    layers: tuple[Count, ...] = pydantic.Field(min_length=1)
    noise: tuple[Positive, ...] = pydantic.Field(
        min_length=1, description="of the training data; above 0, for classical methods whiten with it"
    )
    samples: tuple[Count, ...] = pydantic.Field((), description="training samples (default: all)")
    networks: tuple[Name, ...] = pydantic.Field((), description="named settings, in turn (default: none)")
    settings: SettingsSpec | None = pydantic.Field(None, description="given settings: nothing is tuned")
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
    first_seed: pydantic.NonNegativeInt = pydantic.Field(
        0, lt=1_000_000, description="the first of them: seeds of its own, for a study that repeats another"
    )
    ensemble: Count = pydantic.Field(8, description="runs that train as one program, at most")
    levels: tuple[Level, ...] = pydantic.Field(
        (0.0, 0.001, 0.01, 0.05, 0.2), description="noise of the test data"
    )
    resimulate: Count = pydantic.Field(20, description="estimates whose data are solved for, of a run")
    committee: Count = pydantic.Field(
        5, description="networks of least validation loss whose mean estimate is scored, at most; 1 for none"
    )
    network: dict[str, Any] = pydantic.Field(default={}, description="settings that all networks share")
    networks: dict[Name, dict[str, Any]] = pydantic.Field(
        default={}, description="named settings that replace those of `network` and of the data's own"
    )
    data: dict[Name, DataSpec] = pydantic.Field(min_length=1)
    arms: dict[Name, ArmSpec] = pydantic.Field(min_length=1)
    tuning: TuningSpec = TuningSpec()
    grid: tuple[GridSpec, ...] = pydantic.Field(min_length=1)
    comparisons: tuple[ComparisonSpec, ...] = ()
    yardsticks: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _names_are_known(self):
        for block in self.grid:
            named = {"data": self.data, "arms": self.arms, "networks": self.networks}
            for what, known in named.items():
                for name in getattr(block, what):
                    if name not in known:
                        some = f"one of {', '.join(known)}" if known else f"a table [{what}.{name}]"
                        raise ValueError(f"grid.{what} names {name!r}; expected {some}.")
            for name in block.arms:
                if block.settings and block.settings.horizon is None and self.arms[name].horizon == "tuned":
                    raise ValueError(
                        f"grid.settings give no horizon, which arm {name!r} would have tuned; give one."
                    )
        for comparison in self.comparisons:
            for name in (comparison.baseline, comparison.other):
                if name not in self.arms:
                    raise ValueError(f"comparisons name {name!r}; expected one of {', '.join(self.arms)}.")
        return self

    @pydantic.model_validator(mode="after")
    def _settings_of_networks_count(self):
        tables = {"network": self.network}
        tables |= {f"data.{name}.network": about.network for name, about in self.data.items()}
        tables |= {f"networks.{name}": settings for name, settings in self.networks.items()}
        for where, settings in tables.items():
            for key in (key for key in settings if key in ELSEWHERE):
                raise ValueError(f"{where} sets {key}, which {ELSEWHERE[key]} tells; leave it out.")
        for name in self.networks:
            if re.match(r"n\d+(-|$)", name):  # as in the name of a folder
                raise ValueError(f"networks.{name} reads as a number of samples; choose another name.")
        return self
