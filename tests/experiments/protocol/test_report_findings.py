"""Sentences follow from the rows: the verdict, its sign and its interval, and nothing is said that is not shown."""

from types import SimpleNamespace

import hypothesis.strategies as st
import pytest
import study_folder
from hypothesis import given

from experiments.protocol.report import findings
from experiments.protocol.report.material import Material


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return Material.of(study_folder.make(tmp_path_factory.mktemp("findings") / "study"))


changes = st.floats(-0.99, 5.0, allow_nan=False).map(lambda value: round(value, 4))


@given(changes, changes)
def test_an_interval_decides_only_if_it_leaves_zero_out(one, other):
    low, high = sorted((one, other))
    verdict = findings.decided(low, high)
    assert (verdict == "smaller error") == (high < 0)
    assert (verdict == "larger error") == (low > 0)
    assert (verdict == "no difference shown") == (low <= 0 <= high)


@given(changes)
def test_a_change_is_printed_with_its_sign(value):
    text = findings.signed(value)
    assert text.startswith("−" if value < 0 else "+")
    read = float(text.removesuffix(" %").replace("−", "-")) / 100
    assert read == pytest.approx(value, abs=0.006 if abs(value) >= 0.995 else 0.0006)


verdicts = st.lists(
    st.sampled_from(["smaller error", "larger error", "no difference shown"]), min_size=1, max_size=9
)


@given(verdicts)
def test_counts_of_a_question_are_those_of_its_rows(found):
    row = {"question": "?", "baseline": "a", "other": "b", "family": "resnet", "data": "d", "noise": 0.01}
    rows = [
        {
            **row,
            "verdict": v,
            "change": -0.1,
            "low": -0.2,
            "high": 0.1,
            "layers": 2.0,
            "training_samples": "all",
        }
        for v in found
    ]
    tables = {"comparisons": rows, "costs": []}
    problem = SimpleNamespace(title="D", key="d", noise=0.01)
    stub = SimpleNamespace(tables=tables, problems=[problem], arm=lambda key: key)
    (answer,) = findings.answers(stub)
    count, many = found.count, len(found)
    assert f"smaller error in {count('smaller error')} of {many} places" in answer.sentence
    assert f"larger error in {count('larger error')}, " in answer.sentence
    assert f"no difference shown in {count('no difference shown')}." in answer.sentence
    assert [text.rsplit("), ", 1)[1] for text in answer.details] == [f"{v}." for v in found]


def test_the_effect_that_was_put_in_is_found_and_no_other(material):
    first, second = findings.answers(material)
    assert "smaller error in 1 of 2 places, larger error in 0, no difference shown in 1." in first.sentence
    resnet, fractional = first.details
    assert resnet.startswith("Cauchy & depth, ResNet: −40.")
    assert resnet.endswith("smaller error.")
    assert fractional.endswith("no difference shown.")
    assert "Fixed steps, tuned T, instead of fixed steps, T = 1" in second.sentence


def test_the_share_of_the_horizon_is_that_of_the_logarithms(material):
    (found,) = findings.horizons(material)
    row = next(row for row in material.tables["ablation"] if row["family"] == "resnet")
    # log 0.7 / log 0.6 = 0.698
    assert row["share"] == pytest.approx(0.698, abs=0.03)
    assert row["share_low"] < row["share"] < row["share_high"]
    assert "a gain over fixed steps, T = 1 is shown in 1 of 2 places" in found.sentence
    assert "a smaller error in 1 of 2 places" in found.sentence
    none = next(row for row in material.tables["ablation"] if row["family"] == "fractional")
    assert none["share"] is None
    assert "there is no gain to share" in found.details[1]


def test_yardsticks_are_told_by_their_intervals(material):
    found = findings.yardsticks(material.problems[0])
    best = material.problems[0].best.name
    rows = {row["yardstick"]: row for row in material.tables["against"] if row["network"] == best}
    assert rows["tikhonov"]["low"] > 0
    assert rows["gauss-newton"]["high"] < 0
    assert "Smaller than that of prior mean and Gauss–Newton. Larger than that of Tikhonov." in found.sentence
    assert "bound" not in " ".join(found.details)
    assert "Mean of 2 networks: 0." in found.sentence
    assert any(text.startswith("mean of 2 networks against Gauss–Newton: −") for text in found.details)
    assert "than that of mean of" not in found.sentence


def test_a_network_of_few_training_samples_is_not_the_best(material):
    assert material.problems[0].best.name.endswith("resnet-L3-noise0.01/positive")


def limits(*rows):
    keys = ("ratio", "low", "high", "holds_for", "group")
    common = {"data": "d", "noise": 0.01, "label": "net", "bound": "posterior mean"}
    made = [common | dict(zip(keys, row, strict=True)) for row in rows]
    return findings.below(SimpleNamespace(tables={"bounds": made}, titles={("d", 0.01): "D"}))


def test_an_error_below_its_bound_is_told_if_its_whole_interval_is():
    every, unbiased = "every estimate", "unbiased estimates"
    above = [(1.2, 1.1, 1.3, every, "all"), (0.99, 0.97, 1.01, every, "all")]
    other = [(0.5, 0.4, 0.6, unbiased, "all"), (0.5, 0.4, 0.6, every, "radius")]
    found = limits(*above, *other)
    assert found.sentence.startswith("None of 2 errors lies below it")
    assert "0.99 times the posterior mean (0.97 to 1.01): D, net." in found.sentence
    assert not found.details
    found = limits(*above, (0.8, 0.7, 0.95, every, "all"))
    assert found.sentence.startswith("1 of 3 errors lie below it")
    assert "Look for a leak" in found.sentence
    assert found.details == ("0.8 times the posterior mean (0.7 to 0.95): D, net.",)
    assert limits(*other) is None


def horizon_row(whole, part, share, beyond=0.0):
    row = {
        "learned": "l",
        "horizon_arm": "h",
        "baseline": "b",
        "family": "resnet",
        "data": "d",
        "noise": 0.01,
    }
    row |= {"layers": 2.0, "training_samples": "all", "share": share, "share_low": share, "share_high": share}
    for key, value in (("whole", whole), ("part", part), ("beyond", beyond)):
        row |= {key: value, f"{key}_low": value - 0.001, f"{key}_high": value + 0.001}
    return row


def horizon(*rows):
    problem = SimpleNamespace(title="D", key="d", noise=0.01)
    tables = {"ablation": list(rows), "costs": []}
    stub = SimpleNamespace(tables=tables, problems=[problem], arm=lambda key: key)
    (found,) = findings.horizons(stub)
    return found


def test_a_small_gain_is_not_divided():
    found = horizon(horizon_row(-0.015, -0.05, None), horizon_row(0.03, -0.05, None))
    assert "a gain over b is shown in 1 of 2 places. None of these gains reaches 2 %" in found.sentence
    assert "the gain is too small to divide" in found.details[0]
    assert "no gain to share" in found.details[1]
    assert " a share of " not in " ".join(found.details)


def test_shares_beyond_all_of_a_gain_are_told_as_such():
    rows = [horizon_row(-0.1, -0.05, 0.49), horizon_row(-0.1, -0.08, 0.79), horizon_row(-0.03, -0.2, 7.3)]
    found = horizon(*rows, horizon_row(-0.1, 0.02, -0.19), horizon_row(-0.01, -0.2, None))
    text = "Of the 4 gains of 2 % or more, h alone gives 49 % to 79 % in 2, as much or more in 1 and "
    assert text + "nothing that is shown in 1." in found.sentence
    assert horizon(rows[2]).sentence.count("h alone gives as much or more.") == 1
