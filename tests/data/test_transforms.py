import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import DataError
from data.transforms import Compression, Normalise, Standardise, complexify, harden, realify, soften


def complex_data(seed, n, m):
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((m, m)) * np.logspace(0, -2, m)[:, None]
    return (rng.standard_normal((n, m)) + 1j * rng.standard_normal((n, m)) + 3 - 2j) @ mixing


SHAPES = st.tuples(st.integers(0, 100), st.integers(2, 40), st.integers(2, 12))  # seed, n, m


@given(SHAPES)
def test_realify_is_an_isometry_and_complexify_its_inverse(shape):
    d = complex_data(*shape)
    np.testing.assert_allclose(realify(d) @ realify(d).T, (d @ d.conj().T).real, rtol=1e-12)
    np.testing.assert_array_equal(complexify(realify(d)), d)


@given(SHAPES)
def test_compression_gives_uncorrelated_components_of_unit_variance(shape):
    d = complex_data(*shape)
    k = min(len(d) - 1, d.shape[1])
    compress = Compression.fit(d, components=k)
    z = compress(d)
    np.testing.assert_allclose(compress.directions.T @ compress.directions, np.eye(k), atol=1e-12)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-8)
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(k), atol=1e-8)
    assert (np.diff(compress.scale) <= 0).all()


@pytest.mark.parametrize("smallest", [1e-2, 1e-9], ids=["well above rounding", "near rounding"])
@pytest.mark.parametrize("blocked", [False, True])
def test_few_components_are_those_of_a_singular_value_decomposition(smallest, blocked, monkeypatch):
    """Whichever way they are found: the fast one squares the condition of the data."""
    rng = np.random.default_rng(3)
    left, right = (np.linalg.qr(rng.standard_normal((n, 24)))[0] for n in (90, 120))
    spectrum = np.logspace(0, np.log10(smallest), 24)
    d = complexify(left * spectrum @ right.T)
    if blocked:
        monkeypatch.setattr("data.transforms.BLOCK", 17)
    compress = Compression.fit(d, components=20)
    centred = realify(d) - realify(d).mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(compress.scale, singular[:20] / np.sqrt(90), rtol=1e-6)
    cosines = np.abs(np.sum(compress.directions * directions[:20].T, axis=0))
    np.testing.assert_allclose(cosines, 1, atol=1e-6)
    np.testing.assert_allclose(compress.explained.sum(), np.sum(singular[:20] ** 2) / np.sum(singular**2))
    np.testing.assert_allclose(compress(d).std(axis=0), 1, rtol=1e-5)


def test_components_of_equal_weight_are_all_found():
    """As a symmetric experiment has them: of ten pairs both, and of the eleventh one."""
    rng = np.random.default_rng(5)
    left = np.linalg.qr(rng.standard_normal((91, 25)))[0]
    left = np.linalg.qr(left - left.mean(axis=0))[0]  # centred, so that means take nothing away
    right = np.linalg.qr(rng.standard_normal((120, 24)))[0]
    spectrum = np.repeat(np.logspace(0, -2, 12), 2)
    compress = Compression.fit(complexify(left[:, :24] * spectrum @ right.T), components=21)
    np.testing.assert_allclose(compress.scale * np.sqrt(91), spectrum[:21], rtol=1e-9)
    within = right[:, :22].T @ compress.directions
    np.testing.assert_allclose(np.linalg.norm(within, axis=0), 1, rtol=1e-9)


@given(SHAPES)
def test_compression_loses_the_variance_it_does_not_explain_and_no_more(shape):
    d = complex_data(*shape)
    k = max(1, min(len(d) - 1, d.shape[1]) // 2)
    compress = Compression.fit(d, components=k)
    lost = np.sum(np.abs(d - compress.inverse(compress(d))) ** 2)
    total = np.sum(np.abs(d - d.mean(axis=0)) ** 2)
    assert lost / total == pytest.approx(1 - compress.explained.sum(), abs=1e-10)


@given(SHAPES)
def test_compression_with_all_components_keeps_everything(shape):
    d = complex_data(*shape)
    compress = Compression.fit(d, components=min(len(d) - 1, 2 * d.shape[1]))
    assert compress.explained.sum() == pytest.approx(1)
    np.testing.assert_allclose(compress.inverse(compress(d)), d, atol=1e-9)


@given(SHAPES, st.floats(1e-9, 1e9))
def test_softening_keeps_directions_bounds_growth_and_has_an_inverse(shape, size):
    z = size * complex_data(*shape).real
    soft = soften(z)
    r, s = (np.linalg.norm(a, axis=1) / np.sqrt(z.shape[1]) for a in (z, soft))
    np.testing.assert_allclose(s, np.arcsinh(r), rtol=1e-12)
    np.testing.assert_allclose(np.sum(z * soft, axis=1), len(z[0]) * r * s, rtol=1e-12)  # parallel
    np.testing.assert_allclose(harden(soft), z, rtol=1e-9)


def test_softening_nothing_gives_nothing():
    np.testing.assert_array_equal(soften(np.zeros((2, 3))), np.zeros((2, 3)))


def test_compression_does_not_depend_on_the_order_of_the_samples():
    d = complex_data(0, 30, 4)
    one, other = Compression.fit(d, 3), Compression.fit(d[::-1], 3)
    np.testing.assert_allclose(one(d), other(d), atol=1e-10)


@given(SHAPES)
def test_standardise_gives_zero_mean_and_unit_variance_and_has_an_inverse(shape):
    theta = complex_data(*shape).real
    standardise = Standardise.fit(theta)
    z = standardise(theta)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-8)
    np.testing.assert_allclose(z.std(axis=0), 1)
    np.testing.assert_allclose(standardise.inverse(z), theta, atol=1e-10)


@pytest.mark.parametrize(
    "transform",
    [
        Compression.fit(complex_data(1, 20, 5), 4),
        Standardise.fit(complex_data(1, 20, 5).real),
        Standardise.fit(complex_data(1, 20, 5), common=True),
    ],
)
def test_a_transform_survives_its_state(transform, tmp_path):
    np.savez(tmp_path / "state.npz", **transform.state())
    again = type(transform).from_state(np.load(tmp_path / "state.npz"))
    new = complex_data(2, 6, 5).real
    np.testing.assert_array_equal(again(new), transform(new))
    with pytest.raises(DataError, match="expected the arrays mean"):
        type(transform).from_state({"mean": np.zeros(5)})


def test_mistakes_are_told_in_one_sentence():
    d = complex_data(3, 10, 5)
    holed = d.copy()
    holed[4, 2] = complex(np.nan, 0)
    compress, standardise = Compression.fit(d, 3), Standardise.fit(d.real)
    for act, sentence in [
        (lambda: compress(holed), r"observations: the entry in row 4, column 2 is .*not a finite number"),
        (lambda: Compression.fit(holed, 3), r"row 4, column 2"),
        (lambda: standardise(holed.real), r"parameters: the entry in row 4, column 2"),
        (lambda: Compression.fit(d, 10), r"span 9 independent directions, given 10"),
        (lambda: Compression.fit(d, 0), r"components: expected at least 1"),
        (lambda: compress(d[:, :4]), r"observations: expected 5 columns, as in the training data, given 4"),
        (lambda: compress(d[0]), r"expected a table"),
        (lambda: compress.inverse(np.zeros((1, 4))), r"features: expected 3 columns"),
        (lambda: Standardise.fit(np.ones((4, 2))), r"column 0 is the same in all 4 samples"),
    ]:
        with pytest.raises(DataError, match=sentence) as caught:
            act()
        assert "\n" not in str(caught.value)


def test_complex_parameters_are_pairs_of_real_ones_inside():
    theta = complex_data(0, 20, 3)
    scale = Standardise.fit(theta)
    assert (scale.parameters, scale.components) == (3, 6)
    np.testing.assert_array_equal(scale(theta), Standardise.fit(realify(theta))(realify(theta)))
    np.testing.assert_allclose(scale.inverse(scale(theta)), theta)
    with pytest.raises(DataError, match=r"parameters: are complex, expected real numbers; give realify"):
        Standardise.fit(theta.real)(theta)


def test_with_a_common_scale_squared_errors_are_those_of_the_parameters():
    theta = complex_data(0, 50, 4)
    scale = Standardise.fit(theta, common=True)
    z = scale(theta)
    np.testing.assert_allclose(np.mean(z.var(axis=0)), 1)
    ratio = np.linalg.norm(z[1:] - z[:-1], axis=1) / np.linalg.norm(theta[1:] - theta[:-1], axis=1)
    np.testing.assert_allclose(ratio, ratio[0])
    np.testing.assert_allclose(scale.inverse(z), theta)


def test_a_state_without_pairs_is_of_real_parameters():
    theta = complex_data(0, 20, 3).real
    state = Standardise.fit(theta).state()
    del state["pairs"]
    np.testing.assert_array_equal(Standardise.from_state(state)(theta), Standardise.fit(theta)(theta))


def test_real_observations_compress_as_complex_ones_without_imaginary_part():
    d = complex_data(1, 30, 4).real
    compress = Compression.fit(d, components=4)
    np.testing.assert_allclose(compress.inverse(compress(d)), d, atol=1e-9)


@given(SHAPES)
def test_normalising_keeps_every_entry_in_its_place_and_white_noise_white(shape):
    d = complex_data(*shape)
    normalise = Normalise.fit(d)
    z = normalise(d)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-9)
    assert np.mean(z**2) == pytest.approx(1)
    np.testing.assert_allclose(z * normalise.scale + normalise.mean, realify(d), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(normalise.inverse(z), d, atol=1e-9)
    assert normalise.components == z.shape[1]


def test_steps_put_the_parts_of_a_source_side_by_side():
    d = complex_data(3, 20, 6)
    steps = Normalise.fit(d, steps=3)
    z = (steps(d) * steps.scale + steps.mean).reshape(20, 3, 2, 2)  # sample, source, part, receiver
    for source in range(3):
        own = d[:, 2 * source : 2 * source + 2]
        np.testing.assert_allclose(z[:, source, 0], own.real, rtol=1e-12)
        np.testing.assert_allclose(z[:, source, 1], own.imag, rtol=1e-12)
    np.testing.assert_allclose(steps.inverse(steps(d)), d, rtol=1e-12)
    again = Normalise.from_state(steps.state())
    np.testing.assert_array_equal(again(d), steps(d))


@pytest.mark.parametrize("steps", [0, 4, 7])
def test_steps_that_do_not_divide_the_observations_are_refused(steps):
    with pytest.raises(DataError, match=f"divisor of the 6 observations.*given {steps}"):
        Normalise.fit(complex_data(3, 20, 6), steps=steps)


def test_observations_that_do_not_vary_cannot_be_normalised():
    with pytest.raises(DataError, match="all 4 samples are the same"):
        Normalise.fit(np.full((4, 3), 0.1 - 2j))
