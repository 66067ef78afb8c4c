"""Errors and intervals against values worked out by hand and laws they must obey."""

import numpy as np
import pytest

from experiments.metrics import group_errors, paired_change, squared_error


def test_the_prior_mean_has_error_one_on_the_samples_that_define_it():
    rng = np.random.default_rng(0)
    truth = rng.normal([1, 2, 3], [0.1, 1, 10], (500, 3))
    error = squared_error(np.broadcast_to(truth.mean(axis=0), truth.shape), truth, truth.std(axis=0))
    assert np.sqrt(error.mean()) == pytest.approx(1, abs=1e-12)


def test_groups_are_vectors_and_several_balls_are_averaged():
    """A centre off by (3, 4, 0) is off by 5; of two balls, one right and one off by 5, the mean square is 25/2."""
    groups = ["centre", "centre", "centre", "radius", "log-contrast"]
    truth = np.zeros((1, 5))
    estimate = np.array([[[3.0, 4.0, 0.0, 0.5, -2.0]]])
    assert group_errors(estimate, truth, groups) == {"centre": 5.0, "radius": 0.5, "log-contrast": 2.0}
    two = group_errors(np.concatenate([estimate, 0 * estimate], axis=2), np.zeros((1, 10)), groups * 2)
    assert two["centre"] == pytest.approx(np.sqrt(25 / 2))


def test_an_error_that_scales_changes_by_its_factor_with_an_interval_of_no_width():
    errors = np.random.default_rng(1).exponential(size=(3, 40))
    change = paired_change(errors, 0.25 * errors, np.random.default_rng(2), resamples=50)
    assert (change.value, change.low, change.high) == pytest.approx((-0.5, -0.5, -0.5), abs=1e-12)
    assert change.verdict == "better"


def test_an_error_does_not_differ_from_itself():
    errors = np.random.default_rng(1).exponential(size=(3, 40))
    change = paired_change(errors, errors, np.random.default_rng(2), resamples=50)
    assert (change.value, change.low, change.high) == (0, 0, 0)
    assert change.verdict == "no difference shown"


def test_pairing_narrows_the_interval():
    """The point of pairing: errors that rise and fall together differ less than their spread suggests."""
    rng = np.random.default_rng(3)
    first = rng.exponential(size=(3, 100))
    second = first * rng.uniform(0.9, 1.1, first.shape)
    paired = paired_change(first, second, np.random.default_rng(4))
    shuffled = paired_change(first, rng.permuted(second, axis=1), np.random.default_rng(4))
    assert paired.high - paired.low < 0.3 * (shuffled.high - shuffled.low)


def test_the_interval_covers_the_true_change_about_as_often_as_it_says():
    """Of 200 studies with a known change of the error (√2 − 1), 95 % intervals cover it in 85 to 100 %."""
    covered = 0
    for study in range(200):
        rng = np.random.default_rng([5, study])
        first = rng.exponential(1.0, (10, 60))
        second = rng.exponential(2.0, (10, 60))
        change = paired_change(first, second, rng, resamples=200)
        covered += change.low <= np.sqrt(2) - 1 <= change.high
    assert 170 <= covered <= 200
