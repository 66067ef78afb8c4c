"""Examinations of an installation.  Each yields findings; a new one is one more function in `EXAMINATIONS`."""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

OURS = ("maxwell", "data", "surrogates", "experiments")


@dataclass(frozen=True)
class Finding:
    """What an examination found: in order, worth a note, or a fault, and then how to mend it."""

    state: Literal["ok", "note", "fault"]
    subject: str
    found: str
    mend: str = ""


def examine() -> Iterator[Finding]:
    """Run every examination; one that fails in an unforeseen way becomes a finding itself."""
    for examination in EXAMINATIONS:
        try:
            yield from examination()
        except Exception as error:
            yield Finding(
                "fault",
                examination.__name__.strip("_").replace("_", " "),
                f"{type(error).__name__}: {error}",
                "mend the faults above first; if this one stays, report it with this text",
            )


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info[:2] == (3, 12):
        yield Finding("ok", "python", version)
    else:
        yield Finding(
            "fault", "python", f"{version}; expected 3.12", "use Python 3.12, as .python-version says"
        )


def _versions() -> Iterator[Finding]:
    """Installed against required versions of everything this distribution needs."""
    try:
        required = importlib.metadata.requires("maxwell-inverse") or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("fault", "maxwell-inverse", "not installed", "run `uv sync`, or `pip install -e .`")
        return
    for requirement in required:
        name, wanted = re.match(r"([A-Za-z0-9_.-]+)(.*)", requirement).groups()
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if name == "dolfinx-solver-complex" and importlib.util.find_spec("dolfinx"):
                yield Finding("ok", name, "absent, DOLFINx comes from another installation (conda)")
            else:
                yield Finding("fault", name, "not installed", f"pip install '{requirement}'")
            continue
        if wanted.startswith("==") and found != wanted[2:]:
            mend = f"pip install '{requirement}', or keep it and expect other digits than ours"
            yield Finding("note", name, f"{found}; figures belong to {wanted[2:]}", mend)
        else:
            yield Finding("ok", name, found)


def _packages() -> Iterator[Finding]:
    """Whether the names we import are our own: `data` is a name that others use too."""
    root = Path(__file__).resolve().parent.parent
    for name in OURS:
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin is not None and origin.parent.parent == root:
            yield Finding("ok", f"package {name}", "ours")
        else:
            mend = "run in an environment of its own, and not in a folder that holds a package of this name"
            yield Finding("fault", f"package {name}", f"imported from {origin}, not from {root}", mend)


def _fenicsx() -> Iterator[Finding]:
    from maxwell import fenicsx

    petsc = fenicsx.PETSc
    version = ".".join(map(str, petsc.Sys.getVersion()))
    yield Finding("ok", "DOLFINx", f"{fenicsx.dolfinx.__version__}, PETSc {version}")
    yield Finding("ok", "PETSc scalar type", petsc.ScalarType.__name__)  # a real build has failed to import
    if petsc.Sys.hasExternalPackage("mumps"):
        yield Finding("ok", "MUMPS", "present")
    else:
        mend = "install dolfinx-solver-complex, or a PETSc configured with MUMPS"
        yield Finding("fault", "MUMPS", "PETSc was built without it", mend)
    library = fenicsx.MPI.Get_library_version().splitlines()[0].strip("\x00 ")
    yield Finding("ok", "MPI", f"{library[:60]}, {fenicsx.MPI.COMM_WORLD.size} process")


def _compiler() -> Iterator[Finding]:
    name = (os.environ.get("CC") or "cc").split()[0]
    found = shutil.which(name) or shutil.which("gcc") or shutil.which("clang")
    if found:
        yield Finding("ok", "C compiler", Path(found).name)
    else:
        mend = "install gcc or clang: element kernels are compiled when they are first used"
        yield Finding("fault", "C compiler", f"no {name} on the path", mend)


def _solve() -> Iterator[Finding]:
    """A whole solve on a tiny mesh, with its laws."""
    import numpy as np

    from maxwell import Conductivity

    info = Conductivity().discretise(cells=2, degree=1).solve(np.array([0.5, 0.5, 0.6, 0.1, 1.0])).info
    said = f"residual {info['residual']:.0e}, reciprocity {info['reciprocity']:.0e}"
    good = info["residual"] < 1e-10 and info["reciprocity"] < 1e-10
    mend = "" if good else "the solver is not exact here: reinstall dolfinx-solver-complex"
    yield Finding("ok" if good else "fault", "finite-element solve", said, mend)


def _torch() -> Iterator[Finding]:
    import torch

    import surrogates

    grid = surrogates.TimeGrid.simplex(layers=4)
    net = surrogates.Fractional(inputs=3, outputs=2, width=5, time=grid)
    net(torch.zeros(1, 3)).sum().backward()
    finite = all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    device = "cuda is available" if torch.cuda.is_available() else "cpu only"
    state = "ok" if finite else "fault"
    yield Finding(state, "torch", f"{device}, gradients finite", "" if finite else "reinstall torch")


def _threads() -> Iterator[Finding]:
    import numpy  # noqa: F401  (so that its BLAS is loaded and counted)
    import threadpoolctl

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pools = sorted({f"{p['internal_api']} {p['num_threads']}" for p in threadpoolctl.threadpool_info()})
    yield Finding("ok", "cores", f"{cores}; workers take one thread each")
    yield Finding("ok", "threads of this process", ", ".join(pools) or "none")


def _space() -> Iterator[Finding]:
    free = shutil.disk_usage(".").free / 2**30
    if free >= 1:
        yield Finding("ok", "free disk here", f"{free:.0f} GiB")
    else:
        yield Finding("note", "free disk here", f"{free:.2f} GiB", "the demo writes about 0.1 GiB; make room")
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
        low = memory < 2
        mend = "a worker of the demo needs about 0.5 GiB: use fewer workers" if low else ""
        yield Finding("note" if low else "ok", "free memory", f"{memory:.1f} GiB", mend)


EXAMINATIONS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python,
    _versions,
    _packages,
    _fenicsx,
    _compiler,
    _solve,
    _torch,
    _threads,
    _space,
)
