"""The finite-element libraries, imported once and in the order that works.

The wheel `dolfinx-solver-complex` brings DOLFINx with complex PETSc; `dolfinx_solver` must be imported before
`dolfinx` and `petsc4py`, since it puts their shared libraries on the path.  A conda installation of
`fenics-dolfinx` has no such module and needs none.
"""

from contextlib import suppress

with suppress(ModuleNotFoundError):
    import dolfinx_solver  # noqa: F401

import basix
import dolfinx.fem.petsc
import numpy as np
import ufl
from dolfinx import fem, mesh
from mpi4py import MPI
from petsc4py import PETSc

from maxwell.errors import MaxwellError

if not np.issubdtype(PETSc.ScalarType, np.complexfloating):
    raise MaxwellError(
        "PETSc was built for real numbers, and time-harmonic fields are complex; install "
        "dolfinx-solver-complex from PyPI, or with conda fenics-dolfinx with petsc=*=complex*."
    )

__all__ = ["MPI", "PETSc", "basix", "dolfinx", "fem", "mesh", "ufl"]
