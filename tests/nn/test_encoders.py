import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hanjax.nn.encoders import ActivityEncoder, IndividualLayer, WindowEncoder
from tests.nn.examples import assert_close, drawn
from tests.reference import han as reference


def built(module):
    """The module away from its special starting values, and its parameters as a dict."""
    structure, params = nnx.split(module, nnx.Param)
    params = drawn(nnx.to_pure_dict(params))
    return nnx.merge(structure, params), params


ACTIVITY, ACTIVITY_PARAMS = built(ActivityEncoder(7, 5, None, rngs=nnx.Rngs(0)))
EMBEDDED, EMBEDDED_PARAMS = built(ActivityEncoder(7, 5, 3, rngs=nnx.Rngs(0)))
WINDOW, WINDOW_PARAMS = built(WindowEncoder(5, 4, rngs=nnx.Rngs(0)))
PERIODS = jax.random.normal(jax.random.key(0), (6, 5))


def encode(ids, encoder=ACTIVITY):
    ids = jnp.asarray(ids, jnp.uint8)
    return encoder(ids, where=ids > 0)


@pytest.mark.parametrize(("encoder", "params"), [(ACTIVITY, ACTIVITY_PARAMS), (EMBEDDED, EMBEDDED_PARAMS)])
def test_a_period_equals_the_reference_however_it_is_padded(encoder, params):
    wanted, weights = reference.period(params, [3, 1, 6, 3])
    for length in (4, 9, 20):
        value, share = encode([3, 1, 6, 3] + [0] * (length - 4), encoder)
        assert_close(value, wanted, relative=2e-6)
        assert_close(share[:4], np.array(weights), relative=2e-6)
        np.testing.assert_array_equal(share[4:], 0)


def test_order_and_repetition_matter():
    values = [encode(ids).value for ids in ([2, 3, 0], [3, 2, 0], [2, 3, 3], [2, 2, 3])]
    for i, left in enumerate(values):
        for right in values[:i]:
            assert jnp.abs(left - right).max() > 1e-3


def test_an_empty_period_is_zeros_with_finite_gradients():
    def total(encoder):
        return (encode([0, 0, 0], encoder).value + 1).sum()

    value, slopes = jax.value_and_grad(total)(ACTIVITY)
    assert value == 5
    for slope in jax.tree.leaves(slopes):
        np.testing.assert_array_equal(slope, 0)


@pytest.mark.parametrize("embedding", [None, 3])
def test_the_unknown_activity_is_not_padding(embedding):
    # As initialized, too, where the unknown's own row is still zero.
    encoder = ActivityEncoder(7, 5, embedding, rngs=nnx.Rngs(0))
    for ids, other in (([3, 1, 0], [3, 0, 0]), ([1, 0, 0], [0, 0, 0]), ([1, 3, 0], [3, 0, 0])):
        assert jnp.abs(encode(ids, encoder).value - encode(other, encoder).value).max() > 1e-3


def test_ids_beyond_a_byte_are_distinct():
    encoder = ActivityEncoder(300, 5, None, rngs=nnx.Rngs(0))
    near, far = jnp.array([30], jnp.uint16), jnp.array([30 + 256], jnp.uint16)
    difference = encoder(near, where=near > 0).value - encoder(far, where=far > 0).value
    assert jnp.abs(difference).max() > 1e-3
    byte = near.astype(jnp.uint8)  # few ids in use, though there are more than a byte can count
    np.testing.assert_array_equal(encoder(byte, where=byte > 0).value, encoder(near, where=near > 0).value)


def test_a_window_equals_the_reference_wherever_its_quiet_periods_lie():
    wanted, weights = reference.vectors(WINDOW_PARAMS, list(np.asarray(PERIODS[:3])))
    for where in ([1, 1, 1], [0, 0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 0, 0, 1], [1, 1, 1, 0, 0]):
        where = np.array(where, bool)
        periods = jnp.full((len(where), 5), 1e6).at[where].set(PERIODS[:3])  # garbage in the quiet ones
        value, share = WINDOW(periods, where=where)
        assert_close(value, wanted, relative=2e-6)
        assert_close(np.asarray(share)[where], np.array(weights), relative=2e-6)
        np.testing.assert_array_equal(np.asarray(share)[~where], 0)


def test_a_quiet_window_is_zeros_and_its_neighbors_stay():
    where = jnp.array([[True, True, False], [False] * 3, [True, True, False]])
    periods = jnp.stack([PERIODS[:3], PERIODS[3:], PERIODS[:3]])
    got = jax.vmap(WINDOW)(periods, where=where).value
    np.testing.assert_array_equal(got[1], 0)
    np.testing.assert_array_equal(got[0], got[2])
    assert_close(got[0], WINDOW(PERIODS[:3], where=where[0]).value, relative=1e-6)


@pytest.mark.parametrize("logits", [False, True])
def test_an_individual_equals_the_closed_form(logits):
    layer, params = built(
        IndividualLayer(4, (5, 3), category_width=2, width=6, logits=logits, initial_logit=-6.0, rngs=nnx.Rngs(0))
    )
    window, table = np.arange(4.0) / 4, params["categories"]
    for first, second in ((2, 2), (4, 1), (0, 2)):
        joined = np.concatenate([window, table[first], table[5 + second]]) @ params["linear"]["kernel"]
        joined = joined + params["linear"]["bias"]
        got = layer(jnp.asarray(window, "float32"), jnp.array([first, second]))
        assert_close(got, joined if logits else np.tanh(joined))


def test_without_categories_there_is_no_table():
    layer = IndividualLayer(4, (), category_width=2, width=3, rngs=nnx.Rngs(0))
    assert layer(jnp.ones(4), jnp.zeros(0, jnp.int32)).shape == (3,)
    assert all(leaf.size for leaf in jax.tree.leaves(nnx.split(layer, nnx.Param)[1]))


def test_padding_and_the_unknown_start_neutral():
    layer = IndividualLayer(4, (5, 3), category_width=2, width=6, rngs=nnx.Rngs(0))
    neutral = (np.asarray(layer.categories[...]) == 0).all(axis=1)
    np.testing.assert_array_equal(neutral, [True, True, False, False, False, True, True, False])
    for encoder in (ActivityEncoder(5, 4, None, rngs=nnx.Rngs(0)), ActivityEncoder(5, 4, 3, rngs=nnx.Rngs(0))):
        table = encoder.gru.input_kernel if encoder.embedding is None else encoder.embedding
        np.testing.assert_array_equal((np.asarray(table[...]) == 0).all(axis=1), [True, True, False, False, False])
