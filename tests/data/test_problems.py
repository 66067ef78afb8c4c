"""Every problem through the pipeline: what is stored is what its forward map says of the recipe's seeds."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import threadpoolctl

import data
import maxwell

PATCHES = {"kind": "cauchy", "modes": 6}
CELLS = {"kind": "magnetisation", "sensors": 2}
DIPOLES = {"kind": "magnetisation", "sensors": 2, "parametrisation": {"kind": "dipoles", "radius": 0.25}}
DIPOLES["prior"] = {"kind": "magnetic_dipoles", "reach": 0.2}
VOXELS = {"kind": "conductivity", "parametrisation": {"kind": "voxels", "nx": 2, "ny": 2, "nz": 2}}


def recipe(problem, samples, **mesh):
    splits = {"train": {"samples": samples}, "valid": {"samples": 1}}
    return {"seed": 3, "problem": problem, "mesh": mesh, "splits": splits, "store": {"shard": 4}}


def generate(folder, problem, samples, *, workers=None, refactorise=False, **mesh):
    """By so many workers, or in the test process."""
    made = data.recipe.parse(recipe(problem, samples, **mesh))
    if workers:
        return data.generate(made, folder, workers, refactorise=refactorise)
    with ThreadPoolExecutor(1) as here:
        return data.generate(made, folder, 1, executor=here, refactorise=refactorise)


def direct(ds, prepare=False):
    """Parameters and observations of the training samples from the recipe's seeds, without the pipeline."""
    with threadpoolctl.threadpool_limits(1):  # as in the workers: the order of a sum depends on the threads
        forward = ds.problem.discretise(**ds.mesh)
        if prepare:
            forward.prepare()
        streams = [
            data.seeds.parameter_stream(data.seeds.sample_seed(3, "train", i))
            for i in ds.split("train").indices
        ]
        thetas = np.stack([ds.problem.prior.sample(stream, 1)[0] for stream in streams])
        return thetas, np.stack([forward(theta) for theta in thetas])


@pytest.mark.parametrize(
    ("problem", "mesh", "parameters", "observations", "unit"),
    [
        (PATCHES, {"cells": 4, "degree": 2}, np.complex128, np.complex128, "V"),
        (CELLS, {"cells": 6, "degree": 1}, np.float64, np.float64, "T"),
        (DIPOLES, {"cells": 8, "degree": 1}, np.float64, np.float64, "T"),
        (VOXELS, {"cells": 4, "degree": 1, "cell": "hexahedron"}, np.float64, np.complex128, "V/m"),
    ],
)
def test_samples_are_those_of_the_forward_map_and_of_the_kind_that_it_gives(
    tmp_path, problem, mesh, parameters, observations, unit
):
    folder = tmp_path / "set"
    ds = generate(folder, problem, 5, **mesh)
    assert not (folder / "blocks").exists()  # few samples of a mesh prepare nothing
    thetas, values = direct(ds)
    ds = ds.split("train")
    assert (ds.parameters.dtype, ds.observations.dtype) == (parameters, observations)
    np.testing.assert_array_equal(ds.parameters, thetas)
    np.testing.assert_array_equal(ds.observations, values)
    assert (ds.observation_unit, ds.names) == (unit, tuple(p.name for p in ds.problem.parameters))
    assert ds.problem == maxwell.problem_from(problem)
    assert ds.records["residual"].max() < 1e-8
    assert not ds.records["error"].any()
    assert (ds.records["seconds"] > 0).all()
    noise = ds.observe(0.1) - ds.observations
    assert noise.dtype == observations
    size = 0.1 * ds.noise_reference
    assert np.sqrt(np.mean(np.abs(noise) ** 2)) == pytest.approx(size, rel=4 / np.sqrt(noise.size))
    (folder / "shards" / "valid-00000.h5").unlink()
    nothing = data.open(folder, partial=True).split("valid").parameters
    assert (nothing.shape, nothing.dtype) == ((0, len(ds.names)), parameters)


# -- the fast path --------------------------------------------------------------------------------------

BALL = {"kind": "conductivity"}
MANY = 33  # samples of one mesh, from which on it is prepared


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Read only."""
    return generate(tmp_path_factory.mktemp("prepared") / "set", BALL, MANY, cells=3, degree=1)


def test_a_mesh_of_many_samples_is_solved_by_the_fast_path_and_says_so(prepared):
    assert set(prepared.records["method"]) == {"low-rank update"}
    assert not (prepared.path / "blocks").exists()  # with the last sample it has served
    assert 0 < prepared.records["error"].max() < 1e-8
    assert prepared.records["reciprocity"].max() < 1e-8
    prepared = prepared.split("train")
    thetas, slow = direct(prepared)
    np.testing.assert_array_equal(prepared.parameters, thetas)
    off = np.linalg.norm(prepared.observations - slow, axis=1) / np.linalg.norm(slow, axis=1)
    assert off.max() < 1e-8
    np.testing.assert_array_equal(prepared.observations, direct(prepared, prepare=True)[1])


def test_the_bits_depend_neither_on_the_workers_nor_on_when_a_mesh_was_prepared(prepared, tmp_path):
    assert generate(tmp_path / "two", BALL, MANY, workers=2, cells=3, degree=1).digest() == prepared.digest()
    folder = shutil.copytree(prepared.path, tmp_path / "deleted")
    (folder / "shards" / "train-00003.h5").unlink()  # four samples alone would not be worth the preparation
    assert generate(folder, BALL, MANY, cells=3, degree=1).digest() == prepared.digest()


KILLED = """
import json, sys
import data
data.generate(data.recipe.parse(json.loads(sys.argv[1])), sys.argv[2], 2)
"""


def test_killed_while_it_prepares_a_generation_continues_and_ends_the_same(prepared, tmp_path):
    out = tmp_path / "killed"
    text = json.dumps(recipe(BALL, MANY, cells=3, degree=1))
    process = subprocess.Popen([sys.executable, "-c", KILLED, text, str(out)], start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(out.glob("blocks/*/*.npy")):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert generate(out, BALL, MANY, workers=1, cells=3, degree=1).digest() == prepared.digest()
    assert not (out / "blocks").exists()


def test_a_sample_that_leaves_the_region_is_solved_the_slow_way_and_told_in_its_record(tmp_path, capfd):
    low = {"kind": "ball_prior", "z": [0.3, 0.78]}
    ds = generate(tmp_path / "low", {**BALL, "prior": low}, MANY, workers=1, cells=3, degree=1)
    slow = np.strings.startswith(ds.records["method"], "refactorise")
    lowest = ds.parameters[:, 2] - ds.parameters[:, 3] - 0.05
    np.testing.assert_array_equal(slow, lowest < ds.problem.region[0, 2])
    assert 0 < slow.sum() < len(ds)
    assert "refactorising" not in capfd.readouterr().err


def test_a_mesh_that_cannot_be_prepared_stops_the_run_and_leaves_no_other_bits(prepared, tmp_path):
    out = tmp_path / "refused"
    out.mkdir()
    (out / "blocks").touch()  # no folder can be made here
    with pytest.raises(data.DataError, match=r"cannot be prepared: .*File exists.*--refactorise") as caught:
        generate(out, BALL, MANY, cells=3, degree=1)
    assert "\n" not in str(caught.value)
    assert not list(out.glob("shards/*.h5"))
    (out / "blocks").unlink()
    assert generate(out, BALL, MANY, cells=3, degree=1).digest() == prepared.digest()


@pytest.mark.slow
def test_if_asked_a_mesh_that_cannot_be_prepared_is_refactorised_and_the_user_is_told_once(
    prepared, tmp_path
):
    out = tmp_path / "refused"
    out.mkdir()
    (out / "blocks").touch()  # no folder can be made here
    with pytest.warns(maxwell.SlowPathWarning) as told:
        ds = generate(out, BALL, MANY, workers=2, refactorise=True, cells=3, degree=1)
    (sentence,) = [str(warning.message) for warning in told]
    assert re.search(
        r'"cells":3.* cannot be prepared: .*blocks \(File exists\).*refactorised.*1e-9', sentence
    )
    assert told[0].filename == __file__
    assert all(method.startswith("refactorise") for method in ds.records["method"])
    np.testing.assert_array_equal(ds.split("train").observations, direct(ds.split("train"))[1])
    off = np.linalg.norm(prepared.observations - ds.observations, axis=1)
    assert (off < 1e-8 * np.linalg.norm(ds.observations, axis=1)).all()


@pytest.mark.slow
def test_blocks_that_vanish_under_a_run_cost_time_and_no_sample(tmp_path):
    """A worker keeps two meshes: the blocks of a third are looked for again when its samples come."""
    meshes = [{"cells": 3, "degree": 1, "grading": g} for g in (0.0, 0.5)] + [{"cells": 4, "degree": 1}]
    names = ("train", "valid", "test")
    splits = {name: {"samples": MANY, "mesh": mesh} for name, mesh in zip(names, meshes, strict=True)}
    out, text = tmp_path / "vanished", recipe(BALL, MANY, cells=3, degree=1)

    def lose(event):
        if event.stage == "solve" and event.done == 0:
            shutil.rmtree(out / "blocks")
            (out / "blocks").touch()

    with pytest.warns(maxwell.SlowPathWarning, match="cannot be prepared: .*File exists"):
        ds = data.generate(
            data.recipe.parse({**text, "splits": splits}), out, 1, progress=lose, refactorise=True
        )
    slow = [np.strings.startswith(ds.split(name).records["method"], "refactorise") for name in names]
    assert [(s.any(), s.all()) for s in slow] == [(True, True), (True, True), (False, False)]
