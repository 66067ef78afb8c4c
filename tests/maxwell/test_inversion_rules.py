"""Rules that choose a penalty: against the best one, that theory or hindsight knows."""

import numpy as np
import pytest
from test_inversion import CIRCULAR, METHODS, RULES, WHITE, Matrix, draw, gravity, noise_of, transfer

from maxwell.inversion import (
    GCV,
    Discrepancy,
    Fixed,
    Gaussian,
    LCurve,
    Tikhonov,
    Truncation,
    WhitenedSystem,
    tikhonov,
    tsvd,
)


@pytest.mark.parametrize("length", [0.5, 1.0])
def test_the_rules_reach_the_best_predicted_error_on_a_map_with_exponential_decay(length):
    """Noise of 1 % of the data: rules that do not know the truth come near the best penalty that theory knows."""
    forward = Matrix(transfer(length=length))
    rng = np.random.default_rng(2)
    truths = CIRCULAR.sample(rng, 60)
    data = forward.batch(truths)
    noise = 0.01 * np.sqrt(np.mean(np.abs(data) ** 2))
    data = data + noise_of(rng, data.shape, noise)
    system = WhitenedSystem(forward, noise, CIRCULAR)
    # A truncation moves in steps of e^{L} in error, so the principle can miss by half of that.
    for kernel, factor in ((Tikhonov(), 1.1), (Truncation(), 1.6)):
        errors = [system.predicted_error(kernel, x).total for x in kernel.penalties(system.values)]
        best = min(errors)
        for rule in (Discrepancy(), GCV()):
            found = np.stack([system.invert(d, kernel, rule).theta for d in data])
            error = np.sqrt(np.mean(np.sum(np.abs(found - truths) ** 2, axis=1)))
            assert 0.9 * best < error < factor * best, (kernel, rule, error / best)


@pytest.mark.parametrize("rule", RULES[:3], ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("method", METHODS)
def test_each_rule_finds_a_good_penalty_for_the_gravity_problem(rule, method):
    """Hansen's solution sin πt + ½ sin 2πt, 1 % noise, against the best penalty in hindsight."""
    matrix, t = gravity()
    forward = Matrix(matrix)
    truth = np.sin(np.pi * t) + 0.5 * np.sin(2 * np.pi * t)
    noise = 0.01 * np.sqrt(np.mean(forward(truth) ** 2))
    system = WhitenedSystem(forward, noise, WHITE)
    kernel = METHODS[method][1]
    rng = np.random.default_rng(7)
    ratios = []
    for _ in range(12):
        data = forward(truth) + noise_of(rng, 48, noise, float)
        found = [system.invert(data, kernel, Fixed(x)).theta for x in kernel.penalties(system.values)[::4]]
        found += [system.invert(data, kernel, rule).theta]
        errors = np.linalg.norm(np.stack(found) - truth, axis=1)
        ratios.append(errors[-1] / errors[:-1].min())
    assert np.median(ratios) < 2, ratios


def test_the_discrepancy_principle_takes_the_strongest_penalty_that_fits():
    forward, prior, noise, _, observation = draw("real unknown, real data")
    trace = tikhonov(forward, observation, noise, prior, rule=Discrepancy(safety=1.2)).trace
    misfits = trace.column("misfit")
    assert misfits[trace.chosen] <= 1.2 < misfits[trace.chosen - 1]


def test_when_no_penalty_fits_the_trace_says_so_and_another_rule_chooses():
    forward, prior, noise, truth, observation = draw("real unknown, real data")
    understated = noise / 100
    estimate = tikhonov(forward, observation, understated, prior)
    assert "no penalty reaches misfit 1" in estimate.trace.notes[0]
    assert "GCV" in estimate.trace.reason
    best = tikhonov(forward, observation, noise, prior, rule=Fixed(1.0))
    assert np.linalg.norm(estimate.theta - truth) < 2 * np.linalg.norm(best.theta - truth)


def test_a_wrong_map_is_not_fitted_beyond_what_the_prior_finds_plausible():
    """A systematic error of the data, 30 times the noise: GCV takes the part in the range of the map for signal."""
    rng = np.random.default_rng(4)
    left = np.linalg.qr(rng.standard_normal((60, 9)))[0]
    forward = Matrix(left[:, :8] * 10.0 ** -np.arange(8))
    prior = Gaussian(np.zeros(8), np.eye(8))
    truth, noise = prior.sample(rng, 1)[0], 1e-4
    wrong = 30 * noise * np.sqrt(30) * (left[:, 5] + left[:, 8])
    observation = forward(truth) + wrong + noise_of(rng, 60, noise, float)
    trace = tikhonov(forward, observation, noise, prior).trace
    assert "the map is wrong" in trace.notes[0]
    assert "plausible" in trace.reason
    assert trace.records[trace.chosen].norm <= np.sqrt(8)
    errors = [
        np.linalg.norm(tikhonov(forward, observation, noise, prior, rule=rule).theta - truth)
        for rule in (Discrepancy(), GCV())
    ]
    assert errors[0] < 2 * np.linalg.norm(truth)
    assert errors[1] > 100 * errors[0]


def test_rules_without_anything_to_choose_from_still_choose():
    square = Matrix(np.eye(1))
    prior = Gaussian(np.zeros(1), np.eye(1))
    for rule in (GCV(), LCurve(), Discrepancy()):
        assert np.isfinite(tikhonov(square, [2.0], 0.1, prior, rule=rule).theta).all()
        assert np.isfinite(tsvd(square, [0.0], 0.1, prior, rule=rule).theta).all()
