"""The whole study of depth on real finite-element data, as small as it can be: kills, refusals, equal files."""

import json

import pytest

from experiments import cli
from experiments.depths import run
from experiments.depths.captions import captions
from experiments.depths.spec import load


@pytest.fixture(scope="module")
def dataset(demo):
    return demo / "data"


def maxinv(file, dataset, out):
    return cli.main(
        [
            "depths",
            "--quick",
            "--study",
            str(file),
            "--data",
            str(dataset),
            "--out",
            str(out),
            "--workers",
            "1",
        ]
    )


def content(out, *parts):
    return {
        str(path.relative_to(out)): path.read_bytes() for part in parts for path in sorted(out.glob(part))
    }


def test_it_ends_in_tables_pictures_and_verdicts_and_a_kill_changes_nothing(
    dataset, depths_file, in_this_process, tmp_path, capsys, monkeypatch
):
    assert maxinv(depths_file, dataset, tmp_path / "one") == 0
    said = capsys.readouterr().out
    study = load(depths_file, quick=True)
    files = content(tmp_path / "one", "tables/*", "cells/*", "summary.json")
    assert len(content(tmp_path / "one", "cells/*")) == len(study.cells)
    assert {f"tables/{name}.csv" for name in ("gradients", "trainability", "sensitivity", "steps")} < set(
        files
    )
    pictures = content(tmp_path / "one", "pictures/*")
    assert set(pictures) == {f"pictures/{name}.{kind}" for name in captions(study) for kind in ("png", "pdf")}
    summary = json.loads(files["summary.json"])
    assert summary["bounds"]["checked"] > 2 * len(study.cells)
    assert summary["bounds"]["outside"] == 0
    assert all(sentence in said for sentence in summary["verdicts"] + summary["reach"])
    assert len(summary["verdicts"]) == 4 * (2 * 2 + 1 + 1)

    write, written = run.write_json, []

    def until_killed(path, cell):
        if len(written) == 9:
            raise KeyboardInterrupt
        write(path, cell)
        written.append(path)

    monkeypatch.setattr(run, "write_json", until_killed)
    assert maxinv(depths_file, dataset, tmp_path / "two") == 130
    monkeypatch.setattr(run, "write_json", write)
    assert len(content(tmp_path / "two", "cells/*")) == 9
    stamps = {path: path.stat().st_mtime_ns for path in written}
    assert maxinv(depths_file, dataset, tmp_path / "two") == 0
    assert {path: path.stat().st_mtime_ns for path in written} == stamps
    assert content(tmp_path / "two", "tables/*", "cells/*", "summary.json") == files


def test_cells_say_what_happened_to_their_networks(dataset, depths_file, in_this_process, tmp_path):
    text = depths_file.read_text().replace("learning_rate = 1e-2", "learning_rate = 1e30")
    depths_file.write_text(text.replace("depths = [2, 5]", "depths = [2]"))
    assert maxinv(depths_file, dataset, tmp_path / "out") == 0
    study = load(depths_file, quick=True)
    found = run.results(study, dataset, tmp_path / "out")
    assert [(c["family"], c["rule"], c["depth"], c["scale"]) for c in found] == [c.label for c in study.cells]
    free = next(cell for cell in found if cell["rule"] == "free")["members"][0]
    assert free["loss"] is None
    assert free["gradients"][0] is not None
    assert free["gradients"][-1] is None
    assert free["steps"] is None
    assert all(json.loads((tmp_path / "out/summary.json").read_text())["captions"].values())


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
