"""Checkpoints: what is saved comes back, and what cannot come back is named."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hanjax.errors import RunError
from hanjax.training.checkpoint import Checkpoints

PARAMS = {"layer": {"w": jnp.arange(6.0).reshape(2, 3), "none": jnp.zeros((0, 3))}, "items": {0: jnp.float32(0.1)}}
STATE = (PARAMS, optax.adam(0.1).init(PARAMS))


@pytest.fixture
def folder(tmp_path):
    """A folder with the checkpoints of epochs 1 and 2."""
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        for epoch in (1, 2):
            state = jax.tree.map(lambda array, epoch=epoch: array + epoch, STATE)
            checkpoints.save(epoch, state, meta={"auc": float("nan"), "loss": 0.1 * epoch})
    return tmp_path / "checkpoints"


def test_the_latest_epoch_comes_back(folder):
    with Checkpoints(folder) as checkpoints:
        saved = checkpoints.restore(STATE)
    assert saved.epoch == 2 and saved.meta["loss"] == 0.2 and np.isnan(saved.meta["auc"])
    assert jax.tree.structure(saved.state) == jax.tree.structure(STATE)
    for got, expected in zip(jax.tree.leaves(saved.state), jax.tree.leaves(STATE), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected + np.asarray(2, expected.dtype))


def test_what_is_saved_may_be_used_up_at_once(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        array = jnp.ones((100, 100))
        checkpoints.save(1, {"array": array}, meta={})
        jax.block_until_ready(jax.jit(lambda a: a * 0 + 7, donate_argnums=0)(array))
        checkpoints.wait()
        np.testing.assert_array_equal(checkpoints.restore({"array": jnp.ones((100, 100))}).state["array"], 1)


def test_only_the_latest_are_kept(folder):
    with Checkpoints(folder, keep=2) as checkpoints:
        for epoch in (3, 4):
            checkpoints.save(epoch, STATE, meta={})
    assert sorted(path.name for path in folder.iterdir()) == ["3", "4"]


def test_what_an_interrupted_writer_left_is_removed_by_the_next_one_only(folder):
    unfinished = folder / "3.orbax-checkpoint-tmp" / "state"
    unfinished.mkdir(parents=True)
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.restore(STATE).epoch == 2 and unfinished.exists()
        checkpoints.save(3, STATE, meta={})
        checkpoints.wait()
        assert checkpoints.restore(STATE).epoch == 3 and not unfinished.exists()


def test_an_epoch_is_never_overwritten(folder):
    with Checkpoints(folder) as checkpoints:
        for epoch in (1, 2):
            with pytest.raises(RunError, match="already holds epoch 2"):
                checkpoints.save(epoch, STATE, meta={})


def test_missing(tmp_path):
    with Checkpoints(tmp_path / "new") as checkpoints:
        assert checkpoints.latest() is None
        with pytest.raises(RunError, match="no checkpoint in .*new"):
            checkpoints.restore(STATE)


def change(**params):
    """The state with other parameters."""
    return ({**PARAMS, **params}, STATE[1])


@pytest.mark.parametrize(
    "other, difference",
    [
        (change(items={0: jnp.zeros(2)}), r"0\.items\.0 is float32\[\] there, but float32\[2\] here"),
        (change(items={0: jnp.int32(0)}), r"0\.items\.0 is float32\[\] there, but int32\[\] here"),
        (change(more=jnp.zeros(2)), r"0\.more is no such array there"),
        ((PARAMS, ()), r"1\.0\.count is int32\[\] there, but no such array here"),
    ],
)
def test_another_model_is_named(folder, other, difference):
    with Checkpoints(folder) as checkpoints, pytest.raises(RunError, match=f"epoch 2.*another model: .*{difference}"):
        checkpoints.restore(other)


def truncate(folder, part):
    """Cuts the files of one part of a checkpoint in half."""
    files = [path for path in (folder / part).rglob("*") if path.is_file()]
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "arrays": lambda folder: truncate(folder, "state/d"),
    "meta": lambda folder: truncate(folder, "meta"),
    "everything": lambda folder: truncate(folder, "."),
    "no arrays": lambda folder: shutil.rmtree(folder / "state"),
    "no meta": lambda folder: shutil.rmtree(folder / "meta"),
    "nothing": lambda folder: [shutil.rmtree(path) for path in folder.iterdir() if path.is_dir()],
}


def test_no_changed_byte_goes_unnoticed(folder):
    expected = jax.tree.leaves(jax.tree.map(lambda array: array + np.asarray(2, array.dtype), STATE))
    files = [path for path in (folder / "2").rglob("*") if path.is_file() and path.stat().st_size]
    named = 0
    for path in files:
        whole = path.read_bytes()
        for place in np.random.default_rng(0).integers(0, len(whole), 4):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
            with Checkpoints(folder) as checkpoints:
                try:
                    for got, array in zip(jax.tree.leaves(checkpoints.restore(STATE).state), expected, strict=True):
                        np.testing.assert_array_equal(got, array)
                except RunError:
                    named += 1
        path.write_bytes(whole)
    assert named >= 4


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_named_and_the_remedy_works(folder, how):
    DAMAGE[how](folder / "2")
    with Checkpoints(folder) as checkpoints:
        with pytest.raises(RunError, match=r"epoch 2, .*checkpoints/2, is damaged.* Remove that folder to resume"):
            checkpoints.restore(STATE)
    shutil.rmtree(folder / "2")
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.restore(STATE).epoch == 1
