"""The network as pure functions of a nested dict of parameters: the only place that splits and merges modules."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Integer

from hanjax.config import ModelConfig
from hanjax.nn.aggregators import Logit
from hanjax.nn.han import HAN, Scored, Sizes
from hanjax.nn.pooling import Pooled
from hanjax.types import Batch, Output

Params = dict[str, Any]


class Network(NamedTuple):
    """A model as pure functions; all but ``init`` take the parameters first, and all may be jitted, mapped and so on.

    Args:
        init: ``(key, initial_logit=0.0)`` to parameters; the first log-odds lie around ``initial_logit``. Mapped over
            keys it makes a population.
        apply: ``(params, batch)`` to ``Output``.
        individual_logits: ``(params, batch)`` to ``[B, K, H]``: log-odds of the group made of each member alone.
        encode_periods: ``(params, sequences [S, L], where=[S, L])`` to ``Pooled`` of ``[S, D]`` and ``[S, L]``.
        encode_windows: ``(params, periods [S, D], windows [M, W], where=[M, W])`` to ``Pooled`` of ``[M, D']`` and
            ``[M, W]``.
        score: ``(params, windows [B, K, D'], categories [B, K, F], account [B, N], where=[B, K])`` to ``Scored``.
    """

    init: Callable[..., Params]
    apply: Callable[[Params, Batch], Output]
    individual_logits: Callable[[Params, Batch], Float[Array, "B K H"]]
    encode_periods: Callable[..., Pooled]
    encode_windows: Callable[..., Pooled]
    score: Callable[..., Scored]


@cache
def network(config: ModelConfig, sizes: Sizes) -> Network:
    """Makes the network's functions; the same for the same arguments, so that nothing is compiled twice.

    Args:
        config: the model's settings.
        sizes: what the data say of its size.

    Returns:
        The functions.

    Example:
        >>> import numpy as np
        >>> from hanjax.types import Batch
        >>> batch = Batch.from_dense(np.full((2, 3, 4, 9), 5), members=np.ones((2, 3), bool))
        >>> model = network(ModelConfig(), Sizes(vocabulary=11))
        >>> params = model.init(jax.random.key(0))
        >>> model.apply(params, batch).logit.shape, model.individual_logits(params, batch).shape
        ((2, 1), (2, 3, 1))
    """

    def build(key: Array, initial_logit: Logit = 0.0) -> HAN:
        return HAN(config, sizes, initial_logit=initial_logit, rngs=nnx.Rngs(params=key))

    # Splitting by parameters alone raises if a module holds any other state.
    structure, _ = nnx.split(nnx.eval_shape(lambda: build(jax.random.key(0))), nnx.Param)

    def init(key: Array, initial_logit: Logit = 0.0) -> Params:
        return nnx.to_pure_dict(nnx.split(build(key, initial_logit), nnx.Param)[1])

    def merge(params: Params) -> HAN:
        return nnx.merge(structure, params)

    def apply(params: Params, batch: Batch) -> Output:
        return merge(params)(batch)

    def individual_logits(params: Params, batch: Batch) -> Float[Array, "B K H"]:
        return merge(params).individual_logits(batch)

    def encode_periods(params: Params, sequences: Integer[Array, "S L"], *, where: Bool[Array, "S L"]) -> Pooled:
        return merge(params).encode_periods(sequences, where=where)

    def encode_windows(
        params: Params, periods: Float[Array, "S D"], windows: Int[Array, "M W"], *, where: Bool[Array, "M W"]
    ) -> Pooled:
        return merge(params).encode_windows(periods, windows, where=where)

    def score(
        params: Params,
        windows: Float[Array, "B K D"],
        categories: Int[Array, "B K F"],
        account: Float[Array, "B N"],
        *,
        where: Bool[Array, "B K"],
    ) -> Scored:
        return merge(params).score(windows, categories, account, where=where)

    return Network(init, apply, individual_logits, encode_periods, encode_windows, score)
