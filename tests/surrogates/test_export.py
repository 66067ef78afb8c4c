"""Exported models: read by torch or onnxruntime alone they give what the model gives, for any batch."""

import json
import logging
import math
import sys
import warnings

import numpy as np
import onnxruntime
import pytest
import small_models
import torch
from small_models import NETS, observations
from small_training import same
from torch import nn

from surrogates import FAMILIES, SurrogateError, export

SPREAD = np.array([1e-2, 40.0])  # roughly, of the parameters of small_models


def stacked(d):
    return np.stack([d.real, d.imag], axis=1)


def in_torch(path, d):
    return torch.export.load(path).module()(torch.as_tensor(stacked(d))).numpy()


def in_onnxruntime(path, d):
    session = onnxruntime.InferenceSession(path)
    return session.run(None, {"observations": stacked(d)})[0]


WAYS = {"program": (export.to_program, in_torch, ".pt2"), "onnx": (export.to_onnx, in_onnxruntime, ".onnx")}


def one_rule_for_each_family():
    """Exporters take seconds: each family on one of its rules, such that all rules occur, and the baselines."""
    found = [name for name in NETS if "-" not in name]
    for number, family in enumerate(FAMILIES):
        own = [name for name in NETS if name.startswith(f"{family.__name__}-")]
        found.append(own[-1 - number % len(own)])
    return found


@pytest.fixture
def model():
    return small_models.model(small_models.net("FeedForward").to(torch.float32), softened=True)


@pytest.mark.parametrize("name", NETS)
def test_a_whole_model_as_a_module(name):
    """The transforms in torch are those of the data package, to rounding, in both layouts."""
    for normalise in (False, True):
        model = small_models.model(small_models.net(name), softened=True, normalise=normalise)
        d = observations()
        d[0] = model.encode.inverse(np.zeros((1, 12)))  # no size to divide by
        found = export.Program(model)(torch.as_tensor(stacked(d)))
        np.testing.assert_allclose(found, model.estimate(d), rtol=1e-12, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("name", one_rule_for_each_family())
@pytest.mark.parametrize("way", WAYS)
def test_every_net_is_exported(name, way, tmp_path):
    write, run, ending = WAYS[way]
    model = small_models.model(small_models.net(name).to(torch.float32), normalise="-" not in name)
    assert write(model, tmp_path / f"model{ending}") < 1e-6
    for count in (1, 7):
        d = observations(count, seed=9)
        expected = model.estimate(d)
        assert (abs(run(tmp_path / f"model{ending}", d) - expected) < 1e-6 * (abs(expected) + SPREAD)).all()


class Fickle(nn.Linear):
    """A net whose trace is not what it computes otherwise."""

    inputs, outputs = 12, 2

    def __init__(self, factor):
        super().__init__(12, 2)
        self.factor = factor

    def forward(self, x):
        return super().forward(x) * (self.factor if torch.compiler.is_compiling() else 1.0)


class Branching(nn.Linear):
    """A net whose course depends on numbers, which no trace can hold."""

    inputs, outputs = 12, 2

    def __init__(self):
        super().__init__(12, 2)

    def forward(self, x):
        return super().forward(x) * (2 if x.sum().item() > 0 else 3)


@pytest.mark.parametrize("way", WAYS)
class TestBothWays:
    def test_double_precision_with_observations_of_ones_own(self, way, tmp_path):
        write, run, ending = WAYS[way]
        model, d = small_models.model(small_models.net("FeedForward"), softened=True), observations(3)
        assert write(model, tmp_path / f"model{ending}", d, tolerance=1e-12) < 1e-12
        np.testing.assert_allclose(run(tmp_path / f"model{ending}", d), model.estimate(d), rtol=1e-11)

    def test_complex_parameters_and_a_linear_estimate(self, way, tmp_path):
        """Real and imaginary parts come out as they go in, as two rows."""
        write, run, ending = WAYS[way]
        model, d = small_models.full_model(), observations(3)
        assert write(model, tmp_path / f"model{ending}", tolerance=1e-9) < 1e-9
        re, im = np.moveaxis(run(tmp_path / f"model{ending}", d), 1, 0)
        np.testing.assert_allclose(re + 1j * im, model.estimate(d), rtol=1e-9)

    def test_says_nothing_and_leaves_the_model_alone(self, way, tmp_path, model, capsys):
        before = {name: value.clone() for name, value in model.net.state_dict().items()}
        level = logging.getLogger("torch.onnx").level
        model.net.train()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            WAYS[way][0](model, tmp_path / f"model{WAYS[way][2]}")
        said = capsys.readouterr()
        assert said.out + said.err == ""
        assert logging.getLogger("torch.onnx").level == level
        assert model.net.training
        assert all(value.requires_grad for value in model.net.parameters())
        assert same(model.net.state_dict(), before)

    @pytest.mark.parametrize(("factor", "said"), [(1.001, r"by 0\.000"), (math.nan, "by nan")])
    def test_beyond_the_tolerance_nothing_is_written(self, way, tmp_path, factor, said):
        path = tmp_path / f"model{WAYS[way][2]}"
        path.write_bytes(b"the old one")
        with pytest.raises(SurrogateError, match=rf"Fickle.*{said}.*tolerance 1e-05.*nothing was written"):
            WAYS[way][0](small_models.model(Fickle(factor)), path)
        assert path.read_bytes() == b"the old one"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_net_that_cannot_be_traced(self, way, tmp_path):
        with pytest.raises(SurrogateError, match=r"Branching cannot be exported.*Model\.save") as caught:
            WAYS[way][0](small_models.model(Branching()), tmp_path / f"model{WAYS[way][2]}")
        assert "\n" not in str(caught.value)
        assert list(tmp_path.iterdir()) == []


class TestContent:
    def test_names_travel_along(self, model, tmp_path):
        export.to_program(model, tmp_path / "model.pt2")
        extra = {"model.json": ""}
        torch.export.load(tmp_path / "model.pt2", extra_files=extra)
        export.to_onnx(model, tmp_path / "model.onnx")
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
        metadata = session.get_modelmeta().custom_metadata_map["model"]
        assert json.loads(metadata) == json.loads(extra["model.json"])
        about = json.loads(metadata)
        assert (about["names"], about["units"], about["digest"]) == (["x", "q"], ["m", ""], "abc")
        (entry,), (result,) = session.get_inputs(), session.get_outputs()
        assert (entry.name, entry.type, entry.shape[1:]) == ("observations", "tensor(double)", [2, 6])
        assert (result.name, result.type, result.shape[1:]) == ("parameters", "tensor(double)", [2])
        assert isinstance(entry.shape[0], str)  # any batch

    @pytest.mark.parametrize("lost", export.NEEDED)
    def test_a_missing_package_is_named_with_the_extra(self, model, tmp_path, monkeypatch, lost):
        monkeypatch.setitem(sys.modules, lost, None)
        with pytest.raises(SurrogateError, match=rf"needs {lost}, .*extra export"):
            export.to_onnx(model, tmp_path / "model.onnx")
