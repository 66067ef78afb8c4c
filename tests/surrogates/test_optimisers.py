"""L-BFGS: that it converges, that its line search survives bad trial steps, what it refuses."""

import math
from dataclasses import replace

import pytest
import torch
from small_training import OPTIMISERS, SETTINGS, TRAIN, VALID

from surrogates import ResNet, SurrogateError
from surrogates.losses import mse
from surrogates.training import fit
from surrogates.training.optimisers import EVALUATIONS

LBFGS = replace(SETTINGS, **OPTIMISERS["lbfgs"])


class TestQuasiNewton:
    """What the line search and the curvature pairs bring."""

    def test_solves_least_squares_to_the_normal_equations(self):
        net = torch.nn.Linear(3, 2)
        fit(net, TRAIN, TRAIN, replace(LBFGS, epochs=3))
        columns = torch.cat((TRAIN[0], torch.ones(30, 1)), dim=1)
        exact = torch.linalg.lstsq(columns, TRAIN[1]).solution.T
        found = torch.cat((net.weight, net.bias[:, None]), dim=1)
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-6)

    def test_reaches_a_lower_loss_than_adam_for_as_many_evaluations(self, build):
        found = fit(build(ResNet, "positive"), TRAIN, VALID, LBFGS).trace
        adam = replace(SETTINGS, batch=None, epochs=sum(found.evaluations))
        assert (
            found.train_loss[-1]
            < 0.5 * fit(build(ResNet, "positive"), TRAIN, VALID, adam).trace.train_loss[-1]
        )

    def test_an_epoch_counts_its_evaluations_and_is_bounded(self, build):
        calls, net = [], build(ResNet, "positive")

        def loss(prediction, target):
            calls.append(net.training)
            return mse(prediction, target)

        trace = fit(net, TRAIN, VALID, LBFGS, loss=loss).trace
        assert sum(trace.evaluations) == sum(calls)
        assert all(1 < count <= EVALUATIONS for count in trace.evaluations)


class Scalar(torch.nn.Module):
    """One weight w, as the prediction for every sample."""

    def __init__(self, start):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(start))

    def forward(self, x):
        return self.weight * torch.ones_like(x)


DATA = torch.zeros(4, 1), torch.zeros(4, 1)


def steep(prediction):
    """−1000, temptingly low, with a gradient that is not finite."""
    return (prediction - prediction.detach()).abs().sqrt().sum() - 1000


OUTSIDE = {
    "NaN": lambda prediction: prediction.sum() * 0 + math.nan,
    "inf": lambda prediction: prediction.sum() * 0 + math.inf,
    "-inf": lambda prediction: prediction.sum() - math.inf,
    "NaN gradient": steep,
}


class TestTrialSteps:
    """3w − log w on w > 0, of least value at 1/3: a first step of 100 leaves the domain."""

    @pytest.fixture(params=OUTSIDE)
    def barrier(self, request):
        bad = []

        def loss(prediction, target):
            if prediction.min() > 0:
                return (3 * prediction - prediction.log()).mean()
            bad.append(prediction)
            return OUTSIDE[request.param](prediction)

        loss.bad = bad
        return loss

    @pytest.mark.parametrize("rate", [10.0, 1e3, 1e6])
    def test_a_trial_outside_the_numbers_is_only_too_long(self, barrier, rate):
        net = Scalar(0.9)
        trace = fit(net, DATA, DATA, replace(LBFGS, epochs=4, learning_rate=rate), loss=barrier).trace
        assert barrier.bad
        assert net.weight.item() == pytest.approx(1 / 3, rel=1e-3)
        assert all(map(math.isfinite, trace.train_loss + trace.gradient_norm))

    def test_the_start_must_be_inside(self, barrier):
        with pytest.raises(SurrogateError, match=r"epoch 1: the (loss|gradient) is not finite"):
            fit(Scalar(-1.0), DATA, DATA, LBFGS, loss=barrier)

    def test_an_optimiser_that_accepts_such_weights_is_stopped(self, barrier):
        def careless(net):
            return torch.optim.LBFGS(net.parameters(), lr=10.0)

        with pytest.raises(SurrogateError, match=r"epoch 1: .* is not finite"):
            fit(Scalar(0.9), DATA, DATA, replace(SETTINGS, batch=2), loss=barrier, optimiser=careless)


class TestRefusals:
    """What makes no sense with a line search says so, and what to give instead."""

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"batch": 8}, "batch must be None with optimiser 'lbfgs'"),
            ({"weight_decay": 0.1}, "weight_decay must be 0 .* penalty into the loss"),
            ({"clip": 1.0}, "clip must be None"),
            ({"schedule": "cosine"}, "schedule must be 'constant' .* is 'cosine'"),
        ],
    )
    def test_settings(self, change, message):
        with pytest.raises(SurrogateError, match=message):
            replace(LBFGS, **change)

    def test_an_optimiser_beside_the_settings(self, build):
        def plain(net):
            return torch.optim.SGD(net.parameters(), lr=0.1)

        with pytest.raises(SurrogateError, match="settings that ask for 'lbfgs': give one of them"):
            fit(build(ResNet, "fixed"), TRAIN, VALID, LBFGS, optimiser=plain)
