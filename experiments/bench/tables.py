"""The measurements as tables that read well on a terminal and in a log."""

from rich.console import Console
from rich.table import Table

TARGETS = (0.03, 0.01)
"""Discretisation errors that the recipes aim at: log-contrast 2, and -1.5."""


def show(result: dict) -> None:
    """Print every part that was measured."""
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=150)
    where = result["environment"]
    console.print(f"{where['processor']}, {where['cores']} cores; one thread, seconds of processor time.\n")
    for part, draw in (("convergence", _convergence), ("codes", _codes), ("speed", _speed)):
        if part in result:
            draw(console, result[part])


def titled(title, *columns, text=1):
    """A table whose first `text` columns are words and the others numbers."""
    table = Table(title=title, title_justify="left")
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k < text else "right", no_wrap=True)
    return table


def _mesh(row):
    grading = f"graded {row['grading']:g}" if row["grading"] else "uniform"
    return f"{row['cell']}, degree {row['degree']}, {grading}"


def _percent(value):
    return f"{100 * value:.2g} %" if value < 0.995 else f"{100 * value:.0f} %"


def _convergence(console, found):
    contrasts = [f"error, contrast {q:g}" for q in found["contrasts"]]
    table = titled(
        "Scattered data of one ball (R = 0.12 m) under refinement",
        "elements",
        "cells",
        "dofs",
        "s a sample",
        "factors MB",
        *(name for c in contrasts for name in (c, "order")),
    )
    last = None
    for row in found["meshes"]:
        if last is not None and row["family"] != last:
            table.add_section()
        orders = ["" for _ in contrasts] if row["order"] is None else [f"{o:.1f}" for o in row["order"]]
        table.add_row(
            _mesh(row) if row["family"] != last else "",
            str(row["cells"]),
            f"{row['dofs']:,}",
            f"{row['seconds']:.2f}",
            f"{row['factors']:.0f}",
            *(t for e, o in zip(row["errors"], orders, strict=True) for t in (_percent(e), o)),
        )
        last = row["family"]
    console.print(table)
    own = ", ".join(_percent(e) for e in found["reference_error"])
    console.print(f"Reference: {found['reference']}; one order less changes it by {own}.", highlight=False)
    families = [row for k, row in enumerate(found["meshes"]) if k == _first(found["meshes"], row["family"])]
    for row, orders in zip(families, found["orders"], strict=True):
        if orders is not None:
            fitted = " and ".join(f"{o:.1f}" for o in orders)
            console.print(f"Order fitted over {_mesh(row)}: {fitted}.", highlight=False)
    console.print()
    if found["recipes"]:
        _judged(console, found)


def _judged(console, found):
    table = titled(
        f"Discretisation error of the recipes over {found['centres']} place(s) of the ball: largest (mean)",
        "recipe and split",
        "elements",
        "cells",
        "dofs",
        "s a sample",
        *(f"contrast {q:g}, aim {_percent(t)}" for q, t in zip(found["contrasts"], TARGETS, strict=True)),
        text=2,
    )
    for row in found["recipes"]:
        errors = [f"{_percent(e)} ({_percent(m)})" for e, m in zip(row["errors"], row["mean"], strict=True)]
        table.add_row(
            "; ".join(row["recipes"]) or "none: candidate",
            _mesh(row),
            str(row["cells"]),
            f"{row['dofs']:,}",
            f"{row['seconds']:.2f}",
            *errors,
        )
    console.print(table)
    within = [
        row for row in found["recipes"] if all(e <= t for e, t in zip(row["errors"], TARGETS, strict=True))
    ]
    if within:
        best = min(within, key=lambda row: row["dofs"])
        said = f"{best['cells']} cells, {_mesh(best)}, {best['dofs']:,} dofs"
    console.print(
        f"Fewest unknowns within both aims: {said if within else 'none of these'}.", highlight=False
    )
    console.print()


def _first(rows, family):
    return next(k for k, row in enumerate(rows) if row["family"] == family)


def _codes(console, found):
    table = titled(
        "One sample, 32 sources: assembled, factorised and solved by two codes",
        "code",
        "dofs",
        "s a sample",
        "peak MB",
        "contrast 2",
        "contrast -1.5",
    )
    for row in found:
        errors = ["", ""] if row["errors"] is None else [_percent(e) for e in row["errors"]]
        numbers = ("", "", "")
        if "dofs" in row:
            numbers = (f"{row['dofs']:,}", f"{row['seconds']:.2f}", f"{row['megabytes']:.0f}")
        table.add_row(row["code"], *numbers, *errors)
    console.print(table)
    console.print()


def _speed(console, found):
    table = titled(
        "Refactorising for every sample against the fast path, taking turns: 32 sources, default prior",
        "unknown, elements, method",
        "dofs",
        "n",
        "s refactorising",
        "s fast",
        "ratio",
        "ratio, J too",
        "J / value",
        "data agree",
        "J agrees",
    )
    cost = titled(
        "What the fast path takes beforehand, and what it holds",
        "unknown, elements",
        "setup s",
        "prepare s",
        "pays after",
        "factors MB",
        "blocks MB",
        "peak MB",
        "1000 samples s",
    )
    for row in found:
        name = f"{row['unknown']}, {row['cells']} cells,\n{_mesh(row)}"
        table.add_row(
            f"{name},\n{row['method']}",
            f"{row['dofs']:,}",
            str(row["samples"]),
            f"{row['slow']:.3g}",
            f"{row['fast']:.3g}",
            f"{row['ratio']:.0f}",
            f"{row['ratio_jacobian']:.0f}",
            f"{row['jacobian_cost']:.1f}",
            f"{row['data_difference']:.0e}",
            f"{row['jacobian_difference']:.0e}",
        )
        cost.add_row(
            name,
            f"{row['setup']:.1f}",
            f"{row['prepare']:.1f}",
            "never" if row["break_even"] is None else f"{row['break_even']:.0f} samples",
            f"{row['factors']:.0f}",
            f"{row['blocks']:.0f}",
            f"{row['peak']:.0f}",
            f"{1000 * row['fast']:.0f}",
        )
    console.print(table)
    console.print(cost)
