"""The sign that a study is complete."""

from importlib.metadata import version
from pathlib import Path

from data.provenance import collect
from experiments.files import write_json


def sign(path: Path, title: str, quick: bool) -> None:
    """Write what a study is, whether at quick size, and with what it was made; what is there already stays."""
    if path.exists():
        return
    origin = collect()
    learned = {name: version(name) for name in ("torch", "scikit-learn")}
    origin["versions"] = origin["versions"] | learned
    write_json(path, {"title": title, "quick": quick, "provenance": origin})
