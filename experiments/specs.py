"""Specifications of a training run and of a study, checked before any work begins (light to import)."""

from typing import Annotated, Literal

import pydantic

Positive = Annotated[pydantic.FiniteFloat, pydantic.Field(gt=0)]
Count = pydantic.PositiveInt

ORDER_MARGIN = 1e-3  # surrogates.order.MARGIN, which would bring torch


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class GrowthSpec(_Table):
    """When and where a network gets new layers: `surrogates.depth.Growth`, or `Splitting`."""

    by: Literal["sensitivity", "halving"] = pydantic.Field(
        "sensitivity",
        description="a new layer where the loss is most sensitive to one, or two halves of the longest step",
    )
    every: Count = pydantic.Field(description="epochs between two insertions")
    times: pydantic.NonNegativeInt | None = pydantic.Field(None, description="insertions at most")
    patience: Count | None = pydantic.Field(
        None, description="attempts in a row that come to nothing, after which growing ends"
    )
    count: Count = pydantic.Field(1, description="layers, or steps that are halved, at one time")
    ratio: pydantic.FiniteFloat = pydantic.Field(
        1.0, ge=0, description="least sensitivity, in means of the layers there are"
    )
    radius: pydantic.FiniteFloat = pydantic.Field(
        0.5, ge=0, description="how far new weights go from those of the neighbour, relative"
    )
    step: pydantic.FiniteFloat = pydantic.Field(
        0.1, ge=0, description="step of a new layer, in mean steps; halved while the loss rises"
    )
    samples: Count | None = pydantic.Field(
        None,
        description="training samples, from the first, that sensitivities and changes are told by (default: all)",
    )
    held: Count | None = pydantic.Field(
        None,
        description="further training samples, on which steps are tried: layers that lower no loss there are left "
        "out",
    )
    choice: Literal["largest", "smallest", "drawn"] = pydantic.Field(
        "largest", description="which sensitivity comes first"
    )

    @pydantic.model_validator(mode="after")
    def _halving_has_no_more(self):
        for name, field in type(self).model_fields.items():
            own = name in ("by", "every", "times", "count", "samples")
            if self.by == "halving" and not own and getattr(self, name) != field.default:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, which growth by halving does not have; leave it out."
                )
        return self

    @pydantic.model_validator(mode="after")
    def _held_after_samples(self):
        if self.held is not None and (self.samples is None or self.step == 0):
            raise ValueError(
                f"held is {self.held}, samples {self.samples} and step {self.step:g}; expected samples and a step "
                "> 0 where steps are tried on held samples."
            )
        return self


class PruningSpec(_Table):
    """When a network loses layers: `surrogates.depth.Pruning`."""

    threshold: pydantic.FiniteFloat = pydantic.Field(
        0.01, gt=0, lt=1, description="share |τ|/Σ|τ| below which a layer goes"
    )
    count: Count = pydantic.Field(1, description="layers at one time at most")
    every: Count = pydantic.Field(1, description="epochs between two looks")
    first: pydantic.NonNegativeInt = pydantic.Field(0, description="epochs before the first look")
    grace: pydantic.NonNegativeInt = pydantic.Field(10, description="epochs for which a new layer is spared")
    samples: Count | None = pydantic.Field(
        None, description="training samples, from the first, by which the change is measured (default: all)"
    )


class DepthSpec(_Table):
    """How the depth of a network changes while it trains: `surrogates.depth.DepthSchedule`."""

    growth: GrowthSpec | None = None
    pruning: PruningSpec | None = None
    shallowest: Count = pydantic.Field(1, description="layers that pruning leaves")
    deepest: Count | None = pydantic.Field(None, description="layers that growth does not exceed")

    @pydantic.model_validator(mode="after")
    def _something_happens(self):
        if self.growth is None and self.pruning is None:
            raise ValueError("neither growth nor pruning is told; give one, or leave the table out.")
        if self.deepest is not None and self.deepest < self.shallowest:
            raise ValueError(
                f"deepest is {self.deepest} and shallowest {self.shallowest}; expected deepest >= shallowest."
            )
        return self


class RegularisersSpec(_Table):
    """Weights of what is added to the data loss and reported apart from it: `surrogates.depth.Regulariser`."""

    horizon: pydantic.FiniteFloat = pydantic.Field(0.0, ge=0, description="α of α (Σ τ − T)², T the horizon")
    magnitude: pydantic.FiniteFloat = pydantic.Field(0.0, ge=0, description="λ of λ Σ |τ|")
    squares: pydantic.FiniteFloat = pydantic.Field(0.0, ge=0, description="ρ of ρ Σ τ²")


class RunSpec(pydantic.BaseModel):
    """Everything that determines a trained network, given the data set."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    family: Literal["resnet", "fractional", "dense-additive", "dense-concatenating", "feed-forward"] = (
        pydantic.Field("resnet", description="family of the network")
    )
    time: Literal["fixed", "free", "positive", "simplex", "simplex-horizon", "uniform"] = pydantic.Field(
        "fixed", description="time steps: fixed, or learned under one of the other rules"
    )
    layers: Count = pydantic.Field(8, description="layers, which are time steps")
    width: Count = pydantic.Field(64, description="width of the layers")
    horizon: Positive = pydantic.Field(4.0, description="sum of the steps at the start")
    order: pydantic.FiniteFloat = pydantic.Field(
        0.5, gt=0, lt=1, description="order of the fractional derivative"
    )
    learn_order: bool = pydantic.Field(False, description="train the order, too, from that value on")
    growth: Count = pydantic.Field(8, description="entries that a layer of dense-concatenating adds")
    activation: Literal["tanh", "relu", "smoothed-relu", "softplus", "sin", "silu", "gelu"] = pydantic.Field(
        "tanh", description="activation of lift and layers"
    )
    field: Literal["dense", "antisymmetric"] = pydantic.Field(
        "dense", description="matrices of the layers of resnet and fractional"
    )
    damping: pydantic.FiniteFloat = pydantic.Field(0.0, ge=0, description="damping of an antisymmetric field")
    components: Count = pydantic.Field(12, description="principal components of the data that enter")
    amplitude: Literal["asinh", "linear"] = pydantic.Field(
        "asinh", description="size of a sample's features: softened (see data.transforms.soften) or as it is"
    )
    scale: Literal["each", "common"] = pydantic.Field(
        "each", description="unknowns of unit variance each, or in one scale, as the components of a field"
    )
    remainder: bool = pydantic.Field(
        False, description="learn what the best linear estimate leaves, instead of all"
    )
    mesh_error: bool = pydantic.Field(
        False, description="what the training mesh does to validation data counts as noise"
    )
    symmetries: bool = pydantic.Field(
        False,
        description="training data are turned by the symmetries of the problem, another each epoch, and an "
        "estimate is the mean over all",
    )
    samples: Count | None = pydantic.Field(
        None, description="training samples, from the first (default: all)"
    )
    noise: pydantic.FiniteFloat = pydantic.Field(
        0.01, ge=0, description="noise of the training data, relative RMS"
    )
    draws: Count = pydantic.Field(16, description="realisations of the noise that training cycles through")
    epochs: Count = pydantic.Field(120, description="passes over the training split")
    budget: Positive | None = pydantic.Field(
        None, description="training samples × weights that meet them, in the place of epochs"
    )
    batch: Count = pydantic.Field(64, description="samples an update")
    learning_rate: Positive = pydantic.Field(3e-3, description="of Adam, before its cosine schedule")
    weight_decay: pydantic.FiniteFloat = pydantic.Field(
        0.3, ge=0, description="decoupled (AdamW), on matrices alone"
    )
    depth: DepthSpec | None = pydantic.Field(None, description="growing and pruning while it trains")
    regularisers: RegularisersSpec | None = pydantic.Field(None, description="of the time steps")
    seed: int = pydantic.Field(
        0, ge=0, lt=2**63, description="of the weights and of the order of the samples"
    )

    @pydantic.model_validator(mode="after")
    def _options_have_an_effect(self):
        owners = {
            "order": ("fractional",),
            "learn_order": ("fractional",),
            "growth": ("dense-concatenating",),
            "field": ("resnet", "fractional"),
            "damping": ("resnet", "fractional"),
        }
        for name, families in owners.items():
            if self.family not in families and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, which a {self.family} network does not have; leave it "
                    f"out, or choose {' or '.join(families)}."
                )
        if self.family == "feed-forward" and self.time != "fixed":
            raise ValueError(
                f"time is {self.time!r}, but a feed-forward network has no time steps; leave it out."
            )
        if self.family == "feed-forward" and (self.regularisers or (self.depth and self.depth.pruning)):
            raise ValueError(
                "a feed-forward network has no time steps, by which layers are pruned and which are regularised; "
                "leave depth.pruning and regularisers out."
            )
        if self.time == "uniform" and self.depth and self.depth.growth:
            raise ValueError(
                "time is 'uniform', whose equal steps leave no place for a small new one; choose positive, simplex "
                "or free."
            )
        if self.damping and self.field != "antisymmetric":
            raise ValueError(f"damping is {self.damping!r}, which an antisymmetric field alone has.")
        return self

    @pydantic.model_validator(mode="after")
    def _steps_that_are_regularised_can_move(self):
        given = self.regularisers
        if given is None:
            return self
        if self.time == "fixed":
            raise ValueError(
                "regularisers are given, but time is 'fixed'; choose a rule that learns the steps."
            )
        for name in ("horizon", "magnitude"):
            if self.time == "simplex" and getattr(given, name):
                raise ValueError(
                    f"regularisers.{name} is {getattr(given, name)!r}, but time 'simplex' keeps the sum of the "
                    "steps; leave it out, or choose simplex-horizon."
                )
        return self

    @pydantic.model_validator(mode="after")
    def _a_changing_depth_can_change(self):
        if self.depth is None:
            return self
        growth, pruning = self.depth.growth, self.depth.pruning
        shallowest, deepest = self.depth.shallowest, self.depth.deepest
        if pruning and self.time in ("fixed", "uniform"):
            raise ValueError(
                f"depth.pruning is given, but the shares of {self.time} steps stay as they are; choose positive, "
                "simplex or free."
            )
        if growth is None and shallowest >= self.layers:
            raise ValueError(
                f"depth.shallowest is {shallowest} and layers {self.layers}, so nothing is pruned; expected "
                "shallowest < layers."
            )
        if pruning is None and deepest is not None and deepest <= self.layers:
            raise ValueError(
                f"depth.deepest is {deepest} and layers {self.layers}, so nothing grows; expected deepest > layers."
            )
        if growth and self.family == "feed-forward" and (growth.by == "halving" or self.activation != "relu"):
            raise ValueError(
                "a feed-forward network grows by identities, exact for ReLU alone; choose activation relu and "
                "growth by sensitivity."
            )
        if growth and growth.held and self.family == "feed-forward":
            raise ValueError(
                "depth.growth.held is given, but a feed-forward network has no time steps to try; leave it out."
            )
        plain = self.family == "feed-forward" or (self.time == "free" and self.family != "fractional")
        if growth and growth.by == "sensitivity" and growth.step == 0 and not plain:
            raise ValueError(
                f"depth.growth.step is 0, at which a new layer of {self.time} steps would rest for ever; give a "
                "step > 0, or choose time free."
            )
        return self

    @pydantic.model_validator(mode="after")
    def _learned_order_keeps_its_margin(self):
        if self.learn_order and not ORDER_MARGIN < self.order < 1 - ORDER_MARGIN:
            raise ValueError(
                f"order is {self.order!r}, but a learned order starts between {ORDER_MARGIN} and "
                f"{1 - ORDER_MARGIN}; start further inside, or leave learn_order out."
            )
        return self

    @pydantic.model_validator(mode="after")
    def _fractional_needs_positive_steps(self):
        if self.family == "fractional" and self.time == "free":
            raise ValueError(
                "time is 'free' in a fractional network, where a step that turns negative gives NaN; "
                "choose positive, simplex, simplex-horizon, uniform or fixed."
            )
        return self


TABLES = ("depth", "regularisers")
"""Settings of a run that are tables of their own, which no flag holds."""


class StudySpec(pydantic.BaseModel):
    """A study: one data set, several variants of a network, each from the same seeds."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    recipe: str = pydantic.Field(description="recipe of the data set: a shipped name or a TOML file")
    seeds: Count = pydantic.Field(3, description="paired seeds of every variant")
    ensemble: Count = pydantic.Field(
        8, description="runs that train as one program, at most; 1 trains them one by one"
    )
    network: dict = pydantic.Field(default={}, description="settings that all variants share")
    variants: dict[Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")], dict] = (
        pydantic.Field(
            min_length=1, description="name, which becomes that of folders, to settings of its own"
        )
    )
