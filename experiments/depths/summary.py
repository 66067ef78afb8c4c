"""From the measured cells to tables, pictures and sentences in files."""

from pathlib import Path
from typing import Any

from experiments.depths.captions import captions
from experiments.depths.pictures import pictures
from experiments.depths.spec import Depths
from experiments.depths.tables import Found, tables, text
from experiments.depths.verdicts import bounds_hold, comparisons, reach, sentences
from experiments.files import write_json, write_text
from experiments.plots.style import picture


def write(study: Depths, found: Found, digest: str, out: str | Path) -> dict[str, Any]:
    """Write `out`/tables/*.csv, `out`/pictures/*.png and *.pdf, and `out`/summary.json, which is returned.

    The same cells give the same bytes, but for pictures on another version of matplotlib.
    """
    out = Path(out)
    made = tables(study, found)
    for name, rows in made.items():
        write_text(out / "tables" / f"{name}.csv", text(rows))
    drawn = pictures(study, found, made)
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    for name, figure in drawn.items():
        for suffix in (".png", ".pdf"):
            (out / "pictures" / f"{name}{suffix}").write_bytes(picture(figure, suffix))
            figure.set_layout_engine("none")  # found once: it takes most of the time
    compared = comparisons(study, found)
    summary = {
        "study": study.spec.model_dump(mode="json"),
        "recipe": study.spec.recipe,
        "data set": digest,
        "extent": study.extent.model_dump(),
        "network": study.spec.network,
        "cells": len(found),
        "networks": len(found) * study.extent.seeds,
        "trained": f"validation loss after the last epoch below {study.spec.trained_below:g} of the prior mean's",
        "bounds": bounds_hold(found),
        "shown": f"sign flips of seeds, false discovery rate 5 % among {len(compared)} comparisons",
        "comparisons": compared,
        "verdicts": sentences(study, compared),
        "reach": reach(study, found),
        "captions": captions(study),
    }
    write_json(out / "summary.json", summary)
    return summary
