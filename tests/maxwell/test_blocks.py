"""Precomputed blocks: kept on disk for whoever needs the same, and for nobody else; damage and want are told."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from agreement import distance

import maxwell
from maxwell import memory
from maxwell.paths import blocks
from maxwell.paths.blocks import Blocks, StaleBlocksWarning

STRONG = np.array([0.52, 0.47, 0.66, 0.12, 2.0])
SHAPES = {"green": ((40, 30), np.complex64), "potential": ((7,), np.float64)}


def fill(arrays):
    for array in arrays.values():
        array[:] = np.arange(array.size).reshape(array.shape)


def never(arrays):
    raise AssertionError("nothing should be computed")


def test_blocks_on_disk_serve_the_same_map_and_no_other(tmp_path):
    problem, mesh = maxwell.Conductivity(), {"cells": 3, "degree": 1}
    first = problem.discretise(**mesh)
    first.prepare(tmp_path)
    expected = first(STRONG)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npy")}
    again = problem.discretise(**mesh)
    again.prepare(tmp_path)
    assert np.array_equal(again(STRONG), expected)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npy")} == before
    others = [
        maxwell.Conductivity(background=0.05).discretise(**mesh),
        maxwell.Conductivity(frequency=20e6).discretise(**mesh),
        maxwell.Conductivity(permittivity=2.0).discretise(**mesh),
        problem.discretise(cells=3, degree=1, grading=0.5),
        problem.discretise(cells=3, degree=2),
    ]
    for number, other in enumerate(others, start=2):
        other.prepare(tmp_path)
        assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == number
        assert distance(other(STRONG), other.refactorising(STRONG)) < 2e-9


def test_blocks_of_other_versions_are_other_blocks(monkeypatch):
    def versions(known):
        def version(name):
            if name not in known:
                raise blocks.importlib.metadata.PackageNotFoundError(name)
            return known[name]

        monkeypatch.setattr(blocks.importlib.metadata, "version", version)
        return Blocks(None, "key").key

    name, compiler = blocks.DISTRIBUTIONS[0], blocks.DISTRIBUTIONS[-1]
    keys = [versions(known) for known in ({}, {name: "1"}, {name: "2"}, {name: "2", compiler: "2"})]
    assert len(set(keys)) == 4
    assert versions({name: "1", "numpy": "9"}) == keys[1]


@pytest.mark.parametrize("harm", ["flip", "truncate", "{", "[]", "null", "3", "kill"])
def test_damaged_blocks_are_noticed_and_computed_again(tmp_path, harm):
    expected = {
        name: array.copy() for name, array in Blocks(tmp_path, "key").get("path", SHAPES, fill).items()
    }
    green, manifest = next(tmp_path.rglob("green.npy")), next(tmp_path.rglob("manifest.json"))
    content = bytearray(green.read_bytes())
    if harm == "flip":
        content[-100] ^= 1
        green.write_bytes(content)
    elif harm == "truncate":
        green.write_bytes(content[:-64])
    elif harm == "kill":  # the process died before the manifest was written
        manifest.unlink()
    else:
        manifest.write_text(harm)
    with pytest.warns(StaleBlocksWarning, match="computing them again"):
        again = Blocks(tmp_path, "key").get("path", SHAPES, fill)
    assert all(np.array_equal(again[name], expected[name]) for name in SHAPES)
    Blocks(tmp_path, "key").get("path", SHAPES, never)


def test_a_forward_map_computes_damaged_blocks_again(tmp_path):
    problem, mesh = maxwell.Conductivity(), {"cells": 3, "degree": 1}
    forward = problem.discretise(**mesh)
    forward.prepare(tmp_path)
    expected = forward(STRONG)
    next(tmp_path.rglob("manifest.json")).unlink()
    again = problem.discretise(**mesh)
    with pytest.warns(StaleBlocksWarning, match="computing them again"):
        again.prepare(tmp_path)
    assert np.array_equal(again(STRONG), expected)


# -- no room --------------------------------------------------------------------------------------------


def test_blocks_that_do_not_fit_are_refused_before_any_work(tmp_path, monkeypatch):
    shapes = {"green": ((10**7, 10**7), np.complex64)}
    for folder, place in ((None, "memory"), (tmp_path, "disk")):
        with pytest.raises(maxwell.MaxwellError, match=rf"need .* GiB, and {place}.* free"):
            Blocks(folder, "key").get("low_rank", shapes, never)
    monkeypatch.setattr(memory, "available", lambda: 1e9)
    for folder in (None, tmp_path):
        with pytest.raises(maxwell.MaxwellError, match=r"need 0.93 GiB, and memory has 0.93 GiB free"):
            Blocks(folder, "key").get("low_rank", SHAPES, never, working=10**9)
        Blocks(folder, "key").get("low_rank", SHAPES, fill, working=8 * 10**8)
    Blocks(tmp_path, "key").get("low_rank", SHAPES, never, working=10**9)  # they are there


def test_a_disk_that_fills_up_is_told_before_any_work_and_nothing_stays(tmp_path, monkeypatch):
    def full(descriptor, offset, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(maxwell.MaxwellError, match=r"kept in .* \(No space left on device\): make room"):
            Blocks(tmp_path, "key").get("low_rank", SHAPES, never)
    assert not [p for p in tmp_path.iterdir() if p.is_dir()]
    Blocks(tmp_path, "key").get("low_rank", SHAPES, fill)


SMALL_FILES = """
import resource, sys
import numpy as np
import maxwell
from maxwell.paths.blocks import Blocks
resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5))
try:
    Blocks(sys.argv[1], "key").get("low_rank", {"green": ((200, 200), np.complex64)}, print)
except maxwell.MaxwellError as error:
    print(error)
"""


def test_a_system_that_allows_no_file_so_large_is_told_in_one_sentence(tmp_path):
    command = [sys.executable, "-c", SMALL_FILES, str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "cannot be kept in" in told
    assert "(File too large)" in told
    assert not [p for p in tmp_path.iterdir() if p.is_dir()]


@pytest.mark.parametrize("lack", [errno.EOPNOTSUPP, None])
def test_where_space_cannot_be_reserved_it_is_written(tmp_path, monkeypatch, lack):
    def refuse(descriptor, offset, size):
        raise OSError(lack, os.strerror(lack))

    if lack:
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    else:
        monkeypatch.delattr(os, "posix_fallocate")
    shapes = {"green": ((700, 700), np.float64)}

    def compute(arrays):
        file = next(tmp_path.rglob("green.npy")).stat()
        assert file.st_blocks * 512 >= file.st_size > 700 * 700 * 8
        assert not arrays["green"].any()
        fill(arrays)

    kept = Blocks(tmp_path, "key").get("low_rank", shapes, compute)
    assert np.array_equal(kept["green"].ravel(), np.arange(490000))


def test_an_interrupted_computation_leaves_nothing_behind(tmp_path):
    def interrupted(arrays):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Blocks(tmp_path, "key").get("low_rank", SHAPES, interrupted)
    assert not [p for p in tmp_path.iterdir() if p.is_dir()]


def test_a_folder_that_cannot_be_is_told_in_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    for folder, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "in", "Not a directory")):
        with pytest.raises(
            maxwell.MaxwellError, match=rf"cannot be kept in .* \({reason}\).*or give a folder"
        ):
            Blocks(folder, "key").get("low_rank", SHAPES, never)
