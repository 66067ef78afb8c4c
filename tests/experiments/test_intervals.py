import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.intervals import change, holm, mean, root_mean, share


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


def equals(study, seeds, of_seed, of_both):
    """Squared errors (2, seeds, 100) of two ways of equal true error, paired in samples."""
    rng = np.random.default_rng([6, seeds, study])
    hardness = rng.chisquare(3, (1, 100)) * np.exp(0.3 * rng.standard_normal((1, 100)))
    by_seed = np.exp(of_seed * rng.standard_normal((2, seeds, 1)))
    return hardness * by_seed * np.exp(of_both * rng.standard_normal((2, seeds, 100)))


def test_percentiles_of_the_resamples_would_be_too_sharp_for_three_seeds():
    """The usual way, seeds and samples resampled together: what these intervals are for."""
    covered, found, resamples = 0, 0, 500
    for study in range(300):
        first, second = equals(study, 3, 0.1, 0.1)
        rng = np.random.default_rng(study)
        seeds = rng.multinomial(3, np.full(3, 1 / 3), resamples)
        samples = rng.multinomial(100, np.full(100, 1 / 100), resamples)
        means = [np.einsum("bs,bs->b", seeds, samples @ squares.T) for squares in (first, second)]
        changes = np.log(means[1] / means[0])
        low, high = np.quantile(changes, [0.025, 0.975])
        covered += low < 0 < high
        found += not changes.min() < 0 < changes.max()  # at a level of one in 250 or so
    assert covered / 300 < 0.90
    assert found / 300 > 0.01


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(("of_seed", "of_both"), [(0.1, 0.1), (0.02, 0.3), (0.002, 0.3)])
def test_intervals_cover_as_often_as_they_say_however_few_the_seeds(seeds, of_seed, of_both):
    """Two ways of equal true error: seeds differ more than samples do, as much, and hardly at all."""
    studies, covered, found = 300, 0, 0
    for study in range(studies):
        about = change(*equals(study, seeds, of_seed, of_both), str(study), 400)
        covered += about.low < 0 < about.high
        found += about.p < 0.05 / 24
    assert covered / studies >= 0.92
    assert found / studies <= 0.01


def test_an_error_is_covered_too():
    """Seeds and samples are random effects; the true mean of the squares is known."""
    truth, covered = np.sqrt(3 * np.exp(0.3**2 / 2)), 0
    for seed in range(150):
        about = root_mean(draws(seed), str(seed), 1000)
        covered += about.low < truth < about.high
    assert 0.88 < covered / 150 <= 1


def test_the_interval_by_hand():
    """By the first-order error of log(mean other / mean baseline)/2 in place of resampling."""
    baseline, other = draws(7, seeds=4, samples=500), draws(7, seeds=4, samples=500) * draws(8, 4, 500)
    slope = (other / other.mean() - baseline / baseline.mean()) / 2
    parts = [
        stats.t.ppf(0.975, count - 1) * slope.mean(axis=axis).std(ddof=1) / np.sqrt(count)
        for axis, count in ((1, 4), (0, 500))
    ]
    value = np.log(other.mean() / baseline.mean()) / 2
    found = change(baseline, other, "by hand", 20_000)
    assert np.log1p(found.value) == pytest.approx(value)
    assert np.log1p(found.high) - value == pytest.approx(np.hypot(*parts), rel=0.1)
    assert value - np.log1p(found.low) == pytest.approx(np.hypot(*parts), rel=0.1)


@given(st.integers(0, 10_000), st.integers(2, 10))
@settings(max_examples=30)
def test_p_is_the_level_at_which_the_interval_ends_at_zero(seed, seeds):
    first, second = draws(seed, seeds, 40), draws(seed + 1, seeds, 40)
    about = change(first, second, "p", 200)
    assert (about.p < 0.05) == (about.verdict != "no difference shown")
    assert 0 < about.p <= 1
    assert about.verdict == "no difference shown" or (about.verdict == "smaller error") == (about.value < 0)


def test_one_seed_leaves_the_chance_of_the_samples():
    squares = draws(9, seeds=1)
    about = change(squares, squares * draws(10, seeds=1), "one")
    assert about.low < about.value < about.high


def test_a_mean_has_student_s_interval():
    """Of 1, 2, 3: 2 ± 4.3027/√3."""
    about = mean(np.array([1.0, 2.0, 3.0]))
    assert (about.value, about.low, about.high) == pytest.approx((2, 2 - 2.48414, 2 + 2.48414), abs=1e-5)
    assert np.isnan(mean(np.array([1.0])).low)


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


def test_holm_over_a_family_counts_what_is_not_at_hand():
    """As if the others were there and showed nothing."""
    p = np.array([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(holm(p, 6), holm(np.append(p, [1.0, 1.0]))[:4])
    with pytest.raises(ValueError, match="a family of 3 comparisons cannot hold 4"):
        holm(p, 3)


def test_shares_of_a_gain():
    """A part that halves the error has half of the logarithm of a whole that quarters it."""
    squares = draws(11)
    about = share(squares, squares / 4, squares / 16, "half")
    assert (about.value, about.low, about.high) == pytest.approx((0.5, 0.5, 0.5))


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni(p):
    p = np.array(p)
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(len(p) * p, 1) + 1e-12).all() or len(p) > 1
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert adjusted[order[0]] == pytest.approx(min(1, len(p) * p.min()))
