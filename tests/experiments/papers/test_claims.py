"""Claims, intervals and verdicts: what holds, what does not, and what is not shown."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.errors import StudyError
from experiments.papers.claims import (
    Expected,
    Measured,
    load,
    over_seeds,
    overall,
    ratio_over_seeds,
    verdict,
)

CLAIM = """
title = "A paper"
authors = "A. Uthor"
arxiv = "0000.00000"
data = "own data"
[quick]
seeds = 2
[full]
seeds = 9
[claims.smaller]
statement = "It is smaller."
source = "abstract"
certainty = "stated in the abstract"
experiment = "both are trained"
quantity = "ratio of errors"
expected = { below = 1.0 }
"""

EXPECTED = {
    "below": Expected(below=1.0),
    "above": Expected(above=1.0),
    "value": Expected(value=2.0, tolerance=0.5),
}


@pytest.mark.parametrize(
    ("name", "low", "high", "said"),
    [
        ("below", 0.2, 0.9, "holds"),
        ("below", 0.2, 1.1, "not shown"),
        ("below", 0.2, 1.0, "not shown"),
        ("below", 1.1, 1.2, "does not hold"),
        ("above", 1.1, 1.2, "holds"),
        ("above", 0.2, 1.2, "not shown"),
        ("above", 0.2, 0.9, "does not hold"),
        ("value", 1.6, 2.4, "holds"),
        ("value", 1.4, 2.4, "not shown"),
        ("value", 0.0, 9.0, "not shown"),
        ("value", 0.0, 1.4, "does not hold"),
        ("value", 2.6, 9.0, "does not hold"),
    ],
)
def test_the_verdict_asks_where_the_whole_interval_lies(name, low, high, said):
    assert verdict(EXPECTED[name], Measured((low + high) / 2, low, high, 5)) == said


@pytest.mark.parametrize("name", EXPECTED)
def test_without_an_interval_nothing_is_shown(name):
    assert verdict(EXPECTED[name], over_seeds([-50.0])) == "not shown"


def test_a_claim_of_several_cases_holds_if_all_do():
    assert overall(["holds", "holds"]) == "holds"
    assert overall(["holds", "not shown"]) == "not shown"
    assert overall(["holds", "not shown", "does not hold"]) == "does not hold"


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8))
def test_an_interval_is_students(values):
    found = over_seeds(values)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95) if np.ptp(values) else (values[0],) * 2
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(values), low, high), abs=1e-6)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_verdicts_from_few_seeds_are_as_sure_as_they_say(seeds):
    """Where the truth is the bound itself, either verdict is a mistake, and made in one study of twenty."""
    rng = np.random.default_rng(seeds)
    said = [verdict(EXPECTED["below"], over_seeds(1.0 + rng.standard_normal(seeds))) for _ in range(400)]
    assert np.mean([one != "not shown" for one in said]) < 0.08


def test_a_ratio_is_of_pairs():
    """Where seeds differ a hundredfold and each pair by a factor of two, pairing is what shows it."""
    baseline = np.array([1.0, 10.0, 100.0, 3.0])
    found = ratio_over_seeds(baseline / 2 * [1.0, 1.01, 0.99, 1.0], baseline)
    assert 0.49 < found.low < found.value < found.high < 0.51
    assert found.count == 4


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0, 2.0]]], ids=["none", "nan", "table"])
def test_seeds_without_a_number_are_refused(values):
    with pytest.raises(StudyError, match="finite numbers"):
        over_seeds(values)


@pytest.mark.parametrize("baseline", [[1.0, 0.0], [1.0, 2.0, 3.0]], ids=["zero", "unpaired"])
def test_a_ratio_needs_positive_pairs(baseline):
    with pytest.raises(StudyError, match="positive numbers, in pairs"):
        ratio_over_seeds([1.0, 2.0], baseline)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{ below = 1.0 }", "{ below = 1.0, above = 0.0 }", "claims.smaller.expected"),
        ("{ below = 1.0 }", "{ value = 1.0 }", "value and tolerance together"),
        ("{ below = 1.0 }", "{ belov = 1.0 }", "did you mean below"),
        ("stated in the abstract", "certain", "claims.smaller.certainty"),
        ('source = "abstract"', "", "claims.smaller.source"),
        ('statement = "It is smaller."', 'statement = ""', "claims.smaller.statement"),
    ],
)
def test_a_wrong_file_of_claims_is_told_with_its_key(tmp_path, old, new, said):
    file = tmp_path / "a.toml"
    file.write_text(CLAIM)
    assert load(file).claims["smaller"].expected == EXPECTED["below"]
    file.write_text(CLAIM.replace(old, new))
    with pytest.raises(StudyError, match=said) as refusal:
        load(file)
    assert str(refusal.value).startswith(str(file))
