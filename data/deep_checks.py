"""Samples solved again from their seeds, by the slow path, and compared with those of the files."""

from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor, wait
from contextlib import closing
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np

from data import executors, schema
from data.errors import DataError
from data.findings import AGAIN, Finding, refused
from data.samples import Mesh, Task, solve
from data.store import Folder, Shard

LEAST_AGREEMENT, SAFETY = 1e-8, 10.0
"""Observations may differ by this, or by so many times the estimated ``error``, of their norm."""

EXTRA_AGREEMENT = {"jacobian": 1e-7, "slices": 1e-6, "fields": 1e-6}
"""The same of extras: accurate fields are wrong by some 1e-8, and the last two are kept in single precision."""

_HEARTBEAT = 10.0  # seconds between signs of life

Sample = tuple[Shard, int, int]  #: shard, how many of its samples have failed, row


def chosen(statuses: Mapping[Shard, np.ndarray], count: int, seed: int) -> list[Sample]:
    """Samples at random: of each split, and of its solved and its failed ones, in turn."""
    rng, groups = np.random.default_rng(seed), {}
    for shard, status in statuses.items():
        failed = int(np.sum(status == schema.FAILED))
        for row, value in enumerate(status.tolist()):
            groups.setdefault((shard.split, value), []).append((shard, failed, row))
    picked = [[group[i] for i in rng.permutation(len(group))[:count]] for group in groups.values()]
    return [sample for turn in zip_longest(*picked) for sample in turn if sample is not None][:count]


def solve_again(
    folder: Folder, manifest: schema.Manifest, samples: list[Sample]
) -> Iterator[tuple[int, list[Finding]]]:
    """How many samples are done, with new findings: after each sample, and now and then before.

    In one other process, whose memory ends with it; mesh by mesh, each made once and not prepared: a sample of a
    nonlinear problem is a factorisation.
    """
    recipe, compared, worst, where = manifest.recipe, 0, 0.0, ""
    meshes = {name: replace(Mesh.of(folder.blocks, recipe, name), samples=0) for name in recipe.splits}
    with executors.local(1) as executor:
        for done, (shard, failed, row) in enumerate(sorted(samples, key=lambda s: (meshes[s[0].split], s))):
            name, index = f"{schema.SHARDS}/{shard.file(failed)}", shard.start + row
            alone = replace(shard, start=index, stop=index + 1)
            running = executor.submit(solve, Task.of(meshes[shard.split], recipe, alone))
            while not wait([running], _HEARTBEAT).done:
                yield done, []
            try:
                fresh = running.result().arrays
                with closing(folder.opened(manifest, shard, failed)) as file:
                    stored = {key: file.array(key)[row] for key in fresh}
                findings, off = _compared(name, index, stored, {key: v[0] for key, v in fresh.items()})
                compared += int(stored["status"] == schema.SOLVED)
            except BrokenExecutor:
                told = "the end of the process that solves it, often for want of memory"
                yield done, [Finding(name, "", f"sample {index} solved again", told, "make room", "warning")]
                return
            except DataError as error:
                finding = refused(name, f"sample {index} solved again", error, name)
                findings, off = [replace(finding, severity="warning")], 0.0
            if off > worst:
                worst, where = off, f", the most in sample {index} of split {shard.split}"
            yield done + 1, findings
    if compared:
        found = f"differences of at most {worst:.1e} of their norm in {compared} samples{where}"
        told = "observations as they come of their seeds again", found, "nothing is to be mended for this"
        yield len(samples), [Finding(schema.SHARDS, "", *told, "note")]


def _compared(
    name: str, index: int, stored: Mapping[str, Any], fresh: Mapping[str, Any]
) -> tuple[list[Finding], float]:
    """Findings of one sample, and the relative difference of its observations."""
    if stored["status"] == schema.FAILED or fresh["status"] == schema.FAILED:
        if stored["status"] == fresh["status"]:
            return [], 0.0
        if fresh["status"] == schema.SOLVED:
            again = f"failure of sample {index} again", "a solution", "generate with retry to have it"
            return [Finding(name, "status", *again, "warning")], 0.0
        again = f"a solution of sample {index} again", f"failure ({fresh['failure'].decode()})", AGAIN
        return [Finding(name, "status", *again)], 0.0
    findings, allowed = [], {"observations": max(SAFETY * float(stored["error"]), LEAST_AGREEMENT)}
    for key in ("observations", *(key for key in EXTRA_AGREEMENT if key in fresh)):
        most = allowed.get(key) or EXTRA_AGREEMENT[key]
        off = _difference(stored[key], fresh[key])
        if not off <= most:
            expected = f"{key} of sample {index} within {most:.1e} of those solved again"
            findings.append(Finding(name, key, expected, f"a difference of {off:.1e}", AGAIN))
    return findings, _difference(stored["observations"], fresh["observations"])


def _difference(old: np.ndarray, new: np.ndarray) -> float:
    """‖old − new‖ / ‖new‖; infinite for other shapes."""
    if old.shape != new.shape:
        return np.inf
    return float(np.linalg.norm((old - new).ravel()) / (np.linalg.norm(new.ravel()) or 1.0))
