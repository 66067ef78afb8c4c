"""Shards with wrong numbers under checksums that hold, for tests of what `validate` notices."""

import numpy as np

import data
from data import schema
from data.shard import render
from data.store import expected_attributes, shard_of

FIRST = "shards/train-00000.h5"


def damage(folder, file=None):
    """The damage found, as text: all of it, or that of a file."""
    found = [f for f in data.validate(folder.path) if f.severity == "damage"]
    return [str(f) for f in found if file in (None, f.file)]


def forged(folder, split, number, change, described=None, **attributes):
    """Write a shard again with other numbers, under checksums that hold."""
    manifest = folder.read_manifest()
    shard = shard_of(manifest.recipe, split, number)
    file = folder.opened(manifest, shard)
    described = described or schema.arrays_of(manifest.recipe.store)
    arrays = {array.name: file.array(array.name).copy() for array in described}
    about = {key: file.attributes[key] for key in ("discretisation", "provenance")} | attributes
    change(arrays)
    for path in folder.shards.glob(f"{shard.split}-{shard.number:05d}*"):
        path.unlink()
    attributes = expected_attributes(manifest, shard) | about
    failed = int(np.sum(arrays["status"] == schema.FAILED))
    (folder.shards / shard.file(failed)).write_bytes(render(arrays, described, attributes))


def put(name, row, value):
    def change(arrays):
        arrays[name][row] = value

    return change


def fail(arrays, reason=b"no luck"):
    arrays["status"][2], arrays["failure"][2], arrays["observations"][2] = 1, reason, np.nan
