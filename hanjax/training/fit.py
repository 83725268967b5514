"""Trains a network on a panel: epoch by epoch, validated, checkpointed, and to the same bits every time."""

import contextlib
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PyTree, UInt

from hanjax.config import TrainConfig
from hanjax.data.batches import Forests, Plan, plan_epoch
from hanjax.errors import DataError, RunError
from hanjax.evaluation.calibration import unweight
from hanjax.evaluation.metrics import auc
from hanjax.training.checkpoint import Checkpoints
from hanjax.training.epochs import Epoch, Fitted, Progress, begin, remedy, run_epochs
from hanjax.training.step import Measurements, Network, Programs, TrainState, forests_of
from hanjax.types import Batch, hard_label

T = TypeVar("T")


def fit_panel(
    batch: Batch,
    train_rows: Int[np.ndarray, " n"],
    validation_rows: Int[np.ndarray, " v"],
    network: Network,
    config: TrainConfig,
    *,
    parts: Int[np.ndarray, " N"] | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    mesh: Mesh | None = None,
) -> Fitted:
    """Trains a network on the weighted cross-entropy, and keeps the epoch that validates best.

    It takes the steps of Adam, or of AdamW if weights decay. The order of the samples and the dropout of an epoch come
    from ``fold_in(key(seed), epoch)`` and the first parameters from ``fold_in(key(seed), 0)``: the same seed gives the
    same bits on one machine, and a resumed training those of an uninterrupted one. Without validation samples all
    epochs are made, and the last one is kept.

    Args:
        batch: the panel's batch, as NumPy arrays.
        train_rows: ``[n]`` the samples to learn from, as rows of the panel; those without a known outcome are passed
            over.
        validation_rows: ``[v]`` the samples that choose the epoch; may be empty.
        network: the model, as pure functions.
        config: the settings of training.
        parts: ``[N]`` for each sample of the panel, the network of an ensemble that does not learn from it; then that
            network's log-odds of the training samples choose the epoch, and ``validation_rows`` is not used. None if
            all networks learn from all.
        checkpoints: where every epoch is saved; None for nowhere.
        resume: continue after the latest checkpoint, if there is one, instead of starting anew. That the data and the
            settings (but ``epochs`` and ``patience``) are still the same is up to the caller.
        progress: called after every epoch; None for silence. See ``tqdm_progress``.
        mesh: devices in a row among which the samples of each step are dealt; None for one device. Without dropout the
            result is that of one device, but for rounding; with dropout others are left out.

    Returns:
        The parameters of the best epoch (their moving average, with ``ema_epochs``), and the history.

    Raises:
        DataError: if a number is not finite, or no outcome to learn from or to validate on is known.
        RunError: if the loss or the gradient ceases to be finite, the checkpoint cannot be read, or there is one
            already and ``resume`` is False.

    Example:
        >>> import jax, numpy as np
        >>> from hanjax.config import ModelConfig, TrainConfig
        >>> from hanjax.nn.functional import Sizes, network
        >>> from hanjax.training.fit import fit_panel
        >>> from hanjax.types import Batch, hard_label
        >>> label = np.arange(8) % 2.0
        >>> active = np.broadcast_to(2 + label[:, None, None, None], (8, 3, 4, 9)).astype(int)
        >>> batch = Batch.from_dense(active, members=np.ones((8, 3), bool), label=label)
        >>> model = network(ModelConfig(), Sizes(vocabulary=4))
        >>> config = TrainConfig(epochs=3, batch_size=4, positive_weight=1.0)
        >>> fitted = fit_panel(batch, np.arange(6), np.arange(6, 8), model, config)
        >>> fitted.history["validation_auc"].iloc[-1]
        np.float64(1.0)
    """
    check_finite(batch)
    train_rows = with_outcome(batch, train_rows, "training")
    label, share = np.asarray(batch.label)[train_rows], 1.0 if parts is None else 1 - 1 / config.ensemble
    begun = begin(network, config, label, mesh, checkpoints, resume=resume, share=share)
    compiled, key, shards = begun.compiled, begun.key, None if mesh is None else mesh.size
    forests, seeds = forests_of(batch, config.ensemble), seeds_of_epochs(key, config.epochs)

    def plan(epoch: int) -> Plan:
        size = config.batch_size
        return plan_epoch(batch, train_rows, batch_size=size, seed=seeds[epoch], forests=forests, shards=shards)

    panel, apart = compiled.put(batch), None if parts is None else jnp.asarray(parts)
    rows = validation_rows if parts is None else train_rows
    validate = _validation(batch, forests, rows, compiled, config, begun.weight, apart, shards)
    plans = planned(plan, range(len(begun.training.history) + 1, config.epochs + 1))

    def one_epoch(state: TrainState, epoch: int) -> tuple[TrainState, Measurements]:
        epoch_key, on_device = jax.random.fold_in(key, epoch), compiled.put_plan(next(plans))
        return compiled.run_epoch(state, panel, on_device, epoch_key, begun.hyperparameters, apart)

    with contextlib.closing(plans):
        return run_epochs(
            begun, one_epoch, lambda params: validate(params, panel), config, samples=len(train_rows),
            checkpoints=checkpoints, progress=progress,
        )  # fmt: skip


def tqdm_progress(epochs: int) -> Progress:
    """Opens a progress bar over the epochs, with loss and validation AUC; it needs the package tqdm.

    Args:
        epochs: how many there are at most.

    Returns:
        The callable that ``fit_panel`` takes.
    """
    from tqdm import tqdm

    bar = tqdm(total=epochs, unit="epoch", desc="training")

    def show(row: Epoch, *, epochs: int, done: bool) -> None:
        bar.n = row.epoch - 1  # a resumed training does not begin at 0
        bar.set_postfix(loss=f"{row.loss:.4f}", auc=f"{row.validation_auc:.4f}", refresh=False)
        bar.update()
        if done:
            bar.close()

    return show


def planned(plan: Callable[[int], T], epochs: Iterable[int]) -> Generator[T]:
    """The plans of one epoch after the other, each made in another thread while the epoch before it is trained."""
    with ThreadPoolExecutor(max_workers=1) as planner:
        submitted = (planner.submit(plan, epoch) for epoch in epochs)
        upcoming = next(submitted, None)
        while upcoming is not None:
            ready, upcoming = upcoming.result(), next(submitted, None)
            yield ready


def seeds_of_epochs(key: Array, epochs: int) -> UInt[np.ndarray, "epochs words"]:
    """What the order of the samples of each epoch, from 0, comes from: known beforehand, as the device is then busy."""
    fold_in = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    return np.asarray(jax.random.key_data(fold_in(key, np.arange(epochs + 1))))


def _validation(
    batch: Batch,
    forests: Forests | None,
    rows: Int[np.ndarray, " v"],
    compiled: Programs,
    config: TrainConfig,
    positive_weight: float,
    apart: jax.Array | None,
    shards: int | None,
) -> Callable[[PyTree, Batch], tuple[float, float]]:
    """Makes a function of parameters and panel that gives the AUC and the log-loss on the samples; NaN without any."""
    if len(rows) == 0:
        return lambda params, panel: (np.nan, np.nan)
    rows = with_outcome(batch, rows, "validation")
    plan = plan_epoch(batch, rows, batch_size=config.batch_size, seed=None, forests=forests, shards=shards)
    label, on_device = np.asarray(batch.label)[rows], compiled.put_plan(plan)

    def validate(params: PyTree, panel: Batch) -> tuple[float, float]:
        logit = plan.restored(np.asarray(compiled.predict(params, panel, on_device, apart)))
        return validated(logit, label, positive_weight, config)

    return validate


def validated(
    logit: Float[np.ndarray, "v H"], label: Float[np.ndarray, "v H"], positive_weight: float, config: TrainConfig
) -> tuple[float, float]:
    """The AUC, as a mean over horizons, and the log-loss of predictions; NaN where undefined.

    Args:
        logit: ``[v, H]`` log-odds, with the weight still in them.
        label: ``[v, H]`` outcomes, NaN where unknown; for the AUC one that is not sure is a conversion from 0.5 on.
        positive_weight: w, which the log-loss is rid of.
        config: what the remedy in an error is to name.

    Raises:
        RunError: if a prediction is not finite.
    """
    logit = logit.astype(np.float64)
    if not np.isfinite(logit).all():
        raise RunError(f"A prediction for validation is not finite. {remedy(config)}")
    where = ~np.isnan(label)
    horizons = [
        float(auc(z, hard_label(y), where=known)) for z, y, known in zip(logit.T, label.T, where.T, strict=True)
    ]
    defined = [value for value in horizons if not np.isnan(value)]
    logit = unweight(logit, positive_weight=positive_weight)
    surprise = label * np.logaddexp(0, -logit) + (1 - label) * np.logaddexp(0, logit)
    return float(np.mean(defined)) if defined else np.nan, float(surprise[where].mean())


def with_outcome(batch: Batch, rows: Int[np.ndarray, " n"], purpose: str) -> Int[np.ndarray, " n"]:
    """Those of the samples whose outcome is known for at least one horizon."""
    rows = np.asarray(rows, dtype=np.int64)
    known = rows[np.asarray(batch.label_mask)[rows].any(axis=1)]
    require_outcome(len(known), of=len(rows), purpose=purpose)
    return known


def require_outcome(known: int, *, of: int, purpose: str) -> None:
    """Raises if of no sample for a purpose the outcome is known."""
    if known == 0:
        raise DataError(
            f"None of the {of:,} samples for {purpose} has a known outcome. "
            "Give accounts that were observed for at least one whole period after a member had arrived."
        )


def check_finite(batch: Batch) -> None:
    """Finds numbers that would make every loss NaN."""
    for name in ("accounts", "account_numbers", "member_numbers", "counts", "gaps"):
        table = getattr(batch, name)
        if table is not None and not np.isfinite(table).all():
            rows = np.flatnonzero(~np.isfinite(table).all(axis=tuple(range(1, table.ndim))))
            raise DataError.rows(
                name, "every number", "is not finite", count=len(rows), first=rows.tolist(),
                remedy="Replace missing values by a number, and add a column that says which were missing.",
            )  # fmt: skip
