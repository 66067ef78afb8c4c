"""One sample solved by several ranks gives what one process gives, on every rank."""

import os
import subprocess
import sys
from pathlib import Path

import mpi_conductivity
import numpy as np
import pytest

from maxwell.fenicsx import MPI

RANKS = 2


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Results of every rank of an own `mpiexec`, the one that belongs to this interpreter's MPI."""
    folder = tmp_path_factory.mktemp("ranks")
    mpiexec = Path(sys.executable).with_name("mpiexec")
    run = subprocess.run(
        [
            mpiexec,
            "-n",
            str(RANKS),
            sys.executable,
            "-W",
            "error::RuntimeWarning",
            mpi_conductivity.__file__,
            folder,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(RANKS)]


@pytest.fixture(scope="module")
def alone():
    return mpi_conductivity.results(MPI.COMM_SELF)


def distance(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("mesh", range(len(mpi_conductivity.MESHES)))
def test_several_ranks_give_the_data_and_jacobian_of_one(several, alone, mesh):
    for rank in several:
        for name in (f"data{mesh}", f"jacobian{mesh}", f"background{mesh}"):
            assert distance(rank[name], alone[name]) < 1e-9


def test_the_ranks_share_the_unknowns_and_have_the_same_data(several):
    assert all(0.2 < rank["share"] < 0.8 for rank in several)
    assert sum(rank["share"] for rank in several) == pytest.approx(1)
    first, *others = several
    for other in others:
        assert other["data0"].tobytes() == first["data0"].tobytes()


def test_power_balances_on_several_ranks(several):
    for rank in several:
        assert max(rank[f"energy{k}"] for k in range(len(mpi_conductivity.MESHES))) < 1e-10


def test_block_low_rank_solver_on_several_ranks(several, alone):
    for rank in several:
        assert distance(rank["iterated"], alone["data0"][0]) < 1e-8


def test_bad_input_is_refused_on_every_rank(several):
    assert all("inside the box" in str(rank["refused"]) for rank in several)
