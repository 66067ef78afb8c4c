"""The command line: light, explained, and one sentence with exit code 2 for a user's mistake."""

import argparse
import errno
import importlib
import json
import math
import os
import shlex
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

import data
from experiments import cli
from experiments.commands import train
from experiments.progress import Progress, clock
from experiments.specs import TABLES, RunSpec

MAXINV = [sys.executable, "-m", "experiments.cli"]


def refused(capsys, *arguments):
    """Run a command that must fail as a user's mistake; returns its one sentence."""
    assert cli.main([str(a) for a in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"maxinv {arguments[0]}: ")
    assert error.count("\n") == 1
    return error


HELP = """
import sys
from experiments.cli import COMMANDS, main
heavy = {"torch", "dolfinx", "petsc4py", "h5py", "matplotlib", "scipy"}
for arguments in [], *([name] for name in COMMANDS):
    try:
        main([*arguments, "--help"])
    except SystemExit as end:
        print("after", arguments, end.code, "with", heavy & set(sys.modules))
"""


def test_help_imports_nothing_heavy():
    """Help answers at once since no library is loaded that takes long: not by one command after the other."""
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    ends = [line for line in done.stdout.splitlines() if line.startswith("after")]
    assert ends == [f"after {given} 0 with set()" for given in ([], *([name] for name in cli.COMMANDS))]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_ends_in_an_example_that_parses(name, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])
    assert end.value.code == 0
    command = importlib.import_module(f"experiments.commands.{name}")
    assert capsys.readouterr().out.rstrip().endswith(command.EXAMPLE)
    for line in command.EXAMPLE.splitlines():
        program, subcommand, *arguments = shlex.split(line)
        assert (program, subcommand) == ("maxinv", name)
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        parser.parse_args(arguments)


def test_a_wrong_key_in_a_recipe(tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[problem]\nkind = "conductivity"\n[splits.train]\nsampels = 3\n')
    error = refused(capsys, "generate", recipe, tmp_path / "out")
    assert "splits.train.sampels" in error
    assert "samples" in error
    assert not (tmp_path / "out").exists()


def test_a_wrong_override(tmp_path, capsys):
    assert "expected KEY=VALUE" in refused(capsys, "generate", "demo", tmp_path, "--set", "seed")
    assert "unknown key" in refused(capsys, "generate", "demo", tmp_path, "--set", "splits.train.cells=3")
    assert "digits" in refused(capsys, "generate", "demo", tmp_path, "--set", "seed=" + 5000 * "7")
    assert "more than one value" in refused(capsys, "demo", "--out", tmp_path, "--set", "seed=5\njunk=3")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["generate", "demo", ""], "out"),
        (["generate", "", "somewhere"], "recipe"),
        (["demo", "--out="], "out"),
        (["validate", ""], "folder"),
        (["info", ""], "dataset"),
        (["info", "somewhere", "--plot", ""], "plot"),
        (["train", "somewhere", ""], "out"),
        (["compare", "somewhere", "somewhere", ""], "runs"),
        (["report", ""], "comparison"),
        (["bench", "data", "--out", ""], "out"),
    ],
    ids=" ".join,
)
def test_an_empty_text_is_no_path(tmp_path, capsys, monkeypatch, arguments, name):
    """As `maxinv generate demo $OUT` with a variable that is not set: nothing is written to this folder."""
    monkeypatch.chdir(tmp_path)
    assert f": {name}: given an empty text" in refused(capsys, *arguments)
    assert not list(tmp_path.iterdir())


def test_what_other_parts_lack_is_told_part_by_part_as_far_as_a_line_goes(tmp_path, capsys, in_this_process):
    """Fifteen files in parts by their places among those of all splits: 12 of train, 3 of test."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'problem = { kind = "cauchy", modes = 3 }\nmesh = { cells = 5, degree = 1 }\nstore.shard = 2\n'
        "splits.train.samples = 23\nsplits.test = { samples = 5, mesh = { cells = 6, degree = 1 } }\n"
    )
    first_ten = ", ".join(
        f"{part}/300000 lacks {1 if part == 12 else 2}" for part in (1, 3, 4, 5, 7, 8, 9, 11, 12, 13)
    )
    for parts, expected in (
        (4, "1/4 lacks 8, 3/4 lacks 7, 4/4 lacks 5 samples"),
        (300000, f"{first_ten} samples, and 1 more lack some"),
    ):
        arguments = ["generate", recipe, tmp_path / "out", "--shard", f"2/{parts}", "--workers", 1]
        assert cli.main([str(argument) for argument in arguments]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == f"of the other parts {expected}"


def test_a_mesh_that_cannot_be_prepared_is_refactorised_if_asked(tmp_path, capsys, in_this_process):
    recipe, out = tmp_path / "recipe.toml", tmp_path / "out"
    recipe.write_text(
        'problem.kind = "conductivity"\nmesh = { cells = 3, degree = 1 }\nsplits.train.samples = 40\n'
    )
    out.mkdir()
    (out / "blocks").write_text("")  # what is prepared has no folder to go to
    arguments = ["generate", str(recipe), str(out), "--workers", "1"]
    assert cli.main(arguments) == 2
    assert "--refactorise" in capsys.readouterr().err.splitlines()[-1]
    assert cli.main([*arguments, "--refactorise"]) == 0
    assert "complete, 40 samples" in capsys.readouterr().out
    methods = data.open(out).records["method"]
    assert all(method.startswith("refactorise") for method in methods)


def test_a_missing_recipe(tmp_path, capsys):
    assert "nothing.toml" in refused(capsys, "generate", tmp_path / "nothing.toml", tmp_path / "out")


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_missing_data_set(tmp_path, capsys, command, demo):
    rest = [tmp_path / "out"] if command == "train" else [demo / "runs"]
    assert str(tmp_path / "nothing") in refused(capsys, command, tmp_path / "nothing", *rest)


def test_unknowns_that_the_comparison_does_not_know(tmp_path, capsys, in_this_process):
    few = {"train": {"samples": 3}, "valid": {"samples": 3}, "test": {"samples": 3, "inverse_crime": True}}
    changes = {"mesh": {"cells": 8, "degree": 1}, "splits": few}
    data.generate("magnetisation", tmp_path / "data", workers=1, overrides=changes)
    said = refused(capsys, "compare", tmp_path / "data", tmp_path / "runs")
    assert "MagneticCells" in said
    assert "expected balls" in said


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_crash(tmp_path, demo):
    """`maxinv compare … | head -0`: the finite-element library must not turn a closed pipe into an abort."""
    arguments = [
        "compare",
        str(demo / "data"),
        str(demo / "runs"),
        "--out",
        str(tmp_path / "comparison.json"),
    ]
    process = subprocess.Popen(
        [*MAXINV, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert "Error" not in process.stderr.read()
    assert process.wait() in (1, 141)  # 1 when the table's library noticed it first; an abort gives 59


def test_a_nan_in_an_observation(tmp_path, capsys, demo):
    """Written into the file by another hand: the reader names the file and the array."""
    folder = shutil.copytree(demo / "data", tmp_path / "data")
    shard = folder / "shards" / "train-00001.h5"
    with h5py.File(shard, "r+") as file:
        file["observations"][2, 5] = np.nan
    error = refused(capsys, "train", folder, tmp_path / "out", "--components", "4")
    assert f"{shard}:/observations" in error


def test_a_full_disk(tmp_path, capsys, monkeypatch, demo):
    """The file system refuses while a comparison is written: a sentence, and no half of a file."""

    def refuse(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "comparison.json"))

    monkeypatch.setattr(os, "fsync", refuse)
    error = refused(capsys, "compare", demo / "data", demo / "runs", "--out", tmp_path / "comparison.json")
    assert "No space left on device; mend that" in error
    assert not list(tmp_path.iterdir())


def test_a_free_grid_in_a_fractional_net(tmp_path, capsys, demo):
    error = refused(
        capsys, "train", demo / "data", tmp_path / "out", "--family", "fractional", "--time", "free"
    )
    assert "free" in error
    assert "simplex" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("--layers", "0", "layers: expected greater than 0, given '0'"),
        ("--horizon", "-1", "horizon: expected greater than 0, given '-1'"),
        ("--horizon", "nan", "horizon"),
        ("--epochs", "many", "epochs: expected a whole number, given 'many'"),
        (
            "--family",
            "densenet",
            "family: expected 'resnet', 'fractional', 'dense-additive', 'dense-concatenating' or 'feed-forward', "
            "given 'densenet'",
        ),
        ("--device", "abacus", "abacus"),
        ("--device", "meta", "which torch cannot use"),
        ("--seed", "99999999999999999999999", "seed: expected"),
        ("--width", "1000000", "ask for a smaller one"),
    ],
)
def test_a_wrong_setting_of_a_training(tmp_path, capsys, demo, flag, value, expected):
    assert expected in refused(capsys, "train", demo / "data", tmp_path / "out", flag, value)


def test_a_config_file_is_read_and_a_flag_overrides_it(tmp_path, capsys, demo):
    config = tmp_path / "run.toml"
    config.write_text("epochs = 4\nlayers = 2\nwidth = 4\ncomponents = 4\ndraws = 1\n")
    done = cli.main(
        ["train", str(demo / "data"), str(tmp_path / "out"), "--config", str(config), "--epochs", "2"]
    )
    assert done == 0
    assert "of 2," in capsys.readouterr().out
    config.write_text("epoch = 4\n")
    error = refused(capsys, "train", demo / "data", tmp_path / "other", "--config", config)
    assert "epoch: unknown key; expected one of" in error
    assert "did you mean epochs?" in error


def test_a_finished_run_is_not_overwritten_by_another(tmp_path, capsys, demo):
    small = ["--epochs", "1", "--layers", "2", "--width", "4", "--components", "4", "--draws", "1"]
    arguments = ["train", str(demo / "data"), str(tmp_path / "out"), *small]
    assert cli.main(arguments) == 0
    capsys.readouterr()
    assert "seed = 0" in refused(capsys, *arguments, "--seed", "3")


def test_a_missing_comparison(tmp_path, capsys):
    (tmp_path / "empty.json").write_text("{}")
    assert "not a comparison" in refused(capsys, "report", tmp_path / "empty.json")
    assert "maxinv compare" in refused(capsys, "report", tmp_path / "comparison.json")


def test_every_time_rule_and_family_can_be_configured():
    """The choices that a specification lists are those that exist."""
    from typing import get_args

    import surrogates
    from experiments.runs import FAMILIES

    assert set(get_args(RunSpec.model_fields["time"].annotation)) == set(surrogates.RULES)
    assert set(get_args(RunSpec.model_fields["family"].annotation)) == {*FAMILIES, "feed-forward"}
    assert len(FAMILIES) == len(surrogates.FAMILIES)
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    assert {action.dest for action in parser._actions} >= {*RunSpec.model_fields, "device"} - {*TABLES}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"growth": 3}, "growth is 3, which a resnet network does not have; .* choose dense-concatenating"),
        ({"family": "dense-additive", "field": "antisymmetric"}, "field is 'antisymmetric'"),
        ({"learn_order": True}, "choose fractional"),
        ({"order": 0.3}, "order is 0.3, which a resnet network does not have; .* choose fractional"),
        ({"damping": 0.1}, "an antisymmetric field alone"),
        ({"activation": "cos"}, "activation"),
    ],
)
def test_an_option_without_effect_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RunSpec(**settings)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_numbers_are_finite(value):
    numbers = [name for name, field in RunSpec.model_fields.items() if field.annotation is float]
    assert {"damping", "order", "noise", "horizon", "learning_rate", "weight_decay"} <= set(numbers)
    for name in numbers:
        with pytest.raises(ValueError, match=name):
            RunSpec(**{"family": "fractional", "field": "antisymmetric", name: value})


def test_a_learned_order_keeps_its_margin():
    from surrogates.order import MARGIN

    for order in (MARGIN, MARGIN / 2, 1 - MARGIN, 0.9999):
        assert RunSpec(family="fractional", order=order).order == order
        with pytest.raises(ValueError, match=rf"order is {order}, but .* between 0.001 and 0.999"):
            RunSpec(family="fractional", order=order, learn_order=True)
    assert RunSpec(family="fractional", order=1.1 * MARGIN, learn_order=True).learn_order


def test_a_learned_order_is_recorded_and_said(tmp_path, capsys, demo):
    small = ["--epochs", "2", "--layers", "2", "--width", "4", "--components", "4", "--draws", "1"]
    learned = ["--family", "fractional", "--learn-order", "true", "--order", "0.3"]
    assert cli.main(["train", str(demo / "data"), str(tmp_path / "out"), *small, *learned]) == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    orders = record["trace"]["order"]
    assert len(orders) == 3
    assert orders[0] == pytest.approx(0.3)
    assert f", order 0.3 -> {orders[record['best_epoch']]:.4g}\n" in capsys.readouterr().out
    assert cli.main(["train", str(demo / "data"), str(tmp_path / "other"), *small]) == 0
    assert ", order" not in capsys.readouterr().out


def test_a_specification_reaches_the_network():
    from experiments.runs import FAMILIES, build
    from surrogates import Order
    from surrogates.activations import ACTIVATIONS
    from surrogates.fields import Antisymmetric

    for family in FAMILIES:
        net = build(RunSpec(family=family, activation="sin", layers=3, time="simplex"), 5, 2)
        assert (net.activation, net.layers) == (ACTIVATIONS["sin"], 3)
        assert net.time.learned
    net = build(
        RunSpec(family="fractional", learn_order=True, order=0.3, field="antisymmetric", damping=0.1), 5, 2
    )
    assert net.field == Antisymmetric(0.1)
    assert isinstance(net.order, Order)
    assert net.order.learned
    assert net.order().item() == pytest.approx(0.3)
    assert build(RunSpec(family="dense-concatenating", growth=3, layers=4), 5, 2).state_width == 64 + 4 * 3


def test_doctor_is_content_here(capsys):
    assert cli.main(["doctor"]) == 0
    assert "0 faults" in capsys.readouterr().out


def test_doctor_finds_a_package_that_stands_in_the_way(tmp_path):
    """A stranger's `data` package earlier on the path is the likeliest fault of an installation."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "__init__.py").write_text("")
    done = subprocess.run(
        [*MAXINV, "doctor"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "FAIL  package data" in done.stdout
    assert "mend: run in an environment of its own" in done.stdout


def test_progress_off_a_terminal_is_lines_with_rate_and_time_left(capsys):
    with Progress("data", 30, "samples") as progress:
        progress.start(10)
        for done in range(11, 31):
            progress.update(done)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "data: 10/30 samples"
    assert lines[-1].startswith("data: 30/30 samples, ")
    assert lines[-1].endswith("samples/s")
    assert len(lines) == 2  # no flood: the work took no time


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (65, "1 min 5 s"), (7500, "2 h 5 min")])
def test_durations_are_said_as_people_say_them(seconds, said):
    assert clock(seconds) == said
