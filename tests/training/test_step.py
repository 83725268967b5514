"""An epoch as one compiled loop, against a plain Python loop over dense minibatches."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hanjax.compiled import Compiled
from hanjax.config import TrainConfig
from hanjax.data.batches import Plan, plan_epoch
from hanjax.errors import ConfigError
from hanjax.training.step import Hyperparameters, forests_of, programs
from tests.training.standin import Linear, decode, panel

SEED = np.array([3, 4], np.uint32)
KEY = jax.random.key(5)
CONFIG = TrainConfig(batch_size=16, learning_rate=0.05, positive_weight=5.0)
BY = Hyperparameters.of(CONFIG, 5.0)


def dense_logit(params, dense):
    """The linear model, from dense tensors."""
    activity = params["activity"].at[0].set(0)
    people = activity[dense.sequences].sum((1, 2, 3))
    statics = np.where(dense.member_mask[..., None], dense.individuals, 0).sum(1)[:, :1]
    numbers = np.concatenate([statics, dense.accounts, dense.account_numbers], axis=1)
    return people + numbers @ params["static"] + params["bias"][None]


def member_logit(params, dense):
    """What the linear model says of each member alone, from dense tensors."""
    return params["activity"].at[0].set(0)[dense.sequences].sum((2, 3)) + params["bias"][None, None]


def plain_loop(params, dense, plan, config):
    """Adam, one minibatch at a time, without padding; the loss by the formula in probabilities."""
    optimizer = optax.adam(config.learning_rate)
    if config.weight_decay:
        decay = optax.add_decayed_weights(config.weight_decay, {"activity": True, "static": True, "bias": False})
        rest = optax.scale_by_learning_rate(config.learning_rate)
        optimizer = optax.chain(optax.scale_by_adam(), decay, rest)
    if config.gradient_clip is not None:
        optimizer = optax.chain(optax.clip_by_global_norm(config.gradient_clip), optimizer)
    opt_state, losses, visited = optimizer.init(params), [], []
    for samples, mask in zip(plan.samples, plan.mask, strict=True):
        rows = samples[mask]
        dense_rows = type(dense)(*(table[rows] for table in dense))
        label = dense_rows.label
        known = ~np.isnan(label)

        if config.loss == "individual":  # as many outcomes as there are members
            known = known[:, None] & dense_rows.member_mask[..., None]
            label = np.broadcast_to(label[:, None], known.shape)

        def loss(params, dense_rows=dense_rows, label=label, known=known):
            z = member_logit(params, dense_rows) if config.loss == "individual" else dense_logit(params, dense_rows)
            p, y = jax.nn.sigmoid(z)[known], label[known]
            return jnp.mean(-config.positive_weight * y * jnp.log(p) - (1 - y) * jnp.log1p(-p))

        value, gradient = jax.jit(jax.value_and_grad(loss))(params)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        params = optax.apply_updates(params, updates)
        visited.append(params)
        losses.append((float(value), int(known.sum()), float(optax.tree.norm(gradient))))
    return visited, np.array(losses).T


@pytest.mark.parametrize(
    ("horizons", "changes"),
    [
        (1, {}),
        pytest.param(2, {"gradient_clip": 0.1}, marks=pytest.mark.slow),
        (2, {"loss": "individual"}),
        (1, {"weight_decay": 0.5}),
        (1, {"ema_epochs": 0.7}),
    ],
)
def test_an_epoch_equals_a_plain_loop(horizons, changes):
    whole = panel(41, horizons=horizons)
    config = TrainConfig(batch_size=16, learning_rate=0.05, positive_weight=5.0, **changes)
    plan = plan_epoch(whole, np.arange(41), batch_size=16, seed=SEED)
    params = Linear(horizons).init(jax.random.key(0), jnp.zeros(horizons))
    visited, (losses, outcomes, norms) = plain_loop(params, decode(whole), plan, config)

    compiled = programs(Linear(horizons), config)
    state, measured = compiled.run_epoch(compiled.start(params), whole, plan, KEY, Hyperparameters.of(config, 5.0))
    latest = np.exp(np.arange(1 - len(visited), 1) / (config.ema_epochs * len(visited))) if config.ema_epochs else [1.0]
    for name in params:
        steps = np.stack([one[name] for one in visited])
        np.testing.assert_allclose(state.params[name], steps[-1], atol=1e-5, rtol=1e-5, err_msg=name)
        mean = np.average(steps[-len(latest) :], axis=0, weights=latest)
        np.testing.assert_allclose(state.result[name], mean, atol=1e-5, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(measured.loss, losses, rtol=1e-5)
    np.testing.assert_array_equal(measured.outcomes, outcomes)
    np.testing.assert_allclose(measured.gradient_norm, norms, rtol=1e-4)


class Noisy(Linear):
    """Adds chance to its log-odds while it learns."""

    def train(self, params, batch, key, dropout=None):
        output = self.apply(params, batch)
        return output._replace(logit=output.logit + 0.1 * jax.random.normal(key))


def test_chance_differs_between_steps_and_hangs_on_the_key_alone():
    whole, plan = panel(16), plan_epoch(panel(16), np.arange(16), batch_size=16, seed=SEED)
    plan = jax.tree.map(lambda array: np.concatenate([array, array]), plan)  # the same step twice
    compiled = programs(Noisy(), CONFIG)

    def losses(key):
        state = compiled.start(Noisy().init(jax.random.key(0), jnp.zeros(1)))
        return compiled.run_epoch(state, whole, plan, key, BY._replace(learning_rate=1e-30))[1].loss

    first, second = losses(KEY)
    assert first != second
    np.testing.assert_array_equal(losses(KEY), [first, second])
    assert losses(jax.random.key(6))[0] != first


class Pair(Linear):
    """Two linear models that learn side by side."""

    def init(self, key, initial_logit):
        return jax.vmap(lambda key: Linear.init(self, key, initial_logit))(jax.random.split(key))

    def train(self, params, batch, key, dropout=None):
        return jax.vmap(lambda params: Linear.apply(self, params, batch))(params)


def test_networks_side_by_side_learn_as_each_would_alone():
    whole, plan = panel(41), plan_epoch(panel(41), np.arange(41), batch_size=16, seed=SEED)
    alone = programs(Linear(), CONFIG)
    together = programs(Pair(), CONFIG)
    both = Pair().init(jax.random.key(0), jnp.zeros(1))
    each = [jax.tree.map(operator.itemgetter(i), both) for i in range(2)]
    expected = [alone.run_epoch(alone.start(params), whole, plan, KEY, BY)[0].params for params in each]
    state, _ = together.run_epoch(together.start(both), whole, plan, KEY, BY)
    for i in range(2):
        for name, value in expected[i].items():
            np.testing.assert_allclose(state.params[name][i], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_network_learns_nothing_from_its_own_part_and_alone_predicts_it():
    whole, plan = panel(41), plan_epoch(panel(41), np.arange(41), batch_size=16, seed=SEED)
    together = programs(Pair(), CONFIG)
    apart = jnp.arange(41) % 2
    flipped = whole._replace(label=np.where(apart[:, None] == 0, 1 - whole.label, whole.label))

    def trained(data):
        state = together.start(Pair().init(jax.random.key(0), jnp.zeros(1)))
        return together.run_epoch(state, data, plan, KEY, BY, apart)[0].params

    one, other = trained(whole), trained(flipped)
    for name in one:
        np.testing.assert_array_equal(one[name][0], other[name][0], err_msg=name)
        assert (one[name][1] != other[name][1]).any(), name
    plan = plan_epoch(whole, np.arange(41), batch_size=16, seed=None)
    logit = plan.restored(np.asarray(together.predict(one, whole, plan, apart)))
    dense = decode(whole)
    each = np.stack([dense_logit(jax.tree.map(operator.itemgetter(i), one), dense) for i in range(2)])
    np.testing.assert_allclose(logit, each[np.asarray(apart), np.arange(41)], rtol=1e-5, atol=1e-6)


def test_an_individual_loss_needs_individual_log_odds():
    class Nameless(Linear):
        def train(self, params, batch, key, dropout=None):
            return self.apply(params, batch)._replace(member_logit=None)

    whole, plan = panel(16), plan_epoch(panel(16), np.arange(16), batch_size=16, seed=SEED)
    compiled = programs(Nameless(), TrainConfig(loss="individual"))
    with pytest.raises(ConfigError, match="mean_probability"):
        compiled.run_epoch(compiled.start(Linear().init(jax.random.key(0), jnp.zeros(1))), whole, plan, KEY, BY)


def test_what_fills_up_a_minibatch_weighs_nothing():
    whole, plan = panel(20), plan_epoch(panel(20), np.arange(20), batch_size=16, seed=SEED)
    compiled, params = programs(Linear(), CONFIG), Linear().init(jax.random.key(0), jnp.zeros(1))
    others = plan._replace(samples=np.where(plan.mask, plan.samples, plan.samples[0, 0]))
    assert (others.samples != plan.samples).any()
    results = [
        compiled.run_epoch(compiled.start(jax.tree.map(jnp.copy, params)), whole, p, KEY, BY) for p in (plan, others)
    ]
    for one, other in zip(jax.tree.leaves(results[0]), jax.tree.leaves(results[1]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_state_is_used_up():
    whole, plan = panel(20), plan_epoch(panel(20), np.arange(20), batch_size=16, seed=SEED)
    compiled = programs(Linear(), CONFIG)
    state = compiled.start(Linear().init(jax.random.key(0), jnp.zeros(1)))
    compiled.run_epoch(state, whole, plan, KEY, BY)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))


def test_predictions_stand_in_the_order_of_the_rows():
    whole, rows = panel(30), np.array([22, 3, 3, 17, 0, 29])
    params = Linear().init(jax.random.key(0), jnp.zeros(1))
    plan = plan_epoch(whole, rows, batch_size=4, seed=None)
    logit = plan.restored(np.asarray(programs(Linear(), CONFIG).predict(params, whole, plan)))
    dense = decode(whole)
    expected = dense_logit(params, type(dense)(*(table[rows] for table in dense)))
    np.testing.assert_allclose(logit, expected, rtol=1e-5, atol=1e-6)


class Alone(Linear):
    """One that no other test compiles."""


def test_one_compilation_a_rung_and_none_for_numbers():
    whole = panel(64)
    compiled = programs(Alone(), CONFIG)
    state = compiled.start(Linear().init(jax.random.key(0), jnp.zeros(1)))
    plan = plan_epoch(whole, np.arange(64), batch_size=16, seed=SEED)
    for _ in range(3):
        state, _ = compiled.run_epoch(state, whole, plan, KEY, BY)
    state, _ = compiled.run_epoch(state, whole, plan, KEY, Hyperparameters(7.0, 0.02, 0.1, 5.0))
    assert compiled.compilations == 1
    wider = plan._replace(sequences=np.pad(plan.sequences, ((0, 0), (0, 16))))
    for this in (wider, plan, wider):
        state, _ = compiled.run_epoch(state, whole, this, KEY, BY)
    assert compiled.compilations == 2
    assert programs(Alone(), TrainConfig(learning_rate=0.07, weight_decay=0.1)) is compiled


def test_rungs_change_no_value():
    whole, plan = panel(20), plan_epoch(panel(20), np.arange(20), batch_size=16, seed=SEED)
    compiled, params = programs(Linear(), CONFIG), Linear().init(jax.random.key(0), jnp.zeros(1))
    wider = plan._replace(
        windows=np.pad(plan.windows, ((0, 0), (0, 16))),
        window_sequences=np.pad(plan.window_sequences, ((0, 0), (0, 16), (0, 0))),
        sequences=np.pad(plan.sequences, ((0, 0), (0, 32))),
    )
    results = [
        compiled.run_epoch(compiled.start(jax.tree.map(jnp.copy, params)), whole, p, KEY, BY) for p in (plan, wider)
    ]
    for one, other in zip(jax.tree.leaves(results[0]), jax.tree.leaves(results[1]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_plan_is_a_tree_of_arrays():
    plan = plan_epoch(panel(20), np.arange(20), batch_size=16, seed=SEED)
    assert isinstance(jax.tree.map(lambda array: array[0], plan), Plan)
    assert Compiled(lambda tree: tree.mask.sum())(plan) == 20


@pytest.mark.parametrize(("backend", "models", "shares"), [("cpu", 1, True), ("gpu", 1, False), ("gpu", 64, True)])
def test_beginnings_are_shared_where_that_pays(monkeypatch, backend, models, shares):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    forests = forests_of(panel(20), models)
    plan = plan_epoch(panel(20), np.arange(20), batch_size=16, seed=SEED, forests=forests)
    assert (plan.sequence_prefixes is not None) == (plan.window_prefixes is not None) == shares
