"""The whole study of depth on real finite-element data, as small as it can be: kills, refusals, equal files."""

import json

import pytest

from experiments import cli
from experiments.depths import maps, run, tables, verdicts
from experiments.depths.captions import captions
from experiments.depths.spec import load


@pytest.fixture(scope="module")
def dataset(demo):
    return demo / "data"


@pytest.fixture(scope="module")
def whole(dataset, depths_file, in_this_process, tmp_path_factory):
    """The folder of a whole study, made through the command line; for reading only."""
    out = tmp_path_factory.mktemp("whole")
    arguments = ["--study", str(depths_file), "--data", str(dataset), "--out", str(out), "--workers", "1"]
    assert cli.main(["depths", "--quick", *arguments]) == 0
    return out


def content(out, *parts):
    return {str(p.relative_to(out)): p.read_bytes() for part in parts for p in sorted(out.glob(part))}


def test_it_ends_in_tables_pictures_and_verdicts(whole, depths_file):
    study = load(depths_file, quick=True)
    assert len(content(whole, "cells/*")) == len(study.cells)
    names = {path.name for path in (whole / "tables").iterdir()}
    assert names == {f"{name}.csv" for name in ("gradients", "trainability", "sensitivity", "steps")}
    pictures = {path.name for path in (whole / "pictures").iterdir()}
    assert pictures == {f"{name}.{kind}" for name in captions(study) for kind in ("png", "pdf")}
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["bounds"]["checked"] > 2 * len(study.cells)
    assert summary["bounds"]["outside"] == 0
    assert len(summary["verdicts"]) == len(summary["comparisons"]) == 4 * (2 * 2 + 1 + 1)
    assert set(summary["captions"]) == set(captions(study))
    assert summary["study"] == study.spec.model_dump(mode="json")
    done = json.loads((whole / "DONE").read_text())
    assert (done["title"], done["quick"]) == ("depths", True)
    assert "torch" in done["provenance"]["versions"]


def test_a_killed_study_goes_on_where_it_was_and_ends_with_the_same_bytes(
    whole, dataset, depths_file, in_this_process, tmp_path, monkeypatch
):
    study, write, written = load(depths_file, quick=True), run.write_json, []

    def until_killed(path, cell):
        if len(written) == 9:
            raise KeyboardInterrupt
        write(path, cell)
        written.append(path)

    monkeypatch.setattr(run, "write_json", until_killed)
    with pytest.raises(KeyboardInterrupt):
        run.measure_all(study, dataset, tmp_path, 1)
    monkeypatch.setattr(run, "write_json", write)
    assert len(content(tmp_path, "cells/*")) == 9
    stamps = {path: path.stat().st_mtime_ns for path in written}
    run.measure_all(study, dataset, tmp_path, 1)
    assert {path: path.stat().st_mtime_ns for path in written} == stamps
    assert content(tmp_path, "cells/*") == content(whole, "cells/*")
    for name, rows in tables.tables(study, run.results(study, dataset, tmp_path)).items():
        assert tables.text(rows) == (whole / "tables" / f"{name}.csv").read_text()


def test_networks_that_leave_the_numbers_are_counted_and_do_not_stop_the_study(
    dataset, study_text, in_this_process, tmp_path
):
    file = tmp_path / "wild.toml"
    text = study_text.replace("learning_rate = 1e-2", "learning_rate = 1e30")
    file.write_text(text.replace("depths = [2, 5]", "depths = [2]"))
    study = load(file, quick=True)
    run.measure_all(study, dataset, tmp_path, 1)
    found = run.results(study, dataset, tmp_path)
    assert [(c["family"], c["rule"], c["depth"], c["scale"]) for c in found] == [c.label for c in study.cells]
    free = next(cell for cell in found if cell["rule"] == "free")["members"][0]
    assert free["loss"] is None
    assert free["gradients"][0] is not None
    assert free["gradients"][-1] is None
    assert free["steps"] is None
    made = tables.tables(study, found)
    assert not any(row["mean"] for row in made["trainability"] if row["quantity"] == "trained")
    assert any("none" in sentence for sentence in verdicts.reach(study, found))
    drawn = maps.gradients(study, found, "resnet")
    assert any(text.get_text() == "×" for axis in drawn.axes for text in axis.texts)


def test_the_scale_acts_on_the_maps_of_the_layers_alone():
    study = load(quick=True)
    by_scale = {cell.scale: cell for cell in study.cells if cell.label[:3] == ("fractional", "simplex", 4)}
    usual, large = (run.network(by_scale[scale], 3, 5, 2) for scale in (1.0, 10.0))
    for name, value in usual.state_dict().items():
        factor = 10 if name == "layer_weight" else 1
        assert (large.state_dict()[name] == factor * value).all()


def test_rules_and_families_start_from_equal_weights():
    study = load(quick=True)
    nets = [
        run.network(cell, 3, 5, 2)
        for cell in study.cells
        if (cell.depth, cell.scale) == (4, 1.0) and cell.family != "dense-additive"
    ]
    for net in nets[1:]:
        assert (net.layer_weight == nets[0].layer_weight).all()
        assert (net.readout_weight == nets[0].readout_weight).all()


def test_a_cell_that_is_missing_or_damaged_is_named(dataset, depths_file, tmp_path):
    study = load(depths_file, quick=True)
    with pytest.raises(ValueError, match="run `maxinv depths` again"):
        run.results(study, dataset, tmp_path)


@pytest.mark.parametrize(
    "arguments", [["--workers", "0"], ["--study", "nowhere.toml"], ["--data", "nowhere"]]
)
def test_a_mistake_is_told_before_anything_is_made(arguments, tmp_path, capsys):
    given = ["depths", "--data", str(tmp_path), "--out", str(tmp_path / "out"), *arguments]
    assert cli.main(given) == 2
    assert capsys.readouterr().err.startswith("maxinv depths: ")
    assert not (tmp_path / "out").exists()
