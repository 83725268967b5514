"""Training: the same bits from the same seed, resumed or not; the epoch that is kept; what is refused."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from hanjax.config import TrainConfig
from hanjax.errors import DataError, RunError
from hanjax.training.checkpoint import Checkpoints
from hanjax.training.epochs import Best, Epoch
from hanjax.training.fit import fit_panel, planned, tqdm_progress
from tests.training.long_run import train
from tests.training.standin import Linear, decode, panel

PANEL = panel(120, signal=1.0)
TRAIN, VALIDATION = np.arange(80), np.arange(80, 120)
LINEAR = Linear()
SETTINGS = dict(batch_size=16, learning_rate=0.01, positive_weight=3.0, patience=None)


def fit(
    epochs=5,
    batch=PANEL,
    rows=TRAIN,
    validation=VALIDATION,
    network=LINEAR,
    checkpoints=None,
    resume=False,
    progress=None,
    **more,
):
    """Trains the linear model."""
    config = TrainConfig(epochs=epochs, **{**SETTINGS, **more})
    return fit_panel(
        batch, rows, validation, network, config, checkpoints=checkpoints, resume=resume, progress=progress
    )


def assert_same_bits(one, other):
    """Parameters and history are the same, but for the time that was needed."""
    for first, second in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_array_equal(np.asarray(first), np.asarray(second))
    columns = ["epoch", "loss", "validation_auc", "validation_log_loss"]
    assert one.history[columns].equals(other.history[columns])
    assert one.best_epoch == other.best_epoch


def logit_of(params, rows):
    """The linear model's log-odds, in NumPy."""
    dense = decode(PANEL)
    dense = type(dense)(*(table[rows] for table in dense))
    activity = np.concatenate([np.zeros((1, 1)), np.asarray(params["activity"])[1:]])
    statics = np.where(dense.member_mask[..., None], dense.individuals, 0).sum(1)[:, :1]
    numbers = np.concatenate([statics, dense.accounts, dense.account_numbers], axis=1)
    return (
        activity[dense.sequences].sum((1, 2, 3)) + numbers @ np.asarray(params["static"]) + np.asarray(params["bias"])
    )


def test_it_learns_and_says_so():
    fitted = fit(12, batch=panel(600, signal=1.0), rows=np.arange(400), validation=np.arange(400, 600))
    history = fitted.history
    assert list(history.columns) == list(Epoch._fields) and history["epoch"].tolist() == list(range(1, 13))
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert history["validation_auc"].max() > 0.75
    assert fitted.best_epoch == history["epoch"][history["validation_auc"].argmax()]
    np.testing.assert_allclose(history["samples_per_second"] * history["seconds"], 360, atol=20)  # known outcomes


@pytest.mark.parametrize("ema_epochs", [0.0, 1.5])
def test_validation_is_measured_on_the_kept_parameters(ema_epochs):
    fitted = fit(3, ema_epochs=ema_epochs)
    label = PANEL.label[VALIDATION, 0]
    known = ~np.isnan(label)
    logit, y = logit_of(fitted.params, VALIDATION)[known, 0], label[known]
    row = fitted.history.iloc[fitted.best_epoch - 1]
    pairs = logit[y == 1][:, None] - logit[y == 0]
    np.testing.assert_allclose(row["validation_auc"], ((pairs > 0) + (pairs == 0) / 2).mean(), rtol=1e-12)
    p = 1 / (1 + np.exp(-logit))
    p = p / (p + 3 * (1 - p))
    np.testing.assert_allclose(row["validation_log_loss"], -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)), rtol=1e-5)


def test_the_moving_average_is_what_is_kept():
    one_step = dict(batch_size=80, validation=TRAIN[:0])  # so that an epoch is a step
    steps = [fit(epochs, **one_step).params for epochs in (1, 2, 3)]
    kept = fit(3, ema_epochs=1.5, **one_step).params
    for name in kept:
        mean = np.average([step[name] for step in steps], axis=0, weights=np.exp([-2 / 1.5, -1 / 1.5, 0]))
        np.testing.assert_allclose(kept[name], mean, rtol=1e-5, atol=1e-7, err_msg=name)


def test_the_loss_of_an_epoch_is_the_mean_over_its_known_outcomes():
    rows = TRAIN[:37]
    rows = rows[~np.isnan(PANEL.label[rows, 0])]
    assert len(rows) % SETTINGS["batch_size"] == 2  # the last step is all but empty, and weighs as little
    fitted = fit(1, rows=rows, validation=TRAIN[:0], learning_rate=1e-12)  # the parameters stay
    y, p = PANEL.label[rows, 0], 1 / (1 + np.exp(-logit_of(fitted.params, rows)[:, 0]))
    expected = np.mean(-3 * y * np.log(p) - (1 - y) * np.log(1 - p))
    np.testing.assert_allclose(fitted.history["loss"], [expected], rtol=1e-5)


def test_no_weight_given_means_a_balanced_one():
    fitted = fit(2, positive_weight=None)
    label = PANEL.label[TRAIN]
    assert fitted.positive_weight == (label == 0).sum() / (label == 1).sum() > 1
    assert_same_bits(fitted, fit(2, positive_weight=fitted.positive_weight))


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    once, again, other = fit(), fit(), fit(seed=1)
    assert_same_bits(once, again)
    assert (np.asarray(once.params["activity"]) != np.asarray(other.params["activity"])).any()


def test_what_fills_up_the_panel_is_not_read():
    """Samples that are neither for training nor for validation, or have no outcome, change nothing."""
    others = np.setdiff1d(np.arange(120), np.concatenate([TRAIN[:40], VALIDATION]))
    spoiled = PANEL._replace(label=PANEL.label.copy(), account_numbers=PANEL.account_numbers.copy())
    spoiled.label[others], spoiled.account_numbers[others] = 1, 1e6
    assert_same_bits(fit(2, rows=TRAIN[:40]), fit(2, rows=TRAIN[:40], batch=spoiled))
    unknown = np.isnan(PANEL.label[TRAIN, 0])
    assert unknown.any()
    assert_same_bits(fit(2), fit(2, rows=TRAIN[~unknown]))


class Alone(Linear):
    """One that no other test compiles."""


def test_one_compilation_for_all_epochs_and_all_numbers():
    history = fit(4, network=Alone()).history
    assert history["compilations"].tolist() == [2, 0, 0, 0]  # the epoch and the prediction
    others = dict(learning_rate=0.02, weight_decay=0.1, gradient_clip=1.0, positive_weight=2.0)
    assert not fit(2, network=Alone(), **others).history["compilations"].any()


@pytest.mark.parametrize("epoch", [1, 3])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, epoch):
    def interrupt(row, *, epochs, done):
        if row.epoch == epoch:
            raise KeyboardInterrupt

    expected = fit(5, gradient_clip=1.0, ema_epochs=1.5)
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(KeyboardInterrupt):
        fit(5, checkpoints=checkpoints, progress=interrupt, gradient_clip=1.0, ema_epochs=1.5)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest() == epoch
        assert_same_bits(fit(5, checkpoints=checkpoints, resume=True, gradient_clip=1.0, ema_epochs=1.5), expected)
    with Checkpoints(tmp_path) as checkpoints:  # and nothing is left to do
        assert_same_bits(fit(5, checkpoints=checkpoints, resume=True, gradient_clip=1.0, ema_epochs=1.5), expected)


def test_resuming_one_epoch_at_a_time(tmp_path):
    for epochs in range(1, 5):
        with Checkpoints(tmp_path, keep=1) as checkpoints:
            fitted = fit(epochs, checkpoints=checkpoints, resume=True)
    assert_same_bits(fitted, fit(4))


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_serves(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        fit(2, checkpoints=checkpoints)
    shutil.rmtree(tmp_path / "2" / "state" / "d")
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(RunError, match="epoch 2.*damaged.*Remove that folder"):
        fit(3, checkpoints=checkpoints, resume=True)
    shutil.rmtree(tmp_path / "2")
    with Checkpoints(tmp_path) as checkpoints:
        assert_same_bits(fit(3, checkpoints=checkpoints, resume=True), fit(3))


def test_training_anew_over_checkpoints_is_refused(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        fit(1, checkpoints=checkpoints)
        with pytest.raises(RunError, match="already holds epoch 1: resume"):
            fit(1, checkpoints=checkpoints)


def kill_and_resume(folder, *, epochs, after):
    """Kills a training ``after`` seconds past its first checkpoint, and resumes it; gives the epoch it had reached."""
    command = [sys.executable, "-m", "tests.training.long_run", str(folder), str(epochs)]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONWARNINGS": "ignore"}, stderr=subprocess.PIPE
    )
    try:
        while not (folder / "1").exists():
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.005)
        time.sleep(after)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    with Checkpoints(folder) as checkpoints:
        reached = checkpoints.latest()
    assert 1 <= reached < epochs
    return reached, train(folder, epochs)


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_bits(tmp_path):
    reached, fitted = kill_and_resume(tmp_path / "killed", epochs=40, after=0.1)
    assert_same_bits(fitted, train(tmp_path / "whole", 40))


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed_gives_the_same_bits(tmp_path):
    whole, random = train(tmp_path / "whole", 60), np.random.default_rng()
    for attempt in range(10):
        after = random.uniform(0, 1.0)
        reached, fitted = kill_and_resume(tmp_path / f"killed-{attempt}", epochs=60, after=after)
        print(f"killed {after:.3f} s after the first checkpoint, at epoch {reached}")
        assert_same_bits(fitted, whole)


def test_early_stopping_keeps_the_best_epoch():
    fitted = fit(30, patience=2, learning_rate=0.3)
    history = fitted.history
    assert len(history) < 30 and len(history) == fitted.best_epoch + 2
    best = history["validation_auc"].max()
    tied = history[history["validation_auc"] == best]
    assert fitted.best_epoch == tied["epoch"][tied["validation_log_loss"].idxmin()]
    shorter = fit(fitted.best_epoch, learning_rate=0.3, validation=TRAIN[:0])
    np.testing.assert_array_equal(fitted.params["activity"], shorter.params["activity"])


def test_without_validation_the_last_epoch_is_kept():
    fitted = fit(4, validation=TRAIN[:0], patience=1)
    assert fitted.best_epoch == 4 and fitted.history["validation_auc"].isna().all()
    np.testing.assert_array_equal(fitted.params["activity"], fit(4, validation=TRAIN[:0]).params["activity"])


@pytest.mark.parametrize(
    "auc, log_loss, beaten",
    [(0.8, 0.9, True), (0.6, 0.1, False), (0.7, 0.4, True), (0.7, 0.5, False), (0.7, 0.6, False), (np.nan, 0.4, True)],
)
def test_which_epoch_is_better(auc, log_loss, beaten):
    row = Epoch(2, 0.0, auc, log_loss, 0.0, 0, 0.0)
    assert Best(1, 0.7, 0.5).beaten_by(row) == beaten
    assert Best(0, np.nan, np.nan).beaten_by(row)


def test_one_class_in_validation_falls_back_on_log_loss():
    negative = VALIDATION[PANEL.label[VALIDATION, 0] == 0]
    fitted = fit(3, validation=negative)
    assert fitted.history["validation_auc"].isna().all()
    assert fitted.best_epoch == fitted.history["epoch"][fitted.history["validation_log_loss"].argmin()]


def test_a_loss_that_runs_away_names_epoch_step_and_remedy():
    with pytest.raises(
        RunError, match=r"Epoch 1, step [2-5] of 5: the loss is (nan|inf).*learning_rate than 1e\+38.*clip"
    ):
        fit(2, learning_rate=1e38)


@pytest.mark.parametrize("field", ["accounts", "account_numbers", "counts"])
def test_numbers_that_are_not_finite_are_named(field):
    table = getattr(PANEL, field).copy()
    table[[2, 5], 0] = np.nan, np.inf
    with pytest.raises(DataError, match=f"{field}.*not finite .2 rows; first: 2, 5"):
        fit(1, batch=PANEL._replace(**{field: table}))


def test_no_outcome_to_learn_from():
    unknown = PANEL._replace(label=np.full_like(PANEL.label, np.nan))
    with pytest.raises(DataError, match="None of the 80 samples for training has a known outcome"):
        fit(1, batch=unknown)
    with pytest.raises(DataError, match="None of the 0 samples for training"):
        fit(1, rows=TRAIN[:0])
    with pytest.raises(DataError, match="None of the 40 samples for validation"):
        fit(1, batch=PANEL._replace(mask=np.arange(120) < 80))


def test_progress_is_silent_unless_asked_for(capsys):
    fit(2)
    out = capsys.readouterr()
    assert out.out == "" and out.err == ""
    seen = []
    fit(2, progress=lambda row, *, epochs, done: seen.append((row.epoch, epochs, done)))
    assert seen == [(1, 2, False), (2, 2, True)]


def test_progress_bar(capsys):
    history = fit(2, progress=tqdm_progress(2)).history
    err = capsys.readouterr().err
    assert "2/2" in err and f"auc={history['validation_auc'].iloc[-1]:.4f}" in err


def test_epochs_are_planned_one_ahead_and_errors_come_in_their_turn():
    begun = []

    def plan(epoch):
        begun.append(epoch)
        return 1 / (3 - epoch)

    plans = planned(plan, range(1, 9))
    assert [next(plans), next(plans)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(plans)
    assert begun == [1, 2, 3]
