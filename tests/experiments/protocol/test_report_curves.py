"""What changes along the grid is drawn from the tables: every depth, number of samples and noise at its place."""

import dataclasses
import re

import matplotlib.figure
import numpy as np
import pytest
import study_folder

from experiments.protocol.report import charts, curves, figures, findings, interactive, page, sections
from experiments.protocol.report.chart import Axis, Chart, Panel, Series
from experiments.protocol.report.looks import TRUTH
from experiments.protocol.report.material import Material

LEVEL = {
    "Tikhonov",
    "Gauss–Newton",
    "Gauss-Newton from the network",
    "mean of 2 networks",
    "Cramér-Rao bound",
}
"""What has one error, whatever the number of training samples of the networks."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a study with its page, whose pictures on paper are empty: to draw all takes long."""
    folder = study_folder.make(tmp_path_factory.mktemp("curves") / "study", study_folder.CURVES)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw", "cuts"):
            patch.setattr(figures, name, lambda *_: matplotlib.figure.Figure(figsize=(1, 1)))
        page.write(folder)
    return folder


@pytest.fixture(scope="module")
def material(finished):
    return Material.of(finished)


@pytest.fixture(scope="module")
def low(material):
    """The problem of least noise, which has all the curves."""
    return min(material.problems, key=lambda problem: problem.noise)


def shown(chart):
    """Panel and name of each series to the series."""
    return {(panel.title, series.name): series for panel in chart.panels for series in panel.series}


def test_error_over_depth_has_every_depth_and_its_interval(low):
    chart = curves.depth(low)
    lines = shown(chart)
    assert set(lines) == {
        ("ResNet", "ResNet, fixed steps, T = 1"),
        ("ResNet", "ResNet, learned positive steps from T = 1"),
    }
    assert list(chart.x.ticks) == [3, 6, 12]
    assert "tuned at 3 layers and given at 6, 12." in chart.caption
    rows = low.at(low.main)
    for (_, label), series in lines.items():
        arm = "positive" if "learned" in label else "fixed-unit"
        found = [rows[f"cauchy/resnet-L{layers}-noise0.01/{arm}"] for layers in (3, 6, 12)]
        assert series.x == pytest.approx([3, 6, 12], rel=0.05)
        for end in ("low", "high"):
            assert list(getattr(series, end)) == [row[end] for row in found]
        assert list(series.y) == [row["error"] for row in found]
        assert series.y[2] / series.y[0] == pytest.approx(0.25**0.25, rel=0.05)  # as it was put in


def test_the_learning_curve_ends_with_all_samples_beside_level_yardsticks(low):
    chart = curves.learning(low)
    lines = {name: series for (_, name), series in shown(chart).items()}
    network = lines.pop("ResNet, fixed steps, T = 1")
    assert network.x == pytest.approx([3, 6, 12], rel=0.05)
    assert network.y[0] / network.y[2] == pytest.approx(2, rel=0.05)
    assert set(lines) == LEVEL
    for name, series in lines.items():
        (row,) = [row for row in low.at(low.main).values() if row["label"] == name]
        assert series.y == [row["error"]] * 2
        assert list(series.x) == [3, 12]
    assert "Every mark is tuned with the same budget." in chart.caption
    assert chart.x.log
    assert chart.y.log
    assert "first 5 samples alone: Gauss–Newton, Gauss-Newton from the network" in chart.caption


def test_over_the_noise_every_method_is_at_its_own_noise_and_the_bound_in_every_panel(material, low):
    chart = curves.noises(material, "cauchy")
    lines = shown(chart)
    assert [panel.title for panel in chart.panels] == ["yardsticks and plain networks", "ResNet"]
    for panel in chart.panels:
        assert (panel.title, "Cramér-Rao bound") in lines
    high = next(problem for problem in material.problems if problem is not low)
    for panel, label, name in (
        ("yardsticks and plain networks", "Tikhonov", "cauchy/tikhonov-noise{}"),
        ("ResNet", "ResNet, fixed steps, T = 1", "cauchy/resnet-L3-noise{}/fixed-unit"),
    ):
        series = lines[panel, label]
        assert series.x == pytest.approx([1, 10], rel=0.05)
        assert list(series.y) == [
            low.at(low.main)[name.format("0.01")]["error"],
            high.at(high.main)[name.format("0.1")]["error"],
        ]
    assert not [name for _, name in lines if "wide" in name or "samples" in name]  # run at one noise alone


def test_there_are_no_curves_where_nothing_changes(material):
    high = max(material.problems, key=lambda problem: problem.noise)
    assert curves.depth(high) is None
    assert curves.learning(high) is None
    assert curves.noises(dataclasses.replace(material, entries=high.entries), "cauchy") is None


def test_pictures_of_one_noise_keep_one_network_an_arm(low):
    assert low.several
    (panel,) = [panel for panel in charts.noise(low).panels if panel.title == "ResNet"]
    assert len(panel.series) == 2
    assert "depth, training samples or name alone" in charts.noise(low).caption


def test_names_of_networks_and_given_settings_are_told(low, finished):
    name = "cauchy/resnet-L3-noise0.01-wide/positive"
    assert low.label(name) == "ResNet, learned positive steps from T = 1, wide, 3 layers"
    rows = {row[0]: row[1:] for row in sections.tuned(low).rows}
    assert rows[low.label(name)][-2] != "given, not tuned"
    given = rows[low.label("cauchy/resnet-L12-noise0.01/positive")]
    assert given[:3] == ["0.00321", "0.1", "1"]
    assert given[-2] == "given, not tuned"
    costs = {row["layers"]: row["tuning_evaluations"] for row in low.rows("costs", family="resnet")}
    assert costs[12] == 0 < costs[3]


def test_the_table_over_the_noise_keeps_methods_of_several(material, low):
    table = sections.over_noise(material, "cauchy")
    assert list(table.head) == ["method", "1 %", "10 %"]
    names = [row[0] for row in table.rows]
    assert "ResNet, fixed steps, T = 1" in names
    assert len(names) == 5 + 3  # yardsticks; two arms and a plain network
    rows = {row["method"]: row for row in low.rows("bounds", group="all", family="")}
    (cells,) = [row for row in table.rows if row[0] == "Tikhonov"]
    assert cells[1].startswith(sections.number(rows["tikhonov"]["ratio"]))


def test_gauss_newton_from_the_network_is_of_its_own_kind(low, finished):
    assert low.best_classical.key == "tikhonov"
    (entry,) = [entry for entry in low.entries if entry.key == "hybrid"]
    assert entry.kind == "hybrid"
    assert low.material.looks[entry.name] not in [
        look for name, look in low.material.looks.items() if "hybrid" not in name
    ]
    found = findings.yardsticks(low)
    told = found.sentence.split("Gauss-Newton from the network: ")
    assert len(told) == 2
    assert "Smaller than" in told[0]
    assert "times it" in found.sentence


def test_the_start_from_the_network_is_summed_up_in_a_sentence(material, finished):
    found = findings.starts(material)
    assert "smaller on 2 of 2 problems, larger on 0; on 0 no difference" in found.sentence
    assert "takes fewer iterations in 100 %." in found.sentence
    assert "12 iterations from cold, 9 from the network, a change of −3 (−3 to −3)" in found.details[0]
    text = (finished / "report.html").read_text("utf-8")
    assert found.sentence.replace("'", "&#39;") in text
    assert all(cell in text for cell in sections.starts(material).rows[0])


def test_the_page_shows_every_curve(finished):
    text = (finished / "report.html").read_text("utf-8")
    names = set(re.findall(r'<figure id="([^"]+)">', text))
    assert {"depth-cauchy-noise0.01", "samples-cauchy-noise0.01", "noises-cauchy"} <= names
    assert {file.stem for file in (finished / "pictures").glob("*.pdf")} == names
    assert "of one depth and one number of training samples and one name" in text


def test_many_panels_stand_in_rows(material, low):
    from plotly.graph_objects import Figure

    for chart in (curves.depth(low), curves.learning(low), curves.noises(material, "cauchy")):
        Figure(interactive.draw(chart))
        assert len(figures.draw(chart).axes) == len(chart.panels)
    series = Series("a", TRUTH, [1.0, 2.0], [1.0, 3.0], [0.5, 2.5], [1.5, 3.5], ["p", "q"])
    axes = Axis("x", log=True, mark=1.0, ticks=[1, 2]), Axis("y", log=True, mark=2.0)
    chart = Chart("c", "t", "c", *axes, [Panel(str(k), [series]) for k in range(7)])
    table = interactive.draw(chart)
    Figure(table)
    layout, boxes = table["layout"], []
    for trace in table["data"]:
        x, y = (layout[trace[f"{a}axis"].replace(a, f"{a}axis")]["domain"] for a in "xy")
        boxes.append((*x, *y))
    assert len(set(boxes)) == 7
    for k, (left, right, bottom, top) in enumerate(boxes):
        for other in boxes[:k]:
            apart = right <= other[0] or other[1] <= left or top <= other[2] or other[3] <= bottom
            assert apart, (k, other)
    made = figures.draw(chart)
    spots = [axis.get_subplotspec().rowspan.start for axis in made.axes]
    assert np.bincount(spots).tolist() == [4, 3]
    assert sum(bool(axis.get_xlabel()) for axis in made.axes) == 4


def test_the_picture_of_all_comparisons_is_not_pressed_together_by_one(material):
    rows = [dict(row) for row in material.tables["comparisons"]]
    assert "beyond" not in charts.forest(material).caption
    rows[0] |= {"change": 7.5, "low": 0.2, "high": 30.0}
    changed = dataclasses.replace(material, tables={**material.tables, "comparisons": rows})
    chart = charts.forest(changed)
    every = [s for panel in chart.panels for s in panel.series]
    assert max(value for s in every for value in (*s.x, *s.high)) == 100
    (far,) = [s for s in every if s.x[0] == 100]
    assert far.low == [20]
    assert "750 % (20 % to" in far.hover[0]
    assert "What ends at +100 % goes on beyond it." in chart.caption


def panel_of(names, mark=1.0, log=True):
    """The figure of one panel with a line for each name, from 0.3 to 0.4, after its layout."""
    lines = [Series(name, TRUTH, [1.0, 2.0], [0.3, 0.4]) for name in names]
    axes = Axis("x"), Axis("y", log=log, mark=mark)
    made = figures.draw(Chart("c", "t", "c", *axes, [Panel("p", lines)]))
    made.draw_without_rendering()
    return made


def test_a_long_legend_is_not_at_the_expense_of_the_panels():
    few, many = (panel_of([f"a rather long name {k}" for k in range(count)]) for count in (2, 30))
    heights = [made.axes[0].get_position().height * made.get_figheight() for made in (few, many)]
    assert min(heights) > 2.0
    assert heights[1] == pytest.approx(heights[0], rel=0.15)


@pytest.mark.parametrize(
    ("mark", "log", "seen"),
    [(1.0, True, False), (0.43, True, True), (0.25, False, True), (9.0, False, False)],
)
def test_a_line_to_compare_with_is_drawn_where_it_presses_nothing_flat(mark, log, seen):
    made = panel_of(["a"], mark, log)
    low, high = made.axes[0].get_ylim()
    assert (low <= mark <= high) == seen
    assert len(made.axes[0].lines) == 1 + seen


def test_titles_of_several_lines_stand_below_the_tool_bar_on_screen():
    """The margin grows by the lines beyond the first, in the first row alone; panels keep their height."""
    lines = [Series("a", TRUTH, [1.0, 2.0], [0.3, 0.4])]

    def layout(*titles):
        panels = [Panel(title, lines) for title in titles]
        return interactive.draw(Chart("c", "t", "c", Axis("x"), Axis("y"), panels))["layout"]

    short, long = layout("p"), layout("p " * 130)
    assert short["margin"]["t"] == layout("")["margin"]["t"] == 60
    assert [a["text"].count("<br>") for a in long["annotations"]] == [2]
    assert long["margin"]["t"] >= 60 + 2 * 13
    assert long["height"] - short["height"] == long["margin"]["t"] - 60
    assert layout(*"abcdefg", "p " * 130)["margin"]["t"] == 60


def test_titles_beside_each_other_leave_room_where_names_stand_at_the_axis():
    point = Series(
        "a", dataclasses.replace(TRUTH, marker="o"), [1.0], [0.0], hover=["a"], low=[0.9], high=[1.1]
    )
    panels = [Panel("64 voxels, smooth conductivity, 1 % noise", [point])] * 2
    named = Chart("c", "t", "c", Axis("x"), Axis("", names=["a"]), panels, along="x")
    texts = [a["text"] for a in interactive.draw(named)["layout"]["annotations"]]
    assert texts == ["64 voxels, smooth<br>conductivity, 1 % noise"] * 2
