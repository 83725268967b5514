"""An ensemble is the mean of networks that know nothing of each other."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hanjax.errors import ConfigError
from hanjax.nn import ensemble
from tests.nn.examples import HORIZONS, assert_close, drawn, factored, model

N = 3
both = pytest.mark.parametrize("name", [pytest.param("gru_attention", marks=pytest.mark.slow), "maximum"])


@cache
def several(name):
    """An ensemble, its parameters, and the answers of each of its networks alone."""
    one, many = model(name), ensemble(model(name), N)
    params = drawn(jax.eval_shape(many.init, jax.random.key(0)))
    answer = jax.jit(lambda params, batch: (one.apply(params, batch), one.individual_logits(params, batch)))
    alone = [answer(jax.tree.map(lambda leaf, i=i: leaf[i], params), factored()) for i in range(N)]
    return many, params, alone


@both
def test_it_answers_with_the_mean_of_its_networks(name):
    many, params, alone = several(name)
    got = jax.jit(lambda params, batch: (many.apply(params, batch), many.individual_logits(params, batch)))(
        params, factored()
    )
    assert_close(got, jax.tree.map(lambda *parts: np.mean(parts, axis=0), *alone), relative=1e-6)


@both
def test_in_training_each_has_its_own_log_odds(name):
    many, params, alone = several(name)
    got = jax.jit(many.train)(params, factored(), None)
    assert_close(got.logit, jnp.stack([output.logit for output, _ in alone]), relative=1e-6)
    if name == "maximum":
        assert_close(got.member_logit, jnp.stack([output.member_logit for output, _ in alone]), relative=1e-6)
    else:
        assert got.member_logit is None
    assert got.member_share.shape == factored().members.shape

    def loss(params):
        return many.train(params, factored(), None).logit[1].sum()

    for leaf in jax.tree.leaves(jax.jit(jax.grad(loss))(params)):  # the others learn nothing of its errors
        np.testing.assert_array_equal(leaf[np.array([0, 2])], 0)


@both
def test_its_stages_equal_the_whole(name):
    many, params, _ = several(name)

    @jax.jit
    def in_stages(params, batch):
        periods = many.encode_periods(params, batch)
        windows = many.encode_windows(params, periods.value, batch)
        assert periods.value.shape[:2] == (len(batch.sequences), N)
        assert windows.value.shape[:2] == (len(batch.windows), N)
        scored = many.score(params, windows.value, batch)
        return scored.logit, scored.member_share, windows.weights, periods.weights, scored.member_logit

    outputs, alone = zip(*several(name)[2], strict=True)
    whole, alone = jax.tree.map(lambda *parts: np.mean(parts, axis=0), *zip(outputs, alone, strict=True))
    assert_close(in_stages(params, factored()), (*whole[:4], alone), relative=1e-6)


def test_its_networks_are_those_of_its_keys():
    one, many = model(), ensemble(model(), N)
    start = jnp.array([-3.0, 1.0])[:HORIZONS]
    together = jax.jit(many.init)(jax.random.key(4), start)
    for i, key in enumerate(jax.random.split(jax.random.key(4), N)):
        alone = jax.jit(one.init)(key, start)
        jax.tree.map(np.testing.assert_array_equal, jax.tree.map(lambda leaf, i=i: leaf[i], together), alone)


def test_it_is_made_once():
    assert ensemble(model(), N) is ensemble(model(), N)
    with pytest.raises(ConfigError, match="at least one"):
        ensemble(model(), 0)
