"""Several generators on one folder, and a folder that refuses half-way: nothing finished is lost."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time

import pytest

import data

PATIENCE = 60  # seconds until a process that should have done something is given up

# Stands still once HOLD samples are in the folder, until the file OUT.go is there.
SCRIPT = """
import os, sys, time
from concurrent.futures import ThreadPoolExecutor
import data
recipe, out, part, hold = sys.argv[1:]
def watch(event):
    while event.done >= int(hold) and not os.path.exists(out + ".go"):
        time.sleep(0.05)
part = data.Part.of(part) if part else None
try:
    with ThreadPoolExecutor(1) as here:
        data.generate(recipe, out, 1, progress=watch, executor=here, part=part)
except data.DataError as error:
    sys.exit(str(error))
"""


def shards(folder):
    return {file.name: file.read_bytes() for file in sorted((folder / "shards").glob("*.h5"))}


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


@pytest.fixture
def start(recipe_file):
    """Starts a generation in a process group of its own, and ends it for good after the test."""
    started = []

    def start(out, part="", hold=10**6, preparation=None):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(recipe_file), str(out), part, str(hold)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=preparation,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()


def test_of_two_generators_started_together_one_is_refused_and_the_other_finishes(start, dataset, tmp_path):
    out = tmp_path / "rivals"
    rivals = [start(out, hold=24), start(out, hold=24)]  # the one that generates stands still at its end
    wait_for(lambda: any(process.poll() is not None for process in rivals))
    (refused,) = (process for process in rivals if process.poll() is not None)
    assert "another process is generating into this folder" in refused.communicate()[1]
    assert refused.returncode == 1
    wait_for(lambda: len(shards(out)) == 7)
    assert data.open(out).digest() == dataset.digest()


def test_a_part_that_is_killed_costs_its_neighbour_nothing(start, recipe_file, dataset, here, tmp_path):
    out = tmp_path / "parts"
    killed, other = start(out, "1/2", hold=4), start(out, "2/2")
    wait_for(lambda: any(out.glob("shards/*.h5")))
    wait_for(lambda: other.poll() is not None)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert other.returncode == 0
    kept = shards(out)
    assert 3 <= len(kept) < 7
    ds = data.generate(recipe_file, out, 1, part=data.Part(1, 2), executor=here)
    assert kept.items() <= shards(out).items()
    assert ds.digest() == data.open(out).digest() == dataset.digest()


def mind_permissions():
    """In a child of root, before it becomes the program: permissions count for it as for anybody."""
    if os.geteuid() == 0:
        drop, override, read_search = 24, 1, 2  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (override, read_search):
            if libc.prctl(drop, capability, 0, 0, 0):
                os._exit(99)


def test_a_folder_made_read_only_half_way_is_told_and_a_later_run_continues(
    start, recipe_file, dataset, here, tmp_path
):
    out = tmp_path / "closed"
    (out / "shards").mkdir(parents=True)
    process = start(out, hold=1, preparation=mind_permissions)
    wait_for(lambda: shards(out))
    (out / "shards").chmod(0o555)
    (tmp_path / "closed.go").touch()
    said = process.communicate(timeout=PATIENCE)[1]
    kept = shards(out)
    (out / "shards").chmod(0o755)
    assert process.returncode == 1
    assert "closed: cannot be written (Permission denied); make room or give another folder" in said
    assert "Traceback" not in said
    assert 1 <= len(kept) < 7
    assert data.generate(recipe_file, out, 1, executor=here).digest() == dataset.digest()
    assert kept.items() <= shards(out).items()
    assert not list(out.rglob("*.part"))
