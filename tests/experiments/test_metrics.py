"""Errors against values worked out by hand and laws they must obey."""

import numpy as np
import pytest

from experiments.metrics import group_errors, squared_error


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
