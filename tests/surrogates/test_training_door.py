"""What training refuses before its first step, in one sentence."""

import copy
import math
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from small_training import SETTINGS, TRAIN, VALID

from surrogates import ResNet, SurrogateError
from surrogates.training import fit, fit_ensemble


class TestDoor:
    """Data and settings are checked before the first step."""

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    @pytest.mark.parametrize(("which", "part"), [("train", 0), ("train", 1), ("valid", 0), ("valid", 1)])
    def test_nan_or_infinity_in_the_data(self, build, value, which, part):
        pairs = {"train": copy.deepcopy(TRAIN), "valid": copy.deepcopy(VALID)}
        pairs[which][part][7, 1] = value
        kind = "targets" if part else "inputs"
        with pytest.raises(
            SurrogateError, match=rf"{which}: NaN or infinity in the {kind} of 1 of .*sample 7"
        ):
            fit(build(ResNet, "fixed"), **pairs, settings=SETTINGS)

    def test_nan_in_the_data_of_a_later_epoch(self, build):
        def train(epoch):
            x, y = TRAIN
            return (x * math.nan if epoch == 2 else x), y

        with pytest.raises(SurrogateError, match=r"train\(2\): NaN"):
            fit(build(ResNet, "fixed"), train, VALID, SETTINGS)

    @pytest.mark.parametrize(
        ("train", "message"),
        [
            (TRAIN[0], "pair of tensors"),
            ((TRAIN[0], TRAIN[1][:5]), "as many inputs as targets"),
            ((TRAIN[0][:0], TRAIN[1][:0]), "at least one"),
            ((TRAIN[0][:, :2], TRAIN[1]), "expects inputs of shape"),
            ((TRAIN[0], TRAIN[1][:, :1]), "same shape"),
            ((TRAIN[0].float(), TRAIN[1]), "float32"),
        ],
    )
    def test_data_of_the_wrong_form(self, build, train, message):
        with pytest.raises(SurrogateError, match=message):
            fit(build(ResNet, "fixed"), train, VALID, SETTINGS)

    def test_a_net_of_which_nothing_trains(self, build):
        net = build(ResNet, "simplex").requires_grad_(False)
        with pytest.raises(SurrogateError, match="fit was given a ResNet of which no parameter trains"):
            fit(net, TRAIN, VALID, SETTINGS)
        with pytest.raises(SurrogateError, match="fit was given a Identity of which no parameter trains"):
            fit(torch.nn.Identity(), TRAIN, VALID, SETTINGS)
        with pytest.raises(SurrogateError, match="fit_ensemble was given a ResNet of which no parameter"):
            fit_ensemble([net], TRAIN, VALID, SETTINGS)

    @pytest.mark.parametrize(
        "train",
        [fit, lambda net, *rest, **options: fit_ensemble([net], *rest, **options)],
        ids=["fit", "fit_ensemble"],
    )
    @pytest.mark.parametrize(
        ("loss", "given"),
        [
            (lambda prediction, target: (prediction - target).square(), r"shape \(8, 2\)"),
            (lambda prediction, target: (prediction - target).square().mean(0), r"shape \(2,\)"),
            (lambda prediction, target: 1.0, "float"),
        ],
        ids=["entries", "columns", "number"],
    )
    def test_a_loss_that_is_no_scalar(self, build, train, loss, given):
        with pytest.raises(
            SurrogateError, match=f"a loss returns one number as a tensor, but .* {given} for pred"
        ):
            train(build(ResNet, "fixed"), TRAIN, VALID, SETTINGS, loss=loss)

    def test_one_net_or_a_list_of_them(self, build):
        net = build(ResNet, "fixed")
        with pytest.raises(
            SurrogateError, match=r"fit_ensemble trains a list .* given a ResNet: give \[net\]"
        ):
            fit_ensemble(net, TRAIN, VALID, SETTINGS)
        with pytest.raises(SurrogateError, match=r"fit trains one net.* given a list: .*fit_ensemble"):
            fit([net], TRAIN, VALID, SETTINGS)

    def test_settings_in_a_dictionary(self, build):
        with pytest.raises(
            SurrogateError, match=r"fit needs Settings, but settings is a dict: give .*Settings"
        ):
            fit(build(ResNet, "fixed"), TRAIN, VALID, {"epochs": 2})

    @pytest.mark.parametrize(
        "change",
        [
            {"epochs": 0},
            {"epochs": 2.5},
            {"batch": 0},
            {"batch": True},
            {"optimiser": "sgd"},
            {"optimiser": ["adam"]},
            {"schedule": ["cosine"]},
            {"patience": 0},
            {"patience": 2.0},
            {"min_improvement": -0.1},
            {"learning_rate": 0.0},
            {"learning_rate": math.nan},
            {"learning_rate": "fast"},
            {"weight_decay": -1.0},
            {"schedule": "linear"},
            {"clip": 0.0},
            {"seed": -1},
        ],
    )
    def test_settings_that_make_no_sense(self, change):
        with pytest.raises(SurrogateError, match=next(iter(change))):
            replace(SETTINGS, **change)

    def test_settings_are_frozen(self):
        with pytest.raises(FrozenInstanceError):
            SETTINGS.epochs = 3
