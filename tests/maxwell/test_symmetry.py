"""Turns of an experiment: the group, the maps of unknowns and data, and that the forward map commutes with them."""

import numpy as np
import pytest

import maxwell
from maxwell.parametrisations import Balls, Voxels
from maxwell.priors import BallPrior, BlockyPrior, GaussianField
from maxwell.survey import GaussianPatches
from maxwell.symmetry import TURNS, places_of

VOXELS = Voxels(3, 3, 2)


def problems():
    yield maxwell.Conductivity(parametrisation=VOXELS, prior=GaussianField(VOXELS), survey=GaussianPatches(2))
    yield maxwell.Conductivity(
        parametrisation=VOXELS,
        prior=BlockyPrior(VOXELS),
        survey=GaussianPatches(2),
        frequency=(10e6, 23.9e6),
    )
    yield maxwell.Conductivity(survey=GaussianPatches(2))


@pytest.mark.parametrize("problem", list(problems()), ids=["field", "blocks of two frequencies", "ball"])
def test_the_unknown_and_the_data_turn_together(problem):
    """m(g x; P θ) = m(x; θ), and F(P θ) = Q F(θ) to rounding on a mesh that has the symmetry."""
    rng = np.random.default_rng(1)
    theta = problem.prior.sample(rng, 1)
    points = rng.uniform(0.1, 0.9, (300, 3))
    forward = problem.discretise(cells=5, degree=1, cell="hexahedron")
    there = forward(theta[0])
    assert len(problem.symmetries) == 8
    for symmetry in problem.symmetries:
        turned = symmetry.parameters(theta)[0]
        image = problem.image(turned, symmetry.turn.points(points))
        np.testing.assert_allclose(image, problem.image(theta[0], points), atol=1e-12)
        expected = symmetry.observations(there[None])[0]
        assert np.linalg.norm(forward(turned) - expected) < 1e-9 * np.linalg.norm(there)
        assert symmetry.turn.is_identity or np.linalg.norm(there - expected) > 1e-3 * np.linalg.norm(there)


def test_the_turns_are_the_group_of_the_square():
    x = np.random.default_rng(1).uniform(0, 1, (5, 3))
    images = [turn.points(x) for turn in TURNS]
    assert TURNS[0].is_identity
    assert np.array_equal(images[0], x)
    for first in TURNS:
        for second in TURNS:  # closed, and no two alike
            both = second.points(first.points(x))
            assert sum(np.allclose(both, image) for image in images) == 1


def test_the_prior_has_the_symmetries_that_are_claimed():
    """Moments of many draws stay as they are; the exact covariance of a field does to rounding."""
    for problem in problems():
        drawn = problem.prior.sample(np.random.default_rng(2), 12_000)
        for symmetry in problem.symmetries:
            turned = symmetry.parameters(drawn)
            scale = drawn.std(axis=0)
            assert (abs(turned.mean(axis=0) - drawn.mean(axis=0)) < 0.12 * scale).all()
            difference = (np.cov(turned.T) - np.cov(drawn.T)) / np.outer(scale, scale)
            assert abs(difference).max() < 0.15
            assert problem.prior.contains(turned[:50]).all()
    field = GaussianField(VOXELS)
    for symmetry in maxwell.Conductivity(parametrisation=VOXELS, prior=field).symmetries:
        places = symmetry.parameters.places
        np.testing.assert_allclose(field.covariance[np.ix_(places, places)], field.covariance, atol=1e-12)


@pytest.mark.parametrize(
    ("problem", "turns"),
    [
        (maxwell.Conductivity(prior=BallPrior(x=(0.4, 0.7))), 2),  # y → 1 − y alone
        (maxwell.Conductivity(prior=BallPrior(x=(0.4, 0.6))), 4),  # no exchange
        (maxwell.Conductivity(parametrisation=Balls(2), prior=BallPrior(count=2)), 1),
        (maxwell.Conductivity(survey=GaussianPatches(3, first=0.1, last=0.8)), 2),  # the diagonal stays
        (maxwell.Conductivity(parametrisation=Voxels(2, 3, 1)), 4),
        (maxwell.Conductivity(parametrisation=Voxels(2, 2, 1, (0.2, 0.2, 0.4), (0.7, 0.8, 0.9))), 2),
    ],
)
def test_only_what_survey_unknown_and_prior_share_is_a_symmetry(problem, turns):
    assert len(problem.symmetries) == turns
    assert problem.symmetries[0].turn.is_identity


def test_places_are_a_permutation_or_none():
    points = np.array([[0.0], [0.5], [1.0]])
    assert places_of(points, points[::-1]).tolist() == [2, 1, 0]
    assert places_of(points, points + 0.1) is None
    assert places_of(points, points[[0, 0, 1]]) is None
