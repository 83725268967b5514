"""Attention pooling: a set of vectors becomes one, and says how much each of them counted."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from hanjax import masked


class Pooled(NamedTuple):
    """What became of a set of vectors.

    Args:
        value: ``[d]`` their weighted mean; zeros if there was none.
        weights: ``[n]`` how much each counted; sums to 1, all zero if there was none.
    """

    value: Float[Array, "*b d"]
    weights: Float[Array, "*b n"]


class AttentionPool(nnx.Module):
    """Weighs a set of vectors by learned relevance and returns their weighted mean.

    u_i = tanh(W x_i + b),  a = softmax(u . q),  y = sum_i a_i x_i

    Source: Yang et al. 2016, Hierarchical Attention Networks for Document Classification, eq. 5-7.

    Args:
        width: size of each vector, and of the space in which they are compared.
        rngs: random streams of the initial parameters.

    Example:
        >>> pool = AttentionPool(3, rngs=nnx.Rngs(0))
        >>> value, weights = pool(jnp.ones((2, 3)), where=jnp.array([True, False]))
        >>> value.tolist(), weights.tolist()
        ([1.0, 1.0, 1.0], [1.0, 0.0])
    """

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        """Draws the parameters."""
        self.key = nnx.Linear(width, width, rngs=rngs)
        self.query = nnx.Param(nnx.initializers.normal(width**-0.5)(rngs.params(), (width,)))

    def __call__(self, items: Float[Array, "n d"], *, where: Bool[Array, " n"]) -> Pooled:
        """Pools the ``items [n, d]`` that are there."""
        weights = masked.softmax(self._relevance(items), where=where)
        return Pooled(weights @ items, weights)

    def along(self, items: Float[Array, "N d"], paths: Int[Array, "S L"]) -> Pooled:
        """Pools, for each of many rows, some of the ``items [N, d]``, counted from 1; 0 where nothing is."""
        relevance, where, at = self._relevance(items), paths > 0, jnp.maximum(paths - 1, 0)
        weights = jax.vmap(lambda scores, where: masked.softmax(scores, where=where))(relevance[at], where)
        return Pooled(jnp.einsum("sl,sld->sd", weights, items[at]), weights)

    def _relevance(self, items: Float[Array, "n d"]) -> Float[Array, " n"]:
        return jnp.tanh(self.key(items)) @ self.query[...]
