"""One epoch, and one prediction, each as a single compiled loop over the steps of a plan; of one model, or of many."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PyTree

from hanjax.compiled import Compiled
from hanjax.config import TrainConfig
from hanjax.data.batches import Forests, Plan, gather
from hanjax.errors import ConfigError
from hanjax.training.devices import over_devices, placements
from hanjax.training.losses import expected_cross_entropy_loss
from hanjax.types import Batch, Output


@runtime_checkable
class Network(Protocol):
    """What training asks of a model: three pure functions."""

    def init(self, key: Array, initial_logit: Any, /) -> PyTree:
        """Makes parameters with which the model's log-odds are near ``initial_logit`` (``[H]``)."""
        ...

    def apply(self, params: PyTree, batch: Batch, /) -> Output:
        """Scores a batch."""
        ...

    def train(self, params: PyTree, batch: Batch, key: Array | None, dropout: Any = None, /) -> Output:
        """Scores a batch while learning: with a key under dropout, if any, and each network of an ensemble by itself.

        ``dropout`` is None for the settings' own rates, else a pair of others, which may be traced. Log-odds may have a
        further axis in front, each entry of which learns on its own.
        """
        ...


class Hyperparameters(NamedTuple):
    """The settings that are plain numbers: a program takes them as they come, and is compiled for none of them.

    Args:
        positive_weight: w, the weight of a conversion in the loss.
        learning_rate: of Adam.
        weight_decay: of AdamW; 0 is plain Adam.
        gradient_clip: largest norm of a step's gradient; infinity for no clipping.
        ema_epochs: time constant of the moving average, in epochs; without meaning where there is none.
        dropout: shares of an individual's representation, and of the members, that a step leaves out; None for those of
            the model's settings.
        penalty_weight: what a nat of the model's penalty adds to the loss, for all horizons or each; without meaning
            where there is no penalty.
    """

    positive_weight: Float[Array, ""] | float
    learning_rate: Float[Array, ""] | float
    weight_decay: Float[Array, ""] | float = 0.0
    gradient_clip: Float[Array, ""] | float = math.inf
    ema_epochs: Float[Array, ""] | float = 0.0
    dropout: Any = None
    penalty_weight: Float[Array, "..."] | float = 0.0

    @classmethod
    def of(cls, config: TrainConfig, positive_weight: float) -> "Hyperparameters":
        """Those of some settings, whose own weight may be none."""
        clip = math.inf if config.gradient_clip is None else config.gradient_clip
        return cls(positive_weight, config.learning_rate, config.weight_decay, clip, config.ema_epochs)


class Average(NamedTuple):
    """An exponential moving average of the parameters.

    Args:
        params: the average.
        weight: that all steps have in it together, where the latest has 1.
    """

    params: PyTree
    weight: Float[Array, ""]


class TrainState(NamedTuple):
    """What a step of training changes.

    Args:
        params: the model's parameters.
        opt_state: the optimizer's moments.
        average: their exponential moving average; None if it is not asked for.
    """

    params: PyTree
    opt_state: PyTree
    average: Average | None = None

    @property
    def result(self) -> PyTree:
        """The parameters to predict with: the average, if there is one."""
        return self.params if self.average is None else self.average.params


class Measurements(NamedTuple):
    """What an epoch of T steps tells about itself.

    Args:
        loss: ``[T]`` each step's loss, before its update.
        outcomes: ``[T]`` known outcomes in each step.
        gradient_norm: ``[T]`` norm of each step's gradient, before any clipping.
    """

    loss: Float[Array, " T"]
    outcomes: Int[Array, " T"]
    gradient_norm: Float[Array, " T"]


class Programs(NamedTuple):
    """The compiled programs of training one network, or several side by side.

    Args:
        put: ``put(tree) -> tree``: onto the device, or onto every one.
        put_plan: ``put_plan(plan) -> plan``: likewise; what a device has no part in goes to others alone.
        start: ``start(params) -> TrainState``.
        run_epoch: ``run_epoch(state, panel, plan, key, hyperparameters, apart, which) -> (state, measurements)``; the
            state given is used up. ``apart [N]`` names for each sample of the panel the network of an ensemble that
            does not learn from it; None if all learn from all. ``which`` says which of several plans ``[T, D, ...]``
            it is; None if there is one ``[T, ...]``.
        predict: ``predict(params, panel, plan, apart) -> logit [T, B, H]``; with ``apart`` of that network alone.

    Side by side, states, keys, hyperparameters, ``which`` and results have an axis of models in front; the panel, the
    plans and ``apart`` are the same for all.
    """

    put: Callable[[PyTree], PyTree]
    put_plan: Callable[[Plan], Plan]
    start: Callable[[PyTree], TrainState]
    run_epoch: Compiled
    predict: Compiled

    @property
    def compilations(self) -> int:
        """How often any of them was compiled."""
        return self.run_epoch.compilations + self.predict.compilations


def forests_of(batch: Batch, models: int = 1) -> Forests | None:
    """The beginnings that training computes once each; None where going row by row is faster.

    That is so on a GPU, unless it trains many models at once: its time goes into the number of turns of a loop, of
    which beginnings take more, rather than into what there is to compute in each.

    Args:
        batch: the panel's batch, as NumPy arrays.
        models: how many networks each device trains side by side.
    """
    return None if jax.default_backend() == "gpu" and models < 32 else Forests.of(batch)


def programs(network: Network, config: TrainConfig, *, together: bool = False, mesh: Mesh | None = None) -> Programs:
    """Makes the programs that train a network; asking again with such settings gives the ones already compiled.

    Args:
        network: the model, as pure functions.
        config: whose loss it is, and whether there is a moving average.
        together: for several models side by side.
        mesh: devices in a row that share the work, the models or, of a single one, the samples of each step, for which
            plans have an axis of shards behind the steps; None for one device.
    """
    return _programs(network, config.loss, config.ema_epochs > 0, together, mesh)


@functools.lru_cache(maxsize=8)
def _programs(network: Network, whose: str, averages: bool, together: bool, mesh: Mesh | None) -> Programs:
    axis = None if mesh is None or together else mesh.axis_names[0]  # over which a step's samples are spread

    def optimizer_of(by: Hyperparameters) -> optax.GradientTransformation:
        adam = optax.adamw(by.learning_rate, weight_decay=by.weight_decay, mask=_decays)
        return optax.chain(optax.clip_by_global_norm(by.gradient_clip), adam)

    def run_epoch(
        state: TrainState,
        panel: Batch,
        plan: Plan,
        key: Array,
        by: Hyperparameters,
        apart: Array | None = None,
        which: Array | None = None,
    ) -> tuple[TrainState, Measurements]:
        optimizer = optimizer_of(by)

        def one_step(state: TrainState, step: tuple[Plan, Array]) -> tuple[TrainState, Measurements]:
            own = step[0] if which is None else jax.tree.map(lambda array: array[which], step[0])
            batch, key_of_step = gather(panel, own), jax.random.fold_in(key, step[1])
            if axis is not None:
                key_of_step = jax.random.fold_in(key_of_step, jax.lax.axis_index(axis))

            def loss_of(params: PyTree) -> tuple[Float[Array, ""], Int[Array, ""]]:
                output = network.train(params, batch, key_of_step, by.dropout)
                logit, label, where = of_account(output, batch) if whose == "account" else of_individuals(output, batch)
                label, where = jnp.broadcast_to(label, logit.shape), jnp.broadcast_to(where, logit.shape)
                if apart is not None:
                    learns = apart[own.samples][None] != jnp.arange(len(logit))[:, None]
                    where = where & jnp.expand_dims(learns, range(2, logit.ndim))
                outcomes = where.sum()
                variance = output.logit_variance if whose == "account" else None
                weight = by.positive_weight
                loss = expected_cross_entropy_loss(logit, variance, label, positive_weight=weight, where=where)
                if output.penalty is not None:
                    loss += jnp.sum(by.penalty_weight * output.penalty)
                if axis is None:
                    return loss, outcomes
                all_outcomes = jax.lax.psum(outcomes, axis)
                return loss * outcomes / jnp.maximum(all_outcomes, 1), all_outcomes

            (loss, outcomes), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params)
            if axis is not None:
                loss, gradient = jax.lax.psum((loss, gradient), axis)
            updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
            measured = Measurements(loss, outcomes, optax.tree.norm(gradient))
            return TrainState(params, opt_state, averaged(state.average, params)), measured

        def averaged(average: Average | None, params: PyTree) -> Average | None:
            if average is None:
                return None
            # A step's weight is 1/e of one that is ``ema_epochs`` newer.
            weight = 1.0 + average.weight * jnp.exp(-1 / (by.ema_epochs * len(plan.samples)))
            return Average(optax.incremental_update(params, average.params, 1.0 / weight), weight)

        return jax.lax.scan(one_step, state, (plan, jnp.arange(len(plan.samples))))

    def of_account(output: Output, batch: Batch) -> tuple[Array, Array, Array]:
        return output.logit, batch.label, batch.label_mask

    def of_individuals(output: Output, batch: Batch) -> tuple[Array, Array, Array]:
        if output.member_logit is None:
            raise ConfigError(
                "loss: 'individual' needs an aggregation of the individuals' own probabilities, such as "
                "aggregator='mean_probability'."
            )
        if output.penalty is not None:
            raise ConfigError("loss: 'individual' sees no effects of segments, which are the account's. Use 'account'.")
        known = batch.label_mask[:, None] & batch.member_mask[..., None]
        return output.member_logit, batch.label[:, None], known

    def predict(params: PyTree, panel: Batch, plan: Plan, apart: Array | None = None) -> Float[Array, "T B H"]:
        def one_step(step: Plan) -> Float[Array, "B H"]:
            if apart is None:
                return network.apply(params, gather(panel, step)).logit
            logit = network.train(params, gather(panel, step), None).logit
            return jnp.take_along_axis(logit, apart[step.samples][None, :, None], axis=0)[0]

        return jax.lax.map(one_step, plan)

    def start(params: PyTree) -> TrainState:
        average = Average(jax.tree.map(jnp.zeros_like, params), jnp.zeros((), jnp.float32)) if averages else None
        # A state depends on none of the numbers.
        return TrainState(params, optimizer_of(Hyperparameters(1.0, 1.0)).init(params), average)

    if together:
        start, run_epoch = jax.vmap(start), jax.vmap(run_epoch, in_axes=(0, None, None, 0, 0, None, 0))
        predict = jax.vmap(predict, in_axes=(0, None, None, None))
    put, put_plan, put_state = placements(mesh, together=together)
    if mesh is not None:
        run_epoch, predict = over_devices(mesh, run_epoch, predict, together=together)
    return Programs(
        put=put,
        put_plan=put_plan,
        start=lambda params: put_state(start(params)),
        run_epoch=Compiled(run_epoch, of_small_steps=True, donate_argnums=0),
        predict=Compiled(predict),
    )


def _decays(params: PyTree) -> PyTree:
    """Which parameters decay: all but biases and scales of normalizations, which have no reason to be small.

    Nor do effects of segments: what draws them to zero is their distribution, which is learned.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, _: not any(word in str(path[-1]) for word in ("bias", "scale")) and "segments" not in str(path),
        params,
    )
