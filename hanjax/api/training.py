"""What every training of a network does, wherever its samples come from: the run before it, its folder, its figures."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from hanjax.config import Config, TrainConfig
from hanjax.data.encoding import Encoding
from hanjax.evaluation.calibration import Calibration
from hanjax.nn.sizes import Sizes
from hanjax.run import Run
from hanjax.training.losses import balanced_weight
from hanjax.types import Batch

if TYPE_CHECKING:
    from hanjax.training.checkpoint import Checkpoints
    from hanjax.training.epochs import Fitted, Progress

Training = Callable[["TrainConfig", "Checkpoints | None", "Progress | None"], "Fitted"]
"""Trains a network with some settings, to be saved and shown as said."""


def untrained(
    config: Config,
    encoding: Encoding,
    split: pd.Series,
    batch: Batch,
    label: Float[np.ndarray, "n H"],
    fingerprint: str,
) -> Run:
    """The run before it is trained.

    Args:
        config: all settings.
        encoding: fitted on the training accounts.
        split: the part of every account.
        batch: some samples.
        label: ``[n, H]`` the outcomes of all training samples.
        fingerprint: of the data.
    """
    sizes = Sizes(
        vocabulary=encoding.vocabulary,
        levels=encoding.levels,
        numbers=encoding.width,
        horizons=len(config.panel.horizons),
        max_members=encoding.max_members,
        member_numbers=0 if batch.member_numbers is None else batch.member_numbers.shape[2],
        window_ages=batch.window_ages is not None,
        segments=encoding.segment_levels,
    )
    weight = config.train.positive_weight
    return Run(
        config=config,
        encoding=encoding,
        sizes=sizes,
        positive_weight=balanced_weight(label) if weight is None else weight,
        split=split,
        fingerprint=fingerprint,
    )


def train(
    run: Run,
    out: str | Path | None,
    training: Training,
    calibrate: Callable[[], tuple[Calibration, ...] | None],
    *,
    resume: bool,
    progress: bool,
) -> Run:
    """Trains a run, and writes it.

    Args:
        run: not trained yet.
        out: its folder; None for none.
        training: trains its network.
        calibrate: what maps its log-odds to probabilities, once its parameters are there.
        resume: continue the training in ``out``.
        progress: show a bar.

    Returns:
        The same run, trained.
    """
    from hanjax.training.checkpoint import Checkpoints  # Orbax takes a while to import
    from hanjax.training.devices import first_alone, first_process
    from hanjax.training.fit import tqdm_progress

    config, checkpoints = run.config, None
    if out is not None:

        def begin() -> None:
            run.claim(out, resume=resume)
            run.write(out)

        first_alone(begin)
        checkpoints = Checkpoints(Path(out) / "checkpoints")
    try:
        fitted = training(
            dataclasses.replace(config.train, positive_weight=run.positive_weight),
            checkpoints,
            tqdm_progress(config.train.epochs) if progress and first_process() else None,
        )
    finally:
        if checkpoints is not None:
            checkpoints.close()
    run.params, run.history = fitted.params, fitted.history
    run.calibrations = calibrate()
    if not np.isnan(fitted.history["validation_log_loss"]).all():
        best = fitted.history.loc[fitted.best_epoch - 1]
        run.metrics["validation"] = {
            "auc": float(best["validation_auc"]),
            "log_loss": float(best["validation_log_loss"]),
            "epoch": int(best["epoch"]),
        }
    if out is not None:
        first_alone(lambda: run.write(out))
        run.folder = Path(out)
    return run
