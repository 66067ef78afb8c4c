"""Executors: the same bits, exceptions and ends in local processes, MPI ranks and Dask workers."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from pathlib import Path

import dask.config
import distributed
import executor_tasks as tasks
import mpi_executor
import pytest
import threadpoolctl

from data import DataError, executors
from data.executors.threads import tell_of_kinds

PATIENCE = 60  # seconds until something that should have come is given up
RANKS = 3


@pytest.fixture(scope="module")
def cluster():
    """Two Dask workers of two threads each, as a user may have them; a task may cost two workers, no more."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=":0") as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module", params=["local", "dask"])
def executor(request):
    """One of two workers, of either kind."""
    if request.param == "local":
        opened = executors.local(2)
    else:
        opened = executors.dask(request.getfixturevalue("cluster").scheduler_address)
    with opened as executor:
        yield executor


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return executors.serially(tasks.observations, tmp_path_factory.mktemp("here"))


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# -- laws of every executor -----------------------------------------------------------------------------


def test_a_sample_has_the_same_bits_wherever_it_is_computed(executor, expected, tmp_path):
    assert executor.submit(tasks.observations, tmp_path).result(PATIENCE) == expected


def test_an_executor_computes_in_other_processes_with_one_thread_and_tells_how_many(executor):
    assert executors.width(executor) == 2
    assert executor.submit(tasks.process).result(PATIENCE) != os.getpid()
    assert executor.submit(tasks.threads).result(PATIENCE) == {1}


def test_an_exception_of_a_task_comes_out_of_its_future(executor):
    error = executor.submit(tasks.refuse, "a sentence").exception(PATIENCE)
    assert (type(error), str(error)) == (DataError, "a sentence")


def test_an_executor_of_another_kind_has_no_width():
    with pytest.raises(DataError, match=r"expected one from executors.local, mpi or dask, given object"):
        executors.width(object())


def test_serially_holds_threads_and_environment_and_gives_them_back(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    with threadpoolctl.threadpool_limits(2):
        assert tasks.threads() != {1}
        assert executors.serially(tasks.threads) == {1}
        assert tasks.threads() != {1}


def test_workers_of_different_kinds_are_told_of_and_those_of_one_kind_are_not(recwarn):
    tell_of_kinds(["Haswell", "Haswell"])
    assert not recwarn
    with pytest.warns(UserWarning, match=r"different kinds \(Haswell, SkylakeX\)"):
        tell_of_kinds(["SkylakeX", "Haswell", "SkylakeX"])


def test_a_local_worker_that_dies_in_the_midst_of_an_answer_breaks_the_executor(tmp_path):
    with executors.local(2) as executor:
        held = executor.submit(tasks.hold, tmp_path / "begun", tmp_path / "never")
        wait_for((tmp_path / "begun").exists)
        worker = int((tmp_path / "begun").read_text())
        assert isinstance(executor.submit(tasks.die_in_mid_word).exception(PATIENCE), BrokenExecutor)
        assert isinstance(held.exception(PATIENCE), BrokenExecutor)
        with pytest.raises(BrokenExecutor):
            executor.submit(divmod, 7, 2)
        wait_for(lambda: not alive(worker))


# -- MPI ------------------------------------------------------------------------------------------------


@pytest.fixture
def under_mpiexec():
    """Starts `mpi_executor` on so many ranks, and ends for good after the test what is left of them."""
    started = []

    def start(ranks, what, folder):
        mpiexec = Path(sys.executable).with_name("mpiexec")
        run = subprocess.Popen(
            [mpiexec, "-n", str(ranks), sys.executable, mpi_executor.__file__, what, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(run)
        return run

    yield start
    for run in started:
        run.kill()  # and its ranks with it, in whatever they are caught
        run.communicate()


def test_ranks_compute_the_same_bits_and_raise_the_same_exceptions(under_mpiexec, expected, tmp_path):
    run = under_mpiexec(RANKS, "compute", tmp_path)
    printed, complaints = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, complaints
    assert json.loads(printed) == {
        "ranks": RANKS,
        "width": RANKS - 1,
        "observations": [[part.hex() for part in expected]] * (RANKS - 1),
        "threads": [1],
        "refused": "DataError('a sentence')",
    }
    assert complaints.split() == ["computed"] * (RANKS - 1)


@pytest.mark.parametrize(("what", "status"), [("fail", 1), ("interrupt", 130)])
def test_ranks_end_with_rank_0_whatever_they_are_computing(under_mpiexec, what, status, tmp_path):
    run = under_mpiexec(2, what, tmp_path)
    assert run.stdout.readline() == "held\n"
    if what == "interrupt":
        run.send_signal(signal.SIGINT)
    _, complaints = run.communicate(timeout=PATIENCE)
    assert run.returncode in (status, signal.SIGALRM)  # the second where the orderly end did not come about
    if what == "fail":
        assert complaints.startswith("a sentence\n")
    assert complaints.count("Traceback") == (what == "interrupt")  # that of rank 0 alone
    wait_for(lambda: not any(alive(begun.read_text()) for begun in tmp_path.glob("begun*")))


def test_one_rank_is_refused_and_local_workers_do_as_well_there(under_mpiexec, expected, tmp_path):
    run = under_mpiexec(1, "alone", tmp_path)
    printed, complaints = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, complaints
    found = json.loads(printed)
    assert found["refused"].startswith("mpi: given 1 rank, expected at least 2")
    assert found["observations"] == [part.hex() for part in expected]


@pytest.mark.parametrize(
    ("variables", "ranks"),
    [
        ({}, 1),
        ({"PMI_RANK": "0", "PMI_SIZE": "3"}, 3),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, 4),
        ({"PMIX_RANK": "1", "SLURM_STEP_NUM_TASKS": "5"}, 5),
        ({"SLURM_STEP_NUM_TASKS": "5"}, 1),  # srun without MPI: five runs of their own
        ({"PMI_SIZE": "many"}, 1),
    ],
)
def test_the_environment_tells_the_number_of_ranks(monkeypatch, variables, ranks):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert executors.ranks() == ranks


def test_the_launcher_of_another_mpi_is_told(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    with pytest.raises(DataError, match="the launcher started 4 ranks, but to this MPI each is alone"):
        executors.mpi().__enter__()


# -- Dask -----------------------------------------------------------------------------------------------


def test_a_worker_of_several_threads_computes_one_task_at_a_time(cluster):
    with executors.dask(cluster.scheduler_address) as executor:
        asked = {executor.submit(tasks.company) for _ in range(8)}
        seen = set()
        while asked:
            done, asked = wait(asked, PATIENCE, return_when=FIRST_COMPLETED)
            assert done
            seen |= {future.result() for future in done}
    assert seen == {1}


def test_the_task_of_a_dead_worker_is_computed_by_another(cluster, tmp_path):
    with executors.dask(cluster.scheduler_address) as executor:
        assert executor.submit(tasks.die, 1, tmp_path).result(PATIENCE) == 1


def test_a_task_that_costs_one_worker_after_another_breaks_the_executor(cluster, tmp_path):
    with executors.dask(cluster.scheduler_address) as executor:
        assert isinstance(executor.submit(tasks.die, 100, tmp_path).exception(PATIENCE), BrokenExecutor)


def test_leaving_by_an_exception_waits_for_nothing(cluster, tmp_path):
    released = tmp_path / "released"
    with (  # noqa: PT012
        pytest.raises(KeyboardInterrupt),
        executors.dask(cluster.scheduler_address) as executor,
    ):
        held = [executor.submit(tasks.hold, tmp_path / f"begun{k}", released) for k in range(20)]
        wait_for(lambda: list(tmp_path.glob("begun*")))
        raise KeyboardInterrupt
    released.touch()  # the workers have begun some, and run them to their end
    assert 0 < len(list(tmp_path.glob("begun*"))) < len(held)


def test_a_cancelled_task_is_done_and_dropped(cluster, tmp_path):
    with executors.dask(cluster.scheduler_address) as executor:
        held = [executor.submit(tasks.hold, tmp_path / f"{k}", tmp_path / "released") for k in range(20)]
        assert all(future.cancel() for future in held)
        assert wait(held, PATIENCE).not_done == set()
        (tmp_path / "released").touch()
        assert executor.submit(divmod, 7, 2).result(PATIENCE) == (3, 1)


CLUSTER = """
import sys
import distributed
if sys.argv[1:] == ["bare"]:
    sys.modules["data"] = None  # as if not installed
with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=":0", protocol="tcp") as cluster:
    print(cluster.scheduler_address, flush=True)
    input()
"""


@pytest.fixture
def start_cluster():
    """Starts a cluster of one worker in a process of its own; gives the process and the address."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        )
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_scheduler_that_goes_away_breaks_the_executor(start_cluster, tmp_path, capfd):
    process, address = start_cluster()
    with executors.dask(address) as executor:
        held = executor.submit(tasks.hold, tmp_path / "begun", tmp_path / "never")
        wait_for((tmp_path / "begun").exists)
        process.kill()
        assert isinstance(held.exception(PATIENCE), BrokenExecutor)
        with pytest.raises(BrokenExecutor):
            executor.submit(divmod, 7, 2)
        with pytest.raises(BrokenExecutor):
            executors.width(executor)
    assert capfd.readouterr().err == ""


def test_workers_that_lack_this_package_are_told(start_cluster):
    _, address = start_cluster("bare")
    with pytest.raises(
        DataError, match=r"has workers that cannot run this package \(.*data.*\); install there"
    ):
        executors.dask(address).__enter__()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("tcp://127.0.0.1:1", r"no scheduler answers at tcp://127.0.0.1:1 \(.*such as tcp://host:8786\.$"),
        ("nowhere", r"no scheduler answers at nowhere \("),
        ("cloud://host:1", r"no scheduler answers at cloud://host:1 \(.*unknown address scheme"),
    ],
)
def test_a_scheduler_that_does_not_answer_is_told(address, sentence, capfd):
    with pytest.raises(DataError, match=sentence):
        executors.dask(address, patience=0.2).__enter__()
    assert capfd.readouterr().err == ""


def test_a_cluster_without_workers_is_told():
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0") as cluster,
        pytest.raises(DataError, match="has no worker; start one with `dask worker tcp://"),
    ):
        executors.dask(cluster.scheduler_address, patience=0.2).__enter__()


def test_where_distributed_is_missing_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DataError, match=r'pip install "maxwell-inverse\[dask\]"'):
        executors.dask("tcp://127.0.0.1:1").__enter__()
