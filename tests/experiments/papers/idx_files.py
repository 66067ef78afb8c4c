"""IDX files of images that the tests make of scikit-learn's digits."""

import gzip

import numpy as np

from experiments.papers.images import FOLDERS, digits


def idx(array):
    array = np.asarray(array, np.uint8)
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def write(folder, key="mnist", training=240, testing=60, zipped=False):
    """Digits in the layout of torchvision's cache; returns the folder of the four files."""
    (pixels, labels), home = digits().train, folder / FOLDERS[key] / "raw"
    home.mkdir(parents=True)
    pixels = pixels.reshape(-1, 8, 8) * 15
    for name, part in (("train", slice(training)), ("t10k", slice(training, training + testing))):
        for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            content = idx(array[part])
            file = home / f"{name}-{kind}-ubyte{'.gz' * zipped}"
            file.write_bytes(gzip.compress(content) if zipped else content)
    return home
