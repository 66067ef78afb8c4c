"""`maxinv generate` in processes of its own, as users start it, and what it leaves in its folder."""

import hashlib
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import data
from experiments.errors import StudyError

PATIENCE = 600  # seconds until a process that should have ended is given up


@dataclass
class Run:
    """A process in a process group of its own; its output is kept until it ends."""

    command: list[str]
    began: float = field(default_factory=time.monotonic)
    code: int | None = None  #: of the end

    def __post_init__(self):
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def end(self) -> "Run":
        """Wait for its end; then ``code``, ``said`` and ``seconds`` tell of it."""
        output, _ = self.process.communicate(timeout=PATIENCE)
        self.seconds = time.monotonic() - self.began
        self.code = self.process.returncode
        lines = [line for line in output.splitlines() if line.startswith("maxinv")]
        self.said = lines[-1] if lines else ""
        self.traced = "Traceback" in output
        self.output = output
        return self

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None


def generate(recipe: Path, out: Path, *flags: str) -> list[str]:
    """The command that generates."""
    return [sys.executable, "-m", "experiments.cli", "generate", str(recipe), str(out), *flags]


def done(command: list[str]) -> Run:
    """Run a command that must succeed."""
    run = Run(command).end()
    if run.code:
        raise StudyError(f"{' '.join(command)}: ended with {run.code} ({run.said or run.output[-300:]}).")
    return run


def shards(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of every shard that is there."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.glob("shards/*.h5"))
    }


def files(folder: Path) -> set[str]:
    """Every file of a folder but its locks."""
    found = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    return {name for name in found if not name.startswith(".lock")}


def opened(folder: Path) -> data.Dataset:
    """A finished data set; that it commits an inverse crime is no matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", data.InverseCrimeWarning)
        return data.open(folder)


def wait_for_shards(folder: Path, count: int, run: Run) -> int:
    """Wait until so many shards are there, or the run has ended; how many there are."""
    while (found := len(list(folder.glob("shards/*.h5")))) < count and run.running():
        time.sleep(0.002)
    return found


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for text in lists for child in text.read_text().split()]


def workers(pid: int) -> list[int]:
    """Of these, the workers that solve."""
    return [child for child in children(pid) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
