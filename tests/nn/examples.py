"""Tiny samples and networks that the tests of this folder share, compiled once."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hanjax.config import ModelConfig
from hanjax.nn import Sizes, network
from hanjax.types import Batch, Output

LEVELS, HORIZONS, NUMBERS, VOCABULARY = (5, 4), 2, 3, 7


class Dense(NamedTuple):
    """Samples as dense tensors: what the paper describes, and what a factored batch must be equal to."""

    sequences: np.ndarray
    members: np.ndarray
    individuals: np.ndarray
    accounts: np.ndarray
    label: np.ndarray

    def batch(self):
        return on_device(Batch.from_dense(**self._asdict()))


@cache
def dense():
    """Five samples with every kind of nothing: quiet periods, quiet members, missing members, unknown activities."""
    rng = np.random.default_rng(0)
    b, k, w, length = 5, 4, 3, 4
    filled = rng.integers(0, length + 1, (b, k, w))
    sequences = np.where(np.arange(length) < filled[..., None], rng.integers(1, VOCABULARY, (b, k, w, length)), 0)
    members = np.arange(k) < np.array([4, 1, 2, 3, 2])[:, None]
    sequences[0, 1] = 0  # a quiet member
    sequences[1, 0] = 0  # a group whose only member is quiet
    sequences[2, 0, 1:] = 0  # quiet in the latest periods
    sequences[3, 0, 0] = [1, 1, 2, 0]  # unknown activities
    return Dense(
        np.where(members[..., None, None], sequences, 0),
        members,
        rng.integers(1, 4, (b, k, len(LEVELS))) * members[..., None],
        rng.normal(size=(b, NUMBERS)),
        (rng.random((b, HORIZONS)) < 0.5).astype(np.float32),
    )


def model(aggregator="gru_attention"):
    """A small network, with embedded activities in every aggregation but the first."""
    config = ModelConfig(
        aggregator=aggregator,
        activity_width=5,
        window_width=4,
        member_width=3,
        category_width=2,
        activity_embedding=None if aggregator == "gru_attention" else 3,
    )
    sizes = Sizes(vocabulary=VOCABULARY, levels=LEVELS, numbers=NUMBERS, horizons=HORIZONS, max_members=25)
    return network(config, sizes)


class Results(NamedTuple):
    """Everything that a network says of a batch."""

    output: Output
    individual_logits: jax.Array
    loss: jax.Array
    gradient: dict


@cache
def everything(aggregator="gru_attention"):
    """The jitted function of (params, batch) that gives all results; compiled once for a shape and a precision."""
    net = model(aggregator)

    def results(params, batch):
        return Results(
            net.apply(params, batch),
            net.individual_logits(params, batch),
            *jax.value_and_grad(loss(net))(params, batch),
        )

    return jax.jit(results)


def loss(net):
    """Mean cross-entropy of a batch, as a function of the parameters."""

    def mean(params, batch):
        logit = net.apply(params, batch).logit
        return jnp.mean(jnp.logaddexp(0, logit) - batch.label * logit)

    return mean


@cache
def parameters(aggregator="gru_attention"):
    """Parameters away from their special starting values, without zeros in biases and in the unknown's rows."""
    return drawn(jax.eval_shape(model(aggregator).init, jax.random.key(0)))


def drawn(params):
    """Normal numbers of the shapes of ``params``.

    Large enough for attention to be far from uniform, small enough not to saturate: at either end the gradients of
    its parameters are differences of almost equal numbers, of which float32 keeps few digits. (The seed, too, is one
    for which no gradient is that small by chance; comparisons in float64 do not depend on it.)
    """
    rng = np.random.default_rng(10)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * 0.75, leaf.dtype), params)


def on_device(batch):
    return jax.tree.map(jnp.asarray, batch)


@cache
def factored():
    """The same samples with each distinct row once, shuffled, beside rows that nobody uses; as many as when dense."""
    whole, wide = dense(), dense().batch()
    rng = np.random.default_rng(3)

    def distinct(rows, size, unused):
        """Table with the empty row first, then the others shuffled among unused ones; and the rows' places in it."""
        table, place = np.unique(rows.reshape(-1, rows.shape[-1]), axis=0, return_inverse=True)
        assert not table[0].any() and len(table) < size
        where = np.concatenate([[0], 1 + rng.permutation(size - 1)[: len(table) - 1]])
        full = np.full((size, rows.shape[-1]), unused)
        full[where] = table
        return full, where[place.reshape(rows.shape[:-1])]

    sequences, windows = distinct(whole.sequences, len(wide.sequences), 6)
    windows, member_windows = distinct(windows, len(wide.windows), 1)
    individuals, members = distinct(whole.individuals, len(wide.individuals), 3)
    return on_device(
        wide._replace(
            sequences=sequences.astype(wide.sequences.dtype),
            windows=windows.astype(np.int32),
            individuals=individuals.astype(np.int32),
            accounts=wide.accounts[::-1],
            members=members.astype(np.int32),
            member_windows=member_windows.astype(np.int32),
            account=5 - wide.account,
        )
    )


def as_dtype(tree, dtype):
    """The tree with its floating-point numbers in another precision."""
    return jax.tree.map(lambda x: jnp.asarray(x, dtype if jnp.issubdtype(x.dtype, jnp.floating) else None), tree)


def assert_close(got, wanted, *, relative=1e-5):
    """Per tensor: norm of the difference over the norm; where all should be zero, exactly zero."""
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for (path, left), right in zip(jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(wanted), strict=True):
        left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
        assert left.shape == right.shape, jax.tree_util.keystr(path)
        difference = np.linalg.norm(left - right)
        assert difference <= relative * np.linalg.norm(right), (jax.tree_util.keystr(path), difference)
