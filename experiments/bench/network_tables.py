"""The measurements of networks as tables that read well on a terminal and in a log."""

from rich.console import Console

from experiments.bench.tables import titled


def show(result: dict) -> None:
    """Print every part that was measured."""
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=150)
    where, size = result["environment"], result["size"]
    console.print(
        f"{where['processor']}, {where['cores']} cores; torch {where['versions']['torch']}; one thread, "
        f"processor time, turns interleaved.\nWidth {size['width']}, batch {size['batch']}, {size['precision']}, "
        "learned steps (simplex), γ = 0.5, unless said otherwise.\n",
        highlight=False,
    )
    for part, draw in (("depth", _depth), ("bounds", _bounds), ("ensemble", _ensemble)):
        if part in result:
            draw(console, result[part])


def _depth(console, found):
    rows = found["rows"]
    names = list(dict.fromkeys(name for row in rows for name in row["cases"]))
    for title, quantity, scale, unit in (
        ("Forward and backward pass: best turn (median turn)", "best", 1e3, "ms"),
        ("Peak memory of it, above what the process held before", "peak", 1, "MB"),
    ):
        table = titled(
            f"{title}, in {unit}, by depth L", "net", *(f"L={row['depth']}" for row in rows), "∝ L^"
        )
        for name in names:
            cells = [_cell(row["cases"].get(name), quantity, scale) for row in rows]
            fit = found["growth"][name][quantity]
            table.add_row(name, *cells, "" if fit is None else f"{fit['slope']:.2f} ({fit['ratio']:.2f})")
        console.print(table)
    console.print(
        f"L^: exponent by least squares over depths from {found['fitted']} on, or over the last two where a net "
        "was not measured so deep (in brackets: from the first and the last of these alone).",
        highlight=False,
    )
    for name, why in found["left out"].items():
        console.print(f"{name}: {why}.", highlight=False)
    ratios = ", ".join(
        f"{name} {ratio['best']:.3g} ({ratio['median']:.3g})"
        for name, ratio in found["headline"]["ratios"].items()
    )
    console.print(f"Ratios at L={found['headline']['depth']}, best (median): {ratios}.\n", highlight=False)


def _cell(case, quantity, scale):
    if case is None:
        return ""
    if quantity == "best":
        return f"{_short(scale * case['best'])} ({_short(scale * case['median'])})"
    return f"{scale * case[quantity]:.1f}"


def _short(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _bounds(console, found):
    rates = found["rates"]
    table = titled("What this machine does, in the same process", "operation", "rate", "unit")
    for name, rate in rates["by_size"].items():
        table.add_row(f"matrix product, {name}", f"{rate / 1e9:.1f}", "Gflop/s")
    table.add_row("copy, read and write", f"{rates['copy'] / 1e9:.1f}", "GB/s")
    table.add_row("tanh", f"{rates['activation'] / 1e9:.2f}", "G values/s")
    console.print(table)
    table = titled(
        "What the counts need at these rates (products at the best of them), and what a pass takes",
        "net",
        "depth",
        "fields Gflop",
        "memory Gflop",
        "MB moved",
        "products ms",
        "bytes ms",
        "tanh ms",
        "sum ms",
        "measured ms",
        "over products",
        "over sum",
    )
    for row in found["rows"]:
        predicted = row["predicted"]
        table.add_row(
            row["net"],
            str(row["depth"]),
            f"{row['fields'] / 1e9:.3g}",
            f"{row['memory'] / 1e9:.3g}",
            f"{row['bytes'] / 1e6:.3g}",
            *(_short(1e3 * predicted[key]) for key in ("products", "bytes", "activation", "sum")),
            _short(1e3 * row["best"]),
            f"{row['distance_products']:.1f} ×",
            f"{row['distance']:.1f} ×",
        )
    console.print(table)
    console.print(
        "Counts: fields 6·L·n·w², memory 6·(L²/2)·n·w flops; bytes: each stored tensor (1 of a state's size a "
        "layer, with memory 3)\nwritten and read once. None of it overlapped; lift, readout and the interpreter "
        "are not in it.\n",
        highlight=False,
    )


def _ensemble(console, rows):
    table = titled(
        "One update of an ensemble, and of one net of its kind",
        "net",
        "loop",
        "members S",
        "width",
        "depth",
        "batch",
        "one ms",
        "ensemble ms",
        "ensemble / one",
        "throughput",
    )
    for row in rows:
        table.add_row(
            row["net"],
            row["loop"],
            *(str(row[key]) for key in ("members", "width", "depth", "batch")),
            *(
                f"{_short(1e3 * row[key]['best'])} ({_short(1e3 * row[key]['median'])})"
                for key in ("one", "ensemble")
            ),
            f"{row['cost']['best']:.2f} ({row['cost']['median']:.2f})",
            f"{row['throughput']['best']:.2f} ({row['throughput']['median']:.2f})",
        )
    console.print(table)
    console.print(
        "Best turn (median turn). Throughput: member updates a second in the ensemble over those one by one.\n"
        "Loop: bare is forward, backward and Adam; training is fit and fit_ensemble with all that they do, over "
        "the number of updates.\n",
        highlight=False,
    )
