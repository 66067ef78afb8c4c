"""A fractional network in place of the forward solve of MCMC: the idea of arXiv 2102.03974, on one conducting ball.

The map θ ↦ d of `maxwell.Conductivity` with `Balls(1)` is replaced by θ ↦ POD coefficients of d, and the posterior
is sampled with the true map, with the network, and with the network as the first stage of delayed acceptance.
Observations come from the mesh of training: the network stands for the map of that mesh, and all chains sample the
posterior of that same map, so agreement is about sampling.  Not about how well the ball is found: for that the data
must come from a finer mesh.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pydantic

from data.recipe import Recipe, load, parse
from experiments.commands.generate import generate
from experiments.papers import forward_surrogate, mcmc
from experiments.papers.claims import Measured, over_seeds, ratio_over_seeds
from experiments.papers.mcmc import ANCHORED, DELAYED, EXACT, LINEARISED, SURROGATE
from experiments.papers.work import Work
from experiments.plots import style

Results = list[dict]
"""What `mcmc.sample` returns, for each ball."""

Networks = dict[tuple[str, int], dict]
"""What `forward_surrogate.train` returns, by family and seed."""

TARGET = 10_000
"""Effective samples over which the cost of data and training is to be earned."""

MIXED = 1.05
"""Largest R̂ of chains whose means are worth a comparison."""


class Settings(pydantic.BaseModel):
    """Sizes of the experiments."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    recipe: str = pydantic.Field(description="shipped recipe of one ball, for its problem and seed")
    cells: int = pydantic.Field(description="cells along an edge, of every split")
    degree: int = 2
    samples: int = pydantic.Field(description="FEM samples for training")
    held_out: int = pydantic.Field(description="as many for validation, and for testing")
    components: int = pydantic.Field(description="POD coefficients")
    layers: int
    width: int
    horizon: float = 4.0
    order: float = 0.5
    epochs: int
    batch: int = 64
    learning_rate: float = 3e-3
    seeds: int = pydantic.Field(
        ge=2, description="paired seeds of each family; the first fractional net samples"
    )
    noises: tuple[float, ...] = pydantic.Field(description="relative RMS of the noise")
    truths: int = pydantic.Field(ge=1, description="balls to be found, the first of the test split")
    chains: int = pydantic.Field(ge=2, description="of each ball, noise and way of sampling")
    steps: int = pydantic.Field(ge=20, description="of a chain with the true map")
    delayed_steps: int = pydantic.Field(ge=20, description="of a chain of delayed acceptance")
    inner: int = pydantic.Field(ge=1, description="of these on the surrogate, for one with the true map")
    surrogate_steps: int = pydantic.Field(ge=20)
    warm_up: float = pydantic.Field(0.25, gt=0, description="share of steps made before those that count")
    seed: int = 0


def measure(settings: Settings, work: Work) -> dict[str, dict[str, Measured]]:
    """All claims, by noise level where it matters."""
    dataset = generate(recipe_of(settings), work.folder / forward_surrogate.DATA, None)
    digest = dataset.manifest.digest
    fields = settings.model_dump(include=set(forward_surrogate.NetworkSpec.model_fields))
    wanted = [(family, seed) for family in forward_surrogate.FAMILIES for seed in range(settings.seeds)]
    specs = [{**fields, "family": family, "seed": seed, "data": digest} for family, seed in wanted]
    networks = dict(zip(wanted, work.map(forward_surrogate.train, specs, "networks"), strict=True))
    network = networks["fractional", 0]

    cases = [(noise, truth) for noise in settings.noises for truth in range(settings.truths)]
    fields = settings.model_dump(include=set(mcmc.CHAIN_SETTINGS))
    specs = [
        {**fields, "noise": noise, "truth": truth, "network": network["folder"], "data": digest}
        for noise, truth in cases
    ]
    found = dict(zip(cases, work.map(mcmc.sample, specs, "posteriors"), strict=True))
    shutil.rmtree(work.folder / mcmc.BLOCKS, ignore_errors=True)  # gigabytes, and made again if wanted
    by_noise = {
        f"{100 * noise:g} % noise": [found[noise, truth] for truth in range(settings.truths)]
        for noise in settings.noises
    }
    draw(work.folder / "bayesian.png", by_noise)
    return {**forward_claims(settings, networks), **posterior_claims(settings, network, by_noise)}


def recipe_of(settings: Settings) -> Recipe:
    """The shipped recipe's problem on one mesh, with splits of the sizes asked for."""
    table = load(settings.recipe).model_dump()
    mesh = {"cells": settings.cells, "degree": settings.degree}
    held_out = {"samples": settings.held_out, "mesh": mesh, "inverse_crime": True}
    splits = {"train": {"samples": settings.samples, "mesh": mesh}, "valid": held_out, "test": held_out}
    store = {"shard": 100}
    return parse({"seed": table["seed"], "problem": table["problem"], "store": store, "splits": splits})


def forward_claims(settings: Settings, networks: Networks) -> dict[str, dict[str, Measured]]:
    """Errors of the fractional network over those of the others, seed by seed."""
    errors = {
        family: [networks[family, seed]["error"] for seed in range(settings.seeds)]
        for family in forward_surrogate.FAMILIES
    }
    size = networks["fractional", 0]["parameters"]

    def against(other):
        note = (
            f"errors {np.mean(errors['fractional']):.3g} and {np.mean(errors[other]):.3g}, {size} parameters"
        )
        return {"": ratio_over_seeds(errors["fractional"], errors[other], note)}

    return {
        "fractional-against-resnet": against("resnet"),
        "fractional-against-feed-forward": against("feed-forward"),
    }


def posterior_claims(
    settings: Settings, network: dict, by_noise: Mapping[str, Results]
) -> dict[str, dict[str, Measured]]:
    """What the network does for the chains of a ball, over the balls: two chains of one ball are no two seeds."""
    claims = {
        "surrogate-alone-is-faster": lambda found: _faster(found, SURROGATE, EXACT),
        "surrogate-alone-is-right": lambda found: _distance(found, SURROGATE),
        "delayed-acceptance-saves": lambda found: _faster(found, DELAYED, EXACT),
        "anchored-surrogate-saves": lambda found: _faster(found, ANCHORED, EXACT),
        "anchored-surrogate-saves-solves": lambda found: _faster(found, ANCHORED, EXACT, "solves"),
        "delayed-acceptance-is-exact": _agreement,
        "training-is-earned": lambda found: _earned(found, settings, network),
        "better-than-linearised": lambda found: _faster(found, ANCHORED, LINEARISED),
    }
    return {name: {case: claim(found) for case, found in by_noise.items()} for name, claim in claims.items()}


def speed(chains: Sequence[dict], per: str = "seconds") -> float:
    """Effective samples of the worst unknown, all chains of a ball together, per second or solve of the true map.

    A chain that never moved counts as one sample.
    """
    return float(np.sum([chain["effective"] for chain in chains], axis=0).min() / sum(c[per] for c in chains))


def _faster(found, way, other, per="seconds"):
    speeds = np.array([[speed(each[name]["chains"], per) for each in found] for name in (way, other)])
    accepted = np.mean([chain["acceptance"] for each in found for chain in each[way]["chains"]])
    note = (
        f"{speeds[0].mean():.3g} and {speeds[1].mean():.3g} per {per.removesuffix('s')}; accepted {accepted:.0%}; "
        f"R̂ up to {MIXED} on {_mixed(found, way)} and {_mixed(found, other)} of {len(found)} balls, no step "
        f"accepted on {_stuck(found, way)} and {_stuck(found, other)}"
    )
    return ratio_over_seeds(*speeds, note)


def _mixed(found, way):
    return sum(each[way]["scale"] <= MIXED for each in found)


def _stuck(found, way):
    """Balls on which no chain ever moved."""
    return sum(all(chain["acceptance"] == 0 for chain in each[way]["chains"]) for each in found)


def _distance(found, way):
    """Of the mean from that of the exact chain, in posterior deviations, RMS over the unknowns; ball by ball."""
    return over_seeds([float(np.sqrt(np.mean(_squares(each, way)))) for each in found])


def _squares(each, way):
    """((m − m_exact)/s_exact)² of a ball, all chains together, (5,)."""
    (mean, _), (exact, variance) = _moments(each, way), _moments(each, EXACT)
    return (mean - exact) ** 2 / variance


def _moments(each, way):
    """Mean and variance over the chains of a ball, (5,) and (5,)."""
    means = np.array([chain["mean"] for chain in each[way]["chains"]])
    variances = np.array([chain["variance"] for chain in each[way]["chains"]])
    return means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0)


def _agreement(found):
    """((m − m_exact)/s)² over its expectation 1/n + 1/n_exact, n the effective samples, mean over unknowns."""
    values = []
    for each in found:
        for way in (DELAYED, ANCHORED, LINEARISED):
            if max(each[way]["scale"], each[EXACT]["scale"]) <= MIXED:
                counts = [
                    np.sum([chain["effective"] for chain in each[name]["chains"]], axis=0)
                    for name in (way, EXACT)
                ]
                values.append(float(np.mean(_squares(each, way) / (1 / counts[0] + 1 / counts[1]))))
    asked = 3 * len(found)
    if not values:
        return Measured(None, None, None, 0, f"none of {asked} has R̂ up to {MIXED}")
    return over_seeds(values, f"{len(values)} of {asked} have R̂ up to {MIXED}")


def _earned(found, settings, network):
    """Time saved over `TARGET` effective samples, over the time of data and training."""
    solve = np.mean([exact["seconds"] / exact["solves"] for each in found for exact in each[EXACT]["chains"]])
    spent = (settings.samples + settings.held_out) * solve + network["seconds"]
    slow, fast = ([1 / speed(each[way]["chains"]) for each in found] for way in (EXACT, ANCHORED))
    saved = np.subtract(slow, fast)
    even = f"even at {spent / saved.mean():.0f} effective samples" if saved.mean() > 0 else "never even"
    return over_seeds(
        TARGET * saved / spent,
        f"{even}; data {spent - network['seconds']:.0f} s, training {network['seconds']:.0f} s, "
        f"a solve {1e3 * solve:.1f} ms",
    )


def draw(file: Path, by_noise: Mapping[str, Results]) -> None:
    """Effective samples per second of each way: a dot a ball, a line at their geometric mean; by level of noise."""
    made, axes = style.figure(len(by_noise), 1, (3.4, 3.0), sharey=True)
    for axis, (case, found) in zip(axes[0], by_noise.items(), strict=True):
        for place, way in enumerate((EXACT, SURROGATE, DELAYED, ANCHORED, LINEARISED)):
            speeds = [speed(each[way]["chains"]) for each in found]
            axis.plot([place] * len(speeds), speeds, "o", alpha=0.5, color=f"C{place}")
            axis.plot(place, np.exp(np.mean(np.log(speeds))), "_", markersize=22, color="black")
        axis.set(title=case, yscale="log")
        axis.set_xticks(range(5), (EXACT, SURROGATE, DELAYED, ANCHORED, LINEARISED), rotation=35, ha="right")
    axes[0, 0].set_ylabel("effective samples per second")
    file.write_bytes(style.png(made))
