import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from hanjax.nn.pooling import AttentionPool
from tests.nn.examples import assert_close

POOL = AttentionPool(4, rngs=nnx.Rngs(0))
ITEMS = jax.random.normal(jax.random.key(1), (5, 4))
WHERE = jnp.array([True, False, True, True, False])


def test_equals_the_closed_form():
    kernel, bias = np.asarray(POOL.key.kernel[...], np.float64), np.asarray(POOL.key.bias[...], np.float64)
    items = np.asarray(ITEMS, np.float64)[np.asarray(WHERE)]
    relevance = np.exp(np.tanh(items @ kernel + bias) @ np.asarray(POOL.query[...], np.float64))
    weights = relevance / relevance.sum()
    got = POOL(ITEMS, where=WHERE)
    assert_close(got.value, weights @ items)
    assert_close(got.weights[WHERE], weights)
    np.testing.assert_array_equal(got.weights[~WHERE], 0)
    assert np.ptp(weights) > 0.01  # not the mean: the weights matter


def test_what_is_not_there_changes_no_value_and_no_gradient():
    def total(pool, items):
        return (pool(items, where=WHERE).value ** 2).sum()

    grad = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))
    garbage = jnp.where(WHERE[:, None], ITEMS, 1e6)
    (value, (slopes, slope)), (value_, (slopes_, slope_)) = grad(POOL, ITEMS), grad(POOL, garbage)
    assert value == value_
    np.testing.assert_array_equal(slope, slope_)
    jax.tree.map(np.testing.assert_array_equal, slopes, slopes_)
    np.testing.assert_array_equal(slope[~WHERE], 0)


def test_the_weights_of_one_item_lie_on_that_item():
    # Not on the padding, as with an inverted mask.
    got = POOL(ITEMS, where=jnp.array([False, False, True, False, False]))
    np.testing.assert_array_equal(got.weights, [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(got.value, ITEMS[2])


def test_nothing_gives_zeros_and_leaves_the_other_rows_alone():
    items, where = jnp.stack([ITEMS, ITEMS + 1]), jnp.stack([WHERE, jnp.zeros(5, bool)])
    got = jax.vmap(POOL)(items, where=where)
    np.testing.assert_array_equal(got.value[1], 0)
    np.testing.assert_array_equal(got.weights[1], 0)
    assert_close(got.value[0], POOL(ITEMS, where=WHERE).value, relative=1e-6)

    def total(pool, items):
        return (pool(items, where=jnp.zeros(5, bool)).value + 1).sum()

    for slope in jax.tree.leaves(jax.grad(total, argnums=(0, 1))(POOL, ITEMS)):
        np.testing.assert_array_equal(slope, 0)
