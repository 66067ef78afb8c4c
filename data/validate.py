"""Whether a data set is what its recipe says: every byte, every number that can be known without solving, and on
request some samples solved again.

What vouches for what. Every byte is under a checksum (:mod:`data.schema`): a change of any is seen. Checksums say
that the numbers are those that were written; that these were the right ones is seen from the recipe, for
the seeds and the parameters of all samples, and from the solver's own records (residual, estimated error,
reciprocity). Splits that share parameters share the seeds that these are drawn from. Observations can be checked
by solving again alone.
"""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import threadpoolctl

import maxwell
from data import schema
from data.deep_checks import chosen, solve_again
from data.errors import DataError
from data.findings import Finding, refused, shown
from data.shard import is_begun
from data.shard_checks import Law, look
from data.store import Folder, Shard, parse_name, shard_count, shard_of

_LOCK = re.compile(r"\.lock(-start|-\d+-of-\d+)?")
_COPY = "restore it from a copy, or generate again into another folder"


@dataclass(frozen=True)
class Checked:
    """How far a validation is. The last one has its totals."""

    stage: str  #: ``"read"`` (files looked at) or ``"solve"`` (samples solved again)
    done: int  #: of the stage
    total: int
    files: int = 0  #: looked at so far
    samples: int = 0  #: in files that are sound, those that failed included
    failed: int = 0  #: of ``samples``
    bytes: int = 0  #: of ``files``
    seconds: float = 0.0


def validate(
    path: str | Path,
    *,
    deep: int = 0,
    seed: int = 0,
    progress: Callable[[Checked], None] | None = None,
) -> list[Finding]:
    """Look at all of a data set, and tell what is not as it should be, file by file.

    Each shard: table of contents and SHA-256 of the file; what HDF5 sees is what the table says; attributes,
    shapes, dtypes; checksums of rows; solved samples finite, failed ones NaN with a reason; residual, estimated
    error, reciprocity and seconds in their ranges; seeds by the law of :mod:`data.seeds`; parameters drawn again
    from them bit for bit (to rounding, with a note, where another kind of processor drew them) and in the prior's
    support; one discretisation a mesh, and one path to its samples (another is a note). The folder: the manifest,
    missing shards, files that do not belong, an undeclared inverse crime.

    deep: so many samples, chosen at random by ``seed`` from all splits in turn, solved and failed, are computed
    again from their seeds in another process, without the prepared fast path. Solved ones must agree to 10 times
    their estimated error, or 1e-8 of their norm; failed ones must fail again. The largest difference is a note.

    progress: called with a :class:`Checked` after each file and sample, and every ten seconds without one.

    A damaged file is a finding and never keeps the others from being looked at. Memory: one array of a shard and
    its copy, and a byte a sample. Cost: each byte is read three times (twice from the system's cache) and each
    sample's parameters are drawn, 0.05 to 0.3 ms; with ``deep`` a mesh for each that the splits have, and a
    factorisation a sample.

    Raises :class:`DataError` if the folder is missing, unreadable or no data set's.
    """
    for name, value in (("deep", deep), ("seed", seed)):
        if type(value) is not int or value < 0:
            raise DataError(f"{name}: expected a whole number, at least 0, given {value!r}.")
    try:
        return _Validation(Folder(path), progress or (lambda event: None)).run(deep, seed)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be looked at ({error.strerror or error}); give a folder that may be read."
        ) from None


class _Validation:
    def __init__(self, folder: Folder, watch: Callable[[Checked], None]):
        self.folder, self.watch = folder, watch
        self.findings: list[Finding] = []
        self.state, self.began = Checked("read", 0, 0), time.perf_counter()
        self.statuses: dict[Shard, np.ndarray] = {}  # of sound shards
        self.failures: dict[str, tuple[str, str]] = {}  # split -> first file with some, its first reason
        self.paths: dict[tuple[str, str], Counter[str]] = {}  # mesh -> path to its samples -> how many
        self.first: dict[tuple[str, str, str], str] = {}  # the same -> first file
        self.roundings: dict[str, tuple[str, float]] = {}  # split -> first file, largest difference

    def run(self, deep: int, seed: int) -> list[Finding]:
        manifest = self._manifest()
        shards = self._listing(manifest)
        if manifest is None and self._is_older():  # the manifest's finding says it of all of them
            shards = [file for file in shards if is_begun(self.folder.shards / file)]
        self._show(total=len(shards) + 1, done=1)
        laws = {} if manifest is None else self._laws(manifest)
        with threadpoolctl.threadpool_limits(1):  # as in the workers: the bits of a draw may depend on it
            for file in shards:
                self._shard(file, manifest, laws)
        self._summarise()
        if deep and manifest is not None:
            samples = chosen(self.statuses, deep, seed)
            self._show(stage="solve", done=0, total=len(samples))
            for done, findings in solve_again(self.folder, manifest, samples):
                self.findings += findings
                self._show(done=done)
        return self.findings

    def _show(self, **changes) -> None:
        self.state = replace(self.state, seconds=time.perf_counter() - self.began, **changes)
        self.watch(self.state)

    def _add(self, file, inside, expected, found, mend, severity="damage") -> None:
        self.findings.append(Finding(shown(file), inside, expected, found, mend, severity))

    # -- the folder -----------------------------------------------------------------------------------

    def _manifest(self) -> schema.Manifest | None:
        file = self.folder.path / schema.MANIFEST
        try:
            manifest = self.folder.read_manifest()
        except DataError as error:
            if not file.exists():
                if not self.folder.shards.is_dir():
                    raise
                self._add(schema.MANIFEST, "", "the manifest", "nothing", _COPY)
                return None
            self.findings.append(refused(schema.MANIFEST, "the manifest as it was written", error, file))
            return None
        self.state = replace(self.state, files=1, bytes=file.stat().st_size)
        for split in manifest.recipe.undeclared_inverse_crimes():
            self._add(
                schema.MANIFEST,
                f"recipe.splits.{split}",
                "a mesh other than that of train, or inverse_crime = true",
                "an undeclared inverse crime, which flatters every method",
                "evaluate on a finer mesh, or declare it in the recipe and generate again, which computes nothing",
                "warning",
            )
        return manifest

    def _is_older(self) -> bool:
        """Whether the manifest says that the folder is of an earlier version."""
        file = self.folder.path / schema.MANIFEST
        try:
            return file.is_file() and json.loads(file.read_bytes())["version"] in range(1, schema.VERSION)
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return False

    def _listing(self, manifest: schema.Manifest | None) -> list[str]:
        """The shards to look at, by name; what is missing or does not belong is told."""
        known = {schema.MANIFEST, schema.SHARDS, schema.BLOCKS, schema.MESH_ERROR}
        for entry in _entries(self.folder.path):
            if _LOCK.fullmatch(entry.name):
                if not entry.is_file() or entry.stat().st_size:
                    self._add(entry.name, "", "an empty lock", "something else", "delete it", "warning")
            elif entry.name not in known:
                self._stranger(entry.name)
        if self.folder.blocks.exists():
            self._add(
                schema.BLOCKS,
                "",
                "nothing in a finished data set",
                "what forward maps prepared, under checksums of its own that are checked before use and not here",
                "continue the generation, or delete it: it is computed again where it is wanted",
                "note",
            )
        if not self.folder.shards.is_dir():
            self._add(schema.SHARDS, "", "a folder", "none", "generate again with the same recipe")
            return []
        return self._shards(manifest)

    def _shards(self, manifest: schema.Manifest | None) -> list[str]:
        best = self.folder.listing()
        for entry in sorted(_entries(self.folder.shards), key=lambda entry: entry.name):
            parsed = parse_name(entry.name)
            if parsed is None:
                self._stranger(f"{schema.SHARDS}/{entry.name}")
                continue
            split, number, failed = parsed
            place = f"{schema.SHARDS}/{entry.name}"
            if manifest is not None and (
                split not in manifest.recipe.splits or number >= shard_count(manifest.recipe, split)
            ):
                best.pop((split, number), None)
                self._add(place, "", "shards of the recipe alone", "one beyond them", "remove it", "warning")
            elif (split, number) not in best:  # or written since the folder was listed
                if entry.is_symlink():
                    self._add(place, "", "a file", "a link to none", "remove it", "warning")
            elif failed != best[split, number]:
                other = Shard(split, number, 0, 0).file(best[split, number])
                self._add(place, "", "each shard once", f"{other} beside it", "delete this one", "warning")
        if manifest is not None:
            for split in manifest.recipe.splits:
                self._missing(manifest, split, best)
            order = list(manifest.recipe.splits)
            places = sorted(best, key=lambda place: (order.index(place[0]), place[1]))
        else:
            places = sorted(best)
        return [Shard(*place, 0, 0).file(best[place]) for place in places]

    def _missing(self, manifest, split, there) -> None:
        """One finding for each run of neighbours that are missing."""
        first = None
        count = shard_count(manifest.recipe, split)
        for number in range(count + 1):
            gone = number < count and (split, number) not in there
            if gone and first is None:
                first = number
            elif not gone and first is not None:
                names = [Shard(split, n, 0, 0).file() for n in sorted({first, number - 1})]
                self._add(
                    f"{schema.SHARDS}/{names[0]}",
                    "",
                    "a shard of a complete data set",
                    "nothing" if len(names) == 1 else f"nothing, nor any of the next up to {names[1]}",
                    "continue the generation with the same recipe, or open with partial=True",
                )
                first = None

    def _stranger(self, name: str) -> None:
        leftover = name.rpartition("/")[2].startswith(".") and name.endswith(".part")
        self._add(
            name,
            "",
            "files of a data set alone",
            "a file whose writing has not ended" if leftover else "another",
            "the next generation removes it" if leftover else "remove it",
            "note" if leftover else "warning",
        )

    # -- the shards -----------------------------------------------------------------------------------

    def _laws(self, manifest: schema.Manifest) -> dict[str, Law]:
        priors, seen = [], {}
        for number, described in enumerate(manifest.problems):
            where, prior = f"problems.{number}", None
            try:
                problem = maxwell.problem_from(described.spec)
                prior, labels = problem.prior, problem.observation_labels()
                same = [(p.name, p.unit) for p in problem.parameters] == [
                    (p.name, p.unit) for p in described.parameters
                ] and {k: [int(v) for v in vs] for k, vs in labels.items()} == described.observations.labels
                if not same:
                    told = "other parameters or labels"
                    self._add(schema.MANIFEST, where, "what its spec says", told, _COPY)
            except maxwell.MaxwellError as error:
                self.findings.append(refused(schema.MANIFEST, "a problem", error, ""))
            priors.append(prior)
        for split, number in manifest.splits.items():
            if manifest.problems[number].spec != manifest.recipe.problem_of(split):
                self._add(schema.MANIFEST, f"splits.{split}", "the recipe's problem", "another", _COPY)
        return {split: Law(manifest, split, priors[n], seen) for split, n in manifest.splits.items()}

    def _shard(self, name: str, manifest: schema.Manifest | None, laws: dict[str, Law]) -> None:
        split, number, failed = parse_name(name)
        shard = None if manifest is None else shard_of(manifest.recipe, split, number)
        file = self.folder.shards / name
        seen = look(file, f"{schema.SHARDS}/{name}", laws.get(split), shard, failed)
        self.findings += seen.findings
        if seen.status is not None:
            gone = int(np.sum(seen.status == schema.FAILED))
            if gone:
                self.failures.setdefault(split, (f"{schema.SHARDS}/{name}", seen.reason))
            if split in laws:
                self.paths.setdefault(laws[split].key, Counter()).update(seen.paths)
                for path in seen.paths:
                    self.first.setdefault((*laws[split].key, path), f"{schema.SHARDS}/{name}")
            if seen.rounding:
                file_, most = self.roundings.get(split, (f"{schema.SHARDS}/{name}", 0.0))
                self.roundings[split] = file_, max(most, seen.rounding)
            self.state = replace(
                self.state,
                samples=self.state.samples + len(seen.status),
                failed=self.state.failed + gone,
            )
            if shard is not None and not seen.findings:
                self.statuses[shard] = seen.status
        try:
            size = file.stat().st_size
        except OSError:
            size = 0
        self._show(done=self.state.done + 1, files=self.state.files + 1, bytes=self.state.bytes + size)

    def _summarise(self) -> None:
        """Notes of what may be true of many shards: one a split."""
        for split, (file, reason) in self.failures.items():
            found = f"failures in split {split}, the first: {reason.rstrip('.')}"
            self._add(file, "failure", "solved samples", found, "generate with retry to try again", "note")
        for mesh, paths in self.paths.items():
            self._one_path(mesh, paths)
        for split, (file, most) in self.roundings.items():
            self._add(
                file,
                "parameters",
                "the bits of this machine's draw",
                f"differences of up to {most:.1e} of their size in split {split}",
                "another kind of processor has drawn them: nothing to mend",
                "note",
            )

    def _one_path(self, mesh: tuple[str, str], paths: Counter[str]) -> None:
        """A note for each path by which the fewer samples of a mesh were had."""
        (most, usual), *others = paths.most_common() or [("", 0)]
        for path, count in others:
            self._add(
                self.first[*mesh, path],
                "method",
                f"samples by {most}, as {usual} of {paths.total()} of this mesh",
                f"{count} by {path}, the first here",
                "single samples may have left the region that was prepared, and all is well; where all of a shard "
                "differ, the mesh could not be prepared: their last digits are others (some 1e-9 of the data), "
                "and deleting these shards and generating again makes them alike",
                "note",
            )


def _entries(folder: Path) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return list(entries)
