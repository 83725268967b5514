"""Several devices do together what one does."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.data.parts import deal_tables
from hanjax.data.sharding import encode_parts
from hanjax.errors import ConfigError
from hanjax.training.checkpoint import Checkpoints
from hanjax.training.devices import mesh_of
from tests import trained
from tests.training.long_run import train

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_eight_devices_give_the_result_of_one():
    """Samples of a step dealt among eight devices, and models dealt among them; see ``several_devices.py``."""
    command = [sys.executable, "-m", "tests.training.several_devices"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "the same"


def two_processes(*arguments, pairs):
    """Starts a Python module twice, on a port that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    return [
        subprocess.Popen(
            [sys.executable, "-m", *map(str, arguments), *pairs(port, i)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]


def by_two(*command):
    """Runs a command of hanjax in two processes, and returns what each of them printed."""
    address = lambda port, i: [
        *("--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", "2", "--process", str(i))
    ]
    printed = []
    for process in two_processes("hanjax", *command, pairs=address):
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        printed.append(output)
    return printed


def written_market(folder):
    """The market in a folder, read from there."""
    folder.mkdir()
    for name, table in trained.market()._asdict().items():
        if table is not None:
            table.to_parquet(folder / f"{name}.parquet", index=False)
    return hanjax.read(folder)


@pytest.mark.slow
def test_two_processes_make_the_run_that_one_makes(tmp_path):
    tables = written_market(tmp_path / "data")
    trained.CONFIG.write(tmp_path / "settings.json")
    by_two("fit", tmp_path / "data", "--config", tmp_path / "settings.json", "--out", tmp_path / "run")
    run, alone = hanjax.load(tmp_path / "run"), trained.trained()
    for name in ("loss", "validation_auc", "validation_log_loss"):
        np.testing.assert_allclose(run.history[name], alone.history[name], rtol=1e-4, err_msg=name)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), run.params, alone.params)
    trained.assert_same_scores(hanjax.score(run, tables), hanjax.score(alone, tables), tolerance=1e-4)


@pytest.mark.slow
def test_two_processes_train_on_shards_and_deal_them_to_be_scored(tmp_path):
    parts = deal_tables(written_market(tmp_path / "data"), 3)
    training = encode_parts(parts, out=tmp_path / "training", config=trained.CONFIG)
    alone = hanjax.fit(training, tmp_path / "alone")
    by_two("fit", tmp_path / "training", "--out", tmp_path / "run")
    run = hanjax.load(tmp_path / "run")
    for name in ("loss", "validation_auc", "validation_log_loss"):
        np.testing.assert_allclose(run.history[name], alone.history[name], rtol=1e-4, err_msg=name)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), run.params, alone.params)

    encode_parts(parts, out=tmp_path / "all", config=run.config.panel, encoding=run.encoding)
    stale = tmp_path / "scores" / "accounts" / "shard-00007.parquet"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of a scoring of more shards")
    first, second = by_two("score", tmp_path / "run", tmp_path / "all", "--out", tmp_path / "scores")
    expected = hanjax.score(run, tmp_path / "all", out=tmp_path / "alone-scores")
    assert f"{expected.accounts:,} scores of accounts, {expected.individuals:,} of individuals" in first
    assert "scores of accounts" not in second and not stale.exists()
    for name in ("accounts", "individuals"):
        one, two = (sorted((tmp_path / folder / name).iterdir()) for folder in ("alone-scores", "scores"))
        assert [path.name for path in one] == [path.name for path in two] and len(one) == 3
        for left, right in zip(one, two, strict=True):
            pd.testing.assert_frame_equal(pd.read_parquet(left), pd.read_parquet(right), rtol=1e-5)


@pytest.mark.slow
def test_when_one_process_is_lost_the_other_says_so_and_the_run_can_be_resumed(tmp_path):
    first, second = two_processes(
        "tests.training.long_run", tmp_path / "run", "4000", pairs=lambda port, i: [str(port), str(i)]
    )
    with first, second:  # which closes their pipes
        try:
            deadline = time.monotonic() + 120
            while not (tmp_path / "run" / "2").exists() and time.monotonic() < deadline:
                assert first.poll() is None, first.communicate()[1]
                time.sleep(0.01)
            second.kill()
            _, errors = first.communicate(timeout=240)
        finally:
            first.kill()
            second.kill()
    assert first.returncode != 0 and "start all of them again, with `resume`" in errors, errors
    with Checkpoints(tmp_path / "run") as checkpoints:
        reached = checkpoints.latest()
    assert reached is not None and 2 <= reached < 4000
    resumed, whole = (train(str(tmp_path / name), reached + 2) for name in ("run", "whole"))
    np.testing.assert_allclose(resumed.history["loss"], whole.history["loss"], rtol=1e-3)


@pytest.mark.parametrize("wanted", [0, -1, 1 + len(jax.local_devices())])
def test_devices_that_are_not_there_are_refused(wanted):
    with pytest.raises(ConfigError, match=f"devices: expected 1 to {len(jax.local_devices())}.*got {wanted}"):
        mesh_of(wanted)


def test_how_a_cpu_is_more_devices_is_told():
    with pytest.raises(ConfigError, match=r"Before JAX is first used, jax.config.update\('jax_num_cpu_devices', 64\)"):
        mesh_of(64)
