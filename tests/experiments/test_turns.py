"""Means over turns: the symmetry that they have, what they cost no estimate, and the files that hold them."""

import numpy as np
import pytest
import torch

import maxwell
from data import DataError
from data.transforms import Compression, Standardise
from data.turns import Turns
from experiments.protocol.perturbations import jacobians
from maxwell.survey import GaussianPatches
from surrogates import Model, ResNet, SurrogateError, TimeGrid, export, model

BALL = maxwell.Conductivity(survey=GaussianPatches(2))
TURNS = Turns.of(BALL.symmetries)
M, P = 64, 5


def observations(count=9, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, M)) + 1j * rng.standard_normal((count, M))


def turned_model(turns=TURNS, softened=True):
    """A net of no symmetry at all, between transforms of random data."""
    draw = torch.Generator().manual_seed(3)
    net = ResNet(6, P, 8, TimeGrid.fixed(3, 1.0), generator=draw).double()
    theta = BALL.prior.sample(np.random.default_rng(1), 30)
    names = tuple(p.name for p in BALL.parameters)
    encode = Compression.fit(observations(40, seed=2), 6)
    return Model(net, encode, Standardise.fit(theta), names, softened=softened, turns=turns)


def test_back_undoes_forth():
    """P⁻¹ of a turned unknown is the unknown, and the data turn as the symmetry says."""
    theta = BALL.prior.sample(np.random.default_rng(0), 4)
    for g, symmetry in enumerate(BALL.symmetries):
        np.testing.assert_allclose(TURNS.back(g, symmetry.parameters(theta)), theta, atol=1e-15)
        np.testing.assert_array_equal(TURNS.forth(g, observations()), symmetry.observations(observations()))


def test_the_mean_of_any_estimate_has_the_symmetry():
    """θ̄(Q d) = P θ̄(d), which the estimate itself is far from."""
    made, plain, d = turned_model(), turned_model(None), observations()
    for symmetry in BALL.symmetries[1:]:
        moved = symmetry.observations(d)
        np.testing.assert_allclose(made.estimate(moved), symmetry.parameters(made.estimate(d)), atol=1e-12)
        assert abs(plain.estimate(moved) - symmetry.parameters(plain.estimate(d))).max() > 0.01
    by_hand = np.mean(
        [TURNS.back(g, plain.estimate(s.observations(d))) for g, s in enumerate(BALL.symmetries)], axis=0
    )
    np.testing.assert_allclose(made.estimate(d), by_hand, atol=1e-13)


def test_an_estimate_with_the_symmetry_stays_as_it_is():
    """The mean of the true inverse of a commuting map is that inverse: here the prior's mean, turned by itself."""
    mean = np.array([0.5, 0.5, 0.64, 0.1, 0.0])
    found = TURNS.mean(lambda d: np.repeat(mean[None], len(d), axis=0), observations())
    np.testing.assert_allclose(found, np.repeat(mean[None], 9, axis=0), atol=1e-15)


@pytest.mark.parametrize(("rows", "calls"), [(1000, 1), (16, 5), (1, 9)])
def test_all_turns_of_a_block_are_one_estimate(monkeypatch, rows, calls):
    """Nine observations, two a block of sixteen, one a block at least; however many there are."""
    plain, d, sizes = turned_model(None), observations(), []

    def counted(observations):
        sizes.append(len(observations))
        return plain.estimate(observations)

    whole = TURNS.mean(plain.estimate, d)
    monkeypatch.setattr("data.turns.ROWS", rows)
    np.testing.assert_allclose(TURNS.mean(counted, d), whole, atol=1e-13)
    assert len(sizes) == calls
    assert sum(sizes) == len(TURNS) * len(d)


def test_files_and_programs_hold_them(tmp_path):
    made, d = turned_model(), observations()
    made.save(tmp_path / "model.pt")
    again = model.load(tmp_path / "model.pt")
    assert np.array_equal(again.estimate(d), made.estimate(d))
    assert export.to_program(made, tmp_path / "model.pt2", d) < 1e-12


@pytest.mark.parametrize("turns", [TURNS, None], ids=["mean", "one"])
@pytest.mark.parametrize("softened", [True, False])
def test_the_derivative_is_that_of_differences(turns, softened):
    made, d, step = turned_model(turns, softened), observations(2), 1e-6
    found = jacobians(made, d)
    rng = np.random.default_rng(5)
    way = rng.standard_normal((2, M))
    differences = [
        (made.estimate(d + step * e) - made.estimate(d - step * e)) / (2 * step) for e in (way, 1j * way)
    ]
    for part, difference in zip((found[..., :M], found[..., M:]), differences, strict=True):
        np.testing.assert_allclose(np.einsum("nqm,nm->nq", part, way), difference, atol=1e-7)


def test_observations_and_models_of_another_width_are_refused():
    with pytest.raises(DataError, match="64"):
        turned_model().estimate(observations()[:, :60])
    short = Turns(*(values[:, :4] for values in (TURNS.data_places,) * 2), *[TURNS.places[:, :4]] * 3)
    with pytest.raises(SurrogateError, match="parameters of turns"):
        turned_model(short)
