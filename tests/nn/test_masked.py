import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hanjax import masked

HERE = jnp.array([True, False, True])


def test_softmax_equals_its_formula():
    scores = np.array([1.0, 5.0, -2.0])
    wanted = np.exp([1.0, -2.0]) / np.exp([1.0, -2.0]).sum()
    got = masked.softmax(jnp.array(scores), where=HERE)
    np.testing.assert_allclose(got, [wanted[0], 0, wanted[1]], rtol=1e-6)


def test_softmax_takes_each_row_s_own_maximum():
    # A maximum over the whole batch would leave the lower row 0/0, no maximum at all would overflow the upper one.
    scores = jnp.array([[1000.0, 999.0], [-1000.0, -1001.0]])
    got = jax.vmap(masked.softmax)(scores, where=jnp.ones((2, 2), bool))
    np.testing.assert_allclose(got, [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))]] * 2, rtol=1e-5)


def test_softmax_ignores_however_large_scores_where_nothing_is():
    got = masked.softmax(jnp.array([0.0, 3e38, 0.0]), where=HERE)
    np.testing.assert_array_equal(got, [0.5, 0, 0.5])


OF_VECTORS = [masked.softmax, masked.normalized]
OF_ROWS = [
    masked.maximum,
    masked.share_of_maximum,
    masked.mean,
    masked.at_least_one,
    masked.geometric_mean,
    masked.mean_probability,
]


@pytest.mark.parametrize("function", OF_VECTORS + OF_ROWS)
def test_nothing_at_all_gives_zeros_and_zero_gradients(function):
    values = jnp.array([1.0, -3e38, 2.0])
    values = values if function in OF_VECTORS else values[:, None]

    def total(v):
        return (function(v, where=jnp.zeros(3, bool)) * 7).sum()

    value, slope = jax.value_and_grad(total)(values)
    assert value == 0
    np.testing.assert_array_equal(slope, jnp.zeros_like(values))


def test_maximum_of_negative_numbers_is_not_the_zero_of_the_padding():
    values = jnp.array([[-3.0, -9.0], [0.0, 0.0], [-6.0, -8.0]])
    np.testing.assert_array_equal(masked.maximum(values, where=HERE), [-3.0, -8.0])


def test_ties_share_the_gradient_and_the_credit():
    values, where = jnp.array([[2.0], [2.0], [1.0], [2.0]]), jnp.array([True, True, True, False])
    slope = jax.grad(lambda v: masked.maximum(v, where=where)[0])(values)
    np.testing.assert_array_equal(slope[:, 0], [0.5, 0.5, 0, 0])
    np.testing.assert_array_equal(masked.share_of_maximum(values, where=where), [0.5, 0.5, 0, 0])


def test_share_of_maximum_is_averaged_over_columns():
    values = jnp.array([[2.0, 0.0], [9.0, 9.0], [1.0, 1.0]])
    np.testing.assert_array_equal(masked.share_of_maximum(values, where=HERE), [0.5, 0, 0.5])


def test_parts_of_a_whole_are_proportional_however_small_and_equal_if_all_are_zero():
    where = jnp.array([True, False, True, True])
    for unit in (1e-30, 1.0, 1e30):
        got = masked.normalized(jnp.array([1.0, 5.0, 0.0, 3.0]) * unit, where=where)
        np.testing.assert_allclose(got, [0.25, 0, 0, 0.75], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(masked.normalized(jnp.zeros(4), where=where), [1 / 3, 0, 1 / 3, 1 / 3], rtol=1e-6)
    assert masked.normalized(jnp.array([0.3, 0.0, 0.0]), where=jnp.arange(3) == 0)[0] == 1


def test_mean_counts_only_what_is_there():
    values = jnp.array([[1.0, -2.0], [1e30, 1e30], [4.0, 0.0]])
    np.testing.assert_array_equal(masked.mean(values, where=HERE), [2.5, -1.0])
    slope = jax.grad(lambda v: masked.mean(v, where=HERE)[0])(values)
    np.testing.assert_array_equal(slope[:, 0], [0.5, 0, 0.5])
