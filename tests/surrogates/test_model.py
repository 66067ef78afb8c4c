"""A model on disk: the same estimates from the file alone, and one sentence for every other file."""

import numpy as np
import pytest
import small_models
import torch
from small_models import NETS, observations
from small_training import same

import surrogates
from data import DataError
from data.transforms import Standardise, soften
from surrogates import FeedForward, Model, SurrogateError
from surrogates.model import VERSION, load


@pytest.fixture
def made():
    return small_models.model(small_models.net("Fractional-simplex"), softened=True)


@pytest.fixture
def path(made, tmp_path):
    made.save(tmp_path / "deep" / "model.pt")
    return tmp_path / "deep" / "model.pt"


class TestEveryNet:
    @pytest.mark.parametrize("name", NETS)
    def test_a_file_alone_gives_the_same_estimates_bit_for_bit(self, name, tmp_path):
        model = small_models.model(small_models.net(name).to(torch.float32), softened="ResNet" in name)
        model.save(tmp_path / "model.pt")
        again, d = load(tmp_path / "model.pt"), observations()
        np.testing.assert_array_equal(again.estimate(d), model.estimate(d))
        assert same(again.net.state_dict(), model.net.state_dict())
        assert not again.net.training

    @pytest.mark.parametrize("name", ["Convolutional", "Recurrent", "FeedForward"])
    def test_with_observations_that_keep_their_places(self, name, tmp_path):
        model = small_models.model(small_models.net(name), normalise=True)
        model.save(tmp_path / "model.pt")
        d = observations()
        np.testing.assert_array_equal(load(tmp_path / "model.pt").estimate(d), model.estimate(d))


class TestEstimate:
    def test_is_the_net_between_its_transforms(self, made):
        d = observations()
        z = made.net(torch.as_tensor(soften(made.encode(d)))).detach().numpy()
        np.testing.assert_allclose(made.estimate(d), z * made.decode.scale + made.decode.mean, rtol=1e-13)

    def test_a_net_adds_to_a_linear_estimate_of_complex_parameters(self, tmp_path):
        made, d = small_models.full_model(), observations()
        z = made.net(torch.as_tensor(made.encode(d))).detach().numpy()
        re, im = ((z * made.remainder.scale + made.remainder(d)) * made.decode.scale + made.decode.mean).T
        np.testing.assert_allclose(made.estimate(d)[:, 0], re + 1j * im, rtol=1e-12)
        made.save(tmp_path / "model.pt")
        np.testing.assert_array_equal(load(tmp_path / "model.pt").estimate(d), made.estimate(d))

    def test_softening_is_a_choice(self):
        net, d = small_models.net("ResNet-fixed"), observations()
        hard, soft = (small_models.model(net, softened=choice).estimate(d) for choice in (False, True))
        assert np.abs(hard - soft).max() > 1e-3

    def test_real_observations_are_complex_ones_without_an_imaginary_part(self, made):
        d = observations().real
        np.testing.assert_array_equal(made.estimate(d), made.estimate(d + 0j))

    def test_leaves_no_gradients_behind(self, made):
        made.estimate(observations())
        assert all(parameter.grad is None for parameter in made.net.parameters())

    @pytest.mark.parametrize(
        ("d", "said"), [(observations()[:, :5], "6 columns"), (observations() * np.nan, "nan")]
    )
    def test_refuses_observations_of_another_kind(self, made, d, said):
        with pytest.raises(DataError, match=said):
            made.estimate(d)


class TestContent:
    def test_names_units_and_origin_come_back(self, made, path):
        again = load(path)
        for name in ("names", "units", "softened", "spec", "digest", "version"):
            assert getattr(again, name) == getattr(made, name), name
        assert again.spec == {"kind": "conductivity", "frequency": 23.9e6}
        assert again.version[0].isdigit()
        for transform in ("encode", "decode"):
            for key, values in getattr(made, transform).state().items():
                np.testing.assert_array_equal(getattr(again, transform).state()[key], values)

    def test_a_model_trains_on_as_before(self, made, path):
        """Learned steps are learned again, and what the file holds is not shared with what is trained."""
        first, second = load(path), load(path)
        first.net(torch.zeros(1, 12)).sum().backward()
        assert first.net.time.logits.grad.abs().max() > 0
        with torch.no_grad():
            first.net.layer_weight.zero_()
        assert same(second.net.state_dict(), made.net.state_dict())

    def test_the_file_holds_no_code(self, path):
        content = torch.load(path, weights_only=True)
        assert content["architecture"]["class"] == "Fractional"

    def test_a_write_is_whole_or_not_at_all(self, made, path, monkeypatch):
        before = path.read_bytes()

        def half(content, file):
            file.write_bytes(b"half a file")
            raise OSError("no space left on device")

        monkeypatch.setattr(torch, "save", half)
        with pytest.raises(OSError, match="no space"):
            made.save(path)
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]

    def test_a_write_replaces_the_file_and_never_writes_into_it(self, made, path):
        before = path.read_bytes()
        (path.parent / "old.pt").hardlink_to(path)
        small_models.model(small_models.net("FeedForward")).save(path)
        assert path.read_bytes() != before
        assert (path.parent / "old.pt").read_bytes() == before


class TestDoor:
    def test_parts_that_do_not_fit(self, made):
        parts = {"net": made.net, "encode": made.encode, "decode": made.decode, "names": made.names}
        for change, said in (
            ({"net": FeedForward(11, 2, 4, 1)}, r"features of encode .*\(11\).*given 12"),
            ({"decode": Standardise(np.zeros(3), np.ones(3))}, r"numbers of decode .*\(2\).*given 3"),
            ({"names": ("x",)}, r"names .*\(2\).*given 1"),
            ({"units": ("m",)}, r"units .*\(2\).*given 1"),
        ):
            with pytest.raises(SurrogateError, match=said):
                Model(**{**parts, **change})

    def test_a_spec_that_is_not_plain(self, made, tmp_path):
        model = small_models.model(made.net, spec={"problem": object()})
        with pytest.raises(SurrogateError, match="plain values"):
            model.save(tmp_path / "model.pt")
        assert not (tmp_path / "model.pt").exists()

    def test_a_net_with_code_of_ones_own(self, tmp_path):
        net = FeedForward(12, 2, 4, 1, activation=lambda z: z)
        with pytest.raises(SurrogateError, match="without code"):
            small_models.model(net).save(tmp_path / "model.pt")
        assert list(tmp_path.iterdir()) == []


class TestDamage:
    """A file that is not a model of this version is refused in one sentence that names it."""

    @staticmethod
    def refused(path):
        with pytest.raises(SurrogateError) as caught:
            load(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_missing(self, tmp_path):
        assert "there is no model" in self.refused(tmp_path / "model.pt")

    @pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.999])
    def test_cut_short(self, path, keep):
        content = path.read_bytes()
        path.write_bytes(content[: int(keep * len(content))])
        assert "cannot be read as a model" in self.refused(path)

    def test_flipped_bit_in_the_weights(self, made, path):
        content = bytearray(path.read_bytes())
        content[content.index(made.net.layer_weight.detach().numpy().tobytes()) + 100] ^= 16
        path.write_bytes(content)
        assert "cannot be read as a model" in self.refused(path)

    @pytest.mark.parametrize(
        "content", [{"weights": 1}, [1, 2], torch.zeros(3)], ids=["dict", "list", "tensor"]
    )
    def test_file_of_another_kind(self, path, content):
        torch.save(content, path)
        assert "is not a model of maxwell-inverse" in self.refused(path)

    def test_newer_version(self, path):
        torch.save({**torch.load(path), "version": VERSION + 1, "package": "9.0"}, path)
        said = self.refused(path)
        assert f"version {VERSION + 1}, written by maxwell-inverse '9.0'" in said
        assert "install a newer" in said

    @pytest.mark.parametrize(
        "change",
        [
            {"weights": {}},
            {"architecture": {"class": "Transformer", "arguments": {}, "frozen": []}},
            {"encode": {"class": "Wavelets", "arrays": {}}},
            {"encode": {"class": "Compression", "arrays": {}}},
            {"decode": 5},
            {"names": ["x"]},
            {"spec": "{"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_parts_that_do_not_fit_together(self, path, change):
        torch.save({**torch.load(path), **change}, path)
        assert "do not fit together" in self.refused(path)

    @pytest.mark.parametrize("lost", ["weights", "architecture", "names", "digest"])
    def test_parts_that_are_lost(self, path, lost):
        content = torch.load(path)
        del content[lost]
        torch.save(content, path)
        assert lost in self.refused(path)

    def test_weights_of_another_width(self, path):
        content = torch.load(path)
        content["architecture"]["arguments"]["width"] = 9
        torch.save(content, path)
        assert "do not fit together" in self.refused(path)

    @pytest.mark.parametrize("device", ["abacus", "meta"])
    def test_a_device_that_torch_cannot_use(self, path, device):
        with pytest.raises(SurrogateError, match=f"device is '{device}'.*give cpu or cuda"):
            load(path, device)


def test_the_package_names_it():
    assert surrogates.model.load is load
    assert surrogates.Model is surrogates.model.Model
