"""Aggregations that treat the members' representations as a set, whatever their order: beside the paper's own."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from hanjax import masked
from hanjax.nn.aggregation import Aggregated, GroupSpec, OfRepresentations
from hanjax.nn.head import Head
from hanjax.nn.pooling import Pooled


class GatedAttention(OfRepresentations):
    """A weighted mean of the members, with weights from a gated layer, then a layer with the account's numbers.

    a_k = softmax_k(w . (tanh(V P_k + b) * sigmoid(U P_k + c))),  logit = W [sum_k a_k P_k, account] + d

    The hidden layer of the weights has ``width`` units. The share is the attention a. A group and the same group with
    every member twice are the same.

    Source: Ilse, Tomczak and Welling 2018, Attention-based Deep Multiple Instance Learning, eq. 9.

    Example:
        >>> aggregate = GatedAttention(4, GroupSpec(numbers=2), rngs=nnx.Rngs(0))
        >>> group = aggregate(jnp.ones((3, 4)), where=jnp.array([True, True, False]), account=jnp.zeros(2))
        >>> group.logit.shape, group.share.tolist()
        ((1,), [0.5, 0.5, 0.0])
    """

    def __init__(self, width: int, spec: GroupSpec, *, rngs: nnx.Rngs):
        """Draws the parameters; see ``Aggregator``."""
        self.value = nnx.Linear(width, width, rngs=rngs)
        self.gate = nnx.Linear(width, width, rngs=rngs)
        self.query = nnx.Param(nnx.initializers.normal(width**-0.5)(rngs.params(), (width,)))
        self.head = Head(width, spec, rngs=rngs)

    def __call__(
        self, people: Float[Array, "k e"], *, where: Bool[Array, " k"], account: Float[Array, " n"]
    ) -> Aggregated:
        """Aggregates a group; see ``Aggregator``."""
        people = masked.zeroed(people, where=where)
        relevance = (jnp.tanh(self.value(people)) * jax.nn.sigmoid(self.gate(people))) @ self.query[...]
        share = masked.softmax(relevance, where=where)
        return Aggregated(self.head(share @ people, account), share)


class SetTransformer(OfRepresentations):
    """Members attend to each other, a learned query attends to them, then a layer with the account's numbers.

    Z = block(P, P),  g = block(s, Z),  logit = W [g, account] + b

    with the learned query s, and ``block(queries, items)`` as in ``AttentionBlock``.

    The share is the query's attention to the members, averaged over heads. A group and the same group with every member
    twice are the same.

    Source: Lee et al. 2019, Set Transformer, eq. 6-8 and 11 (one SAB, then PMA with one seed). Heads: 4, or the next
    power of two that divides ``width``; the feed-forward layer has 2 ``width`` units.

    Example:
        >>> aggregate = SetTransformer(4, GroupSpec(numbers=2), rngs=nnx.Rngs(0))
        >>> group = aggregate(jnp.ones((3, 4)), where=jnp.array([True, False, False]), account=jnp.zeros(2))
        >>> group.logit.shape, group.share.tolist()
        ((1,), [1.0, 0.0, 0.0])
    """

    def __init__(self, width: int, spec: GroupSpec, *, rngs: nnx.Rngs):
        """Draws the parameters; see ``Aggregator``."""
        heads = next(n for n in (4, 2, 1) if width % n == 0)
        self.members = AttentionBlock(width, heads, rngs=rngs)
        self.pool = AttentionBlock(width, heads, rngs=rngs)
        self.query = nnx.Param(nnx.initializers.normal(width**-0.5)(rngs.params(), (1, width)))
        self.head = Head(width, spec, rngs=rngs)

    def __call__(
        self, people: Float[Array, "k e"], *, where: Bool[Array, " k"], account: Float[Array, " n"]
    ) -> Aggregated:
        """Aggregates a group; see ``Aggregator``."""
        people = masked.zeroed(people, where=where)
        people = self.members(people, people, where=where).value
        group, share = self.pool(self.query[...], people, where=where)
        return Aggregated(self.head(group[0], account), share[0])


class AttentionBlock(nnx.Module):
    """Multi-head attention and a feed-forward layer, each added to its input and normalized.

    H = norm(X + attention(X, Y)),  block(X, Y) = norm(H + W2 relu(W1 H + b1) + b2)

    Source: Lee et al. 2019, eq. 6 and 7 (MAB), with the attention of Vaswani et al. 2017.

    Args:
        width: size of each vector.
        heads: number of heads; divides ``width``.
        rngs: random streams of the initial parameters.

    Example:
        >>> block = AttentionBlock(4, 2, rngs=nnx.Rngs(0))
        >>> value, weights = block(jnp.ones((1, 4)), jnp.ones((3, 4)), where=jnp.array([True, True, False]))
        >>> value.shape, weights.tolist()
        ((1, 4), [[0.5, 0.5, 0.0]])
    """

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        """Draws the parameters."""
        self.attention = MultiheadAttention(width, heads, rngs=rngs)
        self.first_norm = nnx.LayerNorm(width, use_fast_variance=False, rngs=rngs)
        self.wide = nnx.Linear(width, 2 * width, rngs=rngs)
        self.narrow = nnx.Linear(2 * width, width, rngs=rngs)
        self.second_norm = nnx.LayerNorm(width, use_fast_variance=False, rngs=rngs)

    def __call__(self, queries: Float[Array, "q d"], items: Float[Array, "n d"], *, where: Bool[Array, " n"]) -> Pooled:
        """Returns what became of the ``queries [q, d]``, and their attention ``[q, n]`` to the ``items [n, d]``."""
        value, weights = self.attention(queries, items, where=where)
        hidden = self.first_norm(queries + value)
        return Pooled(self.second_norm(hidden + self.narrow(jax.nn.relu(self.wide(hidden)))), weights)


class MultiheadAttention(nnx.Module):
    """Scaled dot-product attention in several heads.

    a^i = softmax(Q_i X (K_i Y)^T / sqrt(d / heads)),  y = O [a^1 V_1 Y, ..., a^heads V_heads Y]

    Source: Vaswani et al. 2017, Attention Is All You Need, section 3.2; ``torch.nn.MultiheadAttention`` (whose bias of
    the keys changes nothing).

    Args:
        width: size of each vector.
        heads: number of heads; divides ``width``.
        rngs: random streams of the initial parameters.

    Example:
        >>> attend = MultiheadAttention(4, 2, rngs=nnx.Rngs(0))
        >>> value, weights = attend(jnp.ones((1, 4)), jnp.ones((3, 4)), where=jnp.array([True, True, False]))
        >>> value.shape, weights.tolist()
        ((1, 4), [[0.5, 0.5, 0.0]])
    """

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        """Draws the parameters."""
        self.heads = heads
        self.query = nnx.Linear(width, width, rngs=rngs)
        self.key = nnx.Linear(width, width, use_bias=False, rngs=rngs)  # one would be the same for all, and cancel
        self.value = nnx.Linear(width, width, rngs=rngs)
        self.output = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, queries: Float[Array, "q d"], items: Float[Array, "n d"], *, where: Bool[Array, " n"]) -> Pooled:
        """Returns what ``queries [q, d]`` read from the ``items [n, d]``, and the mean weights ``[q, n]``."""

        def split(x: Float[Array, "n d"]) -> Float[Array, "heads n e"]:
            return x.reshape(len(x), self.heads, -1).swapaxes(0, 1)

        query, key, value = split(self.query(queries)), split(self.key(items)), split(self.value(items))
        scores = query @ key.swapaxes(1, 2) / query.shape[2] ** 0.5
        weights = jax.vmap(jax.vmap(lambda row: masked.softmax(row, where=where)))(scores)
        read = (weights @ value).swapaxes(0, 1).reshape(queries.shape)
        return Pooled(self.output(read), weights.mean(axis=0))
