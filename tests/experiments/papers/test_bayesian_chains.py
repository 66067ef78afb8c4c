"""The ways of sampling one ball, on forward maps that are known."""

import numpy as np
import pytest

from data.transforms import realify
from experiments.papers.dipole_chart import coordinates, moment, slope
from experiments.papers.mcmc import ANCHORED, DELAYED, EXACT, LINEARISED, SURROGATE, Posterior, behind, ways
from maxwell.inversion import effective_samples, gauss_newton
from maxwell.inversion.whitening import Gaussian
from maxwell.priors import BallPrior

TRUTH = np.array([0.5, 0.5, 0.64, 0.1, 1.2])
SPREAD = np.array([0.08, 0.08, 0.08, 0.017, 0.2 * moment(TRUTH)])
NEAR = TRUTH + np.array([0.01, 0.0, -0.01, 0.002, 0.04])
SPEC = {"steps": 300, "delayed_steps": 200, "surrogate_steps": 300, "inner": 3}


class Bent:
    """F = A x + bend (B x)², x = (η − η_truth)/spread, m = 12: a forward map with the names of one."""

    def __init__(self, bend=0.0):
        rng = np.random.default_rng(0)
        self.linear, self.square = rng.standard_normal((2, 12, 5)) + 1j * rng.standard_normal((2, 12, 5))
        self.bend = bend

    def __call__(self, theta):
        return self.linearise(theta)[0]

    def linearise(self, theta):
        x = (coordinates(theta) - coordinates(TRUTH)) / SPREAD
        value = self.linear @ x + self.bend * (self.square @ x) ** 2
        by_x = self.linear + 2 * self.bend * (self.square @ x)[:, None] * self.square
        return value, by_x / SPREAD @ slope(theta)

    def jacobian(self, theta):
        return self.linearise(theta)[1]


class Wrong:
    """Another map in the place of a network: 1.1 times a forward map, plus a constant."""

    directions = np.eye(24)

    def __init__(self, forward):
        self.forward = forward

    def __call__(self, theta):
        return 1.1 * realify(self.forward(theta)[None])[0] + 0.2

    def jacobian(self, theta):
        return 1.1 * realify(self.forward.jacobian(theta).T).T


def observed(forward, noise=0.5, seed=1):
    rng = np.random.default_rng(seed)
    return forward(TRUTH) + noise * (rng.standard_normal(12) + 1j * rng.standard_normal(12)) / np.sqrt(2)


def prepared(forward, noise=0.5):
    posterior = Posterior(forward, BallPrior(), observed(forward, noise), noise)
    weak = Gaussian(TRUTH, np.diag([1.0, 1.0, 1.0, 0.2, 4.0]) ** 2)
    found = gauss_newton(forward, posterior.observation, noise, weak, start=TRUTH)
    return posterior, found


def test_the_posterior_counts_solves_and_knows_its_prior():
    forward = Bent()
    posterior = Posterior(forward, BallPrior(), observed(forward), 0.5)
    assert posterior([0.1, 0.5, 0.6, 0.1, 1.0] @ np.eye(5)) == -np.inf
    assert posterior.solves == 0
    difference = posterior(TRUTH) - posterior(NEAR)
    there = np.sum(np.abs(posterior.observation - forward(NEAR)) ** 2)
    here = np.sum(np.abs(posterior.observation - forward(TRUTH)) ** 2)
    assert difference == pytest.approx((there - here) / 0.25)
    assert posterior.solves == 2


def test_the_posterior_holds_what_its_prior_holds():
    prior = BallPrior()
    posterior = Posterior(Bent(), prior, observed(Bent()), 0.5)
    low, high = posterior.box
    rng = np.random.default_rng(0)
    thetas = rng.uniform(low - 0.02 * (high - low), high + 0.02 * (high - low), (400, 5))
    thetas[:5, 4] = [0.5, -0.5, 2.0, -2.0, 0.0]
    thetas[:5, :4] = TRUTH[:4]
    held = prior.contains(thetas)
    assert 50 < held.sum() < 350
    assert [posterior.inside(theta) for theta in thetas] == held.tolist()


def test_the_map_behind_all_its_coefficients_is_the_posterior():
    posterior, _ = prepared(Bent(0.1))
    exact = behind(
        posterior, lambda x: realify(posterior.forward(x)[None])[0], realify(posterior.observation[None])[0]
    )
    assert exact(TRUTH) == pytest.approx(posterior(TRUTH))
    assert exact(np.zeros(5)) == -np.inf


@pytest.mark.parametrize("way", [ANCHORED, LINEARISED])
def test_a_map_that_is_linear_is_met_exactly_after_the_affine_term(way):
    """Whatever the network: every candidate of delayed acceptance is accepted."""
    posterior, found = prepared(Bent())
    steps, run = ways(posterior, Wrong(Bent()), found, SPEC)[way]
    chain = run(TRUTH, steps, np.random.default_rng(0))
    assert chain.proposed > steps / 3
    assert chain.acceptance == 1.0
    assert posterior.solves <= chain.proposed + 1


def test_the_curvature_of_a_good_network_is_worth_more_than_a_linearisation():
    forward = Bent(0.15)
    posterior, found = prepared(forward)
    runs = ways(posterior, Wrong(forward), found, SPEC)
    accepted = {
        name: runs[name][1](TRUTH, 200, np.random.default_rng(0)).acceptance
        for name in (DELAYED, ANCHORED, LINEARISED)
    }
    assert accepted[ANCHORED] > accepted[LINEARISED] > 0.1
    assert accepted[ANCHORED] > accepted[DELAYED]


def test_all_ways_but_the_wrong_map_alone_sample_one_posterior():
    forward = Bent()
    posterior, found = prepared(forward)
    means, errors = {}, {}
    for name, (_, run) in ways(posterior, Wrong(forward), found, SPEC).items():
        states = run(TRUTH, 1500, np.random.default_rng(7)).states
        means[name] = states.mean(axis=0)
        errors[name] = states.std(axis=0) / np.sqrt(effective_samples(states))
    for name in (DELAYED, ANCHORED, LINEARISED):
        z = (means[name] - means[EXACT]) / np.hypot(errors[name], errors[EXACT])
        assert np.abs(z).max() < 4, name
    z = (means[SURROGATE] - means[EXACT]) / np.hypot(errors[SURROGATE], errors[EXACT])
    assert np.abs(z).max() > 4
