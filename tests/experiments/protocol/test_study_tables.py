"""Tables whose rows can be told by hand: distance from the bound, the start from a network, gains that divide."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.intervals import Interval
from experiments.protocol import bounds, distances, starts, tables
from experiments.protocol.entries import Entry
from experiments.protocol.sheets import Place, Sheet

MAIN = Place("test", 0.01)


def entry(key, kind="classical", noise=0.01, **arrays):
    """A yardstick with these arrays."""
    values = {name.replace("group_", "group:"): np.asarray(array) for name, array in arrays.items()}
    return Entry("data", noise, key, key, kind, (Sheet({MAIN: values}, {}),))


def squares(seed=0, count=40):
    return np.random.default_rng(seed).gamma(2.0, 0.1, count)


def test_the_distance_from_the_bound_is_a_ratio_of_root_means_on_common_samples():
    least, theirs = squares(0, 12), squares(1)
    found = [
        entry("bound", "bound", squared=least, group_centre=least, group_radius=2 * least),
        entry("method", squared=theirs, group_centre=9 * theirs, group_radius=theirs),
        entry("elsewhere", noise=0.1, squared=theirs),
        entry("ungrouped", squared=theirs),
    ]
    rows = distances.bounds(found)
    assert [(row["method"], row["group"]) for row in rows] == [
        ("method", "all"), ("method", "centre"), ("method", "radius"), ("ungrouped", "all"),
    ]  # fmt: skip
    plain = math.sqrt(theirs[:12].mean() / least.mean())
    for row, factor in zip(rows, (1, 3, math.sqrt(0.5), 1), strict=True):
        assert row["ratio"] == pytest.approx(factor * plain)
        assert row["ratio"] == pytest.approx(row["error"] / row["least"])
        assert row["samples"] == 12
        assert row["low"] < row["ratio"] < row["high"]


def test_what_errs_by_twice_the_bound_everywhere_has_no_doubt_about_it():
    least = squares(3)
    (row,) = distances.bounds(
        [entry("bound", "bound", squared=least, group_one=least), entry("m", squared=4 * least)]
    )
    assert (row["ratio"], row["low"], row["high"]) == pytest.approx((2, 2, 2))


def test_the_posterior_mean_is_a_bound_of_its_own_and_that_of_cramer_and_rao_not_for_all():
    least, theirs = squares(5), squares(6)
    for key, kind, label, holds in (
        ("posterior-mean", "classical", "posterior mean", "every estimate"),
        ("bound", "bound", "van Trees' bound", "every estimate"),
        ("bound", "bound", bounds.CRAMER_RAO, "unbiased estimates"),
    ):
        one = replace(entry(key, kind, squared=least), label=label)
        (row,) = distances.bounds([one, entry("m", squared=theirs)])
        assert (row["bound"], row["holds_for"], row["method"]) == (label, holds, "m")


def test_a_bound_of_zero_has_no_distance():
    assert not distances.bounds(
        [entry("bound", "bound", squared=np.zeros(4)), entry("m", squared=squares(0, 4))]
    )


def test_directions_are_root_means_with_intervals_as_wide_as_samples_make_them():
    """Of the logarithm of a mean of n squares: half their coefficient of variation over root n, to both sides."""
    rng = np.random.default_rng(8)
    along = np.stack([rng.gamma(2.0, 0.5, 400), np.full(400, 0.25), np.zeros(400)], axis=1)
    found = tables.directions(
        [entry("m", directions=along, best=[0.04, 0.01, 0.0]), entry("none", squared=[1])]
    )
    assert [(row["method"], row["direction"], row["best"]) for row in found] == [
        ("m", 1, 0.2), ("m", 2, 0.1), ("m", 3, 0.0),
    ]  # fmt: skip
    first, second, third = found
    assert first["error"] == pytest.approx(np.sqrt(along[:, 0].mean()))
    half = 1.96 * along[:, 0].std() / along[:, 0].mean() / np.sqrt(400) / 2
    for end, sign in (("low", -1), ("high", 1)):
        assert np.log(first[end] / first["error"]) == pytest.approx(sign * half, rel=0.2)
        assert (second[end], third[end]) == (pytest.approx(0.5), 0)


def pair(**changes):
    cold = {"settled": np.full(20, 0.04), "iterations": np.full(20, 12), "misfit": np.full(6, 1.0)}
    warm = {**cold, **changes}
    return [entry("gauss-newton", **cold), entry("hybrid", "hybrid", **warm)]


def test_shares_of_samples_and_wilson_intervals():
    warm = np.full(20, 0.04)
    warm[:5] *= 1.015**2  # beyond the margin
    warm[5:9] *= 1.005**2  # within
    warm[9:12] *= 0.5
    misfit = np.array([1.0, 0.9, 1.02, np.nan, 1.005, 1.5])
    (row,) = starts.hybrid(
        pair(settled=warm, misfit=misfit, iterations=np.r_[np.full(14, 8), np.full(6, 20)])
    )
    assert row["reached"] == 15 / 20
    assert row["ahead"] == np.mean(warm < 0.04 / 1.01**2)
    z, n, p = 1.959964, 20, 0.75
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    ends = [(middle + sign * half) / (1 + z * z / n) for sign in (-1, 1)]
    assert [row["reached_low"], row["reached_high"]] == pytest.approx(ends, rel=1e-5)
    assert (row["fitted"], row["fitted_samples"]) == (3 / 6, 6)
    assert row["fewer"] == 14 / 20
    assert (row["iterations_cold"], row["iterations_hybrid"]) == (12, 0.7 * 8 + 0.3 * 20)
    assert row["change"] == pytest.approx(-0.4)
    assert row["change_low"] < -0.4 < row["change_high"]


def test_a_misfit_that_the_cold_start_lacks_is_reached():
    cold, warm = pair()
    cold.sheets[0].arrays[MAIN]["misfit"] = np.array([np.nan] * 6)
    (row,) = starts.hybrid([cold, warm])
    assert row["fitted"] == 1


def test_the_first_samples_of_both_are_compared_and_nothing_without_both():
    cold, warm = pair(settled=np.full(7, 0.01), iterations=np.full(7, 3))
    (row,) = starts.hybrid([cold, warm])
    assert (row["samples"], row["reached"], row["change"]) == (7, 1, -9)
    assert not starts.hybrid([cold])
    assert not starts.hybrid([warm])


@given(st.lists(st.floats(-0.9, 0.9), min_size=3, max_size=3).map(sorted))
def test_only_gains_that_are_shown_and_large_enough_divide(ends):
    low, value, high = ends
    said = tables.gain(Interval(value, low, high))
    assert (said == "none shown") == (high >= 0)
    assert (said == "shown") == (high < 0 and value <= -0.02)
