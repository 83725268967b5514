"""One epoch after the other, however it is made: how far a training is, which epoch is kept, what is saved."""

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.sharding import Mesh
from jaxtyping import Array, Float, PyTree

from hanjax.config import TrainConfig
from hanjax.errors import RunError
from hanjax.training.checkpoint import Checkpoints
from hanjax.training.devices import first_process
from hanjax.training.losses import balanced_weight, base_rate_logit, penalty_weight
from hanjax.training.step import Hyperparameters, Measurements, Network, Programs, TrainState, programs


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


class Begun(NamedTuple):
    """A training that can go on.

    Args:
        compiled: its programs.
        hyperparameters: the settings that are plain numbers.
        key: that everything random comes from.
        weight: w, the weight of a conversion in the loss.
        training: how far it is.
    """

    compiled: Programs
    hyperparameters: Hyperparameters
    key: Array
    weight: float
    training: Training


def begin(
    network: Network,
    config: TrainConfig,
    label: Float[np.ndarray, "n H"],
    mesh: Mesh | None,
    checkpoints: Checkpoints | None,
    *,
    resume: bool,
    share: float = 1.0,
) -> Begun:
    """Makes the first parameters, or reads the latest ones.

    Args:
        network: the model, as pure functions.
        config: the settings of training.
        label: ``[n, H]`` the outcomes to learn from, NaN where unknown.
        mesh: as ``fit_panel`` takes it, as well as ``checkpoints`` and ``resume``.
        share: of these outcomes that each network learns from.

    Raises:
        RunError: if there is a checkpoint and ``resume`` is False, or it cannot be read.
    """
    key = jax.random.key(config.seed)
    weight = balanced_weight(label) if config.positive_weight is None else config.positive_weight
    compiled = programs(network, config, mesh=mesh)
    initial_logit = base_rate_logit(label, positive_weight=weight)
    params = own(network.init(jax.random.fold_in(key, 0), jnp.asarray(initial_logit)))
    training = Training(compiled.start(params), own(params), Best(0, np.nan, np.nan), ())
    if checkpoints is not None and (latest := checkpoints.latest()) is not None:
        if not resume:
            raise RunError(f"{checkpoints.folder} already holds epoch {latest}: resume, or use another folder.")
        training = _restored(checkpoints, training)
    penalty = penalty_weight(label, positive_weight=weight, share=share)
    hyperparameters = Hyperparameters.of(config, weight)._replace(penalty_weight=penalty)
    return Begun(compiled, hyperparameters, key, weight, training)


def run_epochs(
    begun: Begun,
    one_epoch: Callable[[TrainState, int], tuple[TrainState, Measurements]],
    validate: Callable[[PyTree], tuple[float, float]],
    config: TrainConfig,
    *,
    samples: int,
    checkpoints: Checkpoints | None,
    progress: Progress | None,
) -> Fitted:
    """Makes one epoch after the other, and keeps the one that validates best.

    Args:
        begun: the training.
        one_epoch: takes the steps of an epoch, from 1.
        validate: gives the AUC and the log-loss of parameters.
        config: the settings of training.
        samples: to learn from.
        checkpoints: where every epoch is saved; None for nowhere.
        progress: called after every epoch; None for silence.
    """
    compiled, training = begun.compiled, begun.training
    epoch = len(training.history)
    try:
        while not finished(epoch, training.best, config):
            epoch += 1
            started, compilations = time.perf_counter(), compiled.compilations
            state, measured = one_epoch(training.state, epoch)
            loss = epoch_loss(jax.device_get(measured), epoch, config)
            validation_auc, log_loss = validate(state.result)
            seconds, compilations = time.perf_counter() - started, compiled.compilations - compilations
            row = Epoch(epoch, loss, validation_auc, log_loss, seconds, compilations, samples / seconds)
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
        if checkpoints is not None:
            checkpoints.wait()  # even when interrupted, the last complete epoch gets to the disk
    history = pd.DataFrame(training.history, columns=list(Epoch._fields))
    [device, *more] = jax.tree.leaves(training.best_params)[0].sharding.device_set
    params = jax.tree.map(np.asarray, training.best_params) if more else training.best_params
    return Fitted(params, history, training.best.epoch, begun.weight)


def _after(training: Training, state: TrainState, row: Epoch) -> Training:
    """The training with one more epoch, the parameters kept if it is the best."""
    best, best_params = training.best, training.best_params
    if best.beaten_by(row):
        best, best_params = Best(row.epoch, row.validation_auc, row.validation_log_loss), own(state.result)
    return Training(state, best_params, best, (*training.history, row))


def finished(epoch: int, best: Best, config: TrainConfig) -> bool:
    """Whether no epoch follows this one."""
    return epoch >= config.epochs or (config.patience is not None and epoch - best.epoch >= config.patience)


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


def epoch_loss(measured: Measurements, epoch: int, config: TrainConfig) -> float:
    """The mean loss of an epoch, or an error that names the first step whose loss or gradient is not finite."""
    broken = ~(np.isfinite(measured.loss) & np.isfinite(measured.gradient_norm))
    if broken.any():
        step = int(broken.argmax())
        before = f", {measured.gradient_norm[step - 1]:.3g} in the step before" if step else ""
        raise RunError(
            f"Epoch {epoch}, step {step + 1} of {len(broken)}: the loss is {measured.loss[step]:.4g} and the norm of "
            f"its gradient {measured.gradient_norm[step]:.3g}{before}. {remedy(config)}"
        )
    return float(np.average(measured.loss, weights=measured.outcomes))


def remedy(config: TrainConfig) -> str:
    """What to do when numbers run away in training."""
    clip = (
        "gradient_clip=1" if config.gradient_clip is None else f"a smaller gradient_clip than {config.gradient_clip:g}"
    )
    return (
        "All numbers of the data are finite, so the parameters ran away: "
        f"try a smaller learning_rate than {config.learning_rate:g}, or {clip}."
    )
