"""Images: IDX files as they are read back, splits without leaks, and what is said of files that are not whole."""

import gzip

import idx_files
import numpy as np
import pytest

from experiments.errors import StudyError
from experiments.papers import images


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_are_read_as_they_were_written(tmp_path, zipped):
    home = idx_files.write(tmp_path, zipped=zipped)
    (one,) = images.found(tmp_path)
    pixels, labels = images.digits().train
    np.testing.assert_array_equal(one.train[0], pixels[:240] * 15)
    np.testing.assert_array_equal(one.test[1], labels[240:300])
    assert one.name == "MNIST"
    shape = images.read_idx(home / f"t10k-images-idx3-ubyte{'.gz' * zipped}", 3).shape
    assert shape == (60, 8, 8)


def test_the_digest_is_of_the_images_and_not_of_their_storage(tmp_path):
    idx_files.write(tmp_path / "plain")
    idx_files.write(tmp_path / "zipped", zipped=True)
    idx_files.write(tmp_path / "fewer", training=230)
    plain, zipped, fewer = (
        images.load("mnist", tmp_path / name).digest for name in ("plain", "zipped", "fewer")
    )
    assert plain == zipped != fewer


def test_a_folder_may_have_one_data_set_or_both(tmp_path):
    idx_files.write(tmp_path, "fashion-mnist")
    assert [one.key for one in images.found(tmp_path)] == ["fashion-mnist"]
    idx_files.write(tmp_path, "mnist")
    assert [one.key for one in images.found(tmp_path)] == ["mnist", "fashion-mnist"]
    assert [one.key for one in images.found(None)] == ["digits"]


def test_a_folder_without_images_is_told(tmp_path):
    with pytest.raises(
        StudyError, match=r"found no train-images-idx3-ubyte .*MNIST/raw and .*FashionMNIST/raw; give"
    ):
        images.found(tmp_path)
    with pytest.raises(StudyError, match="MNIST is not in"):
        images.load("mnist", tmp_path)


DAMAGED = {
    "empty": (b"", "begins with nothing, expected 00000803"),
    "labels": (idx_files.idx([1, 2]), "begins with 00000801, expected 00000803"),
    "signed": (b"\0\0\x09\x03" + bytes(12), "begins with 00000903"),
    "header": (b"\0\0\x08\x03" + bytes(5), "ends within its header, after 9 of 16 bytes"),
    "shape": (idx_files.idx(np.zeros((2, 0, 3))), r"has the shape \(2, 0, 3\)"),
    "large": (b"\0\0\x08\x03" + b"\x7f\xff\xff\xff" * 3, "expected positive lengths"),
    "short": (idx_files.idx(np.zeros((2, 3, 3)))[:-1], "has 33 bytes, expected 34"),
    "long": (idx_files.idx(np.zeros((2, 3, 3))) + b"\0", "has 35 bytes, expected 34"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_told_in_a_sentence(tmp_path, case):
    content, said = DAMAGED[case]
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(StudyError, match=said) as failure:
        images.read_idx(tmp_path / "file", 3)
    assert str(failure.value).startswith(str(tmp_path / "file"))
    assert str(failure.value).endswith("fetch the file again.")


@pytest.mark.parametrize("damage", ["not gzip", "cut", "garbled"])
def test_a_damaged_archive_is_told(tmp_path, damage):
    whole = gzip.compress(idx_files.idx(np.arange(180).reshape(20, 3, 3)))
    content = {"not gzip": b"x" * 40, "cut": whole[:-12], "garbled": whole[:12] + b"\xff" * 9 + whole[21:]}[
        damage
    ]
    (tmp_path / "file.gz").write_bytes(content)
    with pytest.raises(StudyError, match=r"file\.gz: cannot be read"):
        images.read_idx(tmp_path / "file.gz", 3)


def test_files_that_do_not_fit_each_other_are_told(tmp_path):
    home = idx_files.write(tmp_path)
    labels, tests = home / "train-labels-idx1-ubyte", home / "t10k-images-idx3-ubyte"
    kept = labels.read_bytes()
    labels.write_bytes(idx_files.idx(np.zeros(239)))
    with pytest.raises(StudyError, match="240 images and 239 labels"):
        images.found(tmp_path)
    labels.write_bytes(idx_files.idx(np.full(240, 10)))
    with pytest.raises(StudyError, match="has the label 10; expected 0 to 9"):
        images.found(tmp_path)
    labels.unlink()
    with pytest.raises(StudyError, match="train-labels-idx1-ubyte is missing"):
        images.found(tmp_path)
    labels.write_bytes(kept)
    tests.write_bytes(idx_files.idx(np.zeros((60, 7, 8))))
    with pytest.raises(StudyError, match=r"\(8, 8\) pixels, those for testing \(7, 8\)"):
        images.found(tmp_path)


def test_digits_are_split_by_seed_without_an_image_in_two_parts():
    whole = images.digits()
    marked = images.Images("digits", 1, (np.arange(1797)[:, None], whole.train[1]), None)
    parts = marked.split(3)
    seen = np.concatenate([x[:, 0] for x, _ in parts])
    np.testing.assert_array_equal(np.sort(seen), np.arange(1797))
    assert [len(y) for _, y in parts] == [1317, 120, 360]
    again, other = marked.split(3)[2][0], marked.split(4)[2][0]
    np.testing.assert_array_equal(again, parts[2][0])
    assert not np.array_equal(other, parts[2][0])


def test_parts_have_equal_shares_of_the_classes_and_values_from_zero_to_one():
    for x, y in images.digits().split(0):
        shares = np.bincount(y, minlength=10) / len(y)
        assert np.abs(shares - 0.1).max() < 0.01
        assert (x.min(), x.max(), x.dtype) == (0.0, 1.0, np.float32)


def test_a_test_set_of_its_own_is_the_test_set_of_every_seed(tmp_path):
    idx_files.write(tmp_path)
    (one,) = images.found(tmp_path)
    for seed in (0, 1):
        train, valid, test = one.split(seed)
        assert [len(y) for _, y in (train, valid, test)] == [220, 20, 60]
        np.testing.assert_array_equal(test[0], (one.test[0] / 255).astype(np.float32))
    assert (
        "holds 240 and 60 images for training and testing, not the 60,000 and 10,000" in one.unlike_standard
    )
    assert images.digits().unlike_standard == ""
