"""The trials of the data pipeline as tables that read well on a terminal and in a log."""

from rich.console import Console

from experiments.bench.tables import titled


def show(result: dict) -> None:
    """Print every part that was measured."""
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=150)
    where = result["environment"]
    console.print(f"{where['processor']}, {where['cores']} cores.\n", highlight=False)
    for part, draw in (
        ("executors", _executors),
        ("layout", _layout),
        ("reading", _reading),
        ("flips", _flips),
        ("kills", _kills),
    ):
        if part in result:
            draw(console, result[part])
            console.print()


def _executors(console, rows):
    table = titled(
        "One recipe in every way",
        "computed by",
        "digest",
        "samples",
        "s",
        "parameters",
        "observations",
        text=2,
    )
    for row in rows:
        agree = ("bit for bit" if d is None else f"{d:.1f} digits" for d in row["digits"].values())
        table.add_row(row["way"], row["digest"][:16], str(row["samples"]), f"{row['seconds']:.1f}", *agree)
    console.print(table)
    used = ", ".join(f"{count} samples by {name}" for name, count in rows[0]["methods"].items())
    console.print(f"Agreement is with the first row, of which {used}.", highlight=False)


def _layout(console, found):
    table = titled(
        f"Observations, {found['shape'][0]} × {found['shape'][1]}, in HDF5 files of other layouts: GB/s",
        "layout",
        "size",
        "written",
        "read in order",
        "rows at random",
    )
    for row in found["rows"]:
        speeds = (f"{row[action] / 1e9:.3g}" for action in ("write", "in order", "random"))
        table.add_row(row["layout"], f"{100 * row['size']:.1f} %", *speeds)
    console.print(table)
    console.print(
        f"By h5py, best turn, processor time, page cache; {found['bytes'] / 1e6:.1f} MB of {found['folder']}.",
        highlight=False,
    )


def _reading(console, found):
    table = titled(
        f"{found['samples']:,} samples in {found['shards']} files, {found['disk'] / 1e9:.3g} GB: a turn reads "
        f"{found['bytes'] / 1e9:.3g} GB",
        "reading",
        "GB/s, best turn",
        "median",
        "ratio, best",
        "median",
        "range",
    )
    for name, way in found["ways"].items():
        ratio = way["ratio"]
        table.add_row(
            name,
            f"{way['best'] / 1e9:.2f}",
            f"{way['median'] / 1e9:.2f}",
            f"{ratio['best']:.2f}",
            f"{ratio['median']:.2f}",
            f"{ratio['low']:.2f} to {ratio['high']:.2f}",
        )
    console.print(table)
    opening = found["open"]
    console.print(
        f"Opened in {1e3 * opening['best']:.0f} ms (median {1e3 * opening['median']:.0f} ms). Processor time, "
        "turns interleaved, everything in the page cache.",
        highlight=False,
    )


def _flips(console, found):
    console.print(
        f"{found['flips']} single bits flipped in {found['files']} files, {found['bytes'] / 1e6:.2f} MB: "
        f"validate notices {found['flips'] - len(found['unnoticed'])}; reading is refused after "
        f"{found['refused']}, gives the same numbers after {found['same']} and others after {len(found['wrong'])}.",
        highlight=False,
    )
    for what, places in (("Not noticed", found["unnoticed"]), ("Other numbers", found["wrong"])):
        for place in places:
            console.print(f"{what}: {place}", highlight=False)


def _kills(console, found):
    whole, rows = found["undisturbed"], found["rows"]
    table = titled(
        f"SIGKILL of the whole group at {len(rows)} random instants of a generation of {whole['seconds']:.1f} s, "
        f"{whole['shards']} shards",
        "while",
        "kills",
        "shards kept",
        "lost at most",
        "computed again",
        "s to complete",
        "faults",
    )
    for phase in ("starting", "solving", "ended"):
        here = [row for row in rows if row["phase"] == phase]
        if here:
            table.add_row(
                phase,
                str(len(here)),
                *(_range(row[key] for row in here) for key in ("kept",)),
                str(max(row["lost"] for row in here)),
                _range(row["again"] for row in here),
                f"{sum(row['seconds'] for row in here) / len(here):.1f}",
                str(sum(len(row["faults"]) for row in here)),
            )
    console.print(table)
    for row in rows:
        for fault in row["faults"]:
            console.print(f"  after {row['instant']:.2f} s: {fault}", highlight=False)
    console.print(
        "After every kill the same run completed: finished shards kept their bytes, nothing but what was missing "
        "was computed,\nnothing was left over, and the content is that of the undisturbed run."
        if not any(row["faults"] for row in rows)
        else "The laws of the folder do not hold.",
        highlight=False,
    )
    table = titled(
        "Other troubles, and the same command again", "trial", "exit", "shards kept", "said", "then"
    )
    for row in found["troubles"]:
        then = "" if row["code"] is None else "; ".join(row["faults"]) or "complete, equal"
        code = "" if row["code"] is None else str(row["code"])
        table.add_row(row["how"], code, str(row["kept"]), row["said"].partition(": ")[2], then)
    for column in table.columns[3:]:
        column.justify, column.no_wrap = "left", False
    console.print(table)


def _range(values):
    values = list(values)
    return str(values[0]) if min(values) == max(values) else f"{min(values)} to {max(values)}"
