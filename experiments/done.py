"""The sign that a study is complete."""

from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from data.provenance import collect
from experiments.files import read_json, write_json


def sign(path: Path, title: str, quick: bool, runs: Iterable[Path] = ()) -> None:
    """Write what a study is, whether at quick size, and with what its tables were made; what is there stays.

    runs : records of its networks, whose own commits are told beside that of the tables: a study may be continued
    by another version.
    """
    if path.exists():
        return
    origin = collect()
    learned = {name: version(name) for name in ("torch", "scikit-learn")}
    origin["versions"] = origin["versions"] | learned
    commits = Counter(
        read_json(run, "record of a run", "train it again").get("provenance", {}).get("commit") or "unknown"
        for run in runs
    )
    about = {"title": title, "quick": quick, "provenance": origin}
    write_json(path, about | ({"networks by commit": dict(sorted(commits.items()))} if commits else {}))
