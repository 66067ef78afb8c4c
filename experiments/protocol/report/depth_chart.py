"""Depths that are found beside fixed ones: what each costs in validation error, and where it began."""

from experiments.protocol.entries import Row
from experiments.protocol.report.chart import Axis, Chart, Panel, Series, percent
from experiments.protocol.report.looks import Look
from experiments.protocol.report.material import Material, cell_of

FURTHEST = 5.0
"""Largest change that is shown, in %: what fails must not press together what is compared."""

FIXED = "fixed depths"
_LINE = Look("#909090", "", "-")


def found(material: Material) -> Chart | None:
    """Validation error over the layers in the end, a panel a cell; None where no arm changes its depth."""
    rows, panels, ticks = material.tables["depths"], [], set()
    if not rows:
        return None
    for cell in dict.fromkeys(map(cell_of, rows)):
        here = [row for row in rows if cell_of(row) == cell]
        ticks |= {row["starts"] for row in here}
        panels.append(Panel(material.titles[cell.data, cell.noise], _series(material, here)))
    beyond = any(100 * row["valid_change"] > FURTHEST for row in rows)
    return Chart(
        "found-depths",
        "Depth that is found beside fixed depth",
        "Change of the root of the validation loss from that of the best fixed depth, with a paired 95 % interval "
        "over seeds, at the layers that a network has in the end (mean over seeds). Dotted lines lead from the "
        "layers it began with. All have one budget of work, so where a dotted line ends with an interval that "
        "reaches 0 or lies below, a depth as good as the best of those that were tried is found."
        + (f" What stands at {FURTHEST:g} % lies there or beyond." if beyond else ""),
        Axis("layers in the end", log=True, ticks=sorted(ticks)),
        Axis("change of the validation error in %", mark=0.0),
        panels,
    )


def _series(material: Material, rows: list[Row]) -> list[Series]:
    """The fixed depths under the rule of the best one as a line, and every arm as a mark."""
    arms = material.spec.arms
    rule = arms[rows[0]["best_fixed"]].time
    line = sorted(
        (row["layers_end"], _shown(row["valid_change"]))
        for row in rows
        if row["changes"] == "False"
        and arms[row["method"]].regularisers is None
        and arms[row["method"]].time == rule
    )
    drawn = [Series(FIXED, _LINE, *zip(*line, strict=True))] if line else []
    for row in rows:
        look = material.looks[f"{cell_of(row).name}/{row['method']}"]
        label, value = material.arm(row["method"]), _shown(row["valid_change"])
        ends = ([_shown(row[f"valid_change_{end}"])] for end in ("low", "high"))
        said = (
            f"{label}<br>{row['layers_end']:.3g} layers ({row['least']:g} to {row['most']:g}), from "
            f"{row['starts']:g}<br>change {percent(row['valid_change'])} ({percent(row['valid_change_low'])} to "
            f"{percent(row['valid_change_high'])})"
        )
        drawn.append(Series(label, look, [row["layers_end"]], [value], *ends, [said], line=False))
        if row["changes"] == "True":
            trail = Look(look.colour, "", ":")
            drawn.append(Series(label, trail, [row["starts"], row["layers_end"]], [value] * 2))
    return drawn


def _shown(change: float) -> float:
    return min(100 * change, FURTHEST)
