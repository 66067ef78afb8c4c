"""One paper from claims to verdicts: experiments, table, `claims.json`, `claims.csv`."""

import csv
import io
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pydantic
from filelock import FileLock, Timeout

from data.provenance import collect
from experiments import papers
from experiments.errors import StudyError
from experiments.files import validated, write_json, write_text
from experiments.papers import claims, pictures
from experiments.papers.work import Work

COLUMNS = ("claim", "case", "expected", "value", "low", "high", "seeds", "verdict", "certainty", "note")


def settings_of(key: str, size: str, images: str | Path | None = None) -> pydantic.BaseModel:
    """The checked settings of a paper's experiments, `size` being quick or full.

    images : folder of a paper whose settings have one.  Raises StudyError for a paper that needs none.
    """
    file, schema = papers.claims_file(key), papers.experiments_of(key).Settings
    table = getattr(claims.load(file), size)
    if images is not None:
        if "images" not in schema.model_fields:
            raise StudyError(
                f"--images {images}: the experiments of {key} use no images; leave the option out."
            )
        table = {**table, "images": str(Path(images).absolute())}
    return validated(schema, table, f"{file}: {size}")


def reproduce(
    key: str, out: Path, executor: Executor, size: str = "full", settings: pydantic.BaseModel | None = None
) -> dict[str, Any]:
    """Measure all claims of a paper, or continue; returns what `out`/claims.json holds.

    size : quick or full, the settings of the file of claims, unless `settings` are given.  Written are claims.csv,
    verdicts.png and, last, claims.json, which names all pictures, those that the paper's module left in `out` too.
    Raises StudyError if another process works there.
    """
    paper = claims.load(papers.claims_file(key))
    settings = settings or settings_of(key, size)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".lock", timeout=0):
            measured = papers.experiments_of(key).measure(settings, Work(out, executor))
            result = {
                "key": key,
                **paper.model_dump(include={"title", "authors", "arxiv", "doi", "data"}),
                "size": size,
                "settings": settings.model_dump(mode="json"),
                "claims": claims.judged(paper, measured),
                "provenance": collect(),
            }
            expected = {name: claim.expected for name, claim in paper.claims.items()}
            pictures.write(out / "verdicts.png", pictures.verdicts(result, expected))
            result["pictures"] = sorted(file.name for file in out.glob("*.png"))
            write_text(out / "claims.csv", _csv(result))
            write_json(out / "claims.json", result)
            return result
    except Timeout:
        raise StudyError(f"{out}: another process works here; wait for it, or give another folder.") from None


def _csv(result):
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for name, claim in result["claims"].items():
        for case, found in claim["cases"].items():
            numbers = ["" if found[end] is None else repr(found[end]) for end in ("value", "low", "high")]
            table.writerow(
                (
                    name,
                    case,
                    claim["expected"],
                    *numbers,
                    *(found["count"], found["verdict"], claim["certainty"], found["note"]),
                )
            )
    return text.getvalue()


def show(result: dict[str, Any]) -> None:
    """Print the claims, what was measured, and the verdicts."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console() if Console().is_terminal else Console(width=140)
    shown = Table(title=f"{result['title']} (arXiv {result['arxiv']})", title_justify="left")
    shown.add_column("claim", ratio=3)
    shown.add_column("expected", no_wrap=True)
    shown.add_column("measured [95 % interval]", ratio=2)
    shown.add_column("seeds", justify="right")
    shown.add_column("verdict", no_wrap=True)
    for name, claim in result["claims"].items():
        statement, source = escape(claim["statement"]), f"{claim['source']}; {claim['certainty']}"
        shown.add_row(
            f"[bold]{name}[/]: {statement} [dim]({escape(source)})[/]",
            claim["expected"],
            f"[dim]{escape(claim['quantity'])}[/]",
            "",
            f"[bold]{claim['verdict']}[/]",
        )
        for case, found in claim["cases"].items():
            note = f" ({found['note']})" if found["note"] else ""
            label, number = escape(f"  {case or 'all'}{note}"), escape(found["measured"])
            shown.add_row(label, "", number, str(found["count"]), found["verdict"])
        shown.add_section()
    console.print(shown)
    cases = sum(len(claim["cases"]) for claim in result["claims"].values())
    sentences = [
        f"Data: {result['data']}",
        f"{cases} intervals of 95 % each, Student's over seeds: one in twenty misses by chance.",
    ]
    if result["size"] == "quick":
        sentences.append("Quick settings are a check that everything runs, not a finding.")
    for sentence in sentences:
        console.print(sentence, highlight=False, markup=False)
