"""Shared by all tests: one thread a process, the same random examples on every run, and code compiled once."""

import os
import sys

import hypothesis

# Before any test imports numpy or torch: two test processes share two cores.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

# No deadline, for no test is about time.
hypothesis.settings.register_profile("laws", deadline=None, derandomize=True)
hypothesis.settings.load_profile("laws")


def pytest_configure(config):
    """Where Python is told to leave no bytecode beside the sources, pytest's cache keeps it.

    Many tests start processes, and each would otherwise spend most of its time on compiling what it imports.
    """
    if sys.dont_write_bytecode and hasattr(config, "cache"):
        folder = str(config.cache.mkdir("bytecode"))
        sys.dont_write_bytecode, sys.pycache_prefix = False, folder
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = folder
