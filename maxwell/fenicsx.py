"""The finite-element libraries, imported once and in the order that works, and their kernel compiler made safe.

The wheel `dolfinx-solver-complex` brings DOLFINx with complex PETSc; `dolfinx_solver` must be imported before
`dolfinx` and `petsc4py`, since it puts their shared libraries on the path.  A conda installation of
`fenics-dolfinx` has no such module and needs none.
"""

import os
import sys
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

with suppress(ModuleNotFoundError):
    import dolfinx_solver  # noqa: F401

import petsc4py

# Unless told otherwise PETSc takes over the signals of the process, and turns Ctrl-C or `| head` into a crash.
petsc4py.init(["maxwell", "-no_signal_handler"])

import basix
import filelock
import numpy as np
import ufl
from dolfinx import fem, la, mesh
from mpi4py import MPI
from petsc4py import PETSc

from maxwell.errors import MaxwellError


@contextmanager
def _without(name):
    """Make a module look as if it were not installed."""
    known = sys.modules.get(name)
    sys.modules[name] = None  # what makes an import of it fail
    try:
        yield
    finally:
        del sys.modules[name]
        if known is not None:
            sys.modules[name] = known


# Where it finds llvmlite, dolfinx.fem.petsc loads PETSc once more for numba, its symbols for all to see: an h5py
# that is imported later takes PETSc's HDF5 for its own, of another version, and fails.
with _without("llvmlite"):
    import dolfinx.fem.petsc

if not np.issubdtype(PETSc.ScalarType, np.complexfloating):
    raise MaxwellError(
        "PETSc was built for real numbers, and time-harmonic fields are complex; install "
        "dolfinx-solver-complex from PyPI, or with conda fenics-dolfinx with petsc=*=complex*."
    )

__all__ = ["MPI", "PETSc", "basix", "compiled", "dolfinx", "fem", "kernel_folder", "la", "mesh", "ufl"]


def kernel_folder() -> Path:
    """Where compiled element kernels are kept between runs: below XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maxwell-inverse" / "kernels"


def compiled(form, comm):
    """A UFL form as a DOLFINx form for complex numbers, its kernel compiled unless it is known already.

    The compiler claims a kernel by creating its source file, and others wait for it, ten seconds at most: a
    process killed in between would block every later run, and a slow one would fail its neighbours.  Here
    one process at a time compiles, under a lock that dies with it, in a folder of our own, where a source
    without its mark of completion is therefore left over from a kill and removed.
    """
    folder = kernel_folder()
    folder.mkdir(parents=True, exist_ok=True)
    # Of several ranks the first compiles and the others wait for it, so they must not wait for the lock.
    with filelock.FileLock(folder / "lock") if comm.rank == 0 else nullcontext():
        if comm.rank == 0:
            for source in folder.glob("*.c"):
                if not source.with_suffix(".c.cached").exists():
                    source.unlink()
        return fem.form(form, dtype=PETSc.ScalarType, jit_options={"cache_dir": str(folder)})
