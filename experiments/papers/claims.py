"""A claim, what was measured of it, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from experiments import intervals
from experiments.errors import StudyError
from experiments.files import read_toml, validated

Text = Annotated[str, pydantic.Field(min_length=1)]
Verdict = Literal["holds", "does not hold", "not shown"]


class Expected(pydantic.BaseModel):
    """What a measured number should be: below a bound, above one, or a value with its tolerance."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    below: pydantic.FiniteFloat | None = None
    above: pydantic.FiniteFloat | None = None
    value: pydantic.FiniteFloat | None = None
    tolerance: Annotated[pydantic.FiniteFloat, pydantic.Field(gt=0)] | None = None

    @pydantic.model_validator(mode="after")
    def _one_of_three(self):
        given = {name for name in type(self).model_fields if getattr(self, name) is not None}
        if given not in ({"below"}, {"above"}, {"value", "tolerance"}):
            raise ValueError("expected below, or above, or value and tolerance together")
        return self

    @property
    def range(self) -> tuple[float, float]:
        """The open interval in which the number should lie."""
        if self.value is not None:
            return self.value - self.tolerance, self.value + self.tolerance
        return (
            -np.inf if self.above is None else self.above,
            np.inf if self.below is None else self.below,
        )

    def __str__(self):
        if self.value is not None:
            return f"{self.value:g} ± {self.tolerance:g}"
        return f"below {self.below:g}" if self.below is not None else f"above {self.above:g}"


class Claim(pydantic.BaseModel):
    """A sentence of a paper, and the experiment that it is put to."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    statement: Text = pydantic.Field(description="what is claimed")
    source: Text = pydantic.Field(description="where it is claimed")
    certainty: Literal[
        "stated in the abstract", "read off a figure", "from the authors' public code", "our reading"
    ] = pydantic.Field(description="how sure it is that the source claims this")
    experiment: Text = pydantic.Field(description="what is computed")
    quantity: Text = pydantic.Field(description="the number that is measured, with its unit")
    expected: Expected = pydantic.Field(description="of that number, if the claim holds")


class Paper(pydantic.BaseModel):
    """A paper, its claims, and two settings of the experiments that test them."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    title: Text
    authors: Text
    arxiv: Text
    doi: Text | None = None
    data: Text = pydantic.Field(description="what the experiments are run on, and whose it is")
    quick: dict = pydantic.Field(description="settings of a check that everything runs, in minutes")
    full: dict = pydantic.Field(description="settings of a finding")
    claims: dict[Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9-]*$")], Claim] = pydantic.Field(
        min_length=1
    )


def load(file: Path) -> Paper:
    """Read a file of claims; StudyError is one sentence with the path of the key."""
    return validated(Paper, read_toml(file), str(file))


@dataclass(frozen=True)
class Measured:
    """A number with its 95 % interval over `count` seeds; without an interval, or a number, it decides nothing.

    note : what a reader should know beside it, such as how many seeds were left out.
    """

    value: float | None
    low: float | None
    high: float | None
    count: int
    note: str = ""

    def __str__(self):
        if self.value is None:
            return "no number"
        if self.low is None:
            return f"{self.value:.3g}"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def over_seeds(values: Sequence[float], note: str = "") -> Measured:
    """Mean over seeds with Student's interval; paired, if `values` are differences within a seed.

    values (seeds,).  One seed has no interval, and that of few is wide.
    """
    values = _finite(values)
    about = intervals.mean(values)
    low, high = (None, None) if len(values) == 1 else (about.low, about.high)
    return Measured(about.value, low, high, len(values), note)


def ratio_over_seeds(other: Sequence[float], baseline: Sequence[float], note: str = "") -> Measured:
    """Geometric mean over seeds of other/baseline, both (seeds,) and positive, paired; interval as `over_seeds`."""
    other, baseline = _finite(other), _finite(baseline)
    if len(other) != len(baseline) or min(other.min(), baseline.min()) <= 0:
        raise StudyError("a ratio over seeds needs positive numbers, in pairs; give those of the same seeds.")
    found = over_seeds(np.log(other / baseline), note)
    low, high = (None if end is None else float(np.exp(end)) for end in (found.low, found.high))
    return Measured(float(np.exp(found.value)), low, high, found.count, note)


def _finite(values):
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise StudyError(
            f"an interval over seeds needs a list of finite numbers, given {np.array2string(values, threshold=9)}; "
            "leave seeds without a number out, and say so in the note."
        )
    return values


def verdict(expected: Expected, measured: Measured) -> Verdict:
    """Holds if the whole interval lies where it is expected, does not hold if none of it does."""
    if measured.low is None or measured.high is None:
        return "not shown"
    low, high = expected.range
    if low < measured.low and measured.high < high:
        return "holds"
    return "does not hold" if measured.high < low or measured.low > high else "not shown"


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """Of a claim in several cases: holds if all do, does not hold if one does not."""
    if "does not hold" in verdicts:
        return "does not hold"
    return "not shown" if "not shown" in verdicts else "holds"


def judged(paper: Paper, measured: Mapping[str, Mapping[str, Measured]]) -> dict[str, dict[str, Any]]:
    """Each claim as plain data, with its cases and verdicts; StudyError if claims and measurements differ."""
    if set(measured) != set(paper.claims) or not all(measured.values()):
        raise StudyError(
            f"measured are the claims {', '.join(sorted(measured))}, and expected are "
            f"{', '.join(sorted(paper.claims))}, each in one case at least; make the file of "
            "claims and the experiments agree."
        )
    found = {}
    for name, claim in paper.claims.items():
        cases = {
            case: {
                "value": number.value,
                "low": number.low,
                "high": number.high,
                "count": number.count,
                "note": number.note,
                "measured": str(number),
                "verdict": verdict(claim.expected, number),
            }
            for case, number in measured[name].items()
        }
        found[name] = {
            **claim.model_dump(exclude={"expected"}),
            "expected": str(claim.expected),
            "verdict": overall([case["verdict"] for case in cases.values()]),
            "cases": cases,
        }
    return found
