"""The network as pure functions of a nested dict of parameters: the only place that splits and merges modules."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
from flax import nnx
from jaxtyping import Array, Float

from hanjax.config import ModelConfig
from hanjax.nn.aggregators import Aggregator, Logit
from hanjax.nn.han import HAN, Dropout, Scored
from hanjax.nn.pooling import Pooled
from hanjax.nn.sizes import Sizes
from hanjax.types import Batch, Output

Params = dict[str, Any]


class Network(NamedTuple):
    """A model as pure functions; all but ``init`` take the parameters first, and all may be jitted, mapped and so on.

    Args:
        init: ``(key, initial_logit=0.0)`` to parameters; the first log-odds lie around ``initial_logit``. Mapped over
            keys it makes a population.
        apply: ``(params, batch)`` to ``Output``.
        train: ``(params, batch, key, dropout=None)`` to ``Output`` as a training step sees it: with dropout if the
            settings say so and ``key`` is not None, and otherwise exactly that of ``apply``. ``dropout`` is a pair of
            rates, of units and of members, in place of those of the settings. In an ensemble, ``logit``,
            ``member_logit`` and ``logit_variance`` have the networks as a further leading axis: each learns on its own.
        individual_logits: ``(params, batch)`` to ``[B, K, H]``: log-odds of the group made of each member alone.
        encode_periods: ``(params, batch)`` to ``Pooled`` of ``[S, D]`` and ``[S, L]``, from the batch's sequences and
            gaps.
        encode_windows: ``(params, periods [S, D], batch)`` to ``Pooled`` of ``[M, D']`` and ``[M, W]``, from the
            batch's windows, and their volumes and ages if it has them.
        score: ``(params, windows [M, D'], batch)`` to ``Scored``, from the batch's samples and its tables of
            individuals and accounts.
    """

    init: Callable[..., Params]
    apply: Callable[[Params, Batch], Output]
    train: Callable[..., Output]
    individual_logits: Callable[[Params, Batch], Float[Array, "B K H"]]
    encode_periods: Callable[[Params, Batch], Pooled]
    encode_windows: Callable[[Params, Float[Array, "S D"], Batch], Pooled]
    score: Callable[[Params, Float[Array, "M D"], Batch], Scored]


def network(config: ModelConfig, sizes: Sizes, aggregator: type[Aggregator] | None = None) -> Network:
    """Makes the network's functions; the same for the same arguments, so that nothing is compiled twice.

    Args:
        config: the model's settings.
        sizes: what the data say of its size.
        aggregator: an aggregation of one's own, in place of the one that the settings name.

    Returns:
        The functions. At their first call (for a shape) they raise a DataError if the batch lacks what they read.

    Raises:
        ConfigError: if the settings do not go together.

    Example:
        >>> import numpy as np
        >>> from hanjax.types import Batch
        >>> batch = Batch.from_dense(np.full((2, 3, 4, 9), 5), members=np.ones((2, 3), bool))
        >>> model = network(ModelConfig(), Sizes(vocabulary=11))
        >>> params = model.init(jax.random.key(0))
        >>> model.apply(params, batch).logit.shape, model.individual_logits(params, batch).shape
        ((2, 1), (2, 3, 1))
    """
    return _network(config, sizes, aggregator)


@cache
def _network(config: ModelConfig, sizes: Sizes, aggregator: type[Aggregator] | None) -> Network:
    def build(key: Array, initial_logit: Logit = 0.0) -> HAN:
        return HAN(config, sizes, aggregator=aggregator, initial_logit=initial_logit, rngs=nnx.Rngs(params=key))

    # Splitting by parameters alone raises if a module holds any other state.
    structure, _ = nnx.split(nnx.eval_shape(lambda: build(jax.random.key(0))), nnx.Param)

    @jax.jit  # one by one, the operations would take twice as long to compile
    def init(key: Array, initial_logit: Logit = 0.0) -> Params:
        return nnx.to_pure_dict(nnx.split(build(key, initial_logit), nnx.Param)[1])

    def merge(params: Params) -> HAN:
        return nnx.merge(structure, params)

    def apply(params: Params, batch: Batch) -> Output:
        return merge(params)(batch)

    def train(params: Params, batch: Batch, key: Array | None, dropout: Dropout | None = None) -> Output:
        return merge(params)(batch, key=key, dropout=dropout)

    def individual_logits(params: Params, batch: Batch) -> Float[Array, "B K H"]:
        return merge(params).individual_logits(batch)

    def encode_periods(params: Params, batch: Batch) -> Pooled:
        return merge(params).encode_periods(batch)

    def encode_windows(params: Params, periods: Float[Array, "S D"], batch: Batch) -> Pooled:
        return merge(params).encode_windows(periods, batch)

    def score(params: Params, windows: Float[Array, "M D"], batch: Batch) -> Scored:
        return merge(params).score(windows, batch)

    return Network(init, apply, train, individual_logits, encode_periods, encode_windows, score)
