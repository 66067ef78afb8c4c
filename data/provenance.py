"""By what, where and when numbers were computed: enough to repeat them, nothing that names a person."""

import datetime
import functools
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

_DISTRIBUTIONS = (
    "maxwell-inverse",
    "dolfinx-solver-complex",
    "fenics-ffcx",
    "numpy",
    "scipy",
    "numba",
    "h5py",
)


def collect() -> dict[str, Any]:
    """Versions, commit, command, class of machine (no host name, no user name) and date (UTC)."""
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _commit(),
        "command": _command(),
        "host": {
            "system": platform.system(),
            "machine": platform.machine(),
            "cpu": _cpu(),
            "cores": os.cpu_count(),
        },
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _versions() -> dict[str, str]:
    versions = {}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # a conda installation names DOLFINx otherwise
            versions[name] = "unknown"
    return versions


def _command() -> list[str]:
    """The command line, the program without its folder and the home folder as ``~``."""
    program, *arguments = sys.argv or [""]
    home = str(Path.home())
    return [Path(program).name, *(a.replace(home, "~") if len(home) > 1 else a for a in arguments)]


@functools.cache
def _commit() -> str | None:
    """The commit of a checkout, with ``+changes`` if files differ from it; ``None`` when installed."""
    root, git = Path(__file__).parent.parent, shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    try:
        commit, changes = (
            subprocess.run(
                [git, "-C", root, *arguments], capture_output=True, text=True, check=True
            ).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+changes" if changes else commit


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
