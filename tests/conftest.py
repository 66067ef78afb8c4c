"""Shared by all tests: one thread a process, and the same random examples on every run."""

import os

import hypothesis

# Before any test imports numpy or torch: two test processes share two cores.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

# No deadline, for no test is about time.
hypothesis.settings.register_profile("laws", deadline=None, derandomize=True)
hypothesis.settings.load_profile("laws")
