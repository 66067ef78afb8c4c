"""Voxels and their priors: half-open voxels, Matérn covariances, blocks, and the linearised data they give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gamma, kv

import maxwell
from maxwell import checks
from maxwell.priors.voxels import MATERN

SMALL = maxwell.Voxels(4, 3, 2)


def test_the_defaults_are_those_of_the_problem():
    assert SMALL.planes == (
        pytest.approx((0.2, 0.35, 0.5, 0.65, 0.8)),
        pytest.approx((0.2, 0.4, 0.6, 0.8)),
        pytest.approx((0.4, 0.65, 0.9)),
    )
    assert maxwell.Conductivity(parametrisation=SMALL).prior == maxwell.GaussianField(SMALL)
    assert SMALL.region.tolist() == [[0.2, 0.2, 0.4], [0.8, 0.8, 0.9]]


def test_theta_is_in_c_order_with_z_fastest():
    theta = np.arange(1.0, 25.0)
    assert SMALL.evaluate(theta, SMALL.centres).tolist() == theta.tolist()
    assert SMALL.centres[1] - SMALL.centres[0] == pytest.approx([0, 0, 0.25])
    assert [p.name for p in SMALL.parameters[:3]] == ["m_1_1_1", "m_1_1_2", "m_1_2_1"]


@given(st.tuples(*(st.integers(0, n) for n in SMALL.shape)))
def test_a_point_on_a_plane_belongs_to_the_voxel_above_it(corner):
    """Half-open voxels: every point, the corners of the grid included, lies in one voxel at most."""
    theta = np.arange(1.0, 25.0)
    x = np.array([[plane[i] for plane, i in zip(SMALL.planes, corner, strict=True)]])
    inside = all(i < n for i, n in zip(corner, SMALL.shape, strict=True))
    expected = theta.reshape(SMALL.shape)[corner] if inside else 0.0
    value, indicators = SMALL.linearise(theta, x)
    assert value.tolist() == [expected]
    assert indicators.sum() == inside


def test_voxels_share_out_the_box():
    x = np.random.default_rng(0).uniform(*SMALL.region, (5000, 3))
    assert (SMALL.linearise(np.zeros(24), x)[1].sum(axis=0) == 1).all()
    assert sorted(np.concatenate([where for where, _ in SMALL.slopes(np.zeros(24), x)])) == list(range(5000))


@pytest.mark.parametrize("smoothness", MATERN)
def test_matern_correlations_are_those_of_the_general_formula(smoothness):
    """k_ν(r) = 2^{1−ν}/Γ(ν) (√2ν r)^ν K_ν(√2ν r), one at r = 0 and falling."""
    r = np.linspace(0.01, 6, 50)
    s = np.sqrt(2 * smoothness) * r
    general = 2 ** (1 - smoothness) / gamma(smoothness) * s**smoothness * kv(smoothness, s)
    assert MATERN[smoothness](r) == pytest.approx(general, rel=1e-10)
    assert MATERN[smoothness](0.0) == 1
    assert (np.diff(MATERN[smoothness](r)) < 0).all()


def test_covariance_of_smoothness_one_half_is_exponential_in_the_distance():
    field = maxwell.GaussianField(SMALL, smoothness=0.5, length=0.3, deviation=0.8, level=0.1)
    distance = np.linalg.norm(SMALL.centres[:, None] - SMALL.centres[None], axis=2)
    assert field.covariance == pytest.approx(0.64 * np.exp(-distance / 0.3), rel=1e-12)
    assert field.mean.tolist() == [0.1] * 24


@pytest.mark.parametrize("smoothness", MATERN)
def test_samples_have_the_mean_and_the_covariance(smoothness):
    """Within Monte Carlo error: the variance of a sample covariance is (C_vv C_ww + C_vw²)/n."""
    n = 20_000
    field = maxwell.GaussianField(SMALL, smoothness=smoothness, level=-0.4)
    thetas = field.sample(np.random.default_rng(0), n)
    exact, variance = field.covariance, field.deviation**2
    assert np.abs(thetas.mean(axis=0) - field.mean).max() < 4 * np.sqrt(variance / n)
    score = (np.cov(thetas.T) - exact) / np.sqrt((variance**2 + exact**2) / n)
    assert np.abs(score).max() < 5
    assert (score**2).mean() == pytest.approx(1, abs=0.5)


def test_samples_are_gaussian():
    """Whitened by the exact covariance, |z|² is χ² with p degrees of freedom: mean p, variance 2p."""
    field = maxwell.GaussianField(SMALL)
    thetas = field.sample(np.random.default_rng(1), 4000)
    square = np.einsum("np,pq,nq->n", thetas, np.linalg.inv(field.covariance), thetas)
    assert square.mean() == pytest.approx(24, abs=4 * np.sqrt(48 / 4000))
    assert square.var() == pytest.approx(48, rel=0.12)


@pytest.mark.parametrize("extent", [0.5, 1.0])
def test_blocks_are_boxes_of_one_contrast(extent):
    """With one block, what is not zero fills its bounding box with one value, no longer than the extent."""
    voxels = maxwell.Voxels(6, 5, 4)
    prior = maxwell.BlockyPrior(voxels, blocks=(1, 1), extent=extent)
    sizes = set()
    for theta in prior.sample(np.random.default_rng(2), 300):
        grid = theta.reshape(voxels.shape)
        occupied = np.argwhere(grid)
        low, high = occupied.min(axis=0), occupied.max(axis=0) + 1
        assert np.ptp(grid[tuple(map(slice, low, high))]) == 0
        assert (high - low <= np.floor(extent * np.array(voxels.shape))).all()
        assert 0.5 <= np.abs(theta).max() <= 2.0
        sizes.add(tuple((high - low).tolist()))
    assert len(sizes) == np.prod(np.floor(extent * np.array(voxels.shape))) or extent == 1.0
    assert len(sizes) > 10


def test_several_blocks_leave_background_and_both_signs():
    thetas = maxwell.BlockyPrior(SMALL, blocks=(2, 3)).sample(np.random.default_rng(3), 400)
    assert 2 <= max(len(np.unique(theta[theta != 0])) for theta in thetas) <= 3
    assert 0.4 < (thetas[thetas != 0] > 0).mean() < 0.6
    assert 0.05 < (thetas != 0).mean() < 0.6
    kurtosis = (thetas**4).mean() / (thetas**2).mean() ** 2
    assert kurtosis > 5  # a Gaussian has 3


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: maxwell.Voxels(0, 2, 2), "nx is 0"),
        (lambda: maxwell.Voxels(2, 2.0, 2), "ny is 2.0"),
        (lambda: maxwell.Voxels(low=(0.5, 0.2, 0.2), high=(0.4, 0.8, 0.8)), "0 < low < high < 1"),
        (lambda: maxwell.Voxels(high=(0.8, 0.8, 1.0)), "0 < low < high < 1"),
        (lambda: maxwell.Voxels(high=(0.8, 0.8)), "two corners"),
        (lambda: maxwell.GaussianField(smoothness=1.0), "expected one of 0.5, 1.5, 2.5"),
        (lambda: maxwell.GaussianField(length=0.0), "length is 0.0; expected a positive number in metres"),
        (lambda: maxwell.GaussianField(deviation=np.nan), "deviation is nan"),
        (lambda: maxwell.GaussianField(level=np.inf), "level is inf"),
        (lambda: maxwell.BlockyPrior(blocks=(0, 2)), "1 <= least <= most"),
        (lambda: maxwell.BlockyPrior(blocks=(1, 2.5)), "whole numbers"),
        (lambda: maxwell.BlockyPrior(extent=1.5), r"in \(0, 1\]"),
        (lambda: maxwell.BlockyPrior(contrast=(2.0, 0.5)), "0 < low < high"),
        (
            lambda: maxwell.GaussianField(smoothness=2.5, length=1e4).sample(np.random.default_rng(0), 1),
            "shorter length",
        ),
    ],
)
def test_wrong_sizes_are_refused_in_a_sentence(make, expected):
    with pytest.raises(maxwell.MaxwellError, match=expected) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def forward():
    return maxwell.Conductivity(parametrisation=maxwell.Voxels(2, 2, 2)).discretise(cells=5, degree=1)


def test_jacobian_of_voxels_equals_central_differences(forward):
    theta = forward.problem.prior.sample(np.random.default_rng(0), 1)[0]
    assert checks.jacobian_differences(forward, theta).max() < 1e-8
    assert checks.reciprocity(forward(theta).reshape(32, 32)) < 1e-12


def test_most_directions_of_64_voxels_leave_hardly_a_trace():
    """The ill-posedness: fewer than half of the singular values of J exceed a hundredth of the largest."""
    forward = maxwell.Conductivity(parametrisation=maxwell.Voxels(4, 4, 4)).discretise(cells=6, degree=1)
    jacobian = forward.jacobian(forward.problem.prior.sample(np.random.default_rng(0), 1)[0])
    values = np.linalg.svd(np.concatenate([jacobian.real, jacobian.imag]), compute_uv=False)
    assert 20 <= (values > 1e-2 * values[0]).sum() <= 32


def test_the_voxel_of_a_point_is_found_as_by_comparison_with_the_planes():
    voxels, rng = maxwell.Voxels(5, 3, 7), np.random.default_rng(4)
    planes = [np.array(plane) for plane in voxels.planes]
    on = np.array([[p, q, r] for p in planes[0] for q in planes[1] for r in planes[2]])
    beside = np.concatenate([np.nextafter(on, -1), on, np.nextafter(on, 2), rng.uniform(-1, 2, (500, 3))])
    along = [np.searchsorted(plane, x, side="right") - 1 for plane, x in zip(planes, beside.T, strict=True)]
    inside = np.all([(i >= 0) & (i < n) for i, n in zip(along, voxels.shape, strict=True)], axis=0)
    expected = np.where(inside, np.ravel_multi_index(along, voxels.shape, mode="clip"), -1)
    assert np.array_equal(voxels.voxel(beside), expected)
    assert (
        voxels.voxel(np.array([[np.nan, 0.5, 0.5], [0.5, np.inf, 0.5], [0.5, 0.5, -np.inf]])).tolist()
        == [-1] * 3
    )


def test_a_single_point_on_a_plane_has_a_voxel():
    voxels = maxwell.Voxels(4, 4, 4)
    assert voxels.voxel(np.array(voxels.low)) == 0
    assert voxels.voxel(np.array(voxels.high)) == -1
    theta = np.arange(64.0)
    assert voxels.evaluate(theta, np.array(voxels.low)) == 0
    assert voxels.evaluate(theta, np.array([voxels.planes[0][1], 0.2, 0.4])) == 16
