"""Every example runs, in small, and its docstring says how."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example_runs(script, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), "--quick"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example_states_command_time_and_outcome(script):
    text = script.read_text()
    for title in (f"Command:   python examples/{script.name}", "Time:", "Expected:"):
        assert title in text


def test_benchmark_of_real_groups_says_when_it_has_no_data(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HANJAX_DATA": str(tmp_path)}
    command = [sys.executable, "-m", "benchmarks.asfi"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.startswith("skipped:")
