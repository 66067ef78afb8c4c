"""What the README shows can be run: its Python as it stands, its commands as far as their options."""

import argparse
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from data.recipe import SHIPPED
from experiments.cli import COMMANDS

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
COMMAND_LINES = re.findall(r"(?:uv run |^)(maxinv [a-z][^`\n]*)", README, flags=re.MULTILINE)


def test_the_python_of_the_readme_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 6
    script = (
        "\n".join(blocks)
        + "\nassert states.shape == (17, 32, 64) and J.shape == (1024, 5) and len(ds) == 70\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_readme_shows_every_step():
    assert {shlex.split(line, comments=True)[1] for line in COMMAND_LINES} == set(COMMANDS)


def test_the_readme_names_the_recipes_that_ship():
    (told,) = re.findall(r"\*\*Recipes\*\* that come with the package: (.*?)\.\s", README, flags=re.DOTALL)
    assert sorted(re.findall(r"`(\w+)`", told)) == sorted(file.stem for file in SHIPPED.glob("*.toml"))


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_command_of_the_readme_has_options_that_exist(line):
    _, name, *arguments = shlex.split(line, comments=True)
    parser = argparse.ArgumentParser()
    importlib.import_module(f"experiments.commands.{name}").add_arguments(parser)
    parser.parse_args(arguments)
