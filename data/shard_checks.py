"""One shard looked at: its bytes, what HDF5 sees in it, and what the recipe says of its samples."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import maxwell
from data import schema, seeds
from data.errors import DataError
from data.findings import AGAIN, Finding, refused
from data.recipe import canonical
from data.shard import ShardFile, row_checksums
from data.store import Shard, expected_attributes

EXACT_RESIDUAL, ITERATED_RESIDUAL = 1e-9, 1e-3
"""Largest ``residual`` of a sample: what a factorisation may leave (``maxwell.solvers.TOLERANCE``), and of data
that are corrected to second order by their own residual and have an estimated ``error``."""

MOST_ERROR = 1e-8
"""Largest estimated ``error`` that ``maxwell.paths.krylov`` hands on."""

MOST_RECIPROCITY = 1e-6
"""Largest ``reciprocity``: an ``error`` of all data is some tens larger beside the largest of them."""

ROUNDING = 1e-12
"""Relative difference of parameters up to which another processor's rounding explains it."""

_POINTS = {"slices": "k", "fields": "g"}
"""Extras whose key of ``[store]`` is a length, and its letter."""


@dataclass(frozen=True)
class Law:
    """What the manifest says of the samples of a split."""

    manifest: schema.Manifest
    split: str
    prior: maxwell.Prior | None  #: ``None`` where it cannot be rebuilt, which is a finding of the manifest
    seen: dict[Any, Any]  #: what shards looked at before have said of the same mesh: shared by all splits

    @property
    def mesh(self) -> Mapping[str, Any]:
        """The keyword arguments of ``discretise``."""
        return self.manifest.recipe.splits[self.split].mesh

    @property
    def key(self) -> tuple[str, str]:
        """Splits of one mesh and one problem."""
        return canonical(self.mesh), canonical(self.manifest.recipe.problem_of(self.split))


@dataclass
class Look:
    """What is known of a shard that was looked at."""

    findings: list[Finding] = field(default_factory=list)
    status: np.ndarray | None = None  #: (n,), if every byte is the one that was written
    reason: str = ""  #: of its first failed sample
    paths: Counter[str] = field(default_factory=Counter)  #: how forward maps had its solved samples
    rounding: float = 0.0  #: largest relative difference of parameters from their draw, if only by rounding


def look(path: Path, name: str, law: Law | None, shard: Shard | None, failed: int) -> Look:
    """Check a shard.  Raises nothing: whatever a file holds is told in findings.

    name : of the file, for the findings.  law, shard : ``None`` where the manifest cannot be read; then what the
    file says of itself is checked alone.  failed : samples that the name says have failed.

    Reads each byte three times, the last two from the system's cache.  Memory: one array, and its copy.
    """
    seen = Look()
    try:
        with closing(ShardFile(path)) as file:
            for finding in _Checks(file, name, law, shard, failed, seen).run():
                seen.findings.append(finding)
    except (DataError, OSError) as error:
        seen.findings.append(refused(name, "a shard", error, path))
    except Exception as error:  # what is checked is what others may have written: no form of it is known
        told = f"{type(error).__name__}: {' '.join(str(error).split())}"
        seen.findings.append(Finding(name, "", "a shard", f"what cannot be looked at ({told})", AGAIN))
    return seen


class _Checks:
    def __init__(
        self, file: ShardFile, name: str, law: Law | None, shard: Shard | None, failed: int, seen: Look
    ):
        self.file, self.name, self.law, self.shard = file, name, law, shard
        self.failed, self.seen = failed, seen
        self.start = shard.start if shard else 0
        self.columns: dict[str, np.ndarray] = {}  # arrays of one number a sample, and parameters
        self.kinds: dict[str, np.dtype] = {}
        self.finite: dict[str, np.ndarray] = {}  # of arrays of several numbers a sample: (n,)

    def run(self) -> Iterator[Finding]:
        """Each kind of check, as long as the next makes sense."""
        for check in (self._bytes, self._place, self._structure, self._hdf5):
            found = list(check())
            yield from found
            if found:
                return
        self.seen.status = status = self.columns["status"]
        yield from self._status(status)
        if not np.isin(status, (schema.SOLVED, schema.FAILED)).all():
            return
        yield from self._numbers(status == schema.SOLVED)
        if self.law is not None:
            yield from self._mesh()
            yield from self._seeds(status == schema.SOLVED)

    def _finding(self, inside, expected, found, mend=AGAIN, severity="damage") -> Finding:
        return Finding(self.name, inside, expected, found, mend, severity)

    def _where(self, inside, wrong, expected, found, **kind) -> Iterator[Finding]:
        """A finding of the samples that a mask (n,) marks, if there are any."""
        rows = np.flatnonzero(wrong)
        if rows.size:
            first = self.start + int(rows[0])
            found = f"{found} in {rows.size} of {len(wrong)} samples, the first {first}"
            yield self._finding(inside, expected, found, **kind)

    # -- the file -------------------------------------------------------------------------------------

    def _bytes(self):
        if (found := self.file.damage()) is None:
            return
        hurt = []
        for name in self.file.table["arrays"]:
            try:
                self.file.array(name)
            except DataError:
                hurt.append(name)
        for name in hurt or [""]:
            yield self._finding(name, "the bytes that were written", "others" if name else found)

    def _place(self):
        attributes = self.file.attributes
        if sorted(attributes) != sorted(schema.ATTRIBUTES):
            yield self._finding("", f"the attributes {', '.join(schema.ATTRIBUTES)}", ", ".join(attributes))
            return
        expected = {"format": schema.FORMAT, "version": schema.VERSION}
        if self.law is not None:
            expected = expected_attributes(self.law.manifest, self.shard)
        for key, value in expected.items():
            if attributes[key] != value:
                yield self._finding(key, str(value), str(attributes[key]))
        for key in ("discretisation", "provenance"):
            try:
                table = json.loads(attributes[key])
            except (TypeError, ValueError):
                table = None
            if not isinstance(table, dict):
                yield self._finding(key, "a table in JSON", str(attributes[key])[:60])

    def _structure(self):
        about = {array.name: array for array in (*schema.ARRAYS, *schema.EXTRAS.values())}
        there = [name for name in self.file.table["arrays"] if "/" not in name]
        wanted = [array.name for array in schema.ARRAYS]
        lengths: dict[str, int] = {}
        if self.law is not None:
            store = self.law.manifest.recipe.store
            wanted = [array.name for array in schema.arrays_of(store)]
            lengths = {"n": len(self.shard), **self.law.manifest.problem(self.law.split).lengths}
        else:
            wanted += [name for name in there if name in schema.EXTRAS]
        sums = [f"{schema.CHECKSUMS}/{name}" for name in wanted if about[name].by_row]
        if sorted(self.file.table["arrays"]) != sorted(wanted + sums):
            found = ", ".join(sorted(set(self.file.table["arrays"]) ^ {*wanted, *sums}))
            yield self._finding("", "the arrays of the schema, once each", f"amiss: {found}")
            return
        for name in wanted:
            values = self.file.array(name)
            own = dict(lengths)
            if name in _POINTS and self.law is not None and self._any_solved():
                own[_POINTS[name]] = getattr(store, name)
            if wrong := schema.check(about[name], values, own):
                expected, _, found = wrong.removeprefix("expected ").partition(", found ")
                yield self._finding(name, expected, found)
                continue
            lengths.setdefault("n", len(values))
            if about[name].by_row:
                kept = self.file.array(f"{schema.CHECKSUMS}/{name}")
                if kept.shape != (len(values),) or kept.dtype != np.dtype("<u8"):
                    yield self._finding(f"{schema.CHECKSUMS}/{name}", "a checksum a row", f"{kept.shape}")
                    continue
                yield from self._where(name, row_checksums(values) != kept, "rows of their checksum", "other")
                self.finite[name] = np.isfinite(values).reshape(len(values), -1).all(axis=1)
            if name == "observations":
                self.nothing = np.isnan(values).all(axis=1)
            if not about[name].by_row or name == "parameters":
                self.columns[name] = values
            self.kinds[name] = values.dtype

    def _any_solved(self) -> bool:
        """Whether the arrays have the lengths that only a solution tells."""
        status = self.columns.get("status")
        return status is None or bool((status == schema.SOLVED).any())

    def _hdf5(self):
        about = {array.name: array for array in (*schema.ARRAYS, *schema.EXTRAS.values())}
        with h5py.File(self.file.path, "r") as file:
            there: dict[str, h5py.HLObject] = {}
            file.visititems(there.__setitem__)
            there = {name: item for name, item in there.items() if not isinstance(item, h5py.Group)}
            if sorted(there) != sorted(self.file.table["arrays"]):
                yield self._finding("", "the arrays of the table of contents", ", ".join(there))
                return
            for name, value in self.file.attributes.items():
                if str(file.attrs.get(name)) != str(value):
                    yield self._finding(name, str(value)[:60], str(file.attrs.get(name))[:60])
            for name, entry in self.file.table["arrays"].items():
                item = there[name]  # only what is stored in one piece, as it is, has a place in the file
                place = item.dtype.str, item.id.get_offset(), list(item.shape)
                told = entry["dtype"], entry["offset"], entry["shape"]
                if np.dtype(entry["dtype"]) != item.dtype or place[1:] != told[1:]:
                    yield self._finding(name, f"dtype, offset and shape {told}", str(place))
                for key in ("unit", "description") if name in about else ():
                    if item.attrs.get(key) != getattr(about[name], key):
                        yield self._finding(
                            f"{name}.{key}", repr(getattr(about[name], key)), repr(item.attrs.get(key))
                        )

    # -- the samples ----------------------------------------------------------------------------------

    def _status(self, status):
        yield from self._where("status", ~np.isin(status, (0, 1)), "0 or 1", "others")
        count = int(np.sum(status == schema.FAILED))
        if count != self.failed:
            mend = "give it the name that it was written under"
            yield self._finding("status", f"{self.failed} failed, as its name says", str(count), mend)
        reasons = self.columns["failure"]
        if count:
            first = reasons[np.flatnonzero(status == schema.FAILED)[0]]
            self.seen.reason = " ".join(first.decode(errors="replace").split())
        alike = (reasons != b"") == (status == schema.FAILED)
        yield from self._where("failure", ~alike, "a reason where status is 1", "none, or one elsewhere")
        for name in ("failure", "method"):
            yield from self._where(
                name, [not _is_text(v) for v in self.columns[name]], "UTF-8", "other bytes"
            )

    def _numbers(self, solved):
        get = self.columns
        for name, finite in self.finite.items():
            yield from self._where(name, solved & ~finite, "finite numbers", "others")
        yield from self._where("observations", ~solved & ~self.nothing, "NaN where status is 1", "numbers")
        estimated = np.nan_to_num(get["error"]) > 0
        most = np.where(estimated, ITERATED_RESIDUAL, EXACT_RESIDUAL)
        bounds = {
            "residual": (
                most,
                f"at most {EXACT_RESIDUAL:g}, or {ITERATED_RESIDUAL:g} with an estimated error",
            ),
            "error": (MOST_ERROR, f"at most {MOST_ERROR:g}"),
            "reciprocity": (MOST_RECIPROCITY, f"at most {MOST_RECIPROCITY:g}"),
            "seconds": (np.inf, "finite seconds"),
        }
        for name, (bound, said) in bounds.items():
            values = get[name]
            wrong = solved & ~((values >= 0) & (values <= bound) & np.isfinite(values))
            worst = f"{values[wrong][0]:.3g}" if wrong.any() else ""
            yield from self._where(name, wrong, f"{said}, and not negative", worst)
        yield from self._where("method", solved & (get["method"] == b""), "the name of a method", "none")
        methods = (method.decode(errors="replace") for method in get["method"][solved])
        self.seen.paths.update(method.partition(",")[0] for method in methods)  # solvers agree to rounding

    def _mesh(self):
        law, table = self.law, json.loads(self.file.attributes["discretisation"])
        dofs = self.columns["dofs"]
        if not isinstance(table.get("dofs"), int):
            yield self._finding("discretisation", "the key dofs, a whole number", str(table.get("dofs")))
            return
        yield from self._where("dofs", dofs != table["dofs"], f"{table['dofs']}, as its mesh has", "others")
        for key in ("degree", "grading", "cell"):
            if key in table and key in law.mesh and table[key] != law.mesh[key]:
                yield self._finding(f"discretisation.{key}", str(law.mesh[key]), str(table[key]))
        first, where = law.seen.setdefault(law.key, (table, self.name))
        if not _alike(table, first):
            mend = f"{AGAIN}, or that one if it is wrong"
            yield self._finding("discretisation", f"that of {where}, of the same mesh", "another", mend)
        if self._any_solved():
            for name in ("parameters", "observations"):
                kind = self.kinds[name]
                first, where = law.seen.setdefault((law.key[1], name), (kind, self.name))
                if kind != first:
                    yield self._finding(name, f"dtype {first}, as in {where}", str(kind))

    def _seeds(self, solved):
        law, recipe = self.law, self.law.manifest.recipe
        for name, split in (("seed", law.split), ("parameter_seed", recipe.parameters_of(law.split))):
            indices = range(self.shard.start, self.shard.stop)
            wanted = np.array([seeds.sample_seed(recipe.seed, split, i) for i in indices], dtype=np.uint64)
            wrong = self.columns[name] != wanted
            yield from self._where(name, wrong, f"seeds by the recipe's seed and split {split}", "others")
            if wrong.any():
                return
        if law.prior is None:
            return
        values = self.columns["parameters"]
        draws = [_drawn(law.prior, int(seed)) for seed in self.columns["parameter_seed"]]
        off = np.array([_apart(value, draw) for value, draw in zip(values, draws, strict=True)])
        wrong = off > ROUNDING
        yield from self._where("parameters", wrong, "those drawn by the prior from parameter_seed", "others")
        self.seen.rounding = float(off[~wrong].max(initial=0.0))
        if solved.any():
            outside = np.zeros(len(values), dtype=bool)
            outside[solved] = ~law.prior.contains(values[solved])
            yield from self._where("parameters", outside, "parameters in the prior's support", "others")


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _alike(one: Any, other: Any) -> bool:
    """Equal, numbers to rounding: lengths of a mesh may differ in the last digit between machines."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return one == other


def _drawn(prior: maxwell.Prior, seed: int) -> np.ndarray | None:
    """The parameters of a sample; ``None`` where the prior refuses."""
    try:
        return prior.sample(seeds.parameter_stream(seed), 1)[0]
    except Exception:  # recorded as a failed sample when it was generated
        return None


def _apart(value: np.ndarray, draw: np.ndarray | None) -> float:
    """Largest difference beside the largest number; 0 for equal bits, infinite where one of them is missing."""
    if draw is None:
        return 0.0 if np.isnan(value).all() else np.inf
    if value.tobytes() == draw.tobytes():
        return 0.0
    if not np.isfinite(value).all() or value.shape != draw.shape:
        return np.inf
    return max(float(np.abs(value - draw).max() / (np.abs(draw).max() or 1.0)), np.finfo(float).tiny)
