"""Generation as others meet it: any number of workers, killed at any point, run again."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from folders import contents

import data

PATIENCE = 60  # seconds until a process that should have done something is given up


@pytest.mark.parametrize(("workers", "shard"), [(2, 1), (1, 100)])
def test_the_bits_depend_neither_on_the_workers_nor_on_the_shards(
    recipe_file, dataset, tmp_path, workers, shard
):
    """Beside the data set of the test process, in shards of four."""
    ds = data.generate(recipe_file, tmp_path / "again", workers, overrides={"store.shard": shard})
    assert ds.digest() == dataset.digest()


def test_samples_do_not_depend_on_how_many_are_asked_for(recipe_file, dataset, here, tmp_path):
    fewer = {"splits.train.samples": 3, "splits.test.samples": 3, "splits.valid.samples": 1}
    ds = data.generate(recipe_file, tmp_path / "fewer", 1, overrides=fewer, executor=here)
    for name in ds.splits:
        few, all_ = ds.split(name), dataset.split(name)
        assert few.observations.tobytes() == all_.observations[: len(few)].tobytes()
        assert few.parameters.tobytes() == all_.parameters[: len(few)].tobytes()


def test_progress_counts_to_the_end_and_a_finished_data_set_is_left_alone(
    recipe_file, dataset, here, tmp_path
):
    folder, seen = tmp_path / "watched", []
    data.generate(recipe_file, folder, 1, progress=seen.append, executor=here)
    stages = [event.stage for event in seen]
    assert (stages[0], stages[-1]) == ("prepare", "solve")
    assert stages == sorted(stages)  # prepared, with a sign of life now and then, and only then solved
    assert [event.done for event in seen] == sorted(event.done for event in seen)
    assert (seen[0].done, seen[-1].done, seen[-1].left) == (0, 24, 0)
    (folder / "shards" / "train-00002.h5").unlink()
    before, seen = contents(folder), []
    data.generate(recipe_file, folder, 1, progress=seen.append, executor=here)
    solved = [event for event in seen if event.stage == "solve"]
    assert [(event.done, event.kept) for event in solved] == [(20, 20), (24, 20)]
    assert before.items() <= contents(folder).items()
    before, seen = contents(folder), []
    data.generate(recipe_file, folder, 1, overrides={"store.shard": 5}, progress=seen.append)
    assert (seen, contents(folder)) == ([], before)


# -- stopped, however roughly ---------------------------------------------------------------------------

# A script without a main guard, as a user writes it. It stands still once HOLD samples are in the folder.
SCRIPT = """
import multiprocessing, signal, sys, time
import data
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background inherit that it is ignored
recipe, out, hold = sys.argv[1], sys.argv[2], int(sys.argv[3])
def watch(event):
    if event.done >= hold:
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        while True:  # in slices: a signal that comes just before a wait would only be seen after it
            time.sleep(0.1)
data.generate(recipe, out, 2, overrides={"store.shard": 1}, progress=watch)
"""


@pytest.fixture
def start(recipe_file, tmp_path):
    """Starts a generation in a process group of its own, and ends it for good after the test."""
    script, started = tmp_path / "script.py", []
    script.write_text(SCRIPT)

    def start(out, hold):
        command = [sys.executable, str(script), str(recipe_file), str(out), str(hold)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("shards", "hold"), [(1, 10**6), (5, 5)])
def test_killed_with_all_its_workers_a_generation_continues_and_ends_the_same(
    start, recipe_file, dataset, here, tmp_path, shards, hold
):
    out = tmp_path / "killed"
    process = start(out, hold)
    wait_for(lambda: len(list(out.glob("shards/*.h5"))) >= shards)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = contents(out)
    assert len(kept) >= shards
    ds = data.generate(recipe_file, out, 1, executor=here)
    assert ds.digest() == dataset.digest()
    assert kept.items() <= contents(out).items()
    assert len(contents(out)) == 24  # the folder keeps the shard size it was started with
    assert not list(out.rglob("*.part"))


def test_workers_end_with_their_parent_and_a_second_generator_is_refused(start, recipe_file, tmp_path):
    out = tmp_path / "held"
    process = start(out, 2)
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert len(workers) == 2
    with pytest.raises(data.DataError, match=r"held: another process is generating into this folder"):
        data.generate(recipe_file, out, 1)
    process.kill()
    process.wait()
    wait_for(lambda: not any(map(alive, workers)))


def test_ctrl_c_ends_parent_and_workers_at_once_and_keeps_what_is_finished(start, tmp_path):
    process = start(tmp_path / "interrupted", 2)
    workers = [int(pid) for pid in process.stdout.readline().split()]
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, complaints = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGINT
    assert complaints.count(b"Traceback") == 1  # the caller's own; the workers are silent
    wait_for(lambda: not any(map(alive, workers)))
    assert len(data.open(tmp_path / "interrupted", partial=True)) >= 2


def test_a_killed_worker_is_told_in_one_sentence_and_the_rest_is_kept(recipe_file, dataset, here, tmp_path):
    def kill(event):
        if event.stage == "solve" and event.done >= 2:
            for child in multiprocessing.active_children():
                child.kill()

    out = tmp_path / "orphaned"
    with pytest.raises(
        data.DataError, match=r"a worker process died, .* of 24 samples are kept: run the same"
    ):
        data.generate(recipe_file, out, 1, overrides={"store.shard": 1}, progress=kill)
    kept = contents(out)
    assert kept
    assert data.generate(recipe_file, out, 1, executor=here).digest() == dataset.digest()
    assert kept.items() <= contents(out).items()


# -- refused --------------------------------------------------------------------------------------------

SMALL_DISK = """
import resource, sys
import data
def watch(event):
    if event.done >= 8:  # from now on this process can write no file as large as a shard
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    data.generate(sys.argv[1], sys.argv[2], 1, progress=watch)
except data.DataError as error:
    print(error)
"""


def test_a_disk_that_refuses_is_told_and_a_later_run_continues(recipe_file, dataset, here, tmp_path):
    out = tmp_path / "full"
    command = [sys.executable, "-c", SMALL_DISK, str(recipe_file), str(out)]
    message = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "full: cannot be written" in message
    assert "finished shards are kept" in message
    assert not list(out.rglob("*.part"))
    assert len(contents(out)) >= 2
    assert data.generate(recipe_file, out, 1, executor=here).digest() == dataset.digest()


def test_a_place_where_no_folder_can_be_is_told_in_one_sentence(recipe_file, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(data.DataError, match=r"cannot be written \(Not a directory\)"):
        data.generate(recipe_file, tmp_path / "file" / "out", 1)


def test_the_folder_of_another_recipe_is_refused_naming_the_difference(recipe_file, dataset):
    with pytest.raises(
        data.DataError, match=r"another recipe \(splits.train.samples is 12 there and 13 here\)"
    ):
        data.generate(recipe_file, dataset.path, overrides={"splits.train.samples": 13})
    with pytest.raises(data.DataError, match=r"\(problem.frequency is 23900000.0 there and 1000000.0 here\)"):
        data.generate(recipe_file, dataset.path, overrides={"problem.frequency": 1e6})


def test_a_folder_without_a_shard_belongs_to_no_recipe(recipe_file, dataset, here, tmp_path):
    """A recipe that failed before its first sample must not keep the folder from the corrected one."""
    with pytest.raises(data.DataError, match="cannot be discretised"):
        data.generate(recipe_file, tmp_path / "out", 1, overrides={"mesh.cells": "six"}, executor=here)
    assert data.generate(recipe_file, tmp_path / "out", 1, executor=here).digest() == dataset.digest()


def test_a_mesh_that_the_physics_refuses_is_told_in_one_sentence(recipe_file, tmp_path):
    with pytest.raises(
        data.DataError, match=r'mesh {.*"cells":"six",.*cannot be discretised: .*cells'
    ) as caught:
        data.generate(recipe_file, tmp_path / "refused", 1, overrides={"mesh.cells": "six"})
    assert "\n" not in str(caught.value)


# -- samples that fail ----------------------------------------------------------------------------------

STRONG = {"problem.prior": {"contrast": [1.0, 100.0]}}  # of which balls take a log-contrast of at most 50


def test_a_sample_that_fails_is_recorded_with_its_reason_left_out_and_blocks_nothing(
    recipe_file, here, tmp_path
):
    with pytest.warns(data.FailedSamplesWarning, match="samples could not be solved and are left out"):
        ds = data.generate(recipe_file, tmp_path / "strong", 1, overrides=STRONG, executor=here)
    assert 0 < ds.failed == len(ds.failures) < 24
    assert len(ds) == 24 - ds.failed == len(ds.observations) == len(ds.parameters)
    assert any("expected them from -50 to 50" in failure.reason for failure in ds.failures)
    gone = {(failure.split, failure.index) for failure in ds.failures}
    kept = [(name, index) for name in ds.splits for index in ds.split(name).indices.tolist()]
    assert gone.isdisjoint(kept)
    assert len(gone) + len(kept) == 24
    assert np.isfinite(ds.observations).all()
    rows = np.arange(len(ds))[::-2]
    np.testing.assert_array_equal(ds.take(rows).observations, ds.observations[rows])


def test_failed_samples_are_tried_again_on_request_alone(recipe_file, dataset, here, tmp_path):
    """A failure that a better program mends: the shard takes its place under its own name."""
    out = tmp_path / "mended"
    shutil.copytree(dataset.path, out)
    folder = data.store.Folder(out)
    manifest = folder.read_manifest()
    shard = data.store.shard_of(manifest.recipe, "train", 1)
    file = folder.opened(manifest, shard)
    arrays = {array.name: file.array(array.name).copy() for array in data.schema.ARRAYS}
    arrays["status"][2], arrays["failure"][2], arrays["observations"][2] = 1, b"no luck", np.nan
    assert folder.write_shard(manifest, shard, arrays, {}, {}) == 1
    assert (out / "shards" / "train-00001.1-failed.h5").exists()
    assert not (out / "shards" / "train-00001.h5").exists()
    with pytest.warns(
        data.FailedSamplesWarning, match="1 samples .* sample 6 of split train, seed .*: no luck"
    ):
        ds = data.generate(recipe_file, out, 1, executor=here)
    assert (len(ds), ds.failed, ds.split("valid").failed) == (23, 1, 0)
    ds = data.generate(recipe_file, out, 1, retry=True, executor=here)
    assert (ds.digest(), ds.failed) == (dataset.digest(), 0)
    assert not list(out.rglob("*-failed*"))


def test_workers_and_overrides_that_make_no_sense_are_refused(recipe_file, tmp_path):
    with pytest.raises(data.DataError, match=r"workers: expected a whole number from 1 to .*, given 0"):
        data.generate(recipe_file, tmp_path / "none", 0)
    with pytest.raises(data.DataError, match="out: expected a folder"):
        data.generate(recipe_file, "")
    with pytest.raises(data.DataError, match="overrides: go with a recipe's file"):
        data.generate(data.recipe.load(recipe_file), tmp_path / "none", overrides={"seed": 1})
