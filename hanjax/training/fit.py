"""Trains a network on a panel: epoch by epoch, validated, checkpointed, and to the same bits every time."""

import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PyTree, UInt

from hanjax.config import TrainConfig
from hanjax.data.batches import Forests, Plan, plan_epoch
from hanjax.errors import DataError, RunError
from hanjax.evaluation.calibration import unweight
from hanjax.evaluation.metrics import auc
from hanjax.training.checkpoint import Checkpoints
from hanjax.training.devices import first_process
from hanjax.training.losses import balanced_weight, base_rate_logit, penalty_weight
from hanjax.training.step import Hyperparameters, Measurements, Network, Programs, TrainState, forests_of, programs
from hanjax.types import Batch, hard_label

T = TypeVar("T")


class Epoch(NamedTuple):
    """One row of the history.

    Args:
        epoch: from 1.
        loss: mean weighted cross-entropy over the epoch's known outcomes, as the parameters change, and the model's
            penalty if there is one.
        validation_auc: area under the ROC curve on the validation samples, the mean over horizons; NaN if undefined.
        validation_log_loss: mean cross-entropy there, of probabilities from which the weight is taken out.
        seconds: wall time, with planning, compilation and validation.
        compilations: programs that had to be compiled.
        samples_per_second: training samples over ``seconds``.
    """

    epoch: int
    loss: float
    validation_auc: float
    validation_log_loss: float
    seconds: float
    compilations: int
    samples_per_second: float


class Fitted(NamedTuple):
    """A trained network.

    Args:
        params: the parameters of the best epoch.
        history: one row an epoch, with the fields of ``Epoch``.
        best_epoch: the epoch they are from; the last one if there was no validation.
        positive_weight: w, the weight of a conversion in the loss, which is still in the log-odds.
    """

    params: PyTree
    history: pd.DataFrame
    best_epoch: int
    positive_weight: float


@runtime_checkable
class Progress(Protocol):
    """What is called after every epoch, if anything."""

    def __call__(self, row: Epoch, *, epochs: int, done: bool) -> None:
        """Shows how far training is.

        Args:
            row: the epoch just finished.
            epochs: how many there are at most.
            done: whether it was the last one.
        """
        ...


class Best(NamedTuple):
    """The best epoch so far, and how it validates; before the first, 0 and NaN."""

    epoch: int
    auc: float
    log_loss: float

    def beaten_by(self, row: Epoch) -> bool:
        """Whether a later epoch has a higher AUC or, if that is equal or undefined, a lower or undefined log-loss."""
        if row.validation_auc > self.auc or row.validation_auc < self.auc:
            return row.validation_auc > self.auc
        return not row.validation_log_loss >= self.log_loss


class Training(NamedTuple):
    """A training after some number of epochs: all that a checkpoint holds."""

    state: TrainState
    best_params: PyTree
    best: Best
    history: tuple[Epoch, ...]


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
    key = jax.random.key(config.seed)
    label = np.asarray(batch.label)[train_rows]
    weight = balanced_weight(label) if config.positive_weight is None else config.positive_weight
    compiled, share = programs(network, config, mesh=mesh), 1.0 if parts is None else 1 - 1 / config.ensemble
    penalty = penalty_weight(label, positive_weight=weight, share=share)
    hyperparameters = Hyperparameters.of(config, weight)._replace(penalty_weight=penalty)
    shards = None if mesh is None else mesh.size
    initial_logit = base_rate_logit(label, positive_weight=weight)
    params = own(network.init(jax.random.fold_in(key, 0), jnp.asarray(initial_logit)))
    training = Training(compiled.start(params), own(params), Best(0, np.nan, np.nan), ())
    if checkpoints is not None and (latest := checkpoints.latest()) is not None:
        if not resume:
            raise RunError(f"{checkpoints.folder} already holds epoch {latest}: resume, or use another folder.")
        training = _restored(checkpoints, training)

    forests, seeds = forests_of(batch, config.ensemble), seeds_of_epochs(key, config.epochs)

    def plan(epoch: int) -> Plan:
        size = config.batch_size
        return plan_epoch(batch, train_rows, batch_size=size, seed=seeds[epoch], forests=forests, shards=shards)

    panel, apart = compiled.put(batch), None if parts is None else jnp.asarray(parts)
    rows = validation_rows if parts is None else train_rows
    validate = _validation(batch, forests, rows, compiled, config, weight, apart, shards)
    epoch = len(training.history)
    plans = planned(plan, range(epoch + 1, config.epochs + 1))
    try:
        while not finished(epoch, training.best, config):
            epoch += 1
            started, compilations = time.perf_counter(), compiled.compilations
            epoch_key = jax.random.fold_in(key, epoch)
            state, measured = compiled.run_epoch(
                training.state, panel, compiled.put_plan(next(plans)), epoch_key, hyperparameters, apart
            )
            loss = epoch_loss(jax.device_get(measured), epoch, config)
            validation_auc, log_loss = validate(state.result, panel)
            seconds, compilations = time.perf_counter() - started, compiled.compilations - compilations
            speed = len(train_rows) / seconds
            row = Epoch(epoch, loss, validation_auc, log_loss, seconds, compilations, speed)
            training = _after(training, state, row)
            if checkpoints is not None and first_process():
                _save(checkpoints, training)
            if progress is not None:
                progress(row, epochs=config.epochs, done=finished(epoch, training.best, config))
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        raise RunError(
            f"Epoch {epoch}: the processes could not go on together ({str(error).splitlines()[0][:200]}). If one of "
            "them was lost, start all of them again, with `resume`."
        ) from error
    finally:
        plans.close()
        if checkpoints is not None:
            checkpoints.wait()  # even when interrupted, the last complete epoch gets to the disk
    history = pd.DataFrame(training.history, columns=list(Epoch._fields))
    params = training.best_params if mesh is None else jax.tree.map(np.asarray, training.best_params)
    return Fitted(params, history, training.best.epoch, weight)


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


def _after(training: Training, state: TrainState, row: Epoch) -> Training:
    """The training with one more epoch, the parameters kept if it is the best."""
    best, best_params = training.best, training.best_params
    if best.beaten_by(row):
        best, best_params = Best(row.epoch, row.validation_auc, row.validation_log_loss), own(state.result)
    return Training(state, best_params, best, (*training.history, row))


def finished(epoch: int, best: Best, config: TrainConfig) -> bool:
    """Whether no epoch follows this one."""
    return epoch >= config.epochs or (config.patience is not None and epoch - best.epoch >= config.patience)


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


def _save(checkpoints: Checkpoints, training: Training) -> None:
    """Saves a training."""
    arrays = {"state": training.state, "best": training.best_params}
    meta = {"best": list(training.best), "history": [list(row) for row in training.history]}
    checkpoints.save(len(training.history), arrays, meta=meta)


def _restored(checkpoints: Checkpoints, like: Training) -> Training:
    """Reads the latest training back."""
    saved = checkpoints.restore({"state": like.state, "best": like.best_params})
    history = tuple(Epoch(*row) for row in saved.meta["history"])
    return Training(own(saved.state["state"]), own(saved.state["best"]), Best(*saved.meta["best"]), history)


def own(tree: PyTree) -> PyTree:
    """Copies arrays on the device, because a step uses up those that it is given, and gives each a definite dtype."""
    return jax.tree.map(lambda array: jnp.array(array, dtype=array.dtype), tree)


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
        raise RunError(f"A prediction for validation is not finite. {_remedy(config)}")
    where = ~np.isnan(label)
    horizons = [
        float(auc(z, hard_label(y), where=known)) for z, y, known in zip(logit.T, label.T, where.T, strict=True)
    ]
    defined = [value for value in horizons if not np.isnan(value)]
    logit = unweight(logit, positive_weight=positive_weight)
    surprise = label * np.logaddexp(0, -logit) + (1 - label) * np.logaddexp(0, logit)
    return float(np.mean(defined)) if defined else np.nan, float(surprise[where].mean())


def epoch_loss(measured: Measurements, epoch: int, config: TrainConfig) -> float:
    """The mean loss of an epoch, or an error that names the first step whose loss or gradient is not finite."""
    broken = ~(np.isfinite(measured.loss) & np.isfinite(measured.gradient_norm))
    if broken.any():
        step = int(broken.argmax())
        before = f", {measured.gradient_norm[step - 1]:.3g} in the step before" if step else ""
        raise RunError(
            f"Epoch {epoch}, step {step + 1} of {len(broken)}: the loss is {measured.loss[step]:.4g} and the norm of "
            f"its gradient {measured.gradient_norm[step]:.3g}{before}. {_remedy(config)}"
        )
    return float(np.average(measured.loss, weights=measured.outcomes))


def _remedy(config: TrainConfig) -> str:
    """What to do when numbers run away in training."""
    clip = (
        "gradient_clip=1" if config.gradient_clip is None else f"a smaller gradient_clip than {config.gradient_clip:g}"
    )
    return (
        "All numbers of the data are finite, so the parameters ran away: "
        f"try a smaller learning_rate than {config.learning_rate:g}, or {clip}."
    )


def with_outcome(batch: Batch, rows: Int[np.ndarray, " n"], purpose: str) -> Int[np.ndarray, " n"]:
    """Those of the samples whose outcome is known for at least one horizon."""
    rows = np.asarray(rows, dtype=np.int64)
    known = rows[np.asarray(batch.label_mask)[rows].any(axis=1)]
    if len(known) == 0:
        raise DataError(
            f"None of the {len(rows):,} samples for {purpose} has a known outcome. "
            "Give accounts that were observed for at least one whole period after a member had arrived."
        )
    return known


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
