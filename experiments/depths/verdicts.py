"""What the study of depth says of learned against fixed steps, in sentences with intervals."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from experiments.depths.measure import LIMIT
from experiments.depths.spec import Depths, Rule
from experiments.depths.tables import Found, relative_loss, trained
from experiments.intervals import NONE_SHOWN
from experiments.variants import FAMILY_NAMES

SEED, RESAMPLES = 66, 5000
UNRESOLVED = 14.0  # decades below the largest singular value in which the smallest is round-off


@dataclass(frozen=True)
class Metric:
    """A figure of a network, in which learned and fixed steps are compared.

    value : (study, member) to the figure, None where the network has none.  better : the sign of an improvement.
    """

    name: str
    text: str
    unit: str
    better: int
    value: Callable[[Depths, dict[str, Any]], float | None]


def _imbalance(study, member):
    last = member["gradients"][-1]
    return None if last is None or last["state_ratio"] is None else abs(last["state_ratio"])


def _change(study, member):
    if not trained(study, member) or not member["sensitivity"]:
        return None
    value = member["sensitivity"][f"{study.spec.perturbations[0]:g}"]
    return np.log10(value) if value else None


METRICS = (
    Metric("trained", "share of networks that train", "", 1, lambda s, m: float(trained(s, m))),
    Metric("loss", "log10 of the validation loss", "", -1, lambda s, m: np.log10(relative_loss(m))),
    Metric("imbalance", "|log10| of first over last costate after training", " decades", -1, _imbalance),
    Metric("sensitivity", "log10 of the output's change under changed steps", "", -1, _change),
)


def rule_name(rule: Rule) -> str:
    """A rule for a reader: its kind and its horizon (at the start)."""
    horizon = f"{rule.horizon:g}" if rule.step is None else "L" if rule.step == 1 else f"{rule.step:g} L"
    return f"{rule.time}, T = {horizon}" + ("" if rule.time == "fixed" else " at the start")


def steps_name(study: Depths, family: str, rule: str) -> str:
    """The steps of a network for a reader; a plain one has none."""
    return "no skips, no steps" if family == "plain" else rule_name(study.spec.rules[rule])


def family_name(family: str) -> str:
    """A family for a reader."""
    return FAMILY_NAMES.get(family, "plain feed-forward")


def comparisons(study: Depths, found: Found) -> list[dict[str, Any]]:
    """Learned minus fixed in every metric, paired by depth, scale and seed, each family and rule by itself.

    A comparison has the mean over all pairs in which both networks have the figure, a 95 % interval by the
    bootstrap of seeds (depths and scales are no sample of anything and stay), rough for few, and the p of
    `sign_flips`. As there are many, a difference counts as shown by `discoveries` among all of them; with five
    seeds or fewer none does.
    """
    cells = {(c["family"], c["rule"], c["depth"], c["scale"]): c["members"] for c in found}
    result = []
    for family, about in study.spec.families.items():
        for fixed, learned in product(about.rules, about.rules):
            if study.spec.rules[fixed].time != "fixed" or study.spec.rules[learned].time == "fixed":
                continue
            both = [
                list(zip(cells[family, fixed, depth, scale], members, strict=True))
                for (name, rule, depth, scale), members in cells.items()
                if (name, rule) == (family, learned)
            ]
            for metric in METRICS:
                gaps = np.array([[_gap(study, metric, *pair) for pair in row] for row in both])
                names = {"family": family, "fixed": fixed, "learned": learned, "metric": metric.name}
                result.append(names | _interval(gaps, "|".join(names.values())))
    shown = discoveries([1.0 if one["p"] is None else one["p"] for one in result])
    better = {metric.name: metric.better for metric in METRICS}
    for one, seen in zip(result, shown, strict=True):
        won = "better" if seen and np.sign(one["mean"]) == better[one["metric"]] else "worse"
        one["verdict"] = won if seen else NONE_SHOWN
    return result


def sign_flips(sums: np.ndarray) -> float:
    """Two-sided p of a mean difference, from paired differences (seeds,): the share of sign changes as extreme.

    Exact where differences are symmetric about zero if the steps are of no consequence; all 2ⁿ changes up to
    n = 14, else a sample of them.  At least 2^(1−n): few seeds show nothing.
    Source: Fisher, The Design of Experiments (1935), section 21.
    """
    count = len(sums)
    if count <= 14:
        signs = np.array(list(product((-1.0, 1.0), repeat=count)))
    else:
        rng = np.random.default_rng(SEED)
        signs = np.vstack([rng.choice([-1.0, 1.0], (RESAMPLES, count)), np.ones(count)])
    reached = np.abs(signs @ sums) >= abs(sums.sum()) * (1 - 1e-9)
    return float(reached.mean())


def discoveries(ps: list[float], rate: float = 0.05) -> list[bool]:
    """Which of many differences count as shown, at most a share `rate` of them by chance in the mean.

    Source: Benjamini and Hochberg (1995), J. R. Statist. Soc. B 57, 289-300.
    """
    ordered = np.sort(ps)
    below = np.flatnonzero(ordered <= rate * np.arange(1, len(ps) + 1) / len(ps))
    limit = ordered[below[-1]] if len(below) else -1.0
    return [p <= limit for p in ps]


def sentences(study: Depths, compared: list[dict[str, Any]]) -> list[str]:
    """One sentence for each comparison."""
    metrics, rules, found = {metric.name: metric for metric in METRICS}, study.spec.rules, []
    for one in compared:
        metric = metrics[one["metric"]]
        who = f"{family_name(one['family'])}, steps {rule_name(rules[one['learned']])}, against "
        who += f"{rule_name(rules[one['fixed']])}: {metric.text}"
        if one["mean"] is None:
            found.append(f"{who}: no pair in which both have it.")
            continue
        span = f"95 % interval {one['low']:+.3g} to {one['high']:+.3g}, p {one['p']:.2g}"
        found.append(
            f"{who} {one['mean']:+.3g}{metric.unit} ({one['pairs']} pairs of {one['seeds']} seeds, {span}); "
            f"{one['verdict']}."
        )
    return found


def reach(study: Depths, found: Found) -> list[str]:
    """For each family and rule, the depths at which at least half of the seeds train, by scale of the weights."""
    result = []
    for family, about in study.spec.families.items():
        for rule in about.rules:
            parts = []
            for scale in study.extent.scales:
                here = [c for c in found if (c["family"], c["rule"], c["scale"]) == (family, rule, scale)]
                good = [cell["depth"] for cell in here if 2 * _count(study, cell) >= len(cell["members"])]
                where = "all depths" if len(good) == len(here) else ", ".join(map(str, good)) or "none"
                parts.append(f"{where} with initial weights times {scale:g}")
            name = f", {rule_name(study.spec.rules[rule])}" if family != "plain" else ""
            deepest = max(cell["depth"] for cell in found if cell["family"] == family)
            result.append(
                f"{family_name(family)}{name}: at least half of the seeds train at {'; '.join(parts)} "
                f"(depths to {deepest})."
            )
    return result


def _count(study, cell) -> int:
    return sum(trained(study, member) for member in cell["members"])


def bounds_hold(found: Found) -> dict[str, int]:
    """How many measured values were held against their bounds of ∂y_L/∂y_0, and how many lie outside.

    σ_min ≥ lower (where round-off lets it be known), σ_max ≤ upper, and the ratio of costates between both.  Bounds
    of a network so deep and badly scaled that they leave the numbers, or are cut at ±`LIMIT`, hold nothing.
    """
    checked = outside = 0
    for member in (member for cell in found for member in cell["members"]):
        ends = (member["gradients"][0], member["gradients"][-1])
        for spectra, seen in zip(member["spectra"], ends, strict=True):
            low, high = (spectra or {}).get("lower"), (spectra or {}).get("upper")
            if low is None or high is None or high <= -LIMIT or low >= LIMIT:
                continue
            tests = []
            if spectra["largest"] is not None:
                tests.append(spectra["largest"] <= high + 1e-9)
                resolved = spectra["smallest"] > spectra["largest"] - UNRESOLVED
                tests += [spectra["smallest"] >= low - 1e-9] if resolved else []
            if seen is not None and seen["state_ratio"] is not None:
                tests.append(low - 1e-9 <= seen["state_ratio"] <= high + 1e-9)
            checked, outside = checked + len(tests), outside + tests.count(False)
    return {"checked": checked, "outside": outside}


def _gap(study, metric, fixed, learned) -> float:
    one, other = metric.value(study, fixed), metric.value(study, learned)
    return np.nan if one is None or other is None else other - one


def _interval(gaps: np.ndarray, name: str) -> dict[str, float | int | None]:
    """Mean of (cells, seeds), NaN left out, its interval over resampled seeds, and its p."""
    known = np.isfinite(gaps).any(axis=0)
    sums, counts = np.nansum(gaps[:, known], axis=0), np.isfinite(gaps[:, known]).sum(axis=0)
    found = {"pairs": int(counts.sum()), "seeds": int(known.sum())}
    if not known.any():
        return found | {"mean": None, "low": None, "high": None, "p": None}
    rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    picks = rng.integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    mean = float(sums.sum() / counts.sum())
    return found | {"mean": mean, "low": float(low), "high": float(high), "p": sign_flips(sums)}
