"""The page of a study: whole, self-contained, repeatable, and it says what the tables say."""

import csv
import html
import re
import shutil

import numpy as np
import pytest
import study_folder
from matplotlib.figure import Figure

from experiments import cli
from experiments.errors import StudyError
from experiments.files import write_json
from experiments.plots.style import HUES
from experiments.protocol import plan
from experiments.protocol.report import charts, figures, interactive, looks, page, sections
from experiments.protocol.report.material import Material, name_of
from experiments.protocol.report.sections import number


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a study with its page; for reading only."""
    folder = study_folder.make(tmp_path_factory.mktemp("report") / "study")
    page.write(folder)
    return folder


@pytest.fixture(scope="module")
def text(finished):
    return (finished / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def material(finished):
    return Material.of(finished)


def without_library(text):
    """The page but for the JavaScript of plotly, which names addresses that it never asks for."""
    assert interactive.library() in text
    return text.replace(interactive.library(), "")


def test_the_page_fetches_nothing(text):
    own = without_library(text)
    assert not re.findall(r"""(?:src|href|action|data)\s*=\s*["']?\s*(?:https?:|//|file:)""", own)
    assert not re.findall(r"@import|url\((?!data:)|fetch\(|XMLHttpRequest|import\(", own)
    assert own.count("<script src") == own.count("<link") == 0


def test_a_title_with_markup_is_text(text):
    assert "<title>Do &lt;learned&gt; steps help?</title>" in text
    assert "<learned>" not in without_library(text)


def test_equal_tables_give_equal_bytes(finished, tmp_path, capsys):
    assert cli.main(["report", str(finished), "--out", str(tmp_path / "again.html")]) == 0
    assert "again.html" in capsys.readouterr().out
    assert (tmp_path / "again.html").read_bytes() == (finished / "report.html").read_bytes()


def test_a_changed_number_and_a_study_of_depth_change_the_page(finished, text, tmp_path, monkeypatch):
    changed = tmp_path / "study"
    shutil.copytree(finished, changed)
    file = changed / "tables" / "errors.csv"
    rows = list(csv.DictReader(file.open()))
    row = next(row for row in rows if row["method"] == "tikhonov" and row["split"] == "test_narrow")
    file.write_text(file.read_text().replace(row["error"], "0.0123456"))
    summary = {"captions": {"map": "Gradients of all."}, "networks": 5, "trained": "so", "reach": ["deep"]}
    summary |= {"bounds": {"checked": 3, "outside": 0}, "verdicts": []}
    write_json(changed / "depths" / "summary.json", summary)
    with pytest.raises(StudyError, match=r"map\.png"):
        page.write(changed)
    (changed / "depths" / "pictures").mkdir()
    shutil.copy(changed / "pictures" / "forest.png", changed / "depths" / "pictures" / "map.png")
    for name in ("draw", "cuts"):  # pictures on paper are not what changes here, and take long
        monkeypatch.setattr(figures, name, lambda *_: Figure(figsize=(1, 1)))
    other = page.write(changed).read_text("utf-8")
    for new in (number(0.0123456), 'alt="Gradients of all."'):
        assert new not in without_library(text)
        assert new in other


def test_seeds_and_the_family_of_comparisons_are_told(material, text):
    rows = material.tables["comparisons"]
    assert {row["of"] for row in rows} == {len(rows)}
    assert f"Holm's correction for {len(rows)} comparisons" in text
    assert f"over paired seeds ({rows[0]['seeds']:g})" in text.replace("\n", " ")


def test_every_row_of_every_table_is_in_the_page(finished, material, text):
    problem, shown = material.problems[0], html.unescape(without_library(text))
    lines = [re.sub(r"<[^>]+>", "|", line) for line in shown.split("\n")]
    read = dict(material.tables)
    assert set(read) == {file.stem for file in (finished / "tables").glob("*.csv")}
    for row in read["errors"]:
        cells = [
            problem.label(name_of(row)),
            row["split"],
            *(number(row[k]) for k in ("level", "error", "low")),
        ]
        assert any(all(cell in line for cell in cells) for line in lines), cells
    for row in read["groups"]:
        cells = [problem.label(name_of(row)), row["split"], row["group"], number(row["error"])]
        assert any(all(cell in line for cell in cells) for line in lines), cells
    for row in read["directions"]:
        label = problem.label(name_of(row))
        assert any(label in line and number(row["error"]) in line for line in lines), row
    for row in read["tuning"]:
        cells = [problem.label(row["variant"]), number(row["valid_loss"])]
        assert any(all(cell in line for cell in cells) for line in lines), cells
    for row in read["costs"]:
        cells = [problem.label(name_of(row)), sections.count(row["parameters"])]
        assert any(all(cell in line for cell in cells) for line in lines), cells
    for table in ("comparisons", "elsewhere", "ablation", "against", "bounds", "losses", "hybrid"):
        for row in read[table]:
            cells = [sections.cell(value) for value in row.values()]
            assert any(
                "|".join(cells) in line.replace("||", "|").replace("||", "|")
                or all(cell in line for cell in cells)
                for line in lines
            ), cells


def test_every_picture_is_there_as_pdf_and_png_and_in_the_page(finished, text):
    names = set(re.findall(r'<figure id="([^"]+)">', text))
    stems = {
        suffix: {f.stem for f in (finished / "pictures").glob(f"*.{suffix}")} for suffix in ("pdf", "png")
    }
    assert names == stems["pdf"] == stems["png"]
    assert {"forest", "prices", "places-cauchy", "noise-cauchy", "directions-cauchy"} <= names
    assert {"steps-cauchy", "unknowns-cauchy"} <= names
    for name in names:
        figure = text.split(f'<figure id="{name}">')[1].split("</figure>")[0]
        assert "data:image/png;base64," in figure
        assert re.search(r"<figcaption>.{40,}</figcaption>", figure, re.S)


def test_charts_are_what_plotly_understands(material):
    from plotly.graph_objects import Figure as Understood

    for chart in every_chart(material):
        Understood(interactive.draw(chart))  # raises for a property that plotly does not have


def every_chart(material):
    problem = material.problems[0]
    made = [charts.forest(material), charts.prices(material), charts.places(problem), charts.noise(problem)]
    return [*made, charts.directions(problem), charts.steps(problem)]


def test_every_network_with_steps_has_a_panel_and_every_seed_a_line(material):
    problem = material.problems[0]
    chart = charts.steps(problem)
    nets = [entry for _, entries in problem.families() for entry in entries]
    assert [panel.title.split(": Στ ")[0] for panel in chart.panels] == [problem.label(e.name) for e in nets]
    for entry, panel in zip(nets, chart.panels, strict=True):
        learned = material.spec.arms[entry.key].time != "fixed"
        assert len(panel.series) == (len(entry.sheets) if learned else 1)
        for sheet, line in zip(entry.sheets, panel.series, strict=False):
            steps = np.array(sheet.about["steps"])
            np.testing.assert_allclose(line.y, steps / np.abs(steps).mean())
            np.testing.assert_allclose(line.x, (np.arange(len(steps)) + 0.5) / len(steps))
            assert f"{steps.sum():.3g}" in panel.title or len(entry.sheets) > 2
    assert len(interactive.draw(chart)["data"]) == sum(len(panel.series) for panel in chart.panels)


def test_a_selector_offers_every_split_and_level(material):
    problem = material.problems[0]
    chart = interactive.draw(charts.places(problem))
    (menu,) = chart["layout"]["updatemenus"]
    assert len(menu["buttons"]) == len(problem.places) == len(chart["data"])
    for number_, button in enumerate(menu["buttons"]):
        assert [k for k, seen in enumerate(button["args"][1]) if seen] == [number_]


def test_methods_look_the_same_everywhere_and_unlike_each_other(material):
    seen = {}
    for chart in every_chart(material)[1:-1]:
        for panel in chart.panels:
            for series in panel.series:
                assert seen.setdefault(series.name, series.look) == series.look
    drawn = [look for name, look in seen.items() if name != "what linear theory allows"]
    assert len(set(drawn)) >= len(drawn) - 1  # plain networks are one family


def test_a_bound_is_shown_and_is_no_method(material, text):
    problem = material.problems[0]
    table = sections.main(problem)
    names = [row[0] for row in table.rows]
    place = next(k for k, name in enumerate(names) if name.startswith("Cramér-Rao bound"))
    assert place not in table.strong
    assert {names[k] for k in table.strong} == {"Tikhonov", "ResNet, learned positive steps from T = 1"}
    assert "bound: " in text


def test_settings_at_the_end_of_what_was_tried_have_an_arrow(material):
    """With two trials every chosen value is one end or the other; a fixed horizon was not tried at all."""
    (problem,) = material.problems
    trials = material.tables["tuning"]
    for entry, row in zip(
        [e for e in problem.entries if e.variant], sections.tuned(problem).rows, strict=True
    ):
        own = [trial for trial in trials if trial["variant"] == entry.name]
        (chosen,) = (trial for trial in own if trial["chosen"] == "True")
        for key, said in zip(("learning_rate", "weight_decay"), row[1:3], strict=True):
            larger = chosen[key] == max(trial[key] for trial in own)
            assert said == number(chosen[key]) + (" ↑" if larger else " ↓")
        tuned = entry.variant.arm == "fixed-tuned"
        assert (row[3][-1:] in ("↑", "↓")) == (tuned and entry.variant.cell.family != "feed-forward")


def test_pages_of_what_is_no_finished_study_are_refused(tmp_path, finished):
    with pytest.raises(StudyError, match=r"there is no study here"):
        page.write(tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(finished, broken, ignore=shutil.ignore_patterns("ablation.csv"))
    with pytest.raises(StudyError, match=r"lacks ablation\.csv; run `maxinv study` again"):
        page.write(broken)


def test_steps_from_one_horizon_have_the_hue_of_every_other_picture():
    """In the study that ships; arms that start from a tuned horizon have hues of their own."""
    spec = plan.load("learned_steps").spec
    hues = {arm: looks.network(spec, "resnet", arm).colour for arm in spec.arms}
    assert len(set(hues.values())) == len(hues)
    for rule, hue in HUES.items():
        arms = [name for name, arm in spec.arms.items() if arm.time == rule and arm.horizon != "tuned"]
        assert [hues[arm] for arm in arms] == [hue] * (rule != "simplex-horizon"), rule


def test_sixteen_arms_can_be_told_apart(material):
    arm = next(iter(material.spec.arms.values()))
    spec = material.spec.model_copy(update={"arms": {f"arm{k}": arm for k in range(16)}})
    found = [looks.network(spec, "resnet", name) for name in spec.arms]
    assert len(set(found)) == 16
    assert len({look.colour for look in found}) == 8
