"""Several networks side by side, each trained on its own, which answer with the mean of their log-odds."""

from functools import cache
from typing import Any

import jax
from jaxtyping import Array, Float, PyTree

from hanjax.errors import ConfigError
from hanjax.nn.functional import Network, Params
from hanjax.nn.han import Dropout, Scored
from hanjax.nn.pooling import Pooled
from hanjax.types import Batch, Output


@cache
def ensemble(network: Network, n: int, /) -> Network:
    """Makes one network of several that differ only in their parameters, which have a leading axis ``n``.

    logit = 1/n sum_i logit_i, and the shares likewise: the geometric mean of the odds

    Source: Lakshminarayanan et al. 2017, Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles.

    Args:
        network: a network.
        n: how many of it.

    Returns:
        The functions; the same for the same arguments. ``train`` gives each network's own log-odds: ``logit``
        ``[n, B, H]`` and ``member_logit`` ``[n, B, K, H]``. Encodings have the networks behind the rows: ``[S, n, D]``
        and ``[M, n, D']``.

    Raises:
        ConfigError: if there is not at least one.

    Example:
        >>> import numpy as np
        >>> from hanjax.config import ModelConfig
        >>> from hanjax.nn.functional import network
        >>> from hanjax.nn.sizes import Sizes
        >>> batch = Batch.from_dense(np.full((2, 3, 4, 9), 5), members=np.ones((2, 3), bool))
        >>> three = ensemble(network(ModelConfig(), Sizes(vocabulary=11)), 3)
        >>> params = three.init(jax.random.key(0))
        >>> three.train(params, batch, None).logit.shape, three.apply(params, batch).logit.shape
        ((3, 2, 1), (2, 1))
    """
    if n < 1:
        raise ConfigError(f"ensemble: expected at least one network, got {n}.")

    def init(key: Array, initial_logit: Any = 0.0) -> Params:
        return jax.vmap(lambda key: network.init(key, initial_logit))(jax.random.split(key, n))

    def train(params: Params, batch: Batch, key: Array | None, dropout: Dropout | None = None) -> Output:
        keys = None if key is None else jax.random.split(key, n)
        own = jax.vmap(network.train, in_axes=(0, None, 0, None))(params, batch, keys, dropout)
        each = ("logit", "member_logit", "logit_variance")
        return mean(own)._replace(**{name: getattr(own, name) for name in each})

    def apply(params: Params, batch: Batch) -> Output:
        return mean(jax.vmap(network.apply, in_axes=(0, None))(params, batch))

    def individual_logits(params: Params, batch: Batch) -> Float[Array, "B K H"]:
        return mean(jax.vmap(network.individual_logits, in_axes=(0, None))(params, batch))

    def encode_periods(params: Params, batch: Batch) -> Pooled:
        encode = jax.vmap(network.encode_periods, in_axes=(0, None), out_axes=Pooled(value=1, weights=0))
        value, weights = encode(params, batch)
        return Pooled(value, mean(weights))

    def encode_windows(params: Params, periods: Float[Array, "S n D"], batch: Batch) -> Pooled:
        encode = jax.vmap(network.encode_windows, in_axes=(0, 1, None), out_axes=Pooled(value=1, weights=0))
        value, weights = encode(params, periods, batch)
        return Pooled(value, mean(weights))

    def score(params: Params, windows: Float[Array, "M n D"], batch: Batch) -> Scored:
        return mean(jax.vmap(network.score, in_axes=(0, 1, None))(params, windows, batch))

    return Network(init, apply, train, individual_logits, encode_periods, encode_windows, score)


def mean(tree: PyTree) -> Any:
    """The mean over the networks, of every array."""
    return jax.tree.map(lambda array: array.mean(axis=0), tree)
