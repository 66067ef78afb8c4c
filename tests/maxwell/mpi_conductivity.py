"""What `test_mpi` runs on several ranks: data, Jacobian and power balance of one sample, written by each rank."""

import sys

import numpy as np

import maxwell
from maxwell import checks
from maxwell.fenicsx import MPI
from maxwell.solvers import BlockLowRank

THETAS = ([0.47, 0.55, 0.62, 0.11, 1.3], [0.25, 0.3, 0.3, 0.1, -1.0])
"""A ball in the region of interest, and one that leaves it and that some ranks have no part of."""

MESHES = (
    {"cells": 4, "degree": 1},
    {"cells": 3, "degree": 2},
    {"cells": 3, "degree": 2, "cell": "hexahedron", "grading": 1.0},
)
"""Kinds of discretisation that are compared."""


def results(comm) -> dict[str, np.ndarray]:
    """Data, Jacobians, background response and power mismatch on every mesh, with the ranks of `comm`."""
    found = {}
    for k, mesh in enumerate(MESHES):
        forward = maxwell.Conductivity().discretise(**mesh, comm=comm)
        linearised = [forward.linearise(theta) for theta in THETAS]
        found[f"data{k}"] = np.stack([data for data, _ in linearised])
        found[f"jacobian{k}"] = np.stack([jacobian for _, jacobian in linearised])
        found[f"background{k}"] = forward.background_response
        found[f"energy{k}"] = np.array(checks.energy_balance(forward, THETAS[0]))
    iterated = maxwell.Conductivity().discretise(**MESHES[0], comm=comm, recipe=BlockLowRank())
    found["iterated"] = iterated(THETAS[0])
    found["share"] = np.array(forward.space.owned / forward.dofs)
    return found


def refused(comm) -> str:
    """The sentence for a ball outside the box, which every rank must raise rather than wait for the others."""
    try:
        maxwell.Conductivity().discretise(**MESHES[0], comm=comm)([0.95, 0.5, 0.6, 0.1, 1.0])
    except maxwell.MaxwellError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    np.savez(
        f"{sys.argv[1]}/{MPI.COMM_WORLD.rank}.npz", refused=refused(MPI.COMM_WORLD), **results(MPI.COMM_WORLD)
    )
