"""The study of depth as it is asked for: its cells, its groups, the names of its files, its refusals."""

import pytest

from experiments.depths import spec
from experiments.errors import StudyError


@pytest.mark.parametrize("quick", [True, False], ids=["quick", "full"])
def test_the_shipped_study_has_what_it_promises(quick):
    study = spec.load(quick=quick)
    families = {cell.family for cell in study.cells}
    assert families == {"resnet", "fractional", "dense-additive", "plain"}
    assert {cell.scale for cell in study.cells} == {0.1, 1.0, 10.0}
    assert max(cell.depth for cell in study.cells) == (64 if quick else 512)
    assert max(cell.depth for cell in study.cells if cell.family == "dense-additive") <= 128
    assert study.extent.seeds >= (3 if quick else 10)
    unit = [cell for cell in study.cells if cell.rule == "fixed-unit"]
    assert all(cell.run.horizon == cell.depth for cell in unit)
    assert all(cell.run.horizon == 1 for cell in study.cells if cell.rule != "fixed-unit")
    assert not any((cell.family, cell.run.time) == ("fractional", "free") for cell in study.cells)
    assert len({cell.label for cell in study.cells}) == len(study.cells)


@pytest.mark.parametrize("quick", [True, False], ids=["quick", "full"])
def test_groups_are_whole_cells_of_one_program_and_cover_the_study(quick):
    study = spec.load(quick=quick)
    groups = study.groups()
    assert sorted(c.label for group in groups for c in group) == sorted(c.label for c in study.cells)
    for group in groups:
        assert len({(cell.family, cell.depth) for cell in group}) == 1
        assert len(group) == 1 or len(group) * study.extent.seeds <= study.extent.ensemble
    depths = [group[0].depth for group in groups]
    assert depths == sorted(depths)
    wide = next(g for g in groups if (g[0].family, g[0].depth) == ("dense-additive", max(
        c.depth for c in study.cells if c.family == "dense-additive")))  # fmt: skip
    narrow = next(g for g in groups if (g[0].family, g[0].depth) == ("dense-additive", 4))
    assert len(wide) < len(narrow)


@pytest.mark.parametrize(
    ("old", "new", "others"),
    [
        ("seeds = 2", "seeds = 4", True),
        ("width = 6", "width = 7", True),
        ("snapshots = [0, 1, 2]", "snapshots = [0, 2]", True),
        ("ensemble = 8", "ensemble = 80", False),
        ('recipe = "demo"', 'recipe = "demo"\ntrained_below = 0.2', False),
        ('recipe = "demo"', 'recipe = "demo"\nperturbations = [0.02]', True),
        ("scales = [1.0, 30.0]", "scales = [1.0, 30.0, 40.0]", False),
    ],
)
def test_a_cell_has_another_file_exactly_where_its_numbers_are_others(tmp_path, study_text, old, new, others):
    keys = []
    for name, text in (("old", study_text), ("new", study_text.replace(old, new, 1))):
        file = tmp_path / f"{name}.toml"
        file.write_text(text)
        study = spec.load(file, quick=True)
        keys.append({cell.label: study.key(cell, "digest") for cell in study.cells})
    assert len(set(keys[0].values())) == len(keys[0])
    assert all((keys[0][label] != keys[1][label]) == others for label in keys[0])
    study = spec.load(tmp_path / "old.toml", quick=True)
    assert study.key(study.cells[0], "digest") != study.key(study.cells[0], "another")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('time = "fixed", horizon = 1.0', 'time = "fixed", horizon = 1.0, step = 1.0', "rules.fixed"),
        ('{ time = "fixed", horizon = 1.0 }', '{ time = "fixed" }', "exactly one"),
        ('rules = ["fixed", "simplex"] }', 'rules = ["fixed", "simplest"] }', "simplest"),
        ('rules = ["fixed", "simplex"] }', 'rules = ["fixed", "free"] }', "families.fractional"),
        ("snapshots = [0, 1, 2]", "snapshots = [0, 1]", "from 0 to 2"),
        ("snapshots = [0, 1, 2]", "snapshots = [1, 2]", "from 0 to 2"),
        ("depths = [2, 5]", "depths = []", "quick.depths"),
        ("scales = [1.0, 30.0]", "scales = [0.0]", "quick.scales"),
        ("width = 6", "widht = 6", "widht"),
        ("[families]", "[familes]", "famil"),
    ],
)
def test_a_mistake_is_told_in_a_sentence_that_names_it(tmp_path, study_text, old, new, named):
    file = tmp_path / "wrong.toml"
    file.write_text(study_text.replace(old, new, 1))
    assert file.read_text() != study_text
    with pytest.raises(StudyError) as error:
        spec.load(file, quick=True)
    assert named in str(error.value)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)
