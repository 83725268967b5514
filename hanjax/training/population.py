"""Trains many models side by side in one compiled program, each as it would be trained alone."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Int, PyTree

from hanjax.config import TrainConfig
from hanjax.data.batches import Plan, plan_epoch, plan_epochs
from hanjax.errors import ConfigError, RunError
from hanjax.training.epochs import Best, Epoch, Fitted, Progress, epoch_loss, finished, own
from hanjax.training.fit import check_finite, planned, seeds_of_epochs, validated, with_outcome
from hanjax.training.losses import balanced_weight, base_rate_logit, penalty_weight
from hanjax.training.step import Hyperparameters, Measurements, Network, forests_of, programs
from hanjax.types import Batch

SHARED = ("batch_size", "loss", "ensemble", "cross_validation")
"""Settings of training that models side by side have in common, beside whether there is a moving average."""


class Member(NamedTuple):
    """How one of several models is trained.

    Args:
        config: its settings of training; ``epochs`` and ``patience`` may differ, too.
        dropout: shares of units and of members that its steps leave out; None for those of the network's settings.
    """

    config: TrainConfig
    dropout: tuple[float, float] | None = None


class Trained(NamedTuple):
    """What became of the models.

    Args:
        members: each model's best epoch, or why there is none.
        rows: ``[v]`` the samples that the epochs were chosen by, as rows of the panel.
        logit: ``[P, v, H]`` what the best epoch of each model says of these; without meaning where there is none.
    """

    members: list[Fitted | RunError]
    rows: Int[np.ndarray, " v"]
    logit: Float[np.ndarray, "P v H"]


def fit_members(
    batch: Batch,
    train_rows: Int[np.ndarray, " n"],
    validation_rows: Int[np.ndarray, " v"],
    network: Network,
    members: Sequence[Member],
    *,
    parts: Int[np.ndarray, " N"] | None = None,
    progress: Progress | None = None,
    mesh: Mesh | None = None,
) -> Trained:
    """Trains several models on one panel, as ``fit_panel`` would train each alone, with the same samples apart.

    All take their steps in one compiled program. Each has first parameters, an order of the samples and an end of its
    own; one that has come to its end takes part until all have, without being changed by it. A model whose loss ceases
    to be finite ends there, and the others go on.

    Args:
        batch: the panel's batch, as NumPy arrays.
        train_rows: ``[n]`` the samples to learn from, as rows of the panel.
        validation_rows: ``[v]`` the samples that choose the epoch; may be empty.
        network: the model, as pure functions.
        members: how each is trained; all that makes another program has to be the same, see ``SHARED``.
        parts: as ``fit_panel`` takes them.
        progress: called after every epoch with the mean over the models that are still learning.
        mesh: devices in a row among which the models are dealt, a number that divides theirs; None for one device.

    Returns:
        The models.

    Raises:
        ConfigError: if the models cannot be trained side by side.
        DataError: as ``fit_panel`` does.

    Example:
        >>> import numpy as np
        >>> from hanjax.config import ModelConfig, TrainConfig
        >>> from hanjax.nn.functional import Sizes, network
        >>> from hanjax.training.population import Member, fit_members
        >>> from hanjax.types import Batch
        >>> label = np.arange(8) % 2.0
        >>> active = np.broadcast_to(2 + label[:, None, None, None], (8, 3, 4, 9)).astype(int)
        >>> batch = Batch.from_dense(active, members=np.ones((8, 3), bool), label=label)
        >>> model = network(ModelConfig(), Sizes(vocabulary=4))
        >>> two = [Member(TrainConfig(epochs=2, batch_size=4, learning_rate=rate)) for rate in (0.01, 0.02)]
        >>> trained = fit_members(batch, np.arange(6), np.arange(6, 8), model, two)
        >>> [len(one.history) for one in trained.members], trained.logit.shape
        ([2, 2], (2, 2, 1))
    """
    first, configs = _same(members), [member.config for member in members]
    check_finite(batch)
    train_rows = with_outcome(batch, train_rows, "training")
    label = np.asarray(batch.label)[train_rows]
    balanced = balanced_weight(label)
    weights = [balanced if config.positive_weight is None else config.positive_weight for config in configs]
    keys = jnp.stack([jax.random.key(config.seed) for config in configs])
    fold_in = jax.vmap(jax.random.fold_in, in_axes=(0, None))
    compiled = programs(network, first, together=True, mesh=mesh)
    initial = jnp.stack([base_rate_logit(label, positive_weight=weight) for weight in weights])
    params = own(jax.vmap(network.init)(fold_in(keys, 0), initial))
    share = 1.0 if parts is None else 1 - 1 / first.ensemble
    each = [
        Hyperparameters.of(member.config, weight)._replace(
            dropout=member.dropout, penalty_weight=penalty_weight(label, positive_weight=weight, share=share)
        )
        for member, weight in zip(members, weights, strict=True)
    ]
    numbers = jax.tree.map(lambda *values: jnp.asarray(values, jnp.float32), *each)
    panel, apart = compiled.put(batch), None if parts is None else jnp.asarray(parts)
    forests = forests_of(batch, len(members) * first.ensemble // (1 if mesh is None else mesh.size))
    rows = validation_rows if parts is None else train_rows
    rows = with_outcome(batch, rows, "validation") if len(rows) else np.zeros(0, int)
    known = np.asarray(batch.label)[rows]
    aside = plan_epoch(batch, rows, batch_size=first.batch_size, seed=None, forests=forests) if len(rows) else None
    on_device = None if aside is None else compiled.put_plan(aside)

    most = max(config.epochs for config in configs)
    seeds = np.stack([seeds_of_epochs(key, most) for key in keys], axis=1)

    def plan(epoch: int) -> tuple[Plan, Int[np.ndarray, " P"]]:
        return plan_epochs(batch, train_rows, batch_size=first.batch_size, seeds=seeds[epoch], forests=forests)

    def predict(params: PyTree) -> Float[np.ndarray, "P v H"]:
        if aside is None:
            return np.zeros((len(members), 0, known.shape[1]))
        logit = np.asarray(compiled.predict(params, panel, on_device, apart))
        return np.stack([aside.restored(one) for one in logit])

    state, best_params = compiled.start(params), own(params)
    best = [Best(0, np.nan, np.nan)] * len(members)
    history: list[list[Epoch]] = [[] for _ in members]
    errors: dict[int, RunError] = {}
    learning = set(range(len(members)))
    epoch, plans = 0, planned(plan, range(1, most + 1))
    while learning:
        epoch += 1
        started, compilations = time.perf_counter(), compiled.compilations
        passes, which = next(plans)
        state, measured = compiled.run_epoch(
            state, panel, compiled.put_plan(passes), fold_in(keys, epoch), numbers, apart, which
        )
        measured, logit = jax.device_get(measured), predict(state.result)
        seconds, compilations = time.perf_counter() - started, compiled.compilations - compilations
        improved = np.zeros(len(members), bool)
        for i in sorted(learning):
            try:
                loss = epoch_loss(Measurements(*(array[i] for array in measured)), epoch, configs[i])
                figures = validated(logit[i], known, weights[i], configs[i]) if len(rows) else (np.nan, np.nan)
            except RunError as error:
                errors[i] = error
                learning.remove(i)
                continue
            row = Epoch(epoch, loss, *figures, seconds, compilations, len(train_rows) / seconds)
            history[i].append(row)
            if best[i].beaten_by(row):
                best[i], improved[i] = Best(epoch, *figures), True
            if finished(epoch, best[i], configs[i]):
                learning.remove(i)
        best_params = _taken(jnp.asarray(improved), state.result, best_params)
        latest = [own[-1] for own in history if own and own[-1].epoch == epoch]
        if progress is not None and latest:
            progress(_mean(latest), epochs=most, done=not learning)

    plans.close()

    def outcome(i: int) -> Fitted | RunError:
        table = pd.DataFrame(history[i], columns=list(Epoch._fields))
        own = jax.tree.map(lambda array: array[i], best_params)
        return errors[i] if i in errors else Fitted(own, table, best[i].epoch, weights[i])

    return Trained([outcome(i) for i in range(len(members))], rows, predict(best_params))


def _same(members: Sequence[Member]) -> TrainConfig:
    """The first of the settings, after a check that one program does for all."""
    if not members:
        raise ConfigError("members: expected at least one.")
    first = members[0]
    for number, member in enumerate(members):
        for name in SHARED:
            mine, other = getattr(first.config, name), getattr(member.config, name)
            if mine != other:
                raise ConfigError(
                    f"{name}: expected {mine!r} as in the first of the models, got {other!r} in no. {number}."
                )
        if (member.config.ema_epochs > 0) != (first.config.ema_epochs > 0):
            raise ConfigError(
                "ema_epochs: expected above 0 for all models that are trained side by side, or 0 for all."
            )
        if (member.dropout is None) != (first.dropout is None):
            raise ConfigError("dropout: expected rates for all models that are trained side by side, or for none.")
    return first.config


@jax.jit
def _taken(wanted: Bool[jax.Array, " P"], new: PyTree, old: PyTree) -> PyTree:
    """The new parameters of the models that want them, and the old ones of the others."""
    return jax.tree.map(lambda a, b: jnp.where(jnp.expand_dims(wanted, range(1, a.ndim)), a, b), new, old)


def _mean(rows: Sequence[Epoch]) -> Epoch:
    """What a progress bar shows of an epoch of several models."""
    return Epoch(*np.mean([list(row) for row in rows], axis=0))._replace(epoch=rows[0].epoch)
