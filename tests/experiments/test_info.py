"""What `maxinv info` says and draws, of each problem, of what is unfinished, and of what failed."""

import concurrent.futures
import re
import shutil
import struct

import numpy as np
import pytest

import data
from experiments import cli
from experiments.commands import info
from experiments.plots.samples import samples

BALLS = {"kind": "conductivity"}
TWO = {"parametrisation": {"kind": "balls", "count": 2}, "prior": {"kind": "ball_prior", "count": 2}}
PROBLEMS = {
    "balls": (BALLS, {"cells": 3, "degree": 1}, TWO),
    "voxels": (
        {"kind": "conductivity", "parametrisation": {"kind": "voxels", "nx": 4, "ny": 4, "nz": 4}},
        {"cells": 6, "degree": 1},
        {"frequency": [2e7, 1e7]},
    ),
    "cauchy": ({"kind": "cauchy", "modes": 6}, {"cells": 4, "degree": 2}, {"depth": 0.6}),
    "cells": (
        {"kind": "magnetisation", "sensors": 3},
        {"cells": 6, "degree": 1},
        {"sensor_height": 0.8},
    ),
}


def generate(folder, problem, mesh, other):
    finer = {**mesh, "cells": mesh["cells"] + 1}
    splits = {
        "train": {"samples": 3},
        "valid": {"samples": 1},
        "test": {"samples": 2, "mesh": finer},
        "test_inverse_crime": {"samples": 2, "same_parameters_as": "test", "inverse_crime": True},
        "test_other": {"samples": 1, "mesh": finer, "problem": other},
    }
    recipe = {"seed": 2, "problem": problem, "mesh": mesh, "store": {"shard": 2}, "splits": splits}
    with concurrent.futures.ThreadPoolExecutor(1) as here:  # a process would import the solver anew
        return data.generate(data.recipe.parse(recipe), folder, 1, executor=here)


@pytest.fixture(scope="module", params=list(PROBLEMS))
def whole(request, tmp_path_factory):
    """Read only."""
    return generate(tmp_path_factory.mktemp("info") / request.param, *PROBLEMS[request.param])


@pytest.fixture(scope="module")
def balls(tmp_path_factory):
    """Read only."""
    return generate(tmp_path_factory.mktemp("info") / "set", *PROBLEMS["balls"])


def said(capsys, *arguments):
    assert cli.main(["info", *map(str, arguments)]) == 0
    caught = capsys.readouterr()
    assert caught.err == ""
    return caught.out


def test_it_tells_what_there_is_of_every_problem(whole, capsys):
    text = said(capsys, whole.path)
    train = whole.split("train")
    assert "version 3, complete\n9 of 9 samples, 6 of 6 shards of 2" in text
    assert whole.manifest.digest in text
    assert repr(whole.problem)[:40] in text
    assert (
        f"{train.observations.shape[1]} {'complex' if train.observations.dtype.kind == 'c' else 'real'}"
        in text
    )
    assert f"{whole.noise_reference:.4g} {whole.observation_unit}" in text
    for label in whole.labels:
        assert re.search(rf"^{label} ", text, re.MULTILINE)
    for name in whole.splits:
        assert f"{whole.split(name).discretisation['dofs']:,}" in text
    assert "INVERSE CRIME (declared)" in text
    assert "not declared" not in text
    assert "parameters of test" in text
    size = np.abs(train.parameters) if train.parameters.dtype.kind == "c" else train.parameters
    assert f"{size.max():.4g}" in text
    for method in set(whole.records["method"]):
        assert method.split()[0] in text  # a long one is folded
    assert train.manifest.provenance["date"] in text


def test_the_picture_of_every_problem_has_a_row_a_sample(whole, tmp_path, capsys):
    file = tmp_path / "folder" / "picture.png"
    text = said(capsys, whole.path, "--plot", file, "--samples", 1)
    assert f"picture: {file}" in text
    width, height = struct.unpack(">II", file.read_bytes()[16:24])
    assert file.read_bytes()[:4] == b"\x89PNG"
    assert width > 1000
    assert height > 400
    views = info.chosen(whole, 5)
    assert [(str(v.split_names[0]), int(v.indices[0])) for v in views] == [
        ("train", 0),
        ("test", 0),
        ("test_other", 0),
        ("train", 1),
        ("test", 1),
    ]
    made = samples(views)
    rows = {axis.get_subplotspec().rowspan.start for axis in made.axes if axis.get_subplotspec()}
    assert rows == set(range(5))


@pytest.mark.parametrize(
    ("name", "begin"),
    [("p.pdf", b"%PDF"), ("p.SVG", b"<?xml"), ("p.png", b"\x89PNG")],
    ids=["pdf", "svg", "png"],
)
def test_a_picture_is_what_its_name_says_and_always_the_same(balls, tmp_path, capsys, name, begin):
    file = tmp_path / name
    said(capsys, balls.path, "--plot", file, "--samples", 1)
    first = file.read_bytes()
    assert first.startswith(begin)
    said(capsys, balls.path, "--plot", file, "--samples", 1)
    assert file.read_bytes() == first


def test_the_cut_goes_through_the_ball_and_the_data_are_those_stored(balls):
    view = balls.split("train").take([1])
    made = samples([view])
    x, y, z, _, contrast = view.parameters[0]
    planes, shown = made.axes[:3], made.axes[3]
    for axis, place in zip(planes, (x, y, z), strict=True):
        told = float(re.fullmatch(r"[xyz] = (\S+) m", axis.get_title())[1])
        assert told == pytest.approx(place, abs=0.03)
        values = axis.collections[0].get_array()
        assert values.flat[np.abs(values).argmax()] == pytest.approx(contrast)
    matrix = np.abs(view.observations[0]).reshape(32, 32)
    drawn = np.asarray(shown.images[0].get_array())
    np.testing.assert_allclose(drawn, np.maximum(matrix / matrix.max(), 1e-3))
    assert f"up to {matrix.max():.3g} V/m" in shown.get_title()


def test_another_problem_of_a_split_is_told_key_by_key(balls, capsys):
    text = " ".join(said(capsys, balls.path).split())
    assert "parametrisation.count 2 instead of 1" in text
    assert "prior.count 2 instead of 1" in text
    assert "prior.z" not in text


def test_an_unfinished_set_is_told_and_drawn_as_far_as_it_goes(balls, tmp_path, capsys):
    folder = shutil.copytree(balls.path, tmp_path / "part")
    for name in ("train-00000.h5", "test-00000.h5"):
        (folder / "shards" / name).unlink()
    text = said(capsys, folder)
    assert [str(view.split_names[0]) for view in info.chosen(data.open(folder, partial=True), 2)] == [
        "train",
        "test_other",
    ]
    assert "NOT FINISHED 5 of 9 samples, 4 of 6 shards of 2" in " ".join(text.split())
    assert "1 of 3" in text
    shutil.rmtree(folder / "shards")
    text = said(capsys, folder)
    assert "0 of 9 samples, 0 of 6 shards" in text
    assert cli.main(["info", str(folder), "--plot", str(tmp_path / "none.png")]) == 2
    assert "holds no sample yet" in capsys.readouterr().err


def test_failed_samples_and_an_undeclared_crime_are_not_overlooked(tmp_path, capsys):
    """A sphere that conducts so well that the mesh cannot follow its field."""
    strong = {"kind": "ball_prior", "contrast": [8.0, 9.0]}
    recipe = {
        "problem": {**BALLS, "prior": strong},
        "mesh": {"cells": 3, "degree": 1},
        "splits": {"train": {"samples": 6}, "test": {"samples": 2}},
    }
    with (
        concurrent.futures.ThreadPoolExecutor(1) as here,
        pytest.warns(data.FailedSamplesWarning),
        pytest.warns(data.InverseCrimeWarning),
    ):
        ds = data.generate(data.recipe.parse(recipe), tmp_path / "set", 1, executor=here)
    text = said(capsys, ds.path)
    assert f"{len(ds)} of 8 samples, {ds.failed} failed" in text
    assert str(ds.failures[0])[:60] in text
    assert "INVERSE CRIME, not declared" in text
    assert "INVERSE CRIME: test lie on the training mesh" in text


def test_mistakes_are_told_in_a_sentence(balls, tmp_path, capsys):
    for arguments, sentence in (
        ([tmp_path / "absent"], "no such data set"),
        ([tmp_path], "is not a data set"),
        ([balls.path, "--plot", tmp_path / "x.png", "--samples", 0], "--samples 0: expected at least 1"),
        ([balls.path, "--plot", tmp_path / "x.jpg"], "x.jpg: expected a name that ends in .png, .pdf, .svg"),
        ([balls.path, "--plot", tmp_path / "x"], "x: expected a name that ends in .png, .pdf, .svg"),
    ):
        assert cli.main(["info", *map(str, arguments)]) == 2
        caught = capsys.readouterr().err
        assert sentence in caught
        assert caught.count("\n") == 1
