"""The demo as a user has it: complete, continued after a kill to the same bits, and readable."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

import data
import surrogates
from data.transforms import Compression
from experiments import cli, compare, runs
from experiments.errors import StudyError
from experiments.study import load
from experiments.variants import pairs_of, variants_of
from maxwell.inversion import LinearisedTikhonov

MAXINV = [sys.executable, "-m", "experiments.cli"]


def weights(run):
    return runs.load(run).net.state_dict()


def edit(run, **changes):
    record = json.loads((run / "run.json").read_text())
    record["spec"] |= changes
    (run / "run.json").write_text(json.dumps(record))


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_the_demo_leaves_data_runs_a_comparison_and_a_report(demo):
    assert len(data.open(demo / "data")) == 74
    assert len(list((demo / "runs").glob("*/run.json"))) == 8
    assert len(list((demo / "runs").iterdir())) == 8
    assert (demo / "comparison.json").exists()
    assert (demo / "report.html").exists()


def test_a_finished_demo_is_not_done_again(demo, study_file, tmp_path, capsys):
    out = shutil.copytree(demo, tmp_path / "demo")
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.suffix in (".h5", ".pt")}
    first = (out / "comparison.json").read_bytes()
    assert cli.main(["demo", "--study", str(study_file), "--out", str(out)]) == 0
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.suffix in (".h5", ".pt")} == before
    assert (out / "comparison.json").read_bytes() == first
    assert "report: " in capsys.readouterr().out


@pytest.mark.slow
def test_killed_anywhere_and_run_again_the_demo_ends_the_same(demo, study_file, tmp_path):
    """SIGKILL of the whole process group at its first complete run, one of a group whose others are not there yet.

    What a kill does to its data is a matter of `tests/data/test_generate.py`.
    """
    command = [*MAXINV, "demo", "--study", str(study_file), "--out", str(tmp_path), "--workers", "2"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("runs/*/run.json")):
        assert process.poll() is None, "the demo ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "report.html").exists()
    assert cli.main(command[len(MAXINV) :]) == 0
    assert data.open(tmp_path / "data").digest() == data.open(demo / "data").digest()
    for run in sorted((demo / "runs").iterdir()):
        assert same(weights(run), weights(tmp_path / "runs" / run.name))
    results = [json.loads((folder / "comparison.json").read_text())["results"] for folder in (demo, tmp_path)]
    assert results[0] == results[1]


def test_variants_start_from_the_same_weights_and_the_same_steps(study_file):
    study = load(study_file)
    fixed, learned = (
        runs.build(study.variants[name], 6, 5) for name in ("fractional-fixed", "fractional-learned")
    )
    resnet = runs.build(study.variants["resnet-fixed"], 6, 5)
    for name, value in fixed.state_dict().items():
        if not name.startswith("time."):
            assert torch.equal(value, learned.state_dict()[name])
            assert torch.equal(value, resnet.state_dict()[name])
    assert learned.time().tolist() == pytest.approx(fixed.time().tolist(), rel=1e-6)
    other = runs.build(study.variants["resnet-fixed"].model_copy(update={"seed": 1}), 6, 5)
    assert not torch.equal(resnet.layer_weights(), other.layer_weights())


def test_fixed_steps_do_not_train_and_learned_ones_do(demo):
    for run in map(runs.load, sorted((demo / "runs").iterdir())):
        steps = np.array(run.record["trace"]["steps"])
        moved = np.abs(steps - steps[0]).max()
        assert (moved == 0) if run.spec.time == "fixed" else (moved > 1e-3)
        assert steps.sum(axis=1) == pytest.approx(4.0, rel=1e-5)  # one horizon for all, at all times


def test_the_comparison_stands_on_the_stored_networks_and_the_noisy_data(demo):
    """Recomputed from scratch for one run: what is reported is what the network gives."""
    comparison = json.loads((demo / "comparison.json").read_text())
    dataset = data.open(demo / "data")
    run = runs.load(demo / "runs" / "resnet-learned-seed0")
    test, scale = dataset.split("test"), dataset.split("train").parameters.std(axis=0)
    found = run.estimate(test.observe(0.05))
    error = np.sqrt((((found - test.parameters) / scale) ** 2).mean())
    result = comparison["results"]["ResNet, learned steps (simplex)"]["test"]
    assert result["by_seed"][comparison["levels"].index(0.05)][0] == pytest.approx(error, rel=1e-6)


def test_nothing_is_fitted_or_chosen_on_test_data(demo):
    """Transforms are those of the training split alone; Tikhonov's strength is the best on the validation split."""
    comparison = json.loads((demo / "comparison.json").read_text())
    dataset = data.open(demo / "data")
    train, valid = dataset.split("train"), dataset.split("valid")
    run = runs.load(demo / "runs" / "resnet-fixed-seed1")
    fitted = Compression.fit(train.observe(run.spec.noise), run.spec.components)
    np.testing.assert_allclose(run.compression.directions, fitted.directions, atol=1e-12)
    np.testing.assert_allclose(run.compression.mean, fitted.mean, rtol=1e-12)
    np.testing.assert_allclose(run.standardise.mean, train.parameters.mean(axis=0), rtol=1e-12)
    problem, scale = dataset.problem, train.parameters.std(axis=0)
    tikhonov = LinearisedTikhonov(
        problem.discretise(**train.mesh), train.parameters, problem.parametrisation.branch(train.parameters)
    )
    for level, strength in zip(comparison["levels"], comparison["strengths"], strict=True):
        errors = [
            ((tikhonov.estimate(valid.observe(level), s) - valid.parameters) / scale) ** 2
            for s in compare.STRENGTHS
        ]
        assert strength == compare.STRENGTHS[np.argmin([e.mean() for e in errors])]


def test_the_model_file_alone_gives_the_estimates_of_the_run(demo, tmp_path):
    """Taken anywhere, without run.json, it knows its parameters and the data that it was trained on."""
    folder, dataset = demo / "runs" / "fractional-learned-seed1", data.open(demo / "data")
    model = surrogates.model.load(shutil.copy(folder / "model.pt", tmp_path / "taken.pt"))
    d = dataset.split("test").observe(0.05)
    np.testing.assert_array_equal(model.estimate(d), runs.load(folder).estimate(d))
    assert (model.names, model.units) == (dataset.names, dataset.units)
    assert (dict(model.spec), model.digest) == (dataset.spec, dataset.manifest.digest)


def test_only_equal_seeds_are_paired(demo):
    found = variants_of(compare.find_runs([demo / "runs"]))
    assert len(pairs_of(found)) == 2
    fewer = [replace(v, runs=v.runs[:1]) if v.learned else v for v in found]
    assert pairs_of(fewer) == []


def test_a_run_given_twice_counts_once_and_a_copy_is_refused(demo, tmp_path, capsys):
    inside = demo / "runs" / "resnet-fixed-seed0"
    assert len(compare.find_runs([demo / "runs", inside])) == 8
    shutil.copytree(inside, tmp_path / "copy")
    with pytest.raises(StudyError, match="would count twice"):
        compare.find_runs([inside, tmp_path / "copy"])


def test_a_changed_study_is_refused_before_anything_is_done(demo, study_file, tmp_path, capsys):
    changed = tmp_path / "study.toml"
    changed.write_text(study_file.read_text().replace("epochs = 6", "epochs = 7"))
    assert cli.main(["demo", "--study", str(changed), "--out", str(demo)]) == 2
    assert "epochs = 6, and 7 was asked for" in capsys.readouterr().err
    changed.write_text(study_file.read_text().replace("resnet-fixed =", '"../resnet" ='))
    assert cli.main(["demo", "--study", str(changed), "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_does_not_continue_on_other_data(demo, study_file, tmp_path):
    """The same network and settings, interrupted, then asked to go on with another noise."""

    def stop(state):
        raise KeyboardInterrupt

    spec = load(study_file).variants["resnet-learned"].model_copy(update={"epochs": 1})
    with pytest.raises(KeyboardInterrupt):
        runs.train(demo / "data", tmp_path / "run", spec, stop)
    with pytest.raises(surrogates.SurrogateError, match=r"other settings .noise 0.01 there, 0.2 here"):
        runs.train(demo / "data", tmp_path / "run", spec.model_copy(update={"noise": 0.2}))
    assert runs.train(demo / "data", tmp_path / "run", spec).record["best_epoch"] == 1


def test_the_report_says_how_the_meshes_compare(demo):
    comparison = json.loads((demo / "comparison.json").read_text())
    relations = {name: about["relation"] for name, about in comparison["splits"].items()}
    assert relations == {"test": "finer mesh", "test_inverse_crime": "training mesh"}
    assert compare.relation(data.open(demo / "data"), "valid") == "training mesh"


def test_each_method_stands_beside_prior_mean_and_tikhonov_on_both_splits(demo):
    comparison = json.loads((demo / "comparison.json").read_text())
    crimes = {name: about["inverse_crime"] for name, about in comparison["splits"].items()}
    assert crimes == {"test": False, "test_inverse_crime": True}
    for split in crimes:
        methods = [row["method"] for row in compare.table(comparison, split)]
        assert methods[:2] == ["prior mean", "linearised Tikhonov"]
        assert len(methods) == 6
        assert len(compare.verdicts(comparison, split)) == 2


def test_the_report_needs_nothing_but_itself(demo):
    page = (demo / "report.html").read_text()
    assert page.count('src="data:image/png;base64,') == 7
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "http" not in re.sub(r'base64,[^"]*', "", page)
    assert "Inverse crime" in page
    assert str(demo) not in page


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda run: (run / "run.json").write_text("{"), "cannot be read as finished training run"),
        (lambda run: (run / "model.pt").write_bytes(b"no"), "cannot be read"),
        (lambda run: edit(run, width=9), "does not fit"),
        (lambda run: edit(run, family="fractional"), "network there and here differ"),
        (lambda run: edit(run, amplitude="linear"), "softened features there and here differ"),
        (lambda run: edit(run, widht=9), "spec.widht: unknown key"),
        (lambda run: (run / "run.json").unlink(), "holds no finished training run"),
    ],
)
def test_a_damaged_run_is_noticed(demo, tmp_path, capsys, damage, expected):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("run.json", "model.pt"):
        (run / name).write_bytes((demo / "runs" / "resnet-fixed-seed0" / name).read_bytes())
    damage(run)
    out = str(tmp_path / "comparison.json")
    assert cli.main(["compare", str(demo / "data"), str(run), "--out", out]) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1
