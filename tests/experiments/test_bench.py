"""`maxinv bench forward`: everything it says is there, finite and consistent; laws of its own arithmetic."""

import json

import numpy as np
import pytest

from experiments import cli
from experiments.bench import convergence, forward, independent, tables
from experiments.bench.convergence import Mesh
from maxwell import Balls


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What the quick run writes."""
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    assert cli.main(["bench", "forward", "--quick", "--out", str(out)]) == 0
    return json.loads(out.read_text("utf-8"))


@pytest.mark.slow
def test_errors_fall_under_refinement(quick):
    """On meshes this coarse the order is not that of the theory, but every refinement helps."""
    rows = quick["convergence"]["meshes"]
    assert {row["cell"] for row in rows} == {"tetrahedron", "hexahedron"}
    for family in {row["family"] for row in rows}:
        errors = np.array([row["errors"] for row in rows if row["family"] == family])
        assert (np.diff(errors, axis=0) < 0).all()
        assert (np.array(quick["convergence"]["orders"][family]) > 1).all()


def test_two_codes_with_equal_elements_have_equally_many_unknowns(quick):
    ours, theirs, difference = quick["codes"]
    assert ours["dofs"] == theirs["dofs"]
    assert ours["seconds"] > 0 < theirs["seconds"]
    assert all(0 < d < 1 for d in difference["errors"])


def test_the_fast_paths_agree_with_refactorising(quick):
    rows = quick["speed"]
    assert [row["unknown"] for row in rows] == ["Balls(1)", "Voxels(2, 2, 2)"]
    for row in rows:
        assert row["data_difference"] < 1e-8
        assert row["jacobian_difference"] < 1e-8
        assert row["ratio"] == pytest.approx(row["slow"] / row["fast"])
        assert "refactorise" not in row["method"]


def test_the_run_says_where_it_was_measured(quick):
    assert quick["environment"]["cores"] >= 1
    assert quick["environment"]["versions"]["numpy"] == np.__version__


def test_tables_are_printed(quick, capsys):
    tables.show(quick)
    said = capsys.readouterr().out
    for word in ("under refinement", "Reference: NGSolve", "two codes", "taking turns", "pays after"):
        assert word in said


def test_order_is_that_of_a_power_law():
    cells = np.array([4, 6, 10])
    assert convergence.order(cells, 7.0 * cells**-2.5) == pytest.approx(2.5)


def test_meshes_of_the_shipped_recipes_are_known():
    found = convergence.recipe_meshes()
    assert all(isinstance(mesh, Mesh) for mesh in found)
    assert sorted(name for names in found.values() for name in names) == [
        "conductivity, test",
        "conductivity, train",
        "demo, test",
        "demo, train",
    ]


def test_lines_of_the_independent_mesh_fit_the_box_of_the_balls():
    balls = np.array([[0.5, 0.4, 0.6, 0.1, 1.0], [0.6, 0.5, 0.7, 0.05, 1.0]])
    x, y, z = independent.lines(balls, 0.1, across=3, outside=0.2)
    for line, (low, high) in zip((x, y, z), ((0.35, 0.7), (0.25, 0.6), (0.45, 0.8)), strict=True):
        assert line[0] == 0
        assert line[-1] == 1
        assert (np.diff(line) > 0).all()
        assert np.abs(np.array(line) - low).min() < 1e-12
        assert np.abs(np.array(line) - high).min() < 1e-12


def test_a_missing_independent_code_is_a_sentence(monkeypatch):
    from experiments.errors import StudyError
    from maxwell import Conductivity

    monkeypatch.setattr(independent, "available", lambda: False)
    with pytest.raises(StudyError, match="extra independent"):
        independent.solve(Conductivity(), convergence.THETAS, [[0.0, 1.0]] * 3)


@pytest.fixture
def counted(monkeypatch):
    """A plan of three cases of speed, a number each, measured until none is left of those allowed."""
    allowed = [3]

    def measure(case):
        if not allowed[0]:
            raise KeyboardInterrupt
        allowed[0] -= 1
        return {"cells": case.mesh.cells}

    cases = tuple(forward.Case(Balls(1), Mesh(cells), 1) for cells in (3, 4, 5))
    plan = forward.Plan(forward.PLANS["quick"].convergence, cases, Mesh(3))
    monkeypatch.setattr(forward, "speed", measure)
    monkeypatch.setitem(forward.PLANS, "quick", plan)
    monkeypatch.setattr(tables, "show", lambda result: None)
    return allowed


def bench(out, *more):
    return cli.main(["bench", "forward", "--quick", "--part", "speed", "--out", str(out), *more])


def test_a_run_that_was_stopped_is_taken_up_and_one_that_ended_is_measured_anew(tmp_path, counted, capsys):
    out = tmp_path / "bench.json"
    counted[0] = 2
    assert bench(out) == 130
    assert [row["cells"] for row in json.loads(out.read_text("utf-8"))["speed"]] == [3, 4]
    counted[0] = 1
    assert bench(out) == 0
    said = capsys.readouterr().err
    assert "speed: 2 cases taken up" in said
    result = json.loads(out.read_text("utf-8"))
    assert [row["cells"] for row in result["speed"]] == [3, 4, 5]
    assert result["finished"]
    counted[0] = 3
    assert bench(out) == 0
    assert counted[0] == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda found: json.dumps(found | {"environment": found["environment"] | {"processor": "another"}}),
        lambda found: json.dumps(found | {"environment": found["environment"] | {"commit": "another"}}),
        lambda found: json.dumps(found | {"plan": "another"}),
        lambda found: json.dumps(found | {"parts": ["codes", "speed"]}),
        lambda found: json.dumps(found)[:-9],
        lambda found: "[]",
    ],
)
def test_a_stopped_run_of_another_kind_is_measured_anew(tmp_path, counted, change):
    out = tmp_path / "bench.json"
    counted[0] = 2
    assert bench(out) == 130
    out.write_text(change(json.loads(out.read_text("utf-8"))), "utf-8")
    counted[0] = 3
    assert bench(out) == 0
    assert counted[0] == 0


def test_an_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["bench", "sideways"])
    assert end.value.code == 2
    assert "forward" in capsys.readouterr().err
