"""The sampled posterior mean against quadrature, against weighted draws of the prior, and against its own laws."""

import numpy as np
import pytest
from posterior_cases import Map, bank, observed

import maxwell
from maxwell.inversion import Gaussian, LinearMMSE, known_blocks, posterior_mean
from maxwell.inversion.blocks_posterior import Blocks
from maxwell.inversion.patches_posterior import Patches

PATCHES = maxwell.BoundaryPatchPrior(patches=(1, 2), modes=8)
BLOCKS = maxwell.MagnetisedBlocks(blocks=(1, 2), edge=(1, 2), shape=(2, 2, 3))


def map_of(prior):
    """A waveguide of 0.3 m for patches; for blocks fewer data than unknowns, some directions far weaker."""
    if prior is PATCHES:
        return Map(np.diag(maxwell.Cauchy(depth=0.3, modes=8).reference.transfer))
    return Map(np.random.default_rng(7).standard_normal((14, 36)) * np.logspace(0, -1.5, 14)[:, None])


CASES = {"patches": PATCHES, "blocks": BLOCKS}


@pytest.fixture(scope="module", params=CASES, ids=list(CASES))
def case(request):
    """Prior, map, 24 truths, their data with 20 % noise, its deviation and the posterior means."""
    prior = CASES[request.param]
    forward = map_of(prior)
    truths, data, noise = observed(forward, prior, 0.2, 24, seed=1)
    return prior, forward, truths, data, noise, posterior_mean(forward, data, noise, prior, effort=0.2)


def squares(errors):
    return np.sum(np.abs(errors) ** 2, axis=1)


def test_the_error_is_the_posterior_variance_on_average(case):
    """E|θ̂ − θ|² = E tr Cov[θ | d] over truths and data from the prior."""
    _, _, truths, _, _, found = case
    differences = squares(found.mean - truths) - found.standard_error**2 - found.deviation**2
    spread = differences.std() / np.sqrt(len(truths))
    assert abs(differences.mean()) < 3 * spread
    assert spread < 0.5 * found.risk[0]  # else nothing was tested


def test_it_is_no_worse_than_linear_mmse(case):
    prior, forward, truths, data, noise, found = case
    gaussian = Gaussian.from_samples(prior.sample(np.random.default_rng(2), 4000))
    linear = LinearMMSE(forward, noise, gaussian)
    measured = squares(linear.estimate(data) - truths)
    risk, error = found.risk
    assert risk + 3 * error < np.trace(linear.covariance).real
    assert squares(found.mean - truths).mean() < measured.mean()


def test_the_islands_tell_how_far_the_mean_is_from_that_of_more_particles(case):
    prior, forward, _, data, noise, found = case
    better = posterior_mean(forward, data[:10], noise, prior, effort=0.4, seed=9)
    distance = squares(better.mean - found.mean[:10]).mean()
    expected = np.mean(better.standard_error**2 + found.standard_error[:10] ** 2)
    assert 0.3 * expected < distance < 3 * expected
    assert found.excess < 0.05
    assert np.median(found.ess) > 30
    assert (found.acceptance > 0).all()


@pytest.mark.parametrize("name", CASES)
def test_weighted_draws_of_the_prior_have_the_same_mean_and_variance(name):
    """At noise above the data a few thousand draws see the posterior; below, soon none of them does."""
    prior = CASES[name]
    forward = map_of(prior)
    _, data, noise = observed(forward, prior, 3.0, 4, seed=3)
    found = posterior_mean(forward, data, noise, prior, effort=1.0)
    means, variances, errors, sizes = bank(forward, prior, data, noise, 4000)
    assert sizes.min() > 100
    assert squares(found.mean - means).sum() < 3 * np.sum(errors + found.standard_error**2)
    assert found.deviation**2 == pytest.approx(variances, rel=0.3)
    assert found.deviation.mean() == pytest.approx(np.sqrt(variances).mean(), rel=0.05)


def test_a_patch_of_known_place_agrees_with_quadrature():
    """Left unknown: amplitude, phase and polarisation, a sum over a grid of three dimensions."""
    prior = maxwell.BoundaryPatchPrior((1, 1), (0.4, 0.4), (0.1, 0.1), modes=6)
    forward = Map(np.diag(maxwell.Cauchy(depth=0.2, modes=6).reference.transfer))
    _, data, noise = observed(forward, prior, 0.5, 2, seed=4)
    x, y = (
        prior.coefficients(np.full((1, 2), 0.4), np.array([0.1]), np.array([vector]))
        for vector in ([1.0, 0.0], [0.0, 1.0])
    )
    nodes, weights = np.polynomial.legendre.leggauss(24)
    amplitude = 1.25 + 0.75 * nodes
    turns = np.exp(2j * np.pi * np.arange(48) / 48)
    angles = np.pi * np.arange(48) / 48
    strengths = (amplitude[:, None] * turns).ravel()
    modes = np.cos(angles)[:, None] * x + np.sin(angles)[:, None] * y
    thetas = (strengths[:, None, None] * modes).reshape(-1, 6)
    prior_weights = np.repeat(weights, 48 * 48)
    found = posterior_mean(forward, data, noise, prior, effort=1.5)
    for row, mean, deviation, error in zip(
        data, found.mean, found.deviation, found.standard_error, strict=True
    ):
        likelihood = prior_weights * np.exp(-squares((row - forward.batch(thetas)) / noise))
        likelihood /= likelihood.sum()
        exact = likelihood @ thetas
        assert np.linalg.norm(mean - exact) < max(3 * error, 0.02 * deviation)
        assert deviation**2 == pytest.approx(likelihood @ squares(thetas - exact), rel=0.05)


def test_one_cell_of_three_agrees_with_quadrature():
    """The sum over cells of an integral over the shell of vectors: mean, variance and ratios of evidence."""
    prior = maxwell.MagnetisedBlocks((1, 1), (1, 1), (0.5, 2.0), shape=(3, 1, 1))
    forward = Map(np.random.default_rng(2).standard_normal((4, 9)))
    _, data, noise = observed(forward, prior, 1.0, 4, seed=6)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    radius, height, turn = np.meshgrid(
        1.25 + 0.75 * nodes, nodes, 2 * np.pi * np.arange(36) / 36, indexing="ij"
    )
    across = radius * np.sqrt(1 - height**2)
    vectors = np.stack([across * np.cos(turn), across * np.sin(turn), radius * height], axis=-1).reshape(
        -1, 3
    )
    prior_weights = np.einsum("i,j,k->ijk", weights, weights, np.ones(36)).ravel()
    thetas = np.concatenate([np.kron(row, vectors) for row in np.eye(3)])
    prior_weights = np.tile(prior_weights, 3) / (3 * prior_weights.sum())
    found = posterior_mean(forward, data, noise, prior, effort=1.5)
    evidences = []
    for row, mean, deviation, error in zip(
        data, found.mean, found.deviation, found.standard_error, strict=True
    ):
        likelihood = prior_weights * np.exp(-0.5 * squares((row - forward.batch(thetas)) / noise))
        evidences.append(np.log(likelihood.sum()))
        likelihood /= likelihood.sum()
        exact = likelihood @ thetas
        assert np.linalg.norm(mean - exact) < max(3 * error, 0.02 * deviation)
        assert deviation**2 == pytest.approx(likelihood @ squares(thetas - exact), rel=0.05)
    assert found.evidence - found.evidence[0] == pytest.approx(np.array(evidences) - evidences[0], abs=0.15)


def test_states_and_unknowns_are_those_of_the_prior():
    rng = np.random.default_rng(0)
    patches = Patches(PATCHES, np.eye(8))
    counts, shapes, strengths = state = patches.draw(rng, 60)
    vectors = strengths * np.stack([np.cos(shapes[..., 3]), np.sin(shapes[..., 3])], axis=-1)
    exact = [
        PATCHES.coefficients(s[:k, :2], s[:k, 2], v[:k])
        for k, s, v in zip(counts, shapes, vectors, strict=True)
    ]
    assert patches.unknowns(state) == pytest.approx(np.array(exact), abs=1e-6)
    blocks = Blocks(BLOCKS, np.eye(36))
    state = blocks.draw(rng, 60)
    blocks.move(state, np.zeros(36), 0.0, 20, rng)
    assert BLOCKS.contains(blocks.unknowns(state)).all()


@pytest.mark.parametrize("name", CASES)
def test_chains_at_power_zero_keep_the_prior(name):
    """Its covariance and the mean number of things, after many moves from a corner."""
    prior = CASES[name]
    model = {"patches": Patches, "blocks": Blocks}[name](prior, np.eye(prior.unknowns))
    rng = np.random.default_rng(1)
    state = model.draw(rng, 2000)
    for part in state:
        part[:] = part[0]
    data = np.zeros(prior.unknowns, complex if name == "patches" else float)
    model.move(state, data, 0.0, 200, rng)
    assert state[0].mean() == pytest.approx(1.5, abs=0.05)
    sizes, drawn = squares(model.unknowns(state)), squares(prior.sample(rng, 2000))
    spread = np.hypot(sizes.std(), drawn.std()) / np.sqrt(2000)
    assert abs(sizes.mean() - drawn.mean()) < 4 * spread


def test_equal_seeds_give_equal_bits_and_rows_do_not_see_each_other(case):
    prior, forward, _, data, noise, found = case
    again = posterior_mean(forward, data[:3], noise, prior, effort=0.2)
    assert np.array_equal(again.mean, found.mean[:3])
    other = posterior_mean(forward, data[:3], noise, prior, effort=0.2, seed=np.random.default_rng(1))
    assert not np.array_equal(other.mean, again.mean)


def test_who_knows_the_blocks_errs_less_and_as_foretold():
    forward = map_of(BLOCKS)
    truths, data, noise = observed(forward, BLOCKS, 0.2, 300, seed=8)
    known = known_blocks(forward, truths, data, noise, BLOCKS)
    differences = squares(known.mean - truths) - known.deviation**2
    assert abs(differences.mean()) < 3 * differences.std() / np.sqrt(300)
    found = posterior_mean(forward, data[:12], noise, BLOCKS, effort=0.2)
    assert np.mean(known.deviation[:12] ** 2) < found.risk[0]
    # One box that fills all cells hides nothing: then both are the same posterior.
    whole = maxwell.MagnetisedBlocks((1, 1), (2, 2), shape=(2, 2, 2))
    forward = Map(np.random.default_rng(3).standard_normal((3, 24)))
    truths, data, noise = observed(forward, whole, 0.5, 3, seed=2)
    known = known_blocks(forward, truths, data, noise, whole, samples=20_000)
    found = posterior_mean(forward, data, noise, whole, effort=1.5)
    assert known.mean == pytest.approx(found.mean, abs=0.03)
    assert known.deviation == pytest.approx(found.deviation, rel=0.03)


def test_what_does_not_fit_is_said_in_one_sentence():
    forward = map_of(PATCHES)
    truths, data, noise = observed(forward, PATCHES, 0.2, 2, seed=1)
    fixed = maxwell.BoundaryPatchPrior(amplitude=(1.0, 1.0), modes=8)
    blocks = map_of(BLOCKS)
    for message, arguments in (
        ("expected a linear one", (None, data, noise, PATCHES)),
        ("expected one of BoundaryPatchPrior, MagnetisedBlocks", (forward, data, noise, maxwell.BallPrior())),
        ("expected \\(n, 8\\)", (forward, data[0], noise, PATCHES)),
        ("not finite", (forward, data * np.nan, noise, PATCHES)),
        ("positive standard deviation", (forward, data, 0.0, PATCHES)),
        ("8 unknowns and the forward map has 36", (blocks, np.zeros((2, 14)), noise, PATCHES)),
        ("pass their real part", (blocks, np.zeros((2, 14), complex), noise, BLOCKS)),
        ("two different bounds", (forward, data, noise, fixed)),
    ):
        with pytest.raises(maxwell.MaxwellError, match=message):
            posterior_mean(*arguments)
    with pytest.raises(maxwell.MaxwellError, match="effort is 0"):
        posterior_mean(forward, data, noise, PATCHES, effort=0)
    with pytest.raises(maxwell.MaxwellError, match="expected a MagnetisedBlocks"):
        known_blocks(forward, truths, data, noise, PATCHES)
    with pytest.raises(maxwell.MaxwellError, match="expected its draws"):
        known_blocks(blocks, np.ones((2, 36)) * np.arange(36), np.zeros((2, 14)), noise, BLOCKS)
