"""Progress of long work: a bar with the time left on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts units of work done; use as a context manager.

    label : what is being done.  total : units in all, which may be corrected later.  unit : their name.
    Shown are the units done, their rate, the time left at this rate, and a note. On a terminal a bar is drawn;
    elsewhere (a file, a batch system) a line is printed at the start, at most every ten seconds, and at the end.
    """

    def __init__(self, label: str, total: int, unit: str):
        self.label, self.total, self.unit = label, total, unit
        self._bar = self._task = None
        self._kept = 0
        self._began = self._printed = time.monotonic()

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            import rich.console
            import rich.progress as rp

            self._bar = rp.Progress(
                rp.TextColumn("{task.description:<10}"),
                rp.BarColumn(),
                rp.TextColumn(f"{{task.completed:.0f}}/{{task.total:.0f}} {self.unit}"),
                rp.TimeElapsedColumn(),
                rp.TextColumn("{task.fields[said]}"),
                console=rich.console.Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=self.total, said="")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, done: int, note: str = "") -> None:
        """Say how many units were there already; the rate is counted from here."""
        self._kept = done
        self._began = time.monotonic()
        self._show(done, note, force=True)

    def update(self, done: int, note: str = "") -> None:
        """Say how many units are done by now, those there at the start included."""
        self._show(done, note, force=done == self.total)

    def _show(self, done, note, force):
        now = time.monotonic()
        if self._bar is not None:
            said = ", ".join(self._rate(done, now) + [note] * bool(note))
            self._bar.update(self._task, completed=done, total=self.total, said=said)
            return
        if not force and now - self._printed < SECONDS_BETWEEN_LINES:
            return
        self._printed = now
        parts = [
            f"{self.label}: {done}/{self.total} {self.unit}",
            *self._rate(done, now),
            *[note] * bool(note),
        ]
        print(", ".join(parts), file=sys.stderr, flush=True)

    def _rate(self, done, now):
        """Units a second since the start, and the time left."""
        fresh, seconds = done - self._kept, now - self._began
        if fresh <= 0 or seconds <= 0:
            return []
        left = [f"{clock((self.total - done) * seconds / fresh)} left"] if done < self.total else []
        return [f"{fresh / seconds:.3g} {self.unit}/s", *left]


def clock(seconds: float) -> str:
    """A duration as people say it: 45 s, 3 min 20 s, 2 h 5 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
