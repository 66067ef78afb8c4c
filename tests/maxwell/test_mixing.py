"""Effective samples and R̂ against processes whose values are known."""

import numpy as np
import pytest
from scipy.signal import lfilter

from maxwell import MaxwellError
from maxwell.inversion import effective_samples, potential_scale


def autoregressive(correlation, steps, rng, chains=1):
    """x_t = ρ x_{t−1} + √(1 − ρ²) ξ_t, stationary with unit variance, (steps, chains)."""
    noise = np.sqrt(1 - correlation**2) * rng.standard_normal((steps, chains))
    noise[0] /= np.sqrt(1 - correlation**2)
    return lfilter([1.0], [1.0, -correlation], noise, axis=0)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.7, 0.95])
def test_effective_samples_of_an_autoregression(correlation):
    """n (1 − ρ)/(1 + ρ)."""
    steps = 40_000
    states = autoregressive(correlation, steps, np.random.default_rng(2), chains=8)
    exact = steps * (1 - correlation) / (1 + correlation)
    assert abs(effective_samples(states).mean() / exact - 1) < 0.06


def test_effective_samples_predict_the_error_of_a_mean():
    """The variance of means of many short chains is that of so many independent draws."""
    states = autoregressive(0.8, 4_000, np.random.default_rng(4), chains=400)
    predicted = 1 / effective_samples(states).mean()
    assert abs(states.mean(axis=0).var() / predicted - 1) < 0.2


def test_shift_and_scale_of_the_unit_change_nothing():
    states = autoregressive(0.5, 500, np.random.default_rng(0), chains=3)
    np.testing.assert_allclose(effective_samples(1e-6 * states + 3), effective_samples(states), rtol=1e-6)


def test_a_chain_that_stands_still_is_one_sample():
    np.testing.assert_array_equal(effective_samples(np.full((50, 2), 3.0)), [1.0, 1.0])


def test_an_alternating_chain_is_worth_more_than_its_length_but_not_without_bound():
    found = effective_samples(autoregressive(-0.9, 10_000, np.random.default_rng(1)))[0]
    assert 10_000 < found <= 4.01 * 10_000


def test_potential_scale_is_near_one_for_chains_of_one_law_and_large_for_others():
    rng = np.random.default_rng(6)
    chains = rng.standard_normal((4, 1_000, 2))
    assert (np.abs(potential_scale(chains) - 1) < 0.01).all()
    chains[0, :, 1] += 3
    alike, apart = potential_scale(chains)
    assert alike < 1.01
    # Half means have variance 9·(3/16)·8/7 over the eight halves, and the variance within is 1.
    assert abs(apart - np.sqrt(1 + 9 * 3 / 16 * 8 / 7)) < 0.05


def test_potential_scale_sees_a_drift_within_one_chain():
    drift = np.linspace(0, 5, 1_000)[None, :, None] + np.random.default_rng(0).standard_normal((1, 1_000, 1))
    assert potential_scale(drift)[0] > 1.5


def test_potential_scale_of_chains_that_stand_still():
    apart = np.stack([np.zeros((10, 1)), np.ones((10, 1))])
    assert potential_scale(apart)[0] == np.inf
    assert potential_scale(np.zeros((2, 10, 1)))[0] == 1.0


@pytest.mark.parametrize("function", [effective_samples, potential_scale])
@pytest.mark.parametrize("states", [np.zeros(5), np.zeros((1, 3, 2)), np.full((2, 9, 1), np.nan)[0]])
def test_bad_input_is_one_sentence(function, states):
    with pytest.raises(MaxwellError, match="expected"):
        function(states if function is effective_samples or states.ndim != 2 else states[None])
