import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.protocol.intervals import change, holm, root_mean


def draws(seed, seeds=10, samples=60, spread=0.3):
    rng = np.random.default_rng(seed)
    return rng.chisquare(3, samples) * np.exp(spread * rng.standard_normal((seeds, 1)))


def test_a_value_lies_in_its_interval_and_repeats():
    squares = draws(0)
    about = root_mean(squares, "a")
    assert about.low < about.value < about.high
    assert about.value == pytest.approx(np.sqrt(squares.mean()))
    assert about == root_mean(squares, "a")
    assert about != root_mean(squares, "b")


def test_an_interval_covers_the_truth_as_often_as_it_says():
    """Seeds and samples are random effects; the true mean of the squares is known."""
    truth, covered = np.sqrt(3 * np.exp(0.3**2 / 2)), 0
    for seed in range(150):
        about = root_mean(draws(seed), str(seed), 1000)
        covered += about.low < truth < about.high
    assert 0.85 < covered / 150 < 0.99  # ten seeds: a little below 95 %


def test_nothing_changed_is_told_as_nothing():
    squares = draws(1)
    about = change(squares, squares, "same")
    assert (about.value, about.low, about.high, about.p) == (0, 0, 0, 1)


def test_pairing_tells_a_small_change_that_seeds_and_samples_hide():
    squares = draws(2)
    about = change(squares, 0.98 * squares, "paired")
    assert about.low == pytest.approx(np.sqrt(0.98) - 1) == about.high
    broken = change(squares, 0.98 * draws(3), "not paired")
    assert broken.low < 0 < broken.high


def test_a_method_without_seeds_stands_for_every_seed():
    squares, one = draws(4), draws(5, seeds=1)
    about = change(one, squares, "x")
    assert about.value == change(np.repeat(one, 10, axis=0), squares, "x").value
    assert about.value == pytest.approx(np.sqrt(squares.mean() / one.mean()) - 1)


def test_where_there_is_nothing_to_find_little_is_found():
    """Under exchange of the pair p falls below a tenth no more often than every tenth time, up to sampling."""
    found = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        common = rng.chisquare(3, (1, 80))
        pair = common * np.exp(0.2 * rng.standard_normal((2, 12, 80)))
        found.append(change(*pair, str(seed), 1000).p)
    assert np.mean(np.array(found) < 0.1) < 0.18
    assert 0.1 < np.mean(np.array(found) < 0.5) < 0.6  # two ways at once resample to a little too much


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni(p):
    p = np.array(p)
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(len(p) * p, 1) + 1e-12).all() or len(p) > 1
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert adjusted[order[0]] == pytest.approx(min(1, len(p) * p.min()))
