"""Several devices do together what one does."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from hanjax.errors import ConfigError
from hanjax.training.devices import mesh_of

ROOT = Path(__file__).parents[2]


def test_eight_devices_give_the_result_of_one():
    """Samples of a step dealt among eight devices, and models dealt among them; see ``several_devices.py``."""
    command = [sys.executable, "-m", "tests.training.several_devices"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "the same"


@pytest.mark.parametrize("wanted", [0, -1, 1 + len(jax.local_devices())])
def test_devices_that_are_not_there_are_refused(wanted):
    with pytest.raises(ConfigError, match=f"devices: expected 1 to {len(jax.local_devices())}.*got {wanted}"):
        mesh_of(wanted)
