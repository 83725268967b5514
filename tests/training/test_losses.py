"""The weighted cross-entropy against closed forms, NumPy in float64, and NaN where nothing is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hanjax.training.losses import balanced_weight, base_rate_logit, cross_entropy_loss


def reference(logit, label, positive_weight, where):
    """The paper's formula in probabilities, in float64."""
    p = 1 / (1 + np.exp(-logit[where].astype(np.float64)))
    y = label[where].astype(np.float64)
    return np.mean(-positive_weight * y * np.log(p) - (1 - y) * np.log1p(-p))


@pytest.mark.parametrize("positive_weight", [1.0, 500.0])
@pytest.mark.parametrize("shape", [(17,), (17, 3)])
def test_equals_the_formula(positive_weight, shape):
    rng = np.random.default_rng(0)
    logit = rng.normal(scale=4, size=shape).astype(np.float32)
    label, where = (rng.random(shape) < 0.3).astype(np.float32), rng.random(shape) < 0.8
    loss = cross_entropy_loss(
        jnp.asarray(logit), jnp.asarray(label), positive_weight=positive_weight, where=jnp.asarray(where)
    )
    np.testing.assert_allclose(loss, reference(logit, label, positive_weight, where), rtol=1e-6)


def test_equals_the_formula_in_float64_values_and_gradients():
    rng = np.random.default_rng(1)
    logit, label = rng.normal(size=30), (rng.random(30) < 0.3).astype(float)
    where = rng.random(30) < 0.7
    with jax.enable_x64(True):
        loss = lambda z: cross_entropy_loss(z, jnp.asarray(label), positive_weight=7.0, where=jnp.asarray(where))
        value, gradient = jax.value_and_grad(loss)(jnp.asarray(logit))
    np.testing.assert_allclose(value, reference(logit, label, 7.0, where), rtol=1e-13)
    p = 1 / (1 + np.exp(-logit))
    np.testing.assert_allclose(
        gradient, np.where(where, (-7 * label * (1 - p) + (1 - label) * p) / where.sum(), 0), 1e-12
    )


@pytest.mark.parametrize("size", [0.0, 60.0, 200.0, 1e4])
def test_finite_for_any_log_odds(size):
    logit, label = jnp.array([-size, size, -size, size]), jnp.array([1.0, 1.0, 0.0, 0.0])
    loss = lambda z: cross_entropy_loss(z, label, positive_weight=500.0, where=jnp.ones(4, bool))
    value, gradient = jax.value_and_grad(loss)(logit)
    np.testing.assert_allclose(value, 501 * np.logaddexp(0, [-size, size]).sum() / 4, rtol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("garbage", [np.nan, np.inf, -np.inf, 1e30])
def test_what_does_not_count_reaches_neither_value_nor_gradient(garbage):
    where = jnp.array([True, False, True, False])
    logit, label = jnp.array([0.3, 5.0, -1.0, 2.0]), jnp.array([1.0, 0.0, 0.0, 1.0])
    loss = lambda z, y: cross_entropy_loss(z, y, positive_weight=3.0, where=where)
    value, gradient = jax.value_and_grad(loss)(logit, label)
    spoiled, spoiled_gradient = jax.value_and_grad(loss)(
        jnp.where(where, logit, garbage), jnp.where(where, label, garbage)
    )
    shortened = cross_entropy_loss(logit[::2], label[::2], positive_weight=3.0, where=jnp.ones(2, bool))
    assert spoiled == value and value == shortened
    np.testing.assert_array_equal(spoiled_gradient, gradient)
    assert not gradient[1] and not gradient[3]


def test_nothing_known_gives_zero():
    loss = lambda z: cross_entropy_loss(z, jnp.full(3, jnp.nan), where=jnp.zeros(3, bool))
    value, gradient = jax.value_and_grad(loss)(jnp.full(3, jnp.inf))
    assert value == 0 and not gradient.any()


@pytest.mark.parametrize("positive_weight", [1.0, 500.0])
def test_the_base_rate_minimizes_the_loss_of_a_constant(positive_weight):
    label = np.array([[1, 0, 0, 0, np.nan], [1, 1, 0, np.nan, 0]], np.float32).T
    logit = base_rate_logit(label, positive_weight=positive_weight)
    np.testing.assert_allclose(logit, np.log(positive_weight * np.array([1 / 3, 1])), rtol=1e-6)
    label, where = jnp.asarray(label), jnp.asarray(~np.isnan(label))
    loss = lambda z: cross_entropy_loss(
        jnp.broadcast_to(z, label.shape), label, positive_weight=positive_weight, where=where
    )
    np.testing.assert_allclose(jax.grad(loss)(jnp.asarray(logit)), 0, atol=1e-5)


def test_the_base_rate_of_one_class_is_finite():
    logit = base_rate_logit(np.array([[0, 1, np.nan], [0, 1, np.nan]], np.float32))
    np.testing.assert_allclose(logit, [np.log(0.5 / 2), np.log(2 / 0.5), 0], rtol=1e-6)


def test_the_balanced_weight():
    label = np.array([[0, 0, 0, 1, np.nan, 0], [0, 0, 1, 1, np.nan, 0]], np.float32).T
    assert balanced_weight(label) == 7 / 3
    assert balanced_weight(1 - label) == 1  # conversions are never weighed down
    assert balanced_weight(np.zeros((5, 1))) == 5
