"""The literate example of the conductivity problem runs as it stands and agrees with theory."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "experiments" / "examples" / "conductivity.py"


def test_the_conductivity_example_agrees_with_theory_and_draws(tmp_path):
    command = [sys.executable, str(EXAMPLE), "--cells", "6", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "agrees with theory" in done.stdout
    assert (tmp_path / "conductivity.png").read_bytes().startswith(b"\x89PNG")
