"""The test of the training range: its stated rate of false alarms, and what it finds."""

import numpy as np
import pytest

from data.transforms import Compression, Normalise
from experiments.outside import Bounded, Calibrated, is_complex, rms

M, K, NOISE = 8, 4, 1e-3
MIXING = np.random.default_rng(5).standard_normal((2, 4, M))


def drawn(count, seed):
    """Complex data as scattered fields are: few directions, amplitudes over decades, a little noise."""
    rng = np.random.default_rng(seed)
    signal = (
        rng.standard_t(3, (count, 4)) * 10 ** rng.uniform(-1, 1, (count, 1)) @ (MIXING[0] + 1j * MIXING[1])
    )
    return signal + NOISE * (
        rng.standard_normal((count, M)) + 1j * rng.standard_normal((count, M))
    ) / np.sqrt(2)


TRAIN = drawn(500, 0)
ENCODINGS = {"Compression": Compression.fit(TRAIN, K), "Normalise": Normalise.fit(TRAIN, 2)}


@pytest.fixture(params=ENCODINGS)
def encode(request):
    return ENCODINGS[request.param]


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_calibrated_false_alarms_are_at_most_as_many_as_stated(encode, rate):
    """Over draws of the validation data; 300 of 79 samples each, so the mean is known to 0.2 %."""
    shares = [
        Calibrated(encode, drawn(79, 1000 + k), NOISE).judge(drawn(50, 5000 + k), rate).outside.mean()
        for k in range(300)
    ]
    assert rate / 6 < np.mean(shares) < rate + 0.006


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.5])
def test_bounded_false_alarms_among_training_data_are_at_most_as_many_as_stated(encode, rate):
    assert Bounded(encode).judge(TRAIN, rate).outside.mean() <= rate


def test_scores_of_training_data_have_the_means_that_the_bound_needs():
    chances = Bounded(ENCODINGS["Compression"]).chances(TRAIN)
    assert set(chances) == {"size", "outside"}
    encode = ENCODINGS["Compression"]
    scores = Calibrated(encode, TRAIN, NOISE).scores(TRAIN)
    assert scores["size"].mean() == pytest.approx(1)
    small = chances["size"] < 1
    np.testing.assert_allclose(1 / chances["size"][small], scores["size"][small])
    outside = np.linalg.norm(TRAIN - encode.inverse(encode(TRAIN)), axis=1) ** 2
    small = chances["outside"] < 1
    np.testing.assert_allclose(1 / chances["outside"][small], (outside / outside.mean())[small])


@pytest.mark.parametrize(
    ("mistake", "reason"),
    [
        (lambda d: 1e4 * d, "size"),
        (lambda d: 1e-4 * d, "weakness"),
        (lambda d: 0 * d, "weakness"),
        (lambda d: d[:, ::-1], "outside"),
        (lambda d: d.conj(), "outside"),
    ],
    ids=["unit", "other unit", "zeros", "order", "convention"],
)
def test_calibrated_finds_gross_mistakes_and_says_why(mistake, reason):
    training = Calibrated(ENCODINGS["Compression"], drawn(100, 1), NOISE)
    verdict = training.judge(mistake(drawn(60, 2)), 0.05)
    assert verdict.outside.mean() > 0.8
    found = [why for why, out in zip(verdict.reasons, verdict.outside, strict=True) if out]
    assert found.count(reason) > 0.8 * len(found)


def test_the_bound_finds_another_unit(encode):
    assert Bounded(encode).judge(1e4 * drawn(20, 2), 0.05).outside.all()


def test_energy_outside_is_judged_by_what_the_noise_leaves_there():
    """Ten times the noise is outside the range of the noise of training, and inside that of ten times it."""
    encode, rng = ENCODINGS["Compression"], np.random.default_rng(9)
    extra = 10 * NOISE * (rng.standard_normal((160, M)) + 1j * rng.standard_normal((160, M))) / np.sqrt(2)
    valid, d = drawn(160, 1), 1e-3 * drawn(160, 2)
    quiet = Calibrated(encode, valid, NOISE).scores(d + extra)["outside"]
    loud = Calibrated(encode, valid + extra, 10 * NOISE).scores(d + extra)["outside"]
    assert np.median(quiet) > 20 * np.median(loud)


def test_few_validation_samples_raise_the_rate_and_alarms_remain_possible():
    training = Calibrated(ENCODINGS["Compression"], drawn(10, 1), NOISE)
    verdict = training.judge(1e6 * drawn(5, 2), 0.01)
    assert verdict.rate == pytest.approx(3 / 11)
    assert verdict.outside.all()


def test_what_an_encoding_tells_of_the_data(encode):
    assert rms(encode) == pytest.approx(np.sqrt(np.mean(np.abs(TRAIN) ** 2)))
    assert is_complex(encode)


def test_real_data_are_known_as_such_and_judged_alike():
    encode = Compression.fit(TRAIN.real, K)
    assert not is_complex(encode)
    assert not is_complex(Normalise.fit(TRAIN.real))
    training = Calibrated(encode, drawn(200, 1).real, NOISE)
    assert training.judge(drawn(500, 2).real, 0.05).outside.mean() < 0.1
    assert training.judge(1e4 * drawn(50, 2).real, 0.05).outside.mean() > 0.9


def test_all_directions_retained_leaves_nothing_outside():
    encode = Compression.fit(drawn(500, 0), 2 * M)
    assert set(Bounded(encode).chances(TRAIN)) == {"size"}
    assert set(Calibrated(encode, drawn(100, 1)).scores(TRAIN)) == {"size", "weakness"}
