"""What a generation meets besides kills of all of it: a worker killed, a full disk, a read-only folder, a rival."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from data.store import Folder
from experiments.bench.pipeline import kills, runs
from experiments.bench.pipeline.runs import Run, generate
from experiments.errors import StudyError

TOLD = 2  # exit code of a mistake that is told in a sentence
SEEING = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""What makes the system's permissions count for root too, before a command."""


def measure(folder: Path, watch: Callable[[str], None], trials: list[str] | None = None) -> list[dict]:
    """Each trial, then the same command again.

    A row has the `trial`, `how` it was done, the exit `code` and the sentence `said`, shards `kept`, and `faults`:
    an end or a sentence that was not expected, a finished shard that changed, a file left over, other content than
    that of an undisturbed run. Of a trial that cannot be done here `code` is ``None`` and `how` says why.
    """
    case = _Case(folder)
    rows = []
    for name in trials or TRIALS:
        watch(f"kills: {name}")
        rows.append({"trial": name, **TRIALS[name](case, folder / name.replace(" ", "-"))})
    return rows


class _Case:
    """The recipe, and what an undisturbed run makes of it."""

    def __init__(self, folder: Path):
        self.recipe, whole = folder / "recipe.toml", folder / "whole"
        self.recipe.write_text(kills.RECIPE)
        run, self.blocks = Run(self.command(whole)), 0
        while run.running():
            self.blocks = max(self.blocks, _size(Folder(whole).blocks))
            time.sleep(0.01)
        if run.end().code:
            raise StudyError(f"{' '.join(run.command)}: ended with {run.code} ({run.said}).")
        self.digest, self.files, self.size = runs.opened(whole).digest(), runs.files(whole), _size(whole)
        self.third = len(runs.shards(whole)) // 3

    def command(self, out: Path, *flags: str) -> list[str]:
        return generate(self.recipe, out, *(flags or ("--workers", "2")))

    def again(self, how: str, out: Path, run: Run, sentence: str, *, code=TOLD, mend=lambda: None) -> dict:
        """The row of a run that was troubled: how it ended, and what the same command makes of the folder then."""
        if run.code is None:
            run.end()
        kept, faults = runs.shards(out), []
        if run.code != code or sentence not in run.said or run.traced:
            faults.append(f"it ended with {run.code}, {run.said or run.output[-200:]!r}")
        mend()
        second = Run(self.command(out)).end()
        if second.code:
            faults.append(f"the second run ended with {second.code}: {second.output[-200:]}")
            return {"how": how, "code": run.code, "said": run.said, "kept": len(kept), "faults": faults}
        after = runs.shards(out)
        faults += [f"{name} is not what it was" for name in kept if after.get(name) != kept[name]]
        if runs.files(out) != self.files:
            faults.append(f"other files than undisturbed: {sorted(runs.files(out) ^ self.files)}")
        if runs.opened(out).digest() != self.digest:
            faults.append("the content is not that of the undisturbed run")
        return {"how": how, "code": run.code, "said": run.said, "kept": len(kept), "faults": faults}


def _worker_killed(case, out):
    run = Run(case.command(out))
    runs.wait_for_shards(out, case.third, run)
    with contextlib.suppress(OSError, IndexError):
        os.kill(runs.workers(run.process.pid)[-1], signal.SIGKILL)
    return case.again("SIGKILL of one of two workers", out, run, "a worker process died")


def _file_limit(case, out):
    run = Run(case.command(out))
    runs.wait_for_shards(out, case.third, run)
    with contextlib.suppress(OSError):
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (1000, 1000))
    return case.again("RLIMIT_FSIZE of 1,000 bytes set half-way", out, run, "cannot be written")


def _full_disk(case, out):
    """A file system in memory with room for what is prepared and a third of the shards, later for all of it."""
    if shutil.which("mount") is None:
        return _not_done("there is no command mount")
    out.mkdir()
    size = case.blocks + case.size // 3
    refused = _mount(f"size={size}", "-t", "tmpfs", "maxinv-bench", str(out))
    if refused:
        return _not_done(f"no file system can be mounted here ({refused})")
    try:
        run = Run(case.command(out / "data"))
        return case.again(
            f"a tmpfs of {size / 1e6:.1f} MB",
            out / "data",
            run,
            "No space left on device",
            mend=lambda: _mount(f"remount,size={4 * (case.blocks + case.size)}", str(out)),
        )
    finally:
        subprocess.run(["umount", str(out)], check=False)


def _read_only(case, out):
    is_root = os.geteuid() == 0
    if is_root and shutil.which(SEEING[0]) is None:
        return _not_done("root may write anywhere, and there is no command setpriv")
    run = Run([*(SEEING if is_root else ()), *case.command(out)])
    runs.wait_for_shards(out, case.third, run)
    (out / "shards").chmod(0o555)
    how = "chmod 555 shards half-way" + (" (by root without CAP_DAC_OVERRIDE)" if is_root else "")
    return case.again(how, out, run, "Permission denied", mend=lambda: (out / "shards").chmod(0o755))


def _two_at_once(case, out):
    started = [Run(case.command(out, "--workers", "1")) for _ in range(2)]
    winner, refused = sorted((run.end() for run in started), key=lambda run: run.code)
    row = case.again("two processes started together", out, refused, "another process is generating")
    if winner.code:
        row["faults"].append(f"the other ended with {winner.code}: {winner.said}")
    return row


def _part_killed(case, out):
    halves = [Run(case.command(out, "--workers", "1", "--shard", f"{k}/2")) for k in (1, 2)]
    runs.wait_for_shards(out, case.third, halves[0])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(halves[0].process.pid, signal.SIGKILL)
    killed, other = (run.end() for run in halves)
    row = case.again("SIGKILL of one of two parts that ran at once", out, killed, "", code=-signal.SIGKILL)
    if other.code:
        row["faults"].append(f"the other part ended with {other.code}: {other.said}")
    return row


TRIALS = {
    "a worker killed": _worker_killed,
    "files limited": _file_limit,
    "a full disk": _full_disk,
    "a read-only folder": _read_only,
    "two generators": _two_at_once,
    "a part killed": _part_killed,
}


def _not_done(why):
    return {"how": f"not done: {why}", "code": None, "said": "", "kept": 0, "faults": []}


def _mount(options, *arguments):
    """What `mount` complains of, or nothing."""
    done = subprocess.run(["mount", "-o", options, *arguments], capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


def _size(folder):
    """Bytes that the files of a folder take."""
    sizes = []
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):  # removed meanwhile
            sizes.append(file.stat().st_blocks * 512)
    return sum(sizes)
