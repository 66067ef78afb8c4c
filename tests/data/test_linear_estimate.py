import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import DataError
from data.linear_estimate import LinearEstimate
from data.transforms import realify
from maxwell import inversion
from maxwell.inversion import Gaussian


def pairs(seed, n=400, m=6, q=3, complex_data=True):
    """A linear map with an offset, from unknowns of unequal spread: (observations, unknowns, map)."""
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((m, q)) + (1j * rng.standard_normal((m, q)) if complex_data else 0)
    y = rng.standard_normal((n, q)) * [1.0, 0.3, 2.0] + [0.5, 0.0, -1.0]
    return y @ matrix.T + 0.7, y, matrix


@pytest.mark.parametrize("complex_data", [True, False])
def test_it_is_ridge_regression_on_endless_draws_of_the_noise(complex_data):
    """The slow twin: least squares on many noisy copies of the pairs."""
    d, y, _ = pairs(0, complex_data=complex_data)
    sigma, copies, rng = 0.8, 300, np.random.default_rng(1)
    noise = rng.standard_normal((copies, *d.shape, 2)) @ ([1, 1j] if complex_data else [1, 0])
    noisy = d + sigma / np.sqrt(2 if complex_data else 1) * noise
    x = realify(noisy.reshape(-1, d.shape[1]).astype(complex))
    x = x if complex_data else x[:, : d.shape[1]]
    by_hand = np.linalg.lstsq(np.c_[x, np.ones(len(x))], np.tile(y, (copies, 1)), rcond=None)[0]
    found = LinearEstimate.fit(d, y, sigma)
    gain = found.gain if complex_data else found.gain[: d.shape[1]]
    np.testing.assert_allclose(gain, by_hand[:-1], atol=0.01)
    left = np.tile(y, (copies, 1)) - np.c_[x, np.ones(len(x))] @ by_hand
    assert found.scale == pytest.approx(np.sqrt(np.mean(left**2)), rel=0.01)


def test_with_the_moments_of_the_prior_it_is_the_linear_mmse():
    d, y, matrix = pairs(2, n=20_000)

    class Map:
        def linearise(self, theta):
            return matrix @ theta + 0.7, matrix

    sigma = 0.5
    found = LinearEstimate.fit(d, y, sigma)
    best = inversion.WhitenedSystem(Map(), sigma, Gaussian.from_samples(y))
    rng = np.random.default_rng(3)
    noisy = d[:50] + sigma * (rng.standard_normal((50, 6)) + 1j * rng.standard_normal((50, 6))) / np.sqrt(2)
    gain, _ = best.gain(inversion.Tikhonov(), 1.0)
    expected = best.gaussian.mean + best.space.whiten(noisy - best.value) @ gain.T
    np.testing.assert_allclose(found(noisy), expected, atol=1e-4)


@given(st.integers(0, 50), st.floats(0.01, 10))
def test_more_noise_leaves_more_and_never_more_than_all(seed, sigma):
    d, y, _ = pairs(seed, n=60)
    less, more = (LinearEstimate.fit(d, y, s).scale for s in (sigma, 2 * sigma))
    assert less <= more <= np.sqrt(np.mean((y - y.mean(axis=0)) ** 2)) * (1 + 1e-9)


def test_it_survives_its_state(tmp_path):
    d, y, _ = pairs(4)
    found = LinearEstimate.fit(d, y, 0.1)
    np.savez(tmp_path / "state.npz", **found.state())
    again = LinearEstimate.from_state(np.load(tmp_path / "state.npz"))
    np.testing.assert_array_equal(again(d), found(d))


def test_mistakes_are_told_in_a_sentence():
    d, y, _ = pairs(5)
    for act, said in [
        (lambda: LinearEstimate.fit(d, y, 0.0), r"deviation: expected that of noise, a positive number"),
        (
            lambda: LinearEstimate.fit(d, y[:-1], 1.0),
            r"as many observations as parameters, given 400 and 399",
        ),
        (lambda: LinearEstimate.fit(d, np.full_like(y, np.nan), 1.0), r"not a finite number"),
        (
            lambda: LinearEstimate.fit(d, y, 1.0)(d[:, :3]),
            r"expected 6 columns, as in the training data, given 3",
        ),
    ]:
        with pytest.raises(DataError, match=said):
            act()
