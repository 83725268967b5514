import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hanjax.nn.recurrent import GRU, BothWays, TimeGatedGRU
from tests.nn.examples import as_dtype, assert_close

FEATURES, WIDTH, LENGTHS = 3, 4, (0, 1, 5, 3, 0, 6)
STRUCTURE, PARAMS = nnx.split(GRU(FEATURES, WIDTH, rngs=nnx.Rngs(0)), nnx.Param)
PARAMS = nnx.to_pure_dict(PARAMS)
ITEMS = np.random.default_rng(0).normal(size=(len(LENGTHS), max(LENGTHS), FEATURES))
WHERE = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
COEFFICIENT = np.random.default_rng(1).normal(size=(len(LENGTHS), max(LENGTHS), WIDTH))


def states(params, items, where):
    return jax.vmap(nnx.merge(STRUCTURE, params))(items, where=where)


def total(params, items):
    """A number that depends on every state that is there, each with a coefficient of its own."""
    return (states(params, items, WHERE) * COEFFICIENT.astype(items.dtype) * WHERE[..., None]).sum()


def from_torch(torch, dtype):
    """States, gradients of the parameters and of the inputs, from torch.nn.GRU run on each sequence as it is."""
    gru = torch.nn.GRU(FEATURES, WIDTH, batch_first=True, dtype=getattr(torch, dtype))
    names = {"weight_ih_l0": "input_kernel", "weight_hh_l0": "kernel", "bias_ih_l0": "input_bias", "bias_hh_l0": "bias"}
    with torch.no_grad():
        for theirs, ours in names.items():
            getattr(gru, theirs).copy_(torch.from_numpy(np.array(PARAMS[ours]).T.astype(dtype)))
    items = torch.tensor(ITEMS.astype(dtype), requires_grad=True)
    out, sum_ = np.zeros((*WHERE.shape, WIDTH)), 0.0
    for i, length in enumerate(LENGTHS):
        if length:
            found = gru(items[i : i + 1, :length])[0][0]
            out[i, :length] = found.detach().numpy()
            sum_ = sum_ + (found * torch.from_numpy(COEFFICIENT[i, :length].astype(dtype))).sum()
    sum_.backward()
    return out, {ours: getattr(gru, theirs).grad.numpy().T for theirs, ours in names.items()}, items.grad.numpy()


@pytest.mark.parametrize(("dtype", "relative"), [("float32", 1e-5), ("float64", 1e-10)])
def test_equals_pytorch_for_every_length(dtype, relative):
    torch = pytest.importorskip("torch")
    values, slopes, slope = from_torch(torch, dtype)
    with jax.enable_x64(dtype == "float64"):
        params, items = as_dtype((PARAMS, ITEMS), dtype)
        got = states(params, items, WHERE)
        assert got.dtype == dtype
        assert_close(np.where(WHERE[..., None], got, 0), values, relative=relative)
        got_slopes, got_slope = jax.grad(total, argnums=(0, 1))(params, items)
        assert_close(got_slopes, slopes, relative=relative)
        assert_close(got_slope, slope, relative=relative)


def both_ways():
    return BothWays(GRU(FEATURES, WIDTH, rngs=nnx.Rngs(0)), GRU(FEATURES, WIDTH, rngs=nnx.Rngs(1)))


def test_both_ways_equals_pytorch_for_every_length():
    torch = pytest.importorskip("torch")
    ours = both_ways()
    theirs = torch.nn.GRU(FEATURES, WIDTH, batch_first=True, bidirectional=True)
    names = {"weight_ih_l0": "input_kernel", "weight_hh_l0": "kernel", "bias_ih_l0": "input_bias", "bias_hh_l0": "bias"}
    with torch.no_grad():
        for suffix, layer in (("", ours.forward), ("_reverse", ours.backward)):
            for their, our in names.items():
                getattr(theirs, their + suffix).copy_(torch.from_numpy(np.array(getattr(layer, our)[...]).T))
    garbage = np.where(WHERE[..., None], ITEMS, 1e6).astype("float32")
    got = np.asarray(jax.jit(jax.vmap(ours))(garbage, where=WHERE))
    for i, length in enumerate(LENGTHS):
        if length:
            wanted = theirs(torch.from_numpy(ITEMS[i : i + 1, :length].astype("float32")))[0][0].detach().numpy()
            assert_close(got[i, :length], wanted)
        np.testing.assert_array_equal(got[i, length:, WIDTH:], 0)  # backward, nothing came yet
        carried = np.broadcast_to(got[i, max(length - 1, 0), :WIDTH], got[i, length:, :WIDTH].shape)
        np.testing.assert_array_equal(got[i, length:, :WIDTH], carried)


def test_without_time_in_its_gate_a_time_gated_unit_is_a_gru_of_scaled_content():
    gated, ids = TimeGatedGRU(7, WIDTH, times=2, rngs=nnx.Rngs(0)), jnp.array([3, 5, 2, 0])
    where, times = ids > 0, jnp.array([[0.0, 1], [2, 0], [7, 0], [0, 0]])
    plain = GRU(7, WIDTH, rngs=nnx.Rngs(0))
    plain.input_kernel[...] = gated.input_kernel[:, : 3 * WIDTH]
    plain.input_bias[...] = gated.input_bias[: 3 * WIDTH]
    plain.kernel[...], plain.bias[...] = gated.kernel[...], gated.bias[...]
    assert jnp.abs(gated.over_ids(ids, where=where, times=times) - plain.over_ids(ids, where=where)).max() > 1e-2
    gated.input_bias[...] = gated.input_bias[...].at[3 * WIDTH :].set(50.0)  # the gate stands open
    assert_close(gated.over_ids(ids, where=where, times=times), plain.over_ids(ids, where=where), relative=1e-6)
    gated.input_bias[...] = gated.input_bias[...].at[3 * WIDTH :].set(-50.0)  # and shut
    assert jnp.abs(gated.over_ids(ids, where=where, times=times)).max() < 1e-6


def test_time_joined_to_ids_is_a_longer_vector():
    gru, ids, where = GRU(7 + 2, WIDTH, rngs=nnx.Rngs(0)), jnp.array([6, 3, 0]), jnp.array([True, True, False])
    times = jnp.array([[0.0, 1], [2.5, 0], [0, 0]])
    wanted = gru(jnp.concatenate([jax.nn.one_hot(ids, 7), times], axis=1), where=where)
    assert_close(gru.over_ids(ids, where=where, times=times), wanted, relative=1e-6)


def test_passes_over_what_is_not_there():
    where = np.array([False, True, False, False, True, True])
    got = states(PARAMS, jnp.asarray(ITEMS[5:], "float32"), where[None])[0]
    wanted = states(PARAMS, jnp.asarray(ITEMS[5:, where], "float32"), np.ones((1, 3), bool))[0]
    assert_close(got[where], wanted, relative=1e-6)
    np.testing.assert_array_equal(got[0], 0)  # nothing yet
    np.testing.assert_array_equal(got[2:4], jnp.stack([got[1], got[1]]))  # carried over


def test_what_is_not_there_changes_nothing():
    garbage = np.where(WHERE[..., None], ITEMS, 1e6)
    grad = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))
    clean, dirty = grad(PARAMS, jnp.asarray(ITEMS, "float32")), grad(PARAMS, jnp.asarray(garbage, "float32"))
    jax.tree.map(np.testing.assert_array_equal, clean, dirty)
    chex.assert_tree_all_finite(dirty)
    np.testing.assert_array_equal(dirty[1][1][~WHERE], 0)


def test_a_sequence_does_not_depend_on_its_neighbors():
    items, order = jnp.asarray(ITEMS, "float32"), np.array([5, 2, 0, 4, 1, 3])
    got = states(PARAMS, items, WHERE)
    np.testing.assert_array_equal(states(PARAMS, items[order], WHERE[order]), got[order])


@pytest.mark.parametrize("embedded", [False, True])
@pytest.mark.parametrize("size", [7, 300])
def test_ids_equal_the_vectors_that_they_stand_for(embedded, size):
    rng = np.random.default_rng(0)
    table = jnp.asarray(rng.normal(size=(size, 5)), "float32") if embedded else None
    gru = GRU(5 if embedded else size, WIDTH, rngs=nnx.Rngs(0))
    ids, where = jnp.array([size - 1, 3, 0, size - 2], jnp.int32), jnp.array([True, True, False, True])
    items = jax.nn.one_hot(ids, size) if table is None else table[ids]
    assert_close(gru.over_ids(ids, where=where, table=table), gru(items, where=where), relative=1e-6)
