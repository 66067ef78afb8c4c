"""Benchmarks: are the data right, and how fast do they come?  `maxinv bench` prints them."""

import importlib.metadata
import os
import platform

from data import provenance

PACKAGES = ("maxwell-inverse", "dolfinx-solver-complex", "numpy", "scipy", "numba", "torch", "ngsolve")


def environment() -> dict:
    """Where the numbers were measured: processor, cores, commit, and versions of what computed them."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "commit": provenance.collect()["commit"],
        "versions": versions,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
